package seal_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// newClear makes a world whose store is not sealed yet.
func newClear(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: filepath.Join(t.TempDir(), "data")}
	var err error
	if w.store, err = bolt.Open(w.path(), bolt.Options{Environment: store.Sandbox, NoSync: true}); err != nil {
		t.Fatal(err)
	}
	w.people()
	w.update(func(tx *store.Tx) error {
		return store.Put(tx, &store.Account{ID: "a", Merchant: "m", Email: markerOfOwner + "@example.org"})
	})
	return w
}

// TestSealedLater: a store that was not sealed is the same when it is, and no word
// is left of what lay open.
func TestSealedLater(t *testing.T) {
	w := newClear(t)
	if found := w.scan(w.dir, markerOfAda); len(found) < 2 {
		t.Fatalf("the marker should lie open: %v", found)
	}
	remains, err := os.Open(w.path())
	if err != nil {
		t.Fatal(err)
	}
	defer remains.Close()
	head, info := w.head(), w.store.Info()
	for range 2 {
		w.open()
		if w.head() != head || w.store.Info() != info {
			t.Errorf("head %d, %+v, want %d, %+v", w.head(), w.store.Info(), head, info)
		}
		w.checkBob()
		if n := w.indexed(w.ada); n != lines {
			t.Errorf("%d lines of the person, want %d", n, lines)
		}
		w.view(func(tx *store.Tx) error {
			a, err := store.Find(tx, store.AccountByEmail, store.Email(strings.ToLower(markerOfOwner)+"@example.org"))
			if err != nil || a.ID != "a" {
				t.Errorf("account: %+v, %v", a, err)
			}
			var got map[string]string
			if err := store.Personal(tx, &w.decision, &got); err != nil || got["name"] != markerOfAda {
				t.Errorf("personal part: %v, %v", got, err)
			}
			return nil
		})
		for _, marker := range []string{markerOfAda, markerOfBob, markerOfOwner} {
			if found := w.scan(w.dir, marker); len(found) > 0 {
				t.Errorf("lies open: %v", found)
			}
		}
	}
	old := make([]byte, 1<<20)
	n, err := remains.Read(old)
	for _, b := range old[:n] {
		if b != 0 {
			t.Fatalf("the file of before is not overwritten, %v", err)
		}
	}
	// Each value was sealed for the one it tells about: all goes with the person.
	backup := filepath.Join(w.dir, "backup.db")
	if err := os.WriteFile(backup, w.hotCopy(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.erase(); err != nil {
		t.Fatal(err)
	}
	w.checkGone()
	ofAda := 0
	for _, v := range w.recorder.values {
		if _, err := w.recorder.Open(v.at, v.value); errors.Is(err, store.ErrErased) {
			ofAda++
		}
	}
	if ofAda != values {
		t.Errorf("%d values of the erased person, want %d", ofAda, values)
	}
}

// TestSealingCut: what a cut leaves of the sealed copy is in nobody's way.
func TestSealingCut(t *testing.T) {
	w := newClear(t)
	if err := os.WriteFile(w.path()+".new", w.hotCopy()[:5000], 0o600); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.checkBob()
	if names, _ := filepath.Glob(w.path() + "*"); len(names) != 1 {
		t.Errorf("left %v", names)
	}
}
