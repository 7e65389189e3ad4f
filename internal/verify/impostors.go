package verify

import (
	"errors"
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

// note counts a search for mate.
func (w *impostors) note(mate store.PersonID, hits []engine.Hit) {
	h, ok := bestWrong(mate, hits)
	if !ok {
		return
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
}

// bestWrong is the first hit that is not the mate.
func bestWrong(mate store.PersonID, hits []engine.Hit) (h engine.Hit, ok bool) {
	for _, h := range hits {
		if h.ID != string(mate) {
			return h, true
		}
	}
	return engine.Hit{}, false
}

// lookAlikes are two people whom the network takes for each other, as one probe
// reached the threshold with both; the zero value are none.
type lookAlikes struct {
	mate, other store.PersonID
	score       float64 // of the other
}

// rivals are the look-alikes among the hits of a probe that shows mate.
func rivals(mate store.PersonID, hits []engine.Hit, threshold float64) lookAlikes {
	if h, ok := bestWrong(mate, hits); ok && h.Score >= threshold {
		return lookAlikes{mate, store.PersonID(h.ID), h.Score}
	}
	return lookAlikes{}
}

// flag asks an operator about two people. It asks once, whatever the answer was, and
// no more than store.MaxReviews about one person at a time.
func (s *Service) flag(tx *store.Tx, m store.MerchantID, two lookAlikes) error {
	if two.other == "" {
		return nil
	}
	for _, p := range []store.PersonID{two.mate, two.other} {
		if _, err := store.GetOf[store.Person](tx, m, p); errors.Is(err, store.ErrNotFound) {
			return nil // erased since the search
		} else if err != nil {
			return err
		}
	}
	_, err := store.AskOnce(tx, &store.Review{ID: store.NewID[store.ReviewID](tx.Time()), Merchant: m, Reason: store.ReviewLookAlike,
		Persons: []store.PersonID{two.mate, two.other}, Score: s.cal.Similarity(two.score)})
	return err
}

// Impostors returns the watch of a merchant's gallery since the start.
func (s *Service) Impostors(m store.MerchantID) Impostors {
	in, leave := s.hold()
	defer leave()
	w := &in.galleries.of(m).impostors
	w.mu.Lock()
	defer w.mu.Unlock()
	sum := w.sum
	sum.Histogram = append(make([]int, 0, bins), sum.Histogram...)
	return sum
}
