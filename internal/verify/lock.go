package verify

import (
	"slices"
	"time"

	"github.com/cypherface/edge/store"
)

// Failures of liveness lock a person for a while, so that nobody tries one attack after
// the other: those in sessions lock the sessions, those at doors the doors. What is
// locked is worked out from what is kept, so a restart unlocks nobody.
const (
	LockWithin = 3 * time.Minute // the failures

	// Where a merchant says nothing:
	lockAfter = 5
	lockFor   = 5 * time.Minute
)

// Lock is a merchant's policy, with the defaults filled in: how many failures within
// LockWithin lock, and for how long.
func Lock(p *store.MerchantPolicy) (after int, lasts time.Duration) {
	after, lasts = p.LockAfter, p.LockFor
	if after <= 0 {
		after = lockAfter
	}
	if lasts <= 0 {
		lasts = lockFor
	}
	return after, lasts
}

// LockedUntil is when the lock ends that failures at these times mean: each run of so
// many within LockWithin locks from its last, for so long. It is zero where none does.
func LockedUntil(failed []time.Time, after int, lasts time.Duration) (until time.Time) {
	slices.SortFunc(failed, time.Time.Compare)
	for i := after - 1; i < len(failed); i++ {
		if failed[i].Sub(failed[i-after+1]) <= LockWithin {
			until = failed[i].Add(lasts)
		}
	}
	return until
}

// mostDenials bounds how many events of a person are looked at: more than fit into a
// lock's time.
const mostDenials = 1000

// locked reports whether too many proofs of a person failed at doors. Who went away
// before he was asked for a move has not failed.
func locked(tx *store.Tx, merchant store.MerchantID, p store.PersonID) (bool, error) {
	m, err := store.Get[store.Merchant](tx, merchant)
	if err != nil {
		return false, err
	}
	after, lasts := Lock(&m.Policy)
	page, err := store.List(tx, store.EventsByPerson, store.Query[store.Event]{Prefix: []store.Term{store.Plain(p)}, Reverse: true, Limit: mostDenials})
	if err != nil {
		return false, err
	}
	var failed []time.Time
	for _, e := range page.Items {
		if tx.Time().Sub(e.Time) > LockWithin+lasts {
			break
		}
		if e.Kind == store.EventDecision && e.Door != "" && slices.Contains(e.Reasons, ReasonNoLiveness) && e.Outcome == store.OutcomeDenied &&
			!slices.Contains(e.Reasons, ReasonTooBrief) && !slices.Contains(e.Reasons, ReasonLocked) {
			failed = append(failed, e.Time)
		}
	}
	return tx.Time().Before(LockedUntil(failed, after, lasts)), nil
}
