package seal_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// Each benchmark measures a sealed store and one in the clear by turns, so that
// the ratio means something on a machine that does other things too:
//
//	go test -run '^$' -bench . ./store/seal

// pair is a store in the clear and a sealed one.
type pair [2]*bolt.Store

func openPair(b *testing.B, noSync bool) (p pair) {
	b.Helper()
	for i := range p {
		dir := filepath.Join(b.TempDir(), "data")
		opt := bolt.Options{Environment: store.Sandbox}
		if i == 1 {
			opt = sealedOptions(dir)
		}
		opt.NoSync = noSync
		s, err := bolt.Open(bolt.Path(dir, store.Sandbox), opt)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		p[i] = s
	}
	return p
}

// byTurns runs op on both until b has enough, and reports the times and their
// ratio.
func (p pair) byTurns(b *testing.B, op func(s *bolt.Store) error) {
	var spent [2]time.Duration
	n := 0
	for b.Loop() {
		n++
		for i, s := range p {
			start := time.Now()
			if err := op(s); err != nil {
				b.Fatal(err)
			}
			spent[i] += time.Since(start)
		}
	}
	b.ReportMetric(float64(spent[0].Microseconds())/float64(n), "clear-µs/op")
	b.ReportMetric(float64(spent[1].Microseconds())/float64(n), "sealed-µs/op")
	b.ReportMetric(float64(spent[1])/float64(spent[0]), "sealed/clear")
}

// BenchmarkGallery loads the templates of 10,000 people, as a box does when it
// starts.
func BenchmarkGallery(b *testing.B) {
	const people = 10_000
	p := openPair(b, true)
	for _, s := range p {
		err := s.Update(b.Context(), cause, func(tx *store.Tx) error {
			for range people {
				p := store.NewID[store.PersonID](tx.Time())
				t := store.Template{ID: store.NewTemplateID(p, "x"), Merchant: "m", Person: p, Space: "x", Vector: make([]float32, 256)}
				if err := store.Put(tx, &t); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	p.byTurns(b, func(s *bolt.Store) error {
		n := 0
		return s.View(b.Context(), func(tx *store.Tx) error {
			for _, err := range store.All(tx, store.TemplatesBySpace, store.Plain("m"), store.Plain("x")) {
				if err != nil {
					return err
				}
				n++
			}
			if n != people {
				return fmt.Errorf("%d people", n)
			}
			return nil
		})
	})
}

// BenchmarkDurable makes durable changes: of records of nobody, and of new
// people, each of whom needs a key that is durable before.
func BenchmarkDurable(b *testing.B) {
	changes := map[string]func(tx *store.Tx) error{
		"site": func(tx *store.Tx) error {
			return store.Put(tx, &store.Site{ID: store.NewID[store.SiteID](tx.Time()), Merchant: "m"})
		},
		"person": func(tx *store.Tx) error {
			return store.Put(tx, &store.Person{ID: store.NewID[store.PersonID](tx.Time()), Merchant: "m"})
		},
	}
	for _, name := range []string{"site", "person"} {
		for _, writers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/writers=%d", name, writers), func(b *testing.B) {
				p := openPair(b, false)
				p.byTurns(b, func(s *bolt.Store) error { return burst(b, s, writers, 4*writers, changes[name]) })
			})
		}
	}
}

// burst makes so many changes by so many writers.
func burst(b *testing.B, s *bolt.Store, writers, changes int, fn func(*store.Tx) error) error {
	var n atomic.Int64
	done := make(chan error, writers)
	for range writers {
		go func() {
			var err error
			for err == nil && n.Add(1) <= int64(changes) {
				err = s.Update(b.Context(), cause, fn)
			}
			done <- err
		}()
	}
	var err error
	for range writers {
		if e := <-done; e != nil {
			err = e
		}
	}
	return err
}

// BenchmarkErase erases one of 10,000 people: the keyring is written anew.
func BenchmarkErase(b *testing.B) {
	p := openPair(b, false)
	ids := [2][]store.PersonID{}
	for i, s := range p {
		err := s.Update(b.Context(), cause, func(tx *store.Tx) error {
			for range 10_000 {
				p := store.Person{ID: store.NewID[store.PersonID](tx.Time()), Merchant: "m"}
				ids[i] = append(ids[i], p.ID)
				if err := store.Put(tx, &p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	p.byTurns(b, func(s *bolt.Store) error {
		i := 0
		if s == p[1] {
			i = 1
		}
		id := ids[i][0]
		ids[i] = ids[i][1:]
		return s.Update(b.Context(), cause, func(tx *store.Tx) error { return store.Erase(tx, id) })
	})
}
