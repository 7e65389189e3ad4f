package verify

import (
	"sync"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/store"
)

// bins of the histogram cover the cosines from −1 to 1.
const bins = 100

// Impostors is what a gallery's own comparisons say about its error rates: the
// score of the best wrong person in each search whose right answer was known.
// One room and one camera make people more alike than any calibration set, so
// the rate that a threshold promises may not hold here.
type Impostors struct {
	Probes    int       // searches counted
	Histogram []int     // of the best wrong score, from −1 to 1 in steps of 0.02
	Best      float64   // the highest wrong score
	LookAlike [2]string // the person meant and the wrong one, at Best
}

// Above is the share of searches in which somebody wrong reached score: the
// FPIR as it is here. It is exact at multiples of 0.02.
func (i Impostors) Above(score float64) float64 {
	if i.Probes == 0 {
		return 0
	}
	n := 0
	for b := binOf(score); b < len(i.Histogram); b++ {
		n += i.Histogram[b]
	}
	return float64(n) / float64(i.Probes)
}

func binOf(score float64) int {
	// A score of exactly k·0.02 belongs to the bin that begins there.
	return min(max(int((score+1)*bins/2+1e-9), 0), bins-1)
}

// impostors counts. The zero value is ready.
type impostors struct {
	mu  sync.Mutex // protects sum
	sum Impostors
}

// note counts a search for mate; the first hit that is not the mate was wrong.
func (w *impostors) note(mate store.PersonID, hits []engine.Hit) {
	for _, h := range hits {
		if h.ID == string(mate) {
			continue
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.sum.Histogram == nil {
			w.sum.Histogram = make([]int, bins)
		}
		w.sum.Histogram[binOf(h.Score)]++
		if w.sum.Probes++; w.sum.Probes == 1 || h.Score > w.sum.Best {
			w.sum.Best, w.sum.LookAlike = h.Score, [2]string{string(mate), h.ID}
		}
		return
	}
}

// Impostors returns the watch of a merchant's gallery since the start.
func (s *Service) Impostors(m store.MerchantID) Impostors {
	w := &s.galleries.of(m).impostors
	w.mu.Lock()
	defer w.mu.Unlock()
	sum := w.sum
	sum.Histogram = append(make([]int, 0, bins), sum.Histogram...)
	return sum
}
