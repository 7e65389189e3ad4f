package accuracy_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cypherface/edge/internal/accuracy"
)

// angle is a unit template in the plane: the cosine of two is that of the
// angle between them, so scores can be chosen.
func angle(degrees float64) []float32 {
	s, c := math.Sincos(degrees * math.Pi / 180)
	return []float32{float32(c), float32(s)}
}

// handSet is four people on a circle. Mates: a 10°, b 20°, c 60° and d failed;
// the impostors are worked out in the tests.
func handSet() ([]accuracy.Pair, accuracy.Templates) {
	t := accuracy.Templates{
		"a/1": angle(0), "a/2": angle(10),
		"b/1": angle(90), "b/2": angle(110),
		"c/1": angle(180), "c/2": angle(240),
		"d/1": nil, "d/2": angle(300),
	}
	pairs := []accuracy.Pair{
		{A: "a/1", B: "a/2", Mate: true}, {A: "b/1", B: "b/2", Mate: true},
		{A: "c/1", B: "c/2", Mate: true}, {A: "d/1", B: "d/2", Mate: true},
		{A: "a/1", B: "b/1"}, {A: "c/1", B: "d/1"},
	}
	return pairs, t
}

func TestMeasureByHand(t *testing.T) {
	pairs, templates := handSet()
	r, err := accuracy.Measure(pairs, templates)
	if err != nil {
		t.Fatal(err)
	}
	// Seven templates of four people: 21 comparisons less three of one person.
	if r.Images != 8 || r.People != 4 || r.FailuresToEnrol != 1 || r.Mates != 4 || r.Impostors != 18 {
		t.Errorf("counts: %+v", r)
	}
	// The closest impostors: d2 is 60° from a1 and from c2, 70° from a2, and b2
	// 70° from c1.
	for _, c := range []struct {
		threshold, fmr, fnmr float64
	}{
		{math.Cos(5 * math.Pi / 180), 0, 1},
		{math.Cos(15 * math.Pi / 180), 0, 3. / 4},
		{math.Cos(30 * math.Pi / 180), 0, 2. / 4},
		{math.Cos(65 * math.Pi / 180), 2. / 18, 1. / 4},
		{math.Cos(75 * math.Pi / 180), 4. / 18, 1. / 4},
		{-1, 1, 1. / 4},
	} {
		if got := r.FMR(c.threshold); !near(got, c.fmr) {
			t.Errorf("FMR(%.3f) = %v, want %v", c.threshold, got, c.fmr)
		}
		if got := r.FNMR(c.threshold); !near(got, c.fnmr) {
			t.Errorf("FNMR(%.3f) = %v, want %v", c.threshold, got, c.fnmr)
		}
	}
	// At the score of c's mate (60°) both rates are lowest at once: 1/4.
	if !near(r.EER, 0.25) {
		t.Errorf("EER = %v, want 0.25", r.EER)
	}
	// None of 18 impostors may match: just above cos 60°.
	if p := r.Points[0]; p.Supported || !(p.Threshold > 0.5 && p.Threshold < 0.50001) || !near(p.FNMR, 0.5) {
		t.Errorf("point at FMR 1e-2: %+v", p)
	}
}

func TestPerfectAndHopeless(t *testing.T) {
	perfect := accuracy.Templates{"a/1": angle(0), "a/2": angle(1), "b/1": angle(90), "b/2": angle(91)}
	blind := accuracy.Templates{"a/1": angle(0), "a/2": angle(0), "b/1": angle(0), "b/2": angle(0)}
	pairs := []accuracy.Pair{{A: "a/1", B: "a/2", Mate: true}, {A: "b/1", B: "b/2", Mate: true}, {A: "a/1", B: "b/1"}, {A: "a/2", B: "b/2"}}
	r, err := accuracy.Measure(pairs, perfect)
	if err != nil {
		t.Fatal(err)
	}
	if r.EER != 0 || r.Accuracy != 1 || r.Points[2].FNMR != 0 {
		t.Errorf("perfect set: %+v", r)
	}
	if r, err = accuracy.Measure(pairs, blind); err != nil {
		t.Fatal(err)
	}
	if r.EER != 1 || r.Accuracy > 0.5 || r.Points[2].FNMR != 1 {
		t.Errorf("set without information: %+v", r)
	}
}

func TestMeasureNeedsComparisons(t *testing.T) {
	for name, templates := range map[string]accuracy.Templates{
		"nobody enrolled": {"a/1": nil, "a/2": nil, "b/1": nil},
		"no mate":         {"a/1": angle(0), "a/2": nil, "b/1": angle(3)},
		"no impostor":     {"a/1": angle(0), "a/2": angle(2), "b/1": nil},
	} {
		pairs := []accuracy.Pair{{A: "a/1", B: "a/2", Mate: true}, {A: "a/1", B: "b/1"}}
		if _, err := accuracy.Measure(pairs, templates); err == nil {
			t.Errorf("%s: measured", name)
		}
	}
}

// randomSet is people around random directions, spread by noise.
func randomSet(seed uint64, people, images int, noise float64) ([]accuracy.Pair, accuracy.Templates) {
	rng := rand.New(rand.NewPCG(seed, 7))
	t := make(accuracy.Templates)
	var mates, others []accuracy.Pair
	for p := range people {
		centre := make([]float64, 16)
		for i := range centre {
			centre[i] = rng.NormFloat64()
		}
		for k := range images {
			v := make([]float32, len(centre))
			var sum float64
			for i, c := range centre {
				x := c + noise*rng.NormFloat64()
				v[i] = float32(x)
				sum += x * x
			}
			for i := range v {
				v[i] /= float32(math.Sqrt(sum))
			}
			t[fmt.Sprintf("p%03d/%d", p, k)] = v
			if k > 0 {
				mates = append(mates, accuracy.Pair{A: fmt.Sprintf("p%03d/0", p), B: fmt.Sprintf("p%03d/%d", p, k), Mate: true})
				others = append(others, accuracy.Pair{A: fmt.Sprintf("p%03d/0", p), B: fmt.Sprintf("p%03d/%d", (p+k)%people, k)})
			}
		}
	}
	return append(mates, others...), t
}

// TestAgainstDefinition counts what the definitions say, slowly.
func TestAgainstDefinition(t *testing.T) {
	for seed := range uint64(5) {
		pairs, templates := randomSet(seed, 40, 3, 0.6)
		templates["p003/1"] = nil
		r, err := accuracy.Measure(pairs, templates)
		if err != nil {
			t.Fatal(err)
		}
		impostors := slowImpostors(pairs, templates)
		if len(impostors) != r.Impostors {
			t.Fatalf("%d impostors, want %d", r.Impostors, len(impostors))
		}
		for _, p := range r.Points {
			matched := 0
			for _, s := range impostors {
				// Summed in another order: equal to a few units of the last place.
				if float64(s) >= p.Threshold+1e-6 {
					matched++
				}
			}
			if float64(matched) > p.FMR*float64(len(impostors)) {
				t.Errorf("seed %d: %d false matches at FMR %g of %d", seed, matched, p.FMR, len(impostors))
			}
			if p.Interval.Low > p.FNMR || p.Interval.High < p.FNMR {
				t.Errorf("seed %d: FNMR %v outside its interval %v", seed, p.FNMR, p.Interval)
			}
		}
		if r.EERInterval.Low > r.EER || r.EERInterval.High < r.EER {
			t.Errorf("seed %d: EER %v outside its interval %v", seed, r.EER, r.EERInterval)
		}
		if r.Points[0].FNMR > r.Points[1].FNMR || r.Points[1].FNMR > r.Points[2].FNMR {
			t.Errorf("seed %d: FNMR falls as FMR falls: %+v", seed, r.Points)
		}
	}
}

func slowImpostors(pairs []accuracy.Pair, t accuracy.Templates) (scores []float32) {
	names := accuracy.Images(pairs)
	for i, a := range names {
		for _, b := range names[:i] {
			if accuracy.Person(a) == accuracy.Person(b) || t[a] == nil || t[b] == nil {
				continue
			}
			var s float32
			for k := range t[a] {
				s += t[a][k] * t[b][k]
			}
			scores = append(scores, s)
		}
	}
	return scores
}

func TestMeasureRepeats(t *testing.T) {
	pairs, templates := randomSet(9, 60, 3, 0.7)
	a, err := accuracy.Measure(pairs, templates)
	if err != nil {
		t.Fatal(err)
	}
	b, err := accuracy.Measure(pairs, templates)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(a.Points, a.EERInterval, a.Accuracy) != fmt.Sprint(b.Points, b.EERInterval, b.Accuracy) {
		t.Errorf("two runs differ:\n%+v\n%+v", a, b)
	}
}

func TestAccuracyUsesOtherBlocks(t *testing.T) {
	// Three blocks that one threshold decides, but for one mate at 80° and
	// one failure: 10 of 12.
	templates := make(accuracy.Templates)
	var pairs []accuracy.Pair
	for b := range 3 {
		for p := range 2 {
			name := fmt.Sprintf("p%d", 2*b+p)
			base := float64(b*120 + p*60)
			templates[name+"/1"], templates[name+"/2"] = angle(base), angle(base+10)
			pairs = append(pairs, accuracy.Pair{A: name + "/1", B: name + "/2", Mate: true})
		}
		for k := range 2 {
			pairs = append(pairs, accuracy.Pair{A: fmt.Sprintf("p%d/%d", 2*b, k+1), B: fmt.Sprintf("p%d/%d", 2*b+1, k+1)})
		}
	}
	templates["p0/2"] = angle(80)
	templates["p5/1"] = nil
	r, err := accuracy.Measure(pairs, templates)
	if err != nil {
		t.Fatal(err)
	}
	// p0/2 moved to 80° also comes within 10° of p1/2 at 70°: one more wrong.
	if want := (2./4 + 4./4 + 3./4) / 3; !near(r.Accuracy, want) {
		t.Errorf("accuracy %v, want %v", r.Accuracy, want)
	}
}

func TestCollect(t *testing.T) {
	images := make([]string, 50)
	for i := range images {
		images[i] = fmt.Sprintf("p%d/1", i)
	}
	calls := 0
	templates, err := accuracy.Collect(context.Background(), images, 4, func(_ context.Context, name string) ([]float32, error) {
		switch name {
		case "p7/1":
			return nil, fmt.Errorf("p7: %w", accuracy.ErrFailure)
		case "p8/1":
			return []float32{0, 0}, nil
		}
		return []float32{3, 4}, nil
	}, func(done, total int) {
		calls++
		if done != calls || total != 50 {
			t.Errorf("progress(%d, %d) at call %d", done, total, calls)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := templates.Failures(); n != 2 || templates["p7/1"] != nil || templates["p8/1"] != nil {
		t.Errorf("%d failures, want p7 and p8", n)
	}
	if v := templates["p1/1"]; !near(float64(v[0]), 0.6) || !near(float64(v[1]), 0.8) {
		t.Errorf("template not of unit length: %v", v)
	}
}

func TestCollectStops(t *testing.T) {
	broken := errors.New("no memory")
	_, err := accuracy.Collect(context.Background(), []string{"a/1", "a/2"}, 2,
		func(context.Context, string) ([]float32, error) { return nil, broken }, nil)
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = accuracy.Collect(ctx, []string{"a/1"}, 1, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	_, err = accuracy.Collect(context.Background(), []string{"a/1", "b/1"}, 1, func(_ context.Context, name string) ([]float32, error) {
		return make([]float32, len(name)+int(name[0]-'a'))[:], nil
	}, nil)
	if err != nil {
		t.Errorf("vectors without direction: %v, want failures to enrol", err)
	}
	_, err = accuracy.Collect(context.Background(), []string{"a/1", "b/1"}, 1, func(_ context.Context, name string) ([]float32, error) {
		return []float32{1, 2, 3}[:2+int(name[0]-'a')], nil
	}, nil)
	if err == nil {
		t.Error("templates of two lengths were taken")
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }
