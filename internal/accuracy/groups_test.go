package accuracy_test

import (
	"testing"

	"github.com/cypherface/edge/internal/accuracy"
)

func TestByGroup(t *testing.T) {
	pairs, templates := handSet()
	r, err := accuracy.Measure(pairs, templates)
	if err != nil {
		t.Fatal(err)
	}
	groups := accuracy.ByGroup(r, pairs, templates, map[string]string{
		"a": "near", "b": "near", "c": "far", "d": "far", "c/1": "odd",
	})
	type row struct {
		name                              string
		images, failures, mates, impostor int
		fnmr                              float64
	}
	// The threshold is just above cos 60°: of the mates only a and b match.
	want := []row{{"far", 3, 1, 2, 1, 1}, {"near", 4, 0, 2, 4, 0}, {"odd", 1, 0, 1, 0, 1}}
	if len(groups) != len(want) {
		t.Fatalf("%d groups, want %d", len(groups), len(want))
	}
	for i, w := range want {
		g := groups[i]
		if got := (row{g.Name, g.Images, g.FailuresToEnrol, g.Mates, g.Impostors, g.Points[0].FNMR}); got != w {
			t.Errorf("group %d: %+v, want %+v", i, got, w)
		}
		if len(g.Points) != len(r.Points) || g.Points[0].FMR != 0 {
			t.Errorf("group %s: %+v", g.Name, g.Points)
		}
	}
}

func TestByGroupCountsFalseMatches(t *testing.T) {
	pairs, templates := randomSet(2, 40, 3, 0.8)
	r, err := accuracy.Measure(pairs, templates)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for name := range templates {
		all[accuracy.Person(name)] = "everybody"
	}
	g := accuracy.ByGroup(r, pairs, templates, all)
	if len(g) != 1 || g[0].Impostors != r.Impostors || g[0].Mates != r.Mates {
		t.Fatalf("one group of all: %+v", g)
	}
	for i, p := range g[0].Points {
		if p.FMR != r.FMR(p.Threshold) || p.FNMR != r.Points[i].FNMR {
			t.Errorf("at %g: group %+v, set %+v", p.SetFMR, p, r.Points[i])
		}
	}
}
