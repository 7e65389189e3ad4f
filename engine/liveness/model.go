package liveness

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
)

// Threshold is the score from which a session counts as alive.
const Threshold = 50.0

// BrokenScore is the highest score of a session that breaks a rule.
const BrokenScore = 25.0

// Model turns measures into a score. It is data: see calibration.json.
type Model struct {
	Origin  string     `json:"origin"` // which command made it, from what, when
	Active  Regression `json:"active"`
	Passive Regression `json:"passive"`
}

// Regression is a logistic regression over cues. The score is 100·σ(Bias + Σ w·z),
// z the cue's value on the scale of its Term; 50 is the threshold that was chosen.
type Regression struct {
	Bias  float64         `json:"bias"`
	Terms map[string]Term `json:"terms"`
}

// Term weighs a cue: z = (value − Mid) / Scale, held to ±Limit.
type Term struct {
	Mid   float64 `json:"mid"`
	Scale float64 `json:"scale"`
	Low   float64 `json:"low"`  // weight of a z below 0
	High  float64 `json:"high"` // … above
}

// Score is what the model says of measures alone, without the rules; active: of a
// session with a challenge.
func (m *Model) Score(v *Measures, active bool) float64 {
	s, _ := m.score(v, active)
	return s
}

// zLimit holds back cues that are far out.
const zLimit = 6.0

// contribution of a cue to the logit; NaN weighs nothing.
func (t Term) contribution(value float64) float64 {
	if math.IsNaN(value) {
		return 0
	}
	z := min(max((value-t.Mid)/t.Scale, -zLimit), zLimit)
	if z < 0 {
		return t.Low * z
	}
	return t.High * z
}

// score is the score of measures, and the cues that speak most for an attack.
func (m *Model) score(v *Measures, active bool) (score float64, against []Cue) {
	sum, against := m.explain(v, active)
	return 100 / (1 + math.Exp(-sum)), against
}

// explain is the logit of the score, and the cues that speak most against.
func (m *Model) explain(v *Measures, active bool) (sum float64, against []Cue) {
	r := &m.Passive
	if active {
		r = &m.Active
	}
	sum = r.Bias
	var parts [cues]float64
	for c := range cues {
		t, ok := r.Terms[c.String()]
		if !ok {
			continue
		}
		parts[c] = t.contribution(v[c])
		sum += parts[c]
		if parts[c] < 0 {
			against = append(against, c)
		}
	}
	return sum, most(against, 3, func(c Cue) float64 { return -parts[c] })
}

//go:embed calibration.json
var calibration []byte

// Default is the model that is built in.
var Default = sync.OnceValue(func() *Model {
	m, err := Parse(calibration)
	if err != nil {
		panic(err) // the file is part of the program, and a test reads it
	}
	return m
})

// maxModel bounds the bytes of a model.
const maxModel = 1 << 20

// Parse reads a model. It refuses what would not score: unknown cues, numbers that
// are none, scales that are not positive.
func Parse(b []byte) (*Model, error) {
	if len(b) > maxModel {
		return nil, errors.New("read liveness calibration: too large")
	}
	var m Model
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("read liveness calibration: %w", err)
	}
	known := map[string]bool{}
	for _, n := range cueNames {
		known[n] = true
	}
	for mode, r := range map[string]Regression{"active": m.Active, "passive": m.Passive} {
		if len(r.Terms) == 0 {
			return nil, fmt.Errorf("read liveness calibration: %s has no terms", mode)
		}
		for name, t := range r.Terms {
			if !known[name] || !(t.Scale > 0) {
				return nil, fmt.Errorf("read liveness calibration: %s: term %q is not usable", mode, name)
			}
		}
	}
	return &m, nil
}
