package host

import (
	"context"
	"errors"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/uplink"
)

// keepAgeEvery is how often the store is told how old its data is: as much may be
// forgotten when the power fails and nothing tells how long it was away.
const keepAgeEvery = 5 * time.Minute

// ageOf is how old the data is after the box was off. Without a clock that was right
// all the time it is at least what it was before, and exact is false.
func ageOf(l *store.Link, now time.Time, sure bool) (age time.Duration, exact bool) {
	since := l.AgeAt
	if l.Age == 0 && since.IsZero() {
		since = l.Created // it has only just joined
	}
	off := now.Sub(since)
	if !sure || since.IsZero() || off < 0 {
		return l.Age, false
	}
	return l.Age + off, true
}

// policy reads from which age data is stale.
func (u *up) policy(ctx context.Context) (limit time.Duration, err error) {
	err = u.Store.View(ctx, func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, u.link.Merchant)
		if errors.Is(err, store.ErrNotFound) {
			return nil // it comes from the central
		}
		limit = m.Policy.StaleAfter
		return err
	})
	u.mu.Lock()
	defer u.mu.Unlock()
	u.limit = limit
	return limit, err
}

// ageDue says whether the store should know how old the data is.
func (u *up) ageDue(s *uplink.Status) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stale(s) != u.Box.link.Stale || time.Since(u.kept) >= keepAgeEvery
}

// stale says whether decisions have to end: what is known to be old stays so until it
// is known not to be.
func (u *up) stale(s *uplink.Status) bool {
	return s.Stale || u.Box.link.Stale && !s.Exact && u.limit > 0
}

// keepAge has the store know how old the data is, and whether that is too old.
func (u *up) keepAge(ctx context.Context, s uplink.Status) {
	u.kept = time.Now()
	u.mu.Lock()
	stale := u.stale(&s)
	u.mu.Unlock()
	var turned bool
	err := u.Store.Update(ctx, boxCause, func(tx *store.Tx) error {
		l, err := store.Get[store.Link](tx, store.TheLink)
		if err != nil || l.Central != u.link.Central || l.JoinedAt != u.link.JoinedAt {
			return err
		}
		turned = l.Stale != stale
		l.Age, l.AgeAt, l.Stale = max(s.Age, 1), time.Time{}, stale
		if u.TimeSure() {
			l.AgeAt = tx.Time()
		}
		if err := store.Put(tx, &l); err != nil || !turned {
			return err
		}
		e := store.Event{Kind: store.EventSystem, Merchant: l.Merchant, Site: l.Site, Action: "stale_data", Outcome: store.OutcomeDenied, Counters: map[string]float64{"age": s.Age.Seconds()}}
		if !stale {
			e.Action, e.Outcome = "fresh_data", store.OutcomeDone
		}
		_, err = store.Append(tx, e, nil)
		return err
	})
	switch {
	case err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrNotFound): // it has left the central
		u.Log.Warn("how old the data is could not be kept", "err", err)
		return
	case err != nil:
		return
	case turned && stale:
		u.Log.Error("what this box has of its central is too old: nobody passes a door", "age", s.Age.String())
	case turned:
		u.Log.Info("what this box has of its central is not too old any more")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.Box.link.Stale = stale
}
