package models_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cypherface/edge/models"
)

// calibrations are those of the packs and some that are at the edge.
func calibrations(t *testing.T) map[string]*models.Calibration {
	t.Helper()
	all := map[string]*models.Calibration{
		"small": {Origin: "test", ImpostorPairs: 5000, MatePairs: 100, Points: []models.Point{
			{Score: 0, FMR: 0.5}, {Score: 0.3, FMR: 0.01, FNMR: 0.02}, {Score: 0.4, FMR: 0.001, FNMR: 0.05}, {Score: 0.5, FMR: 0, FNMR: 0.1}}},
		"one point": {Origin: "test", ImpostorPairs: 1000000, MatePairs: 100, Points: []models.Point{{Score: 0.3, FMR: 1e-3, FNMR: 0.1}}},
		"steps": {Origin: "test", ImpostorPairs: 1000000, MatePairs: 100, Points: []models.Point{
			{Score: 0.1, FMR: 0.1}, {Score: 0.2, FMR: 0.1, FNMR: 0.01}, {Score: 0.3, FMR: 1e-5, FNMR: 0.01}, {Score: 1, FMR: 0, FNMR: 1}}},
	}
	builtin, err := models.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range builtin {
		if m.Name != models.PAD {
			all[m.Name] = &m.Calibration
		}
	}
	return all
}

func TestErrorRatesAreMonotone(t *testing.T) {
	for name, c := range calibrations(t) {
		t.Run(name, func(t *testing.T) {
			fmr, fnmr, sim := 1.0, 0.0, 0.0
			for s := -1.0; s <= 1; s += 1.0 / 512 {
				f, n, v := c.FMR(s), c.FNMR(s), c.Similarity(s)
				if f > fmr*(1+1e-12) || f <= 0 || n < fnmr-1e-12 || n > 1 || v < sim-1e-9 || v > 100 {
					t.Fatalf("at %v: FMR %v after %v, FNMR %v after %v, similarity %v after %v", s, f, fmr, n, fnmr, v, sim)
				}
				fmr, fnmr, sim = f, n, v
			}
			if c.Similarity(-1) != 0 || c.Similarity(1) != 100 {
				t.Errorf("similarity runs from %v to %v, want 0 to 100", c.Similarity(-1), c.Similarity(1))
			}
		})
	}
}

func TestThresholdIsTheInverseOfFMR(t *testing.T) {
	for name, c := range calibrations(t) {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			for range 500 {
				want := math.Pow(10, -7*rng.Float64())
				s, ok := c.Threshold(want)
				if ok != (want >= c.MinFMR()) {
					t.Fatalf("Threshold(%v): ok %v, the least supported is %v", want, ok, c.MinFMR())
				}
				if !ok {
					continue
				}
				if got := c.FMR(s); got > want*(1+1e-9) {
					t.Fatalf("Threshold(%v) = %v, whose FMR is %v", want, s, got)
				}
				// Any lower score must exceed the rate, or it is not the lowest.
				if got := c.FMR(s - 1e-6); got < want*(1-1e-9) {
					t.Fatalf("Threshold(%v) = %v, but %v has FMR %v too", want, s, s-1e-6, got)
				}
			}
		})
	}
}

func TestIdentifyThresholdKeepsTheFPIR(t *testing.T) {
	for name, c := range calibrations(t) {
		for _, n := range []int{1, 10, 1000, 100000} {
			for _, fpir := range []float64{0.5, 0.1, 0.01, 1e-3} {
				s, ok := c.IdentifyThreshold(fpir, n)
				if !ok {
					if models.PairFMR(fpir, n) >= c.MinFMR() {
						t.Errorf("%s: FPIR %v among %d refused though supported", name, fpir, n)
					}
					continue
				}
				if got := c.FPIR(s, n); got > fpir*(1+1e-6) {
					t.Errorf("%s: FPIR at %v among %d is %v, asked for %v", name, s, n, got, fpir)
				}
			}
		}
	}
}

func TestFPIRByHand(t *testing.T) {
	// At FMR 1e-4 a stranger matches one of 1,000 people in 9.5 % of cases.
	c := calibrations(t)["standard"]
	s, ok := c.Threshold(1e-4)
	if !ok {
		t.Fatal("the standard pack does not support FMR 1e-4")
	}
	if got, want := c.FPIR(s, 1000), 1-math.Pow(1-1e-4, 1000); math.Abs(got-want) > 1e-9 {
		t.Errorf("FPIR %v, want %v", got, want)
	}
	if got := c.FPIR(s, 0); got != 0 {
		t.Errorf("FPIR of an empty gallery is %v", got)
	}
	if got := c.FPIR(-1, 10); got != 1 {
		t.Errorf("FPIR at score -1 is %v, want 1", got)
	}
}

func TestSimilarityIsAnchored(t *testing.T) {
	for name, c := range calibrations(t) {
		for fmr, want := range map[float64]float64{1e-1: 20, 1e-2: 40, 1e-3: 60, 1e-4: 80} {
			s, ok := c.Threshold(fmr)
			if !ok {
				continue
			}
			// Where the curve has a step the score means less than asked for.
			if math.Abs(c.FMR(s)-fmr) < 1e-9*fmr && math.Abs(c.Similarity(s)-want) > 1e-6 {
				t.Errorf("%s: similarity at FMR %v is %v, want %v", name, fmr, c.Similarity(s), want)
			}
		}
	}
	for _, name := range []string{"standard", "basic"} {
		c := calibrations(t)[name]
		if s, ok := c.Threshold(1e-4); !ok || math.Abs(c.Similarity(s)-80) > 1e-9 {
			t.Errorf("%s: similarity at FMR 1e-4 (%v, %v) is %v, want 80", name, s, ok, c.Similarity(s))
		}
	}
}

func TestNoClaimBelowTheRuleOfThree(t *testing.T) {
	c := calibrations(t)["small"]
	if got, want := c.MinFMR(), 3.0/5000; got != want {
		t.Errorf("least FMR %v, want 3/N = %v", got, want)
	}
	if s, ok := c.Threshold(1e-4); ok || s != 1 {
		t.Errorf("Threshold(1e-4) = %v, %v on 5,000 impostor pairs", s, ok)
	}
	if _, ok := c.IdentifyThreshold(0.01, 100); ok {
		t.Error("an FPIR of 1 % among 100 people was accepted on 5,000 impostor pairs")
	}
}

// The cautious curve is the upper limit of a Poisson count (table values).
func TestUpperLimit(t *testing.T) {
	const n = 1000000
	for _, tt := range []struct{ seen, limit float64 }{{0, 3.0}, {1, 4.744}, {2, 6.296}, {5, 10.513}, {10, 16.962}, {50, 63.287}} {
		c := models.Calibration{Origin: "test", ImpostorPairs: n, MatePairs: 1, Points: []models.Point{{Score: 0.5, FMR: tt.seen / n}}}
		if got := c.FMR(0.5) * n; math.Abs(got-tt.limit) > 0.01*tt.limit {
			t.Errorf("%v seen: limit %v, want %v", tt.seen, got, tt.limit)
		}
	}
}

func TestUnknownCalibrationPromisesNothing(t *testing.T) {
	var c models.Calibration
	if _, ok := c.Threshold(0.5); ok {
		t.Error("a threshold without a calibration")
	}
	if c.FMR(0.9) != 1 || c.FNMR(0.1) != 1 || c.Similarity(0.9) != 0 || c.MinFMR() != 1 || c.FPIR(0.9, 10) != 1 {
		t.Error("an empty calibration claims something")
	}
	for _, s := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		full := calibrations(t)["standard"]
		if f := full.FMR(s); math.IsNaN(f) || f <= 0 || f > 1 {
			t.Errorf("FMR(%v) = %v", s, f)
		}
		if v := full.Similarity(s); math.IsNaN(v) || v < 0 || v > 100 {
			t.Errorf("Similarity(%v) = %v", s, v)
		}
	}
	if _, ok := calibrations(t)["standard"].Threshold(math.NaN()); ok {
		t.Error("a threshold for NaN")
	}
}

func TestCalibrationIsChecked(t *testing.T) {
	for _, tt := range []struct {
		name, points, want string
	}{
		{"scores fall", `[{"score":0.4,"fmr":0.1,"fnmr":0},{"score":0.3,"fmr":0.01,"fnmr":0}]`, "scores must rise"},
		{"FMR rises", `[{"score":0.3,"fmr":0.01,"fnmr":0},{"score":0.4,"fmr":0.1,"fnmr":0}]`, "FMR fall"},
		{"FNMR falls", `[{"score":0.3,"fmr":0.1,"fnmr":0.2},{"score":0.4,"fmr":0.01,"fnmr":0.1}]`, "FNMR rise"},
		{"rate above 1", `[{"score":0.3,"fmr":1.5,"fnmr":0}]`, "out of range"},
		{"score above 1", `[{"score":1.3,"fmr":0.5,"fnmr":0}]`, "out of range"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := models.ParseManifest(editManifest(t, "standard", func(m map[string]any) {
				m["calibration"].(map[string]any)["points"] = rawJSON(t, tt.points)
			}))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
