package audit

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"time"

	"github.com/cypherface/edge/store"
)

// Query asks for a part of the log, the newest events first. What is zero asks for
// nothing.
type Query struct {
	Merchant store.MerchantID
	Kinds    []store.EventKind
	Person   store.PersonID
	From, To time.Time // of the events; To exclusive
	Match    func(*store.Event) bool

	Cursor store.Cursor // where the page before ended; empty: at the newest
	Limit  int          // at most so many; 0 means 100
	// Budget is how many events are read for a page at most, 0 meaning 20,000: a
	// page may be short, or even empty, with a cursor to go on from.
	Budget int
}

// List returns a page of the log. The error is store.ErrCursor for a bad cursor.
// Events that retention has dropped are passed over.
func (l *Log) List(ctx context.Context, q Query) (page store.Page[store.Envelope], err error) {
	limit, budget := q.Limit, q.Budget
	if limit <= 0 {
		limit = 100
	}
	if budget <= 0 {
		budget = 20_000
	}
	at, err := parseCursor(q.Cursor)
	if err != nil {
		return page, err
	}
	for e, err := range l.backwards(ctx, &q, at) {
		if err != nil {
			return store.Page[store.Envelope]{}, fmt.Errorf("list the audit log: %w", err)
		}
		if len(page.Items) == limit || budget == 0 {
			page.Next = position{e.Epoch, e.Seq}.cursor()
			break
		}
		budget--
		if q.wants(&e.Event) {
			page.Items = append(page.Items, e)
		}
	}
	return page, nil
}

// Archived returns events of the present epoch from the one numbered from on, in order
// and without a gap, as far as they lie in one period: at most limit. None are returned
// where it lies in no period, or the period was dropped.
func (l *Log) Archived(ctx context.Context, from uint64, limit int) (all []store.Envelope, err error) {
	var p *store.Period
	err = l.Store.View(ctx, func(tx *store.Tx) error {
		of, err := periods(tx, tx.Info().Epoch)
		for i := range of {
			if of[i].From <= from && from <= of[i].To && of[i].Dropped.IsZero() {
				p = &of[i]
			}
		}
		return err
	})
	if err != nil || p == nil {
		return nil, err
	}
	f, err := openPeriod(l.Dir, p.ID, l.sealer)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // dropped meanwhile, or missing, which Verify tells
	} else if err != nil {
		return nil, err
	}
	defer f.close()
	for i := range f.index {
		b := &f.index[i]
		if b.first+uint64(b.count) <= from {
			continue
		}
		events, _, err := f.block(i)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", periodName(p.ID), err)
		}
		for _, e := range events {
			if e.Seq < from {
				continue
			}
			if len(all) == limit {
				return all, nil
			}
			all = append(all, e)
		}
	}
	return all, nil
}

// position is an event, the first of a page.
type position struct{ epoch, seq uint64 }

// At is the cursor of a page that begins with an event.
func At(epoch, seq uint64) store.Cursor { return position{epoch, seq}.cursor() }

func (p position) cursor() store.Cursor {
	b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, p.epoch), p.seq)
	return store.Cursor(base64.RawURLEncoding.EncodeToString(b))
}

func parseCursor(c store.Cursor) (position, error) {
	if c == "" {
		return position{1<<64 - 1, 1<<64 - 2}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(string(c))
	if err != nil || len(b) != 16 {
		return position{}, store.ErrCursor
	}
	return position{binary.BigEndian.Uint64(b), min(binary.BigEndian.Uint64(b[8:]), 1<<64-2)}, nil
}

// terms are groups of terms: of each, a block that matters has one.
func (q *Query) terms() (groups [][]string) {
	if q.Person != "" {
		groups = append(groups, []string{personTerm(q.Person)})
	}
	switch {
	case q.Merchant != "" && len(q.Kinds) > 0:
		var any []string
		for _, k := range q.Kinds {
			any = append(any, kindTerm(q.Merchant, k))
		}
		groups = append(groups, any)
	case q.Merchant != "":
		groups = append(groups, []string{merchantTerm(q.Merchant)})
	}
	return groups
}

func (q *Query) wants(e *store.Event) bool {
	return (q.Merchant == "" || e.Merchant == q.Merchant) &&
		(len(q.Kinds) == 0 || slices.Contains(q.Kinds, e.Kind)) &&
		(q.Person == "" || e.Person == q.Person) &&
		(q.From.IsZero() || !e.Time.Before(q.From)) && (q.To.IsZero() || e.Time.Before(q.To)) &&
		(q.Match == nil || q.Match(e))
}

// overlaps says whether a span of time can hold what is asked for.
func (q *Query) overlaps(earliest, latest time.Time) bool {
	return (q.From.IsZero() || !latest.Before(q.From)) && (q.To.IsZero() || earliest.Before(q.To))
}

// backwards runs over the log from a position to its beginning. It passes over
// blocks in which nothing can be that q asks for.
func (l *Log) backwards(ctx context.Context, q *Query, at position) iter.Seq2[store.Envelope, error] {
	return func(yield func(store.Envelope, error) bool) {
		more := true
		give := func(e store.Envelope, err error) bool { more = yield(e, err); return more && err == nil }
		var all []store.Period
		err := l.Store.View(ctx, func(tx *store.Tx) (err error) {
			for p, err := range store.All(tx, store.Periods) {
				if err != nil {
					return err
				}
				all = append(all, p)
			}
			return l.tail(tx, q, all, at, give)
		})
		if err != nil && more {
			yield(store.Envelope{}, err)
		}
		for _, p := range slices.Backward(all) {
			if err != nil || !more {
				return
			}
			if p.Epoch > at.epoch || p.Epoch == at.epoch && p.From > at.seq || !q.overlaps(p.Earliest, p.Latest) || !p.Dropped.IsZero() {
				continue
			}
			if err = ctx.Err(); err == nil {
				err = l.inPeriod(&p, q, at, give)
			}
			if err != nil && more {
				yield(store.Envelope{}, err)
			}
		}
	}
}

// tail runs over what lies in the store and in no period.
func (l *Log) tail(tx *store.Tx, q *Query, all []store.Period, at position, give func(store.Envelope, error) bool) error {
	epoch, archived := tx.Info().Epoch, uint64(0)
	if epoch > at.epoch {
		return nil
	}
	if n := len(all); n > 0 && all[n-1].Epoch == epoch {
		archived = all[n-1].To
	}
	head, err := store.Head(tx)
	if err != nil {
		return err
	}
	if epoch == at.epoch {
		head = min(head, at.seq)
	}
	if head <= archived {
		return nil
	}
	spans := [][2]uint64{{head, archived + 1}}
	if seqs, known, err := q.indexed(tx); err != nil {
		return err
	} else if known {
		spans = nil
		for _, seq := range slices.Backward(seqs) {
			if archived < seq && seq <= head {
				spans = append(spans, [2]uint64{seq, seq})
			}
		}
	}
	for _, span := range spans {
		for e, err := range store.Envelopes(tx, span[0], span[1]) {
			if !give(e, err) {
				return nil
			}
		}
	}
	return nil
}

// indexed returns the numbers, in order, of the events in the store among which
// those asked for are, where an index knows them as few.
func (q *Query) indexed(tx *store.Tx) (seqs []uint64, known bool, err error) {
	bounds := store.Query[store.Event]{}
	if !q.From.IsZero() {
		bounds.From = store.Moment(q.From)
	}
	if !q.To.IsZero() {
		bounds.To = store.Moment(q.To)
	}
	switch {
	case q.Person != "":
		bounds.Prefix = []store.Term{store.Plain(q.Person)}
		seqs, err = store.Numbers(tx, store.EventsByPerson, bounds)
	case q.Merchant != "" && len(q.Kinds) > 0 && !(q.From.IsZero() && q.To.IsZero()):
		for _, k := range q.Kinds {
			bounds.Prefix = []store.Term{store.Plain(q.Merchant), store.Plain(k)}
			some, err := store.Numbers(tx, store.EventsByMerchant, bounds)
			if err != nil {
				return nil, false, err
			}
			seqs = append(seqs, some...)
		}
	default:
		return nil, false, nil
	}
	slices.Sort(seqs)
	return slices.Compact(seqs), true, err
}

// inPeriod runs over the events of a period.
func (l *Log) inPeriod(p *store.Period, q *Query, at position, give func(store.Envelope, error) bool) error {
	f, err := openPeriod(l.Dir, p.ID, l.sealer)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // dropped meanwhile, or missing, which Verify tells
	}
	if err != nil {
		return err
	}
	defer f.close()
	groups := q.terms()
	for i := range slices.Backward(f.index) {
		b := &f.index[i]
		if p.Epoch == at.epoch && b.first > at.seq || !q.overlaps(time.Unix(0, b.earliest), time.Unix(0, b.latest)) || !b.terms.match(groups) {
			continue
		}
		events, _, err := f.block(i)
		if err != nil {
			return fmt.Errorf("read %s: %w", periodName(p.ID), err)
		}
		for _, e := range slices.Backward(events) {
			if p.Epoch == at.epoch && e.Seq > at.seq {
				continue
			}
			if !give(e, nil) {
				return nil
			}
		}
	}
	return nil
}

// match says whether each group has a term in the filter.
func (f *filter) match(groups [][]string) bool {
	for _, any := range groups {
		if !slices.ContainsFunc(any, f.has) {
			return false
		}
	}
	return true
}
