package uplink

import (
	"fmt"
	"slices"
	"time"

	"github.com/cypherface/edge/sync/wire"
)

// greet begins a connection. Nothing of an earlier one is being written any more.
func (m *Machine) greet(in Dialled) {
	if m.phase != Dialling {
		return
	}
	m.phase = Greeting
	m.conn = conn{
		number: m.conn.number + 1, window: int64(m.cfg.Window),
		deadAt: m.now + m.cfg.Greeting, askedAt: m.now,
	}
	hello := &wire.Hello{
		Oldest: wire.Oldest, Newest: wire.Newest,
		Device: m.state.Device, Boot: m.state.Boot, Epoch: m.state.Epoch, Head: m.state.Head,
		Central: m.state.Central, CentralEpoch: m.state.CentralEpoch,
		Credits: m.cfg.Window, Clock: in.Clock.UnixMilli(),
	}
	for i := range m.scopes {
		hello.Scopes = append(hello.Scopes, m.scopes[i].Bookmark)
	}
	m.send(hello)
}

// welcome takes the central's answer. The connection goes on once what is new in it
// is durable.
func (m *Machine) welcome(w *wire.Welcome) {
	switch {
	case m.phase != Greeting || m.writes.pending():
		m.hangup("the central greets twice")
		return
	case w.Protocol < wire.Oldest || w.Protocol > wire.Newest:
		m.hangup(fmt.Sprintf("the central speaks protocol %d: update this box", w.Protocol))
		return
	case m.state.Central != "" && w.Central != m.state.Central:
		m.refused = true
		m.hangup("this is another central: join it, or put the old one back")
		return
	case w.Head > m.state.Head:
		m.refused = true
		m.hangup("the central has events of this box that the box has not: it runs from an older copy, or twice")
		return
	}
	c := &m.conn
	c.credits, c.sent, c.acked = int64(w.Credits), w.Head, w.Head
	c.ping = max(time.Second, time.Duration(w.Ping)*time.Millisecond)
	m.spread = spread(w.Spread)
	m.heard()
	m.enqueue(write{req: m.news(w)})
	m.enter(w)
}

// spread is a window that the central asks for.
func spread(ms uint64) time.Duration {
	return time.Duration(min(ms, uint64(time.Hour/time.Millisecond))) * time.Millisecond
}

// news is what of a welcome has to be durable.
func (m *Machine) news(w *wire.Welcome) Save {
	var s Save
	if sp := spread(w.Spread); sp > 2*m.state.Spread || sp < m.state.Spread/2 {
		s.Spread = &sp
	}
	if w.Hold && !m.state.Hold {
		s.Hold = &w.Hold
	}
	var scopes []string
	for _, sc := range w.Scopes {
		scopes = append(scopes, sc.Scope)
	}
	same := len(scopes) == len(m.scopes) && !slices.ContainsFunc(m.scopes, func(s scope) bool { return !slices.Contains(scopes, s.Scope) })
	if !same || w.Central != m.state.Central || w.Epoch != m.state.CentralEpoch {
		s.Met = &Met{w.Central, w.Epoch, scopes}
	}
	if s.Met != nil || w.Head != m.state.Acked {
		s.Acked = &w.Head
	}
	return s
}

// enter lays out the scopes as the central knows them.
func (m *Machine) enter(w *wire.Welcome) {
	void := w.Central != m.state.Central || w.Epoch != m.state.CentralEpoch
	old := m.scopes
	m.scopes = nil
	for _, sc := range w.Scopes {
		next := scope{Bookmark: wire.Bookmark{Scope: sc.Scope}}
		if i := slices.IndexFunc(old, func(s scope) bool { return s.Scope == sc.Scope }); i >= 0 && !void {
			next.Bookmark = old[i].Bookmark
		}
		next.head, next.replace, next.next = sc.Head, sc.Snapshot, next.Bookmark
		m.scopes = append(m.scopes, next)
	}
	m.synced = false
}

// lost ends a connection, or a try to get one.
func (m *Machine) lost(in Lost) {
	if m.phase == Waiting {
		return
	}
	window := m.cfg.BackoffMin << min(m.attempts, 20)
	window = min(window, m.cfg.BackoffMax)
	window = max(window, m.spread, m.hint, in.Retry)
	switch {
	case in.Refused:
		m.why = "the central does not take this box's key: join it anew"
		window = max(window, m.cfg.RefusedFor)
	case m.refused:
		window = max(window, m.cfg.RefusedFor)
	case !m.conn.closing && m.hint == 0:
		m.why = "no connection to the central"
	}
	m.attempts++
	m.phase, m.dialAt = Waiting, m.now+m.jitter(window)
	if m.state.Revoked || m.writes.revokes() {
		m.dialAt = never
	}
	m.hint, m.refused, m.conn.closing = 0, false, false
	m.synced = false
	m.forget()
}

// heard notes a sign of life.
func (m *Machine) heard() {
	m.conn.deadAt = m.now + time.Duration(m.cfg.Silence)*m.conn.ping
}
