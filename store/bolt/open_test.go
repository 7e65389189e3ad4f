package bolt_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

var options = bolt.Options{Environment: store.Sandbox, NoSync: true, LockTimeout: 100 * time.Millisecond}

func open(t testing.TB, path string) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "lib")
	path := bolt.Path(dir, store.Sandbox)
	if err := os.MkdirAll(filepath.Dir(filepath.Dir(dir)), 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	for p := path; p != filepath.Dir(filepath.Dir(dir)); p = filepath.Dir(p) {
		st, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[st.IsDir()]; st.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", p, st.Mode().Perm(), want)
		}
	}
	if names, _ := filepath.Glob(path + "*"); len(names) != 1 {
		t.Errorf("left %v", names)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	again := open(t, path)
	if again.Info() != s.Info() {
		t.Errorf("reopened as %+v, want %+v", again.Info(), s.Info())
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600 again", st.Mode(), err)
	}
}

// TestCutCreation: what a cut left of a new store is no store, and in nobody's way.
func TestCutCreation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestRefused(t *testing.T) {
	write := func(content string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
		opt  bolt.Options
		want error
		hint string
	}{
		{"empty file", write(""), options, store.ErrDamaged, "backup"},
		{"short text", write("hello"), options, store.ErrForeign, ""},
		{"long text", write(strings.Repeat("hello ", 10_000)), options, store.ErrForeign, ""},
		{"zeros", write(strings.Repeat("\x00", 1<<16)), options, store.ErrForeign, ""},
		{"directory", func(t *testing.T, path string) { os.Mkdir(path, 0o700) }, options, store.ErrForeign, "regular"},
		{"bbolt file of something else", foreign, options, store.ErrForeign, "something else"},
		{"other environment", sandbox, bolt.Options{Environment: store.Production}, store.ErrForeign, "sandbox"},
		{"no environment", sandbox, bolt.Options{}, nil, "environment"},
		{"missing", func(*testing.T, string) {}, bolt.Options{Environment: store.Sandbox, MustExist: true}, fs.ErrNotExist, ""},
		{"cut off", func(t *testing.T, path string) {
			sandbox(t, path)
			truncate(t, path, 3*4096)
		}, options, store.ErrDamaged, "end"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			tt.make(t, path)
			before, _ := os.ReadFile(path)
			s, err := bolt.Open(path, tt.opt)
			if err == nil {
				s.Close()
				t.Fatal("was opened")
			}
			if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.hint) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q, want %v with %q and the path", err, tt.want, tt.hint)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

// sandbox makes a store with some people.
func sandbox(t *testing.T, path string) {
	t.Helper()
	s := open(t, path)
	fill(t, s, 60)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func fill(t testing.TB, s *bolt.Store, people int) {
	t.Helper()
	err := s.Update(t.Context(), cause, func(tx *store.Tx) error {
		for i := range people {
			p := store.Person{ID: store.PersonID(fmt.Sprintf("%024x", i)), Merchant: "m", Email: fmt.Sprint(i)}
			if err := store.Put(tx, &p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func foreign(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("theirs"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	_, err := bolt.Open(path, options)
	if !errors.Is(err, store.ErrLocked) {
		t.Fatalf("error %v, want ErrLocked", err)
	}
	if _, ok := os.Stat("/proc/locks"); ok == nil && !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("error %q does not name process %d", err, os.Getpid())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	if _, err := bolt.Lock(path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("an open store: error %v, want ErrLocked", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err := bolt.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path, options); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a locked store: error %v, want ErrLocked", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	if _, err := bolt.Lock(path + "s"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing store: error %v", err)
	}
}
