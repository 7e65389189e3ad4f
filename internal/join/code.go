// Package join is how a box becomes one of a central's: claim codes, the proof of
// the box's key, and what then lies on either side.
//
// At the central an operator makes a claim for a site (Make), and carries its code
// to the box. The box (Box.Join) finds the central by the address in it, knows it by
// the fingerprint of its key, makes a key of its own, and proves that it holds it by
// signing what the central asked (Challenges). The central (Admit) uses the claim up,
// registers the box, and gives it a credential.
//
// The package speaks no HTTP at the central's side: internal/api does.
package join

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/cypherface/edge/store"
)

// ErrCode says that a claim code is mistyped, or none at all.
var ErrCode = errors.New("not a claim code")

// A Code is what an operator carries from the central to a box.
type Code struct {
	Secret  [10]byte // single use, and tries are limited
	Pin     [16]byte // the beginning of the SHA-256 of the key in the central's certificate
	Address string   // host:port of the central
}

// The text of a code is a prefix and groups of five characters, in the alphabet of
// D. Crockford, which has no letters that look like others. The last character of a
// group checks it and its place; four carry 20 bits.
const (
	codePrefix = "CFJ1"
	groupData  = 4
	maxCode    = 512 // characters, of the longest text that is looked at

	addressV4   = 0 // four bytes and two of the port
	addressName = 1 // the text to the end
)

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// NewCode makes a code with a new secret.
func NewCode(fingerprint []byte, address string) Code {
	c := Code{Address: address}
	_, _ = rand.Read(c.Secret[:]) // never fails
	copy(c.Pin[:], fingerprint)
	return c
}

// Claim is the id under which the central keeps the claim of a code.
func (c *Code) Claim() store.ClaimID { return claimOf(c.Secret[:]) }

func claimOf(secret []byte) store.ClaimID {
	sum := sha256.Sum256(append([]byte("cypherface claim 1:"), secret...))
	return store.ClaimID(hex.EncodeToString(sum[:16]))
}

// Text returns the code as a person types or scans it.
func (c *Code) Text() string {
	b := append(append([]byte{}, c.Secret[:]...), c.Pin[:]...)
	if a, err := netip.ParseAddrPort(c.Address); err == nil && a.Addr().Is4() {
		ip := a.Addr().As4()
		b = binary.BigEndian.AppendUint16(append(append(b, addressV4), ip[:]...), a.Port())
	} else {
		b = append(append(b, addressName), c.Address...)
	}
	data := crockford.EncodeToString(append(b, sum(b)...))
	var text strings.Builder
	text.WriteString(codePrefix)
	for i := 0; len(data) > 0; i++ {
		group := data[:min(groupData, len(data))]
		data = data[len(group):]
		text.WriteString("-" + group + check(i, group))
	}
	return text.String()
}

// sum checks the whole.
func sum(b []byte) []byte {
	s := sha256.Sum256(append([]byte("cypherface claim sum 1:"), b...))
	return s[:2]
}

func check(i int, group string) string {
	s := sha256.Sum256(fmt.Appendf(nil, "cypherface claim group 1:%d:%s", i, group))
	return crockford.EncodeToString(s[:1])[:1]
}

var lookAlikes = strings.NewReplacer("O", "0", "I", "1", "L", "1", " ", "", "-", "", "\n", "", "\r", "", "\t", "")

// ParseCode reads a code as it was typed: small letters, spaces and missing hyphens
// do no harm, O is read as 0, I and L as 1. The error says which group is wrong.
func ParseCode(text string) (c Code, err error) {
	if len(text) > maxCode {
		return c, fmt.Errorf("%w: it is too long", ErrCode)
	}
	joined := lookAlikes.Replace(strings.ToUpper(text))
	rest, ok := strings.CutPrefix(joined, lookAlikes.Replace(codePrefix))
	if !ok {
		return c, fmt.Errorf("%w: it begins with %s", ErrCode, codePrefix)
	}
	var data strings.Builder
	for i := 0; len(rest) > 0; i++ {
		group := rest[:min(groupData+1, len(rest))]
		rest = rest[len(group):]
		last := len(group) - 1
		if last == 0 || check(i, group[:last]) != group[last:] {
			return c, fmt.Errorf("%w: group %d is mistyped", ErrCode, i+1)
		}
		data.WriteString(group[:last])
	}
	b, err := crockford.DecodeString(data.String())
	head := len(c.Secret) + len(c.Pin) + 1
	if err != nil || len(b) < head+2 || string(sum(b[:len(b)-2])) != string(b[len(b)-2:]) {
		return c, fmt.Errorf("%w: it is mistyped, or a part is missing", ErrCode)
	}
	copy(c.Secret[:], b)
	copy(c.Pin[:], b[len(c.Secret):])
	address := b[head : len(b)-2]
	switch kind := b[head-1]; {
	case kind == addressV4 && len(address) == 6:
		c.Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte(address)), binary.BigEndian.Uint16(address[4:])).String()
	case kind == addressName && len(address) > 0:
		c.Address = string(address)
	default:
		return c, fmt.Errorf("%w: it is of a newer central", ErrCode)
	}
	return c, nil
}
