package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

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
		if !record && bucket != personalBucket && bucket != foreignPersonalBucket {
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
		about := aboutRecord(bucket)
		if about == nil {
			continue
		}
		if err := drop(kv, bucket, func(k, v []byte) bool { return gone[about(k, v)] }); err != nil {
			return err
		}
	}
	return l.noteReplay(kv, people, ring.Forgotten())
}

// aboutRecord returns how a line of a bucket names the record that it is about, nil
// where lines name none. People stay in feeds, where their erasure takes the place.
func aboutRecord(bucket string) func(k, v []byte) string {
	idOf := func(key string) string {
		kind, id := splitKey(key)
		if kind == KindPerson {
			return ""
		}
		return id
	}
	switch bucket {
	case feedBucket:
		return func(_, v []byte) string { _, key, _ := strings.Cut(string(v), " "); return idOf(key) }
	case feedRecordBucket:
		return func(k, _ []byte) string { return idOf(string(k[bytes.Index(k, []byte{0, 1})+2:])) }
	case replicaBucket:
		return func(k, _ []byte) string { _, id := splitKey(string(k)); return id }
	}
	if strings.HasPrefix(bucket, indexBucket("")) {
		return func(_, id []byte) string { return string(id) }
	}
	return nil
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

// Replayer is the actor of erasures that an opening has made up for.
var Replayer = Actor{Kind: ActorSystem, ID: "store"}

// noteReplay puts the erasures that were replayed into the journal. For people
// of whom the store holds nothing, only that they are never to come back.
func (l *Layout) noteReplay(kv KV, people []PersonID, forgotten []PersonTag) error {
	tx, err := l.Write(kv, Cause{Actor: Replayer})
	if err != nil {
		return err
	}
	for _, p := range people {
		if _, err := eraseAll(tx, ReviewsByPerson, Plain(p)); err != nil {
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
