package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestTree grows trees leaf by leaf and by subtrees, and holds their roots
// against those of the tlog package.
func TestTree(t *testing.T) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (hs []tlog.Hash, err error) {
		for _, i := range at {
			hs = append(hs, stored[i])
		}
		return hs, nil
	})
	const n = 70
	var tree Tree
	sizes := []Tree{tree}
	for i := range n {
		raw := fmt.Appendf(nil, "event %d", i)
		hs, err := tlog.StoredHashes(int64(i), raw, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hs...)
		tree.Append(LeafHash(raw))
		sizes = append(sizes, tree)
	}
	for size, tree := range sizes {
		want, err := tlog.TreeHash(int64(size), reader)
		if err != nil || tree.Root() != want || tree.Size() != uint64(size) {
			t.Errorf("%d events: root %v of %d, %v, want %v", size, tree.Root(), tree.Size(), err, want)
		}
		again := Tree{}
		b, _ := tree.MarshalBinary()
		if err := again.UnmarshalBinary(b); err != nil || again.Root() != want {
			t.Errorf("%d events: read again with root %v, %v", size, again.Root(), err)
		}
		// On to the end by the largest subtrees that fit.
		for at := uint64(size); at < n; at = again.Size() {
			level := min(bits.TrailingZeros64(at), bits.Len64(n-at)-1)
			again.AppendSubtree(level, stored[tlog.StoredHashIndex(level, int64(at>>level))])
		}
		if again.Root() != sizes[n].Root() {
			t.Errorf("from %d events by subtrees: root %v", size, again.Root())
		}
	}
}

// FuzzTree: bytes are refused, or are a tree that is written as it was read.
func FuzzTree(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 8))
	f.Add(append(binary.BigEndian.AppendUint64(nil, 5), make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var tree Tree
		if err := tree.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("error %v, want ErrDamaged", err)
			}
			return
		}
		if again, _ := tree.MarshalBinary(); string(again) != string(b) {
			t.Fatalf("%x is written as %x", b, again)
		}
		if tree.size < 1<<63 { // where there is room for one more
			tree.Append(tree.Root())
		}
	})
}

// TestPlantTree takes a journal to schema 3, whole, trimmed at its beginning,
// and with a gap.
func TestPlantTree(t *testing.T) {
	var planted, want Tree
	for name, tt := range map[string]struct {
		gone []uint64
		ok   bool
	}{
		"whole": {nil, true}, "trimmed": {[]uint64{1, 2}, true}, "gap": {[]uint64{3}, false},
		"end missing": {[]uint64{5}, false}, "all missing": {[]uint64{1, 2, 3, 4, 5}, false},
	} {
		m := newMemory()
		l := prepare(t, m, nil)
		write(t, l, m, func(tx *Tx) (err error) {
			for range 5 {
				if _, err = Append(tx, Event{Kind: EventSystem}, nil); err != nil {
					return err
				}
			}
			want, err = JournalTree(tx)
			return err
		})
		for _, seq := range tt.gone {
			delete(m.buckets[recordBucket(KindEvent)], string(seqKey(seq)))
		}
		m.buckets[metaBucket][headKey] = seqKey(5)
		err := l.plantTree(m)
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if err := planted.UnmarshalBinary(m.buckets[metaBucket][headKey]); tt.ok && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if tt.ok && (planted.Root() == want.Root()) != (tt.gone == nil) {
			t.Errorf("%s: root %v, of the whole journal %v", name, planted.Root(), want.Root())
		}
	}
}
