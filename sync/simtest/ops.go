package simtest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/hub"
)

// token returns a text that nothing else in the run has.
func (s *fleet) token() string {
	s.tokens++
	return fmt.Sprintf("tok%05dx", s.tokens)
}

func (s *fleet) newPerson(n *node, m store.MerchantID, email string) store.Person {
	return store.Person{
		ID: store.NewID[store.PersonID](n.wall()), Merchant: m, Status: store.PersonRegistered,
		Firstname: s.token(), Email: email,
	}
}

// live has operators work and things break for a while.
func (s *fleet) live() {
	actions := 20 + s.rand.IntN(60)
	pause := pick(s.world, []time.Duration{20 * time.Millisecond, time.Second, 8 * time.Second})
	for range actions {
		s.run(s.now + s.within(0, pause))
		if len(s.bad) > 0 {
			return
		}
		s.disturb()
		s.act()
	}
}

// disturb breaks something, now and then.
func (s *fleet) disturb() {
	b := pick(s.world, s.boxes)
	if s.chance(s.faults.crash) {
		s.counts.Crashes++
		off := s.within(time.Millisecond, 20*time.Second)
		if s.chance(0.3) {
			s.central.crash(off)
		} else {
			b.crash(off)
		}
	}
	if s.chance(s.faults.jump) {
		n := &b.node
		if s.chance(0.3) {
			n = &s.central.node
		}
		n.skew += s.within(-1000*time.Hour, 1000*time.Hour)
		s.note(n.name, "its clock jumps to %v", n.skew)
	}
	if s.chance(s.faults.cut) {
		s.unplug(b, s.within(time.Second, time.Minute))
	}
	if s.chance(s.faults.rare) {
		pick(s.world, []func(){s.backup, s.restore, s.join, s.revoke, s.clone, s.trim, s.restoreBox, s.away})()
	}
	if s.hard && s.chance(s.faults.rare) {
		pick(s.world, []func(){s.backup, s.restore, s.restoreBox, s.trim, s.regroup})()
	}
}

// unplug takes a box off the network for a while.
func (s *fleet) unplug(b *box, off time.Duration) {
	s.note(b.name, "is off the network for %v", off)
	s.net.offline[b] = true
	if b.pipe != nil {
		b.pipe.sever(s.chance(0.7))
	}
	s.after(off, func() { delete(s.net.offline, b) })
}

// act has an operator, or somebody before a camera, do something.
func (s *fleet) act() {
	if s.chance(0.35) {
		s.decide(pick(s.world, s.boxes))
		return
	}
	if s.chance(s.faults.erase) {
		s.erase()
		return
	}
	n, m, b := s.somewhere()
	if n == nil {
		return
	}
	if s.hard && s.chance(0.2) {
		pick(s.world, []func(*node, store.MerchantID, *box){s.loseFace, s.enrolFace, s.moveDoor})(n, m, b)
		return
	}
	switch s.rand.IntN(6) {
	case 0, 1:
		s.enrol(n, m, b)
	case 2, 3, 4:
		s.edit(n, m, b)
	case 5:
		s.grant(n, m, b)
	}
}

// somewhere picks where somebody works: on a box or at the central.
func (s *fleet) somewhere() (*node, store.MerchantID, *box) {
	if s.chance(0.3) && s.central.alive {
		if len(s.central.merchants) > 1 {
			return &s.central.node, pick(s.world, s.central.merchants), nil
		}
		return &s.central.node, s.central.merchants[0], nil
	}
	if b := pick(s.world, s.boxes); b.alive {
		return &b.node, b.own, b
	}
	return nil, "", nil
}

// change is an update of whichever node.
func (s *fleet) change(b *box, fn func(*store.Tx) error, done func(error)) {
	if b == nil {
		s.central.change(operator.Actor, fn, done)
	} else {
		b.change(operator.Actor, fn, done)
	}
}

func (s *fleet) decide(b *box) {
	if !b.alive {
		return
	}
	s.counts.Decisions++
	began, personal := s.now, s.token()
	s.hooks.decide(b, func() {
		b.change(operator.Actor, func(tx *store.Tx) error {
			_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: b.own, Outcome: store.OutcomeMatch, Action: "identify"}, map[string]string{"seen": personal})
			return err
		}, func(err error) { s.oracle.decided(b, personal, s.now-began, err) })
	})
}

func (s *fleet) enrol(n *node, m store.MerchantID, b *box) {
	email := ""
	if s.chance(0.5) { // few addresses, so that they meet
		email = fmt.Sprintf("mail%d@example.com", s.rand.IntN(4))
	}
	p := s.newPerson(n, m, email)
	s.note(n.name, "enrols %s", p.ID)
	s.change(b, func(tx *store.Tx) error {
		if err := store.Put(tx, &p); err != nil {
			return err
		}
		crop := store.Crop{ID: store.NewID[store.CropID](n.wall()), Merchant: m, Person: p.ID, Image: []byte(s.token())}
		if err := store.Put(tx, &crop); err != nil {
			return err
		}
		return store.Put(tx, &store.Template{ID: store.NewTemplateID(p.ID, "sp"), Merchant: m, Person: p.ID, Space: "sp", Crops: 1, Vector: []float32{1, 2}})
	}, func(err error) {
		switch {
		case errors.Is(err, store.ErrConflict): // somebody there has the address
		case err != nil:
			s.violate(n.name, "cannot enrol: %v", err)
		default:
			s.oracle.enrolled(&p, b)
		}
	})
}

// people lists who is known somewhere, as durable.
func (s *fleet) people(n *node, m store.MerchantID) (ids []store.PersonID) {
	n.must(func(tx *store.Tx) error {
		for p, err := range store.All(tx, store.PersonsByMerchant, store.Plain(m)) {
			if err != nil {
				return err
			}
			ids = append(ids, p.ID)
		}
		return nil
	})
	slices.Sort(ids)
	return ids
}

// fields that operators change, each with a token.
var fields = []struct {
	name string
	of   func(*store.Person) *string
}{
	{"firstname", func(p *store.Person) *string { return &p.Firstname }},
	{"lastname", func(p *store.Person) *string { return &p.Lastname }},
	{"phone", func(p *store.Person) *string { return &p.Phone }},
}

func (s *fleet) edit(n *node, m store.MerchantID, b *box) {
	ids := s.people(n, m)
	if len(ids) == 0 {
		return
	}
	id, f := pick(s.world, ids), pick(s.world, fields)
	value, before := s.token(), ""
	s.note(n.name, "edits %s of %s to %s", f.name, id, value)
	s.change(b, func(tx *store.Tx) error {
		p, err := store.Get[store.Person](tx, id)
		if err != nil {
			return err
		}
		before = *f.of(&p)
		s.oracle.seen[before] = true // even if nobody hears whether this succeeds
		*f.of(&p) = value
		return store.Put(tx, &p)
	}, func(err error) {
		switch {
		case errors.Is(err, store.ErrNotFound): // erased meanwhile
		case err != nil:
			s.violate(n.name, "cannot edit: %v", err)
		default:
			s.counts.Edits++
			s.oracle.edited(id, b, before, value)
		}
	})
}

func (s *fleet) grant(n *node, m store.MerchantID, b *box) {
	people := s.people(n, m)
	var doors []store.DoorID
	var grants []store.GrantID
	n.must(func(tx *store.Tx) error {
		for d, err := range store.All(tx, store.DoorsByMerchant, store.Plain(m)) {
			if err != nil {
				return err
			}
			doors = append(doors, d.ID)
			for g, err := range store.All(tx, store.GrantsByDoor, store.Plain(d.ID)) {
				if err != nil {
					return err
				}
				grants = append(grants, g.ID)
			}
		}
		return nil
	})
	if len(people) == 0 || len(doors) == 0 {
		return
	}
	if len(grants) > 0 && s.chance(0.4) {
		g := pick(s.world, grants)
		s.note(n.name, "withdraws grant %s", g)
		s.oracle.doubtful[string(g)] = true
		s.change(b, func(tx *store.Tx) error { return store.Delete[store.Grant](tx, g) }, func(err error) {
			if err == nil {
				s.oracle.withdrawn(g, b)
			} else if !errors.Is(err, store.ErrNotFound) {
				s.violate(n.name, "cannot withdraw: %v", err)
			}
		})
		return
	}
	g := store.Grant{ID: store.NewID[store.GrantID](n.wall()), Merchant: m, Person: pick(s.world, people), Door: pick(s.world, doors)}
	s.note(n.name, "grants %s", g.ID)
	s.change(b, func(tx *store.Tx) error { return store.Put(tx, &g) }, func(err error) {
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			s.violate(n.name, "cannot grant: %v", err)
		} else if err == nil {
			s.oracle.granted(g, b)
		}
	})
}

func (s *fleet) erase() {
	n, m, b := s.somewhere()
	if n == nil {
		return
	}
	ids := s.people(n, m)
	if len(ids) == 0 {
		return
	}
	id := pick(s.world, ids)
	s.note(n.name, "erases %s", id)
	s.oracle.doubtful[string(id)] = true
	s.change(b, func(tx *store.Tx) error { return store.Erase(tx, id) }, func(err error) {
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			s.violate(n.name, "cannot erase: %v", err)
		default:
			s.counts.Erasures++
			if b != nil {
				m = s.central.owner[b.site]
			}
			s.oracle.erase(id, m, b)
		}
	})
}

// away has a box be reported as lost while it is off the network. It comes back after
// nobody waits for it any more, and the operator takes it in again.
func (s *fleet) away() {
	b := pick(s.world, s.boxes)
	if b.revoked || b.cloned || b.away || !s.oracle.wasOnline(b) || !b.alive {
		return
	}
	b.away = true
	s.oracle.unproven(b)
	if b.pipe != nil {
		b.pipe.sever(false)
	}
	s.note(b.name, "is away")
	s.after(s.within(0, 5*time.Second), func() { s.insist(b, store.Revoked, func() { s.after(s.within(0, 20*time.Second), s.comeBack(b)) }) })
}

func (s *fleet) comeBack(b *box) func() {
	return func() {
		s.trim()
		s.after(time.Second, func() {
			s.insist(b, store.Active, func() {
				s.note(b.name, "is back")
				b.away = false
			})
		})
	}
}

// insist gives a device a status, and again where the central was not there to say
// that it is done.
func (s *fleet) insist(b *box, status store.Status, then func()) {
	done, c := false, s.central
	s.after(5*time.Second, func() {
		if !done {
			s.insist(b, status, then)
		}
	})
	if !c.alive {
		return
	}
	s.note(c.name, "has %s as %s", b.name, status)
	c.change(operator.Actor, func(tx *store.Tx) error {
		d, err := store.Get[store.Device](tx, store.DeviceID(b.device))
		if isNotFound(err) { // a restored central does not know it
			d, err = s.deviceOf(b), nil
		}
		if err != nil || d.Status == status && d.Rev > 0 {
			return err
		}
		d.Status = status
		return store.Put(tx, &d)
	}, func(err error) {
		c.fine("set the status of a device", err)
		done = true
		then()
	})
}

// trim has the central drop tombstones that nobody waits for.
func (s *fleet) trim() {
	c := s.central
	if !c.alive {
		return
	}
	s.note(c.name, "trims its feeds")
	c.change(operator.Actor, func(tx *store.Tx) error {
		for _, site := range c.sites {
			if _, err := store.TrimFeed(tx, site, 1+s.rand.IntN(1000)); err != nil {
				return err
			}
		}
		return nil
	}, func(err error) { c.fine("trim", err) })
}

func (s *fleet) revoke() {
	b, c := pick(s.world, s.boxes), s.central
	if b.revoked || b.cloned || b.away {
		return
	}
	b.revoked = true
	s.insist(b, store.Revoked, func() { c.step(hub.Revoked{Device: b.device, Reason: "stolen"}) })
}

// clone makes a second box of a box, from its disk.
func (s *fleet) clone() {
	b := pick(s.world, s.boxes)
	if b.revoked || b.cloned || b.away || !b.alive || !s.oracle.wasOnline(b) {
		return
	}
	s.counts.Clones++
	b.cloned = true
	twin := &box{
		node: node{w: s.world, name: b.name + "'", disk: b.disk.copy(), slow: b.slow},
		s:    s, device: b.device, key: b.key, own: b.own, site: b.site, cloned: true, erased: map[store.PersonID]bool{},
	}
	s.note(b.name, "is cloned")
	s.boxes = append(s.boxes, twin)
	twin.start()
}
