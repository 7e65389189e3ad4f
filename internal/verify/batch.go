package verify

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/scan"
	"github.com/cypherface/edge/store"
)

// A Batch is people who were checked and not stored (EnrolRequest.Batch), so that they
// can be compared with each other. The zero value is empty. It is safe for concurrent
// use, and kept in memory alone.
type Batch struct {
	mu    sync.Mutex // protects the fields below
	space string     // of the first of them
	moved bool       // somebody was checked in another space
	all   map[store.PersonID]checked
}

type checked struct {
	number   int
	template engine.Template
}

// add takes a check in. Of a person who is checked twice, under the lower number.
func (b *Batch) add(r EnrolRequest, space string, t engine.Template) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.space, b.all = space, map[store.PersonID]checked{}
	}
	b.moved = b.moved || space != b.space
	if had, ok := b.all[r.Person]; !ok || r.Number < had.number {
		b.all[r.Person] = checked{r.Number, t}
	}
}

// take empties the batch, and returns who was in it by their numbers.
func (b *Batch) take() (all []checked, space string, moved bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.all {
		all = append(all, c)
	}
	slices.SortFunc(all, func(x, y checked) int { return x.number - y.number })
	space, moved = b.space, b.moved
	b.space, b.moved, b.all = "", false, nil
	return all, space, moved
}

// A Twin is somebody of a Batch who may be one with a lower number, and would be
// suspected to be if they were enrolled in the order of their numbers.
type Twin struct {
	Number, Of int
	Refused    *Error // not nil: the merchant allows one person a face
}

// twinsPart is how many of a batch are compared before whoever is verified goes first.
const twinsPart = 256

// Twins compares the people of a batch of a merchant's with each other, and empties it.
// Each is compared with all before him, at the threshold of an enrolment among those
// who are enrolled and those before him, and told of with the one he resembles most.
// It is an error where the pack was changed since the batch began.
func (s *Service) Twins(ctx context.Context, m store.MerchantID, b *Batch) (twins []Twin, err error) {
	all, space, moved := b.take()
	s, leave := s.hold()
	defer leave()
	if moved || len(all) > 0 && space != s.id() {
		return nil, fmt.Errorf("compare people of a batch: %w: check them again", errMoved)
	}
	var merchant store.Merchant
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		merchant, err = store.Get[store.Merchant](tx, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	rows := scan.NewRows(s.engine.Dim())
	for i := range all {
		rows.Append(all[i].template)
		clear(all[i].template) // it is in rows, and nobody else's
		all[i].template = nil
	}
	defer func() {
		for rows.Len() > 0 {
			rows.RemoveSwap(rows.Len() - 1) // overwrites it
		}
	}()
	enrolled := s.galleries.of(m).Len()
	for from := 0; from < len(all); from += twinsPart {
		if s.pace.wait(ctx); ctx.Err() != nil {
			return nil, ctx.Err()
		}
		for i, best := range rows.Before(from, min(from+twinsPart, len(all))) {
			i += from
			if best.Row < 0 || float64(best.Score) < s.duplicateThreshold(enrolled+i) {
				continue
			}
			t := Twin{Number: all[i].number, Of: all[best.Row].number}
			if merchant.Policy.RefuseDuplicates {
				t.Refused = oneFaceEach("")
			}
			twins = append(twins, t)
		}
	}
	return twins, nil
}
