package backup

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

var update = flag.Bool("backup.update", false, "write the golden backup of the present format")

// A backup of version 1 with its recovery key, and the erasure log of its box, which
// knows of an erasure after it.
const golden = "testdata/backup1"

// TestGolden restores what an earlier program wrote. Who changes a format adds a
// golden backup and leaves this as it is.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	text, err := os.ReadFile(filepath.Join(golden, "recovery.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.ParseRecoveryKey(text)
	if err != nil {
		t.Fatal(err)
	}
	b := &box{T: t, dir: filepath.Join(t.TempDir(), "data"), key: key}
	plan := b.plan(filepath.Join(golden, "box.backup"))
	plan.Erasures = filepath.Join(golden, "box.erasures")
	done, err := Restore(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if done.Erased != 1 || done.Info.Environment != store.Sandbox || !done.Made.Equal(now) {
		t.Errorf("%+v", done)
	}
	b.open()
	err = b.store.View(t.Context(), func(tx *store.Tx) error {
		p, err := store.Find(tx, store.PersonByEmail, store.Plain("m"), store.Email("bob@example.org"))
		if err != nil || p.Firstname != "bob" {
			t.Errorf("%+v, %v", p, err)
		}
		if _, err := store.Get[store.Person](tx, id("ada")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the erased person: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if found := b.verify(); len(found) > 0 {
		t.Errorf("its audit log: %q", found)
	}
}

func writeGolden(t *testing.T) {
	t.Helper()
	b := newEmptyBox(t)
	for _, name := range []string{"ada", "bob"} {
		b.update(func(tx *store.Tx) error {
			return store.Put(tx, &store.Person{ID: id(name), Merchant: "m", Firstname: name, Email: name + "@example.org"})
		})
	}
	b.archive()
	path := b.backupOf(Source{Dir: b.dir, Actor: cause.Actor, Program: "golden", Clock: clock})
	b.erase("ada")
	log := seal.ErasuresPath(b.dir, store.Sandbox)
	err := os.MkdirAll(golden, 0o755)
	for name, from := range map[string]string{"box.backup": path, "box.erasures": log} {
		raw, err2 := os.ReadFile(from)
		err = errors.Join(err, err2, os.WriteFile(filepath.Join(golden, name), raw, 0o600))
	}
	err = errors.Join(err, os.WriteFile(filepath.Join(golden, "recovery.key"), []byte(b.key.Text()+"\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}
