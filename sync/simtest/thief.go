package simtest

import (
	"math/rand/v2"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/uplink"
	"github.com/cypherface/edge/sync/wire"
)

// loseKey has somebody have the key of the first box, in every eighth fleet. He has dice of
// his own, so that the other fleets are what they would be without him.
func (s *fleet) loseKey(seed uint64) {
	if seed%8 == 4 {
		s.thief = rand.New(rand.NewPCG(seed, 0x7e1f))
	}
}

// steal has him delete what belongs to other sites, whose ids he knows, beside what the
// box itself has to say.
func (s *fleet) steal(b *box, done *uplink.Done) {
	if s.thief == nil || b != s.boxes[0] || s.calm || done.Events == nil {
		return
	}
	targets := s.ofOthers(b)
	for i := range done.Events.Events {
		e := &done.Events.Events[i]
		if e.Edit != nil || len(targets) == 0 || s.thief.IntN(2) == 0 {
			continue
		}
		t := targets[s.thief.IntN(len(targets))]
		s.note(b.name, "wants %s %s deleted, which it never had", t.Kind, t.ID)
		s.counts.Thefts++
		e.Edit = &t
	}
}

// ofOthers are deletions of doors that always were at other sites, and of their grants.
func (s *fleet) ofOthers(b *box) (edits []wire.Edit) {
	o := s.oracle
	others := map[store.DoorID]bool{}
	want := func(k store.Kind, id string) {
		edits = append(edits, wire.Edit{Op: wire.OpDelete, Kind: string(k), ID: id, New: s.thief.IntN(2) == 0})
	}
	s.central.must(func(tx *store.Tx) error {
		for _, m := range s.central.merchants {
			for d, err := range store.All(tx, store.DoorsByMerchant, store.Plain(m)) {
				if err != nil {
					return err
				}
				if d.Site != b.site && !o.moved[d.ID] {
					others[d.ID] = true
					want(store.KindDoor, string(d.ID))
				}
			}
		}
		return nil
	})
	for _, id := range sortedKeys(o.grants) { // be they at the central, or lost with a backup of it
		if others[o.grants[id].Door] {
			want(store.KindGrant, string(id))
		}
	}
	return edits
}

// checkDoors checks that all doors are there: nobody deletes any but a thief.
func (o *oracle) checkDoors() {
	want, have := 2*len(o.s.central.sites), 0
	if t := o.s.central.disk.synced.buckets["record.door"]; t != nil {
		have = len(t.keys)
	}
	if have != want {
		o.s.violate("central", "has %d of %d doors", have, want)
	}
}
