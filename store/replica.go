package store

import (
	"errors"
	"fmt"
)

// replicaBucket says which records of a box came from the central: RecordKey →
// revision of the scope. Keys are the central's.
const replicaBucket = "replica"

// FeedPart is a stretch of a scope's feed on its way into a box.
type FeedPart struct {
	Central DeviceID // whose feed it is,
	Epoch   uint64   // and the epoch of its store
	After   uint64   // what the box has to have
	Through uint64   // what it has then
	Merged  uint64   // edits of the box's journal up to this event are in it
	Changes []FeedChange
}

// RangePart is a stretch of a snapshot: all that the scope holds with keys behind
// After up to Next, or with Last without an end.
type RangePart struct {
	Central     DeviceID
	Epoch       uint64
	Rev         uint64 // of the feed when the first stretch was read, the same in all
	After, Next string
	Last        bool
	Merged      uint64
	Records     []FeedChange
}

// ApplyFeed brings a box that joined from one revision to another, with its
// bookmark. Records become what they are at the central; what the box has changed
// since and the central has not merged yet stays on top. The error is ErrGap where
// the part does not follow the bookmark, of this central and epoch.
func ApplyFeed(tx *Tx, p FeedPart) error {
	return tx.apply(p.Merged, p.Changes, func(l *Link) error {
		if l.Central != p.Central || l.Epoch != p.Epoch || l.At != p.After || l.Snapshot != 0 || p.Through < p.After {
			return fmt.Errorf("apply revisions %d to %d at %d: %w", p.After, p.Through, l.At, ErrGap)
		}
		l.At = p.Through
		return nil
	})
}

// ApplyRange is ApplyFeed for a part of a snapshot. What the box has from the
// central and the range has not goes. A first part, with After "", may come at any
// time, from whatever epoch; the bookmark is that of the snapshot once the last was
// applied.
func ApplyRange(tx *Tx, p RangePart) error {
	return tx.apply(p.Merged, p.Records, func(l *Link) error {
		switch {
		case p.After == "":
			l.Central, l.Epoch, l.At, l.Snapshot = p.Central, p.Epoch, 0, p.Rev
		case l.Central != p.Central || l.Epoch != p.Epoch || l.Snapshot != p.Rev || l.Cursor != p.After:
			return fmt.Errorf("apply snapshot of revision %d: %w", p.Rev, ErrGap)
		}
		l.Cursor = p.Next
		if p.Last {
			l.At, l.Snapshot, l.Cursor = l.Snapshot, 0, ""
		}
		return tx.dropOthers(l, &p)
	})
}

// apply applies changes and moves the bookmark as move says.
func (tx *Tx) apply(merged uint64, changes []FeedChange, move func(*Link) error) error {
	l, err := Get[Link](tx, TheLink)
	if err != nil {
		return err
	}
	tx.link, tx.linkRead, tx.replica = &l, true, true
	defer func() { tx.replica = false }()
	return tx.whole(func() error {
		if err := move(&l); err != nil {
			return err
		}
		for i := range changes {
			if err := tx.applyChange(&l, merged, &changes[i]); err != nil {
				return fmt.Errorf("apply %s %s: %w", changes[i].Kind, changes[i].ID, err)
			}
		}
		l.Merged = l.Merged.and(Seen{l.Epoch, tx.layout.info.Epoch, merged})
		if err := tx.saveLink(&l); err != nil {
			return err
		}
		return tx.noteApplied(&l, changes)
	})
}

// noteApplied appends the one event of a part that was applied: what changed and
// who wanted it stands in the central's journal.
func (tx *Tx) noteApplied(l *Link, changes []FeedChange) error {
	if len(changes) == 0 {
		return nil
	}
	counters := map[string]float64{"epoch": float64(l.Epoch), "revision": float64(changes[len(changes)-1].Rev), "records": float64(len(changes))}
	_, err := Append(tx, Event{Kind: EventSystem, Merchant: l.Merchant, Site: l.Site, Action: "sync", Outcome: OutcomeDone, Counters: counters}, nil)
	return err
}

func (tx *Tx) applyChange(l *Link, merged uint64, c *FeedChange) error {
	key := RecordKey(c.Kind, c.ID)
	if !isShared(c.Kind) {
		return nil // of a newer central
	}
	p, err := tx.pendingOf(key, merged)
	if err != nil {
		return err
	}
	switch c.Op {
	case OpErase:
		return tx.applyErasure(PersonID(c.ID))
	case OpDelete:
		if err := tx.noteDeleted(key); err != nil {
			return err
		}
		return tx.applyGone(c.Kind, c.ID, p, !isFinal(c.Kind))
	case OpAbsent:
		return tx.applyGone(c.Kind, c.ID, p, true)
	case OpPut:
		return tx.applyPut(l, merged, c, p)
	}
	return fmt.Errorf("%w: operation %q", ErrInvalid, c.Op)
}

// pendingOf returns what the central has not merged of a record, or nil; what it
// has merged is forgotten.
func (tx *Tx) pendingOf(key string, merged uint64) (*Pending, error) {
	p, err := Get[Pending](tx, PendingID(key))
	switch {
	case isNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case p.Seq <= merged:
		return nil, tx.dropPending(key)
	}
	return &p, nil
}

// applyErasure erases for ever, and leaves the event that proves it.
func (tx *Tx) applyErasure(id PersonID) error {
	tx.replica = false
	defer func() { tx.replica = true }()
	key := RecordKey(KindPerson, string(id))
	if err := errors.Join(tx.dropReplica(key), tx.dropPending(key)); err != nil {
		return err
	}
	return tx.eraseHeard(tx.link.Merchant, id)
}

// applyGone removes a record, with what the box has changed of it; where it may come
// again, not one that is on its way to the central whole, and not that the box has
// deleted it.
func (tx *Tx) applyGone(k Kind, id string, p *Pending, mayCome bool) error {
	key := RecordKey(k, id)
	if err := tx.dropReplica(key); err != nil {
		return err
	}
	if mayCome && p != nil && (p.Op == OpDelete || p.New || p.Again) || k == KindMerchant {
		return nil
	}
	if err := tx.dropPending(key); err != nil {
		return err
	}
	rec := kinds[k]().(shared)
	if err := tx.load(k, id, rec); isNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	if p != nil {
		plain, err := encode(rec)
		if err == nil {
			err = tx.noteLost(rec, p.EditBase, plain, p.names())
		}
		if err != nil {
			return err
		}
	}
	if k == KindPerson { // what the box alone has of him
		if _, err := eraseRecords(tx, PersonID(id), ownRecords()); err != nil {
			return err
		}
	}
	return tx.remove(id, rec)
}

// names are the fields that the box has changed.
func (b *EditBase) names() (names []string) {
	for _, f := range b.Fields {
		names = append(names, f.Name)
	}
	return names
}

// applyPut makes a record what it is at the central, with the fields on top that
// the box has changed and the central does not know.
func (tx *Tx) applyPut(l *Link, merged uint64, c *FeedChange, p *Pending) error {
	plain := join(c.Header, c.Piece)
	id := c.ID
	if c.Kind == KindMerchant {
		id = string(l.Merchant)
	}
	old, err := tx.loadOld(c.Kind, id)
	if err != nil {
		return err
	}
	if p != nil && p.Op == OpPut && old.plain != nil {
		if plain, err = overlay(plain, old.plain, p.names()); err != nil {
			return err
		}
	}
	rec := kinds[c.Kind]().(shared)
	if err := decode(plain, rec); err != nil {
		return err
	}
	rec.rehome(l.Merchant)
	if !rec.named(id) {
		return fmt.Errorf("%w: it says that it is another", ErrInvalid)
	}
	if errors.Is(tx.checkErased(rec.spec().person), ErrErased) {
		return tx.objectErased(l, rec.spec().person, merged)
	}
	if err := tx.setReplica(RecordKey(c.Kind, c.ID), c.Rev); err != nil {
		return err
	}
	if deleted, err := tx.isDeleted(RecordKey(c.Kind, c.ID)); err != nil {
		return err
	} else if deleted && p == nil {
		return tx.objectDeleted(l, rec, c)
	}
	if p != nil && (p.Op == OpDelete || p.New && old.plain != nil) {
		return nil // the box's stands until the central has heard of it
	}
	return tx.replacePut(id, rec, old)
}

// replacePut puts a record as it came, whose revision never goes back: a change
// that was begun on the record before does not fit any more.
func (tx *Tx) replacePut(id string, rec shared, old loaded) error {
	m := rec.meta()
	if old.plain != nil {
		if plain, err := encode(rec); err != nil {
			return err
		} else if fields, err := changedFields(old.plain, plain); err != nil {
			return err
		} else if len(fields) > 0 && m.Rev <= old.meta.Rev {
			m.Rev = old.meta.Rev + 1
		}
		m.Rev = max(m.Rev, old.meta.Rev)
	}
	if p, ok := rec.(*Person); ok {
		if err := tx.makeRoom(p); err != nil {
			return err
		}
	}
	return tx.replace(id, rec, old)
}

// loadOld reads a record as replace wants it; the zero loaded is none.
func (tx *Tx) loadOld(k Kind, id string) (loaded, error) {
	rec := kinds[k]()
	if err := tx.load(k, id, rec); isNotFound(err) {
		return loaded{}, nil
	} else if err != nil {
		return loaded{}, err
	}
	return tx.last, nil
}

// overlay returns a record with some fields of another version of it.
func overlay(plain, top []byte, names []string) ([]byte, error) {
	p, err := partsOf(plain)
	if err != nil {
		return nil, err
	}
	t, err := partsOf(top)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		p.set(name, t.value(name))
	}
	return p.plain(), nil
}

// makeRoom takes values from whoever holds them on this box and a person from the
// central has: what the holder should have, the central will say.
func (tx *Tx) makeRoom(p *Person) error {
	for _, e := range p.spec().entries {
		if e.unique == "" {
			continue
		}
		holder, err := tx.get(indexBucket(e.index), tx.lineKey(e, string(p.ID)))
		if err != nil {
			return err
		}
		if holder == nil || string(holder) == string(p.ID) {
			continue
		}
		if err := tx.dispute(PersonID(holder), e.unique); err != nil {
			return err
		}
	}
	return nil
}

// dispute takes a unique value from a person of a box, as one that he has no more
// alone.
func (tx *Tx) dispute(id PersonID, field string) error {
	old, err := tx.loadOld(KindPerson, string(id))
	if err != nil {
		return err
	}
	h, err := Get[Person](tx, id)
	if err != nil {
		return err
	}
	h.yield(field)
	h.Rev++
	if p, err := Get[Pending](tx, PendingID(RecordKey(KindPerson, string(id)))); err == nil {
		was, err := partsOf(old.plain)
		if err != nil {
			return err
		}
		p.changedFrom(field, was.digest(field))
		p.changedFrom("disputed", was.digest("disputed"))
		if err := Put(tx, &p); err != nil {
			return err
		}
	} else if !isNotFound(err) {
		return err
	}
	return tx.replace(string(id), &h, old)
}

// yield moves a unique value to those that are disputed.
func (p *Person) yield(field string) {
	switch field {
	case PersonByEmail.unique:
		p.Disputed.Email, p.Email = p.Email, ""
	case PersonByExternalID.unique:
		p.Disputed.ExternalID, p.ExternalID = p.ExternalID, ""
	}
}

// dropOthers removes what the box has from the central in a range, and the range
// has not.
func (tx *Tx) dropOthers(l *Link, p *RangePart) error {
	there := map[string]bool{}
	for i := range p.Records {
		there[RecordKey(p.Records[i].Kind, p.Records[i].ID)] = true
	}
	r := Range{From: []byte(p.After + "\x00")}
	if p.After == "" {
		r.From = nil
	}
	if !p.Last {
		r.To = []byte(p.Next + "\x00")
	}
	var others []string
	note := func(k, _ []byte) (bool, error) {
		if !there[string(k)] {
			others = append(others, string(k))
		}
		return true, nil
	}
	err := tx.scan(replicaBucket, r, note)
	if err == nil {
		err = tx.scan(recordBucket(KindPending), r, note)
	}
	for i := 0; err == nil && i < len(others); i++ {
		k, id := splitKey(others[i])
		var pending *Pending
		pending, err = tx.pendingOf(others[i], p.Merged)
		if err == nil && (pending == nil || !pending.New) {
			err = tx.applyGone(k, id, pending, true)
		}
	}
	return err
}

// replicaRev returns the revision of the scope that the box has a record at; 0: it
// is not from the central.
func (tx *Tx) replicaRev(key string) (uint64, error) {
	b, err := tx.get(replicaBucket, []byte(key))
	if err != nil || b == nil {
		return 0, err
	}
	return parseSeq(b)
}

func (tx *Tx) setReplica(key string, rev uint64) error {
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	return kv.Put(replicaBucket, []byte(key), seqKey(rev))
}

func (tx *Tx) dropReplica(key string) error {
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	return kv.Delete(replicaBucket, []byte(key))
}
