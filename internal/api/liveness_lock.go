package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// longestLock is how long failed sessions may lock: what is forgotten locks nothing.
const longestLock = keepSession - verify.LockWithin

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
	after, lasts := verify.Lock(&m.Policy)
	until := verify.LockedUntil(failed, after, lasts)
	left := until.Sub(tx.Time())
	if left <= 0 {
		return nil
	}
	seconds := int((left + time.Second - 1) / time.Second)
	c.w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return web.Fail(http.StatusTooManyRequests, "too many liveness sessions of this person failed; try again in %d seconds", seconds)
}
