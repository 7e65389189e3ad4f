package seal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cypherface/edge/store"
)

// A keyring file is a head and slots, all of fixed size, so that no damage of one
// hides the others, and a write that was cut leaves whole slots behind it whole:
//
//	head   public part, padded with zeros | nonce, key of the file, tag     512
//	slot   nonce | kind, id, tag of the person, key, zeros | tag            128
//
// The public part is a line with the version and a JSON object. The master key
// seals the key of the file, bound to all of the public part; the key of the file
// seals each slot, bound to its number. As each rewriting makes a new key of the
// file, no slot of another version of it fits in.
const (
	family    = "cypherface keyring "
	magic     = family + "1\n"
	magic2    = family + "2\n" // with a recovery key, of which version 1 does not know
	headLen   = 512
	wrapLen   = 12 + keyLen + 16
	publicLen = headLen - wrapLen
	slotLen   = 128
	slotPlain = slotLen - 12 - 16
)

// header is the public part of a keyring.
type header struct {
	Source Source `json:"source"`
	Master string `json:"master"`        // id of the master key, which tells nothing about it
	KDF    *kdf   `json:"kdf,omitempty"` // with a passphrase
	Slots  int    `json:"slots"`         // at least so many follow
}

// slot is one key, or what is left of it.
type slot struct {
	kind slotKind
	id   keyID
	tag  store.PersonTag
	key  key
}

type slotKind byte

const (
	generalSlot   slotKind = 1
	personSlot    slotKind = 2
	forgottenSlot slotKind = 3 // has no key any more
	recoverySlot  slotKind = 4 // of the recovery key: half of its public half's hash, and its author's secret
)

// parseHeader reads the public part, which nobody has vouched for yet.
func parseHeader(file []byte) (header, error) {
	var h header
	if len(file) < headLen {
		return h, fmt.Errorf("%w: keyring of %d bytes", store.ErrDamaged, len(file))
	}
	line, _, _ := strings.Cut(string(file[:64]), "\n")
	switch {
	case !strings.HasPrefix(line, family):
		return h, fmt.Errorf("%w: not a keyring", store.ErrForeign)
	case line+"\n" != magic && line+"\n" != magic2:
		if v, err := strconv.ParseUint(line[len(family):], 10, 16); err == nil {
			return h, fmt.Errorf("%w: keyring of version %d", store.ErrNewer, v)
		}
		return h, fmt.Errorf("%w: head of keyring makes no sense", store.ErrDamaged)
	}
	d := json.NewDecoder(bytes.NewReader(bytes.TrimRight(file[len(magic):publicLen], "\x00")))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return h, fmt.Errorf("%w: read head of keyring: %v", store.ErrDamaged, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return h, fmt.Errorf("%w: head of keyring is followed by something", store.ErrDamaged)
	}
	if h.Slots < 1 || h.KDF != nil && !h.KDF.valid() || !isID(h.Master) {
		return h, fmt.Errorf("%w: head of keyring makes no sense", store.ErrDamaged)
	}
	return h, nil
}

func isID(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 8
}

// formatHead makes the head of a file for slots.
func formatHead(h header, wrapping, file *key, slots []slot) ([]byte, error) {
	h.Slots = len(slots)
	magic := magic
	if slices.ContainsFunc(slots, func(s slot) bool { return s.kind == recoverySlot }) {
		magic = magic2
	}
	public, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	b := make([]byte, publicLen, headLen)
	if n := copy(b, magic+string(public)); n != len(magic)+len(public) {
		return nil, fmt.Errorf("head of %d bytes is too long", len(public))
	}
	return wrapping.aead().Seal(b, nil, file[:], b), nil
}

// unwrap returns the key of the file; ok is false where something of the head was
// changed, or the wrapping key is another.
func unwrap(head []byte, wrapping *key) (file key, ok bool) {
	b, err := wrapping.aead().Open(nil, nil, head[publicLen:headLen], head[:publicLen])
	if err != nil || len(b) != keyLen {
		return file, false
	}
	return key(b), true
}

// appendSlots seals slots, the first of which gets number n.
func appendSlots(b []byte, file *key, n int, slots []slot) []byte {
	aead := file.aead()
	b = slices.Grow(b, len(slots)*slotLen) // Seal would copy all for each
	var plain [slotPlain]byte
	for i, s := range slots {
		clear(plain[:])
		plain[0] = byte(s.kind)
		binary.BigEndian.PutUint64(plain[1:], uint64(s.id))
		copy(plain[9:], s.tag[:])
		copy(plain[25:], s.key[:])
		b = aead.Seal(b, nil, plain[:], slotNumber(n+i))
	}
	clear(plain[:])
	return b
}

func slotNumber(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// parseSlots opens the slots behind a head. Those that were appended last may be
// the remains of a write that was cut: what is broken with nothing whole behind
// it, and beyond the number in the head, is left out. All other damage is an
// error.
func parseSlots(b []byte, file *key, atLeast int) ([]slot, error) {
	aead := file.aead()
	slots := make([]slot, 0, len(b)/slotLen)
	broken := -1
	var room [slotPlain]byte
	defer clear(room[:])
	for n := range len(b) / slotLen {
		plain, err := aead.Open(room[:0], nil, b[n*slotLen:(n+1)*slotLen], slotNumber(n))
		switch {
		case err != nil && broken < 0:
			broken = n
		case err == nil && broken >= 0:
			return nil, fmt.Errorf("%w: slot %d of the keyring", store.ErrDamaged, broken)
		case err == nil:
			s, err := parseSlot(plain)
			if err != nil {
				return nil, fmt.Errorf("%w: slot %d of the keyring: %v", store.ErrDamaged, n, err)
			}
			slots = append(slots, s)
		}
	}
	if len(slots) < atLeast {
		return nil, fmt.Errorf("%w: keyring has %d whole slots of %d", store.ErrDamaged, len(slots), atLeast)
	}
	return slots, nil
}

func parseSlot(b []byte) (s slot, err error) {
	s.kind, s.id = slotKind(b[0]), keyID(binary.BigEndian.Uint64(b[1:]))
	copy(s.tag[:], b[9:])
	copy(s.key[:], b[25:])
	if s.kind < generalSlot || s.kind > recoverySlot || s.id == 0 {
		return s, fmt.Errorf("kind %d, id %d", s.kind, s.id)
	}
	return s, nil
}

var errHead = fmt.Errorf("%w: head of keyring was changed", store.ErrDamaged)
