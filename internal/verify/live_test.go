//go:build cgo

package verify_test

import (
	"context"
	"image"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/attack"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// framesOf hands out images as the frames of a session, some three a second.
func framesOf(images ...image.Image) verify.Frames {
	return func(yield func(verify.LiveFrame, error) bool) {
		for i, img := range images {
			if !yield(verify.LiveFrame{Image: img, At: time.Duration(i) * 300 * time.Millisecond}, nil) {
				return
			}
		}
	}
}

// filmed are the frames of an attempt of the tuning identities.
func filmed(t *testing.T, s *attack.Studio, species attack.Species, i int, active bool) ([]image.Image, attack.Attempt) {
	t.Helper()
	a := attack.Tuning(36).Attempt(species, i, active)
	film, err := s.Film(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	images := make([]image.Image, len(film))
	for k, f := range film {
		images[k] = f.Image
	}
	return images, a
}

// What a session tells apart, on real networks and rendered people. How often it
// errs is what cypherface eval-pad measures.
func TestLiveSessions(t *testing.T) {
	if testing.Short() {
		t.Skip("renders for some seconds")
	}
	onRealNetworks(t, func(t *testing.T, b *box) {
		if !strings.HasSuffix(t.Name(), "/standard") {
			t.Skip("the score is calibrated on the pack standard")
		}
		tellsLifeFromAPicture(t, b, new(attack.Studio))
	})
}

func tellsLifeFromAPicture(t *testing.T, b *box, studio *attack.Studio) {
	still, victim := filmed(t, studio, attack.Live, 0, false)
	turning, answered := filmed(t, studio, attack.Live, 0, true)
	print, asked := filmed(t, studio, attack.Flat, 0, true)
	swapped, _ := filmed(t, studio, attack.Swapped, 0, false)
	stranger, _ := filmed(t, studio, attack.Live, 5, false)
	id := b.person(0)
	var portraits []image.Image
	for _, p := range studio.Portraits(victim.Victim) {
		portraits = append(portraits, p)
	}
	if _, err := b.enrol(id, portraits...); err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(answered.Challenge)
	slices.Reverse(other[1:])
	for _, tt := range []struct {
		name    string
		request verify.LiveRequest
		live    bool
		match   bool
		reason  string
	}{
		{"a person", verify.LiveRequest{Frames: framesOf(still...)}, true, true, ""},
		{"a person who does as asked", verify.LiveRequest{Frames: framesOf(turning...), Challenge: answered.Challenge}, true, true, ""},
		{"another order", verify.LiveRequest{Frames: framesOf(turning...), Challenge: other}, false, false, verify.ReasonChallenge},
		{"a print that turns", verify.LiveRequest{Frames: framesOf(print...), Challenge: asked.Challenge}, false, false, verify.ReasonChallenge},
		{"the same frame again", verify.LiveRequest{Frames: framesOf(slices.Concat(still, still[:2])...)}, false, false, verify.ReasonRepeated},
		{"the same to the byte", verify.LiveRequest{Frames: framesOf(still...), Repeated: true}, false, false, verify.ReasonRepeated},
		{"one frame, again and again", verify.LiveRequest{Frames: framesOf(slices.Repeat(still[:1], 3)...)}, false, false, verify.ReasonStill},
		{"somebody else", verify.LiveRequest{Frames: framesOf(stranger...)}, true, false, ""},
		{"two people", verify.LiveRequest{Frames: framesOf(swapped...)}, false, false, verify.ReasonOtherFace},
		{"hardly anybody", verify.LiveRequest{Frames: framesOf(still[0], still[3], image.NewYCbCr(image.Rect(0, 0, 320, 240), image.YCbCrSubsampleRatio420))}, false, false, verify.ReasonFewFaces},
		{"too few for a challenge", verify.LiveRequest{Frames: framesOf(still...), Challenge: answered.Challenge}, false, false, verify.ReasonFewFaces},
		{"not wanted here", verify.LiveRequest{Frames: framesOf(still...), Refused: verify.ReasonPassive}, false, false, verify.ReasonPassive},
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
		if res.Live != (res.Confidence >= liveness.Threshold) {
			t.Errorf("%s: confidence %v", tt.name, res.Confidence)
		}
	}
	confidence := func(says float64) float64 {
		b.Close()
		b.real = &onlooker{b.real, says, 0}
		b.start()
		res, err := b.Live(t.Context(), verify.LiveRequest{Cause: cause, Merchant: b.merchant, Person: id, Session: store.NewUUID[store.SessionID](), Frames: framesOf(still...)})
		if err != nil || b.real.(*onlooker).asked == 0 || res.Event.Counters["pad"] != says {
			t.Fatalf("asked %d times, %v; counted %v", b.real.(*onlooker).asked, err, res.Event.Counters)
		}
		return res.Confidence
	}
	if calm, wary := confidence(.01), confidence(.99); wary >= calm {
		t.Errorf("a network that holds it for an attack: %v, one that does not: %v", wary, calm)
	}
}

// onlooker is an engine with a network against presentation attacks that says one thing.
type onlooker struct {
	verify.Engine
	says  float64
	asked int
}

func (o *onlooker) Attack(context.Context, image.Image, engine.Face) (float64, error) {
	o.asked++
	return o.says, nil
}
