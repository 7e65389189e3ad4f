package accuracy

import "slices"

// A Group is how the operating points of the whole set turn out among some of
// its people or images: one threshold for all, and who pays for it.
type Group struct {
	Name             string
	Images           int
	FailuresToEnrol  int
	Mates, Impostors int // impostors: both images in the group
	Points           []GroupPoint
}

// A GroupPoint is one threshold of the whole set within a group.
type GroupPoint struct {
	SetFMR       float64 // that the threshold keeps on the whole set
	Threshold    float64
	FMR, FNMR    float64  // in the group
	FNMRInterval Interval // Wilson's
}

// ByGroup splits a result. groups maps an image or a person to a group, the
// image first; who is in none is left out. A mate counts in the groups of both
// its images, an impostor comparison where both images share a group: people
// who are alike in age and origin are the impostors to fear.
func ByGroup(r *Result, pairs []Pair, t Templates, groups map[string]string) []Group {
	of := func(image string) string {
		if g, ok := groups[image]; ok {
			return g
		}
		return groups[Person(image)]
	}
	members := make(map[string][]string)
	for _, name := range Images(pairs) {
		if g := of(name); g != "" {
			members[g] = append(members[g], name)
		}
	}
	var out []Group
	for name, images := range members {
		var mates []Pair
		for _, p := range pairs {
			if p.Mate && (of(p.A) == name || of(p.B) == name) {
				mates = append(mates, p)
			}
		}
		out = append(out, r.group(name, images, mates, t))
	}
	slices.SortFunc(out, func(a, b Group) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

func (r *Result) group(name string, images []string, mates []Pair, t Templates) Group {
	g := Group{Name: name, Images: len(images), Mates: len(mates)}
	for _, image := range images {
		if t[image] == nil {
			g.FailuresToEnrol++
		}
	}
	gallery := newGallery(images, t)
	parts := make([][]int, workers())
	for w := range parts {
		parts[w] = make([]int, len(r.Points))
	}
	gallery.eachImpostor(func(w, _, _ int, score float32) {
		for k, p := range r.Points {
			if float64(score) >= p.Threshold {
				parts[w][k]++
			}
		}
	})
	g.Impostors = int(gallery.impostors(nil))
	for k, p := range r.Points {
		missed, matched := 0, 0
		for _, m := range mates {
			if a, b := t[m.A], t[m.B]; a == nil || b == nil || float64(dot(a, b)) < p.Threshold {
				missed++
			}
		}
		for _, part := range parts {
			matched += part[k]
		}
		gp := GroupPoint{SetFMR: p.FMR, Threshold: p.Threshold, FNMRInterval: wilson(missed, len(mates))}
		gp.FMR = ratio(matched, g.Impostors)
		gp.FNMR = ratio(missed, len(mates))
		g.Points = append(g.Points, gp)
	}
	return g
}

// ratio is k of n, and 0 of none is 0: the counts stand beside it.
func ratio(k, n int) float64 {
	if n == 0 {
		return 0
	}
	return float64(k) / float64(n)
}
