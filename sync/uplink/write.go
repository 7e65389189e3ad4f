package uplink

import (
	"time"

	"github.com/cypherface/edge/sync/wire"
)

// write is something that waits for the store, or behind what does.
type write struct {
	req   Request
	cost  uint64 // credits that it gives back
	fresh bool   // instead of a request: all that the central had at asOf is durable now
	asOf  time.Duration
}

// writes are carried out one after another.
type writes struct {
	queue   []write
	busy    Request // under way: the first of the queue, unless that was forgotten
	retryAt time.Duration
	fails   int
}

func (w *writes) pending() bool { return w.busy != nil || len(w.queue) > 0 }

func (w *writes) waits() bool { return w.busy == nil && len(w.queue) > 0 }

// revokes says whether the box is about to note that it was revoked.
func (w *writes) revokes() bool {
	for _, x := range w.queue {
		if s, ok := x.req.(Save); ok && s.Revoked != nil {
			return true
		}
	}
	return false
}

// enqueue adds a write. An acknowledgement joins one that waits.
func (m *Machine) enqueue(x write) {
	q := m.writes.queue
	if s, ok := x.req.(Save); ok && onlyAcked(s) && len(q) > 0 && (m.writes.busy == nil || len(q) > 1) {
		if last, ok := q[len(q)-1].req.(Save); ok && onlyAcked(last) {
			q[len(q)-1].req = s
			return
		}
	}
	m.writes.queue = append(q, x)
}

func onlyAcked(s Save) bool {
	return s.Acked != nil && s.Hold == nil && s.Revoked == nil && s.Spread == nil && s.Met == nil
}

// write carries out what waits, as far as it can.
func (m *Machine) write() {
	w := &m.writes
	for w.waits() && m.now >= w.retryAt {
		x := w.queue[0]
		switch {
		case x.fresh:
			m.refresh(x.asOf)
		case x.req == Request(Save{}):
			m.written(x)
		default:
			w.busy = x.req
			m.do(x.req)
			return
		}
		w.queue = w.queue[1:]
	}
}

// done takes the answer of the store.
func (m *Machine) done(in Done) {
	if _, ok := in.Request.(Read); ok {
		m.read(in)
		return
	}
	w := &m.writes
	if w.busy == nil {
		return
	}
	w.busy = nil
	if in.Err != nil {
		m.why = "store: " + in.Err.Error()
		w.retryAt = m.now + m.jitter(m.cfg.StoreRetry<<min(w.fails, 6))
		w.fails++
		return
	}
	w.retryAt, w.fails = 0, 0
	if len(w.queue) == 0 || w.queue[0].req != in.Request {
		m.written(write{req: in.Request}) // of a connection that was lost since
		return
	}
	x := w.queue[0]
	w.queue = w.queue[1:]
	m.written(x)
}

// written goes on after something is durable.
func (m *Machine) written(x write) {
	switch r := x.req.(type) {
	case Save:
		m.saved(r)
		if m.phase == Greeting {
			m.phase, m.why = Online, ""
		}
	case Apply:
		m.applied(wire.Bookmark{Scope: r.Feed.Scope, Rev: r.Feed.Through()}, x.cost)
	case Resync:
		m.applied(after(r.Snapshot), x.cost)
	}
}

func (m *Machine) saved(s Save) {
	if s.Acked != nil {
		m.state.Acked = *s.Acked
	}
	if s.Hold != nil {
		m.state.Hold = *s.Hold
	}
	if s.Revoked != nil {
		m.state.Revoked = *s.Revoked
	}
	if s.Spread != nil {
		m.state.Spread = *s.Spread
	}
	if s.Met != nil {
		m.state.Central, m.state.CentralEpoch = s.Met.Central, s.Met.Epoch
	}
}

// applied notes a bookmark that is durable now, and tells the central.
func (m *Machine) applied(b wire.Bookmark, cost uint64) {
	if s := m.scope(b.Scope); s != nil {
		s.Bookmark = b
	}
	if !m.connected() || cost == 0 {
		return
	}
	msg := &wire.Applied{Scope: b.Scope, Rev: b.Rev}
	if b.Snapshot != 0 {
		msg.Rev, msg.Cursor = b.Snapshot, b.Cursor
	}
	m.send(msg)
	m.conn.window += int64(cost)
	m.send(&wire.Credits{More: cost})
}

// refresh notes that all that the central had at some moment is here.
func (m *Machine) refresh(asOf time.Duration) {
	m.freshAt, m.exact = max(m.freshAt, asOf), true
	m.synced = true
	for i := range m.scopes {
		m.synced = m.synced && m.scopes[i].Bookmark == m.scopes[i].next
	}
	if m.state.Hold {
		no := false
		m.enqueue(write{req: Save{Hold: &no}})
	}
}

// forget drops what a lost connection has brought and nobody has begun to write: it
// comes again. That the box was revoked stays.
func (m *Machine) forget() {
	var keep []write
	for i, x := range m.writes.queue {
		s, save := x.req.(Save)
		if i == 0 && m.writes.busy != nil || save && s.Revoked != nil {
			keep = append(keep, x)
		}
	}
	m.writes.queue = keep
}
