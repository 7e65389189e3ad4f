// Package host runs the machines of sync/uplink and sync/hub: it connects them by
// websockets, answers what they ask of the store, and wakes them.
//
// # Use
//
// On a box, one Box for a store; whether it has joined a central is its own affair:
//
//	b := host.NewBox(host.BoxConfig{Store: s, Log: log})
//	go b.Run(ctx)
//	b.Status()            // what is where, how old, and why
//
// At a central, one Central for a store. Who checked a box's key hands its request
// over:
//
//	c := host.NewCentral(host.CentralConfig{Store: s, Log: log})
//	go c.Run(ctx)
//	err := c.Serve(w, r, device)
//
// # What it does not do
//
// It has no rules of its own: what is sent when is the machines', what edits and
// feeds do to records the store's. It makes no keys and checks none, but that of the
// central's certificate.
package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/join"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/uplink"
	"github.com/cypherface/edge/sync/wire"
)

// Path is where a central takes the connections of its boxes.
const Path = "/api/sync/"

// Connecting may take so long.
const dialLimit = 20 * time.Second

var boxCause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "sync"}, Essential: true}

// BoxConfig is what a Box is made of. Store is required.
type BoxConfig struct {
	Store  store.Store
	Log    *slog.Logger  // nil discards
	Uplink uplink.Config // Random may be nil; StaleAfter is the merchant's policy
	// TimeSure says whether the wall clock tells how long the box was off; nil: it does.
	TimeSure func() bool
	// Checkpoint returns the newest checkpoint of the store's journal, if there is one,
	// and Measure how the box is: what of it the central should hear. Both must be quick;
	// nil: nothing.
	Checkpoint func() (audit.Signed, bool)
	Measure    func() []uplink.Measured
	// Archived returns events of the journal that have left the store, from the one
	// numbered from on, in order and without a gap, at most limit; none where they are
	// nowhere. nil: there is no archive.
	Archived func(ctx context.Context, from uint64, limit int) ([]store.Envelope, error)
}

// A Box keeps a box in touch with its central. It is safe for concurrent use.
type Box struct {
	BoxConfig
	nudge chan struct{} // the link was made, ended or is to be tried

	mu     sync.Mutex // protects the fields below
	joined bool
	link   store.Link
	limit  time.Duration // the merchant's
	status uplink.Status
	told   time.Time // when status was
}

// BoxStatus is how a box stands with its central.
type BoxStatus struct {
	Joined  bool      `json:"joined"`
	Address string    `json:"address,omitempty"`
	Link    LinkState `json:"link,omitzero"`
}

// LinkState is uplink.Status in words and numbers for people.
type LinkState struct {
	Phase    string         `json:"phase"`
	Why      string         `json:"why,omitempty"`
	Central  store.DeviceID `json:"central,omitempty"`
	Site     store.SiteID   `json:"site,omitempty"`
	Head     uint64         `json:"head"`     // last event of this box
	Acked    uint64         `json:"acked"`    // and how many of them the central has
	Rev      uint64         `json:"revision"` // what this box has of its site,
	Behind   uint64         `json:"behind"`   // and how many revisions it lacks, as far as it knows
	Snapshot bool           `json:"snapshot,omitempty"`
	Synced   bool           `json:"synced"`
	Match    bool           `json:"match"` // whether it may match
	Revoked  bool           `json:"revoked,omitempty"`
	Age      float64        `json:"age"`              // seconds since it had all that the central had
	Limit    float64        `json:"limit"`            // seconds from which that is stale; 0: never
	Stale    bool           `json:"stale,omitempty"`  // nobody passes a door
	Applied  time.Time      `json:"applied,omitzero"` // when something last came
}

// NewBox makes a Box, which does nothing before Run.
func NewBox(c BoxConfig) *Box {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.TimeSure == nil {
		c.TimeSure = func() bool { return true }
	}
	if c.Uplink.Random == nil {
		c.Uplink.Random = mathrand.Float64
	}
	return &Box{BoxConfig: c, nudge: make(chan struct{}, 1)}
}

// Now has the box connect at once, if it is not.
func (b *Box) Now() {
	hint(b.nudge)
}

// Status says how the box stands.
func (b *Box) Status() BoxStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.joined {
		return BoxStatus{}
	}
	s := b.status
	l := LinkState{
		Phase: string(s.Phase), Why: s.Why, Central: b.link.Central, Site: b.link.Site, Head: s.Head, Acked: s.Acked,
		Synced: s.Synced, Match: s.Match, Revoked: s.Revoked, Limit: b.limit.Seconds(), Stale: s.Stale || b.link.Stale, Applied: b.link.Applied,
	}
	l.Age = s.Age.Seconds()
	if !s.Synced && !b.told.IsZero() {
		l.Age += time.Since(b.told).Seconds()
	}
	for _, scope := range s.Scopes {
		l.Rev, l.Behind, l.Snapshot = scope.Rev, max(scope.Head, scope.Rev)-scope.Rev, scope.Snapshot
	}
	return BoxStatus{Joined: true, Address: b.link.Address, Link: l}
}

// May says whether the box may match: not while it is revoked, or has to catch up
// first. A box that has joined nothing may.
func (b *Box) May() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.joined || b.status.Match
}

// Run keeps in touch until ctx ends, whenever there is a link.
func (b *Box) Run(ctx context.Context) error {
	unwatch := b.Store.Watch(func(c store.Commit) {
		for i := range c.Events {
			if a := c.Events[i].Action; c.Events[i].Kind == store.EventSystem && (a == "join" || a == "leave" || a == "rotate") {
				b.Now()
			}
		}
	})
	defer unwatch()
	boot := wire.Boot{}
	_, _ = rand.Read(boot[:]) // never fails
	first := time.Duration(0) // within which to connect; 0: as a box that starts
	for ctx.Err() == nil {
		l, err := b.readLink(ctx)
		switch {
		case errors.Is(err, store.ErrNotFound):
			select {
			case <-ctx.Done():
			case <-b.nudge:
				first = time.Millisecond // somebody who has it join waits for it
			}
		case err != nil && ctx.Err() == nil:
			b.Log.Error("sync does not work", "err", err)
			return err
		case err == nil:
			u := &up{Box: b, link: l, boot: boot, in: make(chan input, queueLen), grew: make(chan struct{}, 1), ruled: make(chan struct{}, 1), first: first}
			first = 0
			if err := u.run(ctx); errors.Is(err, errNow) {
				first = time.Millisecond
			} else if err != nil && ctx.Err() == nil {
				b.Log.Warn("sync begins anew", "err", err)
			}
		}
	}
	return nil
}

// Refresh reads what the store says of the link, for Status.
func (b *Box) Refresh(ctx context.Context) error {
	_, err := b.readLink(ctx)
	return err
}

func (b *Box) readLink(ctx context.Context) (l store.Link, err error) {
	err = b.Store.View(ctx, func(tx *store.Tx) error {
		l, err = store.Get[store.Link](tx, store.TheLink)
		return err
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.joined, b.link = err == nil, l
	return l, err
}

// errNow ends a machine that waits for its next try, so that a new one tries at once.
var errNow = errors.New("asked to connect at once")

// up is one machine with what it is connected to.
type up struct {
	*Box
	link     store.Link
	boot     wire.Boot
	first    time.Duration
	in       chan input
	grew     chan struct{}
	ruled    chan struct{} // the merchant's policy may have changed
	kept     time.Time     // when the age was, last
	measured time.Time
	anchored string        // checkpoint that was handed to the machine last
	head     atomic.Uint64 // last event of the journal
	conn     *conn         // of the goroutine that steps
	work     sync.WaitGroup
}

// input is one for the machine, with the connection that it is about, if that is new.
type input struct {
	uplink.Input
	conn *conn
}

// run drives a machine until ctx ends or the link is another.
func (u *up) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	// What is under way in the store ends before the next machine asks where it stands.
	defer u.work.Wait()
	defer cancel()
	defer u.Store.Watch(u.committed)()
	var state uplink.State
	err := u.Store.View(ctx, func(tx *store.Tx) (err error) { state, err = uplink.StateOf(tx); return err })
	if err != nil {
		return err
	}
	state.Boot = u.boot
	state.Age, state.Exact = ageOf(&u.link, time.Now(), u.TimeSure())
	config := u.Uplink
	if config.StaleAfter, err = u.policy(ctx); err != nil {
		return err
	}
	if u.first > 0 {
		config.First = u.first
	}
	m := uplink.New(boottime(), config, state)
	step := func(in uplink.Input) {
		for _, out := range m.Step(boottime(), in) {
			u.do(ctx, out)
		}
	}
	defer func() { u.keepAge(context.WithoutCancel(ctx), m.Status(boottime())) }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		in := input{Input: uplink.Tick{}}
		select {
		case <-ctx.Done():
			return nil
		case <-u.nudge:
			l, err := u.readLink(ctx)
			if err != nil || l.Bearer != u.link.Bearer || l.Address != u.link.Address {
				return nil // Run reads it again
			}
			if u.phase() == uplink.Waiting {
				return errNow
			}
		case in = <-u.in:
		case <-u.grew:
			in.Input = uplink.Grown{Head: u.head.Load()}
		case <-u.ruled:
			limit, err := u.policy(ctx)
			if err != nil {
				return err
			}
			in.Input = uplink.Limited{StaleAfter: limit}
		case <-timer.C:
		}
		if in.conn != nil {
			u.conn = in.conn
		}
		step(in.Input)
		u.tell(step, m.Status(boottime()).Acked)
		status := m.Status(boottime())
		u.mu.Lock()
		u.status, u.told = status, time.Now()
		u.mu.Unlock()
		if u.ageDue(&status) {
			u.keepAge(ctx, status)
		}
		timer.Reset(min(max(0, m.Wake()-boottime()), measureEvery))
	}
}

func (u *up) phase() uplink.Phase {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status.Phase
}

// committed tells the machine of new events. Only the last counts.
func (u *up) committed(c store.Commit) {
	if n := len(c.Events); n > 0 {
		u.head.Store(c.Events[n-1].Seq)
		hint(u.grew)
	}
	if slices.ContainsFunc(c.Changes, func(ch store.Changed) bool { return ch.Kind == store.KindMerchant }) {
		hint(u.ruled)
	}
}

// hint says that there is something to look at, once until somebody has.
func hint(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (u *up) put(ctx context.Context, in uplink.Input, c *conn) {
	select {
	case u.in <- input{in, c}:
	case <-ctx.Done():
	}
}

func (u *up) do(ctx context.Context, out uplink.Output) {
	switch out := out.(type) {
	case uplink.Dial:
		u.work.Go(func() { u.dial(ctx) })
	case uplink.Send:
		if u.conn != nil {
			_ = u.conn.send(out.Message) // a connection that fails is Lost
		}
	case uplink.Hangup:
		if u.conn != nil {
			_ = u.conn.send(nil) // the same
		}
	case uplink.Request:
		u.work.Go(func() { u.carryOut(ctx, out) })
	case uplink.Tell:
		u.Log.Info("sync", "phase", string(out.Status.Phase), "why", out.Status.Why, "synced", out.Status.Synced, "match", out.Status.Match)
	}
}

// dial connects and reads until the connection ends.
func (u *up) dial(ctx context.Context) {
	ws, lost, err := u.connect(ctx)
	if err != nil {
		u.Log.Debug("no connection to the central", "err", err)
		u.put(ctx, lost, nil)
		return
	}
	stop := context.AfterFunc(ctx, func() { ws.Close() })
	defer stop()
	c := newConn(ws, writeLimit)
	u.put(ctx, uplink.Dialled{Clock: time.Now()}, c)
	err = c.read(func(m wire.Message) bool { u.put(ctx, uplink.Received{Message: m}, nil); return ctx.Err() == nil })
	ws.Close()
	u.Log.Debug("the connection to the central ended", "err", err)
	u.put(ctx, uplink.Lost{}, nil)
}

// connect opens the websocket to the central, which has to have the key that the
// claim code named.
func (u *up) connect(ctx context.Context) (*websocket.Conn, uplink.Lost, error) {
	dialer := websocket.Dialer{HandshakeTimeout: dialLimit, TLSClientConfig: join.Pinned(u.link.Fingerprint)}
	header := http.Header{"Authorization": {"Bearer " + u.link.Bearer}}
	ws, answer, err := dialer.DialContext(ctx, "wss://"+u.link.Address+Path, header)
	if err == nil {
		return ws, uplink.Lost{}, nil
	}
	var lost uplink.Lost
	if answer != nil {
		lost.Refused = answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden
		if s, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && s > 0 {
			lost.Retry = time.Duration(s) * time.Second
		}
		err = fmt.Errorf("%w: %s", err, answer.Status)
	}
	return nil, lost, err
}

// carryOut does what the machine asks of the store.
func (u *up) carryOut(ctx context.Context, req uplink.Request) {
	var done uplink.Done
	var err error
	switch r := req.(type) {
	case uplink.Read:
		done, err = u.read(ctx, r)
	default:
		var again []store.Event
		if again, err = u.unsent(ctx, req); err == nil {
			err = u.Store.Update(ctx, boxCause, func(tx *store.Tx) (err error) {
				if err = store.PendArchived(tx, again); err == nil {
					done, err = uplink.CarryOut(tx, req)
				}
				return err
			})
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			u.Log.Warn("sync could not use the store", "err", err)
		}
		done = uplink.Done{Request: req, Err: err}
	} else {
		u.applied(req)
	}
	u.put(ctx, done, nil)
}

// applied notes for Status that something came.
func (b *Box) applied(req uplink.Request) {
	switch req.(type) {
	case uplink.Apply, uplink.Resync:
		b.mu.Lock()
		defer b.mu.Unlock()
		b.link.Applied = time.Now().UTC()
	}
}
