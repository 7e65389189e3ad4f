//go:build cgo

package verify_test

import (
	"image"
	"slices"
	"testing"

	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// at renders a subject at yaws, one frame each, as a camera sees it: with other
// noise in each.
func at(s synthface.Subject, yaws ...float64) (frames []image.Image) {
	for i, yaw := range yaws {
		s.Pose.Yaw = yaw
		frames = append(frames, synthface.Render(synthface.Scene{Seed: int64(i + 1)}, s).Image)
	}
	return frames
}

// What a session tells apart, on real networks and rendered people: a head that
// turns, a flat picture that is turned, a still one, and somebody else.
func TestLiveSessions(t *testing.T) {
	if testing.Short() {
		t.Skip("renders for some seconds")
	}
	onRealNetworks(t, tellsLifeFromAPicture)
}

func tellsLifeFromAPicture(t *testing.T, b *box) {
	ada, bo := synthface.Cast()[0], synthface.Cast()[1]
	id := b.person(0)
	if _, err := b.enrol(id, portrait(ada, 0), portrait(ada, 12)); err != nil {
		t.Fatal(err)
	}
	print := &synthface.Print{Of: synthface.Render(synthface.Scene{}, synthface.Subject{Person: ada})}
	left := []string{verify.TurnCenter, verify.TurnLeft, verify.TurnRight}
	turning := at(synthface.Subject{Person: ada}, 0, 3, 28, 12, -28)
	for _, tt := range []struct {
		name    string
		request verify.LiveRequest
		live    bool
		match   bool
		reason  string
	}{
		{"a person", verify.LiveRequest{Frames: at(synthface.Subject{Person: ada}, 0, 4, 8)}, true, true, ""},
		{"a person who turns", verify.LiveRequest{Frames: turning, Challenge: left}, true, true, ""},
		{"the other order", verify.LiveRequest{Frames: turning, Challenge: []string{left[0], left[2], left[1]}}, false, false, verify.ReasonChallenge},
		{"a picture that turns", verify.LiveRequest{Frames: at(synthface.Subject{Print: print}, 0, 3, 28, 12, -28), Challenge: left}, false, false, verify.ReasonChallenge},
		{"one frame, again and again", verify.LiveRequest{Frames: slices.Repeat(at(synthface.Subject{Person: ada}, 0), 3)}, false, false, verify.ReasonStill},
		{"the same to the byte", verify.LiveRequest{Frames: at(synthface.Subject{Person: ada}, 0, 4, 8), Repeated: true}, false, false, verify.ReasonRepeated},
		{"somebody else", verify.LiveRequest{Frames: at(synthface.Subject{Person: bo}, 0, 4, 8)}, true, false, ""},
		{"two people", verify.LiveRequest{Frames: append(at(synthface.Subject{Person: ada}, 0, 4), at(synthface.Subject{Person: bo}, 0)...)}, false, false, verify.ReasonOtherFace},
		{"hardly anybody", verify.LiveRequest{Frames: append(at(synthface.Subject{Person: ada}, 0, 4), image.NewYCbCr(image.Rect(0, 0, 320, 240), image.YCbCrSubsampleRatio420))}, false, false, verify.ReasonFewFaces},
		{"not wanted here", verify.LiveRequest{Frames: at(synthface.Subject{Person: ada}, 0, 4, 8), Refused: verify.ReasonPassive}, false, false, verify.ReasonPassive},
	} {
		r := tt.request
		r.Cause, r.Merchant, r.Person, r.Session = cause, b.merchant, id, store.NewUUID[store.SessionID]()
		kept := false
		r.Also = func(*store.Tx, verify.LiveResult) error { kept = true; return nil }
		res, err := b.Live(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if res.Live != tt.live || res.Match != tt.match || tt.reason != "" && !slices.Contains(res.Reasons, tt.reason) || !kept || res.Event.Session != r.Session {
			t.Errorf("%s: %+v", tt.name, res)
		}
		if res.Live != (res.Confidence >= 50) {
			t.Errorf("%s: confidence %v", tt.name, res.Confidence)
		}
	}
}
