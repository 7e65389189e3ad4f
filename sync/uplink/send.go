package uplink

import (
	"time"

	"github.com/cypherface/edge/sync/wire"
)

// sendEvents reads the next events, as long as the central gives credits.
func (m *Machine) sendEvents() {
	c := &m.conn
	if !m.wantsEvents() || m.now < m.readAt {
		return
	}
	m.reading, m.readFor = true, c.number
	m.do(Read{After: c.sent, Bytes: int(min(c.credits, wire.BatchGoal))})
}

func (m *Machine) wantsEvents() bool {
	return m.phase == Online && !m.conn.closing && !m.reading && m.conn.credits > 0 && m.conn.sent < m.state.Head
}

// read takes the events of a Read and sends them.
func (m *Machine) read(in Done) {
	m.reading = false
	c := &m.conn
	if in.Err != nil {
		m.why = "store: " + in.Err.Error()
		m.readAt = m.now + m.cfg.StoreRetry
		return
	}
	e := in.Events
	if m.readFor != c.number || m.phase != Online || c.closing || e == nil || e.After != c.sent || e.Last() == c.sent {
		return
	}
	c.sent = e.Last()
	c.credits -= int64(wire.Cost(e))
	m.send(e)
}

// ack notes how far the central has the journal.
func (m *Machine) ack(a *wire.EventsAck) {
	c := &m.conn
	if a.Through < c.acked || a.Through > c.sent {
		m.hangup("the central acknowledges events that it was not sent")
		return
	}
	c.acked = a.Through
	m.enqueue(write{req: Save{Acked: &a.Through}})
}

// reading is a Measured that waits.
type reading struct {
	Measured
	at time.Duration
}

// measure keeps a reading; the oldest makes room. This is what may be lost:
// everything that counts is in the journal.
func (m *Machine) measure(in Measured) {
	if len(m.readings) >= m.cfg.Readings {
		m.readings = append(m.readings[:0], m.readings[1:]...)
		m.dropped++
	}
	m.readings = append(m.readings, reading{in, m.now})
}

// sendReadings sends telemetry when no event waits.
func (m *Machine) sendReadings() {
	if m.phase != Online || m.conn.acked < m.state.Head || len(m.readings) == 0 {
		return
	}
	msg := &wire.Telemetry{Dropped: m.dropped}
	for _, r := range m.readings {
		msg.Readings = append(msg.Readings, wire.Reading{Name: r.Name, Value: r.Value, Age: uint64((m.now - r.at) / time.Millisecond)})
	}
	m.readings = m.readings[:0]
	m.send(msg)
}

// sendNote sends the newest checkpoint, once a connection.
func (m *Machine) sendNote() {
	if m.note != nil && !m.conn.noted {
		m.conn.noted = true
		m.send(&wire.Checkpoint{Note: m.note})
	}
}
