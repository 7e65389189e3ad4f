package rights

import (
	"errors"
	"fmt"

	"github.com/cypherface/edge/store"
)

// What callers branch on.
var (
	ErrSettled  = errors.New("the review is settled")
	ErrOutcome  = errors.New("a review cannot be settled so")
	ErrMarked   = errors.New("the decision is marked as wrong")
	ErrNotMatch = errors.New("the decision recognised nobody")
)

// Settle settles a review with different_people or dismissed. The errors are
// store.ErrNotFound, ErrSettled and ErrOutcome.
func Settle(tx *store.Tx, m store.MerchantID, id store.ReviewID, outcome store.ReviewOutcome, by store.Actor) (store.Review, error) {
	r, err := Open(tx, m, id)
	if err != nil {
		return r, err
	}
	switch {
	case outcome == store.SettledDismissed, outcome == store.SettledDifferent && (len(r.Persons) == 2 || r.Reason == store.ReviewWrongMatch):
	default:
		return r, fmt.Errorf("%w: %s as %s", ErrOutcome, r.Reason, outcome)
	}
	if err := dropCandidate(tx, &r); err != nil {
		return r, err
	}
	return r, settle(tx, &r, outcome, by)
}

func settle(tx *store.Tx, r *store.Review, outcome store.ReviewOutcome, by store.Actor) error {
	r.Settled, r.By, r.Outcome = tx.Time(), by, outcome
	if err := store.Put(tx, r); err != nil {
		return err
	}
	_, err := store.Append(tx, store.Event{Kind: store.EventAccess, Merchant: r.Merchant, Action: "review_settle", Outcome: store.OutcomeDone, Reasons: []string{string(r.Reason), string(outcome)}}, nil)
	return err
}

// Open reads a review that is not settled. The errors are store.ErrNotFound and
// ErrSettled.
func Open(tx *store.Tx, m store.MerchantID, id store.ReviewID) (store.Review, error) {
	r, err := store.GetOf[store.Review](tx, m, id)
	if err == nil && !r.Settled.IsZero() {
		err = ErrSettled
	}
	return r, err
}

// MarkWrong asks an operator about a decision that took one for another; actual is
// who it was, where that is known. The errors are ErrNotMatch, ErrMarked, and
// store.ErrNotFound where one of them is no more.
func MarkWrong(tx *store.Tx, e *store.Event, actual store.PersonID) (store.Review, error) {
	recognised := e.Kind == store.EventDecision && e.Person != "" && e.Outcome != store.OutcomeNoMatch && e.Outcome != store.OutcomeFailed
	if !recognised {
		return store.Review{}, ErrNotMatch
	}
	r := store.Review{
		ID: store.NewID[store.ReviewID](tx.Time()), Merchant: e.Merchant, Reason: store.ReviewWrongMatch, Persons: []store.PersonID{e.Person},
		Score: e.Counters["similarity"], Epoch: e.Epoch, Event: e.Seq,
	}
	if actual != "" && actual != e.Person {
		r.Persons = append(r.Persons, actual)
	}
	for _, p := range r.Persons {
		if _, err := store.GetOf[store.Person](tx, e.Merchant, p); err != nil {
			return r, err
		}
	}
	for old, err := range store.All(tx, store.ReviewsByPerson, store.Plain(e.Person)) {
		if err != nil {
			return r, err
		}
		if old.Reason == store.ReviewWrongMatch && old.Epoch == e.Epoch && old.Event == e.Seq {
			return old, ErrMarked
		}
	}
	if err := store.Put(tx, &r); err != nil {
		return r, err
	}
	_, err := store.Append(tx, store.Event{Kind: store.EventAccess, Merchant: e.Merchant, Person: e.Person, Action: "mark_wrong", Outcome: store.OutcomeDone,
		Reasons: []string{fmt.Sprintf("event %d of epoch %d", e.Seq, e.Epoch)}}, nil)
	return r, err
}

// FalseMatches counts the decisions that were marked as wrong.
type FalseMatches struct {
	Open      int `json:"open"`
	Confirmed int `json:"confirmed"`
	Dismissed int `json:"dismissed"`
}

// CountFalseMatches counts those of a merchant, as far as retention has left them.
func CountFalseMatches(tx *store.Tx, m store.MerchantID) (n FalseMatches, err error) {
	for r, err := range store.All(tx, store.ReviewsByMerchant, store.Plain(m)) {
		switch {
		case err != nil:
			return n, err
		case r.Reason != store.ReviewWrongMatch:
		case r.Settled.IsZero():
			n.Open++
		case r.Outcome == store.SettledDismissed:
			n.Dismissed++
		default:
			n.Confirmed++
		}
	}
	return n, nil
}
