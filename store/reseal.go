package store

import (
	"encoding/json"
	"fmt"
	"strings"
)

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
			if strings.HasPrefix(bucket, recordBucket("")) || bucket == personalBucket || bucket == foreignPersonalBucket {
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
	case recordBucket(KindEvent), recordBucket(KindForeign):
		return "", nil
	case recordBucket(KindPerson):
		return PersonID(k), nil
	case personalBucket:
		var err error
		if plain, err = from.Get(recordBucket(KindEvent), k); err != nil {
			return "", err
		}
	case foreignPersonalBucket:
		var err error
		if plain, err = from.Get(recordBucket(KindForeign), k); err != nil {
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
