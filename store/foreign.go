package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ForeignID names an event of a box at the central, see NewForeignID.
type ForeignID string

// NewForeignID names an event of a box: DEVICE/EPOCH/SEQ, the numbers in hex digits.
func NewForeignID(d DeviceID, epoch, seq uint64) ForeignID {
	return ForeignID(fmt.Sprintf("%s/%08x/%012x", d, epoch, seq))
}

// Foreign is an event of a box, as the central keeps it: never changed, and no event
// of the central's journal. Its Merchant is the box's own; Owner is the central's.
type Foreign struct {
	Event
	Raw     []byte     `json:"-"` // the JSON that it was appended as, its leaf in the box's tree; of ForeignEvent alone
	Owner   MerchantID `json:"-"`
	Receipt []byte     `json:"-"` // of an erasure: the box's signature
}

func (f *Foreign) kind() Kind  { return KindForeign }
func (f *Foreign) meta() *Meta { return &Meta{} }
func (f *Foreign) spec() spec {
	es := []entry{ForeignByMerchant.entry(Plain(f.Owner), Plain(f.Event.Kind), Moment(f.Time))}
	if f.Person != "" {
		es = append(es, ForeignByPerson.entry(Plain(f.Person), Moment(f.Time)))
	}
	return spec{merchant: f.Owner, entries: es, silent: true}
}
func (f *Foreign) blob() []byte { return append(append([]byte(f.Owner), 0), f.Receipt...) }
func (f *Foreign) setBlob(b []byte) error {
	owner, receipt, ok := bytes.Cut(b, []byte{0})
	if !ok {
		return errors.New("event of a box without an owner")
	}
	f.Owner, f.Receipt = MerchantID(owner), receipt
	return nil
}

// foreignPersonalBucket has the personal parts of foreign events: ForeignID → nonce
// and JSON.
const foreignPersonalBucket = "personal.foreign"

// Box is where the central stands with a box. Its changes are no events.
type Box struct {
	Meta
	ID       DeviceID   `json:"id"`
	Merchant MerchantID `json:"merchant"`

	Epoch uint64 `json:"epoch"` // of the box's journal
	Head  uint64 `json:"head"`  // last event of the epoch that is held
	Leaf  Hash   `json:"leaf"`  // its hash
	// Tree is that of the epoch's events, as far as they came from the first on; nil
	// where the beginning is missing.
	Tree []byte `json:"tree,omitempty"`
	// Missing counts events that were gone on the box when their turn came.
	Missing uint64 `json:"missing,omitempty"`

	Applied uint64    `json:"applied"`       // revision of its scope that it holds
	Seen    time.Time `json:"seen,omitzero"` // when it last sent or acknowledged something

	Anchor Anchor `json:"anchor,omitzero"`
}

// Anchor is the newest checkpoint of a box's journal that the central has held against
// its events.
type Anchor struct {
	Epoch uint64    `json:"epoch"`
	Size  uint64    `json:"size"` // events that it is over
	Root  Hash      `json:"root"`
	Note  string    `json:"note"` // as it was signed
	Tree  []byte    `json:"tree"` // see Tree
	At    time.Time `json:"at"`   // when it came
	// Fault is what was wrong with the last one that came, and did not take its place;
	// empty: nothing.
	Fault string `json:"fault,omitempty"`
}

func (b *Box) key() DeviceID { return b.ID }
func (b *Box) kind() Kind    { return KindBox }
func (b *Box) spec() spec    { return spec{merchant: b.Merchant, owned: true, silent: true} }

// ForeignCursor is where a listing of ForeignByMerchant by kind, or of ForeignByPerson,
// goes on behind an event.
func ForeignCursor(f *Foreign) Cursor {
	at := append(bytes.Clone(Moment(f.Time).b), NewForeignID(f.Device, f.Epoch, f.Seq)...)
	return Cursor(base64.RawURLEncoding.EncodeToString(at))
}

// TrimForeign removes events of a box from before a time, the oldest first, at most so
// many, and returns how many they were. It stops at the first that is younger. Where
// the central stands with the box stays as it is.
func TrimForeign(tx *Tx, d DeviceID, before time.Time, limit int) (n int, err error) {
	kv, err := tx.writable()
	if err != nil {
		return 0, err
	}
	old, err := oldForeign(tx, d, before, limit)
	if err != nil {
		return 0, err
	}
	return len(old), tx.whole(func() error {
		for i := range old {
			f := &old[i]
			id := []byte(NewForeignID(f.Device, f.Epoch, f.Seq))
			if err := kv.Delete(recordBucket(KindForeign), id); err != nil {
				return err
			}
			if err := kv.Delete(foreignPersonalBucket, id); err != nil {
				return err
			}
			if err := tx.reindex(string(id), f.spec().entries, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// HasForeign says whether TrimForeign would remove anything.
func HasForeign(tx *Tx, d DeviceID, before time.Time) (bool, error) {
	old, err := oldForeign(tx, d, before, 1)
	return len(old) > 0, err
}

func oldForeign(tx *Tx, d DeviceID, before time.Time, limit int) (old []Foreign, err error) {
	prefix := []byte(d + "/")
	err = tx.scan(recordBucket(KindForeign), Range{From: prefix, To: after(prefix)}, func(k, _ []byte) (bool, error) {
		f, err := ForeignEvent(tx, ForeignID(k))
		if err != nil {
			return false, err
		}
		if len(old) == limit || !f.Time.Before(before) {
			return false, nil
		}
		old = append(old, f)
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for old events of %s: %w", d, err)
	}
	return old, nil
}

// ForeignEvent returns an event of a box with its Raw, or ErrNotFound.
func ForeignEvent(tx *Tx, id ForeignID) (f Foreign, err error) {
	plain, err := tx.loadRaw(KindForeign, string(id))
	if err != nil {
		return f, err
	}
	if err := decode(plain, &f); err != nil {
		return f, err
	}
	raw, _, err := split(plain)
	f.Raw = bytes.Clone(raw)
	return f, err
}

// ForeignPersonal reads the personal part of an event of a box into v, as Personal
// does of the store's own.
func ForeignPersonal(tx *Tx, f *Foreign, v any) error {
	at := Place{Bucket: foreignPersonalBucket, Key: []byte(NewForeignID(f.Device, f.Epoch, f.Seq))}
	sealed, err := tx.get(at.Bucket, at.Key)
	if err == nil && sealed == nil {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("get personal part: %w", err)
	}
	plain, err := tx.layout.sealer.Open(at, sealed)
	if err != nil {
		return fmt.Errorf("open personal part: %w", err)
	}
	if !fits(plain, f.Personal) {
		return fmt.Errorf("%w: personal part does not fit event %d of %s", ErrDamaged, f.Seq, f.Device)
	}
	return json.Unmarshal(plain[nonceLen:], v)
}

// fits says whether a personal part is the one that an event has the digest of.
func fits(plain, digest []byte) bool {
	sum := sha256.Sum256(plain)
	return len(plain) >= nonceLen && string(sum[:]) == string(digest)
}

// saveForeign keeps an event of a box, of which Raw has everything and Event what it is
// found by.
func (tx *Tx) saveForeign(f *Foreign, personal []byte) error {
	id := string(NewForeignID(f.Device, f.Epoch, f.Seq))
	if err := tx.save(Place{Bucket: recordBucket(KindForeign), Key: []byte(id)}, join(f.Raw, f.blob())); err != nil {
		return err
	}
	if err := tx.reindex(id, nil, f.spec().entries); err != nil {
		return err
	}
	if personal == nil || tx.checkErased(f.Person) != nil {
		return nil
	}
	return tx.save(Place{foreignPersonalBucket, []byte(id), f.Person}, personal)
}
