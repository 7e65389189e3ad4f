package synthface

import (
	"math"
	"testing"
)

func TestActNames(t *testing.T) {
	for a := Empty; a <= Closer; a++ {
		if got, err := ParseAct(a.String()); err != nil || got != a {
			t.Errorf("%v: %v, %v", a, got, err)
		}
	}
	if _, err := ParseAct("dance"); err == nil {
		t.Error("an unknown act is known")
	}
	if Act(99).String() == "" {
		t.Error("an unknown act has no name")
	}
}

// Acts follow each other in any order because they meet at home.
func TestActsMeetAtHome(t *testing.T) {
	for a := Enter; a <= Closer; a++ {
		for _, side := range []float64{-1, 1} {
			if a != Enter {
				expectHome(t, a, "begins", 0, side)
			}
			if a != Leave {
				expectHome(t, a, "ends", 1, side)
			}
		}
	}
}

func expectHome(t *testing.T, a Act, when string, at, side float64) {
	t.Helper()
	p, e := a.at(at, side)
	off := math.Hypot(p.X-home.X, p.Y-home.Y) + math.Abs(p.Distance-home.Distance)
	turn := math.Abs(p.Yaw) + math.Abs(p.Pitch) + math.Abs(p.Roll) + math.Abs(p.Body)
	if off > .5 || turn > 2 || e.Blink > .1 || e.Mouth > .01 || math.Abs(e.Smile-.3) > .05 {
		t.Errorf("%v %s away from home: %+v %+v", a, when, p, e)
	}
}

func TestActsMoveSmoothly(t *testing.T) {
	for a := Enter; a <= Closer; a++ {
		last, _ := a.at(0, 1)
		steps := int(a.Duration().Seconds() * 30)
		for i := 1; i <= steps; i++ {
			p, _ := a.at(float64(i)/float64(steps), 1)
			if math.Abs(p.Yaw-last.Yaw) > 9 || math.Abs(p.X-last.X) > 12 || math.Abs(p.Distance-last.Distance) > 14 {
				t.Errorf("%v jumps at frame %d: from %+v to %+v", a, i, last, p)
			}
			last = p
		}
	}
}

func TestVisitorsComeAndGoOutOfView(t *testing.T) {
	s := Scene{}.normal()
	l := s.lens()
	for _, side := range []float64{-1, 1} {
		in, _ := Enter.at(0, side)
		out, _ := Leave.at(1, side)
		for _, p := range []Pose{in, out} {
			edge := math.Abs(p.X) - 32 // the shoulders' reach
			if seen := 320 / l.focal * p.Distance; edge < seen*.95 {
				t.Errorf("%+v is in view: %.0f cm from the middle of %.0f", p, edge, seen)
			}
		}
	}
}

func TestPerform(t *testing.T) {
	n := 0
	for shot := range Perform(Subject{Person: ada}, TurnLeft, small(64, 48), 5) {
		if len(shot.Faces) != 1 {
			t.Fatal("no truth")
		}
		n++
	}
	if n != TurnLeft.frames(5) || n != 12 {
		t.Errorf("%d frames", n)
	}
	for shot := range Perform(Subject{}, Empty, small(64, 48), 5) {
		if len(shot.Faces) != 0 {
			t.Error("somebody is in the empty room")
		}
		break // stopping early is allowed
	}
}

func TestActsDoWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		act  Act
		does func(Pose, Expression) bool
	}{
		{TurnLeft, func(p Pose, _ Expression) bool { return p.Yaw > 25 }},
		{TurnRight, func(p Pose, _ Expression) bool { return p.Yaw < -25 }},
		{Turn, func(p Pose, _ Expression) bool { return p.Yaw > 25 }},
		{Turn, func(p Pose, _ Expression) bool { return p.Yaw < -25 }},
		{Nod, func(p Pose, _ Expression) bool { return p.Pitch < -12 }},
		{Blink, func(_ Pose, e Expression) bool { return e.Blink > .95 }},
		{Look, func(_ Pose, e Expression) bool { return e.Blink > .9 }},
		{LookUp, func(p Pose, _ Expression) bool { return p.Pitch > 15 }},
		{LookDown, func(p Pose, _ Expression) bool { return p.Pitch < -15 }},
		{Closer, func(p Pose, _ Expression) bool { return p.Distance < .8*home.Distance }},
		{OpenMouth, func(_ Pose, e Expression) bool { return e.Mouth > .95 }},
	} {
		done := false
		for i := range 200 {
			done = done || c.does(c.act.at(float64(i)/200, 1))
		}
		if !done {
			t.Errorf("%v does not", c.act)
		}
	}
}
