package daemon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/join"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/host"
	syncwire "github.com/cypherface/edge/sync/wire"
)

// meet makes the part of an environment that speaks with others: of a box with its
// central, of a central with its boxes.
func (e *environment) meet() error {
	if !e.program.central {
		e.link = &link{Box: host.NewBox(host.BoxConfig{Store: e.store, Log: e.log, TimeSure: e.clock.Sure, Checkpoint: e.audit.Newest, Measure: e.measure, Archived: e.audit.Archived}), store: e.store}
		return nil
	}
	e.fleet = &fleet{environment: e}
	fingerprint, _, err := e.fleet.Identity()
	if err != nil {
		return err
	}
	e.fleet.Central = host.NewCentral(host.CentralConfig{Store: e.store, Log: e.log, Fingerprint: syncwire.Hash(fingerprint), Came: func(m store.MerchantID, raw [][]byte) { e.api.FromBox(m, raw) }})
	return nil
}

// may says whether the environment may match.
func (e *environment) may() func() bool {
	if e.link == nil {
		return func() bool { return true }
	}
	return e.link.May
}

// tie puts into words how the environment stands with others, for everybody to
// read; "" where it stands alone.
func (e *environment) tie(ctx context.Context) string {
	if e.fleet != nil {
		boxes := 0
		_ = e.store.View(ctx, func(tx *store.Tx) (err error) { boxes, err = store.Count(tx, store.DevicesByMerchant); return err }) // /readyz tells what is wrong
		return fmt.Sprintf("%d of %d boxes connected", len(e.fleet.Online()), boxes)
	}
	s := e.link.Status()
	switch {
	case !s.Joined:
		return ""
	case s.Link.Revoked:
		return "revoked by its central: it matches nobody"
	case !s.Link.Match:
		return "catching up with its central before it matches"
	case s.Link.Stale:
		return fmt.Sprintf("nobody passes: what it has of its central is %s old, and %s is the limit", days(s.Link.Age), days(s.Link.Limit))
	case s.Link.Synced:
		return "up to date with its central"
	}
	words := "not connected to its central, whose data is " + days(s.Link.Age) + " old"
	if s.Link.Limit == 0 {
		words += " (no limit is set)"
	}
	if s.Link.Phase == "online" {
		words = fmt.Sprintf("connected, %d changes behind its central", s.Link.Behind)
	}
	return fmt.Sprintf("%s; %d events wait to be sent", words, max(s.Link.Head, s.Link.Acked)-s.Link.Acked)
}

// days puts seconds into words.
func days(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	case d >= time.Minute:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.Round(time.Second).String()
}

// link is a box's tie to its central, as the API wants it.
type link struct {
	*host.Box
	store store.Store
}

var _ api.Link = (*link)(nil)

// Sync says how the box stands.
func (l *link) Sync() api.SyncState {
	s := l.Status()
	return api.SyncState{
		Joined: s.Joined, Address: s.Address, CentralID: s.Link.Central, SiteID: s.Link.Site, Phase: s.Link.Phase, Why: s.Link.Why,
		Events: s.Link.Head, Sent: s.Link.Acked, Revision: s.Link.Rev, Behind: s.Link.Behind, Snapshot: s.Link.Snapshot,
		Synced: s.Link.Synced, Match: l.May(), Revoked: s.Link.Revoked, AgeSeconds: s.Link.Age, LimitSeconds: s.Link.Limit, Stale: s.Link.Stale, AppliedAt: s.Link.Applied,
	}
}

func (l *link) box(by store.Cause, m store.MerchantID, name string) *join.Box {
	if name == "" {
		name, _ = os.Hostname() // without one the central shows the id
	}
	return &join.Box{Store: l.store, Merchant: m, Name: name, Cause: by}
}

// Join joins the central of a claim code.
func (l *link) Join(ctx context.Context, by store.Cause, m store.MerchantID, code, name string, people join.People) error {
	if _, err := l.box(by, m, name).Join(ctx, code, people); err != nil {
		return err
	}
	return l.Refresh(ctx)
}

// Adopt adopts people who were held when the box joined.
func (l *link) Adopt(ctx context.Context, by store.Cause, m store.MerchantID, ids []store.PersonID) (int, error) {
	return l.box(by, m, "").AdoptHeld(ctx, ids)
}

// Leave leaves it.
func (l *link) Leave(ctx context.Context, by store.Cause) (told bool, err error) {
	return l.box(by, "", "").Leave(ctx)
}

// Rotate changes the box's credential.
func (l *link) Rotate(ctx context.Context, by store.Cause) error {
	return l.box(by, "", "").Rotate(ctx)
}

// fleet are the boxes of a central, as the API wants them.
type fleet struct {
	*host.Central
	environment *environment
}

var _ api.Fleet = (*fleet)(nil)

// Readings is what a box last told of itself.
func (f *fleet) Readings(d store.DeviceID) (all []api.Reading) {
	for _, r := range f.Central.Readings(d) {
		all = append(all, api.Reading(r))
	}
	return all
}

// Identity is what claim codes carry.
func (f *fleet) Identity() (fingerprint []byte, address string, err error) {
	e := f.environment
	if e.certs == nil {
		return nil, "", errors.New("open the central: boxes know it by the key of its certificate, and TLS is off (tls = own)")
	}
	cert, err := e.certs.Get(nil)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	host, port, err := net.SplitHostPort(e.listener.Addr().String())
	if err != nil {
		return nil, "", err
	}
	if u, err := url.Parse(e.url); err == nil && u.Hostname() != "" {
		host = u.Hostname()
		if u.Port() != "" {
			port = u.Port()
		}
	} else if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = outward()
	}
	return sum[:], net.JoinHostPort(host, port), nil
}

// outward is an address of this machine that others may reach, loopback where it
// has none.
func outward() string {
	all, err := net.InterfaceAddrs()
	for i := 0; err == nil && i < len(all); i++ {
		if n, ok := all[i].(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

// How often tombstones that all boxes have are looked for, and events of boxes that are
// too old; how many lines of a feed at a time, and how many events.
const (
	tendEvery  = time.Minute
	tendLines  = 20_000
	tendEvents = 256
)

// tend removes tombstones that all boxes have, and events of boxes that are older than
// the audit log reaches back, until ctx ends.
func (f *fleet) tend(ctx context.Context) error {
	e := f.environment
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var heads map[store.SiteID]uint64
		err := e.store.View(ctx, func(tx *store.Tx) (err error) { heads, err = store.FeedHeads(tx); return err })
		for site := range heads {
			if err == nil {
				err = e.store.Update(ctx, systemCause, func(tx *store.Tx) error { _, err := store.TrimFeed(tx, site, tendLines); return err })
			}
		}
		if err != nil && ctx.Err() == nil {
			e.log.Warn("remove what all boxes have", "err", err)
		}
		// A clock that leapt is no reason to lose what boxes sent.
		if e.auditDays > 0 && e.clock.Sure() {
			if err := trimForeign(ctx, e.store, e.clock.Now().AddDate(0, 0, -e.auditDays)); err != nil && ctx.Err() == nil {
				e.log.Warn("remove old events of boxes", "err", err)
			}
		}
	}
}

// trimForeign removes what boxes sent of before a time.
func trimForeign(ctx context.Context, s store.Store, before time.Time) error {
	var boxes []store.Device
	err := s.View(ctx, func(tx *store.Tx) error {
		for m, err := range store.All(tx, store.Merchants) {
			if err != nil {
				return err
			}
			for d, err := range store.All(tx, store.DevicesByMerchant, store.Plain(m.ID)) {
				if err != nil {
					return err
				}
				if old, err := store.HasForeign(tx, d.ID, before); err != nil {
					return err
				} else if old {
					boxes = append(boxes, d)
				}
			}
		}
		return nil
	})
	by := systemCause
	by.Essential = true // it makes room
	for i := range boxes {
		d := &boxes[i]
		all := 0
		for n := tendEvents; n == tendEvents && err == nil; all += n {
			err = s.Update(ctx, by, func(tx *store.Tx) (err error) { n, err = store.TrimForeign(tx, d.ID, before, tendEvents); return err })
		}
		if all > 0 && err == nil {
			err = s.Update(ctx, by, func(tx *store.Tx) error {
				_, err := store.Append(tx, store.Event{
					Kind: store.EventSystem, Merchant: d.Merchant, Site: d.Site, Action: "retention", Outcome: store.OutcomeDone,
					Reasons: []string{"events_of_box"}, Counters: map[string]float64{"events": float64(all)},
				}, nil)
				return err
			})
		}
	}
	return err
}
