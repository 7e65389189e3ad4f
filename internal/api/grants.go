package api

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// grant is one as the API shows it. TimeZone is what its schedule is read in.
type grant struct {
	GrantID   store.GrantID  `json:"grantId"`
	DoorID    store.DoorID   `json:"doorId"`
	UserID    store.PersonID `json:"userId"`
	Schedule  []window       `json:"schedule,omitempty"` // none: at any time
	From      time.Time      `json:"from,omitzero"`
	Until     time.Time      `json:"until,omitzero"` // exclusive
	TimeZone  string         `json:"timeZone"`
	CreatedAt time.Time      `json:"createdAt"`
}

// window is a span of time on some days of the week, in words: minutes of the day are
// read wrong, and so are numbers of days, as a week begins on another day elsewhere.
type window struct {
	Days  []string `json:"days"`  // on which it begins
	Start string   `json:"start"` // HH:MM
	End   string   `json:"end"`   // exclusive, to 24:00; at or before Start: on the next day
}

// maxWindows bounds a schedule: four spans for each day of the week.
const maxWindows = 28

// dayNames are the days of the week by their numbers in time.Weekday.
var dayNames = [...]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

func clockOf(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

func toWindow(w store.Window) window {
	out := window{Days: make([]string, len(w.Days)), Start: clockOf(w.Start), End: clockOf(w.End)}
	for i, d := range w.Days {
		out.Days[i] = dayNames[d]
	}
	if w.End == 0 {
		out.End = "24:00"
	}
	return out
}

func toGrant(g *store.Grant, zone string) grant {
	out := grant{g.ID, g.Door, g.Person, nil, g.From, g.Until, zone, g.Created}
	for _, w := range g.Schedule {
		out.Schedule = append(out.Schedule, toWindow(w))
	}
	if zone == "" {
		out.TimeZone = "UTC"
	}
	return out
}

// zoneOf is the time zone that schedules of a door are read in.
func zoneOf(tx *store.Tx, d *store.Door) (string, error) {
	s, err := store.Get[store.Site](tx, d.Site)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return s.TimeZone, err
}

// minuteOf reads HH:MM, to 24:00.
func minuteOf(clock string) (minute int, ok bool) {
	if clock == "24:00" {
		return 24 * 60, true
	}
	t, err := time.Parse("15:04", clock)
	return t.Hour()*60 + t.Minute(), err == nil && len(clock) == len("15:04")
}

// read checks a window and puts what is wrong with it under a name.
func (in *window) read(bad *web.Error, name string) (out store.Window) {
	if len(in.Days) == 0 {
		bad.Field(name+".days", "is required: on which days it begins")
	}
	for _, word := range in.Days {
		d := time.Weekday(slices.Index(dayNames[:], word))
		switch {
		case d < 0:
			bad.Field(name+".days", "must be of sunday, monday, tuesday, wednesday, thursday, friday, saturday")
			return out
		case slices.Contains(out.Days, d):
			bad.Field(name+".days", "must name each day once")
			return out
		}
		out.Days = append(out.Days, d)
	}
	start, startOK := minuteOf(in.Start)
	end, endOK := minuteOf(in.End)
	switch {
	case !startOK || start == 24*60:
		bad.Field(name+".start", "must be a time from 00:00 to 23:59")
	case !endOK:
		bad.Field(name+".end", "must be a time from 00:00 to 24:00")
	case start == end:
		bad.Field(name+".end", "must not be the start; a whole day is 00:00 to 24:00")
	}
	out.Start, out.End = start, end%(24*60)
	return out
}

// grantRequest is the body of PUT /doors/{doorId}/grants/{userId}/: what is not there
// bounds nothing.
type grantRequest struct {
	Schedule []window `json:"schedule"`
	From     *string  `json:"from"`
	Until    *string  `json:"until"`
}

// read checks a request and returns what it says of a grant.
func (in *grantRequest) read() (g store.Grant, err error) {
	bad := web.Fail(http.StatusBadRequest, "the grant is not well formed")
	switch {
	case in.Schedule != nil && len(in.Schedule) == 0: // a list of times with none in it is no grant at any time
		bad.Field("schedule", "must not be empty; without a schedule the person may pass at any time")
	case len(in.Schedule) > maxWindows:
		bad.Field("schedule", fmt.Sprintf("must have at most %d windows", maxWindows))
	default:
		for i := range in.Schedule {
			g.Schedule = append(g.Schedule, in.Schedule[i].read(bad, fmt.Sprintf("schedule[%d]", i)))
		}
	}
	moment := func(name string, given *string) (t time.Time) {
		if given != nil {
			if t, err = time.Parse(time.RFC3339, *given); err != nil {
				bad.Field(name, "must be a time with its zone, such as 2026-05-01T08:00:00Z")
			}
		}
		return t.UTC()
	}
	g.From, g.Until = moment("from", in.From), moment("until", in.Until)
	if !g.Until.IsZero() && !g.Until.After(g.From) {
		bad.Field("until", "must be after from")
	}
	if bad.Details != nil {
		return g, bad
	}
	return g, nil
}

// grantDoor is PUT /doors/{doorId}/grants/{userId}/: the person may pass, at the times
// that the body names or at any. What there was of grants for him at this door is gone.
func (a *API) grantDoor(c *call) error {
	var in grantRequest
	if err := web.DecodeOptional(c.r, &in, 0); err != nil {
		return err
	}
	wanted, err := in.read()
	if err != nil {
		return err
	}
	var out grant
	err = a.grants(c, func(tx *store.Tx, d *store.Door, p store.PersonID, held []store.Grant) error {
		g := store.Grant{ID: store.NewID[store.GrantID](a.now()), Merchant: c.Merchant, Person: p, Door: d.ID}
		if len(held) > 0 { // it stays one grant, which changes
			g = held[0]
			if err := deleteGrants(tx, held[1:]); err != nil {
				return err
			}
		}
		before := g
		g.Schedule, g.From, g.Until = wanted.Schedule, wanted.From, wanted.Until
		if g.Rev == 0 || !reflect.DeepEqual(before, g) {
			if err := store.Put(tx, &g); err != nil {
				return err
			}
		}
		zone, err := zoneOf(tx, d)
		out = toGrant(&g, zone)
		return err
	})
	if err != nil {
		return err
	}
	message := "The person may pass."
	if out.Schedule != nil || !out.From.IsZero() || !out.Until.IsZero() {
		message = "The person may pass at the times of the grant."
	}
	return c.reply(http.StatusOK, struct {
		Success bool   `json:"success"`
		Message string `json:"message"`
		Grant   grant  `json:"grant"`
	}{true, message, out})
}

// ungrantDoor is DELETE /doors/{doorId}/grants/{userId}/.
func (a *API) ungrantDoor(c *call) error {
	err := a.grants(c, func(tx *store.Tx, _ *store.Door, _ store.PersonID, held []store.Grant) error {
		return deleteGrants(tx, held)
	})
	if err != nil {
		return err
	}
	return c.done("The person may not pass.")
}

// grants changes what the person of the path holds at the door of the path.
func (a *API) grants(c *call, do func(tx *store.Tx, d *store.Door, p store.PersonID, held []store.Grant) error) error {
	user, err := store.ParseID[store.PersonID](c.r.PathValue("userId"))
	if err != nil {
		return badID("userId")
	}
	_, err = a.withDoor(c, a.update(c), func(tx *store.Tx, d *store.Door) error {
		if _, err := store.GetOf[store.Person](tx, c.Merchant, user); err != nil {
			return err
		}
		held, err := listGrants(tx, store.GrantsByPerson, store.Plain(user), store.Plain(d.ID))
		if err != nil {
			return err
		}
		return do(tx, d, user, held)
	})
	return err
}

// listGrants are the grants of a query.
func listGrants(tx *store.Tx, ix store.Index[store.Grant], terms ...store.Term) (all []store.Grant, err error) {
	for g, err := range store.All(tx, ix, terms...) {
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

func deleteGrants(tx *store.Tx, all []store.Grant) error {
	for _, g := range all {
		if err := store.Delete[store.Grant](tx, g.ID); err != nil {
			return err
		}
	}
	return nil
}

// listDoorGrants is GET /doors/{doorId}/grants/: who may pass, and when.
func (a *API) listDoorGrants(c *call) error {
	q, err := pageQuery[store.Grant](c.r)
	if err != nil {
		return err
	}
	list := []grant{}
	var next store.Cursor
	_, err = a.withDoor(c, a.store.View, func(tx *store.Tx, d *store.Door) error {
		q.Prefix = []store.Term{store.Plain(d.ID)}
		page, err := store.List(tx, store.GrantsByDoor, q)
		if err != nil {
			return err
		}
		zone, err := zoneOf(tx, d)
		for i := range page.Items {
			list = append(list, toGrant(&page.Items[i], zone))
		}
		next = page.Next
		return err
	})
	if err != nil {
		return err
	}
	return c.replyGrants(list, next)
}

// listUserGrants is GET /users/{userId}/grants/: through which doors a person may pass,
// and when.
func (a *API) listUserGrants(c *call) error {
	list := []grant{}
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		p, err := c.one(tx)
		if err != nil {
			return err
		}
		held, err := listGrants(tx, store.GrantsByPerson, store.Plain(p.ID))
		for i := 0; err == nil && i < len(held); i++ {
			var zone string
			d, doorErr := store.Get[store.Door](tx, held[i].Door)
			switch {
			case doorErr == nil:
				zone, err = zoneOf(tx, &d)
			case !errors.Is(doorErr, store.ErrNotFound): // a door may come after its grants from a central
				err = doorErr
			}
			list = append(list, toGrant(&held[i], zone))
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.replyGrants(list, "")
}

func (c *call) replyGrants(list []grant, next store.Cursor) error {
	return c.reply(http.StatusOK, struct {
		Success    bool         `json:"success"`
		Grants     []grant      `json:"grants"`
		NextCursor store.Cursor `json:"nextCursor,omitempty"`
	}{true, list, next})
}
