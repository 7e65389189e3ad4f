package upkeep

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

var cause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}

// rig is a sealed store with its keeper and a clock that stands.
type rig struct {
	*testing.T
	*Keeper
	now time.Time
	opt bolt.Options
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	dir := filepath.Join(t.TempDir(), "data")
	r.opt = bolt.Options{
		Environment: store.Sandbox, NoSync: true, Clock: func() time.Time { return r.now },
		Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: dir}),
	}
	s, err := bolt.Open(bolt.Path(dir, store.Sandbox), r.opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r.Keeper = New(Config{Store: s, Dir: dir, Copies: 2, Clock: r.opt.Clock})
	return r
}

func (r *rig) update(fn func(*store.Tx) error) {
	r.Helper()
	if err := r.Store.Update(r.Context(), cause, fn); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) enrol(name string) store.PersonID {
	r.Helper()
	p := store.Person{ID: store.NewID[store.PersonID](r.now), Merchant: "m", Firstname: name, Email: name + "@example.org"}
	r.update(func(tx *store.Tx) error {
		if err := store.Put(tx, &p); err != nil {
			return err
		}
		_, err := store.Append(tx, store.Event{Kind: store.EventEnrolment, Merchant: "m", Person: p.ID}, name)
		return err
	})
	return p.ID
}

func (r *rig) copies() []Copied {
	r.Helper()
	all, err := Copies(r.Dir, store.Sandbox)
	if err != nil {
		r.Fatal(err)
	}
	return all
}

// TestCopiesAreBounded: one a day, the oldest goes when a newer one is whole.
func TestCopiesAreBounded(t *testing.T) {
	r := newRig(t)
	r.enrol("ada")
	var names []string
	for day := range 4 {
		r.round(t.Context())
		r.round(t.Context()) // not twice a day
		all := r.copies()
		if len(all) != min(day+1, 2) || !all[len(all)-1].Time.Equal(r.now) {
			t.Fatalf("day %d: %+v", day, all)
		}
		names = append(names, all[len(all)-1].Name)
		r.now = r.now.Add(copyAge)
	}
	if all := r.copies(); all[0].Name != names[2] || all[1].Name != names[3] {
		t.Errorf("%+v of %v", all, names)
	}
	if s := r.State(); s.Trouble != "" || len(s.Faults) > 0 || s.Checked.IsZero() {
		t.Errorf("%+v", s)
	}
	for _, c := range r.copies() {
		st, err := os.Stat(filepath.Join(CopyDir(r.Dir, store.Sandbox), c.Name))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", st.Mode(), err)
		}
	}
	// After a start the newest copy counts, and a clock that was set back makes no more.
	again := New(r.Config)
	again.room = r.room
	r.now = r.now.Add(-copyAge + time.Hour)
	if again.copyDue() {
		t.Error("a copy is due an hour after the last")
	}
	r.now = r.now.Add(-1000 * copyAge)
	again.copied = r.now
	if again.copyDue() {
		t.Error("a copy is due as the clock was set back")
	}
	r.now = r.now.Add(copyAge)
	if !again.copyDue() {
		t.Error("no copy is due for ever, as the clock was set back")
	}
}

// TestErasedInCopies: who was erased after a copy was made cannot be read in it,
// and that is no fault of the copy.
func TestErasedInCopies(t *testing.T) {
	r := newRig(t)
	ada := r.enrol("ada")
	r.enrol("bob")
	if err := r.Copy(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := r.Check(t.Context(), false)
	if err != nil || !before.Whole() || len(before.Copies) != 1 || before.Copies[0].Checked.Records != 2 {
		t.Fatalf("%+v, %v", before, err)
	}
	r.update(func(tx *store.Tx) error { return store.Erase(tx, ada) })
	after, err := r.Check(t.Context(), false)
	if err != nil || !after.Whole() || after.Copies[0].Checked.Erased != 2 || after.Store.Checked.Records != 1 {
		t.Errorf("%+v of the copy %+v, %v", after.Store, after.Copies[0], err)
	}
}

// TestDamagedStoreIsNotCopied: older copies stay while the store is worse.
func TestDamagedStoreIsNotCopied(t *testing.T) {
	r := newRig(t)
	r.enrol("ada")
	for range 2 {
		if err := r.Copy(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.now = r.now.Add(copyAge)
	}
	good := r.copies()
	path := bolt.Path(r.Dir, store.Sandbox)
	r.Store.Close()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("index.persons-merchant")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(path, r.opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r.Store = s
	r.round(t.Context())
	if got := r.copies(); len(got) != 2 || got[1] != good[1] {
		t.Errorf("%+v, before %+v", got, good)
	}
	if st := r.State(); st.Trouble == "" || len(st.Faults) != 1 {
		t.Errorf("%+v", st)
	}
	report, err := r.Check(t.Context(), true)
	if err != nil || report.Mended != 1 || report.Whole() {
		t.Errorf("%+v, %v", report, err)
	}
	if st := r.State(); len(st.Faults) != 0 {
		t.Errorf("%+v", st)
	}
	r.round(t.Context())
	if got := r.copies(); len(got) != 2 || got[1] == good[1] || r.State().Trouble != "" {
		t.Errorf("%+v, before %+v, %+v", got, good, r.State())
	}
}

// TestNoRoom: a copy or a compaction never takes the last room of the disk.
func TestNoRoom(t *testing.T) {
	r := newRig(t)
	r.enrol("ada")
	r.Keeper.room = func(string) (int64, error) { return leave, nil }
	for name, do := range map[string]func() error{
		"copy":    func() error { return r.Copy(t.Context()) },
		"compact": func() error { return r.Compact(t.Context(), nil) },
	} {
		if err := do(); !errors.Is(err, errRoom) || !strings.Contains(err.Error(), "MiB") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(r.copies()) > 0 {
		t.Error("a copy was made")
	}
}

// TestCutCopies: what a cut has left of copies goes with the next one.
func TestCutCopies(t *testing.T) {
	r := newRig(t)
	r.enrol("ada")
	dir := CopyDir(r.Dir, store.Sandbox)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"2026-11-25T120000.000Z.unchecked", "2026-11-25T120000.000Z.unchecked.new"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "note.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Copy(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 || len(r.copies()) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

// TestCompactsByItself: when much is free, and when somebody was erased.
func TestCompactsByItself(t *testing.T) {
	r := newRig(t)
	if why := r.compactDue(); why != "" {
		t.Errorf("a new store: %s", why)
	}
	ada := r.enrol("ada")
	for range 25 {
		id := store.ImageID(store.NewUUID[store.KeyID]())
		img := store.Image{ID: id, Merchant: "m", Data: bytes.Repeat([]byte{1}, 1<<20)}
		r.update(func(tx *store.Tx) error { return store.Put(tx, &img) })
		r.update(func(tx *store.Tx) error { return store.Delete[store.Image](tx, id) })
	}
	r.update(func(tx *store.Tx) error {
		img := store.Image{ID: "big", Merchant: "m", Data: make([]byte, 20<<20)}
		return store.Put(tx, &img)
	})
	r.update(func(tx *store.Tx) error { return store.Delete[store.Image](tx, store.ImageID("big")) })
	if why := r.compactDue(); !strings.Contains(why, "free") {
		used, free, pages := r.Store.Room()
		t.Errorf("%q with %d used, %d free, %d pages", why, used, free, pages)
	}
	r.round(t.Context())
	if why := r.compactDue(); why != "" {
		t.Errorf("after it: %s", why)
	}
	if used, free, _ := r.Store.Room(); free > used+(1<<20) {
		t.Errorf("%d used, %d free", used, free)
	}

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Keeper.Run(ctx) }()
	r.enrol("bob") // by now it watches, or finds out
	r.update(func(tx *store.Tx) error { return store.Erase(tx, ada) })
	for !r.isErased() {
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if why := r.compactDue(); why != "" {
		t.Errorf("within an hour of the last: %s", why)
	}
	r.now = r.now.Add(copyAge)
	if why := r.compactDue(); !strings.Contains(why, "erased") {
		t.Errorf("a day later: %q", why)
	}
	r.round(t.Context())
	if r.isErased() {
		t.Error("still to be done")
	}
	again := New(r.Config)
	again.noteErased(t.Context())
	if why := again.compactDue(); !strings.Contains(why, "erased") {
		t.Errorf("after a start: %q", why)
	}
}

func (r *rig) isErased() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.erased
}
