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
	lockFailures = 5
	lockWithin   = 3 * time.Minute
	lockFor      = 5 * time.Minute // less than keepSession: what is forgotten locks nothing
)

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
	until := lockedUntil(failed)
	left := until.Sub(tx.Time())
	if left <= 0 {
		return nil
	}
	seconds := int((left + time.Second - 1) / time.Second)
	c.w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return web.Fail(http.StatusTooManyRequests, "too many liveness sessions of this person failed; try again in %d seconds", seconds)
}

// lockedUntil is when the lock ends that failures at these times mean: each run of
// lockFailures within lockWithin locks from its last.
func lockedUntil(failed []time.Time) (until time.Time) {
	slices.SortFunc(failed, time.Time.Compare)
	for i := lockFailures - 1; i < len(failed); i++ {
		if failed[i].Sub(failed[i-lockFailures+1]) <= lockWithin {
			until = failed[i].Add(lockFor)
		}
	}
	return until
}
