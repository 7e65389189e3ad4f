package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/sha512"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/cypherface/edge/store"
)

// ErrRecipient says that what was sealed is for somebody else.
var ErrRecipient = errors.New("it is sealed to another box")

// ErrSignature says that a signature is not the one that it should be.
var ErrSignature = errors.New("the signature is not right")

// A parcel goes from one box to another: a head that anybody may read, and behind
// it a stream that only the receiving box opens, with HPKE (RFC 9180, base mode,
// exported) as in an Envelope, and at its end an Ed25519 signature (RFC 8032) of the
// sending box over all of it. Whoever knows the public half of a box's key can seal
// to it: it is the signature that says where a parcel comes from.

// Parcel is the head of what goes from one box to another.
type Parcel struct {
	About
	To     string            `json:"to"`     // fingerprint of the key that it is sealed to
	Signer ed25519.PublicKey `json:"signer"` // of the sending box
}

type parcelHead struct {
	Parcel
	Encapsulated []byte `json:"encapsulated"`
}

const (
	parcelFamily = "cypherface people "
	parcelMagic  = parcelFamily + "1\n"
	labelParcel  = "cypherface people 1"
	// signedAs begins what is signed, so that the signature serves for nothing else.
	signedAs = "cypherface people signature 1\n"
)

// Recipient is the text of a public key, for SealParcel on another box.
func (p *Recovery) Recipient() string {
	return strings.Replace(string(p.format()), recoveryMagic, "cypherface recipient 1", 1)
}

// ParseRecipient reads what Recipient returned. The error matches
// store.ErrDamaged where it is none.
func ParseRecipient(text []byte) (*Recovery, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%w: not the key of a box", store.ErrDamaged)
	}
	rest, ok := bytes.CutPrefix(bytes.TrimSpace(text), []byte("cypherface recipient 1"))
	if !ok {
		return nil, fmt.Errorf("%w: not the key of a box (cypherface import --key prints it there)", store.ErrDamaged)
	}
	return parseRecovery(append([]byte(recoveryMagic), append(rest, '\n')...))
}

// SignerFingerprint names the key that a box signs with.
func SignerFingerprint(k ed25519.PublicKey) string {
	sum := sha512.Sum512_256(k)
	var parts []string
	for i := 0; i < 16; i += 2 {
		parts = append(parts, fmt.Sprintf("%02x%02x", sum[i], sum[i+1]))
	}
	return strings.Join(parts, "-")
}

// info is what HPKE binds the key to.
func (p *Parcel) info() []byte {
	return fmt.Appendf(nil, "%s%q %q %d %s %s %x", parcelMagic, p.Environment, p.Device, p.Epoch, p.Made.Format(time.RFC3339), p.To, []byte(p.Signer))
}

// parcelWriter seals and signs a stream.
type parcelWriter struct {
	stream *streamWriter
	sum    hash.Hash
	signer ed25519.PrivateKey
}

// SealParcel writes the head of a parcel to w and returns what takes its content.
// Its Close signs it, and does not close w.
func SealParcel(w io.Writer, about About, to *Recovery, signer ed25519.PrivateKey) (io.WriteCloser, error) {
	about.Made = about.Made.UTC().Truncate(time.Second)
	h := parcelHead{Parcel: Parcel{About: about, To: to.Fingerprint(), Signer: signer.Public().(ed25519.PublicKey)}}
	enc, sender, err := hpke.NewSender(to.public, hpke.HKDFSHA256(), hpke.AES256GCM(), h.info())
	if err != nil {
		return nil, fmt.Errorf("seal parcel: %w", err)
	}
	h.Encapsulated = enc
	shared, err := sender.Export(labelParcel, keyLen)
	if err != nil {
		return nil, fmt.Errorf("seal parcel: %w", err)
	}
	body, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	raw := append(binary.BigEndian.AppendUint32([]byte(parcelMagic), uint32(len(body))), body...)
	if _, err := w.Write(raw); err != nil {
		return nil, fmt.Errorf("seal parcel: %w", err)
	}
	k := parcelKey(shared, raw)
	p := &parcelWriter{stream: newStreamWriter(w, &k), sum: sha512.New(), signer: signer}
	p.sum.Write(raw)
	return p, nil
}

// parcelKey is the key of a stream behind this head and no other.
func parcelKey(shared, raw []byte) key {
	k := key(shared)
	sum := sha512.Sum512_256(raw)
	return k.derive(labelParcel + ":" + string(sum[:]))
}

func (p *parcelWriter) Write(b []byte) (int, error) {
	p.sum.Write(b)
	return p.stream.Write(b)
}

func (p *parcelWriter) Close() error {
	if _, err := p.stream.Write(ed25519.Sign(p.signer, toSign(p.sum))); err != nil {
		return err
	}
	return p.stream.Close()
}

func toSign(h hash.Hash) []byte { return h.Sum([]byte(signedAs)) }

// A ParcelReader gives back the content of a parcel.
type ParcelReader struct {
	Parcel
	raw    []byte
	h      parcelHead
	source io.Reader
}

// OpenParcel reads the head of a parcel, which nobody vouches for until the content
// is read. The error matches store.ErrForeign, ErrNewer or ErrDamaged.
func OpenParcel(r io.Reader) (*ParcelReader, error) {
	b := make([]byte, len(parcelMagic)+4)
	n, err := io.ReadFull(r, b)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, err
	case !bytes.HasPrefix(b[:n], []byte(parcelFamily)):
		return nil, fmt.Errorf("%w: not people from another box", store.ErrForeign)
	case err != nil:
		return nil, fmt.Errorf("%w: the file ends in its head", store.ErrDamaged)
	case string(b[:len(parcelMagic)]) != parcelMagic:
		return nil, fmt.Errorf("%w: a file of another version than 1", store.ErrNewer)
	}
	size := binary.BigEndian.Uint32(b[len(parcelMagic):])
	if size > maxHead {
		return nil, fmt.Errorf("%w: head of %d bytes", store.ErrDamaged, size)
	}
	p := &ParcelReader{raw: append(b, make([]byte, size)...), source: r}
	if _, err := io.ReadFull(r, p.raw[len(b):]); err != nil {
		return nil, fmt.Errorf("%w: the file ends in its head", store.ErrDamaged)
	}
	if err := json.Unmarshal(p.raw[len(b):], &p.h); err != nil {
		return nil, fmt.Errorf("%w: read head: %v", store.ErrDamaged, err)
	}
	if p.Parcel = p.h.Parcel; !p.Environment.Valid() || p.Device == "" || len(p.Signer) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: head makes no sense", store.ErrDamaged)
	}
	return p, nil
}

// Copy writes the content to w. Only when it returns without an error is all of it
// there, and signed by Signer. The error matches ErrRecipient where it is sealed to
// another key, ErrSignature, or store.ErrDamaged.
func (p *ParcelReader) Copy(w io.Writer, k *RecoveryKey) error {
	if k.Public().Fingerprint() != p.To {
		return fmt.Errorf("%w, %s; this one has %s", ErrRecipient, p.To, k.Public().Fingerprint())
	}
	recipient, err := hpke.NewRecipient(p.h.Encapsulated, k.private, hpke.HKDFSHA256(), hpke.AES256GCM(), p.info())
	if err != nil {
		return fmt.Errorf("%w: open parcel: %v", store.ErrDamaged, err)
	}
	shared, err := recipient.Export(labelParcel, keyLen)
	if err != nil {
		return err
	}
	secret := parcelKey(shared, p.raw)
	sum := sha512.New()
	sum.Write(p.raw)
	stream := newStreamReader(p.source, &secret)
	held := make([]byte, 0, 2*pieceLen) // the last bytes are no content
	piece := make([]byte, pieceLen)
	for {
		n, err := stream.Read(piece)
		held = append(held, piece[:n]...)
		if free := len(held) - ed25519.SignatureSize; free > 0 {
			sum.Write(held[:free])
			if _, err := w.Write(held[:free]); err != nil {
				return err
			}
			held = append(held[:0], held[free:]...)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if len(held) != ed25519.SignatureSize || !ed25519.Verify(p.Signer, toSign(sum), held) {
		return ErrSignature
	}
	return nil
}
