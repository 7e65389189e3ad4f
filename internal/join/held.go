package join

import (
	"context"
	"errors"
	"fmt"

	"github.com/cypherface/edge/store"
)

// ErrNotHeld says that somebody is not held, or not any more.
var ErrNotHeld = errors.New("this person is not held")

// AdoptHeld has people who were held when the box joined go up to the central, and be
// again what they were; with no ids all of them whose review is open. It returns how
// many it adopted. Who took his consent back meanwhile stays suspended. The error is
// store.ErrNotFound where the box has joined no central, and ErrNotHeld.
func (b *Box) AdoptHeld(ctx context.Context, ids []store.PersonID) (adopted int, err error) {
	var held []store.Review
	err = b.Store.View(ctx, func(tx *store.Tx) error {
		if _, err := store.Get[store.Link](tx, store.TheLink); err != nil {
			return err
		}
		held, err = b.held(tx, ids)
		return err
	})
	if err == nil {
		err = b.Store.Update(ctx, b.Cause, func(tx *store.Tx) error { return adoptDoors(tx, b.Merchant) })
	}
	for len(held) > 0 && err == nil {
		batch := held[:min(settleBatch, len(held))]
		held = held[len(batch):]
		n := 0
		err = b.Store.Update(ctx, b.Cause, func(tx *store.Tx) (err error) {
			n = 0
			for i := range batch {
				done, err := release(tx, b.Cause.Actor, batch[i].ID)
				if err != nil {
					return err
				}
				if done {
					n++
				}
			}
			return nil
		})
		if err == nil {
			adopted += n
		}
	}
	if err != nil {
		return adopted, fmt.Errorf("adopt people who are held: %w", err)
	}
	return adopted, nil
}

// held returns the reviews of those who are held: all that are open, or those of
// people who are named.
func (b *Box) held(tx *store.Tx, ids []store.PersonID) (all []store.Review, err error) {
	if len(ids) == 0 {
		for r, err := range store.All(tx, store.ReviewsByMerchant, store.Plain(b.Merchant), store.Plain("open")) {
			if err != nil {
				return nil, err
			}
			if r.Reason == store.ReviewHeld {
				all = append(all, r)
			}
		}
		return all, nil
	}
	for _, id := range ids {
		found := len(all)
		for r, err := range store.All(tx, store.ReviewsByPerson, store.Plain(id)) {
			if err != nil {
				return nil, err
			}
			if r.Reason == store.ReviewHeld && r.Merchant == b.Merchant && r.Outcome != store.SettledAdopted {
				all = append(all, r)
				break
			}
		}
		if len(all) == found {
			return nil, fmt.Errorf("%s: %w", id, ErrNotHeld)
		}
	}
	return all, nil
}

// release adopts the person of a review and settles it; false where somebody else has,
// or the person is no more.
func release(tx *store.Tx, by store.Actor, id store.ReviewID) (bool, error) {
	r, err := store.Get[store.Review](tx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && r.Outcome == store.SettledAdopted {
		return false, nil
	} else if err != nil {
		return false, err
	}
	p, err := store.Get[store.Person](tx, r.Persons[0])
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrErased) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	out, err := withdrew(tx, p.ID)
	if err != nil {
		return false, err
	}
	if p.Status == store.PersonSuspended && r.Was != "" && !out {
		p.Status = r.Was
		if err := store.Put(tx, &p); err != nil {
			return false, err
		}
	}
	if err := store.AdoptPerson(tx, p.ID); err != nil {
		return false, err
	}
	r.Settled, r.By, r.Outcome = tx.Time(), by, store.SettledAdopted
	if err := store.Put(tx, &r); err != nil {
		return false, err
	}
	_, err = store.Append(tx, store.Event{
		Kind: store.EventAccess, Merchant: r.Merchant, Person: p.ID, Action: "review_settle", Outcome: store.OutcomeDone,
		Reasons: []string{string(r.Reason), string(r.Outcome)},
	}, nil)
	return true, err
}

// withdrew says whether somebody took back what he had agreed to.
func withdrew(tx *store.Tx, id store.PersonID) (out bool, err error) {
	for c, err := range store.All(tx, store.ConsentsByPerson, store.Plain(id)) {
		if err != nil {
			return false, err
		}
		if c.Valid() {
			return false, nil
		}
		out = out || !c.Withdrawn.IsZero()
	}
	return out, nil
}
