package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

var cause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}

// A box is a data folder with people in it.
type box struct {
	*testing.T
	dir   string
	key   *seal.RecoveryKey
	store *bolt.Store // nil: closed
}

// newBox makes a box that knows a recovery key, with ada and bob in it.
func newBox(t *testing.T) *box {
	t.Helper()
	b := newEmptyBox(t)
	b.put("ada")
	b.put("bob")
	return b
}

func newEmptyBox(t *testing.T) *box {
	t.Helper()
	b := &box{T: t, dir: filepath.Join(t.TempDir(), "data"), key: seal.NewRecoveryKey()}
	b.open()
	b.close()
	if err := seal.SetRecovery(b.dir, b.master(), b.key); err != nil {
		t.Fatal(err)
	}
	b.open()
	return b
}

// elsewhere is another machine, with nothing on it.
func (b *box) elsewhere() *box {
	return &box{T: b.T, dir: filepath.Join(b.TempDir(), "data"), key: b.key}
}

func (b *box) master() *seal.Master {
	b.Helper()
	m, err := seal.FindMaster(seal.MasterOptions{Dir: b.dir})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func (b *box) live() string { return filepath.Join(b.dir, string(store.Sandbox)) }

// tryOpen opens the store as the daemon does.
func (b *box) tryOpen() error {
	err := Settle(b.dir, store.Sandbox)
	if err == nil {
		b.store, err = bolt.Open(bolt.Path(b.dir, store.Sandbox), bolt.Options{
			Environment: store.Sandbox, NoSync: true, Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: b.dir}),
		})
	}
	if err == nil {
		b.Cleanup(b.close)
	}
	return err
}

func (b *box) open() {
	b.Helper()
	if err := b.tryOpen(); err != nil {
		b.Fatal(err)
	}
}

func (b *box) close() {
	if b.store != nil {
		if err := b.store.Close(); err != nil {
			b.Error(err)
		}
		b.store = nil
	}
}

func (b *box) update(fn func(tx *store.Tx) error) {
	b.Helper()
	if err := b.store.Update(b.Context(), cause, fn); err != nil {
		b.Fatal(err)
	}
}

// id is 24 hex digits that a name gives.
func id(name string) store.PersonID {
	return store.PersonID(fmt.Sprintf("%-24x", name+"____________")[:24])
}

func (b *box) put(name string) {
	b.Helper()
	b.update(func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: "m", Person: id(name)}, name)
		return errors.Join(err,
			store.Put(tx, &store.Person{ID: id(name), Merchant: "m", Firstname: name, Email: name + "@example.org"}),
			store.Put(tx, &store.Crop{ID: store.NewID[store.CropID](tx.Time()), Merchant: "m", Person: id(name), Image: make([]byte, 50_000)}))
	})
}

func (b *box) erase(name string) {
	b.Helper()
	b.update(func(tx *store.Tx) error { return store.Erase(tx, id(name)) })
}

// people names who is there, found by their e-mail, with their crops.
func (b *box) people() string {
	b.Helper()
	var names []string
	err := b.store.View(b.Context(), func(tx *store.Tx) error {
		for _, name := range []string{"ada", "bob", "eve"} {
			p, err := store.Find(tx, store.PersonByEmail, store.Plain("m"), store.Email(name+"@example.org"))
			if errors.Is(err, store.ErrNotFound) {
				continue
			} else if err != nil {
				return err
			}
			n, err := store.Count(tx, store.CropsByPerson, store.Plain(p.ID))
			if err != nil || n != 1 {
				return fmt.Errorf("%d crops of %s, %w", n, name, err)
			}
			names = append(names, p.Firstname)
		}
		return nil
	})
	if err != nil {
		b.Error(err)
	}
	return strings.Join(names, " ")
}

// events returns the journal of the present epoch.
func (b *box) events() (events []store.Event) {
	b.Helper()
	err := b.store.View(b.Context(), func(tx *store.Tx) (err error) {
		events, err = store.Events(tx, 0, 1000)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	for i, e := range events {
		if e.Seq != uint64(i+1) || e.Epoch != b.store.Info().Epoch || e.Device != b.store.Info().Device {
			b.Errorf("event %d is %d of epoch %d", i+1, e.Seq, e.Epoch)
		}
	}
	return events
}

// backup writes a backup of the open box.
func (b *box) backup() string {
	b.Helper()
	return b.backupOf(Source{Dir: b.dir, Actor: cause.Actor, Program: "test"})
}

func (b *box) backupOf(src Source) (path string) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "box.backup")
	made, err := New(b.Context(), b.store, src)
	if err != nil {
		b.Fatal(err)
	}
	err = Save(path, made.Size(), false, func(f *os.File) error { return made.Write(b.Context(), f) })
	if err := errors.Join(err, made.Close()); err != nil {
		b.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != made.Size() || st.Mode().Perm() != 0o600 {
		b.Errorf("%v, %v, want %d bytes", st, err, made.Size())
	}
	return path
}

// plan restores a backup.
func (b *box) plan(path string) Plan {
	b.Helper()
	f, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	if err := f.Unlock(b.key, b.master()); err != nil {
		b.Fatal(err)
	}
	return Plan{Dir: b.dir, Environment: store.Sandbox, Master: b.master(), From: f, noSync: true}
}

// archive closes the journal of the open box as it is now, into a period.
func (b *box) archive() {
	b.Helper()
	if err := archive(b.Context(), audit.Config{Store: b.store, Dir: audit.Dir(b.dir, store.Sandbox)}); err != nil {
		b.Fatal(err)
	}
}

// verify reads the whole audit log, and names what is wrong with it.
func (b *box) verify() (findings []string) {
	b.Helper()
	log, err := audit.Open(b.Context(), audit.Config{Store: b.store, Dir: audit.Dir(b.dir, store.Sandbox)})
	if err != nil {
		b.Fatal(err)
	}
	r, err := log.Verify(b.Context(), audit.VerifyOptions{})
	if err := errors.Join(err, log.Close()); err != nil {
		b.Fatal(err)
	}
	for _, f := range r.Findings {
		findings = append(findings, fmt.Sprintf("epoch %d: %s", f.Epoch, f.What))
	}
	return findings
}

// listing is every file below a folder, with its size.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err == nil {
			name, _ := filepath.Rel(dir, path)
			fmt.Fprintln(&b, name, st.Size())
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return b.String()
}

var now = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

func clock() time.Time { return now }
