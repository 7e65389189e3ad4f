// Package seal encrypts what a store keeps, and keeps the keys.
//
//	master, err := seal.FindMaster(seal.MasterOptions{Dir: dir})
//	ring, err := seal.Open(seal.Path(dir, store.Sandbox), master, seal.Options{})
//	s, err := bolt.Open(path, bolt.Options{Environment: store.Sandbox, Sealer: ring})
//
// # Keys
//
// The master key comes from outside (see FindMaster). It wraps the key of the
// keyring file, anew each time the file is written, and that seals the keys in
// it: one for each person, and a general one for all else. The file lies there
// twice; what is damaged or missing in the one is taken from the other. From the general key
// come the key that hides terms in indexes (HMAC-SHA-256) and, like from the
// person's, by HKDF-SHA-256 (RFC 5869) the keys of segments, which seal values.
//
// # Values
//
// A value is AES-256-GCM with a random nonce of 96 bits, and bound to its
// bucket, its key, and the id of its data key. NIST SP 800-38D, section 8.3,
// allows 2^32 values under one key with such nonces; the chance that any two
// nonces are equal is then below 2^-32. So a segment, which has a random number
// of 64 bits, ends after 2^32 values, and with the opening of the keyring, and no
// key ever comes to its limit. A value grows by 45 bytes:
//
//	version 1 | data key 8 | segment 8 | nonce 12 | value | tag 16
//
// # Erasure
//
// Forget writes the keyring without a person's key, under a new key of the file,
// and overwrites the old file. Whatever was sealed for the person is random bytes
// from then on, in whatever copy. That overwriting reaches the cells of a flash
// disk, or the blocks of a file system that copies on write, is beyond a
// program's power: there, who has the master key and reads raw storage may find
// an older keyring until it is reused.
//
// An erasure log outside of the keyring's folder (see ErasuresPath) keeps who was
// forgotten. A keyring that is older than its log forgets when it is opened, so that
// an older folder that is put back brings nobody back.
//
// # What leaves the box
//
// A backup is sealed in an Envelope, to a RecoveryKey that a person keeps offline:
// HPKE (RFC 9180) with MLKEM768-X25519, HKDF-SHA-256 and AES-256-GCM. The box has
// its public half, and its keyring says which it is.
//
// # What it does not do
//
// It does not protect a running box: the keys are in its memory, and could be in
// swap. Keys of indexes show ids, times and how many records there are. It does
// not notice that a whole value was put back to what it was at the same place
// before.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/cypherface/edge/store"
)

const (
	keyLen     = 32
	version    = 0xc1 // begins every value; the next format counts on
	headerLen  = 1 + 8 + 8
	overhead   = headerLen + 12 + 16
	perSegment = 1 << 32 // values
)

// Labels of the keys that are derived, so that each has one use.
const (
	labelSegment  = "cypherface segment 1:"
	labelBlind    = "cypherface blind 1"
	labelWrap     = "cypherface wrap 1"
	labelMaster   = "cypherface master id 1"
	labelAuthor   = "cypherface author 1"
	labelErasures = "cypherface erasures 1"
	labelEnvelope = "cypherface envelope 1"
)

type key [keyLen]byte

// keyID names a data key; 0 is none.
type keyID uint64

// segment names the key that a data key has for a while.
type segment uint64

func newKey() (k key) {
	_, _ = rand.Read(k[:]) // never fails
	return k
}

func randomNumber() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}

// derive makes the key that k has for a purpose. It skips HKDF's first half, which
// is for keys that are not uniform.
func (k *key) derive(label string) (d key) {
	b, err := hkdf.Expand(sha256.New, k[:], label, keyLen)
	if err != nil {
		panic(err) // only for lengths beyond 255 hashes
	}
	copy(d[:], b)
	return d
}

// aead seals with a random nonce, which it puts before what it has sealed.
func (k *key) aead() cipher.AEAD {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // only for keys of another length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for ciphers of another block size
	}
	return aead
}

func (k *key) segment(s segment) cipher.AEAD {
	d := k.derive(labelSegment + string(binary.BigEndian.AppendUint64(nil, uint64(s))))
	return d.aead()
}

// bound is what a value is sealed together with: its header and its place.
func bound(header []byte, at store.Place) []byte {
	b := make([]byte, 0, len(header)+4+len(at.Bucket)+len(at.Key))
	b = binary.BigEndian.AppendUint32(append(b, header...), uint32(len(at.Bucket)))
	return append(append(b, at.Bucket...), at.Key...)
}

// Seal encrypts a value for a place and a person. It makes a key for a person who
// has none; Sync then makes that durable.
func (r *Ring) Seal(at store.Place, plain []byte) ([]byte, error) {
	id, k := r.general, r.generalKey
	if at.Person != "" {
		id, k = r.keyOf(at.Person.Tag())
	}
	seg := r.segment()
	b := make([]byte, headerLen, overhead+len(plain))
	b[0] = version
	binary.BigEndian.PutUint64(b[1:], uint64(id))
	binary.BigEndian.PutUint64(b[9:], uint64(seg))
	return r.aead(id, &k, seg).Seal(b, nil, plain, bound(b[:headerLen], at)), nil
}

// Open decrypts a value. The error matches store.ErrErased where its key was
// destroyed, and store.ErrDamaged where it is not what was sealed for this place.
func (r *Ring) Open(at store.Place, sealed []byte) ([]byte, error) {
	if len(sealed) < overhead || sealed[0] != version {
		return nil, fmt.Errorf("%w: not a sealed value", store.ErrDamaged)
	}
	id := keyID(binary.BigEndian.Uint64(sealed[1:]))
	k, err := r.keyFor(id)
	if err != nil {
		return nil, err
	}
	seg := segment(binary.BigEndian.Uint64(sealed[9:]))
	plain, err := r.aead(id, &k, seg).Open(nil, nil, sealed[headerLen:], bound(sealed[:headerLen], at))
	if err != nil {
		return nil, fmt.Errorf("%w: value was changed or moved", store.ErrDamaged)
	}
	return plain, nil
}

// Blind returns 16 bytes of a keyed hash of a term of an index.
func (r *Ring) Blind(index string, prefix, term []byte) []byte {
	h := hmac.New(sha256.New, r.blind[:])
	for _, part := range [][]byte{[]byte(index), prefix, term} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		h.Write(part)
	}
	return h.Sum(nil)[:16]
}

// aead returns what seals the values of a segment. Those of the general key are
// kept, as nearly all values of a segment need the same, and of people some.
func (r *Ring) aead(id keyID, k *key, s segment) cipher.AEAD {
	if id != r.general {
		return r.recent.get(id, s, k)
	}
	return r.segments.get(s, k)
}

// recent keeps what seals the values of some people: who is read is often written
// right after.
type recent struct {
	mu   sync.Mutex // protects kept
	kept [256]struct {
		id   keyID
		seg  segment
		aead cipher.AEAD
	}
}

func (c *recent) get(id keyID, s segment, k *key) cipher.AEAD {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := &c.kept[id%keyID(len(c.kept))]
	if at.aead == nil || at.id != id || at.seg != s {
		at.id, at.seg, at.aead = id, s, k.segment(s)
	}
	return at.aead
}

// forget lets go of what seals for a key.
func (c *recent) forget(id keyID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := &c.kept[id%keyID(len(c.kept))]; at.id == id {
		at.id, at.aead = 0, nil
	}
}

// segments keeps what seals some segments of one key.
type segments struct {
	mu   sync.Mutex // protects kept
	kept map[segment]cipher.AEAD
}

const segmentsKept = 128

func (c *segments) get(s segment, k *key) cipher.AEAD {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.kept[s]
	if a == nil {
		a = k.segment(s)
		if c.kept == nil || len(c.kept) >= segmentsKept {
			c.kept = map[segment]cipher.AEAD{}
		}
		c.kept[s] = a
	}
	return a
}
