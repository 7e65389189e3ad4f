package uplink

import (
	"time"

	"github.com/cypherface/edge/sync/wire"
)

// Config is how a machine behaves. Random is required; zero values mean the
// defaults given.
type Config struct {
	// Random returns numbers from [0, 1), and no two boxes the same ones.
	Random func() float64

	Window     uint64        // bytes that the central may send ahead, as wire.Cost has them; 1 MiB
	First      time.Duration // window of the first connection, unless the central said another; 5 s
	BackoffMin time.Duration // window of the first try after a failure; 1 s
	BackoffMax time.Duration // window of the later ones; 4 min
	RefusedFor time.Duration // window after the central refused the box for good; 1 h
	Greeting   time.Duration // how long to wait for Welcome; 20 s
	Silence    int           // pings that may fail to come; 3
	StoreRetry time.Duration // after the store failed; 1 s
	StaleAfter time.Duration // age from which data counts as stale; 0: never
	Readings   int           // telemetry that is kept for want of a connection; 64
}

func (c Config) withDefaults() Config {
	c.Window = orElse(c.Window, 1<<20)
	c.First = orElse(c.First, 5*time.Second)
	c.BackoffMin = orElse(c.BackoffMin, time.Second)
	c.BackoffMax = orElse(c.BackoffMax, 4*time.Minute)
	c.RefusedFor = orElse(c.RefusedFor, time.Hour)
	c.Greeting = orElse(c.Greeting, 20*time.Second)
	c.Silence = orElse(c.Silence, 3)
	c.StoreRetry = orElse(c.StoreRetry, time.Second)
	c.Readings = min(orElse(c.Readings, wire.MaxReadings), wire.MaxReadings)
	return c
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// never is a time that does not come.
const never = time.Duration(1<<63 - 1)

// Machine is the box's side of sync. It serves one goroutine.
type Machine struct {
	cfg   Config
	state State // as it is durable, but for Head

	now time.Duration
	out []Output

	phase    Phase
	why      string
	dialAt   time.Duration // while Waiting; never: not again
	attempts int           // that came to nothing since the central was last there
	spread   time.Duration // window that the central asked for: the least there is
	hint     time.Duration // window that the end of a connection asked for; 0: none
	refused  bool          // it ended for good

	conn conn

	reading bool          // a Read is under way
	readFor uint64        // the number of the connection it was for
	readAt  time.Duration // not before, after the store failed
	writes  writes

	scopes   []scope
	freshAt  time.Duration // when all that the central had was here at the earliest; may be before 0
	exact    bool          // freshAt is
	synced   bool
	readings []reading
	dropped  uint64
	note     []byte // newest checkpoint
	told     Status
}

// conn is what is known of the connection there is.
type conn struct {
	number  uint64 // counts connections
	closing bool   // Hangup was asked for
	credits int64  // that the central gave
	window  int64  // of ours that it has left
	sent    uint64 // last event that was sent
	acked   uint64 // last event that the central said it has
	ping    time.Duration
	pings   uint64 // number of the last one
	said    uint64 // messages that were sent
	got     uint64 // messages that came
	deadAt  time.Duration
	askedAt time.Duration // when Hello or the last Pong was sent
	noted   bool          // the newest checkpoint was sent
}

// scope is a bookmark and what the connection said about its scope.
type scope struct {
	wire.Bookmark               // durable
	head          uint64        // the central's last revision, as far as known
	next          wire.Bookmark // as it will be once everything received is durable
	replace       bool          // the central wants to send a snapshot from its beginning
}

// New makes the machine of a box, at the moment now.
func New(now time.Duration, cfg Config, s State) *Machine {
	m := &Machine{cfg: cfg.withDefaults(), state: s, now: now, phase: Waiting, freshAt: now - s.Age, exact: s.Exact, spread: s.Spread}
	for _, b := range s.Scopes {
		m.scopes = append(m.scopes, scope{Bookmark: b})
	}
	m.dialAt = now + m.jitter(max(m.cfg.First, s.Spread))
	if s.Revoked {
		m.dialAt, m.why = never, "this box was revoked"
	}
	return m
}

// Step takes what happened at the moment now, and returns what is to be done. The
// slice is valid until the next Step.
func (m *Machine) Step(now time.Duration, in Input) []Output {
	m.now, m.out = max(now, m.now), m.out[:0]
	switch in := in.(type) {
	case Dialled:
		m.greet(in)
	case Received:
		if m.phase == Greeting || m.phase == Online {
			m.receive(in.Message)
		}
	case Lost:
		m.lost(in)
	case Grown:
		m.state.Head = max(m.state.Head, in.Head)
	case Done:
		m.done(in)
	case Measured:
		m.measure(in)
	case Checkpointed:
		m.note, m.conn.noted = in.Note, false
	case Limited:
		m.cfg.StaleAfter = in.StaleAfter
	}
	m.advance()
	m.tell()
	return m.out
}

// advance does what is due.
func (m *Machine) advance() {
	if m.phase == Waiting && m.now >= m.dialAt && m.writes.busy == nil {
		m.phase = Dialling
		m.do(Dial{})
	}
	if m.connected() && m.now >= m.conn.deadAt {
		m.hangup("the central is silent")
	}
	m.write()
	if m.phase == Online && !m.conn.closing {
		m.sendEvents()
		m.sendNote()
	}
}

// Wake is when to step Tick if nothing happens before.
func (m *Machine) Wake() time.Duration {
	at := never
	if m.phase == Waiting && m.writes.busy == nil {
		at = min(at, m.dialAt)
	}
	if m.connected() {
		at = min(at, m.conn.deadAt)
	}
	if m.wantsEvents() {
		at = min(at, m.readAt)
	}
	if m.writes.waits() {
		at = min(at, m.writes.retryAt)
	}
	if m.cfg.StaleAfter > 0 && !m.told.Stale {
		at = min(at, m.freshAt+m.cfg.StaleAfter)
	}
	return at
}

func (m *Machine) do(o Output) { m.out = append(m.out, o) }

func (m *Machine) send(msg wire.Message) {
	m.conn.said++
	m.do(Send{msg})
}

func (m *Machine) connected() bool {
	return (m.phase == Greeting || m.phase == Online) && !m.conn.closing
}

// jitter is a moment of a window, each as likely.
func (m *Machine) jitter(window time.Duration) time.Duration {
	return time.Duration(m.cfg.Random() * float64(window))
}

// hangup ends a connection; the rest comes with Lost.
func (m *Machine) hangup(why string) {
	if m.conn.closing {
		return
	}
	m.conn.closing, m.why = true, why
	m.do(Hangup{why})
}
