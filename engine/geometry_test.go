package engine

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(a, b Point, tol float64) bool { return distance(a, b) <= tol }

func TestFitRecoversASimilarity(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		want := framing(Point{rng.Float64() * 500, rng.Float64() * 500}, 10+rng.Float64()*300, rng.Float64()*6, 128)
		var from, to []Point
		for range 5 {
			p := Point{rng.Float64() * 128, rng.Float64() * 128}
			from, to = append(from, p), append(to, want.apply(p))
		}
		got, ok := fit(from, to)
		p := Point{17, 93}
		if !ok || !near(got.apply(p), want.apply(p), 1e-6) {
			t.Fatalf("fit %v, want %v", got, want)
		}
		if !near(got.inverse().apply(got.apply(p)), p, 1e-6) {
			t.Fatalf("the inverse of %v does not undo it", got)
		}
	}
}

// The least-squares solution: no small change of it comes closer.
func TestFitIsTheBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var from, to []Point
	for range 5 {
		from = append(from, Point{rng.Float64() * 100, rng.Float64() * 100})
		to = append(to, Point{rng.Float64() * 100, rng.Float64() * 100})
	}
	off := func(s similarity) (sum float64) {
		for i := range from {
			d := distance(s.apply(from[i]), to[i])
			sum += d * d
		}
		return sum
	}
	best, _ := fit(from, to)
	for range 500 {
		s := best
		s.a += rng.NormFloat64() * 0.01
		s.b += rng.NormFloat64() * 0.01
		s.tx += rng.NormFloat64()
		s.ty += rng.NormFloat64()
		if off(s) < off(best)-1e-9 {
			t.Fatalf("%v is closer than the fit %v", s, best)
		}
	}
}

func TestFitRefusesCoincidingPoints(t *testing.T) {
	same := []Point{{5, 5}, {5, 5}, {5, 5}}
	if _, ok := fit(same, []Point{{0, 0}, {1, 0}, {0, 1}}); ok {
		t.Error("a fit from one point")
	}
	nan := []Point{{math.NaN(), 0}, {1, 1}, {2, 2}}
	if _, ok := fit(nan, same); ok {
		t.Error("a fit from NaN")
	}
}

func TestOverlap(t *testing.T) {
	a := Rect{0, 0, 10, 10}
	for _, c := range []struct {
		b    Rect
		want float64
	}{
		{a, 1},
		{Rect{5, 0, 15, 10}, 50.0 / 150},
		{Rect{10, 0, 20, 10}, 0},
		{Rect{2, 2, 7, 7}, 0.25},
		{Rect{20, 20, 10, 10}, 0},
	} {
		if got := a.Overlap(c.b); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("overlap %v: %v, want %v", c.b, got, c.want)
		}
	}
}

func TestPose(t *testing.T) {
	front := [5]Point{{35, 40}, {65, 40}, {50, 56.8}, {38, 70}, {62, 70}}
	if p := poseOf(front); math.Abs(p.Roll) > 0.1 || math.Abs(p.Yaw) > 0.1 || math.Abs(p.Pitch) > 1 {
		t.Errorf("frontal face: %+v", p)
	}
	change := func(f func(l *[5]Point)) Pose {
		l := front
		f(&l)
		return poseOf(l)
	}
	if p := change(func(l *[5]Point) { l[2].X += 8 }); p.Yaw < 15 {
		t.Errorf("nose to the right: yaw %v", p.Yaw)
	}
	if p := change(func(l *[5]Point) { l[2].X -= 8 }); p.Yaw > -15 {
		t.Errorf("nose to the left: yaw %v", p.Yaw)
	}
	if p := change(func(l *[5]Point) { l[2].Y += 6 }); p.Pitch < 10 {
		t.Errorf("nose down: pitch %v", p.Pitch)
	}
	turn := framing(Point{50, 50}, 100, math.Pi/6, 100)
	var rolled [5]Point
	for i, q := range front {
		rolled[i] = turn.apply(q)
	}
	if p := poseOf(rolled); math.Abs(p.Roll-30) > 0.1 || math.Abs(p.Yaw) > 0.1 {
		t.Errorf("rolled by 30°: %+v", p)
	}
	if p := poseOf([5]Point{}); p != (Pose{}) {
		t.Errorf("no face: %+v", p)
	}
}
