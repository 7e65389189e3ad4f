package accuracy

import (
	"math"
	"math/rand/v2"
	"slices"
)

const replicates = 1000

// bootstrap fills in the intervals: it draws the people anew, with
// replacement, and weighs each comparison by how often its people were drawn;
// copies of one person are not impostors of each other. Percentile intervals.
func (s *scores) bootstrap(r *Result, n int) {
	rng := rand.New(rand.NewPCG(uint64(len(s.impostor)), 95))
	weight := make([]float64, len(s.gallery.people))
	eers := make([]float64, n)
	fnmrs := make([][]float64, len(r.Points))
	for i := range fnmrs {
		fnmrs[i] = make([]float64, n)
	}
	for k := range n {
		clear(weight)
		for range weight {
			weight[rng.IntN(len(weight))]++
		}
		w := s.walk(weight)
		eers[k] = w.eer()
		for i, p := range r.Points {
			fnmrs[i][k] = w.fnmr(p.FMR)
		}
	}
	r.EERInterval = percentiles(eers)
	for i := range r.Points {
		r.Points[i].Interval = percentiles(fnmrs[i])
	}
}

// walker goes down the scores of one replicate.
type walker struct {
	s         *scores
	weight    []float64
	impostors float64 // weight of all impostor comparisons
	mates     float64 // weight of all mates, failures included
}

func (s *scores) walk(weight []float64) *walker {
	w := &walker{s: s, weight: weight, impostors: s.gallery.impostors(weight)}
	for _, m := range s.mates {
		w.mates += weight[m.a]
	}
	for _, m := range s.failed {
		w.mates += weight[m.a]
	}
	return w
}

// fnmr is the rate at a false match rate; NaN when the tail ends before it or
// no mate was drawn.
func (w *walker) fnmr(fmr float64) float64 {
	if w.mates == 0 {
		return math.NaN()
	}
	var sum float64
	for _, c := range w.s.tail {
		sum += w.weight[c.a] * w.weight[c.b]
		if sum > fmr*w.impostors {
			return 1 - w.matched(c.score)/w.mates
		}
	}
	return math.NaN()
}

// matched is the weight of the mates above a score.
func (w *walker) matched(score float32) float64 {
	var sum float64
	for _, m := range w.s.mates {
		if m.score <= score {
			break
		}
		sum += w.weight[m.a]
	}
	return sum
}

// eer is the same minimum as scores.eer, over the tail.
func (w *walker) eer() float64 {
	if w.mates == 0 || w.impostors == 0 {
		return math.NaN()
	}
	var matched, falseMatches float64
	i, best := 0, math.NaN()
	for _, m := range w.s.mates {
		matched += w.weight[m.a]
		for ; i < len(w.s.tail) && w.s.tail[i].score >= m.score; i++ {
			c := w.s.tail[i]
			falseMatches += w.weight[c.a] * w.weight[c.b]
		}
		fmr, fnmr := falseMatches/w.impostors, 1-matched/w.mates
		best = min(max(fmr, fnmr), orInf(best))
		if fmr >= fnmr {
			return best
		}
		if i == len(w.s.tail) && i < len(w.s.impostor) {
			return math.NaN() // the rates do not meet within the tail
		}
	}
	return best
}

func orInf(x float64) float64 {
	if math.IsNaN(x) {
		return math.Inf(1)
	}
	return x
}

// percentiles is the middle 95 % of the values; NaN when any of them is.
func percentiles(values []float64) Interval {
	v := slices.Sorted(slices.Values(values)) // NaN sorts first
	if len(v) == 0 || math.IsNaN(v[0]) {
		return Interval{math.NaN(), math.NaN()}
	}
	at := func(q float64) float64 { return v[int(q*float64(len(v)-1)+0.5)] }
	return Interval{at(0.025), at(0.975)}
}
