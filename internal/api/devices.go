package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/join"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// device is a box as its central shows it.
type device struct {
	DeviceID  store.DeviceID `json:"deviceId"`
	SiteID    store.SiteID   `json:"siteId"`
	Name      string         `json:"name"`
	Status    store.Status   `json:"status"` // active, suspended (seen twice), revoked
	JoinedAt  time.Time      `json:"joinedAt"`
	Online    bool           `json:"online"`
	Since     time.Time      `json:"since,omitzero"`      // when it connected
	SeenAt    time.Time      `json:"seenAt,omitzero"`     // when it last sent or took something
	Epoch     uint64         `json:"epoch"`               // of its journal,
	Events    uint64         `json:"events"`              // and its last event that is held here
	Missing   uint64         `json:"missing,omitempty"`   // events that were gone on the box before they came here
	Revision  uint64         `json:"revision"`            // of its site that it holds
	Behind    uint64         `json:"behind"`              // revisions that it lacks
	PublicKey []byte         `json:"publicKey,omitempty"` // Ed25519

	Checkpoint *checkpointOf `json:"checkpoint,omitempty"` // of its journal; nil: none came yet
	Readings   []Reading     `json:"readings,omitempty"`
}

// checkpointOf is the newest checkpoint of a box's journal that fits what the central
// holds of it.
type checkpointOf struct {
	Epoch  uint64    `json:"epoch"`
	Events uint64    `json:"events"`
	Note   string    `json:"note"` // as it was signed
	Key    string    `json:"key"`  // that the box's signature verifies with
	At     time.Time `json:"at"`
	Fault  string    `json:"fault,omitempty"` // of the last one that came: it does not fit
}

func toCheckpoint(env store.Environment, d *store.Device, a *store.Anchor) *checkpointOf {
	if a.At.IsZero() {
		return nil
	}
	key, err := audit.KeyOf(audit.Name(env, d.ID), d.PublicKey)
	if err != nil {
		key = "" // the fault says so
	}
	return &checkpointOf{a.Epoch, a.Size, a.Note, key, a.At.UTC(), a.Fault}
}

func (a *API) toDevice(tx *store.Tx, d *store.Device, online map[store.DeviceID]time.Time) (device, error) {
	since, here := online[d.ID]
	out := device{
		DeviceID: d.ID, SiteID: d.Site, Name: d.Name, Status: d.Status, JoinedAt: d.Created, Online: here, Since: since.UTC(), Epoch: d.Epoch, PublicKey: d.PublicKey,
	}
	if !here {
		out.Since = time.Time{}
	}
	b, err := store.Held(tx, d.ID)
	if err != nil {
		return out, err
	}
	if b.Epoch > 0 {
		out.Epoch = b.Epoch
	}
	out.Checkpoint, out.Readings = toCheckpoint(a.info.Environment, d, &b.Anchor), a.Fleet.Readings(d.ID)
	out.SeenAt, out.Events, out.Missing, out.Revision = b.Seen, b.Head, b.Missing, b.Applied
	f, err := store.FeedStateOf(tx, d.Site)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return out, err
	}
	out.Behind = max(f.Head, b.Applied) - b.Applied
	return out, nil
}

// devices lists the boxes of a merchant.
func (a *API) devices(c *call) ([]device, error) {
	list, online := []device{}, a.Fleet.Online()
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		for d, err := range store.All(tx, store.DevicesByMerchant, store.Plain(c.Merchant)) {
			if err != nil {
				return err
			}
			out, err := a.toDevice(tx, &d, online)
			if err != nil {
				return err
			}
			list = append(list, out)
		}
		return nil
	})
	return list, err
}

// listDevices is GET /devices/: the boxes of the merchant's sites, and how they
// stand.
func (a *API) listDevices(c *call) error {
	if err := a.central(); err != nil {
		return err
	}
	list, err := a.devices(c)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool     `json:"success"`
		Devices []device `json:"devices"`
	}{true, list})
}

func (a *API) pathDevice(c *call) (store.DeviceID, error) {
	if err := a.central(); err != nil {
		return "", err
	}
	id, err := store.ParseUUID[store.DeviceID](c.r.PathValue("deviceId"))
	if err != nil {
		return "", badID("deviceId")
	}
	return id, nil
}

// showDevice is GET /devices/{deviceId}/.
func (a *API) showDevice(c *call) error {
	id, err := a.pathDevice(c)
	if err != nil {
		return err
	}
	var out device
	err = a.store.View(c.ctx(), func(tx *store.Tx) error {
		d, err := store.GetOf[store.Device](tx, c.Merchant, id)
		if err == nil {
			out, err = a.toDevice(tx, &d, a.Fleet.Online())
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
		device
	}{true, out})
}

// revokeDevice is DELETE /devices/{deviceId}/: nothing of the box is taken any more,
// and it matches nobody once it has heard.
func (a *API) revokeDevice(c *call) error {
	id, err := a.pathDevice(c)
	if err != nil {
		return err
	}
	err = a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error { return join.Revoke(tx, c.Merchant, id, "revoke") })
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
	}{true})
}

// challenge is POST /join/challenge/: what a box has to sign to join.
func (a *API) challenge(c *call) error {
	if err := a.central(); err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success   bool   `json:"success"`
		Challenge string `json:"challenge"`
	}{true, a.challenges.New(a.now())})
}

// join is POST /join/: a box becomes one of a site. Its code is its credential;
// wrong ones count as any other credential that is refused.
func (a *API) join(c *call) error {
	if err := a.central(); err != nil {
		return err
	}
	var in join.Request
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	fingerprint, _, err := a.Fleet.Identity()
	if err != nil {
		return err
	}
	var answer join.Answer
	cause := store.Cause{Actor: store.Actor{Kind: store.ActorDevice, ID: string(in.Device)}, Request: web.RequestID(c.ctx())}
	err = a.store.Update(c.ctx(), cause, func(tx *store.Tx) (err error) {
		answer, err = join.Admit(tx, a.Authority, a.challenges, &in, fingerprint)
		return err
	})
	switch {
	case errors.Is(err, join.ErrClaim), errors.Is(err, join.ErrProof):
		if limit := a.failures.Take(c.w, web.Address(c.r)); limit != nil {
			return limit
		}
		return web.Fail(http.StatusForbidden, "%v", err)
	case errors.Is(err, join.ErrEnv):
		return web.Fail(http.StatusConflict, "%v: this central has its %s at this address", err, a.info.Environment)
	case err != nil:
		return err
	}
	return c.reply(http.StatusCreated, struct {
		Success bool `json:"success"`
		join.Answer
	}{true, answer})
}

// rotateBox is POST /join/rotate/: a new credential for the box that calls.
func (a *API) rotateBox(c *call) error {
	if err := a.central(); err != nil {
		return err
	}
	answer := join.Answer{Central: a.info.Device}
	err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		d, err := store.Get[store.Device](tx, c.Device)
		if err != nil {
			return err
		}
		answer.Site = d.Site
		answer.APIKey, err = join.Rotate(tx, a.Authority, c.Device)
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
		join.Answer
	}{true, answer})
}

// boxLeaves is POST /join/leave/: the box that calls is one of the site no more.
func (a *API) boxLeaves(c *call) error {
	if err := a.central(); err != nil {
		return err
	}
	err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error { return join.Revoke(tx, c.Merchant, c.Device, "leave") })
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
	}{true})
}

// serveBox is GET /sync/: the websocket of a box, in the protocol of docs/sync.md.
func (a *API) serveBox(c *call) error {
	if err := a.central(); err != nil {
		return err
	}
	if !websocket.IsWebSocketUpgrade(c.r) {
		return web.Fail(http.StatusBadRequest, "this path is a websocket for boxes; connect with the Upgrade header")
	}
	if err := a.Fleet.Serve(c.w, c.r, c.Device); err != nil {
		return web.Fail(http.StatusServiceUnavailable, "boxes are not served at the moment").Because(err)
	}
	return nil
}

// Link is what the API of a box wants of the part that speaks to its central.
type Link interface {
	Sync() SyncState
	Now()
	Join(ctx context.Context, by store.Cause, m store.MerchantID, code, name string, people join.People) error
	Adopt(ctx context.Context, by store.Cause, m store.MerchantID, ids []store.PersonID) (adopted int, err error)
	Leave(ctx context.Context, by store.Cause) (told bool, err error)
	Rotate(ctx context.Context, by store.Cause) error
}

// SyncState is how a box stands with its central: what is where, how old, and why.
type SyncState struct {
	Joined     bool           `json:"joined"`
	Address    string         `json:"address,omitempty"`
	CentralID  store.DeviceID `json:"centralId,omitempty"`
	SiteID     store.SiteID   `json:"siteId,omitempty"`
	Phase      string         `json:"phase,omitempty"` // waiting, dialling, greeting, online
	Why        string         `json:"why,omitempty"`   // of the last connection that ended
	Events     uint64         `json:"events"`          // of this box,
	Sent       uint64         `json:"sent"`            // and how many of them the central holds
	Revision   uint64         `json:"revision"`        // of the site that this box has,
	Behind     uint64         `json:"behind"`          // and how many it lacks, as far as it knows
	Snapshot   bool           `json:"snapshot,omitempty"`
	Synced     bool           `json:"synced"`
	Match      bool           `json:"match"` // whether the box may match
	Revoked    bool           `json:"revoked,omitempty"`
	AgeSeconds float64        `json:"ageSeconds"` // since it had all that the central had
	// LimitSeconds is the age from which nobody passes, as the merchant's policy has it;
	// 0: there is none.
	LimitSeconds float64   `json:"limitSeconds"`
	Stale        bool      `json:"stale,omitempty"`    // it is over that
	AppliedAt    time.Time `json:"appliedAt,omitzero"` // when something last came
}

// syncStatus is GET /sync/status/: on a box how it stands with its central, at a
// central how its boxes stand.
func (a *API) syncStatus(c *call) error {
	if a.Fleet == nil {
		var s SyncState
		if a.Config.Link != nil {
			s = a.Config.Link.Sync()
		}
		return c.reply(http.StatusOK, struct {
			Success bool `json:"success"`
			SyncState
		}{true, s})
	}
	list, err := a.devices(c)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool     `json:"success"`
		Devices []device `json:"devices"`
	}{true, list})
}

// syncNow is POST /sync/now/: a box that waits for its next try connects at once.
func (a *API) syncNow(c *call) error {
	if a.Config.Link == nil || !a.Config.Link.Sync().Joined {
		return web.Fail(http.StatusConflict, "this box has joined no central")
	}
	a.Config.Link.Now()
	return c.reply(http.StatusAccepted, struct {
		Success bool `json:"success"`
	}{true})
}

// adoptHeld is POST /sync/adopt/: people who were held when the box joined go up to
// its central, all of them or those that are named.
func (a *API) adoptHeld(c *call) error {
	if a.Config.Link == nil {
		return errNoLink
	}
	var in struct {
		UserIDs []string `json:"userIds"`
	}
	if err := web.DecodeOptional(c.r, &in, 0); err != nil {
		return err
	}
	if len(in.UserIDs) > maxAdopt {
		return web.Fail(http.StatusBadRequest, "a field is not well formed").Field("userIds", fmt.Sprintf("must not be more than %d; without any, all are adopted", maxAdopt))
	}
	ids := make([]store.PersonID, len(in.UserIDs))
	for i, word := range in.UserIDs {
		id, err := store.ParseID[store.PersonID](word)
		if err != nil {
			return badID("userIds")
		}
		ids[i] = id
	}
	ctx, cancel := c.unlimited()
	defer cancel()
	n, err := a.Config.Link.Adopt(ctx, c.cause(), c.Merchant, ids)
	switch {
	case errors.Is(err, join.ErrNotHeld):
		return web.Fail(http.StatusConflict, "one of these people is not held: nobody was adopted")
	case errors.Is(err, store.ErrNotFound):
		return web.Fail(http.StatusConflict, "this box has joined no central")
	case err != nil:
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
		Adopted int  `json:"adopted"`
	}{true, n})
}

// maxAdopt is how many people one call names at most.
const maxAdopt = 1000

// linkOperations are those of the control socket of a box.
func linkOperations() []operation {
	return []operation{
		{"POST", "/control/join", auth.Sites, (*API).joinCentral},
		{"POST", "/control/leave", auth.Sites, (*API).leaveCentral},
		{"POST", "/control/join/rotate", auth.Sites, (*API).rotateLink},
	}
}

var errNoLink = web.Fail(http.StatusConflict, "this cannot join a central: only a box that is running can")

// joinCentral is POST /control/join: the box joins the central of a claim code.
func (a *API) joinCentral(c *call) error {
	if a.Config.Link == nil {
		return errNoLink
	}
	var in struct {
		Code   string      `json:"code"`
		Name   string      `json:"name"`
		People join.People `json:"people"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	if in.People != join.Ask && in.People != join.Adopt && in.People != join.Hold && in.People != join.Erase {
		return web.Fail(http.StatusBadRequest, "a field is not well formed").Field("people", "must be adopt, hold or erase")
	}
	ctx, cancel := c.unlimited()
	defer cancel()
	err := a.Config.Link.Join(ctx, c.cause(), c.Merchant, in.Code, in.Name, in.People)
	var refused *join.Refused
	switch {
	case errors.Is(err, join.ErrCode):
		return web.Fail(http.StatusBadRequest, "%v", err).Field("code", "is not one that a central made")
	case errors.Is(err, join.ErrPeople), errors.Is(err, join.ErrJoined):
		return web.Fail(http.StatusConflict, "%v", err)
	case errors.As(err, &refused) && refused.Status < 500:
		return web.Fail(http.StatusUnprocessableEntity, "%v", err)
	case err != nil:
		return web.Fail(http.StatusBadGateway, "%v", err).Because(err) // the operator asked from the box itself
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
		SyncState
	}{true, a.Config.Link.Sync()})
}

// leaveCentral is POST /control/leave.
func (a *API) leaveCentral(c *call) error {
	if a.Config.Link == nil {
		return errNoLink
	}
	told, err := a.Config.Link.Leave(c.ctx(), c.cause())
	if errors.Is(err, store.ErrNotFound) {
		return web.Fail(http.StatusConflict, "this box has joined no central")
	} else if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
		Told    bool `json:"told"` // whether the central has heard
	}{true, told})
}

// rotateLink is POST /control/join/rotate: a new credential for the central.
func (a *API) rotateLink(c *call) error {
	if a.Config.Link == nil {
		return errNoLink
	}
	err := a.Config.Link.Rotate(c.ctx(), c.cause())
	if errors.Is(err, store.ErrNotFound) {
		return web.Fail(http.StatusConflict, "this box has joined no central")
	} else if err != nil {
		return web.Fail(http.StatusBadGateway, "%v", err).Because(err)
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
	}{true})
}
