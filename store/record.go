package store

import (
	"fmt"
	"slices"
)

// spec is what Put has to know about a record besides its value.
type spec struct {
	merchant MerchantID // to whom it belongs
	owned    bool       // must belong to one
	person   PersonID   // whom it tells about, if anybody
	entries  []entry    // its lines in the indexes
	silent   bool       // its changes are no events, as it is about the journal itself or sums it up
}

// value is the part of a record that needs no type parameters.
type value interface {
	kind() Kind
	spec() spec
	meta() *Meta
}

// Record holds the types of this package that Get, Put and Delete work on: T is
// Merchant, Person, …, and ID the type of its ids.
type Record[T any, ID ~string] interface {
	*T
	value
	key() ID
}

// Get returns a record, or ErrNotFound.
func Get[T any, ID ~string, P Record[T, ID]](tx *Tx, id ID) (T, error) {
	var rec T
	err := tx.load(P(&rec).kind(), string(id), P(&rec))
	return rec, err
}

// GetOf is Get for the records of one merchant: those of others are not found.
func GetOf[T any, ID ~string, P Record[T, ID]](tx *Tx, m MerchantID, id ID) (T, error) {
	rec, err := Get[T, ID, P](tx, id)
	if err == nil && P(&rec).spec().merchant != m {
		var none T
		return none, fmt.Errorf("get %s: %w", P(&rec).kind(), ErrNotFound)
	}
	return rec, err
}

// Put stores rec, which must be new (revision 0) or as it was last read, and sets
// its Meta. The error is ErrStale where somebody else was faster, a ConflictError
// where a unique field is taken, ErrInvalid where the id or the merchant is
// missing or the merchant another than before. A Put that fails changes nothing;
// when the Update fails later, what it put has to be read anew to be put again.
func Put[T any, ID ~string, P Record[T, ID]](tx *Tx, rec P) error {
	id, k := string(rec.key()), rec.kind()
	var old T
	if !tx.last.is(k, id) {
		if err := tx.load(k, id, P(&old)); isNotFound(err) {
			tx.last = loaded{}
		} else if err != nil {
			return err
		}
	}
	return tx.put(id, rec, tx.last)
}

// put replaces old by rec; there is none of a new one.
func (tx *Tx) put(id string, rec value, old loaded) error {
	m, given := rec.meta(), *rec.meta()
	next := Meta{Rev: old.meta.Rev + 1, Created: old.meta.Created, Updated: tx.now}
	switch {
	case old.plain != nil && given.Rev == 0:
		return &ConflictError{Kind: rec.kind(), Field: "id", Existing: id}
	case given.Rev != old.meta.Rev:
		return fmt.Errorf("put %s %s: %w", rec.kind(), id, ErrStale)
	case old.plain == nil:
		next.Created = tx.now
	}
	*m = next
	err := tx.replace(id, rec, old)
	if err != nil {
		*m = given // rec stays as the caller had it
	}
	return err
}

func (tx *Tx) replace(id string, rec value, old loaded) error {
	s, k := rec.spec(), rec.kind()
	switch {
	case id == "" || s.owned && s.merchant == "":
		return fmt.Errorf("put %s: %w: it needs an id and a merchant", k, ErrInvalid)
	case old.plain != nil && s.merchant != old.spec.merchant:
		return fmt.Errorf("put %s %s: %w: it belongs to another merchant", k, id, ErrInvalid)
	}
	plain, err := encode(rec)
	if err != nil {
		return fmt.Errorf("encode %s: %w", k, err)
	}
	change := Change{Kind: k, ID: id, Op: OpPut, Rev: rec.meta().Rev}
	if old.plain != nil {
		if change.Fields, err = changedFields(old.plain, plain); err != nil {
			return err
		}
	}
	moved := old.plain == nil || !slices.EqualFunc(old.spec.entries, s.entries, entry.same)
	if moved {
		if err := tx.free(k, id, s.entries); err != nil {
			return err
		}
	}
	return tx.whole(func() error {
		if err := tx.save(Place{recordBucket(k), []byte(id), s.person}, plain); err != nil {
			return err
		}
		if moved {
			if err := tx.reindex(id, old.spec.entries, s.entries); err != nil {
				return err
			}
		}
		if err := tx.appendChange(s, change); err != nil {
			return err
		}
		return tx.share(rec, s, old, change)
	})
}

// free checks that nobody else has the values that are unique in entries.
func (tx *Tx) free(k Kind, id string, entries []entry) error {
	for _, e := range entries {
		if e.unique == "" {
			continue
		}
		holder, err := tx.get(indexBucket(e.index), tx.lineKey(e, id))
		if err != nil {
			return err
		}
		if holder != nil && string(holder) != id {
			return &ConflictError{Kind: k, Field: e.unique, Existing: string(holder)}
		}
	}
	return nil
}

// Delete removes the record with this id, or returns ErrNotFound. Records that
// refer to it stay; Erase removes a person whole.
func Delete[T any, ID ~string, P Record[T, ID]](tx *Tx, id ID) error {
	rec, err := Get[T, ID, P](tx, id)
	if err != nil {
		return err
	}
	return tx.remove(string(id), P(&rec))
}

func (tx *Tx) remove(id string, rec value) error {
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	s, k := rec.spec(), rec.kind()
	tx.last = loaded{}
	return tx.whole(func() error {
		if err := kv.Delete(recordBucket(k), []byte(id)); err != nil {
			return err
		}
		if err := tx.reindex(id, s.entries, nil); err != nil {
			return err
		}
		change := Change{Kind: k, ID: id, Op: OpDelete, Rev: rec.meta().Rev}
		if err := tx.appendChange(s, change); err != nil {
			return err
		}
		return tx.share(rec, s, loaded{}, change)
	})
}

func (tx *Tx) appendChange(s spec, c Change) error {
	if s.silent {
		return nil
	}
	tx.commit.Changes = append(tx.commit.Changes, Changed{s.merchant, c})
	if tx.replica {
		return nil
	}
	_, err := Append(tx, Event{Kind: EventChange, Merchant: s.merchant, Person: s.person, Change: &c}, nil)
	return err
}

// line is an entry as it lies in a KV.
type line struct{ bucket, key string }

// reindex replaces the lines of a record; what stays is not touched.
func (tx *Tx) reindex(id string, gone, come []entry) error {
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	for _, e := range come {
		if !slices.ContainsFunc(gone, e.same) {
			if err := kv.Put(indexBucket(e.index), tx.lineKey(e, id), []byte(id)); err != nil {
				return err
			}
		}
	}
	for _, e := range gone {
		if !slices.ContainsFunc(come, e.same) {
			if err := kv.Delete(indexBucket(e.index), tx.lineKey(e, id)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (tx *Tx) line(e entry, id string) line {
	return line{indexBucket(e.index), string(tx.lineKey(e, id))}
}

func (tx *Tx) lineKey(e entry, id string) []byte {
	key := tx.encode(e.index, e.terms)
	if e.unique == "" {
		key = append(key, id...)
	}
	return key
}
