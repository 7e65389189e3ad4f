package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// history reads the journal, wherever its events lie now; the newest come first.
// Whatever a client is told about the past comes through here.
func (a *API) history(ctx context.Context, q audit.Query) (store.Page[store.Envelope], error) {
	if a.Audit == nil {
		return store.Page[store.Envelope]{}, web.Fail(http.StatusServiceUnavailable, "the journal is not open")
	}
	return a.Audit.List(ctx, q)
}

// verification is a decision as the API lists it: ids, words and numbers, and no
// names.
type verification struct {
	Seq       uint64             `json:"seq"`
	Epoch     uint64             `json:"epoch"`
	Time      time.Time          `json:"time"`
	Type      store.EventKind    `json:"type"`
	Action    string             `json:"action,omitempty"`
	Outcome   store.Outcome      `json:"outcome,omitempty"`
	Reasons   []string           `json:"reasons,omitempty"`
	Counters  map[string]float64 `json:"counters,omitempty"`
	UserID    store.PersonID     `json:"userId,omitempty"`
	SessionID store.SessionID    `json:"sessionId,omitempty"`
	DoorID    store.DoorID       `json:"doorId,omitempty"`
	RequestID string             `json:"requestId,omitempty"`
	DeviceID  store.DeviceID     `json:"deviceId,omitempty"` // who decided; at a central
}

func toVerification(e *store.Event) verification {
	return verification{e.Seq, e.Epoch, e.Time.UTC(), e.Kind, e.Action, e.Outcome, e.Reasons, e.Counters, e.Person, e.Session, e.Door, e.Request, ""}
}

// verificationKinds are what counts as the trail of recognitions.
var verificationKinds = []store.EventKind{store.EventDecision, store.EventLiveness, store.EventEncounter, store.EventEnrolment}

// listVerifications is GET /verifications/.
func (a *API) listVerifications(c *call) error {
	q, page, err := verificationQuery(c.r.URL.Query())
	if err != nil {
		return err
	}
	device, err := a.deviceQuery(c)
	if err != nil {
		return err
	}
	q.Merchant = c.Merchant
	if q.Cursor == "" { // pages that follow are of the same reading
		if err := a.noteReading(c, "verifications_list", q.Person); err != nil {
			return err
		}
	}
	var found store.Page[verification]
	// Pages by number are read from the beginning; a cursor goes on at once.
	for skip := page - 1; ; skip-- {
		if found, err = a.trail(c, q, device); err != nil {
			return err
		}
		if skip <= 0 || found.Next == "" {
			if skip > 0 {
				found.Items = nil
			}
			break
		}
		q.Cursor = found.Next
	}
	list := found.Items
	if list == nil {
		list = []verification{}
	}
	return c.reply(http.StatusOK, struct {
		Success       bool           `json:"success"`
		Verifications []verification `json:"verifications"`
		Limit         int            `json:"limit"`
		Page          int            `json:"page,omitempty"`
		NextCursor    store.Cursor   `json:"nextCursor,omitempty"`
	}{true, list, q.Limit, page, found.Next})
}

// verificationQuery reads the query; page is 0 where none was asked for.
func verificationQuery(v url.Values) (q audit.Query, page int, err error) {
	bad := web.Fail(http.StatusBadRequest, "the query is not well formed")
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if !slices.Contains([]string{"userId", "from", "to", "page", "limit", "cursor", "deviceId"}, name) {
			bad.Field(web.Clip(name, 40), "is not a parameter of this call")
		}
	}
	number := func(name string, byDefault, most int) int {
		if !v.Has(name) {
			return byDefault
		}
		n, err := strconv.Atoi(v.Get(name))
		if err != nil || n < 1 || n > most {
			bad.Field(name, fmt.Sprintf("must be a whole number from 1 to %d", most))
		}
		return n
	}
	moment := func(name string) (t time.Time) {
		if !v.Has(name) {
			return t
		}
		t, err := time.Parse(time.RFC3339, v.Get(name))
		if err != nil || t.Year() < 1970 || t.Year() > 2262 {
			bad.Field(name, "must be a time such as 2026-05-01T12:00:00Z")
		}
		return t
	}
	q = audit.Query{Kinds: verificationKinds, Limit: number("limit", 50, 100), From: moment("from"), To: moment("to"), Cursor: store.Cursor(v.Get("cursor"))}
	page = number("page", 0, maxSkip)
	if page > 0 && v.Has("cursor") {
		bad.Field("page", "goes without cursor")
	} else if page*q.Limit > maxSkip {
		bad.Field("page", fmt.Sprintf("times limit must not exceed %d; go on with cursor", maxSkip))
	}
	if v.Has("userId") {
		if q.Person, err = store.ParseID[store.PersonID](v.Get("userId")); err != nil {
			bad.Field("userId", "must be 24 lower-case hex digits")
		}
	}
	if bad.Details != nil {
		return q, page, bad
	}
	return q, page, nil
}

// noteReading puts into the journal that somebody reads what was decided, or all
// about a person.
func (a *API) noteReading(c *call, action string, p store.PersonID) error {
	by := c.cause()
	by.Essential = true // as the audit log is read when a disk is full
	return a.store.Update(c.ctx(), by, func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventAccess, Merchant: c.Merchant, Person: p, Action: action, Outcome: store.OutcomeGranted}, nil)
		return err
	})
}
