package simtest

import (
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/uplink"
)

// TestThirtyDaysOffline has a box decide for a month without a network, with a reboot
// a day, while the central goes on. Then all of it arrives, each once.
func TestThirtyDaysOffline(t *testing.T) {
	defer alone(3)()
	s := &fleet{world: newWorld(3, nil), hooks: hooksOf("")}
	s.oracle = newOracle(s)
	s.uplink = uplink.Config{StaleAfter: 7 * 24 * time.Hour}
	s.net = network{offline: map[*box]bool{}}
	s.build()
	s.run(s.now + time.Minute)
	b := s.boxes[0]
	if st := b.up.Status(b.mono()); !st.Synced {
		t.Fatalf("it is not connected: %+v", st)
	}
	s.unplug(b, 31*24*time.Hour)
	const decisions = 30 * 24
	for hour := range decisions {
		s.run(s.now + time.Hour)
		if hour%24 == 12 {
			b.crash(time.Minute)
			s.run(s.now + 2*time.Minute)
		}
		s.decide(b)
		if hour%48 == 0 {
			s.enrol(&s.central.node, s.central.merchants[0], nil)
		}
	}
	s.run(s.now + time.Second)
	st := b.up.Status(b.mono())
	if !st.Match || !st.Stale || st.Age < 6*24*time.Hour || st.Head-st.Acked < decisions {
		t.Errorf("after a month: %+v", st)
	}
	s.settle()
	for _, v := range s.bad {
		t.Error(v)
	}
	st = b.up.Status(b.mono())
	if st.Acked != st.Head || st.Stale || !st.Exact {
		t.Errorf("after it came back: %+v", st)
	}
	got := 0
	s.central.must(func(tx *store.Tx) (err error) {
		got, err = store.Count(tx, store.ForeignByMerchant, store.Plain(s.central.merchants[0]), store.Plain(store.EventDecision))
		return err
	})
	if got != decisions {
		t.Errorf("the central has %d of %d decisions", got, decisions)
	}
}
