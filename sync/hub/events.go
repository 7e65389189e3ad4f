package hub

import (
	"github.com/cypherface/edge/sync/wire"
)

// events takes a stretch of a journal, in its turn.
func (m *Machine) events(s *session, e *wire.Events) {
	switch {
	case e.After != s.expected || e.Last() <= e.After || e.Gone != 0 && e.Gone <= e.After:
		m.refuse(s, "the events do not follow those before")
		return
	case s.window <= 0:
		m.refuse(s, "the box sends more than it may")
		return
	}
	s.expected = e.Last()
	s.window -= int64(wire.Cost(e))
	s.events = append(s.events, e)
	m.ingest(s)
}

func (m *Machine) ingest(s *session) {
	if s.ingesting || len(s.events) == 0 {
		return
	}
	s.ingesting = true
	m.do(Ingest{s.conn, s.device, s.hello.Epoch, s.events[0]})
}

// ingested acknowledges what is durable.
func (m *Machine) ingested(s *session, in Ingested) {
	if !s.ingesting {
		return
	}
	s.ingesting = false
	e := s.events[0]
	s.events = s.events[1:]
	switch {
	case in.Forked:
		m.clone(s)
		return
	case in.Err != nil:
		m.dismiss(s, &wire.Error{Code: wire.CodeStorage, Retry: m.retry(), Text: "the central cannot keep events at the moment"}, "store: "+in.Err.Error())
		return
	}
	m.send(s, &wire.EventsAck{Through: in.Through, Results: in.Results})
	s.lent -= int64(wire.Cost(e))
	if more := m.grant(s); more > 0 {
		s.window += more
		m.send(s, &wire.Credits{More: uint64(more)})
	}
	m.ingest(s)
}

// grant gives a connection what it may have of Config.Memory and has not.
func (m *Machine) grant(s *session) int64 {
	more := max(0, min(int64(m.cfg.Window), m.share(m.cfg.Memory))-s.lent)
	s.lent += more
	return more
}

// share is what each box may have of something that is for all. It is never
// nothing, and so nobody waits for what another one keeps.
func (m *Machine) share(of uint64) int64 {
	return max(1, int64(of)/int64(max(1, m.fleet, len(m.order))))
}
