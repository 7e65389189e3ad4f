package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
)

// PendingID names what is pending of a record: its RecordKey.
type PendingID string

// Pending is what a box has changed of a record and has not had back from the
// central yet. Its changes are no events.
type Pending struct {
	Meta
	ID     PendingID `json:"id"`
	Person PersonID  `json:"person,omitempty"` // whom the record tells about
	Op     Op        `json:"op"`               // OpPut or OpDelete
	First  uint64    `json:"first"`            // number of the event of the first change,
	Seq    uint64    `json:"seq"`              // and of the last
	EditBase
}

// EditBase says what a box's version of a record was made from.
type EditBase struct {
	New   bool   `json:"new,omitempty"`   // it was made on the box
	Again bool   `json:"again,omitempty"` // it takes the place of what is there: the central had it, and was restored since
	Anew  bool   `json:"anew,omitempty"`  // it takes the place of what is there: the box had deleted it, and made it anew
	Epoch uint64 `json:"epoch"`           // of the central,
	Base  uint64 `json:"base"`            // and the revision of the scope that the box had the record at; with New: that it had of the scope
	// Fields are those that the box has changed, by their JSON names ("data" is the
	// picture or vector), each with digests of the values it had before, on this box,
	// since it came from the central: the central may have any of them.
	Fields []EditField `json:"fields,omitempty"`
}

// EditField is a field that was changed, and what it was before.
type EditField struct {
	Name string   `json:"name"`
	Was  []Digest `json:"was"`
}

// Digest is the beginning of the SHA-256 of a field's JSON; that of a field that
// is not there is of nothing.
type Digest [8]byte

// MarshalText writes hex digits.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("%w: digest of %d digits", ErrDamaged, len(b))
	}
	_, err := hex.Decode(d[:], b)
	return err
}

func (p *Pending) key() PendingID { return p.ID }
func (p *Pending) kind() Kind     { return KindPending }
func (p *Pending) spec() spec     { return spec{person: p.Person, silent: true} }

// mostWas bounds what an EditField remembers: a field that was changed more often
// while the central could not be reached may be taken for one in conflict.
const mostWas = 16

// changedFrom notes that a field had a value before.
func (b *EditBase) changedFrom(name string, was Digest) {
	i := slices.IndexFunc(b.Fields, func(f EditField) bool { return f.Name == name })
	if i < 0 {
		b.Fields = append(b.Fields, EditField{name, []Digest{was}})
		return
	}
	if f := &b.Fields[i]; !slices.Contains(f.Was, was) {
		f.Was = append(f.Was, was)
		if len(f.Was) > mostWas {
			f.Was = slices.Delete(f.Was, 1, 2) // the first is what the central had
		}
	}
}

// field returns what is known of a field, or nil.
func (b *EditBase) field(name string) *EditField {
	for i := range b.Fields {
		if b.Fields[i].Name == name {
			return &b.Fields[i]
		}
	}
	return nil
}

// parts is an encoded record taken apart.
type parts struct {
	fields []field
	blob   []byte
}

func partsOf(plain []byte) (p parts, err error) {
	header, blob, err := split(plain)
	if err != nil {
		return p, err
	}
	p.blob = blob
	p.fields, err = appendFields(make([]field, 0, 16), header)
	return p, err
}

// blobField stands for what has no place in JSON.
const blobField = "data"

// value returns a field's JSON, nil where it is not there.
func (p *parts) value(name string) []byte {
	if name == blobField {
		return p.blob
	}
	for _, f := range p.fields {
		if string(f.name) == name {
			return f.value
		}
	}
	return nil
}

func (p *parts) digest(name string) (d Digest) {
	sum := sha256.Sum256(p.value(name))
	copy(d[:], sum[:])
	return d
}

// set gives a field another value; nil removes it.
func (p *parts) set(name string, value []byte) {
	if name == blobField {
		p.blob = value
		return
	}
	i := slices.IndexFunc(p.fields, func(f field) bool { return string(f.name) == name })
	switch {
	case value == nil && i >= 0:
		p.fields = slices.Delete(p.fields, i, i+1)
	case value == nil:
	case i >= 0:
		p.fields[i].value = value
	default:
		p.fields = append(p.fields, field{[]byte(name), value})
	}
}

// plain puts the record together again.
func (p *parts) plain() []byte {
	header := []byte{'{'}
	for i, f := range p.fields {
		if i > 0 {
			header = append(header, ',')
		}
		header = append(append(append(header, '"'), f.name...), '"', ':')
		header = append(header, f.value...)
	}
	return join(append(header, '}'), p.blob)
}

// noteEdit keeps what a box changes of a record that travels, until the central has
// merged it. What is on the box alone, as before a box joined, stays so.
func (tx *Tx) noteEdit(rec shared, old loaded, c Change) error {
	l, err := tx.linked()
	if err != nil || l == nil {
		return err
	}
	key := RecordKey(c.Kind, c.ID)
	rev, err := tx.replicaRev(key)
	if err != nil {
		return err
	}
	if c.Op == OpDelete {
		if err := tx.dropReplica(key); err != nil {
			return err
		}
	}
	if tx.replica {
		return nil
	}
	if c.Op == OpDelete && tx.emptying == "" {
		if err := tx.noteDeleted(key); err != nil {
			return err
		}
	}
	p, err := Get[Pending](tx, PendingID(key))
	pending := err == nil
	switch {
	case err != nil && !isNotFound(err):
		return err
	case tx.emptying != "":
		return tx.dropPending(key)
	case !pending && rev == 0 && (c.Op == OpDelete || old.plain != nil || !fromBoxes(c.Kind)):
		return nil // it is on this box alone
	case !pending:
		p = Pending{ID: PendingID(key), Person: rec.spec().person, EditBase: EditBase{New: rev == 0, Epoch: l.Epoch, Base: rev}}
		if p.New {
			p.Base = l.At
		}
	case p.Op == OpDelete && c.Op == OpPut:
		p.EditBase = EditBase{New: true, Anew: true, Epoch: l.Epoch, Base: l.At}
	}
	p.Op, p.Seq = c.Op, tx.tree.Size()
	if p.First == 0 {
		p.First = p.Seq
	}
	if len(c.Fields) > 0 {
		before, err := partsOf(old.plain)
		if err != nil {
			return err
		}
		for _, name := range c.Fields {
			p.changedFrom(name, before.digest(name))
		}
	}
	return Put(tx, &p)
}

// Adopt has a record of the box that the central does not know go up as one made on
// the box. The event it appends says so; the change itself may be long ago.
func Adopt(tx *Tx, k Kind, id string) error {
	fresh := kinds[k]
	if fresh == nil || !isShared(k) {
		return fmt.Errorf("adopt %s: %w: it is of the box alone", k, ErrInvalid)
	}
	rec := fresh()
	if err := tx.load(k, id, rec); err != nil {
		return err
	}
	s := rec.spec()
	return tx.whole(func() error {
		c := &Change{Kind: k, ID: id, Op: OpPut, Rev: rec.meta().Rev}
		e, err := Append(tx, Event{Kind: EventChange, Merchant: s.merchant, Person: s.person, Action: "adopt", Change: c}, nil)
		if err != nil {
			return err
		}
		p, err := Get[Pending](tx, PendingID(RecordKey(k, id)))
		if isNotFound(err) {
			p, err = Pending{ID: PendingID(RecordKey(k, id)), Person: s.person, First: e.Seq, EditBase: EditBase{New: true}}, nil
		}
		if err != nil {
			return err
		}
		p.Op, p.Seq = OpPut, e.Seq
		return Put(tx, &p)
	})
}

// IsOwn says whether a record is on the box alone: it neither came from the central
// nor is on its way there.
func IsOwn(tx *Tx, k Kind, id string) (bool, error) {
	key := RecordKey(k, id)
	if rev, err := tx.replicaRev(key); err != nil || rev != 0 {
		return false, err
	}
	p, err := tx.get(recordBucket(KindPending), []byte(key))
	return p == nil, err
}

// AdoptPerson adopts a person with all that travels with him.
func AdoptPerson(tx *Tx, id PersonID) error {
	keys := []string{RecordKey(KindPerson, string(id))}
	for _, list := range slices.Concat(ofPerson, []lister{listerOf(KindGrant, GrantsByPerson)}) {
		more, err := list(tx, Plain(id))
		if err != nil {
			return err
		}
		keys = append(keys, more...)
	}
	for _, key := range keys {
		k, record := splitKey(key)
		own, err := IsOwn(tx, k, record)
		if err == nil && own {
			err = Adopt(tx, k, record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dropPending forgets what was pending of a record.
func (tx *Tx) dropPending(key string) error {
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	tx.last = loaded{}
	return kv.Delete(recordBucket(KindPending), []byte(key))
}

// Edit is what a box did to a record, as it goes up.
type Edit struct {
	Op   Op // OpPut, OpDelete, or OpErase of a person
	Kind Kind
	ID   string
	EditBase
	Header []byte // JSON of the whole record as it is now; nil where it is gone
	Piece  []byte // its picture or vector, if it has one
}

// Outgoing is an event on its way to the central.
type Outgoing struct {
	Seq      uint64
	Raw      []byte // the JSON that it was appended as
	Personal []byte // nonce and JSON of its personal part, opened; nil where there is none or it was erased
	Receipt  []byte // of an erasure: the box's signature, which others make and check
	// Edit is that of the record whose first or last change the event is, if it
	// travels: the first takes it along so that what refers to a record comes after
	// it, the last so that none is forgotten.
	Edit *Edit
}

// OutgoingEvents returns events of the journal that follow the one numbered from:
// about limit or maxBytes of them, without a gap. The error is ErrTrimmed where the
// next is gone. What Consumer has not acknowledged is always there.
func OutgoingEvents(tx *Tx, from uint64, limit, maxBytes int) (out []Outgoing, err error) {
	head, err := Head(tx)
	if err != nil {
		return nil, err
	}
	out, err = tx.outgoing(Envelopes(tx, from+1, max(head, from+1)), from, limit, maxBytes)
	if err == nil && len(out) == 0 && head > from {
		return nil, fmt.Errorf("read journal for the central after %d: %w", from, ErrTrimmed)
	}
	return out, err
}

// OutgoingArchived is OutgoingEvents for events that have left the store, and follow
// the one numbered from without a gap.
func OutgoingArchived(tx *Tx, events []Envelope, from uint64, limit, maxBytes int) ([]Outgoing, error) {
	return tx.outgoing(func(yield func(Envelope, error) bool) {
		for i := range events {
			if !yield(events[i], nil) {
				return
			}
		}
	}, from, limit, maxBytes)
}

func (tx *Tx) outgoing(events iter.Seq2[Envelope, error], from uint64, limit, maxBytes int) (out []Outgoing, err error) {
	taken := map[PendingID]bool{}
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		if len(out) == limit || maxBytes <= 0 {
			break
		}
		if e.Seq != from+1+uint64(len(out)) {
			break
		}
		o := Outgoing{Seq: e.Seq, Raw: e.Raw}
		if o.Personal, err = OpenPersonal(tx.layout.sealer, &e); err != nil && !isNotFound(err) {
			return nil, err
		}
		if o.Edit, err = tx.editOf(&e.Event, taken); err != nil {
			return nil, err
		}
		maxBytes -= len(o.Raw) + len(o.Personal)
		if o.Edit != nil {
			maxBytes -= len(o.Edit.Header) + len(o.Edit.Piece)
		}
		out = append(out, o)
	}
	return out, nil
}

// editOf returns what goes up with an event, unless it was taken along already.
func (tx *Tx) editOf(e *Event, taken map[PendingID]bool) (*Edit, error) {
	if e.Kind == EventErasure && e.Person != "" {
		return &Edit{Op: OpErase, Kind: KindPerson, ID: string(e.Person)}, nil
	}
	if e.Kind != EventChange || e.Change == nil || !isShared(e.Change.Kind) {
		return nil, nil
	}
	k, id := e.Change.Kind, e.Change.ID
	p, err := Get[Pending](tx, PendingID(RecordKey(k, id)))
	if isNotFound(err) || err == nil && (taken[p.ID] || p.Seq != e.Seq && p.First != e.Seq) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	taken[p.ID] = true
	edit := &Edit{Op: p.Op, Kind: k, ID: id, EditBase: p.EditBase}
	if p.Op == OpDelete {
		return edit, nil
	}
	plain, err := tx.loadRaw(k, id)
	if isNotFound(err) { // erased since
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	header, piece, err := split(plain)
	edit.Header, edit.Piece = bytes.Clone(header), bytes.Clone(piece)
	return edit, err
}
