package bolt_test

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// BenchmarkDurable compares durable changes with bbolt's own Batch. A change of
// the store is more than one put: the record, its index, the event and its two
// indexes, and the head of the journal; batch does the same number of puts.
//
//	go test -bench=Durable ./store/bolt
func BenchmarkDurable(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("store/writers=%d", writers), func(b *testing.B) {
			s := openBench(b)
			parallel(b, writers, func(n uint64) error {
				return s.Update(b.Context(), cause, func(tx *store.Tx) error {
					return store.Put(tx, &store.Site{ID: store.NewID[store.SiteID](tx.Time()), Merchant: "m"})
				})
			})
		})
		b.Run(fmt.Sprintf("batch/writers=%d", writers), func(b *testing.B) {
			db, err := bbolt.Open(filepath.Join(b.TempDir(), "bare.db"), 0o600, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { db.Close() })
			parallel(b, writers, func(n uint64) error { return db.Batch(func(tx *bbolt.Tx) error { return putBare(tx, n) }) })
		})
	}
}

// putBare puts as many values of about the same size as a change of the store.
func putBare(tx *bbolt.Tx, n uint64) error {
	key := binary.BigEndian.AppendUint64(make([]byte, 16), n)
	for bucket, size := range map[string]int{"record": 170, "index": 24, "event": 330, "byMerchant": 8, "byPerson": 8, "meta": 8} {
		b, err := tx.CreateBucketIfNotExists([]byte(bucket))
		if err != nil {
			return err
		}
		if err := b.Put(key, make([]byte, size)); err != nil {
			return err
		}
	}
	return nil
}

// parallel runs op b.N times over some goroutines.
func parallel(b *testing.B, writers int, op func(n uint64) error) {
	var n atomic.Uint64
	done := make(chan error, writers)
	b.ResetTimer()
	for range writers {
		go func() {
			for {
				i := n.Add(1)
				if i > uint64(b.N) {
					done <- nil
					return
				}
				if err := op(i); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
}

func openBench(b *testing.B) *bolt.Store {
	b.Helper()
	s, err := bolt.Open(filepath.Join(b.TempDir(), "store.db"), bolt.Options{Environment: store.Sandbox})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

var cause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}

// BenchmarkGallery loads the templates of 10,000 people, as a box does when it
// starts.
func BenchmarkGallery(b *testing.B) {
	const people = 10_000
	s := open(b, filepath.Join(b.TempDir(), "store.db"))
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
	for b.Loop() {
		n := 0
		err := s.View(b.Context(), func(tx *store.Tx) error {
			for _, err := range store.All(tx, store.TemplatesBySpace, store.Plain("m"), store.Plain("x")) {
				if err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if n != people || err != nil {
			b.Fatal(n, err)
		}
	}
}
