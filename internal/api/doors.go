package api

import (
	"context"
	"net/http"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// doorOperations are those about doors, and who may pass them.
func doorOperations() []operation {
	return []operation{
		{"POST", "/doors", auth.Policy, (*API).createDoor},
		{"GET", "/doors", auth.EventsRead, (*API).listDoors},
		{"GET", "/doors/{doorId}", auth.EventsRead, (*API).showDoor},
		{"PUT", "/doors/{doorId}", auth.Policy, (*API).changeDoor},
		{"DELETE", "/doors/{doorId}", auth.Policy, (*API).deleteDoor},
		{"GET", "/doors/{doorId}/grants", auth.UsersRead, (*API).listDoorGrants},
		{"GET", "/users/{userId}/grants", auth.UsersRead, (*API).listUserGrants},
		{"PUT", "/doors/{doorId}/grants/{userId}", auth.Policy, (*API).grantDoor},
		{"DELETE", "/doors/{doorId}/grants/{userId}", auth.Policy, (*API).ungrantDoor},
	}
}

// door is a door as the API shows it: its policy with the defaults filled in, and how
// it is at this box.
type door struct {
	DoorID store.DoorID `json:"doorId"`
	SiteID store.SiteID `json:"siteId"`
	Name   string       `json:"name"`
	Camera string       `json:"camera,omitempty"` // URL, without credentials
	Policy doorPolicy   `json:"policy"`
	State  string       `json:"state,omitempty"` // of its camera here: live, fault, …; empty: none here
	Ask    string       `json:"ask,omitempty"`   // of the person there, for a screen
	Move   string       `json:"move,omitempty"`  // … in one word, where it is part of a challenge
}

// doorPolicy is what it takes to pass a door.
type doorPolicy struct {
	Liveness      store.DoorLiveness `json:"liveness"`
	FPIR          float64            `json:"fpir"`
	Frames        int                `json:"frames"`
	CoolDown      float64            `json:"coolDownSeconds"`
	SecondFactor  bool               `json:"secondFactor"`
	AllowWhenFull bool               `json:"allowWhenFull"`
}

func toDoorPolicy(p *store.DoorPolicy) doorPolicy {
	out := doorPolicy{p.Asks(), p.FPIR, p.Frames, p.CoolDown.Seconds(), p.SecondFactor, p.AllowWhenFull}
	if out.FPIR <= 0 {
		out.FPIR = verify.DefaultFPIR
	}
	if out.Frames <= 0 {
		out.Frames = verify.DefaultFrames
	}
	if out.CoolDown <= 0 {
		out.CoolDown = verify.DefaultCoolDown.Seconds()
	}
	return out
}

func (a *API) toDoor(d *store.Door) door {
	out := door{DoorID: d.ID, SiteID: d.Site, Name: d.Name, Camera: camera.RedactURL(d.Camera), Policy: toDoorPolicy(&d.Policy)}
	if a.Cameras != nil {
		for _, c := range a.Cameras() {
			if c.Door == d.ID {
				out.State = string(c.State().Status)
			}
		}
	}
	a.watching.mu.Lock()
	defer a.watching.mu.Unlock()
	if s := a.watching.asked[d.ID]; s != nil {
		out.Ask, out.Move = s.told, s.move
	}
	return out
}

// doorRequest is the body of POST and PUT /doors/: what is there changes.
type doorRequest struct {
	SiteID *string `json:"siteId"`
	Name   *string `json:"name"`
	Camera *string `json:"camera"`
	Policy struct {
		Liveness      *store.DoorLiveness `json:"liveness"`
		FPIR          *float64            `json:"fpir"`
		Frames        *int                `json:"frames"`
		CoolDown      *float64            `json:"coolDownSeconds"`
		SecondFactor  *bool               `json:"secondFactor"`
		AllowWhenFull *bool               `json:"allowWhenFull"`
	} `json:"policy"`
}

// apply checks a request and puts all but the site into a door.
func (in *doorRequest) apply(d *store.Door) error {
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	set(&d.Name, in.Name)
	if d.Name == "" {
		bad.Field("name", "is required")
	} else if issue := text(100)(d.Name); issue != "" {
		bad.Field("name", issue)
	}
	set(&d.Camera, in.Camera)
	if len(d.Camera) > 2000 {
		bad.Field("camera", "is too long")
	}
	p := &in.Policy
	if p.Liveness != nil && !p.Liveness.Valid() {
		bad.Field("policy.liveness", "must be off, passive or active")
	}
	if p.FPIR != nil && !(*p.FPIR >= 1e-8 && *p.FPIR <= 1e-1) {
		bad.Field("policy.fpir", "must be from 1e-8 to 0.1")
	}
	if p.Frames != nil && (*p.Frames < 1 || *p.Frames > 100) {
		bad.Field("policy.frames", "must be from 1 to 100")
	}
	if p.CoolDown != nil && !(*p.CoolDown >= 1 && *p.CoolDown <= 3600) {
		bad.Field("policy.coolDownSeconds", "must be from 1 to 3600")
	}
	if bad.Details != nil {
		return bad
	}
	set(&d.Policy.Liveness, p.Liveness)
	set(&d.Policy.FPIR, p.FPIR)
	set(&d.Policy.Frames, p.Frames)
	set(&d.Policy.SecondFactor, p.SecondFactor)
	set(&d.Policy.AllowWhenFull, p.AllowWhenFull)
	if p.CoolDown != nil {
		d.Policy.CoolDown = time.Duration(*p.CoolDown * float64(time.Second))
	}
	return nil
}

// siteOf is the site of a new door: the one that is named, or the only one of the
// merchant, which is made where he has none.
func (c *call) siteOf(tx *store.Tx, named *string, now time.Time) (store.SiteID, error) {
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	if named != nil {
		id, err := store.ParseID[store.SiteID](*named)
		if err != nil {
			return "", bad.Field("siteId", "must be 24 lower-case hex digits")
		}
		_, err = store.GetOf[store.Site](tx, c.Merchant, id)
		return id, err
	}
	page, err := store.List(tx, store.SitesByMerchant, store.Query[store.Site]{Prefix: []store.Term{store.Plain(c.Merchant)}, Limit: 2})
	switch {
	case err != nil:
		return "", err
	case len(page.Items) == 1:
		return page.Items[0].ID, nil
	case len(page.Items) > 1:
		return "", bad.Field("siteId", "is required, as there are several sites")
	}
	s := store.Site{ID: store.NewID[store.SiteID](now), Merchant: c.Merchant, Name: "Here"}
	return s.ID, store.Put(tx, &s)
}

// createDoor is POST /doors/.
func (a *API) createDoor(c *call) error {
	var in doorRequest
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	d := store.Door{ID: store.NewID[store.DoorID](a.now()), Merchant: c.Merchant}
	if err := in.apply(&d); err != nil {
		return err
	}
	err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) (err error) {
		if d.Site, err = c.siteOf(tx, in.SiteID, a.now()); err != nil {
			return err
		}
		return store.Put(tx, &d)
	})
	if err != nil {
		return err
	}
	return a.replyDoor(c, http.StatusCreated, &d)
}

func (a *API) replyDoor(c *call, status int, d *store.Door) error {
	return c.reply(status, struct {
		Success bool `json:"success"`
		door
	}{true, a.toDoor(d)})
}

// listDoors is GET /doors/.
func (a *API) listDoors(c *call) error {
	list := []door{}
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		for d, err := range store.All(tx, store.DoorsByMerchant, store.Plain(c.Merchant)) {
			if err != nil {
				return err
			}
			list = append(list, a.toDoor(&d))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool   `json:"success"`
		Doors   []door `json:"doors"`
	}{true, list})
}

// withDoor does something to the door of the path in a transaction.
func (a *API) withDoor(c *call, in func(context.Context, func(*store.Tx) error) error, do func(*store.Tx, *store.Door) error) (d store.Door, err error) {
	id, err := store.ParseID[store.DoorID](c.r.PathValue("doorId"))
	if err != nil {
		return d, badID("doorId")
	}
	err = in(c.ctx(), func(tx *store.Tx) (err error) {
		if d, err = store.GetOf[store.Door](tx, c.Merchant, id); err != nil {
			return err
		}
		return do(tx, &d)
	})
	return d, err
}

func (a *API) update(c *call) func(context.Context, func(*store.Tx) error) error {
	return func(ctx context.Context, fn func(*store.Tx) error) error { return a.store.Update(ctx, c.cause(), fn) }
}

// showDoor is GET /doors/{doorId}/: how a door is, for a screen at it too.
func (a *API) showDoor(c *call) error {
	d, err := a.withDoor(c, a.store.View, func(*store.Tx, *store.Door) error { return nil })
	if err != nil {
		return err
	}
	return a.replyDoor(c, http.StatusOK, &d)
}

// changeDoor is PUT /doors/{doorId}/. A box takes it up within ten seconds, another
// camera at once.
func (a *API) changeDoor(c *call) error {
	var in doorRequest
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	if in.SiteID != nil {
		return web.Fail(http.StatusBadRequest, "a field cannot be changed").Field("siteId", "stays as it is")
	}
	d, err := a.withDoor(c, a.update(c), func(tx *store.Tx, d *store.Door) error {
		before := toDoorPolicy(&d.Policy)
		if err := in.apply(d); err != nil {
			return err
		}
		if err := store.Put(tx, d); err != nil {
			return err
		}
		return notePolicy(tx, c.Merchant, d.ID, doorChanges(before, toDoorPolicy(&d.Policy)))
	})
	if err != nil {
		return err
	}
	return a.replyDoor(c, http.StatusOK, &d)
}

// doorChanges says in words what differs.
func doorChanges(before, after doorPolicy) (words changes) {
	words.note("liveness", before.Liveness, after.Liveness)
	words.note("fpir", before.FPIR, after.FPIR)
	words.note("frames", before.Frames, after.Frames)
	words.note("coolDownSeconds", before.CoolDown, after.CoolDown)
	words.note("secondFactor", before.SecondFactor, after.SecondFactor)
	words.note("allowWhenFull", before.AllowWhenFull, after.AllowWhenFull)
	return words
}

// deleteDoor is DELETE /doors/{doorId}/: nobody is let through it any more.
func (a *API) deleteDoor(c *call) error {
	_, err := a.withDoor(c, a.update(c), func(tx *store.Tx, d *store.Door) error {
		held, err := listGrants(tx, store.GrantsByDoor, store.Plain(d.ID))
		if err == nil {
			err = deleteGrants(tx, held)
		}
		if err != nil {
			return err
		}
		return store.Delete[store.Door](tx, d.ID)
	})
	if err != nil {
		return err
	}
	return c.done("The door is gone.")
}
