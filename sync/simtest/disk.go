package simtest

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/cypherface/edge/store"
)

// disk is a KV in memory that loses what was not synced. Updates see what was
// committed, Views what was synced, as those of store/bolt do.
type disk struct {
	synced *image // what a crash leaves
	latest *image
	log    [][]op // commits that are not synced, in order
}

// op is one change of a key; nil removes it.
type op struct {
	bucket, key string
	value       []byte
}

// image is an ordered map in buckets.
type image struct{ buckets map[string]*table }

type table struct {
	keys   []string // sorted
	values map[string][]byte
}

func newDisk() *disk { return &disk{synced: newImage(), latest: newImage()} }

func newImage() *image { return &image{map[string]*table{}} }

func (im *image) clone() *image {
	c := newImage()
	for name, t := range im.buckets {
		c.buckets[name] = &table{slices.Clone(t.keys), maps.Clone(t.values)}
	}
	return c
}

// only is a copy of some buckets.
func (im *image) only(names ...string) *image {
	c := im.clone()
	maps.DeleteFunc(c.buckets, func(name string, _ *table) bool { return !slices.Contains(names, name) })
	return c
}

// set changes a key and returns what undoes it.
func (im *image) set(o op) (undo op) {
	t := im.buckets[o.bucket]
	if t == nil {
		t = &table{values: map[string][]byte{}}
		im.buckets[o.bucket] = t
	}
	old, there := t.values[o.key]
	undo = op{o.bucket, o.key, old}
	at, _ := slices.BinarySearch(t.keys, o.key)
	switch {
	case o.value == nil && there:
		delete(t.values, o.key)
		t.keys = slices.Delete(t.keys, at, at+1)
	case o.value != nil && !there:
		t.keys = slices.Insert(t.keys, at, o.key)
	}
	if o.value != nil {
		t.values[o.key] = o.value
	}
	return undo
}

// has says whether some bytes are anywhere in the image.
func (im *image) has(text string) (where string, found bool) {
	needle := []byte(text)
	for name, t := range im.buckets {
		for key, v := range t.values {
			if strings.Contains(key, text) || bytes.Contains(v, needle) {
				return name, true
			}
		}
	}
	return "", false
}

// kv is one transaction on an image.
type kv struct {
	im   *image
	done []op // changes so far,
	undo []op // and what takes them back
}

var _ store.KV = (*kv)(nil)

func (k *kv) Get(bucket string, key []byte) ([]byte, error) {
	if t := k.im.buckets[bucket]; t != nil {
		return t.values[string(key)], nil
	}
	return nil, nil
}

func (k *kv) Put(bucket string, key, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	k.change(op{bucket, string(key), value})
	return nil
}

func (k *kv) Delete(bucket string, key []byte) error {
	k.change(op{bucket, string(key), nil})
	return nil
}

func (k *kv) change(o op) {
	k.done = append(k.done, o)
	k.undo = append(k.undo, k.im.set(o))
}

func (k *kv) Scan(bucket string, r store.Range, fn func(key, value []byte) (bool, error)) error {
	t := k.im.buckets[bucket]
	if t == nil {
		return nil
	}
	from, _ := slices.BinarySearch(t.keys, string(r.From))
	to := len(t.keys)
	if r.To != nil {
		to, _ = slices.BinarySearch(t.keys, string(r.To))
	}
	for n := max(0, to-from); n > 0; n-- {
		at := to - n
		if r.Reverse {
			at = from + n - 1
		}
		key := t.keys[at]
		if more, err := fn([]byte(key), t.values[key]); err != nil || !more {
			return err
		}
	}
	return nil
}

func (k *kv) Buckets() ([]string, error) {
	return slices.Sorted(maps.Keys(k.im.buckets)), nil
}

// update runs a transaction on what was committed. It is durable after the next sync.
func (d *disk) update(fn func(store.KV) error) error {
	tx := &kv{im: d.latest}
	if err := fn(tx); err != nil {
		for _, o := range slices.Backward(tx.undo) {
			d.latest.set(o)
		}
		return err
	}
	d.log = append(d.log, tx.done)
	return nil
}

// view is a transaction on what was synced.
func (d *disk) view() store.KV { return &kv{im: d.synced} }

// sync makes durable what was committed.
func (d *disk) sync() {
	for _, commit := range d.log {
		for _, o := range commit {
			d.synced.set(o)
		}
	}
	d.log = nil
}

// crash loses all but the first keep commits of those that were not synced.
func (d *disk) crash(keep int) {
	d.log = d.log[:min(keep, len(d.log))]
	d.sync()
	d.latest = d.synced.clone()
}

// copy is another disk with what is durable on this one.
func (d *disk) copy() *disk { return &disk{synced: d.synced.clone(), latest: d.synced.clone()} }
