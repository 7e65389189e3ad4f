package audit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cypherface/edge/store"
)

// trimEvents leave the store in one Update: others wait no longer than for that.
const trimEvents = 256

// periods returns the periods of an epoch in order, dropped ones included.
func periods(tx *store.Tx, epoch uint64) (all []store.Period, err error) {
	for p, err := range store.All(tx, store.Periods, store.Number(epoch)) {
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// state is what there is of the present epoch.
type state struct {
	periods []store.Period
	tree    store.Tree
}

// archived is the number of the last event that lies in a period.
func (s *state) archived() uint64 {
	if len(s.periods) == 0 {
		return 0
	}
	return s.periods[len(s.periods)-1].To
}

// before is the tree with all events that lie in periods.
func (s *state) before() (t store.Tree) {
	for i := range s.periods {
		appendPeriod(&t, &s.periods[i])
	}
	return t
}

func appendPeriod(t *store.Tree, p *store.Period) {
	next := 0
	store.Subtrees(p.From-1, p.To, func(level int, _ uint64) {
		if next < len(p.Roots) {
			t.AppendSubtree(level, p.Roots[next])
		}
		next++
	})
}

func (l *Log) state(tx *store.Tx) (s state, err error) {
	if s.periods, err = periods(tx, l.Store.Info().Epoch); err != nil {
		return s, err
	}
	s.tree, err = store.JournalTree(tx)
	return s, err
}

// Archive moves all events into periods, as before a restored backup begins a new
// epoch.
func (l *Log) Archive(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		moved, err := l.archive(ctx, func(s *state, _ *store.Tx) (uint64, error) { return s.tree.Size(), nil })
		if err != nil || !moved {
			return err
		}
	}
}

// archiveDue moves what is of days before today, and the oldest of very many.
func (l *Log) archiveDue(ctx context.Context) error {
	now := l.Clock().UTC()
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	for {
		moved, err := l.archive(ctx, func(s *state, tx *store.Tx) (uint64, error) {
			first := s.archived() + 1
			if s.tree.Size() >= s.archived()+2*uint64(l.PeriodEvents) {
				return s.archived() + uint64(l.PeriodEvents), nil
			}
			last := s.archived()
			for e, err := range store.Envelopes(tx, first, s.tree.Size()) {
				if err != nil {
					return 0, err
				}
				if !e.Time.Before(today) {
					break
				}
				last = e.Seq
			}
			return last, nil
		})
		if err != nil || !moved {
			return err
		}
	}
}

// archive moves events up to a number into one period, if there are any, and says
// whether it has.
func (l *Log) archive(ctx context.Context, upTo func(*state, *store.Tx) (uint64, error)) (moved bool, err error) {
	var s state
	var to uint64
	err = l.Store.View(ctx, func(tx *store.Tx) (err error) {
		if s, err = l.state(tx); err != nil || s.tree.Size() == s.archived() {
			return err
		}
		to, err = upTo(&s, tx)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("archive events: %w", err)
	}
	if from := s.archived() + 1; to >= from {
		to = min(to, from+uint64(l.PeriodEvents)-1)
		p, err := writePeriod(ctx, l.Store, l.Dir, s.before(), from, to)
		if err == nil {
			err = l.Store.Update(ctx, cause, func(tx *store.Tx) error { return store.Put(tx, &p) })
		}
		if err != nil {
			return false, fmt.Errorf("archive events %d to %d: %w", from, to, err)
		}
		l.Log.Info("audit events moved into a period", "file", periodName(p.ID), "events", to-from+1, "bytes", p.Size)
		s.periods = append(s.periods, p)
		moved = true
	}
	return moved, l.trim(ctx, s.archived())
}

// trim removes from the store what lies in periods and nobody waits for.
func (l *Log) trim(ctx context.Context, through uint64) error {
	for {
		n := 0
		oldest := uint64(0)
		err := l.Store.View(ctx, func(tx *store.Tx) error {
			events, err := store.Events(tx, 0, 1)
			if len(events) > 0 {
				oldest = events[0].Seq
			}
			return err
		})
		if err == nil && oldest > 0 && oldest <= through {
			err = l.Store.Update(ctx, cause, func(tx *store.Tx) (err error) {
				n, err = store.Trim(tx, through, trimEvents)
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("trim the journal: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}

// drop removes the files of periods that are older than they are to be kept.
// What a consumer still waits for is kept.
func (l *Log) drop(ctx context.Context) error {
	if l.Days <= 0 {
		return nil
	}
	limit := l.Clock().AddDate(0, 0, -l.Days)
	var old []store.Period
	err := l.Store.View(ctx, func(tx *store.Tx) error {
		waiting, err := store.Waiting(tx)
		if err != nil {
			return err
		}
		for p, err := range store.All(tx, store.Periods) {
			if err != nil {
				return err
			}
			awaited := p.Epoch == tx.Info().Epoch && p.To >= waiting
			if p.Dropped.IsZero() && p.Latest.Before(limit) && !awaited {
				old = append(old, p)
			}
		}
		return nil
	})
	for i := 0; err == nil && i < len(old); i++ {
		err = l.dropPeriod(ctx, old[i])
	}
	if err != nil {
		return fmt.Errorf("drop old periods: %w", err)
	}
	return nil
}

func (l *Log) dropPeriod(ctx context.Context, p store.Period) error {
	err := l.Store.Update(ctx, cause, func(tx *store.Tx) error {
		p.Dropped = tx.Time()
		if err := store.Put(tx, &p); err != nil {
			return err
		}
		_, err := store.Append(tx, store.Event{Kind: store.EventSystem, Action: "retention", Outcome: store.OutcomeDone,
			Counters: map[string]float64{"epoch": float64(p.Epoch), "from": float64(p.From), "to": float64(p.To)}}, nil)
		return err
	})
	if err != nil {
		return err
	}
	if err := ignoreMissing(os.Remove(filepath.Join(l.Dir, periodName(p.ID)))); err != nil {
		return err // done at the next opening
	}
	l.Log.Info("audit period dropped", "file", periodName(p.ID), "latest", p.Latest, "days", l.Days)
	return syncDir(l.Dir)
}
