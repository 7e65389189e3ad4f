package accuracy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// FPIRs are the false positive identification rates that a search reports.
var FPIRs = []float64{1e-1, 3e-2, 1e-2}

// A SearchPoint is an operating point of a search.
type SearchPoint struct {
	FPIR      float64
	Threshold float64
	FNIR      float64
	Interval  Interval // Wilson's, of FNIR
	Supported bool     // three false positives are to be expected
}

// An Identification is what an open-set search did: people of the gallery who
// look for themselves, and strangers who should find nobody.
type Identification struct {
	Enrolled  int     // people in the gallery, one image each
	Mates     int     // searches by enrolled people
	Strangers int     // searches by others
	RankOne   float64 // share of mates not found in first place, at any score
	Points    []SearchPoint
}

// Identify enrols one image each of n people and searches with all the other
// images of the set. Who is enrolled, and with which image, the seed decides;
// people with several images come first, as only they can be looked for. An
// image without a template finds nobody, and cannot be found when it was to be
// enrolled.
func Identify(images []string, t Templates, n int, seed uint64) (*Identification, error) {
	enrolled, probes := dealGallery(images, n, seed)
	if len(enrolled) < n {
		return nil, fmt.Errorf("identify: %d people to enrol and %d in the set", n, len(enrolled))
	}
	s := newSearch(enrolled, probes, t)
	if s.mates == 0 || s.strangerCount == 0 {
		return nil, errors.New("identify: the set needs people outside the gallery and second images of people inside")
	}
	r := &Identification{Enrolled: n, Mates: s.mates, Strangers: s.strangerCount,
		RankOne: float64(s.mates-len(s.found)) / float64(s.mates)}
	for _, fpir := range FPIRs {
		threshold := -1.0
		if allowed := int(fpir * float64(s.strangerCount)); allowed < len(s.stranger) {
			threshold = above(s.stranger[allowed])
		}
		hits := 0
		for _, score := range s.found {
			if float64(score) >= threshold {
				hits++
			}
		}
		r.Points = append(r.Points, SearchPoint{
			FPIR: fpir, Threshold: threshold,
			FNIR:      float64(s.mates-hits) / float64(s.mates),
			Interval:  wilson(s.mates-hits, s.mates),
			Supported: fpir*float64(s.strangerCount) >= 3,
		})
	}
	return r, nil
}

// dealGallery picks the images to enrol; all others are probes.
func dealGallery(images []string, n int, seed uint64) (enrolled, probes []string) {
	byPerson := make(map[string][]string)
	for _, name := range images {
		byPerson[Person(name)] = append(byPerson[Person(name)], name)
	}
	people := make([]string, 0, len(byPerson))
	for p := range byPerson {
		people = append(people, p)
	}
	slices.Sort(people)
	rng := rand.New(rand.NewPCG(seed, 1))
	rng.Shuffle(len(people), func(i, j int) { people[i], people[j] = people[j], people[i] })
	slices.SortStableFunc(people, func(a, b string) int {
		return min(2, len(byPerson[b])) - min(2, len(byPerson[a]))
	})
	for i, p := range people {
		own := slices.Sorted(slices.Values(byPerson[p]))
		if i < n {
			k := rng.IntN(len(own))
			enrolled = append(enrolled, own[k])
			own = slices.Delete(own, k, k+1)
		}
		probes = append(probes, own...)
	}
	return enrolled, probes
}

// search is the outcome of all probes.
type search struct {
	mates         int
	strangerCount int
	found         []float32 // scores of the mates that came first
	stranger      []float32 // best score of each stranger with a template, highest first
}

func newSearch(enrolled, probes []string, t Templates) *search {
	inside := make(map[string]bool, len(enrolled))
	for _, name := range enrolled {
		inside[Person(name)] = true
	}
	g, s := newGallery(enrolled, t), &search{}
	for _, name := range probes {
		who := Person(name)
		if inside[who] {
			s.mates++
		} else {
			s.strangerCount++
		}
		v := t[name]
		if v == nil {
			continue
		}
		best, score := g.first(v)
		switch {
		case best < 0:
		case !inside[who]:
			s.stranger = append(s.stranger, score)
		case Person(g.names[best]) == who:
			s.found = append(s.found, score)
		}
	}
	slices.Sort(s.stranger)
	slices.Reverse(s.stranger)
	return s
}

// first is the row most like v; -1 when there is none.
func (g *gallery) first(v []float32) (row int, score float32) {
	row, score = -1, failedScore
	for i := range g.len() {
		if s := dot(v, g.row(i)); s > score {
			row, score = i, s
		}
	}
	return row, score
}
