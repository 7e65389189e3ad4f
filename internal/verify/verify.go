// Package verify is the workflow of the box: images become faces, faces become
// templates and decisions, and each decision becomes an event of the store.
//
//	s, err := verify.New(ctx, verify.Config{Store: st, Engine: eng, Calibration: &pack.Calibration})
//	e, err := s.Enrol(ctx, verify.EnrolRequest{Cause: cause, Merchant: m, Person: p, Images: images})
//	r, err := s.Verify(ctx, verify.VerifyRequest{Cause: cause, Merchant: m, Person: p, Image: img})
//	i, err := s.Identify(ctx, verify.IdentifyRequest{Cause: cause, Merchant: m, Image: img})
//	err = s.Run(ctx, cam, verify.DoorConfig{Merchant: m, Door: d})
//
// Policies are error rates. A comparison with one person (1:1) is held to a
// false match rate (FMR), a search among all (1:N) to a false positive
// identification rate (FPIR) at the present size of the gallery; the pack's
// calibration turns them into scores. Where it cannot vouch for the rate, the
// search is refused with ErrUnsupported rather than done badly.
//
// Galleries are per merchant, in memory, and follow the store: a search never
// sees a person of another merchant. Who is enrolled is known, not let in: at a
// door a grant decides.
//
// A change of the pack is a change of space: Keep embeds everybody in the new one
// from the crops that are kept, in the background, while the old one answers (see
// Migration). Who is verified 1:1 and has no template in the space that answers is
// embedded on the spot.
//
// A living face is told from a picture of one: by Live in sessions, by Run at a door,
// as its policy asks. Who does not show that he is alive is denied there.
//
// What it does not do: it opens no door. A decision is an event with an outcome and its
// reasons.
package verify

import (
	"errors"
	"fmt"
	"image"
	"strings"

	"github.com/cypherface/edge/store"
)

// Errors to branch on; they come wrapped in an *Error with a hint.
var (
	ErrNoFace        = errors.New("no face in the image")
	ErrSeveralFaces  = errors.New("a second face is nearly as large")
	ErrLowQuality    = errors.New("face not good enough")
	ErrUnknownPerson = errors.New("unknown person") // or one of another merchant
	ErrNotEnrolled   = errors.New("person has no enrolled face")
	ErrOtherFace     = errors.New("the images show different people")
	ErrDuplicate     = errors.New("face is enrolled already") // only where the merchant refuses duplicates
	ErrUnsupported   = errors.New("error rate cannot be guaranteed")
	ErrImages        = errors.New("number of images not usable")
	ErrNoConsent     = errors.New("the person has not agreed") // or took it back
)

// Error says what failed, and to the operator what he can do about it.
type Error struct {
	Op      string   // "enrol", "verify", "identify"
	Image   int      // the image at fault, counted from 1; 0 where none is
	Err     error    // one of the errors above
	Reasons []string // for ErrLowQuality, the engine's words: "too_small", "blurred", …
	Of      store.PersonID
	Hint    string
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Image > 0 {
		fmt.Fprintf(&b, " image %d", e.Image)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	if len(e.Reasons) > 0 {
		b.WriteString(": " + strings.Join(e.Reasons, ", "))
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the error to branch on.
func (e *Error) Unwrap() error { return e.Err }

// EnrolRequest enrols a person from one or more images of the face.
type EnrolRequest struct {
	Cause    store.Cause
	Merchant store.MerchantID
	Person   store.PersonID
	Images   []image.Image // 1 to MaxImages, upright
	Source   string        // where they come from: "upload", "camera", "cli"
	// Add keeps the crops of earlier enrolments; otherwise these replace them.
	Add bool
	// New, when set, is somebody who is not in the store yet, with the id Person: he
	// comes into being with the enrolment, or not at all.
	New *store.Person
	// Background says that nobody waits for it: it gives way to those who do.
	Background bool
	// Before, when set, runs first in the transaction of the enrolment, as to record
	// that somebody New agrees.
	Before func(*store.Tx) error
	// Check says that nothing is to be stored: the answer is what would be.
	Check bool
	// Batch, when set, takes a Check in under this number, for Service.Twins.
	Batch  *Batch
	Number int
	// Also, when set, runs in the transaction of the enrolment; its error undoes all.
	Also func(*store.Tx, Enrolment) error
}

// MaxImages is how many crops a person may have.
const MaxImages = 10

// Enrolment is the result of Enrol.
type Enrolment struct {
	Person              store.PersonID
	Faces               int      // in the image that had most
	Crops               int      // that the template is made of, with earlier ones
	Warnings            []string // reasons why the face could be better, in the engine's words
	PossibleDuplicateOf store.PersonID
	DuplicateSimilarity float64 // 0..100, with PossibleDuplicateOf
	Event               store.Event
}

// VerifyRequest compares an image with one person.
type VerifyRequest struct {
	Cause    store.Cause
	Merchant store.MerchantID
	Person   store.PersonID
	Image    image.Image
	Session  store.SessionID // of the liveness session, if there was one
	// Also, when set, runs in the transaction of the decision; its error undoes it.
	Also func(*store.Tx, Result) error
}

// Result is the outcome of Verify.
type Result struct {
	Match      bool
	Similarity float64  // 0..100, 80 = FMR 1e-4 in every pack
	Threshold  float64  // 0..100, where Match begins
	Faces      int      // in the image; the dominant one was compared
	Warnings   []string // reasons why the face could be better, in the engine's words
	Event      store.Event
}

// IdentifyRequest searches an image among the people of a merchant.
type IdentifyRequest struct {
	Cause    store.Cause
	Merchant store.MerchantID
	Image    image.Image
	FPIR     float64 // 0: DefaultFPIR, and an FMR of at most 1e-4 for each person
	Limit    int     // of candidates; 0: 5
	// Also, when set, runs in the transaction of the decision; its error undoes it.
	Also func(*store.Tx, Identification) error
}

// DefaultFPIR is the share of strangers who may be taken for somebody, where no
// policy says otherwise. Small galleries are then held to less: see IdentifyRequest.
const DefaultFPIR = 1e-3

// Identification is the outcome of Identify.
type Identification struct {
	Match      bool           // Candidates[0] is at or above the threshold, and nobody else is close behind
	Person     store.PersonID // who it is, with Match
	Similarity float64        // of the best candidate, 0..100
	Threshold  float64        // 0..100
	Gallery    int            // people searched
	Faces      int            // in the image; the dominant one was searched
	Candidates []Candidate    // those at or above the threshold, best first
	Warnings   []string       // reasons why the face could be better, in the engine's words
	Event      store.Event
}

// Candidate is a person who resembles the probe.
type Candidate struct {
	Person     store.PersonID
	Similarity float64 // 0..100
}

// DoorConfig says where Run stands.
type DoorConfig struct {
	Merchant store.MerchantID
	// Door gives policy and grants; empty for a camera that only watches.
	Door store.DoorID
	// Saw, when set, is told of each frame; it is called by Run and must be quick.
	Saw func(View)
}
