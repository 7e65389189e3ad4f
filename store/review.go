package store

import "time"

// ReviewKind is why an operator should look.
type ReviewKind string

const (
	ReviewDuplicate  ReviewKind = "duplicate"   // one face, two people
	ReviewLookAlike  ReviewKind = "look_alike"  // two people whom the network confuses
	ReviewConflict   ReviewKind = "conflict"    // two boxes changed the same thing
	ReviewHeld       ReviewKind = "held"        // somebody who was on a box before it joined a central
	ReviewWrongMatch ReviewKind = "wrong_match" // somebody says that a decision took one for another
	ReviewAgeing     ReviewKind = "ageing"      // a face has grown away from its template
)

// ReviewOutcome is how a review was settled.
type ReviewOutcome string

const (
	SettledDifferent ReviewOutcome = "different_people" // they stay apart, and are not asked about again
	SettledSame      ReviewOutcome = "same_person"      // and were merged
	SettledUpdated   ReviewOutcome = "updated"          // the template took the proposed crop
	SettledDismissed ReviewOutcome = "dismissed"        // nothing was done
	SettledAdopted   ReviewOutcome = "adopted"          // who was held went up to the central
)

// ReviewCause is why a template is taken for aged.
type ReviewCause string

const (
	CauseDrift ReviewCause = "drift" // matches became less sure
	CauseAge   ReviewCause = "age"   // it is older than the merchant wants
)

// Review is something that an operator has to settle. It is about several people,
// and so sealed for nobody: it has ids, fixed words and numbers, and no free text.
type Review struct {
	Meta
	ID       ReviewID    `json:"id"`
	Merchant MerchantID  `json:"merchant"`
	Reason   ReviewKind  `json:"reason"`
	Persons  []PersonID  `json:"persons"`         // of a wrong match: who was recognised, then who it was, where that is known
	Score    float64     `json:"score,omitempty"` // similarity, 0..100
	Epoch    uint64      `json:"epoch,omitempty"` // with Event
	Event    uint64      `json:"event,omitempty"` // number of the decision that is said to be wrong
	Cause    ReviewCause `json:"cause,omitempty"` // of ageing
	// Was is what somebody who is held was before.
	Was     PersonStatus `json:"was,omitempty"`
	Settled time.Time    `json:"settled,omitzero"`
	By      Actor        `json:"by,omitzero"` // who settled it

	Outcome ReviewOutcome `json:"outcome,omitempty"` // where it is settled
}

func (r *Review) key() ReviewID { return r.ID }
func (r *Review) kind() Kind    { return KindReview }
func (r *Review) spec() spec {
	s := spec{merchant: r.Merchant, owned: true, entries: []entry{
		ReviewsByMerchant.entry(Plain(r.Merchant), Plain(r.State()), Moment(r.Created)),
	}}
	for _, p := range r.Persons {
		s.entries = append(s.entries, ReviewsByPerson.entry(Plain(p)))
	}
	return s
}

// State is "open" or "settled".
func (r *Review) State() string {
	if r.Settled.IsZero() {
		return "open"
	}
	return "settled"
}

// MaxReviews is how many open reviews a person has at most; what would be one more
// is not asked.
const MaxReviews = 20

// AskOnce puts a review about two people, unless there is an open one about them, or
// somebody has settled that they are different, or either has very many. asked says
// whether it did.
func AskOnce(tx *Tx, r *Review) (asked bool, err error) {
	for _, p := range r.Persons {
		open := 0
		for old, err := range All(tx, ReviewsByPerson, Plain(p)) {
			if err != nil {
				return false, err
			}
			if old.Settled.IsZero() {
				open++
			}
			if settles(&old, r) {
				return false, nil
			}
		}
		if open >= MaxReviews {
			return false, nil
		}
	}
	return true, Put(tx, r)
}

// settles says whether an old review makes a new one needless. What was dismissed
// may be asked again by another enrolment, but not by each comparison of look-alikes.
func settles(old, r *Review) bool {
	if len(old.Persons) != 2 || len(r.Persons) != 2 {
		return false
	}
	same := old.Persons[0] == r.Persons[0] && old.Persons[1] == r.Persons[1] || old.Persons[0] == r.Persons[1] && old.Persons[1] == r.Persons[0]
	asks := old.Reason == ReviewDuplicate || old.Reason == ReviewLookAlike || old.Reason == r.Reason
	return same && asks && (old.Settled.IsZero() || old.Outcome != SettledDismissed || r.Reason == ReviewLookAlike)
}

// Candidate is a crop that is proposed for a person's template, and kept for a short
// while, until somebody decides about it.
type Candidate struct {
	Meta
	ID         CropID     `json:"id"`
	Merchant   MerchantID `json:"merchant"`
	Person     PersonID   `json:"person"`
	Review     ReviewID   `json:"review"`
	Similarity float64    `json:"similarity"` // of the match it is from, 0..100
	Expires    time.Time  `json:"expires"`
	Image      []byte     `json:"-"`
}

func (c *Candidate) key() CropID { return c.ID }
func (c *Candidate) kind() Kind  { return KindCandidate }
func (c *Candidate) spec() spec {
	return spec{merchant: c.Merchant, person: c.Person, owned: true, entries: []entry{
		CandidatesByPerson.entry(Plain(c.Person), Moment(c.Created)),
		CandidatesByExpiry.entry(Moment(c.Expires)),
	}}
}
func (c *Candidate) blob() []byte           { return c.Image }
func (c *Candidate) setBlob(b []byte) error { c.Image = b; return nil }

// FormerID is the id of a person who was merged into another.
type FormerID string

// Former says that one person was found to be another: who asks for the one is told
// of the other.
type Former struct {
	Meta
	ID       FormerID   `json:"id"` // the id of the one who is no more
	Merchant MerchantID `json:"merchant"`
	Person   PersonID   `json:"person"` // who he is
}

func (f *Former) key() FormerID { return f.ID }
func (f *Former) kind() Kind    { return KindFormer }
func (f *Former) spec() spec {
	return spec{merchant: f.Merchant, person: f.Person, owned: true, entries: []entry{
		FormersByPerson.entry(Plain(f.Person)),
	}}
}
