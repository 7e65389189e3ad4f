package hub

import (
	"time"

	"github.com/cypherface/edge/sync/wire"
)

// Conn numbers a connection.
type Conn uint64

// Input is something that happened.
type Input interface{ input() }

// Tick says that the time of Wake has come.
type Tick struct{}

// Opened is a new connection. Its key was found to be that of Device, which may be
// revoked: it is let in this far, so that it can be told.
type Opened struct {
	Conn   Conn
	Device string
}

// Received is a message from a connection.
type Received struct {
	Conn    Conn
	Message wire.Message
}

// Closed says that a connection ended. It answers Close too.
type Closed struct{ Conn Conn }

// Admitted answers Admit.
type Admitted struct {
	Conn Conn
	Err  error // the store failed

	Known   bool   // there is such a device
	Revoked bool   // and it may not come in any more
	Flagged bool   // and it was flagged: an operator has to look first
	Reason  string // why, for the box's operator

	Central     string
	Fingerprint wire.Hash
	Epoch       uint64 // of the central's store
	Head        uint64 // last event of the device's journal, in the epoch of its Hello
	Hold        bool   // it was away for longer than erasures are kept waiting
	Scopes      []Scope
	Clock       time.Time
}

// Scope is where the feed of a scope stands.
type Scope struct {
	Scope  string
	Oldest uint64 // first revision that the feed still has; a bookmark before Oldest-1 needs a snapshot
	Head   uint64 // last revision
}

// Ingested answers Ingest.
type Ingested struct {
	Conn    Conn
	Err     error // nothing was kept; it is tried again on a new connection
	Forked  bool  // the journal parted ways with what is here
	Through uint64
	Results []wire.Result
}

// FeedRead answers ReadFeed. Feed may have no changes where there are none.
type FeedRead struct {
	Conn   Conn
	Err    error
	Feed   *wire.Feed
	Behind bool // the feed does not reach back that far any more: a snapshot is needed
}

// SnapshotRead answers ReadSnapshot.
type SnapshotRead struct {
	Conn     Conn
	Err      error
	Snapshot *wire.Snapshot
	Behind   bool // the feed does not reach back to its revision any more: begin anew
}

// Confirmed answers Confirm.
type Confirmed struct {
	Conn Conn
	Err  error
}

// Flagged answers Flag, be it that the store failed: then a clone is noticed anew.
type Flagged struct{ Device string }

// Advanced says that a scope has revisions up to Head. Some may be passed over.
type Advanced struct {
	Scope string
	Head  uint64
}

// Reassigned says that a device's scopes, or what is known of it, were changed: it
// is admitted anew when it comes back.
type Reassigned struct{ Device string }

// Revoked says that a device was revoked.
type Revoked struct {
	Device string
	Reason string
}

// Fleet says how many boxes there are, connected or not. The windows in which they
// are asked to come back grow with it.
type Fleet struct{ Boxes int }

// Drain says that the central goes down: boxes are sent away, and told within which
// time to come back.
type Drain struct{}

func (Tick) input()         {}
func (Opened) input()       {}
func (Received) input()     {}
func (Closed) input()       {}
func (Admitted) input()     {}
func (Ingested) input()     {}
func (FeedRead) input()     {}
func (SnapshotRead) input() {}
func (Confirmed) input()    {}
func (Flagged) input()      {}
func (Advanced) input()     {}
func (Reassigned) input()   {}
func (Revoked) input()      {}
func (Fleet) input()        {}
func (Drain) input()        {}

// Output is something to be done.
type Output interface{ output() }

// Send is a message for a connection. Order is kept.
type Send struct {
	Conn    Conn
	Message wire.Message
}

// Close ends a connection, after what was sent. Closed answers it.
type Close struct {
	Conn Conn
	Why  string
}

// Admit asks what is known of a device. It also notes that it was seen, which epoch
// of its journal it has, and registers its answer to tombstones as outstanding.
type Admit struct {
	Conn  Conn
	Hello *wire.Hello
}

// Ingest puts a stretch of a device's journal into the store, in one transaction:
// events that are there already are passed over; the edit that comes with an event
// is merged with it, or not at all where the event is there. Events.Prev must be the
// leaf hash of event After as the store has it, and an event that is there must be
// the same as the one that comes; otherwise it is Forked and nothing is kept. An
// event that does not follow the last one is an error. An erasure erases here too,
// and its receipt is checked and kept.
type Ingest struct {
	Conn   Conn
	Device string
	Epoch  uint64
	Events *wire.Events
}

// ReadFeed reads the revisions of a scope after one, in one View together with how
// far the device's journal was merged. The batch ends once its Cost is over Bytes.
type ReadFeed struct {
	Conn   Conn
	Device string
	Epoch  uint64 // of the device's journal
	Scope  string
	After  uint64
	Bytes  int
}

// ReadSnapshot reads a range of a scope, in one View. Rev 0 begins one, at the
// scope's present head; another one goes on with that after the key After.
type ReadSnapshot struct {
	Conn   Conn
	Device string
	Epoch  uint64
	Scope  string
	Rev    uint64
	After  string
	Bytes  int
}

// Confirm notes what a device said it holds durably. It need not be durable itself.
type Confirm struct {
	Conn    Conn
	Device  string
	Applied []wire.Applied
}

// Flag notes that a device is not to be served until an operator has looked: an
// event and a word in its record.
type Flag struct {
	Device string
	Reason string
}

// Keep stores a checkpoint of a device's journal.
type Keep struct {
	Device string
	Note   []byte
}

// Watch tells how a device is, for whoever shows it. It is not stored.
type Watch struct {
	Device    string
	Telemetry *wire.Telemetry
}

func (Send) output()         {}
func (Close) output()        {}
func (Admit) output()        {}
func (Ingest) output()       {}
func (ReadFeed) output()     {}
func (ReadSnapshot) output() {}
func (Confirm) output()      {}
func (Flag) output()         {}
func (Keep) output()         {}
func (Watch) output()        {}
