package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
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
	head, err := tx.journalHead()
	if err != nil {
		return Event{}, err
	}
	e.Device, e.Epoch, e.Seq = tx.layout.info.Device, tx.layout.info.Epoch, head+1
	e.Actor, e.Request, e.Personal = tx.cause.Actor, tx.cause.Request, nil
	if e.Time.IsZero() {
		e.Time = tx.now
	}
	e.Time = e.Time.Round(0).UTC()
	err = tx.whole(func() error { return tx.saveEvent(&e, personal) })
	if err != nil {
		return Event{}, fmt.Errorf("append event: %w", err)
	}
	tx.head = e.Seq
	tx.events = append(tx.events, e)
	return e, nil
}

func (tx *Tx) saveEvent(e *Event, personal any) (err error) {
	if personal != nil {
		if e.Personal, err = tx.savePersonal(e, personal); err != nil {
			return err
		}
	}
	plain, err := encode(e)
	if err != nil {
		return err
	}
	id := seqKey(e.Seq)
	if err := tx.save(Place{Bucket: recordBucket(KindEvent), Key: id}, plain); err != nil {
		return err
	}
	return tx.reindex(string(id), nil, e.entries())
}

// journalHead returns the number of the last event, 0 before the first.
func (tx *Tx) journalHead() (uint64, error) {
	if len(tx.events) > 0 {
		return tx.head, nil
	}
	b, err := tx.get(metaBucket, []byte(headKey))
	if err != nil || b == nil {
		return 0, err
	}
	return parseSeq(b)
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
	if sealed == nil {
		return fmt.Errorf("get personal part: %w", ErrNotFound)
	}
	plain, err := tx.layout.sealer.Open(at, sealed)
	if err != nil {
		return fmt.Errorf("open personal part: %w", err)
	}
	if digest := sha256.Sum256(plain); len(plain) < nonceLen || string(digest[:]) != string(e.Personal) {
		return fmt.Errorf("%w: personal part does not fit event %d", ErrDamaged, e.Seq)
	}
	return json.Unmarshal(plain[nonceLen:], v)
}

// Head returns the number of the last event of the journal, 0 before the first.
func Head(tx *Tx) (uint64, error) { return tx.journalHead() }

// Events returns at most limit events that follow the one with number after, in
// order; 0 begins at the oldest there is.
func Events(tx *Tx, after uint64, limit int) ([]Event, error) {
	var events []Event
	r := Range{From: seqKey(after + 1)}
	err := tx.scan(recordBucket(KindEvent), r, func(k, sealed []byte) (bool, error) {
		if len(events) >= limit {
			return false, nil
		}
		var e Event
		plain, err := tx.layout.sealer.Open(Place{Bucket: recordBucket(KindEvent), Key: k}, sealed)
		if err == nil {
			err = decode(plain, &e)
		}
		if err != nil {
			return false, fmt.Errorf("read event: %w", err)
		}
		events = append(events, e)
		return true, nil
	})
	return events, err
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
	head, err := tx.journalHead()
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
	head, err := tx.journalHead()
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
	err := tx.scan(outboxBucket, Range{}, func(_, b []byte) (bool, error) {
		acked, err := parseSeq(b)
		through = min(through, acked)
		return true, err
	})
	if err != nil {
		return 0, err
	}
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
