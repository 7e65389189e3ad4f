package accuracy

import (
	"math"
	"testing"
)

func TestWilson(t *testing.T) {
	for _, c := range []struct {
		k, n      int
		low, high float64
	}{
		{0, 100, 0, 0.036995},
		{5, 100, 0.021543, 0.111754},
		{50, 100, 0.403832, 0.596168},
		{100, 100, 0.963005, 1},
	} {
		got := wilson(c.k, c.n)
		if math.Abs(got.Low-c.low) > 2e-5 || math.Abs(got.High-c.high) > 2e-5 {
			t.Errorf("%d of %d: %v, want %v to %v", c.k, c.n, got, c.low, c.high)
		}
	}
	if i := wilson(0, 0); !math.IsNaN(i.Low) || !math.IsNaN(i.High) {
		t.Errorf("0 of 0: %v", i)
	}
}

func TestPercentiles(t *testing.T) {
	values := make([]float64, 1001)
	for i := range values {
		values[(i*5)%1001] = float64(i)
	}
	if got := percentiles(values); got != (Interval{25, 975}) {
		t.Errorf("of 0 to 1000: %v", got)
	}
	values[3] = math.NaN()
	if got := percentiles(values); !math.IsNaN(got.Low) {
		t.Errorf("with an unknown value: %v", got)
	}
}

func TestProbit(t *testing.T) {
	for p, want := range map[float64]float64{0.5: 0, 0.975: 1.959964, 0.001: -3.090232} {
		if got := probit(p); math.Abs(got-want) > 1e-5 {
			t.Errorf("probit(%v) = %v, want %v", p, got, want)
		}
	}
}
