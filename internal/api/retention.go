package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// When retention acts by itself.
const (
	retentionAfter = 10 * time.Minute // a start
	retentionEvery = 24 * time.Hour
)

// retention is how the passes stand.
type retention struct {
	mu         sync.Mutex // protects the fields below
	next, last time.Time
	gone       map[string]int
}

// retentionClass is a class of data and how long it is kept.
type retentionClass struct {
	Name    string `json:"name"`
	Days    int    `json:"days"` // 0: for as long as the user is there
	Set     bool   `json:"set"`  // by the merchant; otherwise the default
	Default int    `json:"default"`
	What    string `json:"what"`
	Reason  string `json:"reason"`         // why that is the default
	Cost    string `json:"cost,omitempty"` // of a shorter time
}

// retentionState is what an owner sees of retention.
type retentionState struct {
	Success bool             `json:"success"`
	Classes []retentionClass `json:"classes"`
	Fixed   []retentionFixed `json:"fixed"`
	// InactiveSince is when days of absence began to count.
	InactiveSince time.Time      `json:"inactiveSince,omitzero"`
	LastPass      time.Time      `json:"lastPass,omitzero"` // of this process
	LastGone      map[string]int `json:"lastGone,omitempty"`
	Held          string         `json:"held,omitempty"` // why nothing is removed
}

// retentionFixed is what goes by itself and takes no setting of a merchant.
type retentionFixed struct {
	Name string `json:"name"`
	Kept string `json:"kept"`
}

func (a *API) retentionState(r *store.Retention) retentionState {
	out := retentionState{Success: true, InactiveSince: r.InactiveSince, Fixed: []retentionFixed{
		{"frames of sessions", "until a minute after their session ends"},
		{"images to compare", "until they are compared, at most " + words(a.UploadLife)},
		{"upload links", words(a.UploadLife)},
		{"liveness sessions", words(keepSession) + " after their end, without frames"},
		{"proposed crops", "14 days, or until they are decided about"},
		{"audit log", "as the box's setting audit-days says: ids, times, outcomes; personal parts go with the person"},
		{"hot copies", "as the box's setting copies says, one a day"},
	}}
	for _, c := range rights.Classes() {
		out.Classes = append(out.Classes, retentionClass{c.Name, c.Days(r), c.Set(r), c.Default, c.What, c.Reason, c.Cost})
	}
	a.retention.mu.Lock()
	out.LastPass, out.LastGone = a.retention.last, a.retention.gone
	a.retention.mu.Unlock()
	if !a.timeSure() {
		out.Held = "the clock of the box is not certain; nothing is removed until a time server keeps it"
	}
	return out
}

func words(d time.Duration) string {
	if d%time.Hour == 0 && d >= time.Hour {
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d min", int(d.Minutes()))
}

// showRetention is GET /merchant/retention/.
func (a *API) showRetention(c *call) error {
	var m store.Merchant
	err := a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		m, err = store.Get[store.Merchant](tx, c.Merchant)
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, a.retentionState(&m.Policy.Retention))
}

// changeRetention is PUT /merchant/retention/: days by class; null is the default.
func (a *API) changeRetention(c *call) error {
	days, err := readRetention(c)
	if err != nil {
		return err
	}
	var m store.Merchant
	err = a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) (err error) {
		if m, err = store.Get[store.Merchant](tx, c.Merchant); err != nil {
			return err
		}
		before := m.Policy.Retention
		if err := rights.SetRetention(&m.Policy.Retention, days, tx.Time()); err != nil {
			return err
		}
		if err := store.Put(tx, &m); err != nil {
			return err
		}
		return notePolicy(tx, c.Merchant, "", rights.RetentionChanges(&before, &m.Policy.Retention))
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, a.retentionState(&m.Policy.Retention))
}

func readRetention(c *call) (map[string]*int, error) {
	days := map[string]*int{}
	if err := web.Decode(c.r, &days, 0); err != nil { // each key is checked
		return nil, err
	}
	return days, nil
}

// previewRetention is POST /merchant/retention/preview/: what would go now under
// these days; changes nothing.
func (a *API) previewRetention(c *call) error {
	days, err := readRetention(c)
	if err != nil {
		return err
	}
	var m store.Merchant
	err = a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		m, err = store.Get[store.Merchant](tx, c.Merchant)
		return err
	})
	if err != nil {
		return err
	}
	if err := a.sightings.Flush(c.ctx(), true); err != nil { // who came just now is not absent
		return err
	}
	since := m.Policy.Retention.InactiveSince
	if err := rights.SetRetention(&m.Policy.Retention, days, a.now()); err != nil {
		return err
	}
	counts, err := a.sweeper().Preview(c.ctx(), m)
	if err != nil {
		return err
	}
	out := struct {
		Success       bool           `json:"success"`
		Would         map[string]int `json:"wouldGo"`
		Absent        int            `json:"notSeen"` // users who were not seen for so long, whether or not that counts yet
		InactiveSince time.Time      `json:"inactiveSince,omitzero"`
	}{Success: true, Would: counts, InactiveSince: m.Policy.Retention.InactiveSince}
	if out.InactiveSince != since || !since.IsZero() {
		// As if somebody had counted from ever on.
		m.Policy.Retention.InactiveSince = time.Time{}
		all, err := a.sweeper().Preview(c.ctx(), m)
		if err != nil {
			return err
		}
		out.Absent = all["inactive"]
	} else {
		out.Absent = counts["inactive"]
	}
	return c.reply(http.StatusOK, out)
}

func (a *API) sweeper() *rights.Sweeper {
	return &rights.Sweeper{Store: a.store, Clock: a.now, Sure: a.timeSure}
}

// timeSure says whether the time can be relied on for what cannot be undone.
func (a *API) timeSure() bool { return a.TimeSure == nil || a.TimeSure() }

// retain has a pass of retention done where it is due. It waits while the time is
// not known, and begins anew after a restart: what is gone is not due again.
func (a *API) retain(ctx context.Context) error {
	now := a.now()
	a.retention.mu.Lock()
	if a.retention.next.IsZero() {
		a.retention.next = now.Add(retentionAfter)
	}
	due := !now.Before(a.retention.next)
	a.retention.mu.Unlock()
	if !due || !a.timeSure() {
		return nil
	}
	return a.Retain(ctx)
}

// Retain has a pass of retention done now. The error matches rights.ErrTime where
// the time is not known.
func (a *API) Retain(ctx context.Context) error {
	if err := a.sightings.Flush(ctx, true); err != nil {
		return err
	}
	gone, err := a.sweeper().Pass(ctx)
	if errors.Is(err, rights.ErrTime) {
		return err
	}
	a.retention.mu.Lock()
	defer a.retention.mu.Unlock()
	if err == nil {
		a.retention.last, a.retention.next, a.retention.gone = a.now(), a.now().Add(retentionEvery), gone
	} else {
		a.retention.next = a.now().Add(retentionAfter)
	}
	return err
}
