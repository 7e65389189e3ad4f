package hub

import (
	"github.com/cypherface/edge/sync/wire"
)

// advanced has those who have a scope wait for a read.
func (m *Machine) advanced(in Advanced) {
	w := m.watched(in.Scope)
	if in.Head <= w.head {
		return
	}
	w.head = in.Head
	for _, s := range w.sessions {
		if p := s.position(in.Scope); p != nil {
			p.head = max(p.head, in.Head)
			m.wants(s)
		}
	}
}

func (s *session) position(scope string) *position {
	for _, p := range s.scopes {
		if p.scope == scope {
			return p
		}
	}
	return nil
}

// next returns the scope to read for next, in turn, or nil.
func (s *session) next() *position {
	for i := range s.scopes {
		at := (s.turn + 1 + i) % len(s.scopes)
		if s.scopes[at].behind() {
			s.turn = at
			return s.scopes[at]
		}
	}
	return nil
}

// wants has a connection wait for a read, if there is anything for it and the box
// has given credits.
func (m *Machine) wants(s *session) {
	if s.closing || s.waits || s.reading != nil || s.phase != online || s.credits <= 0 || int64(s.owed) >= m.share(m.cfg.Sending) {
		return
	}
	for _, p := range s.scopes {
		if p.behind() {
			s.waits, s.told = true, false
			m.feeding = append(m.feeding, s)
			return
		}
	}
}

// feed begins reads for those who wait longest.
func (m *Machine) feed() {
	for len(m.feeding) > 0 && m.reads < m.cfg.Readings {
		s := m.feeding[0]
		m.feeding, s.waits = m.feeding[1:], false
		if p := s.next(); !s.closing && p != nil {
			m.read(s, p)
		}
	}
}

func (m *Machine) read(s *session, p *position) {
	s.reading = p
	m.reads++
	bytes := int(min(s.credits, wire.BatchGoal))
	if p.snapshot {
		m.do(ReadSnapshot{s.conn, s.device, s.hello.Epoch, p.scope, p.rev, p.cursor, bytes})
		return
	}
	m.do(ReadFeed{s.conn, s.device, s.hello.Epoch, p.scope, p.sent, bytes})
}

// feedRead sends a batch of a feed.
func (m *Machine) feedRead(s *session, in FeedRead) {
	p := s.reading
	s.reading = nil
	switch {
	case p == nil:
		return
	case in.Err != nil:
		m.dismiss(s, &wire.Error{Code: wire.CodeStorage, Retry: m.retry(), Text: "the central cannot read its store"}, "store: "+in.Err.Error())
		return
	case in.Behind:
		p.snapshot, p.rev, p.cursor = true, 0, ""
	default:
		// The scope may have gone on while this was read.
		if p.head = max(p.head, in.Feed.Head); len(in.Feed.Changes) > 0 {
			p.sent = in.Feed.Through()
			m.pay(s, in.Feed)
		}
	}
	m.wants(s)
	m.beat(s)
}

// snapshotRead sends a range of a snapshot.
func (m *Machine) snapshotRead(s *session, in SnapshotRead) {
	p := s.reading
	s.reading = nil
	switch {
	case p == nil:
		return
	case in.Err != nil:
		m.dismiss(s, &wire.Error{Code: wire.CodeStorage, Retry: m.retry(), Text: "the central cannot read its store"}, "store: "+in.Err.Error())
		return
	case in.Behind:
		p.rev, p.cursor = 0, ""
	default:
		x := in.Snapshot
		p.rev, p.cursor, p.head = x.Rev, x.Next, max(p.head, x.Head)
		if x.Last {
			p.snapshot, p.sent, p.rev, p.cursor = false, x.Rev, 0, ""
		}
		m.pay(s, x)
	}
	m.wants(s)
	m.beat(s)
}

// pay sends what costs credits.
func (m *Machine) pay(s *session, msg wire.Message) {
	cost := wire.Cost(msg)
	s.credits -= int64(cost)
	s.owed += cost
	s.told = false
	m.send(s, msg)
}
