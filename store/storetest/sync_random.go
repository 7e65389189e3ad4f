package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cypherface/edge/store"
)

// chaos does anything to a fleet, by the numbers of a seed.
type chaos struct {
	*fleet
	*rand.Rand
	erased map[store.PersonID]bool
	replay []store.IngestPart // that may come again
}

// testRandomBoxes: whatever boxes and the central do, in whatever order they hear
// of each other, in the end all hold the same, nobody who was erased is anywhere,
// and the central holds each event of each journal once.
func testRandomBoxes(s *suite) {
	seed := *seedFlag
	if seed == 0 {
		seed = time.Now().UnixNano()
	}
	s.Logf("repeat with -store.seed=%d", seed)
	c := &chaos{fleet: newFleet(s, 3), Rand: rand.New(rand.NewPCG(uint64(seed), 1)), erased: map[store.PersonID]bool{}}
	door := store.Door{ID: store.NewID[store.DoorID](start), Merchant: c.site.Merchant, Site: c.site.ID}
	put(s, &door)
	for range *stepsFlag {
		switch n := c.IntN(12); {
		case n < 5:
			b := c.boxes[c.IntN(len(c.boxes))]
			c.operate(b.suite, b.people, door.ID)
		case n < 6:
			c.operate(s, c.site.Merchant, door.ID)
		default:
			c.exchange(c.boxes[c.IntN(len(c.boxes))])
		}
	}
	c.settle()
	c.converged()
	for i, x := range []*suite{s, c.boxes[0].suite, c.boxes[1].suite, c.boxes[2].suite} {
		for id := range c.erased {
			if _, err := get[store.Person](x, id); !errors.Is(err, store.ErrNotFound) {
				s.Errorf("store %d has %s, who was erased: %v", i, id, err)
			}
		}
	}
	for _, b := range c.boxes {
		c.holdsJournal(b)
	}
}

// holdsJournal checks that the central has a box's journal from its joining on,
// byte for byte.
func (c *chaos) holdsJournal(b *box) {
	c.Helper()
	var want []string
	b.view(func(tx *store.Tx) error {
		joined := false
		for e, err := range store.Envelopes(tx, 1, 1<<40) {
			if err != nil {
				return err
			}
			if joined = joined || e.Action == "join"; joined {
				want = append(want, string(e.Raw))
			}
		}
		return nil
	})
	c.view(func(tx *store.Tx) error {
		for i, raw := range want {
			seq := b.head() - uint64(len(want)-1-i)
			e, err := store.ForeignEvent(tx, store.NewForeignID(b.device, b.Info().Epoch, seq))
			if err != nil || string(e.Raw) != raw {
				c.Errorf("event %d of a box: %v", seq, err)
			}
		}
		return nil
	})
}

// exchange brings a part of what is to be said, late, twice, or all.
func (c *chaos) exchange(b *box) {
	switch c.IntN(8) {
	case 0:
		c.replay = append(c.replay, c.outgoing(b, 1+c.IntN(5)))
	case 1:
		if len(c.replay) > 0 {
			p := c.replay[c.IntN(len(c.replay))]
			err := c.Update(c.Context(), cause, func(tx *store.Tx) error { _, _, err := store.Ingest(tx, p); return err })
			if err != nil {
				c.Fatalf("replay: %v", err)
			}
		}
	case 2:
		c.snapshot(b, 1+c.IntN(4))
	case 3, 4:
		c.pull(b, 1+c.IntN(3))
	case 5:
		p := c.part(b, 10)
		c.operateAny()
		b.update(func(tx *store.Tx) error { return store.ApplyFeed(tx, p) })
	case 6:
		c.update(func(tx *store.Tx) error { _, err := store.TrimFeed(tx, c.site.ID, 1+c.IntN(50)); return err })
	default:
		c.push(b, 1+c.IntN(6))
	}
}

func (c *chaos) operateAny() {
	b := c.boxes[c.IntN(len(c.boxes))]
	c.operate(b.suite, b.people, "")
}

// operate does one thing to people of a store.
func (c *chaos) operate(s *suite, m store.MerchantID, door store.DoorID) {
	s.Helper()
	known := slices.Sorted(maps.Keys(sharedRecords(s, m)))
	known = slices.DeleteFunc(known, func(key string) bool { return key[:7] != "person/" })
	if len(known) == 0 || c.IntN(4) == 0 {
		p := newPerson(m, c.IntN(6)) // so that addresses meet
		if err := s.Update(s.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &p) }); err != nil && !errors.Is(err, store.ErrConflict) {
			s.Fatal(err)
		}
		return
	}
	id := store.PersonID(known[c.IntN(len(known))][7:])
	err := s.Update(s.Context(), cause, func(tx *store.Tx) error {
		p, err := store.Get[store.Person](tx, id)
		if err != nil {
			return err
		}
		switch c.IntN(10) {
		case 0:
			c.erased[id] = true
			return store.Erase(tx, id)
		case 1:
			return store.Delete[store.Person](tx, id)
		case 2:
			return store.Put(tx, &store.Crop{ID: store.NewID[store.CropID](start), Merchant: m, Person: id, Image: []byte{1}})
		case 3, 4:
			t, err := store.Get[store.Template](tx, store.NewTemplateID(id, "x"))
			if err != nil {
				t = store.Template{ID: store.NewTemplateID(id, "x"), Merchant: m, Person: id, Space: "x"}
			}
			t.Crops, t.Vector = t.Crops+1, []float32{float32(c.IntN(100))}
			return store.Put(tx, &t)
		case 5:
			if door != "" {
				return store.Put(tx, &store.Grant{ID: store.NewID[store.GrantID](start), Merchant: m, Person: id, Door: door})
			}
		case 6:
			p.Email = fmt.Sprintf("ada%d@example.org", c.IntN(6))
		case 7:
			p.ExternalID = ""
		default:
			p.Phone = fmt.Sprint(c.IntN(4))
			p.Lastname = fmt.Sprint(c.IntN(4))
		}
		return store.Put(tx, &p)
	})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		s.Fatal(err)
	}
}
