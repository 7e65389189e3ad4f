package wire

import "crypto/sha256"

// Type is the sort of a message. Types from Optional on may be skipped by whoever
// does not know them.
type Type uint8

const (
	TypeHello     Type = 1
	TypeWelcome   Type = 2
	TypeEvents    Type = 3
	TypeEventsAck Type = 4
	TypeFeed      Type = 5
	TypeSnapshot  Type = 6
	TypeApplied   Type = 7
	TypeCredits   Type = 8
	TypePing      Type = 9
	TypePong      Type = 10
	TypeError     Type = 11
	TypeRevoke    Type = 12

	Optional       Type = 128
	TypeTelemetry  Type = 128
	TypeCheckpoint Type = 129
)

// Message is one of the messages of this package, as a pointer.
type Message interface {
	// Type says which it is.
	Type() Type
	walk(*coder)
}

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// Boot is drawn at random by each start of a box's daemon. A box that comes back
// under a boot that another one has followed is a second box with the same store.
type Boot [16]byte

// Hello is the first message, from the box.
type Hello struct {
	Oldest, Newest Protocol // that the box speaks

	Device string
	Boot   Boot
	Epoch  uint64 // of the box's journal
	Head   uint64 // number of its last event

	// Central and CentralEpoch say whose feed the bookmarks are of; "" and 0 where
	// the box has met none yet. The central answers others with snapshots.
	Central      string
	CentralEpoch uint64
	Scopes       []Bookmark

	Credits uint64 // that the box gives for Feed and Snapshot, see Cost
	Clock   int64  // reading of its wall clock, Unix milliseconds; for people, nothing is decided by it
}

// Bookmark is how far a box has applied a scope, durably.
type Bookmark struct {
	Scope string
	Rev   uint64 // it has all revisions up to this one; 0: none
	// Snapshot is the revision of a snapshot that is under way, 0: none, and
	// Cursor the key up to which it was applied.
	Snapshot uint64
	Cursor   string
}

// Welcome is the central's answer to Hello.
type Welcome struct {
	Protocol    Protocol // that both speak from now on
	Central     string   // its device id
	Fingerprint Hash     // SHA-256 of its Ed25519 key
	Epoch       uint64   // of its store: another one after a restored backup

	// Head is the last event of the box's journal, in the epoch of Hello, that the
	// central holds durably: the box goes on after it, even where more was
	// acknowledged once, by a central that was restored since.
	Head uint64

	// Scopes are those that the box has, all others are to be removed from it.
	Scopes []ScopeState
	// Hold says that the box was away for longer than erasures are kept waiting: it
	// must not match before it has caught up.
	Hold bool

	Credits uint64 // that the central gives for Events, see Cost; 0: more come later
	Ping    uint64 // milliseconds between two pings of the central
	Spread  uint64 // see Ping
	Clock   int64  // reading of its wall clock, Unix milliseconds
}

// ScopeState is where the feed of a scope stands at the central.
type ScopeState struct {
	Scope    string
	Head     uint64 // last revision
	Snapshot bool   // the box's bookmark is of no use: a snapshot comes, from its beginning
}

// Events carries a stretch of the box's journal, without a gap: the events after
// the one numbered After, or, where Gone is not 0, those after Gone, all before it
// being no longer on the box.
type Events struct {
	After  uint64
	Prev   Hash // leaf hash of event After, zero where After or Gone say there is none: a journal that parted ways shows
	Gone   uint64
	Events []Event
}

// First returns the number of the first event.
func (m *Events) First() uint64 { return max(m.After, m.Gone) + 1 }

// Last returns the number of the last event, or of the one before where there is none.
func (m *Events) Last() uint64 { return max(m.After, m.Gone) + uint64(len(m.Events)) }

// Event is one event of a journal.
type Event struct {
	Raw      []byte // the envelope, as the JSON that is its leaf in the tree of the journal
	Personal []byte // nonce and JSON of the personal part; nil where there is none or it was erased
	Receipt  []byte // of an erasure: Ed25519 signature of the box, see ReceiptText
	Edit     *Edit  // of a change that is shared: the record
}

// Op is what happened to a record.
type Op uint8

const (
	OpPut    Op = 1 // it is as Header and Piece say
	OpDelete Op = 2 // it was deleted
	OpErase  Op = 3 // it is a person, and everything about him is to be erased for ever
	OpLater  Op = 4 // later revisions say more: nothing to do, but the numbers stay dense
	OpAbsent Op = 5 // it is not there, or is of the scope no more; nobody has deleted it, and it may come
)

var opNames = [...]string{OpPut: "put", OpDelete: "delete", OpErase: "erase", OpLater: "later", OpAbsent: "absent"}

// String returns the word for an operation: put, delete, erase, later or absent.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return ""
}

// ParseOp undoes String; a word that is none is 0, which nobody takes.
func ParseOp(s string) Op {
	for o, name := range opNames {
		if name == s && s != "" {
			return Op(o)
		}
	}
	return 0
}

// Edit is what a box did to a record, sent with the last event that changed it. With
// the base of each field, the central merges field by field, and no clock is asked.
type Edit struct {
	Op   Op // OpPut, OpDelete, or OpErase of a person
	Kind string
	ID   string

	New       bool    // it was made on the box
	Again     bool    // the central had it and was restored since: what is there is older
	Anew      bool    // the box had deleted it and made it anew
	BaseEpoch uint64  // of the central, and
	Base      uint64  // the revision of the scope that the box had the record at; with New: that it had of the scope
	Fields    []Field // that the box has changed since

	Header []byte // JSON of the whole record as it is now; nil where it is gone
	Piece  []byte // its picture or vector, if it has one
}

// Field is a field that was changed, by its JSON name.
type Field struct {
	Name string
	Was  []Digest // of the values it had before, the one of the base first
}

// Digest is the beginning of the SHA-256 of a field's JSON.
type Digest [8]byte

// EventsAck says that the central holds all events up to Through, durably. Results
// tell what became of edits; they are for people, the feed has the outcome.
type EventsAck struct {
	Through uint64
	Results []Result
}

// Merge is what became of an edit.
type Merge uint8

const (
	MergeAccepted Merge = 1 // it stands as it was sent
	MergePartly   Merge = 2 // Lost names the fields in which another change stands
	MergeRefused  Merge = 3 // none of it stands: the record or the person is gone, or it is not the box's to change
)

// Result is what became of the edit that came with event Seq.
type Result struct {
	Seq   uint64
	Merge Merge
	Lost  []string
}

// Feed carries the revisions of a scope that follow After, each of them: a missing
// one would show.
type Feed struct {
	Scope   string
	After   uint64
	Head    uint64 // last revision of the scope when this was read
	Merged  uint64 // edits of the box's journal up to this event are in what was read
	Changes []Change
}

// Through returns the last revision it carries.
func (m *Feed) Through() uint64 {
	rev := m.After
	for i := range m.Changes {
		rev += m.Changes[i].revisions()
	}
	return rev
}

// Change is one record as it is now, or that it is gone.
type Change struct {
	Op     Op
	Run    uint64 // of OpLater, which has nothing else: how many revisions in a row; 0 counts as 1
	Kind   string
	ID     string
	Header []byte
	Piece  []byte
}

// revisions is how many revisions of a feed the change stands for.
func (x *Change) revisions() uint64 {
	if x.Op == OpLater {
		return max(1, x.Run)
	}
	return 1
}

// Snapshot carries a range of a scope: of the keys behind After up to and with
// Next, exactly Records are there. A box removes what it has besides, unless it
// changed it after event Merged. Ranges may be read at different times; the feed
// after revision Rev, which follows the last of them, makes the whole right.
type Snapshot struct {
	Scope   string
	Rev     uint64 // the scope's head when the first range was read
	After   string // "" in the first
	Next    string // key of the last record; what is behind it comes with the next range
	Last    bool   // nothing is behind: the range has no end
	Head    uint64
	Merged  uint64
	Records []Record
}

// Record is one record of a snapshot, at the revision that changed it last.
type Record struct {
	Rev uint64
	Change
}

// Applied says that a box holds a scope up to Rev, or a snapshot of revision Rev
// up to Cursor, durably.
type Applied struct {
	Scope  string
	Rev    uint64
	Cursor string // "" where Rev is of the feed
}

// Credits lets the other side send that much more, see Cost.
type Credits struct{ More uint64 }

// Ping comes from the central, at the interval that Welcome named, and is answered
// with Pong of the same number. The next one is not sent before that answer was
// there: what a ping says was true after the box sent its last Pong, or Hello.
type Ping struct {
	Number uint64
	Sent   uint64 // messages of the central on this connection before this one: none may be missing
	Caught bool   // with these the box was sent all that the central has
	// Spread is the window, in milliseconds, in which the box comes back when it
	// loses the connection, at a moment of its own choice: it grows with the fleet.
	Spread uint64
}

// Pong answers a Ping.
type Pong struct {
	Number uint64
	Sent   uint64 // messages of the box on this connection before this one
}

// Code says why a connection ends.
type Code uint8

const (
	CodeBusy       Code = 1 // too many at once: come back within Retry
	CodeClosing    Code = 2 // the central goes down: come back within Retry
	CodeProtocol   Code = 3 // no common protocol, or a message against its rules
	CodeUnknown    Code = 4 // no such device here
	CodeForked     Code = 5 // the journal parted ways with what the central holds of it: a clone, or an older copy
	CodeSuperseded Code = 6 // a newer connection of the same box took its place
	CodeStorage    Code = 7 // it cannot be kept at the moment
)

// Error ends a connection.
type Error struct {
	Code  Code
	Retry uint64 // milliseconds in which to come back, at a moment of the box's own choice; 0: as it would by itself
	Text  string // for the operator's log: no names, no ids of people
}

// Revoke tells a box that it was revoked: it may not match any more.
type Revoke struct{ Reason string }

// Telemetry is how a box is. It is not in any journal, comes when there is room,
// and is lost without harm.
type Telemetry struct {
	Dropped  uint64 // readings that were thrown away for want of room
	Readings []Reading
}

// Reading is one value, taken Age milliseconds before it was sent.
type Reading struct {
	Name  string
	Value float64
	Age   uint64
}

// Checkpoint is a signed note over the box's journal (golang.org/x/mod/sumdb/note)
// with the tree that it is over, so that the box can rewrite nothing before it
// unnoticed. Its form is the hosts' affair.
type Checkpoint struct{ Note []byte }
