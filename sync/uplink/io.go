package uplink

import (
	"time"

	"github.com/cypherface/edge/sync/wire"
)

// State is what the box's store says when a machine is made.
type State struct {
	Device string
	Boot   wire.Boot // drawn at random by this start of the daemon
	Epoch  uint64    // of the journal
	Head   uint64    // number of its last event

	Central      string // whose feed the bookmarks are of; "" where the box has met none
	CentralEpoch uint64
	Acked        uint64 // last event that this central said it has
	Scopes       []wire.Bookmark

	Hold    bool // saved by Save: the box may not match before it caught up
	Revoked bool // saved by Save: the box may not match at all

	Spread time.Duration // saved by Save: the window in which all boxes begin to connect

	// Age is how old the data is at least when the machine is made: what Tell said
	// last, saved now and then. Exact says that it is just so old, which takes a clock
	// that was trusted over the time that the box was off.
	Exact bool
	Age   time.Duration
}

// Input is something that happened.
type Input interface{ input() }

// Tick says that the time of Wake has come; others count as one too.
type Tick struct{}

// Dialled says that Dial succeeded. Only one connection is there at a time.
type Dialled struct {
	Clock time.Time // the wall clock, for Hello
}

// Received is a message from the connection that was Dialled last.
type Received struct{ Message wire.Message }

// Lost says that Dial failed or that the connection ended, for whatever reason.
// It answers Hangup too.
type Lost struct {
	// Refused says that the central was there and sent the box away for good: its
	// key is none there (HTTP 401 or 403). It is asked again rarely.
	Refused bool
	Retry   time.Duration // what a busy central asked for (HTTP 429 or 503 with Retry-After); 0: nothing
}

// Grown says that the journal has events up to Head. Some may be passed over: only
// the last counts.
type Grown struct{ Head uint64 }

// Done answers a Read, Save, Apply or Resync.
type Done struct {
	Request Request
	Err     error // it is not durable; it is tried again after a while
	// Events is what Read found. Its events may be fewer than there are, but not
	// none where Head is beyond After.
	Events *wire.Events
}

// Measured is a reading of how the box is. It is dropped where there is no room.
type Measured struct {
	Name  string
	Value float64
}

// Checkpointed is a newly signed checkpoint of the journal.
type Checkpointed struct{ Note []byte }

// Limited says from which age data counts as stale, in place of Config.StaleAfter.
type Limited struct{ StaleAfter time.Duration }

func (Tick) input()         {}
func (Dialled) input()      {}
func (Received) input()     {}
func (Lost) input()         {}
func (Grown) input()        {}
func (Done) input()         {}
func (Measured) input()     {}
func (Checkpointed) input() {}
func (Limited) input()      {}

// Output is something to be done.
type Output interface{ output() }

// Dial asks for a connection. It is answered by Dialled or Lost.
type Dial struct{}

// Send is a message for the connection. Order is kept.
type Send struct{ Message wire.Message }

// Hangup ends the connection, after what was sent. Lost answers it.
type Hangup struct{ Why string }

// Request is an output for the store, answered by Done.
type Request interface {
	Output
	request()
}

// Read asks for the events after the one numbered After, in order, with the leaf
// hash of event After, each with its personal part, the receipt where it is an
// erasure, and the edit where it is the last change of a shared record so far.
// What is not in the store any more comes from the archive of the journal; what is
// nowhere any more is Gone. The batch ends once its Cost is over Bytes, and has one
// event at least.
type Read struct {
	After uint64
	Bytes int
}

// Save notes, in one transaction, what the central said. Pointers are nil where
// there is nothing new.
type Save struct {
	Acked   *uint64        // the central holds the journal up to this event: it may be less than before
	Hold    *bool          // see State
	Revoked *bool          // see State
	Spread  *time.Duration // see State
	// Met says which central it is and in which epoch. Where they are others than
	// before, bookmarks are void: they begin at 0, and what is there stays until a
	// snapshot replaces it.
	Met *Met
}

// Met is a central and what it said the box has to hold.
type Met struct {
	Central string
	Epoch   uint64
	Scopes  []string // all others are removed from the box, their bookmarks with them
}

// Apply puts a batch of a feed and its bookmark into the store, in one transaction.
// A record that the box changed in an event after Feed.Merged keeps the fields that
// the box changed. An erasure erases, also a person who is not there, and leaves an
// erasure event in the journal, which is the receipt.
type Apply struct{ Feed *wire.Feed }

// Resync puts a range of a snapshot and its bookmark into the store, in one
// transaction: what is in the range and not in the snapshot goes, unless the box
// changed it in an event after Snapshot.Merged. With the last range the bookmark
// becomes Snapshot.Rev.
type Resync struct{ Snapshot *wire.Snapshot }

// Tell says how sync stands, whenever that changes in more than its numbers.
type Tell struct{ Status Status }

func (Dial) output()   {}
func (Send) output()   {}
func (Hangup) output() {}
func (Read) output()   {}
func (Save) output()   {}
func (Apply) output()  {}
func (Resync) output() {}
func (Tell) output()   {}

func (Read) request()   {}
func (Save) request()   {}
func (Apply) request()  {}
func (Resync) request() {}

// Phase is where the connection stands.
type Phase string

const (
	Waiting  Phase = "waiting"  // for the moment to try again
	Dialling Phase = "dialling" // for a connection
	Greeting Phase = "greeting" // for the central's welcome
	Online   Phase = "online"
)

// Status is how sync stands.
type Status struct {
	Phase Phase
	Why   string // of the last connection that ended: for the operator

	Central      string
	CentralEpoch uint64
	Head, Acked  uint64 // events in the journal, and how many of them the central has
	Scopes       []ScopeStatus

	// Match is whether the box may match: not while it is held or revoked.
	Match   bool
	Hold    bool
	Revoked bool

	// Age is how long ago the box was last known to have all that the central had.
	// Until Exact, as after a start without a trusted clock, it may be older. Stale
	// says that Age is over Config.StaleAfter; what follows from that, and from an age
	// that is not known, is for the policy of a door.
	Age   time.Duration
	Exact bool
	Stale bool
	// Synced says that the box now has all that the central has.
	Synced bool
}

// ScopeStatus is how a scope stands.
type ScopeStatus struct {
	Scope     string
	Rev, Head uint64 // what the box has and, as far as it knows, the central
	Snapshot  bool   // a snapshot is under way
}
