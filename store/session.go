package store

import "time"

// SessionStatus is where a liveness session stands, in the words of the API.
type SessionStatus string

const (
	SessionCreated    SessionStatus = "CREATED"
	SessionInProgress SessionStatus = "IN_PROGRESS"
	SessionSucceeded  SessionStatus = "SUCCEEDED"
	SessionFailed     SessionStatus = "FAILED"
	SessionExpired    SessionStatus = "EXPIRED"
	SessionMatched    SessionStatus = "MATCHED"
)

// SessionMode says who proves what.
type SessionMode string

const (
	ModePassive SessionMode = "passive" // frames alone
	ModeActive  SessionMode = "active"  // the client plays a challenge
)

// Session is one proof of liveness: single use, with a short life.
type Session struct {
	Meta
	ID         SessionID     `json:"id"`
	Merchant   MerchantID    `json:"merchant"`
	Person     PersonID      `json:"person"`
	Mode       SessionMode   `json:"mode"`
	Challenge  []string      `json:"challenge,omitempty"`
	Status     SessionStatus `json:"status"`
	Frames     int           `json:"frames"`     // taken so far
	Confidence float64       `json:"confidence"` // liveness, 0..100
	Similarity float64       `json:"similarity"` // 0..100
	Expires    time.Time     `json:"expires"`
	By         string        `json:"by,omitempty"`          // the credential that began it, and may go on
	Source     string        `json:"frameSource,omitempty"` // where its frames come from: the client, or the camera of a box
	Bytes      int           `json:"frameBytes,omitempty"`  // of its frames together
	Used       bool          `json:"used,omitempty"`
}

func (s *Session) key() SessionID { return s.ID }
func (s *Session) kind() Kind     { return KindSession }
func (s *Session) spec() spec {
	return spec{merchant: s.Merchant, person: s.Person, owned: true, entries: []entry{
		SessionsByExpiry.entry(Moment(s.Expires)),
		SessionsByPerson.entry(Plain(s.Person), Moment(s.Created)),
	}}
}
