package store

import "bytes"

// deletedBucket says which records were deleted for ever, by their RecordKey: at the
// central, and on a box those of which it knows. An id is not given twice, so that no
// box and no backup brings such a record back.
//
// The value is empty. At the central it may be sites instead, each with a 0 behind it:
// their boxes have deleted what the central does not know, and whether they ever had it
// will show when it comes.
const deletedBucket = "deleted"

// isFinal says whether a record of a kind that was deleted never comes again: those
// that boxes change and whose ids are random. The id of a template is not.
func isFinal(k Kind) bool { return fromBoxes(k) && k != KindTemplate }

// noteDeleted keeps for ever that a record was deleted.
func (tx *Tx) noteDeleted(key string) error {
	if k, _ := splitKey(key); !isFinal(k) {
		return nil
	}
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	return kv.Put(deletedBucket, []byte(key), []byte{})
}

// isDeleted says whether a record was deleted for ever.
func (tx *Tx) isDeleted(key string) (bool, error) {
	v, err := tx.get(deletedBucket, []byte(key))
	return v != nil && len(v) == 0, err
}

// claimDeleted keeps that a box of a site has deleted a record which the central does
// not know.
func (tx *Tx) claimDeleted(key string, s SiteID) error {
	if k, _ := splitKey(key); !isFinal(k) {
		return nil
	}
	v, err := tx.get(deletedBucket, []byte(key))
	if err != nil || v != nil && len(v) == 0 || bytes.Contains(v, append([]byte(s), 0)) {
		return err
	}
	return tx.kv.Put(deletedBucket, []byte(key), append(append(bytes.Clone(v), s...), 0))
}

// deletedBefore says whether a record that has just come is of the scope of a site whose
// boxes had deleted it before.
func (tx *Tx) deletedBefore(key string) (bool, error) {
	v, err := tx.get(deletedBucket, []byte(key))
	if err != nil {
		return false, err
	}
	for site := range bytes.SplitSeq(v, []byte{0}) {
		if f := tx.feeds[SiteID(site)]; f != nil {
			if _, op, err := tx.marked(f, key); err != nil || op == OpPut {
				return true, err
			}
		}
	}
	return false, nil
}

// deletedSince says whether a record that a box made was deleted, and the box did
// not know of it when it made it.
func (tx *Tx) deletedSince(f *feed, e *Edit) (bool, error) {
	key := RecordKey(e.Kind, e.ID)
	if isFinal(e.Kind) {
		return tx.isDeleted(key)
	}
	rev, was, err := tx.marked(f, key)
	knew := e.Anew || e.Epoch == tx.layout.info.Epoch && e.Base >= rev
	return was == OpDelete && !knew, err
}

// objectDeleted answers a central that says of a record that it is there, and was
// restored to before it was deleted: the deletion goes up.
func (tx *Tx) objectDeleted(l *Link, rec shared, c *FeedChange) error {
	person := rec.spec().person
	e, err := Append(tx, Event{
		Kind: EventChange, Merchant: l.Merchant, Person: person, Action: "again", Change: &Change{Kind: c.Kind, ID: c.ID, Op: OpDelete},
	}, nil)
	if err != nil {
		return err
	}
	return Put(tx, &Pending{
		ID: PendingID(RecordKey(c.Kind, c.ID)), Person: person, Op: OpDelete, First: e.Seq, Seq: e.Seq, EditBase: EditBase{Epoch: l.Epoch, Base: c.Rev},
	})
}

// objectErased answers a central that tells about somebody who was erased here, and
// has forgotten it: the erasure goes up, unless it is on its way, being none of the
// events that the central has merged.
func (tx *Tx) objectErased(l *Link, id PersonID, merged uint64) error {
	for e, err := range All(tx, EventsByPerson, Plain(id)) {
		if err != nil || e.Kind == EventErasure && e.Epoch == tx.layout.info.Epoch && e.Seq > merged {
			return err
		}
	}
	_, err := Append(tx, Event{Kind: EventErasure, Merchant: l.Merchant, Person: id, Action: "again", Outcome: OutcomeDone}, nil)
	return err
}
