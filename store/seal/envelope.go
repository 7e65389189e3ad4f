package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/cypherface/edge/store"
)

// An Envelope is what a backup leaves the box in: a head that anybody may read, and
// behind it a stream that only the recovery key opens, or the master key of the
// box where there is none.
//
// With a recovery key, the secret of an envelope comes from HPKE (RFC 9180, base
// mode, exported) and from the author's secret that only the key's holder and boxes
// that were given it know: nobody else can make an envelope that opens. The head is
// bound into all keys that are derived of it.
type Envelope struct {
	About
	head   envelopeHead
	raw    []byte // the head as it is written
	secret key    // zero until it is open
}

// About says whose backup it is.
type About struct {
	Environment store.Environment `json:"environment"`
	Device      store.DeviceID    `json:"device"`
	Epoch       uint64            `json:"epoch"`
	Made        time.Time         `json:"made"`
}

type envelopeHead struct {
	About
	// Sealed to a recovery key: its fingerprint, and what it decapsulates.
	Recovery     string `json:"recovery,omitempty"`
	Encapsulated []byte `json:"encapsulated,omitempty"`
	// Or to a master key: the head of its keyring, and a number used once.
	Master *header `json:"master,omitempty"`
	Salt   []byte  `json:"salt,omitempty"`
}

const (
	envelopeFamily = "cypherface backup "
	envelopeMagic  = envelopeFamily + "1\n"
	maxHead        = 16 << 10
	saltOfEnvelope = 32
)

// HasRecovery says whether p is the recovery key that the keyring was told of. The
// error matches ErrRecovery.
func (r *Ring) HasRecovery(p *Recovery) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.recovery == nil || r.recovery.tag != p.tag() {
		return fmt.Errorf("%w: the keyring was not told of the recovery key %s that lies in the data folder (cypherface key recovery new --replace makes one that it knows)", ErrRecovery, p.Fingerprint())
	}
	return nil
}

// Envelope makes an envelope for a recovery key, which the keyring must know, or,
// where to is nil, for the present master key.
func (r *Ring) Envelope(about About, to *Recovery) (*Envelope, error) {
	about.Made = about.Made.UTC().Truncate(time.Second)
	e := &Envelope{About: about, head: envelopeHead{About: about}}
	var shared key
	if to != nil {
		if err := r.HasRecovery(to); err != nil {
			return nil, err
		}
		enc, sender, err := hpke.NewSender(to.public, hpke.HKDFSHA256(), hpke.AES256GCM(), about.info())
		if err != nil {
			return nil, fmt.Errorf("seal to recovery key: %w", err)
		}
		b, err := sender.Export(labelEnvelope, keyLen)
		if err != nil {
			return nil, fmt.Errorf("seal to recovery key: %w", err)
		}
		e.head.Recovery, e.head.Encapsulated = to.Fingerprint(), enc
		r.mu.RLock()
		shared = mix(b, &r.recovery.author)
		r.mu.RUnlock()
	} else {
		r.writing.Lock()
		h, wrapping := r.header, r.wrapping
		r.writing.Unlock()
		salt := newKey()
		e.head.Master, e.head.Salt = &h, salt[:]
		shared = mix(salt[:], &wrapping)
	}
	body, err := json.Marshal(e.head)
	if err != nil {
		return nil, err
	}
	e.raw = append(binary.BigEndian.AppendUint32([]byte(envelopeMagic), uint32(len(body))), body...)
	e.bind(&shared)
	return e, nil
}

// info is what HPKE binds the key to.
func (a *About) info() []byte {
	return fmt.Appendf(nil, "%s%q %q %d %s", envelopeMagic, a.Environment, a.Device, a.Epoch, a.Made.Format(time.RFC3339))
}

// mix makes a key of a secret of the two ends and something of this envelope.
func mix(of []byte, secret *key) key {
	b, err := hkdf.Extract(sha256.New, of, secret[:])
	if err != nil {
		panic(err) // only for keys that FIPS 140 mode finds too short
	}
	return key(b)
}

// bind makes the secret of this head and no other.
func (e *Envelope) bind(shared *key) {
	sum := sha256.Sum256(e.raw)
	e.secret = shared.derive(labelEnvelope + ":" + string(sum[:]))
}

// ReadEnvelope reads the head of a backup, which nobody vouches for until Open.
// The error matches store.ErrForeign, ErrNewer or ErrDamaged.
func ReadEnvelope(r io.Reader) (*Envelope, error) {
	b := make([]byte, len(envelopeMagic)+4)
	n, err := io.ReadFull(r, b)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, err
	case !bytes.HasPrefix(b[:n], []byte(envelopeFamily)):
		return nil, fmt.Errorf("%w: not a backup", store.ErrForeign)
	case err != nil:
		return nil, fmt.Errorf("%w: the backup ends in its head", store.ErrDamaged)
	case string(b[:len(envelopeMagic)]) != envelopeMagic:
		return nil, fmt.Errorf("%w: a backup of another version than 1", store.ErrNewer)
	}
	size := binary.BigEndian.Uint32(b[len(envelopeMagic):])
	if size > maxHead {
		return nil, fmt.Errorf("%w: head of backup of %d bytes", store.ErrDamaged, size)
	}
	e := &Envelope{raw: append(b, make([]byte, size)...)}
	if _, err := io.ReadFull(r, e.raw[len(b):]); err != nil {
		return nil, fmt.Errorf("%w: the backup ends in its head", store.ErrDamaged)
	}
	if err := json.Unmarshal(e.raw[len(b):], &e.head); err != nil {
		return nil, fmt.Errorf("%w: read head of backup: %v", store.ErrDamaged, err)
	}
	e.About = e.head.About
	if err := e.head.check(); err != nil {
		return nil, err
	}
	return e, nil
}

func (h *envelopeHead) check() error {
	m := h.Master
	switch {
	case !h.Environment.Valid(), h.Device == "", (h.Recovery == "") == (m == nil),
		m != nil && (len(h.Salt) != saltOfEnvelope || !isID(m.Master) || m.KDF != nil && !m.KDF.valid()):
		return fmt.Errorf("%w: head of backup makes no sense", store.ErrDamaged)
	}
	return nil
}

// Recovery is the fingerprint of the recovery key that opens the envelope; empty:
// a master key does.
func (e *Envelope) Recovery() string { return e.head.Recovery }

// Open opens the envelope with its recovery key, or with its master key. The error
// matches ErrRecovery or ErrMaster where another one is wanted.
func (e *Envelope) Open(k *RecoveryKey, m *Master) error {
	shared, err := key{}, error(nil)
	switch {
	case e.head.Master != nil && m == nil:
		err = fmt.Errorf("%w: the backup is sealed to a master key", ErrMaster)
	case e.head.Master != nil:
		var k key
		if k, err = m.find(e.head.Master); err == nil {
			wrapping := k.extract(labelWrap)
			shared = mix(e.head.Salt, &wrapping)
		}
	case k == nil:
		err = fmt.Errorf("%w: the backup is sealed to the recovery key %s", ErrRecovery, e.head.Recovery)
	case k.Public().Fingerprint() != e.head.Recovery:
		err = fmt.Errorf("%w: the backup is sealed to %s, and this is %s", ErrRecovery, e.head.Recovery, k.Public().Fingerprint())
	default:
		shared, err = k.open(&e.head)
	}
	if err == nil {
		e.bind(&shared)
	}
	return err
}

func (k *RecoveryKey) open(h *envelopeHead) (key, error) {
	recipient, err := hpke.NewRecipient(h.Encapsulated, k.private, hpke.HKDFSHA256(), hpke.AES256GCM(), h.info())
	if err != nil {
		return key{}, fmt.Errorf("%w: open with recovery key: %v", store.ErrDamaged, err)
	}
	b, err := recipient.Export(labelEnvelope, keyLen)
	author := k.author()
	return mix(b, &author), err
}

// Head is what a backup begins with; Writer writes what follows.
func (e *Envelope) Head() []byte { return e.raw }

// Size is the length of a backup whose stream has n bytes.
func (e *Envelope) Size(n int64) int64 { return int64(len(e.raw)) + streamLen(n) }

// Writer seals a stream into w. Its Close writes the end, and does not close w.
func (e *Envelope) Writer(w io.Writer) io.WriteCloser {
	k := e.secret.derive("stream")
	return newStreamWriter(w, &k)
}

// Reader opens the stream behind the head. It ends with io.EOF only where all of
// it was read and is right; else the error matches store.ErrDamaged, also where
// the envelope was not made by a box that knows the recovery key.
func (e *Envelope) Reader(r io.Reader) io.Reader {
	k := e.secret.derive("stream")
	return newStreamReader(r, &k)
}

// Keyring returns the keyring as it is, as a file that only this envelope opens.
func (e *Envelope) Keyring(r *Ring) ([]byte, error) {
	wrapping, file := e.secret.derive("keyring"), newKey()
	slots, _ := r.all()
	b, err := formatHead(header{Source: enveloped, Master: wrapping.id()}, &wrapping, &file, slots)
	if err != nil {
		return nil, err
	}
	return appendSlots(b, &file, 0, slots), nil
}

// enveloped is the source of a keyring in a backup.
const enveloped Source = "backup"

// Restore makes a keyring of what Keyring returned, wrapped with m from now on. It
// is in memory only: Recall forgets whom it should not have any more, Sync writes
// it to path. It keeps no erasure log; who opens it at its place goes on with that
// there.
func (e *Envelope) Restore(b []byte, path string, m *Master) (*Ring, error) {
	r := emptyRing(path, m, Options{})
	r.log = ""
	if err := r.take(e, b); err != nil {
		return nil, fmt.Errorf("restore keyring: %w", err)
	}
	return r, nil
}

func (r *Ring) take(e *Envelope, b []byte) (err error) {
	h, err := parseHeader(b)
	if err != nil {
		return err
	}
	c := &content{header: h, wrapping: e.secret.derive("keyring")}
	var ok bool
	if c.file, ok = unwrap(b[:headLen], &c.wrapping); !ok {
		return errHead
	}
	if c.slots, err = parseSlots(b[headLen:], &c.file, h.Slots); err != nil {
		return err
	}
	if len(b) != headLen+h.Slots*slotLen {
		return fmt.Errorf("%w: keyring of %d bytes", store.ErrDamaged, len(b))
	}
	if err := r.adopt(c); err != nil {
		return err
	}
	r.blind = r.generalKey.derive(labelBlind)
	r.header, r.wrapping, err = r.master.wrap()
	r.slots, r.stale = 0, true
	return err
}

// At returns the same keyring as one for another path, in memory only until Sync
// writes it there. It keeps no erasure log.
func (r *Ring) At(path string) *Ring {
	c := emptyRing(path, r.master, Options{})
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.RLock()
	defer r.mu.RUnlock()
	c.log, c.disk = "", r.disk
	c.general, c.generalKey, c.blind = r.general, r.generalKey, r.blind
	c.header, c.wrapping, c.recovery = r.header, r.wrapping, r.recovery
	c.keys, c.people, c.gone = maps.Clone(r.keys), maps.Clone(r.people), maps.Clone(r.gone)
	c.stale = true
	return c
}

// Join adds the keys that another opening of the same keyring has beside its own,
// of people who came later than it, and its erasures; it says whether it is the
// same keyring.
func (r *Ring) Join(other *Ring) bool {
	if r.general != other.general || r.generalKey != other.generalKey {
		return false
	}
	other.mu.RLock()
	defer other.mu.RUnlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := make(map[store.PersonTag]bool, len(r.gone))
	for _, tag := range r.gone {
		gone[tag] = true
	}
	for _, tag := range other.gone {
		if !gone[tag] {
			r.lose(tag)
			gone[tag] = true
		}
	}
	for tag, id := range other.people {
		if _, ok := r.people[tag]; !ok && !gone[tag] {
			r.people[tag], r.keys[id] = id, other.keys[id]
			r.stale = true
		}
	}
	if other.recovery != nil {
		r.recovery = other.recovery
	}
	return true
}
