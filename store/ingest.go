package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// IngestPart is a stretch of a box's journal on its way into the central.
type IngestPart struct {
	Device DeviceID
	Epoch  uint64 // of the box's journal
	// Gone says that the events up to this one are no longer on the box, or were of
	// the time before it joined; 0: the part follows what the central holds.
	Gone   uint64
	After  uint64 // number of the event before the first,
	Prev   Hash   // and its hash on the box; zero where it is not known there
	Events []Outgoing

	read []readEvent // see Read
}

// readEvent is what Ingest has to know of an event. Of many boxes many events wait for
// their turn.
type readEvent struct {
	seq    uint64
	kind   EventKind
	time   time.Time
	person PersonID
	leaf   Hash
}

// Read does what of Ingest needs no transaction, of which a central has one at a time.
// Ingest does it where it was not done; what is in Raw and Personal may not change
// between the two. The error is that of Ingest.
func (p *IngestPart) Read() error {
	read := make([]readEvent, len(p.Events))
	var kind EventKind // of the event before, mostly the same
	for i := range read {
		o := &p.Events[i]
		var e Event
		if err := parseEvent(o.Raw, &e); err != nil {
			return fmt.Errorf("ingest events of %s: %w: event is no JSON: %v", p.Device, ErrInvalid, err)
		}
		if e.Device != p.Device || e.Epoch != p.Epoch || e.Kind == "" || (o.Personal != nil && !fits(o.Personal, e.Personal)) {
			return fmt.Errorf("ingest events of %s: %w: event %d is not what it should be", p.Device, ErrInvalid, e.Seq)
		}
		if e.Kind != kind {
			kind = EventKind(strings.Clone(string(e.Kind)))
		}
		read[i] = readEvent{e.Seq, kind, e.Time, PersonID(strings.Clone(string(e.Person))), LeafHash(o.Raw)}
	}
	p.read = read
	return nil
}

// Merge says what became of an edit.
type Merge string

const (
	MergeAccepted Merge = "accepted" // it stands as it was sent
	MergePartly   Merge = "partly"   // Merged.Lost names the fields in which another change stands
	MergeRefused  Merge = "refused"  // none of it stands: the record or the person is gone, or it is not the box's to change
)

// Merged is what became of the edit that came with an event.
type Merged struct {
	Seq   uint64
	Merge Merge
	Lost  []string
}

// Ingest keeps events of a box and merges their edits, and returns how far the
// central then holds its journal. Events that it holds already are passed over, so
// that a part may come any number of times. The error is ErrNotFound for a box that
// is not registered or was revoked, ErrGap where an event is missing before the
// part, ErrForked where the part tells another story than the one that is held,
// ErrInvalid for events that are not what they should be.
//
// An edit is merged field by field: a field that the central has with a value from
// which the box made its own takes the box's; in every other it stays, the first
// comer having won, and what the box wanted is kept in the personal part of an
// EventConflict. A deletion stands above any change. Of two people with the same
// e-mail or external id both are kept, the second with the value in Disputed, and
// an operator has a Review. Whatever became of it, the record comes back to the box
// by its feed.
func Ingest(tx *Tx, p IngestPart) (through uint64, merged []Merged, err error) {
	d, err := Get[Device](tx, p.Device)
	if err == nil && d.Status != Active {
		err = fmt.Errorf("%w: the box was revoked", ErrNotFound)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("ingest: %w", err)
	}
	b, err := boxOf(tx, &d)
	if err == nil && p.read == nil {
		err = p.Read()
	}
	if err != nil {
		return 0, nil, err
	}
	err = tx.whole(func() error {
		merged, err = tx.ingest(&d, &b, &p)
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("ingest events of %s: %w", p.Device, err)
	}
	return b.Head, merged, nil
}

// boxOf returns where the central stands with a device.
func boxOf(tx *Tx, d *Device) (Box, error) {
	b, err := Get[Box](tx, d.ID)
	if isNotFound(err) {
		return Box{ID: d.ID, Merchant: d.Merchant}, nil
	}
	return b, err
}

// Held returns where the central stands with a box: the zero Box if it was never
// heard of.
func Held(tx *Tx, id DeviceID) (Box, error) {
	b, err := Get[Box](tx, id)
	if isNotFound(err) {
		return Box{}, nil
	}
	return b, err
}

func (tx *Tx) ingest(d *Device, b *Box, p *IngestPart) (merged []Merged, err error) {
	tree, err := b.begin(p)
	if err == nil {
		err = tx.follows(b, p)
	}
	if err != nil {
		return nil, err
	}
	for i := range p.Events {
		o, e := &p.Events[i], &p.read[i]
		if e.seq <= b.Head {
			if err := tx.sameForeign(NewForeignID(p.Device, p.Epoch, e.seq), o.Raw); err != nil {
				return nil, fmt.Errorf("event %d: %w", e.seq, err)
			}
			continue
		}
		if e.seq != b.Head+1 {
			return nil, fmt.Errorf("event %d after %d: %w", e.seq, b.Head, ErrGap)
		}
		b.Head, b.Leaf = e.seq, e.leaf
		if tree != nil {
			tree.Append(b.Leaf)
		}
		f := Foreign{
			Event: Event{Device: p.Device, Epoch: p.Epoch, Seq: e.seq, Time: e.time, Kind: e.kind, Person: e.person},
			Raw:   o.Raw, Owner: d.Merchant, Receipt: o.Receipt,
		}
		if err := tx.saveForeign(&f, o.Personal); err != nil {
			return nil, err
		}
		if o.Edit != nil {
			m, err := tx.merge(d, o.Edit)
			if err != nil {
				return nil, fmt.Errorf("merge %s %s: %w", o.Edit.Kind, o.Edit.ID, err)
			}
			m.Seq = e.seq
			merged = append(merged, m)
		}
	}
	b.Seen, b.Tree = tx.now, nil
	if tree != nil {
		b.Tree = tree.appendTo(nil)
	}
	return merged, Put(tx, b)
}

// begin checks that a part can be held against a box, and returns its tree as far
// as it is known.
func (b *Box) begin(p *IngestPart) (*Tree, error) {
	joins := b.Epoch == 0
	switch {
	case p.Epoch < b.Epoch || p.Epoch == 0:
		return nil, fmt.Errorf("epoch %d after %d: %w", p.Epoch, b.Epoch, ErrForked)
	case p.Epoch > b.Epoch:
		b.Epoch, b.Head, b.Leaf, b.Tree = p.Epoch, 0, Hash{}, Tree{}.appendTo(nil)
	}
	if p.Gone > b.Head {
		if !joins { // what was before is the box's own
			b.Missing += p.Gone - b.Head
		}
		b.Head, b.Leaf, b.Tree = p.Gone, Hash{}, nil
	}
	if b.Tree == nil {
		return nil, nil
	}
	var t Tree
	return &t, t.UnmarshalBinary(b.Tree)
}

// follows checks that the event before a part is the one that is held.
func (tx *Tx) follows(b *Box, p *IngestPart) error {
	leaf := b.Leaf
	switch {
	case p.Prev == Hash{} || p.After > b.Head || p.After == 0:
		return nil
	case p.After < b.Head:
		f, err := ForeignEvent(tx, NewForeignID(p.Device, p.Epoch, p.After))
		if isNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		leaf = LeafHash(f.Raw)
	}
	if leaf != p.Prev && leaf != (Hash{}) {
		return fmt.Errorf("event %d: %w", p.After, ErrForked)
	}
	return nil
}

// sameForeign checks that an event which is held came again as it was.
func (tx *Tx) sameForeign(id ForeignID, raw []byte) error {
	held, err := ForeignEvent(tx, id)
	if isNotFound(err) {
		return nil
	}
	if err == nil && string(held.Raw) != string(raw) {
		err = ErrForked
	}
	return err
}

// Applied notes that a box holds its scope up to a revision; an older note changes
// nothing. Tombstones wait for it, see TrimFeed.
func Applied(tx *Tx, id DeviceID, rev uint64) error {
	d, err := Get[Device](tx, id)
	if err != nil {
		return err
	}
	f, err := FeedStateOf(tx, d.Site)
	if err != nil {
		return err
	}
	b, err := boxOf(tx, &d)
	if err != nil || rev <= b.Applied || rev > f.Head {
		return err
	}
	b.Applied, b.Seen = rev, tx.now
	return Put(tx, &b)
}

// merge does to a record what a box did.
func (tx *Tx) merge(d *Device, e *Edit) (Merged, error) {
	f, err := tx.scopeOf(d)
	if err != nil {
		return Merged{}, err
	}
	if !fromBoxes(e.Kind) || e.ID == "" {
		return Merged{Merge: MergeRefused}, tx.sendBack(f, e)
	}
	rec := kinds[e.Kind]().(shared)
	err = tx.load(e.Kind, e.ID, rec)
	there := err == nil
	if err != nil && !isNotFound(err) {
		return Merged{}, err
	}
	if there && rec.spec().merchant != d.Merchant {
		if e.Op != OpPut {
			return tx.refuseDeletion(f, e, "")
		}
		return Merged{Merge: MergeRefused}, tx.sendBack(f, e)
	}
	switch {
	case e.Op == OpErase && e.Kind == KindPerson:
		if stranger, err := tx.isStranger(f, PersonID(e.ID)); err != nil {
			return Merged{}, err
		} else if stranger {
			return tx.refuseDeletion(f, e, PersonID(e.ID))
		}
		return Merged{Merge: MergeAccepted}, tx.eraseHeard(d.Merchant, PersonID(e.ID))
	case e.Op == OpDelete:
		return tx.mergeDeletion(f, e, rec, there)
	case e.Op == OpPut:
		return tx.mergePut(d, f, e, there)
	}
	return Merged{}, fmt.Errorf("%w: operation %q", ErrInvalid, e.Op)
}

// mergeDeletion deletes what a box has deleted: it may have left its scope since. What
// the scope never had is not the box's to delete. If it had it nevertheless, as the
// central was restored to before that, the box knows what it has deleted, and says so
// again when the record comes into its scope.
func (tx *Tx) mergeDeletion(f *feed, e *Edit, rec shared, there bool) (Merged, error) {
	key := RecordKey(e.Kind, e.ID)
	had, err := tx.hadOnce(f, key)
	switch {
	case err != nil:
		return Merged{}, err
	case there && !had:
		return tx.refuseDeletion(f, e, rec.spec().person)
	case there:
		err = tx.answered(f, e, func() error { return tx.remove(e.ID, rec) })
	case had:
		err = errors.Join(tx.noteDeleted(key), tx.sendBack(f, e))
	default:
		err = errors.Join(tx.claimDeleted(key, f.site), tx.sendBack(f, e))
	}
	return Merged{Merge: MergeAccepted}, err
}

// refuseDeletion leaves a record where it is, and an event that says who wanted it gone:
// no honest box does, unless the central was restored.
func (tx *Tx) refuseDeletion(f *feed, e *Edit, person PersonID) (Merged, error) {
	_, err := Append(tx, Event{
		Kind: EventSystem, Merchant: f.merchant, Site: f.site, Person: person, Action: "deletion", Outcome: OutcomeDenied, Reasons: []string{"never_had"},
		Change: &Change{Kind: e.Kind, ID: e.ID, Op: e.Op},
	}, nil)
	return Merged{Merge: MergeRefused}, errors.Join(err, tx.sendBack(f, e))
}

// isStranger says whether a person is there and certainly never was of a scope. A central
// that was restored cannot say so of anybody: who comes into a scope leaves no trace in
// an older backup.
func (tx *Tx) isStranger(f *feed, p PersonID) (bool, error) {
	if tx.layout.info.Epoch > 1 || p == "" {
		return false, nil
	}
	there, err := tx.get(recordBucket(KindPerson), []byte(p))
	if err != nil || there == nil {
		return false, err
	}
	had, err := tx.hadOnce(f, RecordKey(KindPerson, string(p)))
	return !had, err
}

// scopeOf returns the feed of the site of a box.
func (tx *Tx) scopeOf(d *Device) (*feed, error) {
	if _, err := tx.feedsOf(d.Merchant); err != nil {
		return nil, err
	}
	f := tx.feeds[d.Site]
	if f == nil {
		return nil, fmt.Errorf("read feed of site %s: %w", d.Site, ErrNotFound)
	}
	return f, nil
}

// sendBack has a box get a record again, or that it is not there: what it did to it
// has no effect of its own that it would hear of.
func (tx *Tx) sendBack(f *feed, e *Edit) error {
	key := RecordKey(e.Kind, e.ID)
	_, op, err := tx.marked(f, key)
	if err != nil || op == OpErase {
		return err
	}
	deleted, err := tx.isDeleted(key)
	switch {
	case err != nil:
		return err
	case deleted:
		op = OpDelete
	case op == "":
		op = opNever
	}
	return tx.mark(f, key, op)
}

func (tx *Tx) mergePut(d *Device, f *feed, e *Edit, there bool) (Merged, error) {
	theirs := join(e.Header, e.Piece)
	rec := kinds[e.Kind]().(shared)
	if err := decode(theirs, rec); err != nil {
		return Merged{}, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	rec.rehome(d.Merchant)
	if door, ok := rec.(*Door); ok {
		door.Site = d.Site
		if door.Device == "" {
			door.Device = d.ID
		}
	}
	if !rec.named(e.ID) {
		return Merged{}, fmt.Errorf("%w: it says that it is another", ErrInvalid)
	}
	if tx.checkErased(rec.spec().person) != nil {
		return Merged{Merge: MergeRefused}, tx.sendBack(f, e)
	}
	if e.Kind != KindPerson { // who is spoken of comes into the scope
		if stranger, err := tx.isStranger(f, rec.spec().person); err != nil || stranger {
			return tx.refuse(f, e, rec, theirs, err)
		}
	}
	if !there {
		return tx.mergeNew(f, e, rec, theirs)
	}
	old := kinds[e.Kind]().(shared)
	if err := tx.load(e.Kind, e.ID, old); err != nil {
		return Merged{}, err
	}
	if in, err := tx.within(f, old); err != nil || !in {
		return tx.refuse(f, e, rec, theirs, err)
	}
	if p, ok := rec.(*Person); ok {
		p.Home = old.(*Person).Home // the central's to say: a box that made him does not know it yet
	}
	return tx.mergeFields(f, e, rec)
}

// mergeNew takes a record that a box made, unless it was deleted since, which
// stands.
func (tx *Tx) mergeNew(f *feed, e *Edit, rec shared, theirs []byte) (Merged, error) {
	deleted, err := tx.deletedSince(f, e)
	if err != nil || !e.New || deleted {
		return tx.refuse(f, e, rec, theirs, err)
	}
	if p, ok := rec.(*Person); ok {
		p.Home = f.site
	}
	if in, err := tx.within(f, rec); err != nil || !in {
		return tx.refuse(f, e, rec, theirs, err)
	}
	*rec.meta() = Meta{}
	if err := tx.putMerged(f, e, rec, loaded{}); err != nil {
		return Merged{}, err
	}
	if deleted, err := tx.deletedBefore(RecordKey(e.Kind, e.ID)); err != nil || deleted {
		return tx.refuse(f, e, rec, theirs, errors.Join(err, tx.remove(e.ID, rec)))
	}
	return Merged{Merge: MergeAccepted}, nil
}

// refuse takes nothing of what a box did to a record, and keeps in the journal what it
// was, unless there was an error.
func (tx *Tx) refuse(f *feed, e *Edit, rec shared, theirs []byte, err error) (Merged, error) {
	if err == nil {
		err = tx.noteLost(rec, e.EditBase, theirs, e.names())
	}
	if err == nil {
		err = tx.sendBack(f, e)
	}
	return Merged{Merge: MergeRefused}, err
}

// mergeFields merges what a box changed of a record with what is there.
func (tx *Tx) mergeFields(f *feed, e *Edit, rec shared) (Merged, error) {
	old, err := tx.loadOld(e.Kind, e.ID)
	if err != nil {
		return Merged{}, err
	}
	theirs, err := encode(rec) // under the central's merchant and site
	if err != nil {
		return Merged{}, err
	}
	differ, err := changedFields(old.plain, theirs)
	if err != nil {
		return Merged{}, err
	}
	ours, err := partsOf(old.plain)
	if err != nil {
		return Merged{}, err
	}
	var take, lost, replaced []string
	for _, name := range differ {
		known := e.field(name)
		switch {
		case known == nil && !e.New: // it did not touch this field
		case known != nil && slices.Contains(known.Was, ours.digest(name)):
			take = append(take, name)
		case e.Again || e.Anew:
			take, replaced = append(take, name), append(replaced, name)
		default:
			lost = append(lost, name)
		}
	}
	if e.Kind == KindTemplate && len(lost) > 0 { // no half of a template is one
		take, lost = nil, append(lost, take...)
	}
	if len(replaced) > 0 { // with what somebody may have written since the central was restored
		if err := tx.noteLost(rec, e.EditBase, old.plain, replaced); err != nil {
			return Merged{}, err
		}
	}
	m := Merged{Merge: MergeAccepted, Lost: lost}
	if len(lost) > 0 {
		m.Merge = MergePartly
		if err := tx.noteLost(rec, e.EditBase, theirs, lost); err != nil {
			return m, err
		}
		if p, ok := rec.(*Person); ok {
			if err := tx.askOperator(p.Merchant, p.ID); err != nil {
				return m, err
			}
		}
	}
	if len(take) == 0 {
		return m, tx.sendBack(f, e)
	}
	plain, err := overlay(old.plain, theirs, take)
	if err != nil {
		return m, err
	}
	next := kinds[e.Kind]().(shared)
	if err := decode(plain, next); err != nil {
		return m, err
	}
	if in, err := tx.within(f, next); err != nil || !in { // a grant for the door of another site
		return tx.refuse(f, e, rec, theirs, err)
	}
	return m, tx.putMerged(f, e, next, old)
}

// putMerged puts a record that came from a box.
func (tx *Tx) putMerged(f *feed, e *Edit, rec shared, old loaded) error {
	if p, ok := rec.(*Person); ok {
		if err := tx.contest(p); err != nil {
			return err
		}
	}
	return tx.answered(f, e, func() error { return tx.put(e.ID, rec, old) })
}

// answered changes a record as a box wants it, and has the box hear of it where nothing
// in its feed tells it, as the record is outside of its scope.
func (tx *Tx) answered(f *feed, e *Edit, change func() error) error {
	key := RecordKey(e.Kind, e.ID)
	before, _, err := tx.marked(f, key)
	if err == nil {
		err = change()
	}
	if err != nil {
		return err
	}
	if after, _, err := tx.marked(f, key); err != nil || after > before {
		return err
	}
	return tx.sendBack(f, e)
}

// contest has a person yield unique values that somebody else has, and asks an
// operator to settle it; disputed values that are free again become his.
func (tx *Tx) contest(p *Person) error {
	if p.Email == "" {
		p.Email, p.Disputed.Email = p.Disputed.Email, ""
	}
	if p.ExternalID == "" {
		p.ExternalID, p.Disputed.ExternalID = p.Disputed.ExternalID, ""
	}
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
		p.yield(e.unique)
		if err := tx.askOperator(p.Merchant, PersonID(holder), p.ID); err != nil {
			return err
		}
	}
	return nil
}

// askOperator makes a review of a conflict, unless one is open for the same people.
func (tx *Tx) askOperator(m MerchantID, people ...PersonID) error {
	for r, err := range All(tx, ReviewsByPerson, Plain(people[0])) {
		if err != nil {
			return err
		}
		if r.Reason == ReviewConflict && r.Settled.IsZero() && slices.Equal(r.Persons, people) {
			return nil
		}
	}
	return Put(tx, &Review{ID: NewID[ReviewID](tx.now), Merchant: m, Reason: ReviewConflict, Persons: people})
}

// noteLost keeps in the journal what a box wanted and did not get: the fields in
// the envelope, their values in the personal part. Pictures and vectors are not
// kept.
func (tx *Tx) noteLost(rec shared, base EditBase, plain []byte, names []string) error {
	p, err := partsOf(plain)
	if err != nil {
		return err
	}
	values := map[string]json.RawMessage{}
	for _, name := range names {
		if v := p.value(name); v != nil && name != blobField {
			values[name] = json.RawMessage(v)
		}
	}
	var id struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte("{\"id\":"+string(p.value("id"))+"}"), &id); err != nil {
		return fmt.Errorf("%w: record without an id", ErrInvalid)
	}
	s := rec.spec()
	var personal any
	if tx.checkErased(s.person) == nil {
		personal = values
	}
	_, err = Append(tx, Event{
		Kind: EventConflict, Merchant: s.merchant, Person: s.person, Action: "merge", Outcome: OutcomeDenied,
		Change:   &Change{Kind: rec.kind(), ID: id.ID, Rev: rec.meta().Rev, Fields: names},
		Counters: map[string]float64{"base": float64(base.Base)},
	}, personal)
	return err
}
