package store

import (
	"errors"
	"fmt"
)

// fix is a line of an index that should be there, or should not.
type fix struct {
	line
	id   string
	gone bool
}

// implies says whether there is a record with this id that has a line. The error
// is that of a record which cannot be read.
func (tx *Tx) implies(id string, l line) (bool, error) {
	for k := range kinds {
		entries, err := tx.entriesOf(k, id)
		if errors.Is(err, ErrErased) {
			return true, nil // in a copy: nobody can say that it has not
		} else if isNotFound(err) {
			continue
		} else if err != nil {
			return false, err
		}
		for _, e := range entries {
			if tx.line(e, id) == l {
				return true, nil
			}
		}
	}
	return false, nil
}

func (tx *Tx) entriesOf(k Kind, id string) ([]entry, error) {
	fresh := kinds[k]
	if fresh == nil {
		var e Event
		err := tx.load(KindEvent, id, &e)
		return e.entries(), err
	}
	rec := fresh()
	err := tx.load(k, id, rec)
	return rec.spec().entries, err
}

// Mend makes lines of indexes anew, as faults of Check say, where the records still
// imply it. The event it appends counts them; it returns how many there were. Call
// it with some thousands at once at most.
func Mend(tx *Tx, faults []Fault) (n int, err error) {
	kv, err := tx.writable()
	if err != nil {
		return 0, err
	}
	for _, f := range faults {
		if f.line == nil {
			continue
		}
		implied, err := tx.implies(f.line.id, f.line.line)
		if err != nil || implied == f.line.gone {
			continue
		}
		err = tx.whole(func() error {
			if f.line.gone {
				return kv.Delete(f.line.bucket, []byte(f.line.key))
			}
			return kv.Put(f.line.bucket, []byte(f.line.key), []byte(f.line.id))
		})
		if err != nil {
			return n, fmt.Errorf("mend %s: %w", f.line.bucket, err)
		}
		n++
	}
	if n > 0 {
		_, err = Append(tx, Event{Kind: EventSystem, Action: "mend_indexes", Outcome: OutcomeDone, Counters: map[string]float64{"lines": float64(n)}}, nil)
	}
	return n, err
}
