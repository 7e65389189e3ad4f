package store

import (
	"crypto/sha256"
	"encoding/binary"
)

// Clear is the Sealer that seals nothing: values lie as they are, and hidden
// terms under a hash without a key, which hides them from a glance only.
type Clear struct{}

var _ Sealer = Clear{}

// Seal returns plain.
func (Clear) Seal(_ Place, plain []byte) ([]byte, error) { return plain, nil }

// Open returns sealed.
func (Clear) Open(_ Place, sealed []byte) ([]byte, error) { return sealed, nil }

// Blind returns the beginning of a SHA-256.
func (Clear) Blind(index string, prefix, term []byte) []byte {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(index), prefix} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		h.Write(part)
	}
	h.Write(term)
	return h.Sum(nil)[:16]
}
