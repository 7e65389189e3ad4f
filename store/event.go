package store

import "time"

// EventKind is the sort of an event.
type EventKind string

const (
	EventChange    EventKind = "change"    // a record was put or deleted; made by Put and Delete
	EventErasure   EventKind = "erasure"   // everything about a person was erased, Counters says how much; made by Erase
	EventDecision  EventKind = "decision"  // somebody was verified or identified, or was not
	EventEncounter EventKind = "encounter" // somebody was seen and left without a decision
	EventEnrolment EventKind = "enrolment" // an enrolment succeeded or failed
	EventLiveness  EventKind = "liveness"  // a session came to its end
	EventConsent   EventKind = "consent"   // somebody agreed to be recognised, or took it back
	EventDoor      EventKind = "door"      // a door was told to open, opened, was forced
	EventAccess    EventKind = "access"    // a token was issued, a login refused, a stream watched
	EventSystem    EventKind = "system"    // start, stop, faults of camera and store
	EventGap       EventKind = "gap"       // events that could not be kept; Counters says how many
	EventConflict  EventKind = "conflict"  // fields of a record that a box changed too late; the personal part has what they were to be
)

// Actions of consent events, and of erasures that came of them.
const (
	ActionGiven     = "given"
	ActionWithdrawn = "withdrawn"
)

// Outcome is how something ended.
type Outcome string

const (
	OutcomeMatch   Outcome = "match"
	OutcomeNoMatch Outcome = "no_match"
	OutcomeGranted Outcome = "granted"
	OutcomeDenied  Outcome = "denied"
	OutcomeDone    Outcome = "done"
	OutcomeFailed  Outcome = "failed"
)

// Event is the public envelope of something that happened: ids, words and
// numbers, nothing that tells who a person is. What does tell goes into the
// personal part, of which the envelope has only a salted digest, so that it can
// be erased without touching the journal.
//
// (Device, Epoch, Seq) is unique for ever, and Seq dense from 1 in each epoch.
type Event struct {
	Device DeviceID  `json:"device"` // set by Append, as Epoch, Seq, Actor and Request
	Epoch  uint64    `json:"epoch"`
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"` // when it happened; Append sets it where it is zero
	Kind   EventKind `json:"kind"`

	Actor   Actor  `json:"actor"`
	Request string `json:"request,omitempty"`

	Merchant MerchantID `json:"merchant,omitempty"`
	Site     SiteID     `json:"site,omitempty"`
	Door     DoorID     `json:"door,omitempty"`
	Person   PersonID   `json:"person,omitempty"`
	Session  SessionID  `json:"session,omitempty"`

	Action   string             `json:"action,omitempty"` // what was tried: verify, identify, open, …
	Outcome  Outcome            `json:"outcome,omitempty"`
	Reasons  []string           `json:"reasons,omitempty"`
	Counters map[string]float64 `json:"counters,omitempty"` // counts and scores: frames, faces, similarity, threshold
	Change   *Change            `json:"change,omitempty"`

	Personal []byte `json:"personal,omitempty"` // SHA-256 of nonce ‖ personal part; set by Append
}

// Op is what happened to a record.
type Op string

const (
	OpPut    Op = "put"
	OpDelete Op = "delete"
)

// Change names a change of a record. Its value is not in the journal: who passes
// the change on reads the record, so that what was erased is nowhere.
type Change struct {
	Kind   Kind     `json:"kind"`
	ID     string   `json:"id"`
	Op     Op       `json:"op"`
	Rev    uint64   `json:"rev"`              // after a put; of a deleted record the last
	Fields []string `json:"fields,omitempty"` // those that differ from before, by their JSON names
}

func (e *Event) kind() Kind { return KindEvent }

func (e *Event) entries() []entry {
	es := []entry{EventsByMerchant.entry(Plain(e.Merchant), Plain(e.Kind), Moment(e.Time), Number(e.Seq))}
	if e.Person != "" {
		es = append(es, EventsByPerson.entry(Plain(e.Person), Moment(e.Time), Number(e.Seq)))
	}
	return es
}
