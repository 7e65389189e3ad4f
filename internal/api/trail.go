package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// trail reads what was decided: of a box from its own journal, of a central from its
// own and from those of its boxes, which it holds. Each has its order; of all, the
// newest comes first by the clock of who made it.
//
// A stream is one of these: the own journal, or the events of a kind of all boxes.
type trail struct {
	a       *API
	q       audit.Query
	device  store.DeviceID // whose events alone; "" for all
	streams []stream
}

// stream is how far one was read, and what was read of it for this page.
type stream struct {
	Cursor store.Cursor    `json:"c,omitempty"`
	Done   bool            `json:"d,omitempty"`
	kind   store.EventKind // "" for the own journal
	items  []verification
	at     []store.Cursor // where to go on behind each item
	next   store.Cursor   // behind all of them; "" where nothing follows
}

// maxCursor bounds what a cursor says, in characters.
const maxCursor = 4096

// trail returns a page of q, of which the cursor is its own.
func (a *API) trail(c *call, q audit.Query, device store.DeviceID) (page store.Page[verification], err error) {
	t := &trail{a: a, q: q, device: device, streams: []stream{{}}}
	if a.Fleet == nil { // as ever: the cursor is that of the journal
		found, err := a.history(c.ctx(), q)
		for i := range found.Items {
			page.Items = append(page.Items, toVerification(&found.Items[i].Event))
		}
		page.Next = found.Next
		return page, err
	}
	for _, k := range q.Kinds {
		t.streams = append(t.streams, stream{kind: k})
	}
	if q.Cursor != "" {
		if err := t.resume(q.Cursor); err != nil {
			return page, err
		}
	}
	for i := range t.streams {
		s := &t.streams[i]
		if s.Done {
			continue
		}
		if s.kind == "" {
			err = t.own(c, s)
		} else {
			err = a.store.View(c.ctx(), func(tx *store.Tx) error { return t.foreign(tx, s) })
		}
		if err != nil {
			return page, err
		}
	}
	return t.merge(), nil
}

func (t *trail) resume(cursor store.Cursor) error {
	raw, err := base64.RawURLEncoding.DecodeString(string(cursor[:min(len(cursor), maxCursor)]))
	var was []stream
	if err != nil || json.Unmarshal(raw, &was) != nil || len(was) != len(t.streams) {
		return store.ErrCursor
	}
	for i := range was {
		t.streams[i].Cursor, t.streams[i].Done = was[i].Cursor, was[i].Done
	}
	return nil
}

// own reads the journal of this store.
func (t *trail) own(c *call, s *stream) error {
	if t.device != "" && t.device != t.a.info.Device {
		return nil
	}
	q := t.q
	q.Cursor = s.Cursor
	found, err := t.a.history(c.ctx(), q)
	for i := range found.Items {
		e := &found.Items[i].Event
		v := toVerification(e)
		v.DeviceID = e.Device
		s.items = append(s.items, v)
		if i > 0 { // a cursor of the journal names the event to go on with
			s.at = append(s.at, audit.At(e.Epoch, e.Seq))
		}
	}
	s.at, s.next = append(s.at, found.Next), found.Next
	return err
}

// foreign reads events of boxes.
func (t *trail) foreign(tx *store.Tx, s *stream) error {
	if t.device == t.a.info.Device {
		return nil
	}
	q := store.Query[store.Foreign]{
		Prefix: []store.Term{store.Plain(t.q.Merchant), store.Plain(s.kind)}, Reverse: true, Cursor: s.Cursor, Limit: t.q.Limit,
	}
	if !t.q.From.IsZero() {
		q.From = store.Moment(t.q.From)
	}
	if !t.q.To.IsZero() {
		q.To = store.Moment(t.q.To)
	}
	if t.device != "" || t.q.Person != "" {
		q.Keep = func(f *store.Foreign) bool {
			return (t.device == "" || f.Device == t.device) && (t.q.Person == "" || f.Person == t.q.Person)
		}
	}
	found, err := store.List(tx, store.ForeignByMerchant, q)
	for i := range found.Items {
		f := &found.Items[i]
		v := toVerification(&f.Event)
		v.DeviceID = f.Device
		s.items, s.at = append(s.items, v), append(s.at, store.ForeignCursor(f))
	}
	s.next = found.Next
	return err
}

// merge takes the newest of what was read, and says where to go on.
func (t *trail) merge() (page store.Page[verification]) {
	taken := make([]int, len(t.streams))
	for len(page.Items) < t.q.Limit {
		newest, stuck := -1, false
		for i := range t.streams {
			s := &t.streams[i]
			switch n := taken[i]; {
			case n == len(s.items):
				stuck = stuck || s.next != "" // what follows was not read
			case newest < 0 || s.items[n].Time.After(t.streams[newest].items[taken[newest]].Time):
				newest = i
			}
		}
		if newest < 0 || stuck {
			break
		}
		page.Items = append(page.Items, t.streams[newest].items[taken[newest]])
		taken[newest]++
	}
	over := true
	for i := range t.streams {
		s := &t.streams[i]
		switch n := taken[i]; {
		case n == len(s.items):
			s.Cursor, s.Done = s.next, s.Done || s.next == ""
		case n > 0:
			s.Cursor = s.at[n-1]
		}
		over = over && s.Done
	}
	if !over {
		raw, _ := json.Marshal(t.streams) // texts and booleans
		page.Next = store.Cursor(base64.RawURLEncoding.EncodeToString(raw))
	}
	return page
}

// deviceQuery reads the parameter deviceId, which a central takes.
func (a *API) deviceQuery(c *call) (store.DeviceID, error) {
	word := c.r.URL.Query().Get("deviceId")
	if word == "" {
		return "", nil
	}
	id, err := store.ParseUUID[store.DeviceID](word)
	if err != nil || a.Fleet == nil {
		return "", web.Fail(http.StatusBadRequest, "the query is not well formed").Field("deviceId", "must be the id of a box, at a central")
	}
	return id, nil
}

// FromBox tells the listeners of the event stream what a box has sent: the JSON of
// events of a merchant.
func (a *API) FromBox(m store.MerchantID, raw [][]byte) {
	if a.feed.Subscribers() == 0 {
		return
	}
	for _, b := range raw {
		var e store.Event
		if json.Unmarshal(b, &e) != nil || !shown[e.Kind] {
			continue
		}
		n := noticeOf(&e)
		n.DeviceID, n.merchantID = e.Device, m
		a.feed.Publish(n)
	}
}
