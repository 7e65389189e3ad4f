package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// dump reads all that a store file holds, by bucket and key.
func dump(t *testing.T, path string) map[string]string {
	t.Helper()
	all := map[string]string{}
	viewFile(t, path, func(bucket string, k, v []byte) { all[bucket+"/"+string(k)] = string(v) })
	return all
}

func TestCopy(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "store.db"), filepath.Join(dir, "copy.db")
	s := open(t, path)
	fill(t, s, 3000)
	const mark = "marker of somebody who has left"
	gone := store.Person{ID: store.NewID[store.PersonID](s0), Merchant: "m", Firstname: mark}
	update(t, s, func(tx *store.Tx) error { return store.Put(tx, &gone) })
	update(t, s, func(tx *store.Tx) error { return store.Erase(tx, gone.ID) })
	if err := s.Copy(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(copied)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	raw, err := os.ReadFile(copied)
	if err != nil || bytes.Contains(raw, []byte(mark)) {
		t.Errorf("what was freed came along (%v)", err)
	}
	if old, err := os.Stat(path); err != nil || st.Size() > old.Size()*9/10 {
		t.Errorf("the copy has %d bytes of %d", st.Size(), old.Size())
	}
	if err := s.Copy(t.Context(), copied); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another: %v", err)
	}
	if err := s.Copy(t.Context(), path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over itself: %v", err)
	}
	if err := s.Copy(t.Context(), filepath.Join(dir, "none", "copy.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into nowhere: %v", err)
	}
	s.Close()
	if err := s.Copy(t.Context(), filepath.Join(dir, "late.db")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("of a closed store: %v", err)
	}
	if want, got := dump(t, path), dump(t, copied); fmt.Sprint(want) != fmt.Sprint(got) {
		t.Errorf("copy has %d values, the store %d", len(got), len(want))
	}
	checkPages(t, copied)
	if left, _ := filepath.Glob(filepath.Join(dir, "*.new")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestCopyIsOneMoment: while others change people and their events together, a
// copy holds both or neither.
func TestCopyIsOneMoment(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store.db"))
	fill(t, s, 500)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				p := store.Person{ID: store.NewID[store.PersonID](s0), Merchant: "m"}
				if err := s.Update(t.Context(), cause, func(tx *store.Tx) error { return enrol(tx, &p) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 5 {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := s.Copy(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		c := open(t, path)
		err := c.View(t.Context(), func(tx *store.Tx) error {
			templates, err := store.Count(tx, store.TemplatesBySpace)
			head, err2 := store.Head(tx)
			if int(head) != 500+3*templates {
				t.Errorf("%d templates and %d events", templates, head)
			}
			return errors.Join(err, err2)
		})
		if err != nil {
			t.Error(err)
		}
	}
	stop()
	wg.Wait()
}

func TestCopyIsCut(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store.db"))
	update(t, s, func(tx *store.Tx) error {
		for range 20 {
			img := store.Image{ID: store.ImageID(store.NewUUID[store.KeyID]()), Merchant: "m", Data: make([]byte, 1<<20)}
			if err := store.Put(tx, &img); err != nil {
				return err
			}
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Copy(ctx, filepath.Join(dir, "copy.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "copy*")); len(names) > 0 {
		t.Errorf("left %v", names)
	}
}

func update(t testing.TB, s *bolt.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), cause, fn); err != nil {
		t.Fatal(err)
	}
}

// s0 is a time for ids.
var s0 = time.Unix(1_700_000_000, 0)

// viewFile goes through a bbolt file.
func viewFile(t *testing.T, path string, fn func(bucket string, k, v []byte)) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error { fn(string(name), k, v); return nil })
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}
