package bolt

import (
	"bufio"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
)

var cause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}

func openTemp(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "store.db"), Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// commits counts the transactions that bbolt has committed.
func commits(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestGroup holds the writer until many wait: they share a commit.
func TestGroup(t *testing.T) {
	s := openTemp(t)
	const waiters = 100
	before := commits(t, s)
	var wg sync.WaitGroup
	site := func(i int) *store.Site { return &store.Site{ID: store.SiteID(fmt.Sprint(i)), Merchant: "m"} }
	err := s.Update(t.Context(), cause, func(tx *store.Tx) error {
		for i := range waiters {
			wg.Go(func() {
				err := s.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, site(i)) })
				if err != nil {
					t.Error(err)
				}
			})
		}
		for len(s.queue) < waiters {
			time.Sleep(time.Millisecond)
		}
		return store.Put(tx, site(waiters))
	})
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if n := commits(t, s) - before; n != 1 {
		t.Errorf("%d commits, want 1 for all", n)
	}
}

// TestNothingToCommit: who changes nothing does not make the disk work.
func TestNothingToCommit(t *testing.T) {
	s := openTemp(t)
	before := commits(t, s)
	fail := errors.New("fail")
	for _, want := range []error{nil, fail} {
		err := s.Update(t.Context(), cause, func(tx *store.Tx) error {
			if want != nil {
				if err := store.Put(tx, &store.Site{ID: "s", Merchant: "m"}); err != nil {
					return err
				}
			}
			return want
		})
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	}
	if n := commits(t, s) - before; n != 0 {
		t.Errorf("%d commits, want none", n)
	}
}

// TestLongView: the file outgrows many a map while a View stays open, and the
// writer does not wait for it.
func TestLongView(t *testing.T) {
	s := openTemp(t)
	err := s.View(t.Context(), func(view *store.Tx) error {
		for i := range 20 {
			image := &store.Image{ID: store.ImageID(fmt.Sprint(i)), Merchant: "m", Person: "p", Data: make([]byte, 1<<20)}
			err := s.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, image) })
			if err != nil {
				return err
			}
		}
		n, err := store.Count(view, store.ImagesByPerson)
		if n != 0 {
			t.Errorf("the View sees %d images that came later", n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFindLock(t *testing.T) {
	const locks = `1: POSIX  ADVISORY  READ  700 fe:01:42 128 128
2: FLOCK  ADVISORY  WRITE 812 fe:01:142 0 EOF
3: -> FLOCK  ADVISORY  WRITE 900 fe:01:42 0 EOF
4: FLOCK  ADVISORY  WRITE 813 00:2a:42 0 EOF
5: FLOCK
`
	for inode, want := range map[uint64]int{42: 813, 142: 812, 2: 0} {
		if got := findLock(bufio.NewScanner(strings.NewReader(locks)), inode); got != want {
			t.Errorf("inode %d is locked by %d, want %d", inode, got, want)
		}
	}
}

// TestFail: a full disk passes, anything else stops the store.
func TestFail(t *testing.T) {
	s := openTemp(t)
	put := func(id store.SiteID) error {
		return s.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &store.Site{ID: id, Merchant: "m"}) })
	}
	if err := s.fail(fmt.Errorf("write: %w", syscall.ENOSPC)); !errors.Is(err, store.ErrCommit) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("full: error %v", err)
	}
	if err := put("a"); err != nil {
		t.Errorf("after a full disk: %v", err)
	}
	if err := s.fail(syscall.EIO); !errors.Is(err, store.ErrCommit) {
		t.Errorf("broken: error %v", err)
	}
	if err := put("b"); !errors.Is(err, store.ErrCommit) || !errors.Is(err, syscall.EIO) {
		t.Errorf("after a broken disk: error %v, want ErrCommit and EIO", err)
	}
	err := s.View(t.Context(), func(tx *store.Tx) error {
		_, err := store.Get[store.Site](tx, store.SiteID("a"))
		return err
	})
	if err != nil {
		t.Errorf("reading after a broken disk: %v", err)
	}
}
