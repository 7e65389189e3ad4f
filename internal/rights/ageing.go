package rights

import (
	"context"
	"errors"
	"time"

	"github.com/cypherface/edge/store"
)

// When a template is taken for aged by its matches: after so many, when the recent
// mean lies so much below that of the first. 80 of similarity is an FMR of 1e-4.
const (
	DriftMatches = 60
	DriftBy      = 5.0 // of similarity
)

// A crop that is proposed for a template.
const (
	// SureSimilarity is the least that the match has it is from.
	SureSimilarity = 90
	// CandidateLife is how long it is kept where nobody decides.
	CandidateLife = 14 * 24 * time.Hour
)

// Drifted says whether a person's matches have become less sure.
func Drifted(s *store.Sighting) bool {
	return s.Matches >= DriftMatches && s.Base-s.Recent >= DriftBy
}

// ProposeUpdate asks an operator whether a person's template should be renewed. It
// asks once an enrolment, whatever the answer was.
func ProposeUpdate(tx *store.Tx, p *store.Person, cause store.ReviewCause) error {
	for r, err := range store.All(tx, store.ReviewsByPerson, store.Plain(p.ID)) {
		if err != nil {
			return err
		}
		if r.Reason == store.ReviewAgeing && (r.Settled.IsZero() || r.Created.After(p.EnrolledAt)) {
			return nil
		}
	}
	return store.Put(tx, &store.Review{ID: store.NewID[store.ReviewID](tx.Time()), Merchant: p.Merchant, Reason: store.ReviewAgeing, Persons: []store.PersonID{p.ID}, Cause: cause})
}

// Sought returns the open proposal for whose person a crop is wanted; store.ErrNotFound
// where there is none, there is a crop already, or the merchant keeps none.
func Sought(tx *store.Tx, m *store.Merchant, id store.PersonID) (store.Review, error) {
	if !m.Policy.ProposeCrops {
		return store.Review{}, store.ErrNotFound
	}
	n, err := store.Count(tx, store.CandidatesByPerson, store.Plain(id))
	if err == nil && n > 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Review{}, err
	}
	for r, err := range store.All(tx, store.ReviewsByPerson, store.Plain(id)) {
		if err != nil || r.Reason == store.ReviewAgeing && r.Settled.IsZero() {
			return r, err
		}
	}
	return store.Review{}, store.ErrNotFound
}

// CandidateOf reads the crop that is proposed with a review; store.ErrNotFound where
// there is none.
func CandidateOf(tx *store.Tx, r *store.Review) (store.Candidate, error) {
	for _, p := range r.Persons {
		for c, err := range store.All(tx, store.CandidatesByPerson, store.Plain(p)) {
			if err != nil || c.Review == r.ID {
				return c, err
			}
		}
	}
	return store.Candidate{}, store.ErrNotFound
}

// Updated settles a proposal whose crop was taken: to be run in the transaction that
// takes it.
func Updated(tx *store.Tx, m store.MerchantID, id store.ReviewID, by store.Actor) error {
	r, err := Open(tx, m, id)
	if err != nil {
		return err
	}
	if err := dropCandidate(tx, &r); err != nil {
		return err
	}
	return settle(tx, &r, store.SettledUpdated, by)
}

// dropCandidate removes the crop of a proposal, if there is one.
func dropCandidate(tx *store.Tx, r *store.Review) error {
	c, err := CandidateOf(tx, r)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	return store.Delete[store.Candidate](tx, c.ID)
}

// aged proposes updates for people whose template is older than the merchant wants.
func (s *Sweeper) aged(ctx context.Context, m *store.Merchant) error {
	if m.Policy.TemplateYears <= 0 {
		return nil
	}
	before := s.Clock().AddDate(-m.Policy.TemplateYears, 0, 0)
	old := func(p *store.Person) bool { return p.Status == store.PersonEnrolled && p.EnrolledAt.Before(before) }
	for q := (store.Query[store.Person]{Prefix: []store.Term{store.Plain(m.ID)}, Limit: sweepDo, Keep: old}); ; {
		var page store.Page[store.Person]
		err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
			page, err = store.List(tx, store.PersonsByMerchant, q)
			return err
		})
		if err == nil && len(page.Items) > 0 {
			l := limitsOf(m, s.Clock())
			err = s.update(ctx, &l, func(tx *store.Tx) (map[string]int, error) {
				for i := range page.Items {
					p, err := store.GetOf[store.Person](tx, m.ID, page.Items[i].ID)
					if errors.Is(err, store.ErrNotFound) {
						continue
					}
					if err == nil && old(&p) {
						err = ProposeUpdate(tx, &p, store.CauseAge)
					}
					if err != nil {
						return nil, err
					}
				}
				return nil, nil
			})
		}
		if q.Cursor = page.Next; err != nil || q.Cursor == "" {
			return err
		}
	}
}
