// Package store holds the domain types and the rules of keeping them: typed
// records with ids, revisions and indexes, a journal of events, and transactions
// in which a change and its event cannot be parted.
//
// # Use
//
// A backend such as store/bolt opens a Store. Everything happens in transactions,
// through the typed functions Get, Find, List, All, Count, Put and Delete:
//
//	err := s.Update(ctx, store.Cause{Actor: actor, Request: id}, func(tx *store.Tx) error {
//		p, err := store.Get[store.Person](tx, id)
//		if err != nil {
//			return err
//		}
//		p.Phone = phone
//		return store.Put(tx, &p)
//	})
//
// An Update happens whole or not at all, and is durable when it returns nil.
// Every Put and Delete in it appends a change event to the journal, in the same
// transaction; Append adds events of other kinds. The journal is the outbox too:
// each consumer (the central, a web hook) reads it from its own last
// acknowledged entry on (Outbox, Ack), so that an entry can neither be missing
// nor cost a second write, and a box without a central gathers no backlog.
//
// Put checks the revision: a record that somebody else changed since it was read
// is refused with ErrStale, and a new record (revision 0) never replaces another.
//
// # Data at rest
//
// A backend is an ordered map of bytes (KV). The package fixes what lies in it:
//
//	meta            schema version, environment, device id and epoch, head of the journal and its tree,
//	                whether a face was ever erased apart from its person
//	record.KIND     id → value
//	index.NAME      terms, then id → id; in a unique index the terms alone
//	personal        sequence number → nonce and personal part of an event
//	outbox          consumer → last acknowledged sequence number
//	erased          tag of a person → sequence number of the erasure
//	scope           merchant, site → last revision and floor of the site's feed
//	feed            site, revision → what happened to which record
//	feed.record     site, kind, id → revision that changed the record last
//	replica         kind, id → revision that the record is at, on a box
//	personal.foreign  device, epoch, seq → as personal, of the events of other boxes
//
// A value is one byte of format, the length of a JSON header (uvarint), the
// header, and for crops, images and templates the raw bytes after it: encoded
// images as they came, vectors as little-endian float32. Events are records of
// kind event, with the sequence number (8 bytes, big-endian) as id.
//
// Values pass a Sealer on their way, and terms that would tell something about a
// person are hashed by it. The one of store/seal encrypts; Clear, the only one
// here, keeps values as they are.
//
// # Boxes and the central
//
// A site is a scope: its records travel to its boxes. At the central, each change
// of such a record takes the next revision of each scope it belongs to, in its
// transaction (Share, Feed, FeedRange). A box that joined (Join) applies them with its
// bookmark in one transaction (ApplyFeed, ApplyRange); what it changes itself goes up
// with its journal (Outgoing, Ingest) as an Edit, and is merged field by field at the
// central alone, from where all boxes have the outcome.
//
// # What it does not do
//
// It checks no permissions, knows no network and makes no decisions. It does not
// check that an id points at an existing record.
package store

import (
	"context"
	"time"
)

// Store keeps the records of one environment. It is safe for concurrent use.
type Store interface {
	// View runs fn over a snapshot that no Update changes meanwhile. A View does
	// not wait for Updates nor they for it.
	View(ctx context.Context, fn func(*Tx) error) error

	// Update runs fn in a transaction. When fn returns nil and the commit
	// succeeds, everything fn did is durable and visible; otherwise nothing of it
	// is. Updates run one after another, each seeing all before it, and are made
	// durable in groups; fn must be short, and must not call Update itself. It may run
	// on another goroutine; where it panics or exits, so does Update.
	//
	// A context that ends while the Update waits for its turn withdraws it. Once
	// it has run, Update waits for the commit whatever the context says, so that
	// its answer is true. After an error of the commit itself (ErrCommit) it is
	// unknown whether the change will be found when the store is opened again.
	Update(ctx context.Context, cause Cause, fn func(*Tx) error) error

	// Watch has fn called after each Update that changed something, in the order of
	// the journal, before that Update returns. fn must be quick, may call View,
	// and must not call Update. The returned function ends it.
	Watch(fn func(Commit)) (stop func())

	// Info says which store this is.
	Info() Info

	// Close waits for the Updates that are under way and refuses later ones with
	// ErrClosed. Closing twice does nothing.
	Close() error
}

// Info names a store.
type Info struct {
	Environment Environment `json:"environment"`
	Device      DeviceID    `json:"device"` // whose journal it holds
	Epoch       uint64      `json:"epoch"`  // begins anew with each restored backup
	Schema      int         `json:"schema"` // version of the data at rest
}

// Commit is what one Update brought.
type Commit struct {
	Events  []Event   // as they stand in the journal; shared, not to be changed
	Changes []Changed // of records, those included that came from the central and are no events here
}

// Changed says that a record is another than before.
type Changed struct {
	Merchant MerchantID
	Change
}

// Cause says who wants a change and why; it goes into every event of an Update.
type Cause struct {
	Actor   Actor  // required
	Request string // id of the request, if there was one
	// Essential says that the change may use the space that is reserved for when
	// the disk is full: decisions, and whatever removes something.
	Essential bool
}

// ActorKind is the sort of an actor.
type ActorKind string

const (
	ActorSystem  ActorKind = "system"  // the box by itself; ID names the part
	ActorCLI     ActorKind = "cli"     // somebody on the box; ID is the user id
	ActorAccount ActorKind = "account" // ID is an AccountID
	ActorKey     ActorKind = "key"     // ID is a KeyID
	ActorPerson  ActorKind = "person"  // ID is a PersonID: somebody at a door
	ActorDevice  ActorKind = "device"  // ID is a DeviceID: another box or the central
)

// Actor is somebody who acts, by id only.
type Actor struct {
	Kind ActorKind `json:"kind"`
	ID   string    `json:"id,omitempty"`
}

// Meta is common to all records. Put keeps it; others only read it.
type Meta struct {
	Rev     uint64    `json:"rev"` // counts the changes of the record from 1; 0 before the first Put
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

func (m *Meta) meta() *Meta { return m }
