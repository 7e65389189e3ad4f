package backup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// TestElsewhere: the disk is lost; backup and recovery key bring all back on
// another machine, under its own master key.
func TestElsewhere(t *testing.T) {
	b := newBox(t)
	path := b.backup()
	info, head := b.store.Info(), len(b.events())
	c := b.elsewhere()
	if _, err := Restore(t.Context(), c.plan(path)); !errors.Is(err, ErrUnknownErasures) || listing(t, c.dir) != "" {
		t.Errorf("error %v, want ErrUnknownErasures and nothing done:\n%s", err, listing(t, c.dir))
	}
	plan := c.plan(path)
	plan.AcceptUnknown = true
	done, err := Restore(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if !done.Unknown || done.Aside != "" || done.Erased != 0 || done.Foreign || len(done.Warnings) > 0 || done.Records.Events != head {
		t.Errorf("%+v", done)
	}
	for range 2 {
		c.open()
		if got := c.people(); got != "ada bob" {
			t.Errorf("restored: %s", got)
		}
		if got := c.store.Info(); got.Device != info.Device || got.Epoch <= info.Epoch || got != done.Info {
			t.Errorf("%+v after %+v, and was said to be %+v", got, info, done.Info)
		}
		if first := c.events()[0]; first.Action != "restore" || first.Counters["events"] != float64(head) || first.Counters["epoch"] != float64(info.Epoch) {
			t.Errorf("the first event is %+v", first)
		}
		c.close()
	}
	c.open()
	c.put("eve")
	again := c.backup() // the recovery key came along
	c.close()
	last := c.store
	if _, err := Restore(t.Context(), c.plan(again)); err != nil || last != nil {
		t.Error(err)
	}
	c.open()
	if got := c.people(); got != "ada bob eve" || c.store.Info().Epoch <= done.Info.Epoch {
		t.Errorf("restored once more: %s, epoch %d after %d", got, c.store.Info().Epoch, done.Info.Epoch)
	}
}

// TestErasedSince: whoever was erased after the backup is not there when the
// restored store serves, and his key is in no file.
func TestErasedSince(t *testing.T) {
	b := newBox(t)
	path := b.backup()
	b.erase("ada")
	b.put("eve")
	b.close()
	plan := b.plan(path)
	plan.Clock = clock
	done, err := Restore(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if done.Unknown || done.Erased != 1 || done.Foreign || done.Aside != b.live()+".before-20261126T080000Z" {
		t.Errorf("%+v", done)
	}
	if names, _ := filepath.Glob(filepath.Join(done.Aside, "keyring*")); len(names) > 0 {
		t.Errorf("keys that erasures do not reach any more: %v", names)
	}
	b.open()
	if got := b.people(); got != "bob" {
		t.Errorf("restored: %s", got)
	}
	err = b.store.Update(t.Context(), cause, func(tx *store.Tx) error {
		return store.Put(tx, &store.Person{ID: id("ada"), Merchant: "m"})
	})
	if !errors.Is(err, store.ErrErased) {
		t.Errorf("put again: error %v, want ErrErased", err)
	}
	b.close()
	// What lies aside opens with the keyring that there is.
	ring, err := seal.Opener(store.Sandbox, seal.MasterOptions{Dir: b.dir})()
	if err != nil {
		t.Fatal(err)
	}
	aside, err := bolt.Open(filepath.Join(done.Aside, "store.db"), bolt.Options{Environment: store.Sandbox, NoSync: true, Sealer: ring})
	if err != nil {
		t.Fatal(err)
	}
	b.store = aside
	if got := b.people(); got != "bob eve" {
		t.Errorf("aside: %s", got)
	}
}

// TestErasureLogElsewhere: with the erasure log of the lost box, another machine
// knows who was erased since.
func TestErasureLogElsewhere(t *testing.T) {
	b := newBox(t)
	path := b.backup()
	b.erase("ada")
	lines, err := seal.Erasures(seal.ErasuresPath(b.dir, store.Sandbox))
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "erasures")
	if err := os.WriteFile(log, seal.FormatErasures(lines, now), 0o600); err != nil {
		t.Fatal(err)
	}
	other := newBox(t)
	c := b.elsewhere()
	for name, erasures := range map[string]string{"of another box": seal.ErasuresPath(other.dir, store.Sandbox), "none": "/nowhere"} {
		plan := c.plan(path)
		plan.Erasures, plan.AcceptUnknown = erasures, true
		if _, err := Restore(t.Context(), plan); !errors.Is(err, store.ErrForeign) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	plan := c.plan(path)
	plan.Erasures = log
	done, err := Restore(t.Context(), plan)
	if err != nil || done.Unknown || done.Erased != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	c.open()
	if got := c.people(); got != "bob" {
		t.Errorf("restored: %s", got)
	}
}

// TestCopy: a hot copy comes back, with the keyring that lies there.
func TestCopy(t *testing.T) {
	b := newBox(t)
	b.hotCopy("old.db")
	b.put("eve")
	b.hotCopy("new.db")
	b.erase("bob")
	b.close()
	for _, tt := range []struct{ name, want string }{{"old.db", "ada"}, {"new.db", "ada eve"}} {
		done, err := Restore(t.Context(), b.copyPlan(tt.name))
		if err != nil {
			t.Fatal(err)
		}
		if done.Unknown || done.Erased != 1 || done.Foreign {
			t.Errorf("%s: %+v", tt.name, done)
		}
		b.open()
		if got := b.people(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		b.close()
	}
	if _, err := Restore(t.Context(), b.copyPlan("none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: error %v, want ErrNotExist", err)
	}
}

func (b *box) copyPath(name string) string { return filepath.Join(b.live(), copiesDir, name) }

func (b *box) copyPlan(name string) Plan {
	return Plan{Dir: b.dir, Environment: store.Sandbox, Master: b.master(), Copy: b.copyPath(name), Made: now, noSync: true}
}

func (b *box) hotCopy(name string) {
	b.Helper()
	err := os.MkdirAll(filepath.Dir(b.copyPath(name)), 0o700)
	if err := errors.Join(err, b.store.Copy(b.Context(), b.copyPath(name))); err != nil {
		b.Fatal(err)
	}
}

// TestSameBox: a backup for the master key opens with that, and with no other.
func TestSameBox(t *testing.T) {
	b := newBox(t)
	path := b.backupOf(Source{Dir: b.dir, Actor: cause.Actor, SameBox: true})
	b.erase("ada")
	b.close()
	done, err := Restore(t.Context(), b.plan(path))
	if err != nil || done.Erased != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	b.open()
	if got := b.people(); got != "bob" {
		t.Errorf("restored: %s", got)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Unlock(b.key, b.elsewhere().master()); !errors.Is(err, seal.ErrMaster) || f.Recovery() != "" {
		t.Errorf("on another box: error %v, want ErrMaster", err)
	}
}

// TestAuditComesAlong: the audit log holds over restores, here and elsewhere. What
// the box has signed beyond the backup stays, and says that something is missing.
func TestAuditComesAlong(t *testing.T) {
	b := newBox(t)
	b.archive()
	path := b.backup()
	c := b.elsewhere()
	plan := c.plan(path)
	plan.AcceptUnknown = true
	if _, err := Restore(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	c.open()
	if found := c.verify(); len(found) > 0 {
		t.Errorf("elsewhere: %q", found)
	}
	b.put("eve")
	b.archive() // and signs
	b.close()
	if _, err := Restore(t.Context(), b.plan(path)); err != nil {
		t.Fatal(err)
	}
	b.open()
	if found := b.verify(); len(found) == 0 || !strings.Contains(found[0], "epoch 1: ") {
		t.Errorf("in place: %q, want the events that are gone", found)
	}
}

// TestCertificatesStay: what the folder of an environment holds besides store, keys
// and audit log stays in place, here and where another box's data comes in.
func TestCertificatesStay(t *testing.T) {
	b, c := newBox(t), newBox(t)
	path := b.backup()
	for _, box := range []*box{b, c} {
		box.close()
		box.key = b.key
		tls := filepath.Join(box.live(), "tls")
		err := errors.Join(os.MkdirAll(tls, 0o700), os.WriteFile(filepath.Join(tls, "key.pem"), []byte("key"), 0o600), os.Symlink("/nowhere", filepath.Join(tls, "chain.pem")))
		if err != nil {
			t.Fatal(err)
		}
		plan := box.plan(path)
		plan.AcceptUnknown = true
		done, err := Restore(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{box.live(), done.Aside} {
			got, err := os.ReadFile(filepath.Join(dir, "tls", "key.pem"))
			target, err2 := os.Readlink(filepath.Join(dir, "tls", "chain.pem"))
			if err := errors.Join(err, err2); err != nil || string(got) != "key" || target != "/nowhere" {
				t.Errorf("%s: %q, %q, %v", dir, got, target, err)
			}
		}
	}
}

// TestRootLeavesTheOwner: what root restores belongs to the user that the box runs as.
func TestRootLeavesTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	const owner = 54321
	b := newBox(t)
	path := b.backup()
	b.close()
	c := b.elsewhere()
	if err := errors.Join(os.MkdirAll(c.dir, 0o700), os.Chown(c.dir, owner, owner)); err != nil {
		t.Fatal(err)
	}
	plan := c.plan(path)
	plan.AcceptUnknown = true
	if _, err := Restore(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	for _, file := range c.files() {
		if st, err := os.Stat(file); err != nil || st.Sys().(*syscall.Stat_t).Uid != owner {
			t.Errorf("%s belongs to root, %v", file, err)
		}
	}
}

// TestRefused: what is wrong with a restore is said before anything is replaced.
func TestRefused(t *testing.T) {
	b := newBox(t)
	path := b.backup()
	b.close()
	before := listing(t, b.dir)
	for name, tt := range map[string]struct {
		edit func(*Plan)
		want error
	}{
		"only tried":        {func(p *Plan) { p.Try = true }, nil},
		"other environment": {func(p *Plan) { p.Environment = store.Production; p.AcceptUnknown = true }, store.ErrForeign},
	} {
		plan := b.plan(path)
		tt.edit(&plan)
		_, err := Restore(t.Context(), plan)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", name, err, tt.want)
		}
		if after := listing(t, b.dir); after != before {
			t.Errorf("%s: left\n%s", name, after)
		}
	}
	if err := Room(t.TempDir(), 1<<60); !errors.Is(err, ErrRoom) {
		t.Errorf("an exabyte: error %v, want ErrRoom", err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Unlock(seal.NewRecoveryKey(), nil); !errors.Is(err, seal.ErrRecovery) || !strings.Contains(err.Error(), b.key.Public().Fingerprint()) {
		t.Errorf("another recovery key: %v", err)
	}
}

// TestForeign: a backup takes the place of another box's data, which keeps its own
// keyring beside.
func TestForeign(t *testing.T) {
	b, c := newBox(t), newBox(t)
	path := b.backup()
	c.erase("bob")
	c.close()
	c.key = b.key
	plan := c.plan(path)
	plan.AcceptUnknown = true
	done, err := Restore(t.Context(), plan)
	if err != nil || !done.Foreign || !done.Unknown || done.Erased != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := os.Stat(filepath.Join(done.Aside, "keyring")); err != nil {
		t.Error(err)
	}
	c.open()
	if got := c.people(); got != "ada bob" {
		t.Errorf("restored: %s", got)
	}
}

// TestMasterKeyLost: the data is there, and the key that opens it is not. A backup
// brings it back under a new one.
func TestMasterKeyLost(t *testing.T) {
	b := newBox(t)
	path := b.backup()
	b.erase("ada")
	b.close()
	if err := os.Remove(filepath.Join(b.dir, "master.key")); err != nil {
		t.Fatal(err)
	}
	if err := b.tryOpen(); !errors.Is(err, seal.ErrMaster) {
		t.Fatalf("error %v, want ErrMaster", err)
	}
	plan := b.plan(path)
	plan.Master = b.master() // a new one, until it is written
	done, err := Restore(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Warnings) != 1 || done.Unknown || done.Erased != 1 || !done.Foreign {
		t.Errorf("%+v", done) // the erasure log tells who was erased
	}
	b.open()
	if got := b.people(); got != "bob" {
		t.Errorf("restored: %s", got)
	}
}

// TestInTheWay: what lies where the new folder should, and is none, is not touched;
// what cuts have left of one is.
func TestInTheWay(t *testing.T) {
	b := newBox(t)
	path := b.backup()
	b.close()
	stage := b.live() + stageSuffix
	drafts := filepath.Join(b.dir, ".sandbox"+stageSuffix+"-123")
	if err := errors.Join(os.MkdirAll(stage, 0o700), os.WriteFile(filepath.Join(stage, "diary"), nil, 0o600), os.Mkdir(drafts, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), b.plan(path)); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(filepath.Join(stage, "diary")); err != nil {
		t.Error(err)
	}
	if _, err := Restore(t.Context(), b.plan(path)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(drafts); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the remains of a cut: %v", err)
	}
}

// TestEpochs: no epoch comes twice, whatever the clock says.
func TestEpochs(t *testing.T) {
	b := newBox(t)
	path := b.backup()
	b.close()
	last := uint64(1)
	for i, at := range []time.Time{now, now.Add(time.Hour), time.Unix(5, 0), now.Add(2 * time.Hour)} {
		plan := b.plan(path)
		plan.Clock = func() time.Time { return at }
		done, err := Restore(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		if done.Info.Epoch <= last && i != 2 || i == 2 && done.Info.Epoch <= 1 {
			t.Errorf("epoch %d after %d", done.Info.Epoch, last)
		}
		last = done.Info.Epoch
	}
}
