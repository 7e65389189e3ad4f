package store

import (
	"errors"
	"fmt"
	"time"
)

// LinkID names the one link of a box: TheLink.
type LinkID string

// TheLink is the id of the link of a box.
const TheLink LinkID = "central"

// Link says what central a box has joined, and how far it has its scope. Its
// changes are no events; joining and leaving are.
type Link struct {
	Meta
	ID       LinkID     `json:"id"`
	Merchant MerchantID `json:"merchant"` // of the box: what is the central's of this merchant becomes his
	Site     SiteID     `json:"site"`     // at the central: the scope
	Central  DeviceID   `json:"central"`  // whose feed the bookmark is of
	Epoch    uint64     `json:"epoch"`    // of the central's store; 0 before the first contact

	// At is the bookmark: all of the feed up to it has been applied. Snapshot is the
	// revision of a snapshot under way, and Cursor the key up to which it was
	// applied; 0: none is under way.
	At       uint64 `json:"at"`
	Snapshot uint64 `json:"snapshot,omitempty"`
	Cursor   string `json:"cursor,omitempty"`

	Hold    bool `json:"hold,omitempty"`    // it may not match before it caught up
	Revoked bool `json:"revoked,omitempty"` // it may not match at all

	Address     string    `json:"address,omitempty"`     // of the central, host:port
	Fingerprint []byte    `json:"fingerprint,omitempty"` // SHA-256 of the key in its certificate
	Bearer      string    `json:"bearer,omitempty"`      // the box's own key for the central
	Seed        []byte    `json:"seed,omitempty"`        // of the box's Ed25519 key
	Applied     time.Time `json:"applied,omitzero"`      // when the bookmark last moved
}

func (l *Link) key() LinkID { return l.ID }
func (l *Link) kind() Kind  { return KindLink }
func (l *Link) spec() spec  { return spec{merchant: l.Merchant, owned: true, silent: true} }

// Consumer is who reads a box's journal for the central.
const Consumer = "central"

// Join makes a store that of a box of a central: from now on what comes after the
// present end of its journal waits for the central (Consumer). What it holds
// already stays its own until Adopt.
func Join(tx *Tx, l Link) error {
	l.ID, l.Meta = TheLink, Meta{}
	if err := Put(tx, &l); err != nil {
		return err
	}
	tx.linkRead, tx.link = false, nil
	e, err := Append(tx, Event{Kind: EventSystem, Merchant: l.Merchant, Site: l.Site, Action: "join", Outcome: OutcomeDone}, nil)
	if err != nil {
		return err
	}
	return tx.kv.Put(outboxBucket, []byte(Consumer), seqKey(e.Seq-1))
}

// Meet notes whose feed the box is to follow. Where that is another central than
// before, or it was restored since, the bookmark is void; what came from it stays
// until a snapshot takes its place.
func Meet(tx *Tx, central DeviceID, epoch uint64) error {
	l, err := Get[Link](tx, TheLink)
	if err != nil || l.Central == central && l.Epoch == epoch {
		return err
	}
	l.Central, l.Epoch, l.At, l.Snapshot, l.Cursor = central, epoch, 0, 0, ""
	tx.linkRead, tx.link = false, nil
	return Put(tx, &l)
}

// Leave undoes Join: nothing waits for the central any more, and what came from it
// belongs to the box.
func Leave(tx *Tx) error {
	l, err := Get[Link](tx, TheLink)
	if err != nil {
		return err
	}
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	return tx.whole(func() error {
		if err := Delete[Link](tx, TheLink); err != nil {
			return err
		}
		tx.link = nil // and stays read
		for _, bucket := range []string{replicaBucket, recordBucket(KindPending)} {
			if err := drop(kv, bucket, func(_, _ []byte) bool { return true }); err != nil {
				return err
			}
		}
		if err := kv.Delete(outboxBucket, []byte(Consumer)); err != nil {
			return err
		}
		_, err := Append(tx, Event{Kind: EventSystem, Merchant: l.Merchant, Site: l.Site, Action: "leave", Outcome: OutcomeDone}, nil)
		return err
	})
}

// Reached notes that the central holds the journal up to an event. That may be less
// than before, where the central was restored: what the box has changed since goes
// up again, and stands above the older state there.
func Reached(tx *Tx, seq uint64) error {
	acked, err := Acked(tx, Consumer)
	if err != nil || seq == acked {
		return err
	}
	if seq > acked {
		return Ack(tx, Consumer, seq)
	}
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	return tx.whole(func() error {
		for e, err := range Envelopes(tx, seq+1, acked) {
			if err == nil {
				err = tx.pendAgain(&e.Event)
			}
			if err != nil {
				return err
			}
		}
		return kv.Put(outboxBucket, []byte(Consumer), seqKey(seq))
	})
}

// pendAgain has a change that the central had go up once more.
func (tx *Tx) pendAgain(e *Event) error {
	if e.Kind != EventChange || e.Change == nil || !fromBoxes(e.Change.Kind) {
		return nil
	}
	id := PendingID(RecordKey(e.Change.Kind, e.Change.ID))
	p, err := Get[Pending](tx, id)
	if isNotFound(err) {
		p, err = Pending{ID: id, Person: e.Person, First: e.Seq}, nil
	}
	if err != nil || p.First < e.Seq && !p.Again { // it is under way anyhow
		return err
	}
	p.Again, p.Op, p.Seq = true, e.Change.Op, max(p.Seq, e.Seq)
	p.New = p.New || e.Change.Rev == 1 || e.Action == "adopt"
	for _, name := range e.Change.Fields {
		if p.field(name) == nil {
			p.Fields = append(p.Fields, EditField{Name: name})
		}
	}
	if err := Put(tx, &p); errors.Is(err, ErrErased) {
		return nil
	} else if err != nil {
		return err
	}
	return nil
}

// linked returns the link of the box, or nil.
func (tx *Tx) linked() (*Link, error) {
	if tx.linkRead {
		return tx.link, nil
	}
	l, err := Get[Link](tx, TheLink)
	switch {
	case err == nil:
		tx.link = &l
	case !isNotFound(err):
		return nil, err
	}
	tx.linkRead = true
	return tx.link, nil
}

// saveLink keeps a bookmark that has moved.
func (tx *Tx) saveLink(l *Link) error {
	l.Applied = tx.now
	if err := Put(tx, l); err != nil {
		return fmt.Errorf("keep bookmark: %w", err)
	}
	return nil
}
