package accuracy_test

import (
	"fmt"
	"testing"

	"github.com/cypherface/edge/internal/accuracy"
)

// circle puts people 20° apart, each with two images 2° apart, and strangers
// with one image.
func circle(people, strangers int) (images []string, t accuracy.Templates) {
	t = make(accuracy.Templates)
	for p := range people + strangers {
		for k := range 2 {
			if p >= people && k == 1 {
				continue
			}
			name := fmt.Sprintf("p%02d/%d", p, k)
			t[name] = angle(float64(20*p + 2*k))
			images = append(images, name)
		}
	}
	return images, t
}

func TestIdentify(t *testing.T) {
	images, templates := circle(6, 5)
	r, err := accuracy.Identify(images, templates, 6, 1)
	if err != nil {
		t.Fatal(err)
	}
	if r.Enrolled != 6 || r.Mates != 6 || r.Strangers != 5 || r.RankOne != 0 {
		t.Errorf("counts: %+v", r)
	}
	for _, p := range r.Points {
		// The nearest stranger is 18° from the gallery or more, mates 2°.
		if p.FNIR != 0 || p.Supported {
			t.Errorf("FPIR %g: %+v", p.FPIR, p)
		}
	}
}

func TestIdentifyFailures(t *testing.T) {
	images, templates := circle(6, 5)
	templates["p00/0"], templates["p00/1"] = nil, nil // enrolled or probe, never found
	templates["p08/0"] = nil                          // a stranger who finds nobody
	templates["p03/0"] = angle(20*2 + 1)              // looks like p02
	r, err := accuracy.Identify(images, templates, 6, 1)
	if err != nil {
		t.Fatal(err)
	}
	if r.Mates != 6 || r.Strangers != 5 {
		t.Errorf("failures left out of the counts: %+v", r)
	}
	if r.RankOne < 2./6 {
		t.Errorf("rank one miss rate %v, want at least 2 of 6", r.RankOne)
	}
}

func TestIdentifyRepeatsBySeed(t *testing.T) {
	pairs, templates := randomSet(3, 60, 3, 0.9)
	images := accuracy.Images(pairs)
	a, err := accuracy.Identify(images, templates, 30, 5)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := accuracy.Identify(images, templates, 30, 5)
	c, _ := accuracy.Identify(images, templates, 30, 6)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("one seed, two results: %+v and %+v", a, b)
	}
	if fmt.Sprint(a) == fmt.Sprint(c) {
		t.Error("another seed, the same gallery")
	}
	for i, p := range a.Points[1:] {
		if p.FNIR < a.Points[i].FNIR {
			t.Errorf("FNIR falls with FPIR: %+v", a.Points)
		}
	}
}

func TestIdentifyRefuses(t *testing.T) {
	images, templates := circle(2, 1)
	for _, n := range []int{3, 4} { // nobody outside; more than there are
		if r, err := accuracy.Identify(images, templates, n, 1); err == nil {
			t.Errorf("gallery of %d of 3: %+v", n, r)
		}
	}
}
