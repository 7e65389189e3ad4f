package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/join"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// Fleet is what the API of a central wants of the part that serves boxes.
type Fleet interface {
	// Serve takes the websocket of a box, to its end.
	Serve(w http.ResponseWriter, r *http.Request, device store.DeviceID) error
	// Online returns since when each box is connected that is.
	Online() map[store.DeviceID]time.Time
	// Readings returns what a box last told of itself, by name; empty where it told
	// nothing since the central started.
	Readings(device store.DeviceID) []Reading
	// Identity is what claim codes carry: the SHA-256 of the key in the certificate,
	// and where boxes find it, host:port.
	Identity() (fingerprint []byte, address string, err error)
}

// Reading is how something of a box was at some time, by the clock of the central.
type Reading struct {
	Name  string    `json:"name"`
	Value float64   `json:"value"`
	At    time.Time `json:"at"`
}

var errNoCentral = web.Fail(http.StatusNotFound, "this is a box, not a central: boxes join cypherface-central")

// siteOperations are those of a central. A box answers them with 404, but for the look
// at its site and the change of it, which takes a time zone for its schedules.
func siteOperations() []operation {
	return []operation{
		{"POST", "/sites", auth.Sites, (*API).createSite},
		{"GET", "/sites", auth.Sites, (*API).listSites},
		{"GET", "/sites/{siteId}", auth.Sites, (*API).showSite},
		{"PUT", "/sites/{siteId}", auth.Sites, (*API).changeSite},
		{"POST", "/claims", auth.Sites, (*API).createClaim},
		{"GET", "/claims", auth.Sites, (*API).listClaims},
		{"DELETE", "/claims/{claimId}", auth.Sites, (*API).dropClaim},
		{"GET", "/devices", auth.Sites, (*API).listDevices},
		{"GET", "/devices/{deviceId}", auth.Sites, (*API).showDevice},
		{"DELETE", "/devices/{deviceId}", auth.Sites, (*API).revokeDevice},
		{"POST", "/join/challenge", "", (*API).challenge},
		{"POST", "/join", "", (*API).join}, // the code is the credential
		{"POST", "/join/rotate", auth.Sync, (*API).rotateBox},
		{"POST", "/join/leave", auth.Sync, (*API).boxLeaves},
		{"GET", "/sync", auth.Sync, (*API).serveBox},
		{"GET", "/sync/status", auth.Verifications, (*API).syncStatus},
		{"POST", "/sync/now", auth.Sites, (*API).syncNow},
		{"POST", "/sync/adopt", auth.Sites, (*API).adoptHeld},
	}
}

// central refuses on a box.
func (a *API) central() error {
	if a.Fleet == nil {
		return errNoCentral
	}
	return nil
}

// site is a site as the API shows it.
type site struct {
	SiteID   store.SiteID     `json:"siteId"`
	Name     string           `json:"name"`
	TimeZone string           `json:"timeZone,omitempty"`
	People   store.SitePeople `json:"people"`   // all or granted
	Revision uint64           `json:"revision"` // of what its boxes have to hold
	Devices  int              `json:"devices"`
}

func toSite(tx *store.Tx, s *store.Site) (site, error) {
	out := site{SiteID: s.ID, Name: s.Name, TimeZone: s.TimeZone, People: s.People}
	if out.People == store.PeopleAll {
		out.People = "all"
	}
	f, err := store.FeedStateOf(tx, s.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return out, err
	}
	out.Revision = f.Head
	for d, err := range store.All(tx, store.DevicesByMerchant, store.Plain(s.Merchant)) {
		if err != nil {
			return out, err
		}
		if d.Site == s.ID && d.Status != store.Revoked {
			out.Devices++
		}
	}
	return out, nil
}

// siteRequest is the body of POST and PUT /sites/.
type siteRequest struct {
	Name     *string `json:"name"`
	TimeZone *string `json:"timeZone"`
	People   *string `json:"people"`
}

// apply checks a request and puts it into a site.
func (in *siteRequest) apply(s *store.Site) error {
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	if in.Name != nil {
		s.Name = *in.Name
	}
	if s.Name == "" {
		bad.Field("name", "is required")
	} else if issue := text(100)(s.Name); issue != "" {
		bad.Field("name", issue)
	}
	if in.TimeZone != nil {
		if _, err := time.LoadLocation(*in.TimeZone); err != nil || *in.TimeZone == "Local" {
			bad.Field("timeZone", "must be the name of a time zone, such as Europe/Berlin")
		}
		s.TimeZone = *in.TimeZone
	}
	if in.People != nil {
		switch *in.People {
		case "all":
			s.People = store.PeopleAll
		case "granted":
			s.People = store.PeopleGranted
		default:
			bad.Field("people", "must be all or granted")
		}
	}
	if bad.Details != nil {
		return bad
	}
	return nil
}

// createSite is POST /sites/: a site, whose boxes will share its people.
func (a *API) createSite(c *call) error {
	var in siteRequest
	if err := a.central(); err != nil {
		return err
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	s := store.Site{ID: store.NewID[store.SiteID](a.now()), Merchant: c.Merchant}
	if err := in.apply(&s); err != nil {
		return err
	}
	var out site
	err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) (err error) {
		if err = store.Put(tx, &s); err == nil {
			err = store.Share(tx, s.ID)
		}
		if err == nil {
			out, err = toSite(tx, &s)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, struct {
		Success bool `json:"success"`
		site
	}{true, out})
}

// listSites is GET /sites/.
func (a *API) listSites(c *call) error {
	list := []site{}
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		for s, err := range store.All(tx, store.SitesByMerchant, store.Plain(c.Merchant)) {
			if err != nil {
				return err
			}
			out, err := toSite(tx, &s)
			if err != nil {
				return err
			}
			list = append(list, out)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool   `json:"success"`
		Sites   []site `json:"sites"`
	}{true, list})
}

func (a *API) pathSite(c *call) (store.SiteID, error) {
	id, err := store.ParseID[store.SiteID](c.r.PathValue("siteId"))
	if err != nil {
		return "", badID("siteId")
	}
	return id, nil
}

// showSite is GET /sites/{siteId}/.
func (a *API) showSite(c *call) error {
	id, err := a.pathSite(c)
	if err != nil {
		return err
	}
	return a.replySite(c, id, func(*store.Tx, *store.Site) error { return nil }, a.store.View)
}

// changeSite is PUT /sites/{siteId}/: what is given changes.
func (a *API) changeSite(c *call) error {
	id, err := a.pathSite(c)
	if err != nil {
		return err
	}
	var in siteRequest
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	if a.Fleet == nil {
		if a.Config.Link != nil && a.Config.Link.Sync().Joined {
			return web.Fail(http.StatusConflict, "the site is the central's: change it there")
		}
		if in.People != nil {
			return web.Fail(http.StatusBadRequest, "a field is not well formed").Field("people", "is for a central: a box knows all of its people")
		}
	}
	change := func(tx *store.Tx, s *store.Site) error {
		if err := in.apply(s); err != nil {
			return err
		}
		return store.Put(tx, s)
	}
	return a.replySite(c, id, change, func(ctx context.Context, fn func(*store.Tx) error) error {
		return a.store.Update(ctx, c.cause(), fn)
	})
}

// replySite does something to a site in a transaction and shows it.
func (a *API) replySite(c *call, id store.SiteID, do func(*store.Tx, *store.Site) error, in func(context.Context, func(*store.Tx) error) error) error {
	var out site
	err := in(c.ctx(), func(tx *store.Tx) error {
		s, err := store.GetOf[store.Site](tx, c.Merchant, id)
		if err == nil {
			err = do(tx, &s)
		}
		if err == nil {
			out, err = toSite(tx, &s)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
		site
	}{true, out})
}

// claim is a claim as the API lists it. The code is not in it: nobody has it.
type claim struct {
	ClaimID   store.ClaimID  `json:"claimId"`
	SiteID    store.SiteID   `json:"siteId"`
	Name      string         `json:"name,omitempty"`
	CreatedAt time.Time      `json:"createdAt"`
	ExpiresAt time.Time      `json:"expiresAt"`
	UsedAt    time.Time      `json:"usedAt,omitzero"`
	DeviceID  store.DeviceID `json:"deviceId,omitempty"`
}

func toClaim(c *store.Claim) claim {
	return claim{c.ID, c.Site, c.Name, c.Created.UTC(), c.Expires.UTC(), c.Used, c.Device}
}

// createClaim is POST /claims/: a code with which one box may join a site, shown
// this once.
func (a *API) createClaim(c *call) error {
	if err := a.central(); err != nil {
		return err
	}
	var in struct {
		SiteID  string `json:"siteId"`
		Name    string `json:"name"`
		Life    int64  `json:"lifeSeconds"`
		Address string `json:"address"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	life := time.Duration(in.Life) * time.Second
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	id, err := store.ParseID[store.SiteID](in.SiteID)
	if err != nil {
		bad.Field("siteId", "must be the id of a site")
	}
	if life == 0 {
		life = join.DefaultLife
	}
	if life < time.Minute || life > join.MaxLife {
		bad.Field("lifeSeconds", "must be between 60 and 2592000")
	}
	if issue := text(100)(in.Name); issue != "" {
		bad.Field("name", issue)
	}
	if len(in.Address) > 200 {
		bad.Field("address", "must be host:port")
	}
	if bad.Details != nil {
		return bad
	}
	fingerprint, address, err := a.Fleet.Identity()
	if err != nil {
		return err
	}
	if in.Address != "" {
		address = in.Address
	}
	code := join.NewCode(fingerprint, address)
	var made store.Claim
	err = a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) (err error) {
		made, err = join.Make(tx, c.Merchant, store.Claim{Site: id, Name: in.Name, Expires: a.now().Add(life).UTC()}, code)
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, struct {
		Success bool   `json:"success"`
		Code    string `json:"code"`
		Address string `json:"address"`
		claim
	}{true, code.Text(), address, toClaim(&made)})
}

// listClaims is GET /claims/.
func (a *API) listClaims(c *call) error {
	if err := a.central(); err != nil {
		return err
	}
	list := []claim{}
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		page, err := store.List(tx, store.ClaimsByMerchant, store.Query[store.Claim]{Prefix: []store.Term{store.Plain(c.Merchant)}, Reverse: true, Limit: 100})
		for i := range page.Items {
			list = append(list, toClaim(&page.Items[i]))
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool    `json:"success"`
		Claims  []claim `json:"claims"`
	}{true, list})
}

// dropClaim is DELETE /claims/{claimId}/: its code is good for nothing any more.
func (a *API) dropClaim(c *call) error {
	if err := a.central(); err != nil {
		return err
	}
	id := store.ClaimID(c.r.PathValue("claimId"))
	err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		if _, err := store.GetOf[store.Claim](tx, c.Merchant, id); err != nil {
			return err
		}
		return store.Delete[store.Claim](tx, id)
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
	}{true})
}
