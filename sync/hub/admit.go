package hub

import (
	"slices"

	"github.com/cypherface/edge/sync/wire"
)

// keptBoots is how many boots of a device are remembered.
const keptBoots = 16

// greet takes a Hello: it asks the store about the device, unless too many come at
// once.
func (m *Machine) greet(s *session, h *wire.Hello) {
	switch _, err := wire.Agree(h.Oldest, h.Newest); {
	case s.phase != opened:
		m.refuse(s, "a box says hello once")
	case h.Device != s.device:
		m.refuse(s, "a box comes with the key of another")
	case err != nil:
		m.dismiss(s, &wire.Error{Code: wire.CodeProtocol, Text: "no common protocol: update the older of the two"}, err.Error())
	case !m.admits():
		m.dismiss(s, &wire.Error{Code: wire.CodeBusy, Retry: m.retry(), Text: "too many boxes at once"}, "busy")
	case m.twice(s, h.Boot):
	case m.devices[s.device].flagging > 0:
		m.dismiss(s, &wire.Error{Code: wire.CodeForked, Text: flagged}, "flagged device")
	default:
		s.phase, s.hello = admitting, h
		m.do(Admit{s.conn, h})
	}
}

// admits takes one of the tokens that come at the configured rate.
func (m *Machine) admits() bool {
	m.tokens = min(m.cfg.Rate, m.tokens+m.cfg.Rate*(m.now-m.tokensAt).Seconds())
	m.tokensAt = m.now
	if m.tokens < 1 {
		return false
	}
	m.tokens--
	return true
}

// twice ends an older connection of the device. When the box comes with a boot that
// another one has followed, there are two of it: neither is served.
func (m *Machine) twice(s *session, b wire.Boot) bool {
	d := m.devices[s.device]
	if d == nil {
		d = &device{boot: b}
		m.devices[s.device] = d
	}
	old := d.live
	d.live = s
	if slices.Contains(d.past, b) {
		m.clone(s, old)
		return true
	}
	if d.boot != b {
		d.past = append(d.past, d.boot)
		d.past = d.past[max(0, len(d.past)-keptBoots):]
		d.boot = b
	}
	if old != nil && old != s {
		m.dismiss(old, &wire.Error{Code: wire.CodeSuperseded, Text: "another connection of this box took its place"}, "superseded")
	}
	return false
}

// flagged is what a box hears when it is not served, for its operator.
const flagged = "this box was seen twice, or from an older copy of its store: the central's operator has to look"

// clone flags a device that is there twice.
func (m *Machine) clone(sessions ...*session) {
	const why = "this box is there twice, or runs from an older copy of its store"
	m.do(Flag{sessions[0].device, why})
	m.devices[sessions[0].device].flagging++
	for _, s := range sessions {
		if s != nil {
			m.dismiss(s, &wire.Error{Code: wire.CodeForked, Text: why}, why)
		}
	}
}

// admitted goes on with what the store knows of the device.
func (m *Machine) admitted(s *session, a Admitted) {
	if s.phase != admitting {
		return
	}
	switch {
	case a.Err != nil:
		m.dismiss(s, &wire.Error{Code: wire.CodeStorage, Retry: m.retry(), Text: "the central cannot read its store"}, "store: "+a.Err.Error())
	case !a.Known:
		m.dismiss(s, &wire.Error{Code: wire.CodeUnknown, Text: "the central does not know this box: join it anew"}, "unknown device")
	case a.Revoked:
		m.dismiss(s, &wire.Revoke{Reason: a.Reason}, "revoked device")
	case a.Flagged:
		m.dismiss(s, &wire.Error{Code: wire.CodeForked, Text: a.Reason}, "flagged device")
	case s.hello.Head < a.Head:
		m.clone(s)
	default:
		m.welcome(s, a)
	}
}

func (m *Machine) welcome(s *session, a Admitted) {
	s.phase = online
	m.online++
	p, _ := wire.Agree(s.hello.Oldest, s.hello.Newest)
	w := &wire.Welcome{
		Protocol: p, Central: a.Central, Fingerprint: a.Fingerprint, Epoch: a.Epoch,
		Head: a.Head, Hold: a.Hold, Ping: uint64(m.cfg.Ping.Milliseconds()), Spread: m.spread(), Clock: a.Clock.UnixMilli(),
	}
	void := s.hello.Central != a.Central || s.hello.CentralEpoch != a.Epoch
	for _, sc := range a.Scopes {
		pos := place(sc, s.hello.Scopes, void)
		w.Scopes = append(w.Scopes, wire.ScopeState{Scope: sc.Scope, Head: sc.Head, Snapshot: pos.snapshot && pos.cursor == ""})
		m.watch(s, pos)
	}
	s.expected, s.credits = a.Head, int64(min(s.hello.Credits, 1<<40))
	first := m.grant(s)
	w.Credits = uint64(first)
	s.window = first
	m.send(s, w)
	m.wants(s)
	m.beat(s)
}

// place is where to go on with a scope: with the feed after the bookmark, with the
// snapshot that was under way, or with a new one.
func place(sc Scope, marks []wire.Bookmark, void bool) *position {
	p := &position{scope: sc.Scope, head: sc.Head}
	i := slices.IndexFunc(marks, func(b wire.Bookmark) bool { return b.Scope == sc.Scope })
	if i < 0 || void {
		p.snapshot = true
		return p
	}
	reached := func(rev uint64) bool { return rev <= sc.Head && rev+1 >= sc.Oldest }
	switch b := marks[i]; {
	case b.Snapshot != 0 && reached(b.Snapshot):
		p.snapshot, p.rev, p.cursor = true, b.Snapshot, b.Cursor
	case b.Snapshot != 0 || !reached(b.Rev) || b.Rev == 0 && sc.Head > 0:
		p.snapshot = true
	default:
		p.sent = b.Rev
	}
	return p
}

// watched returns what is known of a scope. It is kept when nobody has the scope: what
// was read of it for a box that comes in may be old already.
func (m *Machine) watched(scope string) *watched {
	w := m.scopes[scope]
	if w == nil {
		w = &watched{}
		m.scopes[scope] = w
	}
	return w
}

// watch has a connection hear of a scope.
func (m *Machine) watch(s *session, p *position) {
	s.scopes = append(s.scopes, p)
	w := m.watched(p.scope)
	w.head = max(w.head, p.head)
	p.head = w.head
	w.sessions = append(w.sessions, s)
}
