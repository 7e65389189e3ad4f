package store

import (
	"crypto/sha256"
	"time"
)

// KV is one transaction of a backend: an ordered map from keys to values in each
// of some buckets, which come into being with their first Put.
//
// Slices it returns are valid until the transaction ends and must not be changed;
// slices it is given are kept until then and are not changed any more.
type KV interface {
	// Get returns the value of a key, or nil where there is none.
	Get(bucket string, key []byte) ([]byte, error)
	Put(bucket string, key, value []byte) error
	// Delete removes a key; that it is not there is no error.
	Delete(bucket string, key []byte) error
	// Scan calls fn for the keys of a range in order until fn returns false or an
	// error, which it passes on. fn must not change the bucket.
	Scan(bucket string, r Range, fn func(key, value []byte) (more bool, err error)) error
	// Buckets returns the names of all buckets.
	Buckets() ([]string, error)
}

// Range is a span of keys. From is inclusive, To exclusive; nil means unbounded.
type Range struct {
	From, To []byte
	Reverse  bool // from the last to the first
}

// Place is where a sealed value lies; a Sealer binds the value to it, so that it
// can be opened nowhere else.
type Place struct {
	Bucket string
	Key    []byte
	Person PersonID // whose data it is, if anybody's; not known when opening
}

// Sealer is what values and telling terms pass on their way to and from a
// backend. It is safe for concurrent use.
type Sealer interface {
	Seal(at Place, plain []byte) ([]byte, error)
	// Open undoes Seal. The error matches ErrDamaged where the value is not what
	// was sealed at this place, and ErrErased where its key was destroyed.
	Open(at Place, sealed []byte) ([]byte, error)
	// Blind returns 16 bytes that stand for a hidden term in an index, after the
	// terms in prefix, and tell nothing about it to those without the key.
	Blind(index string, prefix, term []byte) []byte
}

// Keyring is a Sealer that has a key of its own for each person and can destroy
// it. What was sealed for the person is unreadable then, wherever it lies: in
// freed pages, in copies of the store, in backups.
//
// A crash may come between any two of these steps, which happen in this order:
//
//  1. Seal makes a key for a person who has none.
//  2. Sync makes it durable.
//  3. The values sealed with it are committed.
//  4. An erasure is committed: the values are gone and the erasure is noted.
//  5. Forget destroys the key. Until then the erasure is not acknowledged; if it
//     does not come to that, Prepare does it at the next opening.
type Keyring interface {
	Sealer
	// Sync makes durable what Open needs for all that Seal returned before.
	Sync() error
	// Forget destroys the keys of people for ever. It is durable when it returns
	// nil; people without a key are passed over.
	Forget(people ...PersonTag) error
	// Has says whether there is a key for a person.
	Has(PersonTag) bool
	// Forgotten returns all whose keys were ever destroyed.
	Forgotten() []PersonTag
}

// PersonTag stands for a person where not even the id should be: the beginning
// of the SHA-256 of the id, which is random.
type PersonTag [16]byte

// Tag returns the tag of a person.
func (p PersonID) Tag() (t PersonTag) {
	sum := sha256.Sum256([]byte(p))
	copy(t[:], sum[:])
	return t
}

// Options are what a backend passes on to Prepare. Environment is required.
type Options struct {
	Environment Environment
	Sealer      Sealer           // nil means Clear
	Clock       func() time.Time // nil means time.Now

	// NewEpoch begins the journal anew with an epoch of this number, for a backup
	// that is being restored; 0 goes on with the one there is. The error is
	// ErrInvalid where not all events of before lie in periods, or there was an
	// epoch of this number or a later one.
	NewEpoch uint64
}
