package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// packs is what the API wants of verify.Service about a change of the pack.
type packs interface {
	Migration() verify.Migration
	Left() []verify.Left
	Finish(context.Context, store.Cause) (left int, err error)
}

// A Migration is a change of the pack as the API shows it.
type Migration struct {
	Stage      string    `json:"stage"`
	Pack       string    `json:"pack"` // that answers
	Space      string    `json:"space"`
	ToPack     string    `json:"toPack,omitempty"`
	ToSpace    string    `json:"toSpace,omitempty"`
	Incomplete bool      `json:"incomplete"`
	People     int       `json:"people"`
	Done       int       `json:"done"`
	Left       int       `json:"left"`
	Rate       float64   `json:"rate"`                // people a second
	Remaining  float64   `json:"remaining,omitempty"` // seconds
	BegunAt    time.Time `json:"begunAt,omitzero"`
	DecidedAt  time.Time `json:"decidedAt,omitzero"`
}

func toMigration(m verify.Migration) Migration {
	return Migration{
		Stage: m.Stage, Pack: m.Pack, Space: m.Space, ToPack: m.To, ToSpace: m.ToSpace, Incomplete: m.Incomplete,
		People: m.People, Done: m.Done, Left: m.Left, Rate: round(m.Rate), Remaining: m.Remaining.Round(time.Second).Seconds(),
		BegunAt: m.Begun, DecidedAt: m.Decided,
	}
}

// leftBehind is somebody who has to be enrolled again.
type leftBehind struct {
	UserID store.PersonID `json:"userId"`
	Reason string         `json:"reason"`
}

// migration is GET /migration/: how a change of the pack stands, for all people of
// the environment, and which of the caller's have to be enrolled again.
func (a *API) migration(c *call) error {
	if a.Packs == nil {
		return errNoPacks
	}
	limit, after, err := leftQuery(c.r)
	if err != nil {
		return err
	}
	out := struct {
		Success    bool           `json:"success"`
		Migration  Migration      `json:"migration"`
		Users      []leftBehind   `json:"users"`
		NextCursor store.PersonID `json:"nextCursor,omitempty"`
	}{true, toMigration(a.Packs.Migration()), []leftBehind{}, ""}
	for _, l := range a.Packs.Left() {
		if l.Merchant != c.Merchant || l.Person <= after {
			continue
		}
		if len(out.Users) == limit {
			out.NextCursor = out.Users[limit-1].UserID
			break
		}
		out.Users = append(out.Users, leftBehind{l.Person, l.Reason})
	}
	return c.reply(http.StatusOK, out)
}

func leftQuery(r *http.Request) (limit int, after store.PersonID, err error) {
	q, limit := r.URL.Query(), 100
	bad := web.Fail(http.StatusBadRequest, "the query is not well formed")
	for name := range q {
		if !slices.Contains([]string{"limit", "cursor"}, name) {
			bad.Field(web.Clip(name, 40), "is not a parameter of this call")
		}
	}
	if q.Has("limit") {
		if limit, err = strconv.Atoi(q.Get("limit")); err != nil || limit < 1 || limit > 1000 {
			bad.Field("limit", "must be a whole number from 1 to 1000")
		}
	}
	if q.Has("cursor") {
		if after, err = store.ParseID[store.PersonID](q.Get("cursor")); err != nil {
			bad.Field("cursor", "is not valid")
		}
	}
	if bad.Details != nil {
		slices.SortFunc(bad.Details, func(a, b web.Detail) int { return strings.Compare(a.Field, b.Field) })
		return 0, "", bad
	}
	return limit, after, nil
}

var errNoPacks = web.Fail(http.StatusNotFound, "no daemon is running, and nothing is changed")

// packOperations are those of the control socket about the pack. They are about
// all merchants of the box, so that who reaches the socket may.
func packOperations() []operation {
	return []operation{
		{"POST", "/control/models/reload", "", (*API).reloadPacks},
		{"POST", "/control/models/finish", "", (*API).finishMigration},
	}
}

// operatorCause is what changes of an operator are put down to who needs no
// merchant.
func operatorCause(r *http.Request) store.Cause {
	return store.Cause{Actor: operator(r), Request: web.RequestID(r.Context())}
}

// reloadPacks is POST /control/models/reload.
func (a *API) reloadPacks(c *call) error {
	if a.Reload == nil {
		return errNoPacks
	}
	ctx, cancel := c.unlimited()
	defer cancel()
	pack, err := a.Reload(ctx, operatorCause(c.r))
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success   bool      `json:"success"`
		Pack      string    `json:"pack"` // that was chosen
		Migration Migration `json:"migration"`
	}{true, pack, toMigration(a.Packs.Migration())})
}

// finishMigration is POST /control/models/finish.
func (a *API) finishMigration(c *call) error {
	if a.Packs == nil {
		return errNoPacks
	}
	left, err := a.Packs.Finish(c.ctx(), operatorCause(c.r))
	switch {
	case errors.Is(err, verify.ErrNoMigration):
		return web.Fail(http.StatusConflict, "no change of the pack is under way").Because(err)
	case errors.Is(err, verify.ErrUnfinished):
		return web.Fail(http.StatusConflict, "people are still being embedded; wait until only those are left who have to be enrolled again").Because(err)
	case err != nil:
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success   bool      `json:"success"`
		Left      int       `json:"left"`
		Migration Migration `json:"migration"`
	}{true, left, toMigration(a.Packs.Migration())})
}
