package synthface_test

import (
	"flag"
	"slices"
	"testing"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/synthface"
)

var choose = flag.Int("choose", 0, "choose a cast among this many seeds (minutes); see Cast")

// candidate is a person who might join the cast.
type candidate struct {
	seed  int64
	looks []look
}

// alike is the worst score between two candidates.
func alike(a, b candidate) float64 {
	worst := -1.0
	for _, l := range a.looks {
		for _, m := range b.looks {
			worst = max(worst, engine.Compare(l.template, m.template))
		}
	}
	return worst
}

// TestChooseCast is how Cast came about: the people of many seeds, far from
// each other for the standard pack, greedily, and then chosen by eye.
func TestChooseCast(t *testing.T) {
	if *choose == 0 {
		t.Skip("only with -choose")
	}
	e := networks(t, "standard")
	var all []candidate
	for seed := range int64(*choose) {
		c := candidate{seed: seed + 1}
		usable := true
		for _, shot := range views(synthface.NewPerson(c.seed))[:2] {
			l := lookAt(t, e, shot)
			usable = usable && l.found && l.score > .75
			c.looks = append(c.looks, l)
		}
		if usable && alike(c, c) > .7 {
			all = append(all, c)
		}
	}
	t.Logf("%d of %d are usable", len(all), *choose)
	for _, size := range []int{8, 12, 16, 24} {
		if size > len(all) {
			break
		}
		best, worst := []int64(nil), 2.0
		for first := range all {
			if seeds, w := farthestFirst(all, first, size); w < worst {
				best, worst = seeds, w
			}
		}
		t.Logf("%d people, no two nearer than %.3f: %v", size, worst, best)
	}
}

// farthestFirst adds, to the first, again and again who is least like those
// already chosen.
func farthestFirst(all []candidate, first, size int) (seeds []int64, worst float64) {
	near := make([]float64, len(all)) // score to the most alike of the chosen
	for next := first; ; {
		seeds = append(seeds, all[next].seed)
		for i, c := range all {
			near[i] = max(near[i], alike(c, all[next]))
		}
		near[next] = 3 // not again
		if len(seeds) == size {
			return seeds, worst
		}
		next = slices.Index(near, slices.Min(near))
		worst = max(worst, near[next])
	}
}
