package accuracy

import (
	"errors"
	"math"
	"slices"
	"sort"
)

// FMRs are the false match rates that every measurement reports.
var FMRs = []float64{1e-2, 1e-3, 1e-4}

// An Interval holds the true value in 95 of 100 measurements; both ends are
// NaN where the set cannot say.
type Interval struct{ Low, High float64 }

// A Point is an operating point: the lowest threshold that keeps a false match
// rate, and what it costs.
type Point struct {
	FMR       float64 // asked for
	Threshold float64 // a score that reaches it is a match
	FNMR      float64
	Interval  Interval // of FNMR, threshold and people resampled together
	// Supported says that the impostors can speak about this rate at all: three
	// false matches are to be expected at it (the rule of three).
	Supported bool
}

// A Result is what one chain did on one set.
type Result struct {
	Images, People    int
	FailuresToEnrol   int // images
	Mates, Impostors  int // comparisons; mates include those that failed to enrol
	EER               float64
	EERInterval       Interval
	Accuracy          float64 // share of the file's pairs decided rightly, mean of its blocks
	AccuracyDeviation float64 // standard deviation between the blocks
	Points            []Point // at FMRs

	scores *scores
}

// Measure compares the mates of the pairs and all impostors among their
// images. The intervals come from a bootstrap over people (1,000 replicates, a
// fixed seed): comparisons of one person depend on each other, and counting
// them as independent would make the intervals too narrow.
func Measure(pairs []Pair, t Templates) (*Result, error) {
	s := compare(pairs, t)
	if len(s.mates) == 0 || len(s.impostor) == 0 {
		return nil, errors.New("measure: the set needs at least one mate and one impostor comparison that could be enrolled")
	}
	images := Images(pairs)
	people := make(map[string]bool)
	failures := 0
	for _, name := range images {
		people[Person(name)] = true
		if t[name] == nil {
			failures++
		}
	}
	r := &Result{
		Images: len(images), People: len(people), FailuresToEnrol: failures,
		Mates: len(s.mates) + len(s.failed), Impostors: len(s.impostor),
		EER: s.eer(), scores: s,
	}
	r.Accuracy, r.AccuracyDeviation = blockAccuracy(Blocks(pairs), t)
	for _, fmr := range FMRs {
		threshold := s.threshold(fmr)
		r.Points = append(r.Points, Point{
			FMR: fmr, Threshold: threshold, FNMR: s.fnmr(threshold),
			Supported: fmr*float64(len(s.impostor)) >= 3,
		})
	}
	s.bootstrap(r, replicates)
	return r, nil
}

// Threshold is the lowest score that keeps the false match rate.
func (r *Result) Threshold(fmr float64) float64 { return r.scores.threshold(fmr) }

// FNMR is the false non-match rate at a threshold, failures to enrol included.
func (r *Result) FNMR(threshold float64) float64 { return r.scores.fnmr(threshold) }

// FMR is the false match rate at a threshold.
func (r *Result) FMR(threshold float64) float64 {
	return float64(r.scores.falseMatches(threshold)) / float64(len(r.scores.impostor))
}

func (s *scores) threshold(fmr float64) float64 {
	allowed := int(fmr * float64(len(s.impostor)))
	if allowed >= len(s.impostor) {
		return -1
	}
	return above(s.impostor[allowed])
}

// above is the least threshold that a score does not reach. Scores are
// float32; the next of those is exact as a float64 too.
func above(score float32) float64 { return float64(math.Nextafter32(score, 2)) }

func (s *scores) fnmr(threshold float64) float64 {
	matched := sort.Search(len(s.mates), func(i int) bool { return float64(s.mates[i].score) < threshold })
	all := len(s.mates) + len(s.failed)
	return float64(all-matched) / float64(all)
}

func (s *scores) falseMatches(threshold float64) int {
	return sort.Search(len(s.impostor), func(i int) bool { return float64(s.impostor[i]) < threshold })
}

// eer is the least over all thresholds of the greater of both rates. FNMR
// changes at the scores of mates only, and at each of them the false matches
// are fewest, so no other threshold need be looked at.
func (s *scores) eer() float64 {
	best := 1.0
	for _, m := range s.mates {
		t := float64(m.score)
		fmr := float64(s.falseMatches(t)) / float64(len(s.impostor))
		best = min(best, max(fmr, s.fnmr(t)))
	}
	return best
}

// verdict is one pair of the file: its score, and whether it is a mate.
type verdict struct {
	score float32
	mate  bool
}

// failedScore lies below every cosine.
const failedScore = -2

// blockAccuracy decides each block at the threshold that is best for all the
// others, and returns mean and standard deviation over the blocks.
func blockAccuracy(blocks [][]Pair, t Templates) (mean, deviation float64) {
	decided := make([][]verdict, len(blocks))
	for i, pairs := range blocks {
		for _, p := range pairs {
			v := verdict{failedScore, p.Mate}
			if a, b := t[p.A], t[p.B]; a != nil && b != nil {
				v.score = dot(a, b)
			}
			decided[i] = append(decided[i], v)
		}
	}
	var sum, squares float64
	for i := range decided {
		others := slices.Concat(slices.Concat(decided[:i]...), slices.Concat(decided[i+1:]...))
		if len(others) == 0 {
			others = decided[i]
		}
		threshold := bestThreshold(others)
		right := 0
		for _, v := range decided[i] {
			if v.mate == (v.score >= threshold) {
				right++
			}
		}
		share := float64(right) / float64(len(decided[i]))
		sum += share
		squares += share * share
	}
	n := float64(len(decided))
	mean = sum / n
	return mean, math.Sqrt(max(0, squares/n-mean*mean))
}

// bestThreshold decides most of the verdicts rightly; among equals it is the
// lowest such gap's middle.
func bestThreshold(vs []verdict) float32 {
	vs = slices.Clone(vs)
	slices.SortFunc(vs, func(a, b verdict) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	// With the first i accepted, right = mates among them + impostors after.
	right := 0
	for _, v := range vs {
		if !v.mate {
			right++
		}
	}
	best, threshold := right, float32(2)
	for i, v := range vs {
		if v.mate {
			right++
		} else {
			right--
		}
		next := float32(failedScore)
		if i+1 < len(vs) {
			next = vs[i+1].score
		}
		if next < v.score && right >= best {
			best, threshold = right, (v.score+next)/2
		}
	}
	return threshold
}
