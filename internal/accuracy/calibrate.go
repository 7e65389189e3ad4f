package accuracy

import (
	"errors"
	"fmt"
	"math"

	"github.com/cypherface/edge/models"
)

// calibrationFMRs are the rates whose scores a calibration writes down, as far
// as the set supports them.
var calibrationFMRs = []float64{
	0.5, 0.2, 0.1, 0.05, 0.02, 1e-2, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6, 1e-6,
}

// Calibrate writes down what the scores of a pack mean: at each score the
// worst rates of all the results, say of a plain and of a stressed set. It
// counts the pairs of the smallest and stops where fewer than three of its
// impostors are left (the rule of three).
func Calibrate(origin string, results ...*Result) (*models.Calibration, error) {
	if len(results) == 0 {
		return nil, errors.New("calibrate: no result to calibrate on")
	}
	c := &models.Calibration{Origin: origin, ImpostorPairs: math.MaxInt, MatePairs: math.MaxInt}
	for _, r := range results {
		c.ImpostorPairs = min(c.ImpostorPairs, r.Impostors)
		c.MatePairs = min(c.MatePairs, r.Mates)
	}
	last := math.Inf(-1)
	for _, fmr := range calibrationFMRs {
		if fmr*float64(c.ImpostorPairs) < 3 {
			break
		}
		p := models.Point{Score: math.Inf(-1)}
		for _, r := range results {
			p.Score = max(p.Score, r.Threshold(fmr))
		}
		p.Score = math.Ceil(p.Score*1e4) / 1e4 // up: never less strict than measured
		if p.Score <= last || p.Score > 1 {
			continue
		}
		last = p.Score
		for _, r := range results {
			p.FMR = max(p.FMR, r.FMR(p.Score))
			p.FNMR = max(p.FNMR, r.FNMR(p.Score))
		}
		c.Points = append(c.Points, p)
	}
	if len(c.Points) < 2 {
		return nil, fmt.Errorf("calibrate: %d impostor comparisons are too few", c.ImpostorPairs)
	}
	return c, nil
}
