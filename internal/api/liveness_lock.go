package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// Failures of liveness lock the sessions of a person for a while, so that nobody tries
// one attack after the other. What is locked is worked out from the sessions that are
// kept, so a restart unlocks nobody.
const (
	lockWithin  = 3 * time.Minute
	longestLock = keepSession - lockWithin // what is forgotten locks nothing

	// Where a merchant says nothing:
	lockAfter = 5
	lockFor   = 5 * time.Minute
)

// lockOf is a merchant's policy with the defaults filled in.
func lockOf(p *store.MerchantPolicy) (after int, lasts time.Duration) {
	after, lasts = p.LockAfter, p.LockFor
	if after == 0 {
		after = lockAfter
	}
	if lasts == 0 {
		lasts = lockFor
	}
	return after, lasts
}

// credential names what a call was authorized by: a key, whether by itself or by a
// token of it, a login, or the operator on the box.
func (c *call) credential() string {
	if k := c.Principal.Login(); k != "" {
		return string(k)
	}
	return string(c.Principal.Actor.Kind) + ":" + c.Principal.Actor.ID
}

// locked is an error while a person's sessions are locked.
func (c *call) locked(tx *store.Tx, id store.PersonID) error {
	var failed []time.Time
	for s, err := range store.All(tx, store.SessionsByPerson, store.Plain(id)) {
		if err != nil {
			return err
		}
		if s.Status == store.SessionFailed {
			failed = append(failed, s.Updated)
		}
	}
	m, err := store.Get[store.Merchant](tx, c.Merchant)
	if err != nil {
		return err
	}
	after, lasts := lockOf(&m.Policy)
	until := lockedUntil(failed, after, lasts)
	left := until.Sub(tx.Time())
	if left <= 0 {
		return nil
	}
	seconds := int((left + time.Second - 1) / time.Second)
	c.w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return web.Fail(http.StatusTooManyRequests, "too many liveness sessions of this person failed; try again in %d seconds", seconds)
}

// lockedUntil is when the lock ends that failures at these times mean: each run of so
// many within lockWithin locks from its last, for so long.
func lockedUntil(failed []time.Time, after int, lasts time.Duration) (until time.Time) {
	slices.SortFunc(failed, time.Time.Compare)
	for i := after - 1; i < len(failed); i++ {
		if failed[i].Sub(failed[i-after+1]) <= lockWithin {
			until = failed[i].Add(lasts)
		}
	}
	return until
}
