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

	// Joined and JoinedAt say, by epoch and number, after which event of the journal the
	// box joined: what was before is its own.
	Joined   uint64 `json:"joined,omitempty"`
	JoinedAt uint64 `json:"joinedAt,omitempty"`

	Merged Seen `json:"merged,omitzero"`

	Hold    bool `json:"hold,omitempty"`    // it may not match before it caught up
	Revoked bool `json:"revoked,omitempty"` // it may not match at all

	// Age is how old the data was at least when that was last noted, and AgeAt when, by
	// the wall clock of the box; zero where that could not be relied on. Stale says that
	// it is older than the policy of the merchant allows, see Stale.
	Age   time.Duration `json:"age,omitempty"`
	AgeAt time.Time     `json:"ageAt,omitzero"`
	Stale bool          `json:"stale,omitempty"`

	Spread time.Duration `json:"spread,omitempty"` // window in which all boxes of the central connect, as it said last

	Address     string    `json:"address,omitempty"`     // of the central, host:port
	Fingerprint []byte    `json:"fingerprint,omitempty"` // SHA-256 of the key in its certificate
	Bearer      string    `json:"bearer,omitempty"`      // the box's own key for the central
	Seed        []byte    `json:"seed,omitempty"`        // of the box's Ed25519 key
	Applied     time.Time `json:"applied,omitzero"`      // when the bookmark last moved
}

// Seen is how far a central has merged the journal of a box, as it said with a part
// of its feed: its acknowledgement may come later, or never.
type Seen struct {
	Central uint64 `json:"central"` // epoch of its store
	Journal uint64 `json:"journal"` // epoch of the box's
	Seq     uint64 `json:"seq"`
}

// and takes in what the central said later.
func (s Seen) and(later Seen) Seen {
	if s.Central == later.Central && s.Journal == later.Journal {
		later.Seq = max(later.Seq, s.Seq)
	}
	return later
}

// Since returns the last event of an epoch of the journal that is none of the
// central's business: it is of the time before the box joined.
func (l *Link) Since(epoch uint64) uint64 {
	if epoch != l.Joined {
		return 0
	}
	return l.JoinedAt
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
	head, err := Head(tx)
	if err != nil {
		return err
	}
	l.ID, l.Meta, l.Joined, l.JoinedAt = TheLink, Meta{}, tx.layout.info.Epoch, head
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
		for _, bucket := range []string{replicaBucket, deletedBucket, recordBucket(KindPending)} {
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
	if err != nil {
		return err
	}
	l, err := tx.linked()
	if err != nil {
		return err
	}
	had := acked
	if l != nil {
		seq = max(seq, l.Since(tx.layout.info.Epoch))
		if m := l.Merged; m.Journal == tx.layout.info.Epoch && m.Central != l.Epoch {
			had = max(had, m.Seq)
		}
	}
	if seq >= had {
		if seq == acked {
			return nil
		}
		return Ack(tx, Consumer, seq)
	}
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	return tx.whole(func() error {
		for e, err := range Envelopes(tx, seq+1, had) {
			if err == nil {
				err = tx.pendAgain(&e.Event)
			}
			if err != nil {
				return err
			}
		}
		if l != nil && had > acked {
			l.Merged = Seen{}
			if err := Put(tx, l); err != nil {
				return err
			}
		}
		return kv.Put(outboxBucket, []byte(Consumer), seqKey(seq))
	})
}

// PendArchived is for a Reached that follows in the transaction: it has changes that the
// central had go up once more whose events have left the store, in order.
func PendArchived(tx *Tx, events []Event) error {
	for i := range events {
		if err := tx.pendAgain(&events[i]); err != nil {
			return err
		}
	}
	return nil
}

// pendAgain has a change that the central had go up once more.
func (tx *Tx) pendAgain(e *Event) error {
	if e.Kind != EventChange || e.Change == nil || !fromBoxes(e.Change.Kind) || tx.checkErased(e.Person) != nil {
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
	there, err := tx.get(recordBucket(e.Change.Kind), []byte(e.Change.ID))
	if err != nil {
		return err
	}
	p.Again, p.Op, p.First, p.Seq = true, OpPut, min(p.First, e.Seq), max(p.Seq, e.Seq)
	if there == nil {
		deleted, err := tx.isDeleted(string(id))
		if err != nil || !deleted && e.Change.Op != OpDelete { // it left the scope
			return err
		}
		p.Op = OpDelete // whatever the event says
	}
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

// pendAnew is for a journal that begins anew: what the box has changed and the
// central has not goes up with the first events of the new epoch, as those that it
// would have gone up with are not in the journal any more.
//
// Erasures that the central has not heard of go up as well.
func (l *Layout) pendAnew(kv KV, unheard []PersonID) error {
	var ids []PendingID
	err := kv.Scan(recordBucket(KindPending), Range{}, func(k, _ []byte) (bool, error) {
		ids = append(ids, PendingID(k))
		return true, nil
	})
	if err != nil || len(ids)+len(unheard) == 0 {
		return err
	}
	tx, err := l.Write(kv, Cause{Actor: Replayer})
	if err != nil {
		return err
	}
	link, err := tx.linked()
	if err != nil || link == nil {
		return err
	}
	for _, id := range ids {
		if err := tx.pendAnew(link, id); err != nil {
			return fmt.Errorf("have changes go up again: %w", err)
		}
	}
	for _, p := range unheard {
		e := Event{Kind: EventErasure, Merchant: link.Merchant, Person: p, Action: "again", Outcome: OutcomeDone}
		if _, err := Append(tx, e, nil); err != nil {
			return err
		}
	}
	_, err = tx.Finish()
	return err
}

// unheard returns the people whose erasure the central has not heard of.
func (l *Layout) unheard(kv KV) (people []PersonID, err error) {
	tx := l.Read(kv)
	if link, err := tx.linked(); err != nil || link == nil {
		return nil, err
	}
	acked, err := Acked(tx, Consumer)
	if err != nil {
		return nil, err
	}
	err = tx.scanEvents(Range{From: seqKey(acked + 1)}, func(e Envelope) (bool, error) {
		if e.Kind == EventErasure && e.Person != "" {
			people = append(people, e.Person)
		}
		return true, nil
	})
	return people, err
}

func (tx *Tx) pendAnew(l *Link, id PendingID) error {
	p, err := Get[Pending](tx, id)
	if err != nil {
		return err
	}
	if tx.checkErased(p.Person) != nil { // it went with him, at the central as well
		return tx.dropPending(string(id))
	}
	c := Change{Op: p.Op}
	if c.Kind, c.ID = splitKey(string(id)); p.New {
		c.Rev = 1 // as that of the event by which it was made: pendAgain goes by it
	}
	e, err := Append(tx, Event{Kind: EventChange, Merchant: l.Merchant, Person: p.Person, Action: "again", Change: &c}, nil)
	if err != nil {
		return err
	}
	p.First, p.Seq = e.Seq, e.Seq
	return Put(tx, &p)
}

// Stale says whether what the store has of its central is too old for decisions. A
// store that has no central is never.
func Stale(tx *Tx) (bool, error) {
	l, err := tx.linked()
	return l != nil && l.Stale, err
}

// linked returns the link of the box, or nil.
func (tx *Tx) linked() (*Link, error) {
	if tx.linkRead {
		return tx.link, nil
	}
	there, err := tx.get(recordBucket(KindLink), []byte(TheLink))
	if err != nil {
		return nil, err
	}
	if there != nil {
		l, err := Get[Link](tx, TheLink)
		if err != nil {
			return nil, err
		}
		tx.link = &l
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
