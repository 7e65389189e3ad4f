package storetest

import (
	"sync"

	"github.com/cypherface/edge/store"
)

var watchTests = []test{{"InOrder", testWatchOrder}, {"BeforeTheAnswer", testWatchBeforeAnswer}, {"Stop", testWatchStop}}

func testWatchOrder(s *suite) {
	var seen []uint64 // only ever touched by one call at a time
	s.Watch(func(c store.Commit) {
		if len(c.Events) != 2 {
			s.Errorf("commit of %d events, want the 2 of one update", len(c.Events))
		}
		seen = append(seen, seqs(c.Events)...)
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { appendN(s, 2) })
	}
	wg.Wait()
	if len(seen) != 100 {
		s.Fatalf("saw %d events, want 100", len(seen))
	}
	for i, n := range seen {
		if n != uint64(i+1) {
			s.Fatalf("event %d came as number %d", n, i+1)
		}
	}
}

// testWatchBeforeAnswer is what a gallery in memory relies on: when Update
// returns, the watcher has seen the change, and found it in a View.
func testWatchBeforeAnswer(s *suite) {
	gallery := map[store.TemplateID][]float32{}
	s.Watch(func(c store.Commit) {
		for _, e := range c.Events {
			t, err := get[store.Template](s, store.TemplateID(e.Change.ID))
			if err != nil {
				s.Errorf("view from the watcher: %v", err)
			}
			gallery[t.ID] = t.Vector
		}
	})
	for range 10 {
		p := store.NewID[store.PersonID](start)
		t := store.Template{ID: store.NewTemplateID(p, "x"), Merchant: "m", Person: p, Space: "x", Vector: []float32{1}}
		put(s, &t)
		if gallery[t.ID] == nil {
			s.Error("the update returned before the watcher was called")
		}
	}
}

func testWatchStop(s *suite) {
	var first, second int
	stop := s.Watch(func(store.Commit) { first++ })
	s.Watch(func(store.Commit) { second++ })
	appendN(s, 1)
	stop()
	stop()
	appendN(s, 1)
	s.update(func(*store.Tx) error { return nil }) // nothing to hear of
	if first != 1 || second != 2 {
		s.Errorf("called %d and %d times, want 1 and 2", first, second)
	}
}
