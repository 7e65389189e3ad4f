package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// erasedBucket says who was erased: tag of the person → number of the erasure
// event, 0 where nothing of him was in the store then.
const erasedBucket = "erased"

// Erase removes a person with all that tells about him: the records of every
// kind in PersonKinds and the personal parts of his events; a Keyring then destroys
// his key. The envelopes stay, and an erasure event, the last of what Erase
// appends, says who wanted it and counts what there was. Nothing can be put under
// the same id again (ErrErased). The error is ErrNotFound where there is no such
// person.
func Erase(tx *Tx, id PersonID) error { return EraseFor(tx, id, "") }

// EraseFor is Erase with the word for why, which the event keeps as its action.
func EraseFor(tx *Tx, id PersonID, why string) error {
	p, err := Get[Person](tx, id)
	if err != nil {
		return err
	}
	counts, err := tx.empty(id)
	if err != nil {
		return fmt.Errorf("erase person: %w", err)
	}
	return tx.noteErasure(Event{Kind: EventErasure, Merchant: p.Merchant, Person: id, Action: why, Outcome: OutcomeDone, Counters: counts})
}

// eraseHeard is Erase for a person of whom a store has heard from another: he may
// be unknown here, and something about him known.
func (tx *Tx) eraseHeard(m MerchantID, id PersonID) error {
	if tx.checkErased(id) != nil {
		return nil
	}
	counts, err := tx.empty(id)
	if err != nil {
		return fmt.Errorf("erase person: %w", err)
	}
	return tx.noteErasure(Event{Kind: EventErasure, Merchant: m, Person: id, Action: "heard", Outcome: OutcomeDone, Counters: counts})
}

// empty removes all records about a person, himself included, and returns how many
// of the others there were, by kind.
func (tx *Tx) empty(id PersonID) (map[string]float64, error) {
	tx.emptying = id
	defer func() { tx.emptying = "" }()
	counts, err := eraseRecords(tx, id, append(faceRecords(), personRecords()...))
	if err == nil {
		err = forgetBulk(tx, id)
	}
	if err == nil {
		err = erasePersonal(tx, EventsByPerson.name, personalBucket, Plain(id))
	}
	if err == nil {
		err = erasePersonal(tx, ForeignByPerson.name, foreignPersonalBucket, Plain(id))
	}
	if err == nil {
		if err = Delete[Person](tx, id); isNotFound(err) {
			err = nil
		}
	}
	return counts, err
}

// EraseFace removes what a person's face can be recognised by, and what came of
// looking at it: crops, templates, images, upload links, sessions, and the reviews
// that are about his face. It returns how many there were, by kind. The person
// stays as he is.
//
// His key stays too, so that freed pages and copies can be read until they go.
func EraseFace(tx *Tx, id PersonID) (map[string]float64, error) {
	counts, err := eraseRecords(tx, id, faceRecords())
	if err == nil {
		var kv KV
		if kv, err = tx.writable(); err == nil {
			err = kv.Put(metaBucket, []byte(facesKey), []byte{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("erase face: %w", err)
	}
	return counts, nil
}

// facesKey, in the meta bucket, is there when a face was ever erased apart from its
// person.
const facesKey = "faces-erased"

// eraser removes the records of one kind of a person.
type eraser struct {
	kind  Kind
	erase func(tx *Tx, of Term) (int, error)
}

func eraserOf[T any, P interface {
	*T
	value
}](k Kind, ix Index[T]) eraser {
	return eraser{k, func(tx *Tx, of Term) (int, error) { return eraseAll[T, P](tx, ix, of) }}
}

// faceRecords are those that are there for the person's face.
func faceRecords() []eraser {
	return []eraser{
		eraserOf(KindCrop, CropsByPerson), eraserOf(KindTemplate, TemplatesByPerson), eraserOf(KindImage, ImagesByPerson),
		eraserOf(KindTicket, TicketsByPerson), eraserOf(KindSession, SessionsByPerson), {KindReview, eraseFaceReviews},
		eraserOf(KindSighting, SightingsByPerson), eraserOf(KindCandidate, CandidatesByPerson),
	}
}

// personRecords are the others, but for the person himself.
func personRecords() []eraser {
	return []eraser{eraserOf(KindGrant, GrantsByPerson), eraserOf(KindConsent, ConsentsByPerson), eraserOf(KindCredential, CredentialsByPerson), eraserOf(KindFormer, FormersByPerson), eraserOf(KindReview, ReviewsByPerson)}
}

// ownRecords are those that a box has of a person for itself: no feed carries them.
func ownRecords() []eraser {
	return slices.DeleteFunc(append(faceRecords(), personRecords()...), func(e eraser) bool {
		return e.kind == KindCrop || e.kind == KindTemplate || e.kind == KindConsent || e.kind == KindGrant
	})
}

func eraseRecords(tx *Tx, id PersonID, all []eraser) (map[string]float64, error) {
	counts := map[string]float64{}
	for _, e := range all {
		n, err := e.erase(tx, Plain(id))
		if err != nil {
			return nil, err
		}
		if n > 0 {
			counts[string(e.kind)] += float64(n)
		}
	}
	return counts, nil
}

// PersonKinds lists the kinds of records that tell about a person, in order: those
// that have a field for one, or for several.
func PersonKinds() (list []Kind) {
	for k, fresh := range kinds {
		if fresh == nil || k == KindPending || k == KindBulkItem { // of which the record is kept, and goes; that has his id alone, and loses it
			continue
		}
		t := reflect.TypeOf(fresh()).Elem()
		for i := range t.NumField() {
			if f := t.Field(i).Type; f == reflect.TypeFor[PersonID]() || f == reflect.TypeFor[[]PersonID]() {
				list = append(list, k)
				break
			}
		}
	}
	slices.Sort(list)
	return list
}

// AnyErased says whether anybody was ever erased, or the face of anybody.
func AnyErased(tx *Tx) (any bool, err error) {
	if b, err := tx.get(metaBucket, []byte(facesKey)); err != nil || b != nil {
		return b != nil, err
	}
	err = tx.scan(erasedBucket, Range{}, func(_, _ []byte) (bool, error) {
		any = true
		return false, nil
	})
	return any, err
}

// WasErased says whether a person of this id was erased here: nothing can be put
// about him.
func WasErased(tx *Tx, id PersonID) (bool, error) {
	err := tx.checkErased(id)
	if errors.Is(err, ErrErased) {
		return true, nil
	}
	return false, err
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

// eraseAll deletes the records of an index that belong to a person, and returns
// how many there were.
func eraseAll[T any, P interface {
	*T
	value
}](tx *Tx, ix Index[T], of Term) (int, error) {
	ids, err := tx.ids(ix.name, of)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		var rec T
		if err := tx.load(P(&rec).kind(), string(id), P(&rec)); err != nil {
			return 0, dangling(err)
		}
		if err := tx.remove(string(id), P(&rec)); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

// eraseFaceReviews removes the reviews that are about a person's face. Others ask about
// his address, or whether he belongs here at all.
func eraseFaceReviews(tx *Tx, of Term) (n int, err error) {
	ids, err := tx.ids(ReviewsByPerson.name, of)
	for i := 0; err == nil && i < len(ids); i++ {
		var r Review
		if r, err = Get[Review](tx, ReviewID(ids[i])); err != nil {
			return n, dangling(err)
		}
		if r.Reason != ReviewConflict && r.Reason != ReviewHeld {
			n++
			err = tx.remove(string(ids[i]), &r)
		}
	}
	return n, err
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
