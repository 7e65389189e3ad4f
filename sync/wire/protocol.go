package wire

import "errors"

// Protocol numbers what both sides of a connection must agree on.
type Protocol uint64

// The protocols there were.
//
//	1  2026-11-26  hello, welcome, events with edits and receipts, feed, snapshot by
//	               ranges, credits, telemetry, checkpoints, revocation
const (
	Oldest Protocol = 1 // that this program still speaks
	Newest Protocol = 1
)

// Limits. What is over one of them is refused before it is allocated.
const (
	MaxFrame    = 2 << 20   // bytes of a frame as it travels
	MaxBody     = 4 << 20   // bytes of a body that was deflated
	MaxPiece    = 1 << 20   // bytes of the picture or the vector of a record
	MaxHeader   = 64 << 10  // bytes of a record's, an event's or a personal part's JSON
	MaxText     = 256       // bytes of an id, a name, a cursor
	MaxItems    = 4096      // events of a batch, changes of a feed, records of a chunk
	MaxScopes   = 256       // scopes of one box
	MaxFields   = 64        // fields of a record
	MaxNote     = 16 << 10  // bytes of a signed checkpoint
	BatchGoal   = 256 << 10 // bytes (Cost) after which a batch is not filled further
	MaxReadings = 64        // readings of a telemetry message
	maxRun      = 1 << 40   // revisions that a feed passes over at once
	maxWas      = 16        // earlier values of a field
)

// What callers branch on.
var (
	ErrMalformed = errors.New("malformed message")
	ErrTooLarge  = errors.New("message is too large")
	// ErrSkip says that a message is of a newer program and may be passed over.
	ErrSkip = errors.New("message is of a newer protocol and may be skipped")
	// ErrNoCommon says that two programs share no protocol: one has to be updated.
	ErrNoCommon = errors.New("no common protocol")
)

// Agree returns the newest protocol that this program and one that speaks oldest
// to newest share, or ErrNoCommon.
func Agree(oldest, newest Protocol) (Protocol, error) {
	p := min(newest, Newest)
	if oldest > newest || p < oldest || p < Oldest {
		return 0, ErrNoCommon
	}
	return p, nil
}
