package liveness

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/cypherface/edge/engine"
)

// Threshold is the score from which a session counts as alive.
const Threshold = 50.0

// BrokenScore is the highest score of a session that breaks a rule.
const BrokenScore = 25.0

// Model turns measures into a score. It is data: see calibration.json. Each kind of
// attack ("paper", "display", "close-up", "recording") has a regression of its own, and
// the least score counts: that a head is no paper says nothing of whether it is on a
// display.
type Model struct {
	Origin  string                `json:"origin"` // which command made it, from what, when
	Active  map[string]Regression `json:"active"`
	Passive map[string]Regression `json:"passive"`

	bare *Model // for faces whose points are the detector's own; nil: this one
}

// Regression is a logistic regression over cues. The score is 100·σ(Bias + Σ w·z),
// z the cue's value on the scale of its Term; 50 is the threshold that was chosen.
type Regression struct {
	Bias  float64         `json:"bias"`
	Terms map[string]Term `json:"terms"`
}

// Term weighs a cue: z = (value − Mid) / Scale, held to ±zLimit.
type Term struct {
	Log   float64 `json:"log,omitempty"` // of ln(value + Log), where it is not 0
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

// scaled is what Mid and Scale are of.
func (t Term) scaled(value float64) float64 {
	if t.Log > 0 {
		return math.Log(max(value, 0) + t.Log)
	}
	return value
}

// z of a value; 0, which weighs nothing, of NaN.
func (t Term) z(value float64) float64 {
	if math.IsNaN(value) || t.Scale == 0 {
		return 0
	}
	return min(max((t.scaled(value)-t.Mid)/t.Scale, -zLimit), zLimit)
}

// contribution of a cue to the logit.
func (t Term) contribution(value float64) float64 {
	z := t.z(value)
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

// explain is the least logit over the kinds of attack, and the cues that speak most
// for that kind.
func (m *Model) explain(v *Measures, active bool) (logit float64, against []Cue) {
	kinds := m.Passive
	if active {
		kinds = m.Active
	}
	logit = math.Inf(1)
	for _, r := range kinds {
		if sum, parts := r.logit(v); sum < logit {
			logit, against = sum, nil
			for c := range cues {
				if parts[c] < 0 {
					against = append(against, c)
				}
			}
			against = most(against, 3, func(c Cue) float64 { return -parts[c] })
		}
	}
	return logit, against
}

// logit is the sum of a regression, and what each cue adds to it.
func (r *Regression) logit(v *Measures) (sum float64, parts [cues]float64) {
	sum = r.Bias
	for c := range cues {
		t, ok := r.Terms[c.String()]
		if !ok && c == Picture {
			t = vote
		}
		parts[c] = t.contribution(v[c])
		sum += parts[c]
	}
	return sum, parts
}

// The pack standard has a network for the points of a face, basic has none: there they
// are the detector's own, and show less depth.
var (
	//go:embed calibration.json
	calibration []byte
	//go:embed calibration_bare.json
	calibrationBare []byte
)

// Default is the model that is built in.
var Default = sync.OnceValue(func() *Model {
	m, err := Parse(calibration)
	if err == nil {
		m.bare, err = Parse(calibrationBare)
	}
	if err != nil {
		panic(err) // the files are part of the program, and a test reads them
	}
	return m
})

// Bare is the model for packs without a network for the points of a face.
func (m *Model) Bare() *Model {
	if m.bare == nil {
		return m
	}
	return m.bare
}

// suits is the model for the faces of frames: none has points of its own in a pack
// without a network for them.
func (m *Model) suits(frames []Frame) *Model {
	for i := range frames {
		if f := &frames[i].Face; f.Landmarks[2] != f.Keypoints[engine.NoseTip] {
			return m
		}
	}
	return m.Bare()
}

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
	for mode, kinds := range map[string]map[string]Regression{"active": m.Active, "passive": m.Passive} {
		if len(kinds) == 0 {
			return nil, fmt.Errorf("read liveness calibration: %s has no regression", mode)
		}
		for kind, r := range kinds {
			if len(r.Terms) == 0 {
				return nil, fmt.Errorf("read liveness calibration: %s, %s: there are no terms", mode, kind)
			}
			for name, t := range r.Terms {
				if !known[name] || !(t.Scale > 0) || t.Log < 0 {
					return nil, fmt.Errorf("read liveness calibration: %s, %s: term %q is not usable", mode, kind, name)
				}
			}
		}
	}
	return &m, nil
}
