package rights

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cypherface/edge/store"
)

// Sweeper removes what has been kept for long enough. It reads some people in a
// View and removes what is due of a few in an Update, so that decisions wait for no
// more; it can be cut at any time and begins anew, as what is gone is not due again.
type Sweeper struct {
	Store store.Store
	Clock func() time.Time
	// Sure says whether the time can be relied on; while it cannot, nothing is
	// removed. Nil means that it can.
	Sure func() bool
	// Pause is between two transactions; 0 means 20 ms.
	Pause time.Duration
}

const (
	sweepRead = 256 // people in one View
	sweepDo   = 10  // people in one Update, each perhaps with many records
)

var sweepCause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "retention"}, Essential: true}

// ErrTime says that nothing is removed since the time is not known for certain.
var ErrTime = errors.New("the time is not known for certain")

// Pass goes through all people of all merchants once, and returns how much went,
// by class. What went before an error is counted and gone. The error is ErrTime
// where the time is not known, even on the way.
func (s *Sweeper) Pass(ctx context.Context) (gone map[string]int, err error) {
	gone = map[string]int{}
	merchants, err := s.merchants(ctx)
	if err != nil {
		return gone, err
	}
	for i := range merchants {
		counts, err := s.walk(ctx, &merchants[i], true)
		add(gone, counts)
		if err == nil {
			err = s.aged(ctx, &merchants[i])
		}
		if err != nil {
			return gone, fmt.Errorf("remove what was kept long enough: %w", err)
		}
	}
	return gone, nil
}

// Preview counts what a pass would remove for a merchant with this policy now.
func (s *Sweeper) Preview(ctx context.Context, m store.Merchant) (map[string]int, error) {
	return s.walk(ctx, &m, false)
}

func add(sum, more map[string]int) {
	for class, n := range more {
		sum[class] += n
	}
}

func (s *Sweeper) merchants(ctx context.Context) (list []store.Merchant, err error) {
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		for m, err := range store.All(tx, store.Merchants) {
			if err != nil {
				return err
			}
			list = append(list, m)
		}
		return nil
	})
	return list, err
}

// walk goes through the people of a merchant and what is settled about them, counts
// what is due, and where remove says so has it go.
func (s *Sweeper) walk(ctx context.Context, m *store.Merchant, remove bool) (map[string]int, error) {
	sum := map[string]int{}
	l := limitsOf(m, s.Clock())
	if remove && s.Sure != nil && !s.Sure() {
		return sum, ErrTime
	}
	for q := (store.Query[store.Person]{Prefix: []store.Term{store.Plain(m.ID)}, Limit: sweepRead}); ; {
		due, counts, err := s.read(ctx, &l, &q)
		if err == nil && remove {
			counts, err = s.remove(ctx, &l, due)
		}
		add(sum, counts)
		if err != nil {
			return sum, err
		}
		if q.Cursor == "" {
			break
		}
	}
	counts, err := s.reviews(ctx, &l, remove)
	add(sum, counts)
	return sum, err
}

// read finds those of the next people of whom something is due.
func (s *Sweeper) read(ctx context.Context, l *limits, q *store.Query[store.Person]) (due []store.PersonID, counts map[string]int, err error) {
	counts = map[string]int{}
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		page, err := store.List(tx, store.PersonsByMerchant, *q)
		if err != nil {
			return err
		}
		q.Cursor = page.Next
		for i := range page.Items {
			d, err := dutyOf(tx, l, &page.Items[i])
			if err != nil {
				return err
			}
			if !d.none() {
				due = append(due, page.Items[i].ID)
				d.count(counts)
			}
		}
		return ctx.Err()
	})
	return due, counts, err
}

// reviews removes what was settled long enough ago. That two people are different
// stays as the pair, so that nobody is asked again.
func (s *Sweeper) reviews(ctx context.Context, l *limits, remove bool) (map[string]int, error) {
	before, ok := l.before("reviews")
	if !ok {
		return nil, nil
	}
	sum := map[string]int{}
	q := store.Query[store.Review]{
		Prefix: []store.Term{store.Plain(l.ID), store.Plain("settled")}, Limit: sweepRead,
		Keep: func(r *store.Review) bool { return r.Settled.Before(before) && !bare(r) },
	}
	for {
		var page store.Page[store.Review]
		err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
			page, err = store.List(tx, store.ReviewsByMerchant, q)
			return err
		})
		if err != nil {
			return sum, err
		}
		for due := range slices.Chunk(page.Items, sweepDo) {
			n := len(due)
			if remove {
				if n, err = s.dropReviews(ctx, l, due); err != nil {
					return sum, err
				}
			}
			sum["reviews"] += n
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return sum, nil
		}
	}
}

// bare says whether nothing is left of a review but that two people are different.
func bare(r *store.Review) bool {
	return r.Outcome == store.SettledDifferent && r.Score == 0 && r.Event == 0 && r.By == (store.Actor{})
}

func (s *Sweeper) dropReviews(ctx context.Context, l *limits, due []store.Review) (n int, err error) {
	err = s.update(ctx, l, func(tx *store.Tx) (map[string]int, error) {
		n = 0
		for i := range due {
			r, err := store.Get[store.Review](tx, due[i].ID)
			if errors.Is(err, store.ErrNotFound) || err == nil && r.Rev != due[i].Rev {
				continue
			} else if err != nil {
				return nil, err
			}
			n++
			if r.Outcome != store.SettledDifferent {
				err = store.Delete[store.Review](tx, r.ID)
			} else {
				r.Score, r.Event, r.Epoch, r.By = 0, 0, 0, store.Actor{}
				err = store.Put(tx, &r)
			}
			if err != nil {
				return nil, err
			}
		}
		return map[string]int{"reviews": n}, nil
	})
	return n, err
}

// remove removes what is due of some people, a few in a transaction, each of which
// has an event that counts what went.
func (s *Sweeper) remove(ctx context.Context, l *limits, due []store.PersonID) (map[string]int, error) {
	sum := map[string]int{}
	for len(due) > 0 {
		n := min(sweepDo, len(due))
		var counts map[string]int
		err := s.update(ctx, l, func(tx *store.Tx) (map[string]int, error) {
			counts = map[string]int{}
			for _, id := range due[:n] {
				if err := l.removeOf(tx, id, counts); err != nil {
					return nil, err
				}
			}
			return counts, nil
		})
		if err != nil {
			return sum, err
		}
		add(sum, counts)
		due = due[n:]
	}
	return sum, nil
}

// removeOf looks again at a person, who may have come since.
func (l *limits) removeOf(tx *store.Tx, id store.PersonID, counts map[string]int) error {
	p, err := store.GetOf[store.Person](tx, l.ID, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	d, err := dutyOf(tx, l, &p)
	if err != nil || d.none() {
		return err
	}
	d.count(counts)
	return d.do(tx, &p)
}

// update runs one transaction of the sweeper and counts in an event what it did.
func (s *Sweeper) update(ctx context.Context, l *limits, fn func(*store.Tx) (map[string]int, error)) error {
	if s.Sure != nil && !s.Sure() {
		return ErrTime
	}
	err := s.Store.Update(ctx, sweepCause, func(tx *store.Tx) error {
		counts, err := fn(tx)
		if err != nil {
			return err
		}
		e := store.Event{Kind: store.EventSystem, Merchant: l.ID, Action: "retention", Outcome: store.OutcomeDone, Counters: map[string]float64{}}
		for class, n := range counts {
			if n > 0 {
				e.Counters[class] = float64(n)
			}
		}
		if len(e.Counters) == 0 {
			return nil
		}
		_, err = store.Append(tx, e, nil)
		return err
	})
	if err != nil {
		return err
	}
	pause := s.Pause
	if pause == 0 {
		pause = 20 * time.Millisecond
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}
