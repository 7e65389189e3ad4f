package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/cypherface/edge/store"
)

var txTests = []test{
	{"Snapshot", testSnapshot},
	{"ReadsItsOwnChanges", testReadsOwn},
	{"FailureStaysAlone", testIsolation},
	{"ReadOnly", testReadOnly},
	{"Over", testOver},
	{"NoCause", testNoCause},
	{"Context", testContext},
	{"Closed", testClosed},
	{"Identity", testIdentity},
	{"Concurrency", testConcurrency},
}

func testSnapshot(s *suite) {
	p := newPerson(newMerchantID(), 1)
	put(s, &p)
	s.view(func(tx *store.Tx) error {
		q := p
		q.Phone = "changed"
		put(s, &q) // does not wait for this View
		got, err := store.Get[store.Person](tx, p.ID)
		if err != nil || got.Phone != p.Phone {
			s.Errorf("the snapshot shows %+v, %v", got, err)
		}
		return err
	})
}

func testReadsOwn(s *suite) {
	m := newMerchantID()
	s.update(func(tx *store.Tx) error {
		for i := range 5 {
			p := newPerson(m, i)
			if err := store.Put(tx, &p); err != nil {
				return err
			}
			n, err := store.Count(tx, store.PersonsByMerchant, store.Plain(m))
			if err != nil || n != i+1 {
				s.Errorf("sees %d people, %v, want %d", n, err, i+1)
			}
			if err := store.Delete[store.Person](tx, p.ID); err != nil {
				return err
			}
			if _, err := store.Get[store.Person](tx, p.ID); !errors.Is(err, store.ErrNotFound) {
				s.Errorf("get deleted person: %v", err)
			}
			p.Meta = store.Meta{}
			if err := store.Put(tx, &p); err != nil {
				return err
			}
		}
		return nil
	})
}

// testIsolation lets good Updates run among such as fail, panic and exit.
func testIsolation(s *suite) {
	m := newMerchantID()
	fail := errors.New("fail")
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil && p != fail {
					panic(p)
				}
			}()
			err := s.Update(s.Context(), cause, func(tx *store.Tx) error {
				p := newPerson(m, i)
				if err := store.Put(tx, &p); err != nil {
					return err
				}
				switch i % 4 {
				case 1:
					return fail
				case 2:
					panic(fail)
				case 3:
					runtime.Goexit()
				}
				return nil
			})
			if want := i%4 == 1; errors.Is(err, fail) != want || !want && err != nil || i%4 > 1 {
				s.Errorf("update %d: returned, error %v", i, err)
			}
		})
	}
	wg.Wait()
	s.reopen()
	page := list(s, store.PersonsByMerchant, store.Query[store.Person]{Prefix: []store.Term{store.Plain(m)}})
	good := map[string]bool{}
	for _, p := range page.Items {
		good[p.Firstname] = true
	}
	for i := range 64 {
		if name := fmt.Sprintf("Ada%d", i); good[name] != (i%4 == 0) {
			s.Errorf("person of update %d is there: %v", i, good[name])
		}
	}
	all := events(s)
	checkDense(s, all, 1)
	if len(all) != 16 {
		s.Errorf("%d events, want 16", len(all))
	}
}

func testReadOnly(s *suite) {
	p := newPerson(newMerchantID(), 1)
	q := newPerson(p.Merchant, 2)
	put(s, &p)
	s.view(func(tx *store.Tx) error {
		for name, change := range map[string]func() error{
			"put":    func() error { return store.Put(tx, &q) },
			"delete": func() error { return store.Delete[store.Person](tx, p.ID) },
			"append": func() error { _, err := store.Append(tx, store.Event{Kind: store.EventDoor}, nil); return err },
			"ack":    func() error { return store.Ack(tx, "central", 1) },
			"erase":  func() error { return store.Erase(tx, p.ID) },
			"trim": func() error {
				_, err := store.Trim(tx, 1, 1)
				return err
			},
		} {
			if err := change(); !errors.Is(err, store.ErrReadOnly) {
				s.Errorf("%s in a View: error %v, want ErrReadOnly", name, err)
			}
		}
		return nil
	})
}

func testOver(s *suite) {
	var view, update *store.Tx
	s.view(func(tx *store.Tx) error { view = tx; return nil })
	s.update(func(tx *store.Tx) error { update = tx; return nil })
	p := newPerson(newMerchantID(), 1)
	for name, use := range map[string]func() error{
		"get after view":   func() error { _, err := store.Get[store.Person](view, p.ID); return err },
		"get after update": func() error { _, err := store.Get[store.Person](update, p.ID); return err },
		"put after update": func() error { return store.Put(update, &p) },
		"list after view": func() error {
			_, err := store.List(view, store.PersonsByMerchant, store.Query[store.Person]{})
			return err
		},
	} {
		if err := use(); !errors.Is(err, store.ErrTxDone) {
			s.Errorf("%s: error %v, want ErrTxDone", name, err)
		}
	}
}

func testNoCause(s *suite) {
	err := s.Update(s.Context(), store.Cause{}, func(*store.Tx) error {
		s.Error("ran without a cause")
		return nil
	})
	if !errors.Is(err, store.ErrInvalid) {
		s.Errorf("error %v, want ErrInvalid", err)
	}
}

func testContext(s *suite) {
	ended, cancel := context.WithCancel(s.Context())
	cancel()
	never := func(*store.Tx) error { s.Error("ran although the context had ended"); return nil }
	if err := s.View(ended, never); !errors.Is(err, context.Canceled) {
		s.Errorf("view: error %v", err)
	}
	if err := s.Update(ended, cause, never); !errors.Is(err, context.Canceled) {
		s.Errorf("update: error %v", err)
	}
	// One that waits behind another is withdrawn; one that runs is finished.
	ctx, cancel := context.WithCancel(s.Context())
	running, waited := make(chan bool), make(chan error)
	p := newPerson(newMerchantID(), 1)
	go func() {
		<-running
		waited <- s.Update(ctx, cause, never)
	}()
	err := s.Update(ctx, cause, func(tx *store.Tx) error {
		running <- true
		cancel()
		if err := <-waited; !errors.Is(err, context.Canceled) {
			s.Errorf("update that waits: error %v, want Canceled", err)
		}
		return store.Put(tx, &p)
	})
	if err != nil {
		s.Errorf("update that ran: %v", err)
	}
	if _, err := get[store.Person](s, p.ID); err != nil {
		s.Error(err)
	}
}

func testClosed(s *suite) {
	p := newPerson(newMerchantID(), 1)
	var wg sync.WaitGroup
	started := make(chan bool)
	wg.Go(func() {
		err := s.Update(s.Context(), cause, func(tx *store.Tx) error {
			close(started)
			return store.Put(tx, &p)
		})
		if err != nil {
			s.Errorf("update that was under way: %v", err)
		}
	})
	<-started
	for range 2 {
		if err := s.Close(); err != nil {
			s.Errorf("close: %v", err)
		}
	}
	wg.Wait()
	never := func(*store.Tx) error { s.Error("ran in a closed store"); return nil }
	if err := s.View(s.Context(), never); !errors.Is(err, store.ErrClosed) {
		s.Errorf("view: error %v, want ErrClosed", err)
	}
	if err := s.Update(s.Context(), cause, never); !errors.Is(err, store.ErrClosed) {
		s.Errorf("update: error %v, want ErrClosed", err)
	}
	s.reopen()
	if _, err := get[store.Person](s, p.ID); err != nil {
		s.Error(err)
	}
}

func testIdentity(s *suite) {
	before := s.Info()
	if before.Environment != store.Sandbox || before.Device == "" || before.Epoch == 0 || before.Schema == 0 {
		s.Errorf("info %+v", before)
	}
	s.reopen()
	if after := s.Info(); after != before {
		s.Errorf("info %+v after reopening, want %+v", after, before)
	}
}

// testConcurrency counts in records that all writers share, while readers check
// that what belongs together is never apart.
func testConcurrency(s *suite) {
	m := newMerchantID()
	a, b := newPerson(m, 1), newPerson(m, 2)
	put(s, &a)
	put(s, &b)
	done := make(chan bool)
	var writers, readers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 20 {
				err := s.Update(s.Context(), cause, func(tx *store.Tx) error { return bump(tx, a.ID, b.ID) })
				if err != nil {
					s.Error(err)
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				err := s.View(s.Context(), func(tx *store.Tx) error {
					x, err := store.Get[store.Person](tx, a.ID)
					y, err2 := store.Get[store.Person](tx, b.ID)
					if x.Rev != y.Rev {
						s.Errorf("revisions %d and %d in one View", x.Rev, y.Rev)
					}
					return errors.Join(err, err2)
				})
				if err != nil {
					s.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	got, err := get[store.Person](s, a.ID)
	if err != nil || got.Rev != 161 || got.Phone != "160" {
		s.Errorf("revision %d, count %s, %v, want 161 and 160", got.Rev, got.Phone, err)
	}
	checkDense(s, events(s), 1)
}

// bump adds one to the number that each person has for a phone.
func bump(tx *store.Tx, ids ...store.PersonID) error {
	for _, id := range ids {
		p, err := store.Get[store.Person](tx, id)
		if err != nil {
			return err
		}
		var n int
		fmt.Sscan(p.Phone, &n)
		p.Phone = fmt.Sprint(n + 1)
		if err := store.Put(tx, &p); err != nil {
			return err
		}
	}
	return nil
}
