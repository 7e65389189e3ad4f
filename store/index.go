package store

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Index is an order over the records of type T, or, where it is unique, a way to
// the one that has a value. The indexes there are stand in schema.go.
type Index[T any] struct {
	name   string
	unique string // the field whose value no two records share; empty: not unique
}

// Term is one component of an index key. The zero Term is none.
type Term struct {
	b    []byte
	hide bool
}

// Plain is a term that may be read by whoever has the file: an id, a fixed word.
func Plain[S ~string](s S) Term { return Term{b: escape([]byte(s))} }

// Hidden is a term that only its keyed hash may be known of. It can be found, but
// has no order.
func Hidden[S ~string](s S) Term { return Term{b: []byte(s), hide: true} }

// Moment is a time; times are kept to the nanosecond from 1970 to 2262.
func Moment(t time.Time) Term {
	if t.IsZero() {
		return Number(0)
	}
	return Number(uint64(max(0, t.UnixNano())))
}

// Number is a number.
func Number(n uint64) Term { return Term{b: binary.BigEndian.AppendUint64(nil, n)} }

// escape ends s so that no term is the beginning of another and the order of the
// terms is that of the strings: 00 becomes 00 ff, and 00 01 ends it.
func escape(s []byte) []byte {
	out := make([]byte, 0, len(s)+2)
	for _, c := range s {
		if out = append(out, c); c == 0 {
			out = append(out, 0xff)
		}
	}
	return append(out, 0, 1)
}

// entry is one line in an index.
type entry struct {
	index  string
	unique string
	terms  []Term
}

// same says whether two make the same line.
func (a entry) same(b entry) bool {
	return a.index == b.index && slices.EqualFunc(a.terms, b.terms, func(x, y Term) bool {
		return x.hide == y.hide && bytes.Equal(x.b, y.b)
	})
}

func (ix Index[T]) entry(terms ...Term) entry { return entry{ix.name, ix.unique, terms} }

func indexBucket(name string) string { return "index." + name }

// encode joins terms to the bytes they have in the index called name.
func (tx *Tx) encode(name string, terms []Term) []byte {
	var b []byte
	for _, t := range terms {
		if t.hide {
			b = append(b, tx.layout.sealer.Blind(name, b, t.b)...)
		} else {
			b = append(b, t.b...)
		}
	}
	return b
}

// Cursor is a place in a listing: where the next page begins. It is opaque, safe
// to hand out, and stays good while records come and go.
type Cursor string

// Query asks for a part of an index.
type Query[T any] struct {
	Prefix   []Term // the first terms that all records must have
	From, To Term   // bounds of the term after Prefix, To exclusive; zero: none
	Reverse  bool   // from the last to the first
	Cursor   Cursor // where the page before ended; empty: at the beginning
	Skip     int    // leave out so many that would be listed
	Limit    int    // at most so many; 0 means 100

	// Keep chooses among the records, by reading each. A page then ends as well
	// when Budget records (0 means 5000) were read, short or even empty, with a
	// cursor to go on from.
	Keep   func(*T) bool
	Budget int
}

// Page is a part of a listing. Next is empty when nothing follows.
type Page[T any] struct {
	Items []T
	Next  Cursor
}

// Listed holds the types that have indexes: the records, and Event.
type Listed[T any] interface {
	*T
	kind() Kind
}

// List returns a page of an index. The error is ErrCursor for a bad cursor.
func List[T any, P Listed[T]](tx *Tx, ix Index[T], q Query[T]) (Page[T], error) {
	var page Page[T]
	prefix := tx.encode(ix.name, q.Prefix)
	r, err := q.span(prefix)
	if err != nil {
		return page, err
	}
	limit, budget := orElse(q.Limit, 100), orElse(q.Budget, 5000)
	var last []byte
	err = tx.scan(indexBucket(ix.name), r, func(k, id []byte) (bool, error) {
		if len(page.Items) == limit || budget == 0 {
			page.Next = Cursor(base64.RawURLEncoding.EncodeToString(last[len(prefix):]))
			return false, nil
		}
		last = append(last[:0], k...)
		if q.Keep == nil && q.Skip > 0 {
			q.Skip--
			return true, nil
		}
		var rec T
		if err := tx.load(P(&rec).kind(), string(id), P(&rec)); errors.Is(err, ErrErased) {
			return true, nil
		} else if err != nil {
			return false, fmt.Errorf("follow index %s: %w", ix.name, dangling(err))
		}
		if q.Keep != nil {
			budget--
			if !q.Keep(&rec) {
				return true, nil
			}
			if q.Skip > 0 {
				q.Skip--
				return true, nil
			}
		}
		page.Items = append(page.Items, rec)
		return true, nil
	})
	if err != nil {
		return Page[T]{}, err
	}
	return page, nil
}

// span turns the bounds of a query into those of a scan.
func (q *Query[T]) span(prefix []byte) (Range, error) {
	r := Range{From: prefix, To: after(prefix), Reverse: q.Reverse}
	if q.From.b != nil {
		r.From = append(bytes.Clone(prefix), q.From.b...)
	}
	if q.To.b != nil {
		r.To = append(bytes.Clone(prefix), q.To.b...)
	}
	if q.Cursor == "" {
		return r, nil
	}
	rest, err := base64.RawURLEncoding.DecodeString(string(q.Cursor))
	if err != nil || len(rest) == 0 {
		return r, ErrCursor
	}
	at := append(bytes.Clone(prefix), rest...)
	if bytes.Compare(at, r.From) < 0 || r.To != nil && bytes.Compare(at, r.To) >= 0 {
		return r, ErrCursor
	}
	if q.Reverse {
		r.To = at
	} else {
		r.From = append(at, 0)
	}
	return r, nil
}

// after returns the first key behind all that begin with prefix; nil: none is.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// All runs over the records of an index that have the terms of prefix, in order.
// The records must not be changed meanwhile. It ends after an error, unless that is
// a RecordError and the caller goes on.
func All[T any, P Listed[T]](tx *Tx, ix Index[T], prefix ...Term) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		from := tx.encode(ix.name, prefix)
		err := tx.scan(indexBucket(ix.name), Range{From: from, To: after(from)}, func(_, id []byte) (bool, error) {
			var rec T
			if err := tx.load(P(&rec).kind(), string(id), P(&rec)); errors.Is(err, ErrErased) {
				return true, nil
			} else if err != nil {
				var none T
				err := &RecordError{P(&rec).kind(), string(id), fmt.Errorf("follow index %s: %w", ix.name, dangling(err))}
				return yield(none, err), nil
			}
			return yield(rec, nil), nil
		})
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}

// Find returns the record with a value of a unique index, or ErrNotFound.
func Find[T any, P Listed[T]](tx *Tx, ix Index[T], terms ...Term) (T, error) {
	var rec T
	id, err := tx.get(indexBucket(ix.name), tx.encode(ix.name, terms))
	if err != nil {
		return rec, err
	}
	if id == nil || ix.unique == "" {
		return rec, fmt.Errorf("find %s: %w", P(&rec).kind(), ErrNotFound)
	}
	err = tx.load(P(&rec).kind(), string(id), P(&rec))
	if err != nil {
		return rec, fmt.Errorf("follow index %s: %w", ix.name, dangling(err))
	}
	return rec, nil
}

// Count returns how many records of an index have the terms of prefix. It reads
// that part of the index, not the records.
func Count[T any](tx *Tx, ix Index[T], prefix ...Term) (int, error) {
	n, from := 0, tx.encode(ix.name, prefix)
	err := tx.scan(indexBucket(ix.name), Range{From: from, To: after(from)}, func(_, _ []byte) (bool, error) {
		n++
		return true, nil
	})
	return n, err
}

// Numbers returns the numbers of the events that a query asks for, in the order of
// the index; its cursor, limit and choice do not count. It reads the index alone.
func Numbers(tx *Tx, ix Index[Event], q Query[Event]) (seqs []uint64, err error) {
	q.Cursor = ""
	r, err := q.span(tx.encode(ix.name, q.Prefix))
	if err != nil {
		return nil, err
	}
	err = tx.scan(indexBucket(ix.name), r, func(_, id []byte) (bool, error) {
		seq, err := parseSeq(id)
		seqs = append(seqs, seq)
		return true, err
	})
	return seqs, err
}

// dangling turns the absence of what an index points at into damage. Those who
// were erased after the View began are absent rightly.
func dangling(err error) error {
	if isNotFound(err) && !errors.Is(err, ErrErased) {
		return fmt.Errorf("%w: points at nothing", ErrDamaged)
	}
	return err
}

func orElse(n, byDefault int) int {
	if n <= 0 {
		return byDefault
	}
	return n
}
