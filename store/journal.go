package store

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
)

const (
	personalBucket = "personal"
	outboxBucket   = "outbox"
	nonceLen       = 16
)

// Append adds an event to the journal and returns it with its number. What of it
// tells about a person goes into personal, which is kept as JSON apart from the
// envelope and can be erased; nil means that there is none.
func Append(tx *Tx, e Event, personal any) (Event, error) {
	if _, err := tx.writable(); err != nil {
		return Event{}, err
	}
	if e.Kind == "" {
		return Event{}, fmt.Errorf("append event: %w: it needs a kind", ErrInvalid)
	}
	tree, err := tx.journal()
	if err != nil {
		return Event{}, err
	}
	e.Device, e.Epoch, e.Seq = tx.layout.info.Device, tx.layout.info.Epoch, tree.Size()+1
	e.Actor, e.Request, e.Personal = tx.cause.Actor, tx.cause.Request, nil
	if e.Time.IsZero() {
		e.Time = tx.now
	}
	e.Time = e.Time.Round(0).UTC()
	err = tx.whole(func() error { return tx.saveEvent(&e, personal, &tree) })
	if err != nil {
		return Event{}, fmt.Errorf("append event: %w", err)
	}
	tx.tree = tree
	tx.commit.Events = append(tx.commit.Events, e)
	return e, nil
}

func (tx *Tx) saveEvent(e *Event, personal any, tree *Tree) (err error) {
	if personal != nil {
		if e.Personal, err = tx.savePersonal(e, personal); err != nil {
			return err
		}
	}
	plain, err := encode(e)
	if err != nil {
		return err
	}
	raw, _, err := split(plain)
	if err != nil {
		return err
	}
	tree.Append(LeafHash(raw))
	id := seqKey(e.Seq)
	if err := tx.save(Place{Bucket: recordBucket(KindEvent), Key: id}, plain); err != nil {
		return err
	}
	return tx.reindex(string(id), nil, e.entries())
}

// journal returns the tree of the journal as the transaction leaves it.
func (tx *Tx) journal() (t Tree, err error) {
	if len(tx.commit.Events) > 0 {
		return tx.tree, nil
	}
	b, err := tx.get(metaBucket, []byte(headKey))
	if err != nil || b == nil {
		return t, err
	}
	return t, t.UnmarshalBinary(b)
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func parseSeq(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("%w: sequence number of %d bytes", ErrDamaged, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// savePersonal keeps the personal part of e and returns its digest. The nonce
// keeps the digest from being a way to try names out.
func (tx *Tx) savePersonal(e *Event, personal any) ([]byte, error) {
	body, err := json.Marshal(personal)
	if err != nil {
		return nil, fmt.Errorf("encode personal part: %w", err)
	}
	plain := make([]byte, nonceLen, nonceLen+len(body))
	rand.Read(plain)
	plain = append(plain, body...)
	digest := sha256.Sum256(plain)
	return digest[:], tx.save(Place{personalBucket, seqKey(e.Seq), e.Person}, plain)
}

// Personal reads the personal part of an event into v. The error is ErrNotFound
// where there is none or it was erased, ErrDamaged where it does not fit the
// envelope.
func Personal(tx *Tx, e *Event, v any) error {
	at := Place{Bucket: personalBucket, Key: seqKey(e.Seq)}
	sealed, err := tx.get(at.Bucket, at.Key)
	if err != nil {
		return err
	}
	plain, err := OpenPersonal(tx.layout.sealer, &Envelope{Event: *e, Personal: sealed})
	if err != nil {
		return err
	}
	return json.Unmarshal(plain[nonceLen:], v)
}

// OpenPersonal returns what the digest of an event is of: a nonce of 16 bytes and
// the personal part, which is JSON. The errors are those of Personal.
func OpenPersonal(s Sealer, e *Envelope) ([]byte, error) {
	if e.Personal == nil {
		return nil, fmt.Errorf("get personal part: %w", ErrNotFound)
	}
	plain, err := s.Open(Place{Bucket: personalBucket, Key: seqKey(e.Seq)}, e.Personal)
	if err != nil {
		return nil, fmt.Errorf("open personal part: %w", err)
	}
	if digest := sha256.Sum256(plain); len(plain) < nonceLen || string(digest[:]) != string(e.Event.Personal) {
		return nil, fmt.Errorf("%w: personal part does not fit event %d", ErrDamaged, e.Seq)
	}
	return plain, nil
}

// PersonalPart returns the personal part of an event as JSON, without its nonce.
// The errors are those of Personal.
func PersonalPart(s Sealer, e *Envelope) (json.RawMessage, error) {
	plain, err := OpenPersonal(s, e)
	if err != nil {
		return nil, err
	}
	return plain[nonceLen:], nil
}

// Head returns the number of the last event of the journal, 0 before the first.
func Head(tx *Tx) (uint64, error) {
	t, err := tx.journal()
	return t.Size(), err
}

// JournalTree returns the tree of the journal.
func JournalTree(tx *Tx) (Tree, error) { return tx.journal() }

// Envelope is an event as the journal keeps it.
type Envelope struct {
	Event
	Raw      []byte // the JSON that it was appended as: its leaf in the tree
	Personal []byte // its personal part, sealed; nil where there is none any more
}

// Events returns at most limit events that follow the one with number after, in
// order; 0 begins at the oldest there is.
func Events(tx *Tx, after uint64, limit int) ([]Event, error) {
	var events []Event
	err := tx.scanEvents(Range{From: seqKey(after + 1)}, func(e Envelope) (bool, error) {
		events = append(events, e.Event)
		return len(events) < limit, nil
	})
	return events, err
}

// Envelopes runs over the events from the one numbered from to the one numbered
// to, both included, as far as they are there; from > to runs backwards. It ends
// after an error.
func Envelopes(tx *Tx, from, to uint64) iter.Seq2[Envelope, error] {
	r := Range{From: seqKey(min(from, to)), To: seqKey(max(from, to) + 1), Reverse: from > to}
	return func(yield func(Envelope, error) bool) {
		err := tx.scanEvents(r, func(e Envelope) (bool, error) {
			sealed, err := tx.get(personalBucket, seqKey(e.Seq))
			if err != nil {
				return false, err
			}
			e.Personal = bytes.Clone(sealed)
			return yield(e, nil), nil
		})
		if err != nil {
			yield(Envelope{}, err)
		}
	}
}

// scanEvents reads events without their personal parts.
func (tx *Tx) scanEvents(r Range, fn func(Envelope) (bool, error)) error {
	bucket := recordBucket(KindEvent)
	return tx.scan(bucket, r, func(k, sealed []byte) (bool, error) {
		e, err := openEvent(tx.layout.sealer, Place{Bucket: bucket, Key: k}, sealed)
		if err != nil {
			seq, _ := parseSeq(k)
			return false, fmt.Errorf("read event %d: %w", seq, err)
		}
		return fn(e)
	})
}

func openEvent(s Sealer, at Place, sealed []byte) (e Envelope, err error) {
	plain, err := s.Open(at, sealed)
	if err != nil {
		return e, err
	}
	raw, rest, err := split(plain)
	if err != nil {
		return e, err
	}
	if len(rest) > 0 {
		return e, fmt.Errorf("%w: %d bytes too many", ErrDamaged, len(rest))
	}
	if err := parseEvent(raw, &e.Event); err != nil {
		return e, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	e.Raw = bytes.Clone(raw)
	return e, nil
}

// Outbox returns at most limit events that a consumer has not acknowledged yet,
// in order and without a gap. The error is ErrTrimmed where some of them are gone.
func Outbox(tx *Tx, consumer string, limit int) ([]Event, error) {
	acked, err := Acked(tx, consumer)
	if err != nil {
		return nil, err
	}
	events, err := Events(tx, acked, limit)
	if err != nil {
		return nil, err
	}
	head, err := Head(tx)
	if err != nil {
		return nil, err
	}
	if len(events) > 0 && events[0].Seq != acked+1 || len(events) == 0 && limit > 0 && head > acked {
		return nil, fmt.Errorf("read outbox of %s after %d: %w", consumer, acked, ErrTrimmed)
	}
	return events, nil
}

// Acked returns the number of the last event that a consumer acknowledged.
func Acked(tx *Tx, consumer string) (uint64, error) {
	b, err := tx.get(outboxBucket, []byte(consumer))
	if err != nil || b == nil {
		return 0, err
	}
	return parseSeq(b)
}

// Waiting returns the number of the first event that a consumer has not
// acknowledged; where none waits, that of the event to come.
func Waiting(tx *Tx) (uint64, error) {
	head, err := Head(tx)
	if err != nil {
		return 0, err
	}
	err = tx.scan(outboxBucket, Range{}, func(_, b []byte) (bool, error) {
		acked, err := parseSeq(b)
		head = min(head, acked)
		return true, err
	})
	return head + 1, err
}

// Ack notes that a consumer has all events up to seq and will not ask for them
// again. An older acknowledgement changes nothing. It is no event itself.
func Ack(tx *Tx, consumer string, seq uint64) error {
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	acked, err := Acked(tx, consumer)
	if err != nil {
		return err
	}
	head, err := Head(tx)
	if err != nil {
		return err
	}
	if seq > head {
		return fmt.Errorf("acknowledge event %d of %d: %w", seq, head, ErrInvalid)
	}
	if seq <= acked {
		return nil
	}
	return kv.Put(outboxBucket, []byte(consumer), seqKey(seq))
}

// Trim removes at most limit of the oldest events up to the one numbered through,
// with their personal parts, and returns how many there were. It stops short of
// events that a consumer still waits for.
func Trim(tx *Tx, through uint64, limit int) (int, error) {
	waiting, err := Waiting(tx)
	if err != nil {
		return 0, err
	}
	through = min(through, waiting-1)
	events, err := Events(tx, 0, limit)
	if err != nil {
		return 0, err
	}
	for i := range events {
		if events[i].Seq > through {
			return i, nil
		}
		if err := tx.dropEvent(&events[i]); err != nil {
			return i, err
		}
	}
	return len(events), nil
}

func (tx *Tx) dropEvent(e *Event) error {
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	id := seqKey(e.Seq)
	return tx.whole(func() error {
		if err := kv.Delete(recordBucket(KindEvent), id); err != nil {
			return err
		}
		if err := kv.Delete(personalBucket, id); err != nil {
			return err
		}
		return tx.reindex(string(id), e.entries(), nil)
	})
}
