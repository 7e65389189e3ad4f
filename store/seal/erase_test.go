package seal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

func (w *world) erase() error {
	return w.store.Update(w.Context(), cause, func(tx *store.Tx) error { return store.Erase(tx, w.ada.ID) })
}

// hotCopy copies the store as it is, while it is open and nobody writes.
func (w *world) hotCopy() []byte {
	w.Helper()
	b, err := os.ReadFile(w.path())
	if err != nil {
		w.Fatal(err)
	}
	return b
}

// TestErased: after an erasure no file has a word about the person, and nothing
// that was ever sealed for him can be opened, by one who has all files and all
// keys: not from the store, nor a copy of it, nor pages that were freed.
func TestErased(t *testing.T) {
	w := newWorld(t)
	for _, marker := range []string{markerOfAda, markerOfBob} {
		if found := w.scan(w.dir, marker); len(found) > 0 {
			t.Errorf("before the erasure: %v", found)
		}
	}
	before := w.hotCopy()
	if err := w.erase(); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(w.dir, "backup.db")
	if err := os.WriteFile(backup, before, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.checkGone()
		w.checkBob()
		if found := w.scan(w.dir, markerOfAda); len(found) > 0 {
			t.Errorf("after the erasure: %v", found)
		}
		w.thief(backup)
		w.open()
	}
	if err := w.erase(); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("erased again: %v", err)
	}
}

// thief has the data folder with its keys, a copy of the store from before the
// erasure, and every value that ever was on the disk.
func (w *world) thief(backup string) {
	w.Helper()
	ring, err := seal.Opener(store.Sandbox, seal.MasterOptions{Dir: w.dir})()
	if err != nil {
		w.Fatal(err)
	}
	ofAda, opened := 0, 0
	try := func(at store.Place, value []byte) {
		plain, err := ring.Open(at, value)
		switch {
		case errors.Is(err, store.ErrErased):
			ofAda++
		case err != nil:
			w.Errorf("%s %q: %v", at.Bucket, at.Key, err)
		default:
			opened++
		}
		if strings.Contains(strings.ToLower(string(plain)), strings.ToLower(markerOfAda)) || bytes.Contains(plain, vectorBytes(markerOfAda)) {
			w.Errorf("%s %q tells %q", at.Bucket, at.Key, plain)
		}
	}
	for _, v := range w.recorder.values {
		n := ofAda
		if try(v.at, v.value); (v.at.Person == w.ada.ID) != (ofAda > n) {
			w.Errorf("%s %q was sealed for %q", v.at.Bucket, v.at.Key, v.at.Person)
		}
	}
	db, err := bbolt.Open(backup, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		w.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			if !strings.HasPrefix(string(name), "record.") && string(name) != "personal" {
				return nil
			}
			return b.ForEach(func(k, v []byte) error {
				try(store.Place{Bucket: string(name), Key: k}, v)
				return nil
			})
		})
	})
	if err != nil {
		w.Fatal(err)
	}
	// The values and 3 later versions were recorded, the values are in the copy.
	if ofAda != 2*values+3 || opened < ofAda {
		w.Errorf("%d values of the erased person and %d others", ofAda, opened)
	}
}

// TestErasureCutFromItsKey: the store has committed the erasure, and the keyring
// did not come to forget the key. The caller hears so, and the next opening
// completes it.
func TestErasureCutFromItsKey(t *testing.T) {
	w := newWorld(t)
	w.recorder.cut = true
	if err := w.erase(); !errors.Is(err, errCut) || !errors.Is(err, store.ErrCommit) {
		t.Errorf("error %v, want ErrCommit for the cut", err)
	}
	if !w.recorder.Has(w.ada.ID.Tag()) {
		t.Error("the key is gone all the same")
	}
	w.recorder.cut = false
	w.open()
	if w.recorder.Has(w.ada.ID.Tag()) {
		t.Error("the key is still there")
	}
	w.checkGone()
	w.checkBob()
}

// TestErasureTakenBack: an Update that fails erases nobody.
func TestErasureTakenBack(t *testing.T) {
	w := newWorld(t)
	err := w.store.Update(t.Context(), cause, func(tx *store.Tx) error {
		return errors.Join(store.Erase(tx, w.ada.ID), errCut)
	})
	if !errors.Is(err, errCut) {
		t.Errorf("error %v", err)
	}
	w.open()
	if n := w.indexed(w.ada); n != lines || !w.recorder.Has(w.ada.ID.Tag()) {
		t.Errorf("%d lines of the person, want %d", n, lines)
	}
}

// TestOlderCopyPutBack: a store from before an erasure, or from before the person
// was known, does not bring anybody back, as long as it has the present keyring.
func TestOlderCopyPutBack(t *testing.T) {
	w := newWorld(t)
	before := w.hotCopy()
	if err := w.erase(); err != nil {
		t.Fatal(err)
	}
	w.putBack(before)
	w.checkGone()
	w.checkBob()
	replayed := 0
	w.view(func(tx *store.Tx) error {
		events, err := store.Events(tx, 0, 1000)
		for _, e := range events {
			if e.Kind == store.EventErasure && e.Person == w.ada.ID && e.Action == "replay" {
				replayed++
			}
		}
		return err
	})
	if replayed != 1 {
		t.Errorf("%d erasures are in the journal, want 1", replayed)
	}
	head := w.head()
	w.open()
	if w.head() != head {
		t.Error("erased once more at the next opening")
	}
	again := w.ada
	again.Meta = store.Meta{}
	err := w.store.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &again) })
	if !errors.Is(err, store.ErrErased) {
		t.Errorf("put again: error %v, want ErrErased", err)
	}
}

func (w *world) putBack(older []byte) {
	w.Helper()
	if err := w.store.Close(); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(w.path(), older, 0o600); err != nil {
		w.Fatal(err)
	}
	w.open()
}

func (w *world) head() (n uint64) {
	w.view(func(tx *store.Tx) (err error) {
		n, err = store.Head(tx)
		return err
	})
	return n
}

// TestErasedWhileRead: a View that began before an erasure does not stumble over
// values that it cannot read any more.
func TestErasedWhileRead(t *testing.T) {
	w := newWorld(t)
	w.view(func(tx *store.Tx) error {
		if err := w.erase(); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Get[store.Person](tx, w.ada.ID); !errors.Is(err, store.ErrErased) {
			t.Errorf("get: %v, want ErrErased", err)
		}
		page, err := store.List(tx, store.PersonsByMerchant, store.Query[store.Person]{})
		if err != nil || len(page.Items) != 1 {
			t.Errorf("list: %d people, %v, want 1", len(page.Items), err)
		}
		n := 0
		for _, err := range store.All(tx, store.TemplatesBySpace, store.Plain("m"), store.Plain("x")) {
			if err != nil {
				t.Error(err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("all: %d templates, want 1", n)
		}
		return nil
	})
}

// TestForeignKeyring: a store does not open with another keyring, nor without
// one, and neither file is changed by the attempt.
func TestForeignKeyring(t *testing.T) {
	w := newWorld(t)
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	ring := seal.Path(w.dir, store.Sandbox)
	away := filepath.Join(w.dir, "away")
	if err := errors.Join(os.Rename(ring, away), os.Remove(ring+".mirror")); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(w.path(), w.options()); !errors.Is(err, store.ErrForeign) || !strings.Contains(err.Error(), "put back") {
		t.Errorf("without its keyring: error %v, want ErrForeign", err)
	}
	if _, err := os.Stat(ring); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a keyring was made: %v", err)
	}
	if _, err := bolt.Open(w.path(), bolt.Options{Environment: store.Sandbox}); !errors.Is(err, store.ErrSealed) {
		t.Errorf("in the clear: error %v, want ErrSealed", err)
	}
	if err := os.Rename(away, ring); err != nil {
		t.Fatal(err)
	}
	w.store = nil
	w.open()
	w.checkBob()
}
