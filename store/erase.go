package store

import "fmt"

// erasedBucket says who was erased: tag of the person → number of the erasure
// event, 0 where nothing of him was in the store then.
const erasedBucket = "erased"

// Erase removes a person with all that tells about him: crops, templates,
// images, tickets, grants, sessions, reviews, and the personal parts of his
// events; a Keyring then destroys his key. The envelopes stay, and an erasure
// event says who wanted it. Nothing can be put under the same id again
// (ErrErased). The error is ErrNotFound where there is no such person.
func Erase(tx *Tx, id PersonID) error {
	p, err := Get[Person](tx, id)
	if err != nil {
		return err
	}
	if err := tx.empty(id); err != nil {
		return fmt.Errorf("erase person: %w", err)
	}
	return tx.noteErasure(Event{Kind: EventErasure, Merchant: p.Merchant, Person: id, Outcome: OutcomeDone})
}

// eraseHeard is Erase for a person of whom a store has heard from another: he may
// be unknown here, and something about him known.
func (tx *Tx) eraseHeard(m MerchantID, id PersonID) error {
	if tx.checkErased(id) != nil {
		return nil
	}
	if err := tx.empty(id); err != nil {
		return fmt.Errorf("erase person: %w", err)
	}
	return tx.noteErasure(Event{Kind: EventErasure, Merchant: m, Person: id, Action: "heard", Outcome: OutcomeDone})
}

// empty removes all records about a person, himself included.
func (tx *Tx) empty(id PersonID) error {
	tx.emptying = id
	defer func() { tx.emptying = "" }()
	of := Plain(id)
	for _, drop := range []func() error{
		func() error { return eraseAll(tx, CropsByPerson, of) },
		func() error { return eraseAll(tx, TemplatesByPerson, of) },
		func() error { return eraseAll(tx, ImagesByPerson, of) },
		func() error { return eraseAll(tx, TicketsByPerson, of) },
		func() error { return eraseAll(tx, GrantsByPerson, of) },
		func() error { return eraseAll(tx, SessionsByPerson, of) },
		func() error { return eraseAll(tx, ReviewsByPerson, of) },
		func() error { return erasePersonal(tx, EventsByPerson.name, personalBucket, of) },
		func() error { return erasePersonal(tx, ForeignByPerson.name, foreignPersonalBucket, of) },
	} {
		if err := drop(); err != nil {
			return err
		}
	}
	if err := Delete[Person](tx, id); err != nil && !isNotFound(err) {
		return err
	}
	return nil
}

// AnyErased says whether anybody was ever erased.
func AnyErased(tx *Tx) (any bool, err error) {
	err = tx.scan(erasedBucket, Range{}, func(_, _ []byte) (bool, error) {
		any = true
		return false, nil
	})
	return any, err
}

// noteErasure appends the event of an erasure and keeps that it happened.
func (tx *Tx) noteErasure(e Event) error {
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	return tx.whole(func() error {
		e, err := Append(tx, e, nil)
		if err != nil {
			return err
		}
		tag := e.Person.Tag()
		tx.erased = append(tx.erased, tag)
		seq := e.Seq
		if ring, ok := tx.layout.sealer.(Keyring); ok && !ring.Has(tag) {
			seq = 0 // nothing of him was ever here
		}
		if err := kv.Put(erasedBucket, tag[:], seqKey(seq)); err != nil {
			return err
		}
		return tx.bury(e.Merchant, e.Person)
	})
}

// checkErased refuses a person who was erased.
func (tx *Tx) checkErased(p PersonID) error {
	if p == "" {
		return nil
	}
	tag := p.Tag()
	seq, err := tx.get(erasedBucket, tag[:])
	if err == nil && seq != nil {
		err = ErrErased
	}
	return err
}

// eraseAll deletes the records of an index that belong to a person.
func eraseAll[T any, P interface {
	*T
	value
}](tx *Tx, ix Index[T], of Term) error {
	ids, err := tx.ids(ix.name, of)
	if err != nil {
		return err
	}
	for _, id := range ids {
		var rec T
		if err := tx.load(P(&rec).kind(), string(id), P(&rec)); err != nil {
			return dangling(err)
		}
		if err := tx.remove(string(id), P(&rec)); err != nil {
			return err
		}
	}
	return nil
}

func erasePersonal(tx *Tx, index, bucket string, of Term) error {
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	ids, err := tx.ids(index, of)
	for i := 0; err == nil && i < len(ids); i++ {
		err = kv.Delete(bucket, ids[i])
	}
	return err
}

// ids returns what an index holds under a term.
func (tx *Tx) ids(index string, of Term) ([][]byte, error) {
	var ids [][]byte
	from := tx.encode(index, []Term{of})
	err := tx.scan(indexBucket(index), Range{From: from, To: after(from)}, func(_, id []byte) (bool, error) {
		ids = append(ids, append([]byte(nil), id...))
		return true, nil
	})
	return ids, err
}
