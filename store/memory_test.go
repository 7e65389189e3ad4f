package store

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// memory is a KV whose bytes a test can look at. It takes nothing back.
type memory struct {
	buckets map[string]map[string][]byte
	puts    int // allowed until they fail; negative: any number
}

var _ KV = (*memory)(nil)

var errFull = errors.New("full")

func newMemory() *memory { return &memory{buckets: map[string]map[string][]byte{}, puts: -1} }

func (m *memory) Get(bucket string, key []byte) ([]byte, error) {
	return m.buckets[bucket][string(key)], nil
}

func (m *memory) Put(bucket string, key, value []byte) error {
	if m.puts == 0 {
		return errFull
	}
	m.puts--
	if m.buckets[bucket] == nil {
		m.buckets[bucket] = map[string][]byte{}
	}
	m.buckets[bucket][string(key)] = value
	return nil
}

func (m *memory) Delete(bucket string, key []byte) error {
	delete(m.buckets[bucket], string(key))
	return nil
}

func (m *memory) Scan(bucket string, r Range, fn func(k, v []byte) (bool, error)) error {
	keys := slices.Sorted(maps.Keys(m.buckets[bucket]))
	if r.Reverse {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if bytes.Compare([]byte(k), r.From) < 0 || r.To != nil && bytes.Compare([]byte(k), r.To) >= 0 {
			continue
		}
		if more, err := fn([]byte(k), m.buckets[bucket][k]); err != nil || !more {
			return err
		}
	}
	return nil
}

func (m *memory) Buckets() ([]string, error) { return slices.Sorted(maps.Keys(m.buckets)), nil }

// dump is everything there is, for searching.
func (m *memory) dump() string {
	var b strings.Builder
	for bucket, kvs := range m.buckets {
		for k, v := range kvs {
			b.WriteString(bucket + "\n" + k + "\n" + string(v) + "\n")
		}
	}
	return b.String()
}

var testCause = Cause{Actor: Actor{Kind: ActorSystem, ID: "test"}}

// prepare makes a store in m.
func prepare(t testing.TB, m *memory, s Sealer) *Layout {
	t.Helper()
	l, err := Prepare(m, Options{Environment: Sandbox, Sealer: s})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// write runs fn in a transaction that must succeed.
func write(t testing.TB, l *Layout, m *memory, fn func(tx *Tx) error) {
	t.Helper()
	tx, err := l.Write(m, testCause)
	if err == nil {
		err = fn(tx)
	}
	if err == nil {
		_, err = tx.Finish()
	}
	if err != nil {
		t.Fatal(err)
	}
}
