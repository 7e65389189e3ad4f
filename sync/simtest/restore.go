package simtest

import (
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/uplink"
)

// backup keeps a copy of the central's store.
func (s *fleet) backup() {
	if s.central.alive {
		s.note("central", "is backed up")
		s.central.backup = s.central.disk.copy()
		s.oracle.backedUp()
		s.keepBackup()
	}
}

// restore puts the last backup of the central back, as a new epoch. Erasures since
// are repeated before it serves, unless their log was lost too: then the boxes know.
func (s *fleet) restore() {
	c := s.central
	if !c.alive || c.backup == nil {
		return
	}
	s.takeBackup()
	s.counts.Restores++
	c.stop()
	s.note(c.name, "is restored from its backup")
	c.past = append(c.past, c.disk.synced)
	epoch := c.layout.Info().Epoch
	c.disk = c.backup.copy()
	s.reopen(&c.node, epoch+1)
	s.registerAgain()
	if !s.chance(s.faults.reborn) {
		s.eraseAgain()
	} else {
		s.oracle.erasuresLost()
	}
	s.oracle.restored()
	c.backup = c.disk.copy()
	s.after(s.within(time.Second, 10*time.Second), c.start)
}

// eraseAgain repeats erasures from their log. Of whom the backup has not, it notes
// that he is not to come back.
func (s *fleet) eraseAgain() {
	c := s.central
	var personal []string
	c.update(operator.Actor, func(tx *store.Tx) error {
		for _, p := range s.oracle.erasedAtCentral() {
			err := store.Erase(tx, p)
			if isNotFound(err) {
				var keys []string
				keys, err = eraseAbout(tx, p)
				personal = append(personal, keys...)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, func(error) {})
	err := c.disk.update(func(k store.KV) error {
		for _, key := range personal {
			k.Delete("personal.foreign", []byte(key))
		}
		for _, p := range s.oracle.erasedAtCentral() {
			tag := p.Tag()
			if v, _ := k.Get("erased", tag[:]); v == nil {
				k.Put("erased", tag[:], make([]byte, 8))
				s.oracle.erasures[p].boxes = nil // it knows no id to ask boxes for
			}
		}
		return nil
	})
	c.fine("repeat erasures", err)
	c.disk.sync()
	c.commits = nil
}

// eraseAbout removes what a store has about somebody whom it does not know: it cannot be
// read any more without his key. It returns the keys of personal parts, which go too.
func eraseAbout(tx *store.Tx, p store.PersonID) (personal []string, err error) {
	if _, err := store.EraseFace(tx, p); err != nil {
		return nil, err
	}
	var grants []store.GrantID
	for g, err := range store.All(tx, store.GrantsByPerson, store.Plain(p)) {
		if err != nil {
			return nil, err
		}
		grants = append(grants, g.ID)
	}
	for _, g := range grants {
		if err := store.Delete[store.Grant](tx, g); err != nil {
			return nil, err
		}
	}
	for f, err := range store.All(tx, store.ForeignByPerson, store.Plain(p)) {
		if err != nil {
			return nil, err
		}
		personal = append(personal, string(store.NewForeignID(f.Device, f.Epoch, f.Seq)))
	}
	return personal, nil
}

// registerAgain is what an operator has to do after a restore: the backup does not
// know who has joined and who was revoked since.
func (s *fleet) registerAgain() {
	c := s.central
	c.update(operator.Actor, func(tx *store.Tx) error {
		for _, b := range s.boxes {
			d, err := store.Get[store.Device](tx, store.DeviceID(b.device))
			if isNotFound(err) {
				d, err = s.deviceOf(b), nil
			}
			want := store.Active
			if b.revoked || b.away {
				want = store.Revoked
			}
			changed := d.Rev == 0 || d.Status != want && d.Status != store.Suspended
			if d.Status = want; err == nil && changed {
				err = store.Put(tx, &d)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, func(error) {})
	c.disk.sync()
	c.commits = nil
}

// reopen opens a backup with a new epoch of its journal, as a restore does: what
// the journal holds goes to a period first.
func (s *fleet) reopen(n *node, epoch uint64) {
	n.prepare(0)
	n.archive = append(n.archive, n.disk.synced.only("record.event", "personal"))
	n.commits = nil
	n.update(operator.Actor, func(tx *store.Tx) error {
		head, err := store.Head(tx)
		if err != nil || head == 0 {
			return err
		}
		old := tx.Info().Epoch
		return store.Put(tx, &store.Period{ID: store.NewPeriodID(old, 1), Epoch: old, From: 1, To: head})
	}, func(error) {})
	n.commits = nil
	n.disk.sync()
	n.prepare(epoch)
}

// restoreBox puts a box back to what it was a while ago, as a new epoch.
func (s *fleet) restoreBox() {
	b := pick(s.world, s.boxes)
	if !b.alive || b.cloned || b.away || !s.oracle.wasOnline(b) {
		return
	}
	copy := b.disk.copy()
	at := s.oracle.mark(b)
	s.note(b.name, "is backed up")
	s.after(s.within(time.Second, 30*time.Second), func() {
		if !b.alive || s.calm || b.cloned || b.revoked || b.away {
			return
		}
		s.counts.Restores++
		epoch := b.layout.Info().Epoch
		b.crash(s.within(2*time.Second, 10*time.Second))
		b.past = append(b.past, b.disk.synced)
		s.note(b.name, "is restored from its backup")
		b.disk = copy
		s.reopen(&b.node, epoch+1)
		if len(s.bad) > 0 {
			return
		}
		b.saved, b.savedAt = uplink.Status{}, s.now
		s.oracle.boxRestored(b, at)
	})
}
