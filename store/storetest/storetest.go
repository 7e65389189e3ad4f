// Package storetest is what every implementation of store.Store has to pass.
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Open {
//			path := filepath.Join(t.TempDir(), "store.db")
//			return func() (store.Store, error) { return bolt.Open(path, options) }
//		})
//	}
//
// It covers what the interface and the functions over it promise. What only one
// backend can promise, such as durability and what it does with damaged files,
// is tested beside the backend.
package storetest

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
)

// Open opens the same store each time; only one at a time is open.
type Open func() (store.Store, error)

// New returns the means to open a store that is empty at first, in the sandbox
// environment.
type New func(t *testing.T) Open

var (
	seedFlag  = flag.Int64("store.seed", 0, "seed of the random operations; 0: a new one each time")
	stepsFlag = flag.Int("store.steps", 400, "number of random operations")
)

// Run runs the suite, each test on a store of its own.
func Run(t *testing.T, open New) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Record", recordTests},
		{"Index", indexTests},
		{"Journal", journalTests},
		{"Erase", eraseTests},
		{"Tx", txTests},
		{"Watch", watchTests},
		{"Check", checkTests},
		{"Model", modelTests},
		{"Sync", syncTests},
	} {
		for _, tt := range group.tests {
			t.Run(group.name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				s := &suite{T: t, open: open(t), fresh: open}
				s.reopen()
				t.Cleanup(func() { s.Close() })
				tt.run(s)
			})
		}
	}
}

type test struct {
	name string
	run  func(*suite)
}

// suite is a test with its store, and with helpers that end the test on errors.
type suite struct {
	*testing.T
	store.Store
	open  Open
	fresh New // for tests with several stores
}

// reopen closes the store, if it is open, and opens it again.
func (s *suite) reopen() {
	s.Helper()
	if s.Store != nil {
		if err := s.Close(); err != nil {
			s.Fatalf("close: %v", err)
		}
	}
	var err error
	if s.Store, err = s.open(); err != nil {
		s.Fatalf("open: %v", err)
	}
}

var cause = store.Cause{
	Actor:   store.Actor{Kind: store.ActorSystem, ID: "storetest"},
	Request: "3c1f9c1e-6d0c-4f4e-8a52-6f9f5d1e7a10",
}

// update must succeed.
func (s *suite) update(fn func(tx *store.Tx) error) {
	s.Helper()
	if err := s.Update(s.Context(), cause, fn); err != nil {
		s.Fatalf("update: %v", err)
	}
}

// view must succeed.
func (s *suite) view(fn func(tx *store.Tx) error) {
	s.Helper()
	if err := s.View(s.Context(), fn); err != nil {
		s.Fatalf("view: %v", err)
	}
}

// head returns the number of the last event.
func (s *suite) head() (n uint64) {
	s.Helper()
	s.view(func(tx *store.Tx) (err error) {
		n, err = store.Head(tx)
		return err
	})
	return n
}

// put stores a record in an Update of its own; it must succeed.
func put[T any, ID ~string, P store.Record[T, ID]](s *suite, rec P) {
	s.Helper()
	s.update(func(tx *store.Tx) error { return store.Put(tx, rec) })
}

// get reads a record in a View of its own.
func get[T any, ID ~string, P store.Record[T, ID]](s *suite, id ID) (rec T, err error) {
	err = s.View(s.Context(), func(tx *store.Tx) error {
		rec, err = store.Get[T, ID, P](tx, id)
		return err
	})
	return rec, err
}

// list reads one page in a View of its own; it must succeed.
func list[T any, P store.Listed[T]](s *suite, ix store.Index[T], q store.Query[T]) (page store.Page[T]) {
	s.Helper()
	s.view(func(tx *store.Tx) (err error) {
		page, err = store.List[T, P](tx, ix, q)
		return err
	})
	return page
}

var start = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// newPerson makes one whose fields are all unique to n.
func newPerson(m store.MerchantID, n int) store.Person {
	return store.Person{
		ID:         store.NewID[store.PersonID](start),
		Merchant:   m,
		Firstname:  fmt.Sprintf("Ada%d", n),
		Lastname:   "Lovelace",
		Email:      fmt.Sprintf("ada%d@example.org", n),
		ExternalID: fmt.Sprintf("hr-%d", n),
		Status:     store.PersonRegistered,
	}
}

func newMerchantID() store.MerchantID { return store.NewID[store.MerchantID](start) }
