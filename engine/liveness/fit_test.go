package liveness

import (
	"math"
	"math/rand/v2"
	"testing"
)

// examples of n people: two kinds of attack, each like the living but for one cue,
// and a rule speaks against some.
func examples(n int) (all []Example) {
	d := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		e := Example{Person: int64(i)}
		for c := range e.Measures {
			e.Measures[c] = d.NormFloat64()
		}
		e.Measures[Picture] = math.NaN() // there is no such network
		alive, paper, display, broken := e, e, e, e
		alive.Live = true
		paper.Kind, paper.Group = "paper", "print"
		paper.Measures[Third] -= 6
		display.Kind, display.Group = "display", "screen"
		display.Measures[Fringe] += 6
		broken.Kind, broken.Group, broken.Broken = "paper", "flat", true
		all = append(all, alive, paper, display, broken)
	}
	return all
}

// A cue of which a few have far more than the rest is weighed by its logarithm: what is
// usual sets the scale, and the model says so.
func TestFitOfASkewedCue(t *testing.T) {
	all := examples(80)
	for i := range all {
		v := math.Exp(.4*all[i].Measures[Drift]) - .3
		if all[i].Kind == "display" {
			v = 5 + .1*v
		} else if i%40 == 0 {
			v = 90
		}
		all[i].Measures[Drift], all[i].Measures[Fringe] = v, 0
	}
	kinds, err := Fit(all, .1)
	if err != nil {
		t.Fatal(err)
	}
	term := kinds["display"].Terms["drift"]
	if term.Log != skewed[Drift] || term.Scale > 2 {
		t.Errorf("%+v", term)
	}
	m := Model{Active: kinds}
	missed := map[string]int{}
	for i := range all {
		if e := &all[i]; !e.Broken && (m.Score(&e.Measures, true) >= Threshold) != e.Live {
			missed[e.Group]++
		}
	}
	if missed["screen"] > 1 || missed[""] > 8 {
		t.Errorf("wrong about %v", missed)
	}
	if z := (Term{Log: .3, Scale: 1}).z(-7); math.IsNaN(z) || math.IsInf(z, 0) {
		t.Errorf("z %v of what no cue can be", z)
	}
}

// A fit knows each kind of attack by its own cue, however alive the rest looks, and
// turns away no more of the living than it may.
func TestFitKnowsEachKind(t *testing.T) {
	all := examples(60)
	m := Model{}
	var err error
	if m.Active, err = Fit(all, .05); err != nil {
		t.Fatal(err)
	}
	if len(m.Active) != 2 {
		t.Fatalf("%d kinds", len(m.Active))
	}
	missed := map[string]int{}
	for i := range all {
		e := &all[i]
		if alive := m.Score(&e.Measures, true) >= Threshold; alive != e.Live && !e.Broken {
			missed[e.Group]++
		}
	}
	if missed[""] > 3 || missed["print"] > 1 || missed["screen"] > 1 {
		t.Errorf("wrong about %v", missed)
	}
	lies := all[1].Measures
	lies[Fringe], lies[Carried], lies[Banding] = -9, -9, -9
	score, against := m.score(&lies, true)
	if score >= Threshold || against[0] != Third {
		t.Errorf("a print without a display's signs: %.0f, against it %v", score, against)
	}
	for kind, r := range m.Active {
		for name, term := range r.Terms {
			if term.Low != 0 && math.Signbit(term.Low) != math.Signbit(directionOf(name)) || term.High != 0 && math.Signbit(term.High) != math.Signbit(directionOf(name)) {
				t.Errorf("%s: %s goes against its direction", kind, name)
			}
		}
	}
}

func directionOf(name string) float64 {
	for c := range cues {
		if c.String() == name {
			return directions[c]
		}
	}
	return 0
}

// What is there too little of is no calibration.
func TestFitWantsBothSides(t *testing.T) {
	all := examples(60)
	var living, attacks []Example
	for _, e := range all {
		if e.Live {
			living = append(living, e)
		} else {
			attacks = append(attacks, e)
		}
	}
	for name, of := range map[string][]Example{"nothing": nil, "the living alone": living, "attacks alone": attacks, "few": all[:20]} {
		if _, err := Fit(of, .05); err == nil {
			t.Errorf("%s made a calibration", name)
		}
	}
}
