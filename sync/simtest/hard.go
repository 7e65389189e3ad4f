package simtest

import (
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/uplink"
	"github.com/cypherface/edge/sync/wire"
)

// Hard fleets have all that others have, and besides: two merchants, sites that have
// only people with a grant and change that, faces that are deleted and enrolled anew,
// doors that move, backups of the central that are older than the last, restores upon
// restores, and boxes that sign their receipts with another key.

// harden has rare things happen more often.
func (s *fleet) harden() {
	s.faults.rare = pick(s.world, []float64{0.1, 0.3})
	s.faults.reborn = pick(s.world, []float64{0, 0.3, 1})
}

// backup is a copy of the central's store.
type backup struct {
	disk *disk
	at   time.Duration
}

// keepBackup keeps the last backup beside those before it.
func (s *fleet) keepBackup() {
	if s.hard {
		s.central.backups = append(s.central.backups, backup{s.central.backup, s.now})
	}
}

// takeBackup has any backup be the one that is restored.
func (s *fleet) takeBackup() {
	if s.hard && s.chance(0.5) {
		b := pick(s.world, s.central.backups)
		s.central.backup, s.oracle.backupAt = b.disk, b.at
	}
}

// regroup has a site have everybody, or only people with a grant.
func (s *fleet) regroup() {
	c := s.central
	if !c.alive {
		return
	}
	id := pick(s.world, c.sites)
	s.note(c.name, "regroups the people of %s", id)
	c.change(operator.Actor, func(tx *store.Tx) error {
		site, err := store.Get[store.Site](tx, id)
		if err != nil {
			return err
		}
		if site.People == store.PeopleAll {
			site.People = store.PeopleGranted
		} else {
			site.People = store.PeopleAll
		}
		return store.Put(tx, &site)
	}, func(err error) { c.fine("regroup", err) })
}

// loseFace erases the face of somebody, as who takes his consent back wants it.
func (s *fleet) loseFace(n *node, m store.MerchantID, b *box) {
	ids := s.people(n, m)
	if len(ids) == 0 {
		return
	}
	id := pick(s.world, ids)
	s.note(n.name, "erases the face of %s", id)
	s.change(b, func(tx *store.Tx) error {
		_, err := store.EraseFace(tx, id)
		return err
	}, func(err error) {
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			s.violate(n.name, "cannot erase a face: %v", err)
		}
	})
}

// enrolFace enrols the face of somebody, perhaps anew.
func (s *fleet) enrolFace(n *node, m store.MerchantID, b *box) {
	ids := s.people(n, m)
	if len(ids) == 0 {
		return
	}
	id := pick(s.world, ids)
	s.note(n.name, "enrols the face of %s", id)
	s.change(b, func(tx *store.Tx) error {
		t, err := store.Get[store.Template](tx, store.NewTemplateID(id, "sp"))
		if isNotFound(err) {
			t, err = store.Template{ID: store.NewTemplateID(id, "sp"), Merchant: m, Person: id, Space: "sp", Crops: 1}, nil
		}
		if err != nil {
			return err
		}
		t.Vector = []float32{s.rand.Float32(), s.rand.Float32()}
		if err := store.Put(tx, &t); err != nil {
			return err
		}
		return store.Put(tx, &store.Crop{ID: store.NewID[store.CropID](n.wall()), Merchant: m, Person: id, Image: []byte(s.token())})
	}, func(err error) {
		if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrErased) {
			s.violate(n.name, "cannot enrol a face: %v", err)
		}
	})
}

// moveDoor has a door be at another site of its merchant, at the central.
func (s *fleet) moveDoor(n *node, m store.MerchantID, b *box) {
	if b != nil {
		return
	}
	var doors []store.Door
	n.must(func(tx *store.Tx) error {
		for d, err := range store.All(tx, store.DoorsByMerchant, store.Plain(m)) {
			if err != nil {
				return err
			}
			doors = append(doors, d)
		}
		return nil
	})
	var sites []store.SiteID
	for _, site := range s.central.sites {
		if s.central.owner[site] == m {
			sites = append(sites, site)
		}
	}
	id, to := pick(s.world, doors).ID, pick(s.world, sites)
	s.note(n.name, "moves door %s to %s", id, to)
	s.oracle.moved[id] = true
	s.change(nil, func(tx *store.Tx) error {
		d, err := store.Get[store.Door](tx, id)
		if err != nil {
			return err
		}
		d.Site = to
		return store.Put(tx, &d)
	}, func(err error) {
		if err != nil {
			s.violate(n.name, "cannot move a door: %v", err)
		}
	})
}

// lie has a liar sign receipts with a key that is not his.
func (b *box) lie(done *uplink.Done) {
	if !b.liar || done.Events == nil {
		return
	}
	for i := range done.Events.Events {
		if e := &done.Events.Events[i]; e.Receipt != nil {
			seq := done.Events.First() + uint64(i)
			e.Receipt = wire.SignReceipt(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), b.device, b.layout.Info().Epoch, seq, e.Edit.ID)
		}
	}
}
