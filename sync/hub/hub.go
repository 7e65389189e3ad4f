package hub

import (
	"slices"
	"time"

	"github.com/cypherface/edge/sync/wire"
)

// Config is how a machine behaves. Zero values mean the defaults given.
type Config struct {
	Ping     time.Duration // between two pings of a connection; 30 s
	Silence  int           // pings without a sign of life after which it ends; 3
	Greeting time.Duration // how long to wait for Hello; 20 s
	Rate     float64       // boxes that are admitted a second, on the long run and at once; 200

	Window   uint64 // bytes that a box may send ahead, as wire.Cost has them; 256 KiB
	Memory   uint64 // that all boxes together may, in equal shares; 256 MiB
	Sending  uint64 // bytes sent to all boxes that they have not taken yet, in equal shares; 256 MiB
	Readings int    // reads of feeds and snapshots at once; 16
}

func (c Config) withDefaults() Config {
	c.Ping = orElse(c.Ping, 30*time.Second)
	c.Silence = orElse(c.Silence, 3)
	c.Greeting = orElse(c.Greeting, 20*time.Second)
	c.Rate = orElse(c.Rate, 200)
	c.Window = orElse(c.Window, 256<<10)
	c.Memory = orElse(c.Memory, 256<<20)
	c.Sending = orElse(c.Sending, 256<<20)
	c.Readings = orElse(c.Readings, 16)
	return c
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Machine is the central's side of sync. It serves one goroutine.
type Machine struct {
	cfg Config
	now time.Duration
	out []Output

	conns   map[Conn]*session
	order   []*session // the same, so that they can be gone through in one order
	devices map[string]*device
	scopes  map[string]*watched
	online  int
	fleet   int
	sweepAt time.Duration
	drained bool

	tokens   float64 // boxes that may be admitted now
	tokensAt time.Duration

	reads   int
	feeding []*session // that wait for a read
}

// device is what is known of a box while the machine lives.
type device struct {
	live *session
	boot wire.Boot
	past []wire.Boot // boots that others have followed
	// flagging is how many times the store is being told that there are two of it, and
	// may not know yet.
	flagging int
}

// watched is a scope and the connections that have it.
type watched struct {
	head     uint64
	sessions []*session
}

// New makes a machine at the moment now.
func New(now time.Duration, cfg Config) *Machine {
	m := &Machine{
		cfg: cfg.withDefaults(), now: now, sweepAt: now + time.Second, tokensAt: now,
		conns: map[Conn]*session{}, devices: map[string]*device{}, scopes: map[string]*watched{},
	}
	m.tokens = m.cfg.Rate
	return m
}

// Step takes what happened at the moment now, and returns what is to be done. The
// slice is valid until the next Step.
func (m *Machine) Step(now time.Duration, in Input) []Output {
	m.now, m.out = max(now, m.now), m.out[:0]
	switch in := in.(type) {
	case Opened:
		m.open(in)
	case Received:
		m.with(in.Conn, func(s *session) { m.receive(s, in.Message) })
	case Closed:
		m.closed(in.Conn)
	case Admitted:
		m.with(in.Conn, func(s *session) { m.admitted(s, in) })
	case Ingested:
		m.with(in.Conn, func(s *session) { m.ingested(s, in) })
	case FeedRead:
		m.reads--
		m.with(in.Conn, func(s *session) { m.feedRead(s, in) })
	case SnapshotRead:
		m.reads--
		m.with(in.Conn, func(s *session) { m.snapshotRead(s, in) })
	case Confirmed:
		m.with(in.Conn, func(s *session) { s.confirming = false; m.confirm(s) })
	case Flagged:
		if d := m.devices[in.Device]; d != nil {
			d.flagging--
		}
	case Advanced:
		m.advanced(in)
	case Reassigned:
		m.dismissDevice(in.Device, &wire.Error{Code: wire.CodeBusy, Retry: 1000, Text: "what the box has to hold was changed"})
	case Revoked:
		m.dismissDevice(in.Device, &wire.Revoke{Reason: in.Reason})
	case Fleet:
		m.fleet = in.Boxes
	case Drain:
		m.drain()
	}
	m.feed()
	m.sweep()
	return m.out
}

// Wake is when to step Tick if nothing happens before.
func (m *Machine) Wake() time.Duration { return m.sweepAt }

// Online returns how many boxes are connected and welcome.
func (m *Machine) Online() int { return m.online }

// sweep looks at the clocks of all connections once a second.
func (m *Machine) sweep() {
	if m.now < m.sweepAt {
		return
	}
	m.sweepAt = m.now + time.Second
	for _, s := range slices.Clone(m.order) {
		m.beat(s)
	}
}

// with calls fn for a connection that is there and not ending.
func (m *Machine) with(c Conn, fn func(*session)) {
	if s := m.conns[c]; s != nil && !s.closing {
		fn(s)
	}
}

func (m *Machine) do(o Output) { m.out = append(m.out, o) }

func (m *Machine) send(s *session, msg wire.Message) {
	s.said++
	m.do(Send{s.conn, msg})
}

// dismiss says a last word and ends a connection; the rest comes with Closed.
func (m *Machine) dismiss(s *session, last wire.Message, why string) {
	if s.closing {
		return
	}
	if last != nil {
		m.send(s, last)
	}
	s.closing = true
	m.do(Close{s.conn, why})
}

// refuse ends the connection of a box that breaks the rules.
func (m *Machine) refuse(s *session, why string) {
	m.dismiss(s, &wire.Error{Code: wire.CodeProtocol, Text: why}, why)
}

func (m *Machine) dismissDevice(id string, last wire.Message) {
	if d := m.devices[id]; d != nil && d.live != nil {
		m.dismiss(d.live, last, wire.Describe(last))
	}
}

func (m *Machine) drain() {
	m.drained = true
	for _, s := range slices.Clone(m.order) {
		m.dismiss(s, &wire.Error{Code: wire.CodeClosing, Retry: m.spread(), Text: "the central goes down"}, "going down")
	}
}

// spread is the window, in milliseconds, in which so many boxes as there are come
// back at the rate at which they can be admitted.
func (m *Machine) spread() uint64 {
	return uint64(float64(max(m.fleet, m.online)) / m.cfg.Rate * 1000)
}

// retry is the window for those who are not connected now.
func (m *Machine) retry() uint64 {
	away := max(m.fleet-m.online, len(m.order)-m.online, 1)
	return max(1000, uint64(2*float64(away)/m.cfg.Rate*1000))
}
