package wire

import "fmt"

// each is what an item of a message counts besides its bytes.
const each = 64

// Cost is what a message takes from the credits of its sender, about the memory it
// needs: that of Events, Feed and Snapshot; others cost nothing, as few of them are
// ever under way. Who has any credits left may send one message, whatever it costs.
func Cost(m Message) uint64 {
	n := 0
	switch m := m.(type) {
	case *Events:
		n = each
		for i := range m.Events {
			n += m.Events[i].Cost()
		}
	case *Feed:
		n = each
		for i := range m.Changes {
			n += m.Changes[i].Cost()
		}
	case *Snapshot:
		n = each
		for i := range m.Records {
			n += m.Records[i].Cost()
		}
	}
	return uint64(n)
}

// Cost is what an event adds to that of its message.
func (e *Event) Cost() int {
	n := each + len(e.Raw) + len(e.Personal)
	if e.Edit != nil {
		n += each + len(e.Edit.Header) + len(e.Edit.Piece)
	}
	return n
}

// Cost is what a change adds to that of its message.
func (x *Change) Cost() int { return each + len(x.Header) + len(x.Piece) }

// Describe tells what a message is, for logs: no content, no ids of people.
func Describe(m Message) string {
	switch m := m.(type) {
	case *Hello:
		return fmt.Sprintf("hello epoch %d head %d, %d scopes", m.Epoch, m.Head, len(m.Scopes))
	case *Welcome:
		return fmt.Sprintf("welcome epoch %d, has events to %d, %d scopes, hold %v", m.Epoch, m.Head, len(m.Scopes), m.Hold)
	case *Events:
		return fmt.Sprintf("events %d..%d", m.First(), m.Last())
	case *EventsAck:
		return fmt.Sprintf("has events to %d, %d results", m.Through, len(m.Results))
	case *Feed:
		return fmt.Sprintf("feed %s %d..%d of %d, merged %d", m.Scope, m.After+1, m.Through(), m.Head, m.Merged)
	case *Snapshot:
		return fmt.Sprintf("snapshot %s at %d, %d records, last %v, merged %d", m.Scope, m.Rev, len(m.Records), m.Last, m.Merged)
	case *Applied:
		return fmt.Sprintf("applied %s %d, snapshot %v", m.Scope, m.Rev, m.Cursor != "")
	case *Credits:
		return fmt.Sprintf("credits %d", m.More)
	case *Ping:
		return fmt.Sprintf("ping %d, caught up %v", m.Number, m.Caught)
	case *Pong:
		return fmt.Sprintf("pong %d", m.Number)
	case *Error:
		return fmt.Sprintf("error %d, retry in %d ms: %s", m.Code, m.Retry, m.Text)
	case *Revoke:
		return "revoke: " + m.Reason
	case *Telemetry:
		return fmt.Sprintf("telemetry, %d readings", len(m.Readings))
	case *Checkpoint:
		return fmt.Sprintf("checkpoint, %d bytes", len(m.Note))
	}
	return "nothing"
}
