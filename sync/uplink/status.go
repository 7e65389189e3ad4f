package uplink

import "time"

// Status says how sync stands at the moment now.
func (m *Machine) Status(now time.Duration) Status {
	s := Status{
		Phase: m.phase, Why: m.why,
		Central: m.state.Central, CentralEpoch: m.state.CentralEpoch,
		Head: m.state.Head, Acked: max(m.state.Acked, m.conn.acked),
		Match: !m.state.Hold && !m.state.Revoked, Hold: m.state.Hold, Revoked: m.state.Revoked,
		Age: max(now, m.now) - m.freshAt, Exact: m.exact, Synced: m.synced,
	}
	s.Stale = m.cfg.StaleAfter > 0 && s.Age >= m.cfg.StaleAfter
	for i := range m.scopes {
		sc := &m.scopes[i]
		s.Scopes = append(s.Scopes, ScopeStatus{Scope: sc.Scope, Rev: sc.Rev, Head: sc.head, Snapshot: sc.Snapshot != 0})
	}
	return s
}

// tell says how sync stands where that changed in more than numbers.
func (m *Machine) tell() {
	s := m.Status(m.now)
	if words(s) == words(m.told) {
		return
	}
	m.told = s
	m.do(Tell{s})
}

// words is what of a status is no number.
func words(s Status) [8]any {
	return [...]any{s.Phase, s.Why, s.CentralEpoch, s.Match, s.Revoked, s.Stale, s.Exact, s.Synced}
}
