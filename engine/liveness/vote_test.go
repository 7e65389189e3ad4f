package liveness

import (
	"context"
	"errors"
	"image"
	"math"
	"slices"
	"testing"

	"github.com/cypherface/edge/engine"
)

// answers is an onlooker that gives one after the other.
type answers []float64

func (a *answers) Attack(context.Context, image.Image, engine.Face) (float64, error) {
	if len(*a) == 0 {
		return 0, errors.New("there is no further answer")
	}
	p := (*a)[0]
	*a = (*a)[1:]
	return p, nil
}

// Only faces that look into the camera are asked about, not each of them, and a fault
// is told.
func TestAnOnlookerIsAskedAboutStraightFaces(t *testing.T) {
	frames, says := session(1, .5, 0, 0, .02, 0, .5, .01, 0), answers{.3, .6}
	var before *Frame
	for i := range frames {
		if err := frames[i].Ask(t.Context(), &says, grey(1), frames[i].Face, before); err != nil {
			t.Fatal(err)
		}
		before = &frames[i]
	}
	for i, want := range map[int]float64{1: .3, 6: .6} {
		if frames[i].Spoof != want {
			t.Errorf("frame %d: %v, want %v", i, frames[i].Spoof, want)
		}
	}
	if len(says) > 0 || !math.IsNaN(frames[0].Spoof) || !math.IsNaN(frames[5].Spoof) {
		t.Error("it was asked about a turned face, or too seldom")
	}
	if p := measure(frames, Likeness{})[Picture]; p != .6 {
		t.Errorf("the session: %v", p)
	}
	if err := frames[1].Ask(t.Context(), &says, grey(1), frames[1].Face, nil); err == nil {
		t.Error("a fault is kept quiet")
	}
	for i := range frames {
		frames[i].Spoof = math.NaN()
	}
	if p := measure(frames, Likeness{})[Picture]; !math.IsNaN(p) {
		t.Errorf("without a network: %v", p)
	}
}

// An onlooker only ever adds suspicion, within a bound, and is named where it does;
// who has none is judged as before. A regression that has a term for it weighs it alone.
func TestTheVoteIsBounded(t *testing.T) {
	m := Default()
	logit := func(p float64) float64 {
		var v Measures
		v[Picture] = p
		sum, _ := m.explain(&v, true)
		return sum
	}
	none, last := logit(math.NaN()), 0.
	for _, p := range []float64{0, .1, .2, .4, .7, .98, 1} {
		d := logit(p) - none
		if d > last || d < -2.5-1e-9 {
			t.Errorf("at %v: %v after %v", p, d, last)
		}
		last = d
	}
	if logit(.2) != none || math.Abs(last+2.5) > 1e-9 {
		t.Errorf("nothing against it adds %v, everything %v", logit(.2)-none, last)
	}
	var v Measures
	v[Picture] = 1
	own := Model{Active: map[string]Regression{"paper": {Bias: 9, Terms: map[string]Term{"picture": {Mid: 0, Scale: 1, High: -1}, "span": {Scale: 1}}}}}
	if sum, against := own.explain(&v, true); sum != 8 || !slices.Contains(against, Picture) {
		t.Errorf("with a term of its own: %v, against it %v", sum, against)
	}
	own.Active["paper"] = Regression{Bias: 9, Terms: map[string]Term{"span": {Scale: 1}}}
	if sum, against := own.explain(&v, true); math.Abs(sum-6.5) > 1e-9 || !slices.Contains(against, Picture) {
		t.Errorf("without one: %v, against it %v", sum, against)
	}
}
