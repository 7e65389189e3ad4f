package rights

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cypherface/edge/store"
)

// How sightings are kept.
const (
	// BaseMatches is how many matches after an enrolment make the mean that later
	// ones are held against.
	BaseMatches = 20
	// fade is the weight of a new match in the recent mean: it forgets half within
	// some 14 matches.
	fade = 0.05

	seenEvery = time.Hour // so much of LastSeen is given up for fewer writes
	seenScore = 10        // or so many matches
	seenAtOne = 100       // people in one transaction
)

// Seen sums up decisions about people in memory and writes the sums now and then. It
// is safe for concurrent use. Make one with NewSeen.
type Seen struct {
	store store.Store
	mu    sync.Mutex // protects the map
	sums  map[store.PersonID]*seen
}

// seen is what came about a person since the last writing.
type seen struct {
	merchant store.MerchantID
	last     time.Time
	written  time.Time // LastSeen as it is in the store, as far as this process knows
	scores   []float32 // similarities of matches, in order
}

// NewSeen makes one over a store.
func NewSeen(s store.Store) *Seen {
	return &Seen{store: s, sums: map[store.PersonID]*seen{}}
}

// Observe takes an event; those that are not a decision about somebody who was
// recognised count nothing. It is quick.
func (s *Seen) Observe(e *store.Event) {
	if e.Kind != store.EventDecision || e.Person == "" || e.Outcome == store.OutcomeNoMatch || e.Outcome == store.OutcomeFailed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.sums[e.Person]
	if one == nil {
		one = &seen{merchant: e.Merchant}
		s.sums[e.Person] = one
	}
	if e.Time.After(one.last) {
		one.last = e.Time
	}
	if score := e.Counters["similarity"]; score > 0 && len(one.scores) < 1000 {
		one.scores = append(one.scores, float32(score))
	}
}

// Flush writes what is due, or with all whatever there is, some people a
// transaction.
func (s *Seen) Flush(ctx context.Context, all bool) error {
	batch := map[store.PersonID]*seen{}
	write := func() error {
		err := s.write(ctx, batch)
		clear(batch)
		return err
	}
	for id, one := range s.due(all) {
		batch[id] = one
		if len(batch) == seenAtOne {
			if err := write(); err != nil {
				return err
			}
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return write()
}

// due takes out what is to be written.
func (s *Seen) due(all bool) map[store.PersonID]*seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := map[store.PersonID]*seen{}
	for id, one := range s.sums {
		fresh := one.last.Sub(one.written) >= seenEvery || len(one.scores) >= seenScore
		if !fresh && !(all && (one.last.After(one.written) || len(one.scores) > 0)) {
			continue
		}
		taken := *one
		due[id] = &taken
		one.written, one.scores = one.last, nil
	}
	return due
}

var seenCause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "sightings"}}

func (s *Seen) write(ctx context.Context, batch map[store.PersonID]*seen) error {
	err := s.store.Update(ctx, seenCause, func(tx *store.Tx) error {
		for id, one := range batch {
			p, err := store.GetOf[store.Person](tx, one.merchant, id)
			if errors.Is(err, store.ErrNotFound) {
				continue // erased since
			} else if err != nil {
				return err
			}
			sum, err := sightingOf(tx, &p)
			if err != nil {
				return err
			}
			one.add(&sum)
			if err := store.Put(tx, &sum); err != nil {
				return err
			}
			if !Drifted(&sum) || p.Status != store.PersonEnrolled {
				continue
			}
			if err := ProposeUpdate(tx, &p, store.CauseDrift); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write sightings: %w", err)
	}
	return nil
}

// sightingOf reads what is remembered of a person, from the present enrolment on.
func sightingOf(tx *store.Tx, p *store.Person) (store.Sighting, error) {
	sum, err := store.Get[store.Sighting](tx, p.ID)
	if errors.Is(err, store.ErrNotFound) {
		sum, err = store.Sighting{ID: p.ID, Merchant: p.Merchant, Person: p.ID}, nil
	}
	if !sum.Template.Equal(p.EnrolledAt) {
		sum.Template, sum.Matches, sum.Base, sum.Recent = p.EnrolledAt, 0, 0, 0
	}
	return sum, err
}

// add adds what came to a sum.
func (one *seen) add(sum *store.Sighting) {
	if one.last.After(sum.LastSeen) {
		sum.LastSeen = one.last
	}
	for _, score := range one.scores {
		x := float64(score)
		sum.Matches++
		if sum.Matches <= BaseMatches {
			sum.Base += (x - sum.Base) / float64(sum.Matches)
			sum.Recent = sum.Base
		} else {
			sum.Recent += fade * (x - sum.Recent)
		}
	}
}
