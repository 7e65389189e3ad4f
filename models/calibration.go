package models

import (
	"fmt"
	"math"
	"sort"
)

// Calibration says what a pack's scores (cosines) mean: how often two
// different people reach a score (false match rate, FMR) and how often two
// images of one person stay below it (false non-match rate, FNMR). It is
// measured by cypherface eval and kept in the manifest.
//
// All methods work on a cautious curve: the upper 95 % confidence limit of
// each measured FMR, never below 3/ImpostorPairs (the rule of three: seeing no
// false match among N pairs only shows that the rate is below 3/N). Between
// points log FMR is linear in the score. Pairs count as independent; where all
// pairs of few people were compared the true interval is wider.
//
// The zero value knows nothing: its FMR is 1 and no threshold is supported.
type Calibration struct {
	Origin        string  `json:"origin"` // which images and chain, when, by what command
	ImpostorPairs int     `json:"impostor_pairs"`
	MatePairs     int     `json:"mate_pairs"`
	Points        []Point `json:"points"` // scores strictly rising
}

// Point is the measured rate of both errors when Score is the threshold.
type Point struct {
	Score float64 `json:"score"` // cosine
	FMR   float64 `json:"fmr"`   // impostor pairs at or above Score, a fraction
	FNMR  float64 `json:"fnmr"`  // mate pairs below Score, failures to enrol among them
}

// anchorFMR is the error rate that similarity 80 stands for in every pack.
const anchorFMR = 1e-4

// FMR returns the rate at which two different people reach score: cautious,
// falling with the score, in (0, 1].
func (c *Calibration) FMR(score float64) float64 {
	if len(c.Points) == 0 || math.IsNaN(score) || score <= -1 {
		return 1
	}
	i := sort.Search(len(c.Points), func(i int) bool { return c.Points[i].Score >= score })
	if i == len(c.Points) {
		return c.upper(i - 1)
	}
	s0, f0 := -1.0, 1.0
	if i > 0 {
		s0, f0 = c.Points[i-1].Score, c.upper(i-1)
	}
	s1, f1 := c.Points[i].Score, c.upper(i)
	if s1 <= s0 {
		return f1
	}
	t := (score - s0) / (s1 - s0)
	return math.Exp((1-t)*math.Log(f0) + t*math.Log(f1))
}

// Threshold returns the lowest score at which two different people match at
// most at the rate fmr. ok is false where the calibration cannot support the
// claim: fmr is below MinFMR.
func (c *Calibration) Threshold(fmr float64) (score float64, ok bool) {
	if !(fmr > 0) || len(c.Points) == 0 {
		return 1, false
	}
	if fmr >= 1 {
		return -1, true
	}
	i := sort.Search(len(c.Points), func(i int) bool { return c.upper(i) <= fmr })
	if i == len(c.Points) {
		return 1, false
	}
	s0, f0 := -1.0, 1.0
	if i > 0 {
		s0, f0 = c.Points[i-1].Score, c.upper(i-1)
	}
	return interpolate(fmr, s0, f0, c.Points[i].Score, c.upper(i)), true
}

// MinFMR is the smallest false match rate the calibration can vouch for.
func (c *Calibration) MinFMR() float64 {
	if len(c.Points) == 0 {
		return 1
	}
	return c.upper(len(c.Points) - 1)
}

// Similarity turns a score into 0..100 for people and interfaces. It means the
// same in every pack: up to 80 it is −20·log10 FMR (0 for any two faces, 40
// for FMR 1e-2, 60 for 1e-3, 80 for 1e-4), above that it rises linearly with
// the score to 100 at score 1, since error rates that small are not measured.
func (c *Calibration) Similarity(score float64) float64 {
	if len(c.Points) == 0 || math.IsNaN(score) {
		return 0
	}
	anchor := c.anchor()
	if score >= anchor {
		return min(100, 80+20*(score-anchor)/(1-anchor))
	}
	if top := c.Points[len(c.Points)-1]; score > top.Score {
		// The anchor lies beyond the measured scores: straight on to it.
		low := -20 * math.Log10(c.MinFMR())
		return low + (80-low)*(score-top.Score)/(anchor-top.Score)
	}
	return min(80, max(0, -20*math.Log10(c.FMR(score))))
}

// anchor is the score of similarity 80. Where the calibration cannot support
// FMR 1e-4 it is extrapolated along the last slope.
func (c *Calibration) anchor() float64 {
	if s, ok := c.Threshold(anchorFMR); ok {
		return min(s, 0.999)
	}
	last := len(c.Points) - 1
	s0, f0 := -1.0, 1.0
	for i := last - 1; i >= 0; i-- {
		if c.upper(i) > c.upper(last) {
			s0, f0 = c.Points[i].Score, c.upper(i)
			break
		}
	}
	s1, f1 := c.Points[last].Score, c.upper(last)
	if f1 >= f0 {
		return 0.999
	}
	slope := (s1 - s0) / (math.Log(f0) - math.Log(f1))
	return min(max(s1+slope*(math.Log(f1)-math.Log(anchorFMR)), s1), 0.999)
}

// FPIR returns the rate at which a stranger matches at least one of n people
// at score: 1 − (1 − FMR)^n.
func (c *Calibration) FPIR(score float64, n int) float64 {
	if n <= 0 {
		return 0
	}
	fmr := c.FMR(score)
	if fmr >= 1 {
		return 1
	}
	return -math.Expm1(float64(n) * math.Log1p(-fmr))
}

// IdentifyThreshold returns the lowest score at which a stranger matches any
// of n people at most at the rate fpir; ok is false where the calibration
// cannot support that (see Threshold): then ask for a second factor and
// compare 1:1.
func (c *Calibration) IdentifyThreshold(fpir float64, n int) (score float64, ok bool) {
	return c.Threshold(PairFMR(fpir, n))
}

// PairFMR returns the false match rate one comparison may have so that n of
// them together stay within fpir.
func PairFMR(fpir float64, n int) float64 {
	if n <= 1 {
		return fpir
	}
	if fpir >= 1 {
		return 1
	}
	return -math.Expm1(math.Log1p(-fpir) / float64(n))
}

// FNMR returns the measured share of mate comparisons that stay below score:
// what a threshold costs. It is also the FNIR of an identification that
// returns everybody at or above score.
func (c *Calibration) FNMR(score float64) float64 {
	if len(c.Points) == 0 || math.IsNaN(score) {
		return 1
	}
	i := sort.Search(len(c.Points), func(i int) bool { return c.Points[i].Score >= score })
	p0, p1 := Point{Score: -1}, Point{Score: 1, FNMR: 1}
	if i > 0 {
		p0 = c.Points[i-1]
	}
	if i < len(c.Points) {
		p1 = c.Points[i]
	}
	if p1.Score <= p0.Score {
		return p1.FNMR
	}
	t := min(1, max(0, (score-p0.Score)/(p1.Score-p0.Score)))
	return p0.FNMR + t*(p1.FNMR-p0.FNMR)
}

// String says in one line what the pack's error rates are and where the
// numbers come from.
func (c *Calibration) String() string {
	if len(c.Points) == 0 {
		return "error rates unknown: the pack was never measured"
	}
	return fmt.Sprintf("misses %s of mates at FMR 1e-3 and %s at FMR 1e-4 (%s; %d impostor pairs)",
		c.missed(1e-3), c.missed(1e-4), c.Origin, c.ImpostorPairs)
}

func (c *Calibration) missed(fmr float64) string {
	s, ok := c.Threshold(fmr)
	if !ok {
		return "an unknown share"
	}
	return fmt.Sprintf("%.2g %%", 100*c.FNMR(s))
}

// upper is the cautious FMR of point i: the upper 95 % limit for a Poisson
// count, by the approximation of Wilson and Hilferty (Proc. Natl. Acad. Sci.
// 17, 1931), at least 3/N and at most 1.
func (c *Calibration) upper(i int) float64 {
	const z = 1.6448536269514722 // the normal distribution's 95 % point
	n := float64(c.ImpostorPairs)
	k := c.Points[i].FMR*n + 1
	root := 1 - 1/(9*k) + z/(3*math.Sqrt(k))
	return min(1, max(k*root*root*root, 3)/n)
}

// interpolate returns the score at which log FMR, linear between two points,
// is log fmr.
func interpolate(fmr, s0, f0, s1, f1 float64) float64 {
	if f0 <= f1 {
		return s1
	}
	t := (math.Log(f0) - math.Log(fmr)) / (math.Log(f0) - math.Log(f1))
	return s0 + t*(s1-s0)
}

func (c *Calibration) check() error {
	if len(c.Points) == 0 {
		return nil // an imported pack may not have been measured
	}
	if len(c.Points) > maxPoints || c.ImpostorPairs < 1 || c.MatePairs < 1 || c.Origin == "" {
		return fmt.Errorf("%d points from %d impostor and %d mate pairs of origin %q: all must be stated", len(c.Points), c.ImpostorPairs, c.MatePairs, c.Origin)
	}
	for i, p := range c.Points {
		if !(p.Score > -1 && p.Score <= 1 && p.FMR >= 0 && p.FMR <= 1 && p.FNMR >= 0 && p.FNMR <= 1) {
			return fmt.Errorf("point %d (%v): out of range", i, p)
		}
		if i == 0 {
			continue
		}
		if q := c.Points[i-1]; p.Score <= q.Score || p.FMR > q.FMR || p.FNMR < q.FNMR {
			return fmt.Errorf("point %d (%v): scores must rise, FMR fall, FNMR rise", i, p)
		}
	}
	return nil
}
