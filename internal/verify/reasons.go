package verify

import (
	"errors"

	"github.com/cypherface/edge/engine/liveness"
)

// Reasons in the events of this package, besides the engine's words for what
// speaks against a face.
const (
	ReasonAmbiguous    = "ambiguous"          // several people fit, none much better
	ReasonDuplicate    = "possible_duplicate" // somebody else has this face
	ReasonNoLiveness   = "no_liveness"        // nothing showed that the face is alive
	ReasonNoDoor       = "no_door"            // the camera only watches
	ReasonNoGrant      = "no_grant"           // nobody lets the person through this door
	ReasonStale        = "stale_data"         // what the box has of its central is older than the policy allows
	ReasonNotNow       = "outside_schedule"   // somebody does, at other times
	ReasonTimeZone     = "time_zone"          // … perhaps now: the zone of the site is not known
	ReasonUnknown      = "unknown_face"       // nobody in the gallery reaches the threshold
	ReasonTooBrief     = "too_brief"          // gone before enough was seen
	ReasonUnsupported  = "error_rate"         // see ErrUnsupported
	ReasonRepeated     = string(liveness.RepeatedOf)
	ReasonFewFaces     = string(liveness.FewFrames)
	ReasonStill        = string(liveness.NoMovement)
	ReasonOtherFace    = string(liveness.Foreign)
	ReasonChallenge    = string(liveness.Challenge)
	ReasonReordered    = string(liveness.Reordered)
	ReasonCut          = string(liveness.CutFrames)
	ReasonJumps        = string(liveness.Jumps)
	ReasonAttack       = string(liveness.LowScore)
	ReasonPassive      = "passive"       // the merchant asks for an active session
	ReasonSecondFactor = "second_factor" // the door asks for a PIN, card or code first
	ReasonTimeout      = "timeout"       // the challenge was not answered in time
	ReasonLocked       = "locked"        // too many proofs of the person failed at doors
	ReasonAlivePassive = "passive_proof" // the face moved as one does: see docs/liveness.md for how little that says
	ReasonAliveActive  = "active_proof"  // the person did what the door asked for
)

// ReasonOf is the word for an error of this package: what was wrong with a face, an
// image or a person; "error" for any other.
func ReasonOf(err error) string { return reasonOf(err) }

// reasonOf is the word for an error in an event.
func reasonOf(err error) string {
	for _, known := range []struct {
		err  error
		word string
	}{
		{ErrNoFace, "no_face"},
		{ErrSeveralFaces, "several_faces"},
		{ErrLowQuality, "low_quality"},
		{ErrNotEnrolled, "not_enrolled"},
		{ErrOtherFace, "other_face"},
		{ErrDuplicate, ReasonDuplicate},
		{ErrUnsupported, ReasonUnsupported},
		{ErrImages, "images"},
		{ErrNoConsent, "no_consent"},
	} {
		if errors.Is(err, known.err) {
			return known.word
		}
	}
	return "error"
}
