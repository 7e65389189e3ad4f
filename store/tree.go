package store

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a SHA-256, of a leaf or of a node of a journal's tree.
type Hash = tlog.Hash

// LeafHash is the hash of an event in the tree; raw is Envelope.Raw.
func LeafHash(raw []byte) Hash { return tlog.RecordHash(raw) }

// Tree is the Merkle tree over the events of a journal from the first to the
// one numbered Size, as RFC 6962, section 2.1, has it. It keeps what it takes to
// go on: the roots of its complete subtrees, one for each bit of Size that is
// set, the largest first. The zero Tree is empty; a Tree is a value, and a copy
// goes its own way.
type Tree struct {
	size  uint64
	roots []Hash
}

// Size is how many events the tree has.
func (t Tree) Size() uint64 { return t.size }

// Root is the hash of the whole tree.
func (t Tree) Root() Hash {
	if t.size == 0 {
		root, _ := tlog.TreeHash(0, nil) // that of nothing needs no reader
		return root
	}
	last := len(t.roots) - 1
	root := t.roots[last]
	for _, left := range slices.Backward(t.roots[:last]) {
		root = tlog.NodeHash(left, root)
	}
	return root
}

// Append adds the leaf of the next event.
func (t *Tree) Append(leaf Hash) { t.AppendSubtree(0, leaf) }

// AppendSubtree adds a complete subtree of 2^level leaves by its root. Size must
// be a multiple of 2^level.
func (t *Tree) AppendSubtree(level int, root Hash) {
	roots := append(make([]Hash, 0, len(t.roots)+1), t.roots...)
	for n := t.size >> level; n&1 == 1; n >>= 1 {
		last := len(roots) - 1
		root = tlog.NodeHash(roots[last], root)
		roots = roots[:last]
	}
	t.size, t.roots = t.size+1<<level, append(roots, root)
}

// MarshalBinary writes the size, 8 bytes big-endian, and the roots.
func (t Tree) MarshalBinary() ([]byte, error) { return t.appendTo(nil), nil }

func (t Tree) appendTo(b []byte) []byte {
	b = slices.Grow(b, 8+len(t.roots)*tlog.HashSize)
	b = binary.BigEndian.AppendUint64(b, t.size)
	for _, h := range t.roots {
		b = append(b, h[:]...)
	}
	return b
}

// UnmarshalBinary reads what MarshalBinary wrote. The error is ErrDamaged.
func (t *Tree) UnmarshalBinary(b []byte) error {
	if len(b) < 8 {
		return fmt.Errorf("%w: tree of %d bytes", ErrDamaged, len(b))
	}
	size, rest := binary.BigEndian.Uint64(b), b[8:]
	if n := bits.OnesCount64(size); len(rest) != n*tlog.HashSize {
		return fmt.Errorf("%w: tree of %d events with %d bytes of roots", ErrDamaged, size, len(rest))
	}
	*t = Tree{size, make([]Hash, 0, len(rest)/tlog.HashSize)}
	for h := range slices.Chunk(rest, tlog.HashSize) {
		t.roots = append(t.roots, Hash(h))
	}
	return nil
}
