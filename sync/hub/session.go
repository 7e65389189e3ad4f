package hub

import (
	"fmt"
	"slices"
	"time"

	"github.com/cypherface/edge/sync/wire"
)

// phase is where a connection stands.
type phase int

const (
	opened phase = iota // no Hello yet
	admitting
	online
)

// session is a connection.
type session struct {
	conn    Conn
	device  string
	phase   phase
	closing bool
	at      int // its place in order

	hello   *wire.Hello
	heardAt time.Duration

	said     uint64 // messages that were sent
	got      uint64 // messages that came
	pings    uint64
	pingedAt time.Duration
	awaits   bool // the last ping was not answered yet
	told     bool // the box knows that it was sent everything

	window    int64          // credits that the box has left
	lent      int64          // these, and the events that are not durable yet
	expected  uint64         // the event after which the next ones come
	events    []*wire.Events // that wait; the first is being ingested
	ingesting bool

	credits int64  // that the box gave
	owed    uint64 // what was sent and not taken yet
	scopes  []*position
	turn    int // the scope that was served last
	reading *position
	waits   bool // it is among those that wait for a read

	confirms   []wire.Applied
	confirming bool
}

// position is how far a scope was sent.
type position struct {
	scope    string
	sent     uint64 // revision
	head     uint64 // that there are, as far as known
	snapshot bool   // a snapshot is under way, of revision rev, sent up to cursor
	rev      uint64
	cursor   string
}

func (m *Machine) open(in Opened) {
	s := &session{conn: in.Conn, device: in.Device, at: len(m.order), heardAt: m.now}
	m.conns[in.Conn] = s
	m.order = append(m.order, s)
	if m.drained {
		m.dismiss(s, &wire.Error{Code: wire.CodeClosing, Retry: m.spread(), Text: "the central goes down"}, "going down")
	}
}

func (m *Machine) closed(c Conn) {
	s := m.conns[c]
	if s == nil {
		return
	}
	delete(m.conns, c)
	last := m.order[len(m.order)-1]
	m.order[s.at], last.at = last, s.at
	m.order = m.order[:len(m.order)-1]
	if d := m.devices[s.device]; d != nil && d.live == s {
		d.live = nil
	}
	if s.phase == online {
		m.online--
	}
	for _, p := range s.scopes {
		if w := m.scopes[p.scope]; w != nil {
			w.sessions = slices.DeleteFunc(w.sessions, func(x *session) bool { return x == s })
		}
	}
	s.closing = true
}

func (m *Machine) receive(s *session, msg wire.Message) {
	s.heardAt = m.now
	s.got++
	if hello, ok := msg.(*wire.Hello); ok {
		m.greet(s, hello)
		return
	}
	if s.phase != online {
		m.refuse(s, "a box begins with hello and waits for welcome")
		return
	}
	switch msg := msg.(type) {
	case *wire.Events:
		m.events(s, msg)
	case *wire.Applied:
		s.confirms = append(slices.DeleteFunc(s.confirms, func(a wire.Applied) bool { return a.Scope == msg.Scope }), *msg)
		if len(s.confirms) > wire.MaxScopes {
			m.refuse(s, "a box confirms scopes that it does not have")
			return
		}
		m.confirm(s)
	case *wire.Credits:
		s.owed -= min(msg.More, s.owed)
		s.credits = min(s.credits+int64(min(msg.More, 1<<40)), 1<<40)
		m.wants(s)
	case *wire.Pong:
		if msg.Number != s.pings || msg.Sent != s.got-1 {
			m.refuse(s, "something of what the box sent is missing, or came twice")
			return
		}
		s.awaits = false
		m.beat(s)
	case *wire.Telemetry:
		m.do(Watch{s.device, msg})
	case *wire.Checkpoint:
		m.do(Keep{s.device, msg.Note})
	case *wire.Error:
		m.dismiss(s, nil, "the box ended the connection: "+msg.Text)
	default:
		m.refuse(s, fmt.Sprintf("a box sends what only the central does (message %d)", msg.Type()))
	}
}

// confirm notes what the box holds, as long as nothing else is being noted.
func (m *Machine) confirm(s *session) {
	if s.confirming || len(s.confirms) == 0 {
		return
	}
	s.confirming = true
	m.do(Confirm{s.conn, s.device, s.confirms})
	s.confirms = nil
}

// beat looks at the clocks of a connection.
func (m *Machine) beat(s *session) {
	if s.closing {
		return
	}
	silent := m.now - s.heardAt
	if s.phase != online {
		if s.phase == opened && silent >= m.cfg.Greeting {
			m.dismiss(s, nil, "the box says nothing")
		}
		return
	}
	if silent >= time.Duration(m.cfg.Silence)*m.cfg.Ping {
		m.dismiss(s, nil, "the box is silent")
		return
	}
	caught := s.caught()
	since := m.now - s.pingedAt
	news := caught && !s.told && since >= min(time.Second, m.cfg.Ping)
	if s.awaits || since < m.cfg.Ping && !news && s.pings > 0 {
		return
	}
	s.pings++
	s.pingedAt, s.awaits, s.told = m.now, true, caught
	m.send(s, &wire.Ping{Number: s.pings, Sent: s.said, Caught: caught, Spread: m.spread()})
}

// caught says whether the box was sent everything there is.
func (s *session) caught() bool {
	return s.reading == nil && !slices.ContainsFunc(s.scopes, (*position).behind)
}

func (p *position) behind() bool { return p.snapshot || p.sent < p.head }
