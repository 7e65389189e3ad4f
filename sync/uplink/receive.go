package uplink

import (
	"fmt"
	"time"

	"github.com/cypherface/edge/sync/wire"
)

// receive takes a message of the central.
func (m *Machine) receive(msg wire.Message) {
	if m.conn.closing {
		return
	}
	m.conn.got++
	switch msg := msg.(type) {
	case *wire.Error:
		m.dismissed(msg)
		return
	case *wire.Revoke:
		yes := true
		m.enqueue(write{req: Save{Revoked: &yes}})
		m.hangup("this box was revoked: " + msg.Reason)
		return
	case *wire.Welcome:
		m.welcome(msg)
		return
	}
	if m.phase == Greeting && !m.writes.pending() {
		m.hangup("the central does not greet")
		return
	}
	m.heard()
	switch msg := msg.(type) {
	case *wire.EventsAck:
		m.ack(msg)
	case *wire.Feed:
		m.feed(msg)
	case *wire.Snapshot:
		m.snapshot(msg)
	case *wire.Credits:
		m.conn.credits = min(m.conn.credits+int64(min(msg.More, 1<<40)), 1<<40)
	case *wire.Ping:
		m.pong(msg)
	default:
		m.hangup(fmt.Sprintf("the central sends what only boxes do (message %d)", msg.Type()))
	}
}

// dismissed takes the reason for which the central ends the connection.
func (m *Machine) dismissed(e *wire.Error) {
	m.hint = time.Duration(min(e.Retry, uint64(24*time.Hour/time.Millisecond))) * time.Millisecond
	m.refused = e.Code == wire.CodeUnknown || e.Code == wire.CodeForked || e.Code == wire.CodeProtocol
	m.hangup("the central ended the connection: " + e.Text)
}

func (m *Machine) scope(name string) *scope {
	for i := range m.scopes {
		if m.scopes[i].Scope == name {
			return &m.scopes[i]
		}
	}
	return nil
}

// take counts what a message costs; it returns false where the central had no
// credits left.
func (m *Machine) take(msg wire.Message) bool {
	if m.conn.window <= 0 {
		m.hangup("the central sends more than it may")
		return false
	}
	m.conn.window -= int64(wire.Cost(msg))
	return true
}

func (m *Machine) feed(f *wire.Feed) {
	s := m.scope(f.Scope)
	if s == nil || s.replace || s.next.Snapshot != 0 || f.After != s.next.Rev || f.Through() > f.Head || len(f.Changes) == 0 {
		m.hangup("the feed of a scope does not go on where the box stands")
		return
	}
	if m.take(f) {
		s.next.Rev, s.head = f.Through(), max(s.head, f.Head)
		m.synced = false
		m.enqueue(write{req: Apply{f}, cost: wire.Cost(f)})
	}
}

func (m *Machine) snapshot(f *wire.Snapshot) {
	s := m.scope(f.Scope)
	begins := f.After == "" && s != nil && (s.next.Snapshot == 0 || s.next.Cursor == "" || f.Rev != s.next.Snapshot)
	goesOn := s != nil && !s.replace && s.next.Snapshot == f.Rev && s.next.Cursor == f.After && f.Rev != 0
	if !begins && !goesOn || f.Rev == 0 && !f.Last || !f.Last && f.Next <= f.After {
		m.hangup("a snapshot does not go on where the box stands")
		return
	}
	if !m.take(f) {
		return
	}
	s.replace, s.head, m.synced = false, max(s.head, f.Head), false
	s.next = after(f)
	m.enqueue(write{req: Resync{f}, cost: wire.Cost(f)})
}

// after is the bookmark that a range of a snapshot leaves.
func after(f *wire.Snapshot) wire.Bookmark {
	if f.Last {
		return wire.Bookmark{Scope: f.Scope, Rev: f.Rev}
	}
	return wire.Bookmark{Scope: f.Scope, Snapshot: f.Rev, Cursor: f.Next}
}

// pong answers a ping. One that says that the box was sent everything tells how
// fresh the data is, once everything that came before it is durable.
func (m *Machine) pong(p *wire.Ping) {
	if p.Number != m.conn.pings+1 || p.Sent != m.conn.got-1 {
		m.hangup("something of what the central sent is missing, or came twice")
		return
	}
	m.conn.pings++
	m.attempts = 0
	m.spread = spread(p.Spread)
	if p.Caught {
		m.enqueue(write{fresh: true, asOf: m.conn.askedAt})
	}
	m.conn.askedAt = m.now
	m.send(&wire.Pong{Number: p.Number, Sent: m.conn.said})
	m.sendReadings()
}
