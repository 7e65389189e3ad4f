package accuracy_test

import (
	"testing"

	"github.com/cypherface/edge/internal/accuracy"
)

func TestCalibrateTakesTheWorse(t *testing.T) {
	var results []*accuracy.Result
	for seed, noise := range []float64{0.5, 0.9} {
		pairs, templates := randomSet(uint64(seed), 120, 3, noise)
		r, err := accuracy.Measure(pairs, templates)
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	c, err := accuracy.Calibrate("a set made up for a test", results...)
	if err != nil {
		t.Fatal(err)
	}
	if c.ImpostorPairs != min(results[0].Impostors, results[1].Impostors) || c.MatePairs != 240 {
		t.Errorf("counts: %d impostors, %d mates", c.ImpostorPairs, c.MatePairs)
	}
	for i, p := range c.Points {
		for _, r := range results {
			if r.FMR(p.Score) > p.FMR || r.FNMR(p.Score) > p.FNMR {
				t.Errorf("at %.4f a result is worse than the calibration's %v", p.Score, p)
			}
		}
		if i > 0 && (p.Score <= c.Points[i-1].Score || p.FMR > c.Points[i-1].FMR || p.FNMR < c.Points[i-1].FNMR) {
			t.Errorf("points %v and %v are out of order", c.Points[i-1], p)
		}
	}
	// 64,260 impostors support three false matches at 4.7e-5, not less.
	if least := c.Points[len(c.Points)-1].FMR * float64(c.ImpostorPairs); least < 1 || least > 5 {
		t.Errorf("the last point rests on %.1f false matches, want about three", least)
	}
	if s, ok := c.Threshold(1e-2); !ok || results[0].FMR(s) > 1e-2 || results[1].FMR(s) > 1e-2 {
		t.Errorf("threshold at FMR 1e-2: %v, %v", s, ok)
	}
}

func TestCalibrateRefuses(t *testing.T) {
	if c, err := accuracy.Calibrate("nothing"); err == nil {
		t.Errorf("calibrated on nothing: %+v", c)
	}
	pairs, templates := handSet()
	delete(templates, "c/1")
	pairs = pairs[:2]
	r, err := accuracy.Measure(pairs, templates)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := accuracy.Calibrate("four comparisons", r); err == nil {
		t.Errorf("calibrated on %d impostors: %+v", r.Impostors, c)
	}
}
