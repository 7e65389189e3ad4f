package simtest

import (
	"cmp"
	"flag"
	"testing"
	"time"
)

var stormFlag = flag.Bool("sim.storm", false, "the table of storms with 10,000 boxes")

// storms are those of docs/sync.md.
var storms = []struct {
	name string
	Storm
}{
	{"all connections are cut, the central stays", Storm{}},
	{"the central restarts in 5 s", Storm{Down: 5 * time.Second}},
	{"the central is away for 5 min", Storm{Down: 5 * time.Minute}},
	{"the network of all is cut, nobody is told", Storm{Silent: true}},
	{"the power comes back, for boxes and central at once", Storm{Cold: true}}, // Saved below
	{"the central is away for 5 min and slow: 50 a second", Storm{Down: 5 * time.Minute, Rate: 50}},
}

// TestStorm has a fleet come back without a stampede, and sees that one without
// jitter would be noticed.
func TestStorm(t *testing.T) {
	boxes := 1000
	if *stormFlag {
		boxes = 10000
		t.Logf("| 10,000 boxes | half are back | 99 %% | all | connections, most in a second | admitted, most in a second |")
		t.Logf("|---|---|---|---|---|---|")
	}
	for _, x := range storms {
		x.Boxes = boxes
		if x.Cold {
			x.Saved = time.Duration(boxes) * time.Second / 200
		}
		r := x.Run(1)
		row(t, x.name, r)
		if x.Rate == 0 && (r.All < 0 || r.All > 5*time.Minute) {
			t.Errorf("%s: not all boxes are back in five minutes: %+v", x.name, r)
		}
		if rate := cmp.Or(x.Rate, 200); float64(r.Peak) > 3*rate || r.Tries > 3*boxes {
			t.Errorf("%s: a stampede: %+v", x.name, r)
		}
	}
	x := Storm{Boxes: boxes, Down: 5 * time.Second, NoDice: true, Timeout: 5 * time.Minute}
	r := x.Run(1)
	row(t, "without jitter: the central restarts in 5 s", r)
	if r.Peak <= 3*200 {
		t.Errorf("without jitter there is no stampede: %+v; what is measured?", r)
	}
}

func row(t *testing.T, name string, r StormResult) {
	all := "not in 5 min"
	if r.All >= 0 {
		all = r.All.Round(time.Second).String()
	}
	t.Logf("| %s | %v | %v | %s | %d | %d |", name, r.Half.Round(time.Second), r.Most.Round(time.Second), all, r.Peak, r.Admitted)
}
