package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// sealKey, in the meta bucket, has a value that only the right Sealer opens.
const sealKey = "seal"

var sealPlace = Place{Bucket: metaBucket, Key: []byte(sealKey)}

func (l *Layout) clear() bool { _, ok := l.sealer.(Clear); return ok }

// mark makes a store one that is sealed.
func (l *Layout) mark(kv KV) error {
	if l.clear() {
		return nil
	}
	sealed, err := l.sealer.Seal(sealPlace, []byte(l.info.Device))
	if err != nil {
		return err
	}
	return kv.Put(sealPlace.Bucket, sealPlace.Key, sealed)
}

// checkSeal checks that a store is sealed as it should be.
func (l *Layout) checkSeal(kv KV) error {
	sealed, err := kv.Get(sealPlace.Bucket, sealPlace.Key)
	switch {
	case err != nil:
		return err
	case sealed == nil && !l.clear():
		return ErrUnsealed
	case sealed == nil:
		return nil
	case l.clear():
		return fmt.Errorf("%w: it opens with its keyring only", ErrSealed)
	}
	if _, err := l.sealer.Open(sealPlace, sealed); err != nil {
		return fmt.Errorf("%w of this keyring: %v; put back the keyring that belongs to it", ErrForeign, err)
	}
	return nil
}

// Sync is for backends: it makes the keys durable that values put so far were
// sealed with. It has to succeed before these are committed.
func (l *Layout) Sync() error {
	ring, ok := l.sealer.(Keyring)
	if !ok {
		return nil
	}
	return ring.Sync()
}

// Forget is for backends: it destroys the keys of people whose erasure is
// committed. If it fails, the erasure is not done: it is completed when the store
// is opened again.
func (l *Layout) Forget(people []PersonTag) error {
	ring, ok := l.sealer.(Keyring)
	if !ok || len(people) == 0 {
		return nil
	}
	return ring.Forget(people...)
}

// settle completes erasures: those that a cut parted from the end of the key, and
// those that are younger than the store, which then is a copy put back.
func (l *Layout) settle(kv KV) error {
	ring, ok := l.sealer.(Keyring)
	if !ok {
		return nil
	}
	var left []PersonTag
	err := kv.Scan(erasedBucket, Range{}, func(k, _ []byte) (bool, error) {
		if len(k) != len(PersonTag{}) {
			return false, fmt.Errorf("%w: erasure of %d bytes", ErrDamaged, len(k))
		}
		if tag := PersonTag(k); ring.Has(tag) {
			left = append(left, tag)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if err := l.Forget(left); err != nil {
		return fmt.Errorf("complete an erasure: %w", err)
	}
	for _, tag := range ring.Forgotten() {
		noted, err := kv.Get(erasedBucket, tag[:])
		if err == nil && noted == nil {
			return l.replay(kv, ring)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// replay erases from the store whose keys are gone. What their values said of
// their lines in the indexes is unreadable, so all indexes are gone through.
func (l *Layout) replay(kv KV, ring Keyring) error {
	buckets, err := kv.Buckets()
	if err != nil {
		return err
	}
	gone := map[string]bool{} // ids of the records that were removed
	var people []PersonID
	for _, bucket := range buckets {
		record := strings.HasPrefix(bucket, recordBucket(""))
		if !record && bucket != personalBucket {
			continue
		}
		err := drop(kv, bucket, func(k, sealed []byte) bool {
			_, err := l.sealer.Open(Place{Bucket: bucket, Key: k}, sealed)
			erased := errors.Is(err, ErrErased)
			if erased && record {
				gone[string(k)] = true
			}
			if erased && bucket == recordBucket(KindPerson) {
				people = append(people, PersonID(k))
			}
			return erased
		})
		if err != nil {
			return err
		}
	}
	for _, bucket := range buckets {
		if !strings.HasPrefix(bucket, indexBucket("")) {
			continue
		}
		if err := drop(kv, bucket, func(_, id []byte) bool { return gone[string(id)] }); err != nil {
			return err
		}
	}
	return l.noteReplay(kv, people, ring.Forgotten())
}

// drop deletes the keys of a bucket for which condemned says so.
func drop(kv KV, bucket string, condemned func(k, v []byte) bool) error {
	var keys [][]byte
	err := kv.Scan(bucket, Range{}, func(k, v []byte) (bool, error) {
		if condemned(k, v) {
			keys = append(keys, append([]byte(nil), k...))
		}
		return true, nil
	})
	for i := 0; err == nil && i < len(keys); i++ {
		err = kv.Delete(bucket, keys[i])
	}
	return err
}

// noteReplay puts the erasures that were replayed into the journal. For people
// of whom the store holds nothing, only that they are never to come back.
func (l *Layout) noteReplay(kv KV, people []PersonID, forgotten []PersonTag) error {
	tx, err := l.Write(kv, Cause{Actor: Actor{Kind: ActorSystem, ID: "store"}})
	if err != nil {
		return err
	}
	for _, p := range people {
		if err := eraseAll(tx, ReviewsByPerson, Plain(p)); err != nil {
			return err
		}
		if err := tx.noteErasure(Event{Kind: EventErasure, Person: p, Action: "replay", Outcome: OutcomeDone}); err != nil {
			return err
		}
	}
	for _, tag := range forgotten {
		noted, err := kv.Get(erasedBucket, tag[:])
		if err == nil && noted == nil {
			err = kv.Put(erasedBucket, tag[:], seqKey(0))
		}
		if err != nil {
			return err
		}
	}
	_, err = tx.Finish()
	return err
}

// hiddenIndexes are those with hidden terms, which another Sealer hides otherwise.
var hiddenIndexes = map[string]bool{
	indexBucket(AccountByEmail.name): true, indexBucket(PersonByEmail.name): true, indexBucket(PersonByExternalID.name): true,
}

// Reseal is for backends: it copies a store that is not sealed from one KV into
// another, empty one, and seals it on the way.
func Reseal(from, to KV, opt Options) (*Layout, error) {
	l := &Layout{sealer: opt.Sealer}
	tx := &Tx{layout: l, kv: to}
	buckets, err := from.Buckets()
	if err != nil {
		return nil, err
	}
	for _, bucket := range buckets {
		if hiddenIndexes[bucket] {
			continue
		}
		err := from.Scan(bucket, Range{}, func(k, v []byte) (bool, error) {
			if strings.HasPrefix(bucket, recordBucket("")) || bucket == personalBucket {
				return true, tx.reseal(from, bucket, k, v)
			}
			return true, to.Put(bucket, k, v)
		})
		if err != nil {
			return nil, fmt.Errorf("seal %s: %w", bucket, err)
		}
	}
	description, err := to.Get(metaBucket, []byte(infoKey))
	if err == nil {
		err = json.Unmarshal(description, &l.info)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: read its description: %v", ErrDamaged, err)
	}
	if err := l.mark(to); err != nil {
		return nil, err
	}
	return Prepare(to, opt)
}

// reseal seals one value, and puts the lines with hidden terms that it implies.
func (tx *Tx) reseal(from KV, bucket string, k, plain []byte) error {
	at := Place{Bucket: bucket, Key: k}
	var err error
	if at.Person, err = owner(from, bucket, k, plain); err != nil {
		return err
	}
	sealed, err := tx.layout.sealer.Seal(at, plain)
	if err != nil {
		return err
	}
	if err := tx.kv.Put(bucket, k, sealed); err != nil {
		return err
	}
	var rec value
	switch bucket {
	case recordBucket(KindPerson):
		rec = &Person{}
	case recordBucket(KindAccount):
		rec = &Account{}
	default:
		return nil
	}
	if err := decode(plain, rec); err != nil {
		return err
	}
	for _, e := range rec.spec().entries {
		l := tx.line(e, string(k))
		if !hiddenIndexes[l.bucket] {
			continue
		}
		if err := tx.kv.Put(l.bucket, []byte(l.key), k); err != nil {
			return err
		}
	}
	return nil
}

// owner finds out for whom a value is sealed, as Put and Append would.
func owner(from KV, bucket string, k, plain []byte) (PersonID, error) {
	switch bucket {
	case recordBucket(KindEvent):
		return "", nil
	case recordBucket(KindPerson):
		return PersonID(k), nil
	case personalBucket:
		var err error
		if plain, err = from.Get(recordBucket(KindEvent), k); err != nil {
			return "", err
		}
	}
	header, _, err := split(plain)
	if err != nil {
		return "", err
	}
	var rec struct {
		Person PersonID `json:"person"`
	}
	if err := json.Unmarshal(header, &rec); err != nil {
		return "", fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	return rec.Person, nil
}
