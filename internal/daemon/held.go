package daemon

import (
	"context"
	"net/http"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// held keeps a box from matching that may not: its central revoked it, or it was
// away for so long that it has to catch up with erasures first.
//
// Nor does it where what it has of its central is older than the merchant's policy
// allows: those who ask are denied, by a decision that says why.
type held struct {
	*verify.Service
	store store.Store
	may   func() bool
}

var errHeld = web.Fail(http.StatusServiceUnavailable, "this box may not match at the moment: its central revoked it, or it has to catch up first (cypherface sync status)")

var errStale = web.Fail(http.StatusServiceUnavailable, "stale_data: what this box has of its central is older than the policy allows (cypherface sync status)")

func (h *held) check(ctx context.Context, by store.Cause, action string, m store.MerchantID, p store.PersonID) error {
	if h.may != nil && !h.may() {
		return errHeld
	}
	stale := false
	err := h.store.View(ctx, func(tx *store.Tx) (err error) { stale, err = store.Stale(tx); return err })
	if err != nil || !stale {
		return err
	}
	e := store.Event{Kind: store.EventDecision, Merchant: m, Person: p, Action: action, Outcome: store.OutcomeDenied, Reasons: []string{verify.ReasonStale}}
	err = h.store.Update(ctx, by, func(tx *store.Tx) error { _, err := store.Append(tx, e, nil); return err })
	if err != nil {
		return err
	}
	return errStale
}

// Verify compares with one person, if the box may.
func (h *held) Verify(ctx context.Context, r verify.VerifyRequest) (verify.Result, error) {
	if err := h.check(ctx, r.Cause, "verify", r.Merchant, r.Person); err != nil {
		return verify.Result{}, err
	}
	return h.Service.Verify(ctx, r)
}

// Identify searches among all people, if the box may.
func (h *held) Identify(ctx context.Context, r verify.IdentifyRequest) (verify.Identification, error) {
	if err := h.check(ctx, r.Cause, "identify", r.Merchant, ""); err != nil {
		return verify.Identification{}, err
	}
	return h.Service.Identify(ctx, r)
}

// Live judges a liveness session, if the box may.
func (h *held) Live(ctx context.Context, r verify.LiveRequest) (verify.LiveResult, error) {
	if err := h.check(ctx, r.Cause, "verify", r.Merchant, r.Person); err != nil {
		return verify.LiveResult{}, err
	}
	return h.Service.Live(ctx, r)
}

// heldReader gives no frames while the box may not match: nobody is recognised at
// its doors.
type heldReader struct {
	camera.Source
	may func() bool
}

// heldPause is how soon it is seen that a box may match again.
const heldPause = time.Second

// Next waits for a frame, and for the box to be let.
func (r *heldReader) Next(ctx context.Context) (camera.Frame, error) {
	for {
		f, err := r.Source.Next(ctx)
		if err != nil || r.may() {
			return f, err
		}
		select {
		case <-ctx.Done():
			return camera.Frame{}, ctx.Err()
		case <-time.After(heldPause):
		}
	}
}

// Follow passes on where the face is.
func (r *heldReader) Follow(s camera.Subject) {
	if f, ok := r.Source.(camera.Follower); ok {
		f.Follow(s)
	}
}
