package bolt

import (
	"bytes"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
)

// kv reads from a bbolt transaction.
type kv struct {
	tx      *bbolt.Tx
	buckets map[string]*bbolt.Bucket
	broken  error        // bbolt failed in the middle: it can tell and keep nothing more
	each    func() error // nil, or called for each key of a Scan: an error ends it
}

// guard is as the function of this name, and remembers what it met.
func (v *kv) guard(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", store.ErrDamaged, p)
		v.broken = *err
	}
}

// bucket returns a bucket, nil if there is none.
func (v *kv) bucket(name string) *bbolt.Bucket {
	b, known := v.buckets[name]
	if !known {
		b = v.tx.Bucket([]byte(name))
		v.keep(name, b)
	}
	return b
}

func (v *kv) keep(name string, b *bbolt.Bucket) {
	if v.buckets == nil {
		v.buckets = map[string]*bbolt.Bucket{}
	}
	v.buckets[name] = b
}

// Get implements store.KV.
func (v *kv) Get(bucket string, key []byte) (value []byte, err error) {
	defer v.guard(&err)
	if b := v.bucket(bucket); b != nil {
		value = b.Get(key)
	}
	return value, nil
}

// Put is not called: a View has no cause to change anything.
func (v *kv) Put(string, []byte, []byte) error { return store.ErrReadOnly }

// Delete is not called, as Put.
func (v *kv) Delete(string, []byte) error { return store.ErrReadOnly }

// Scan implements store.KV. Only the steps of the cursor are guarded, so that a
// panic of fn stays one.
func (v *kv) Scan(bucket string, r store.Range, fn func(k, v []byte) (bool, error)) error {
	c, err := v.cursor(bucket)
	if c == nil {
		return err
	}
	for first := true; ; first = false {
		k, value, err := v.step(c, r, first)
		if err == nil && v.each != nil {
			err = v.each()
		}
		if err != nil || k == nil {
			return err
		}
		if more, err := fn(k, value); err != nil || !more {
			return err
		}
	}
}

func (v *kv) cursor(bucket string) (c *bbolt.Cursor, err error) {
	defer v.guard(&err)
	if b := v.bucket(bucket); b != nil {
		c = b.Cursor()
	}
	return c, nil
}

// step moves a cursor to the next key of a range; nil is its end.
func (v *kv) step(c *bbolt.Cursor, r store.Range, first bool) (k, value []byte, err error) {
	defer v.guard(&err)
	switch {
	case !first && r.Reverse:
		k, value = c.Prev()
	case !first:
		k, value = c.Next()
	case !r.Reverse && r.From == nil:
		k, value = c.First()
	case !r.Reverse:
		k, value = c.Seek(r.From)
	case r.To == nil:
		k, value = c.Last()
	default:
		if k, _ = c.Seek(r.To); k == nil {
			k, value = c.Last()
		} else {
			k, value = c.Prev()
		}
	}
	if k == nil || r.Reverse && bytes.Compare(k, r.From) < 0 ||
		!r.Reverse && r.To != nil && bytes.Compare(k, r.To) >= 0 {
		return nil, nil, nil
	}
	return k, value, nil
}

// Buckets implements store.KV.
func (v *kv) Buckets() (names []string, err error) {
	defer v.guard(&err)
	err = v.tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
		names = append(names, string(name))
		return nil
	})
	return names, err
}

// batch is a bbolt transaction that several Updates share. What each changes is
// noted with what was there before, so that it alone can be taken back; buckets
// that it made stay, empty.
type batch struct {
	kv
	undo  []undo
	size  int        // bytes put
	group []*request // who had a turn
}

type undo struct {
	bucket string
	key    []byte
	value  []byte // nil: there was none
}

// appended names the buckets whose keys come in ascending order, of each box in one of
// its own, so that their pages can be filled: half the size of the file.
var appended = map[string]bool{"record.event": true, "personal": true, "record.foreign": true, "personal.foreign": true}

// Put implements store.KV.
func (b *batch) Put(bucket string, key, value []byte) error {
	return b.change(bucket, key, value)
}

// Delete implements store.KV.
func (b *batch) Delete(bucket string, key []byte) error {
	return b.change(bucket, key, nil)
}

// change puts value, or deletes the key where it is nil.
func (b *batch) change(bucket string, key, value []byte) (err error) {
	defer b.guard(&err)
	bb, err := b.writable(bucket)
	if err != nil {
		return err
	}
	before := bb.Get(key) // good until the transaction ends, as long as it can be taken back
	if value == nil {
		if before == nil {
			return nil
		}
		err = bb.Delete(key)
	} else {
		err = bb.Put(key, value)
	}
	if err == nil {
		b.size += len(key) + len(value)
		b.undo = append(b.undo, undo{bucket, bytes.Clone(key), before})
	}
	return err
}

func (b *batch) writable(name string) (*bbolt.Bucket, error) {
	bb := b.bucket(name)
	if bb == nil {
		var err error
		if bb, err = b.tx.CreateBucket([]byte(name)); err != nil {
			return nil, err
		}
		b.keep(name, bb)
	}
	if appended[name] {
		bb.FillPercent = 0.9
	}
	return bb, nil
}

// back takes back all changes since the first n.
func (b *batch) back(n int) (err error) {
	defer b.guard(&err)
	for i := len(b.undo) - 1; i >= n; i-- {
		u := b.undo[i]
		bb := b.bucket(u.bucket)
		if u.value == nil {
			err = bb.Delete(u.key)
		} else {
			err = bb.Put(u.key, u.value)
		}
		if err != nil {
			return err
		}
	}
	b.undo = b.undo[:n]
	return nil
}
