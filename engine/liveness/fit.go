package liveness

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Example is a session whose nature is known.
type Example struct {
	Measures Measures
	Person   int64 // whose face it is
	Live     bool
	Kind     string // of attacks: see Model
	Group    string // … the species; each weighs the same
	Broken   bool   // a rule speaks against it already: it weighs little
}

// directions say which way a cue speaks for life: 1 larger, −1 smaller, 0 not
// weighed, since what it is in rendered pictures says nothing about real ones. A fit
// gives no cue a weight against its direction, however much that would help on the
// examples.
var directions = [cues]float64{
	Span: 1, Protrusion: 1, Ridge: 1, Third: 1, Bend: 1, Plane: 1, Cylinder: 1, Parallax: 1,
	Carried: -1, Drift: -1, Sides: -1, Banding: -1, PeakFace: -1, Lattice: -1, Fringe: -1,
	Continuity: 1, Resemblance: 1, Cut: 0, Tint: -1, Picture: 0,
}

// telling are the cues that may weigh against a kind of attack: those of what it lacks,
// or has. A cue that has nothing to do with it would only be fitted to chance; a kind
// that is not listed may be told by any.
var telling = map[string][]Cue{
	"paper":     {Span, Protrusion, Ridge, Third, Bend, Plane, Cylinder, Parallax, Carried, Drift, Sides},
	"display":   {Carried, Drift, Sides, Banding, PeakFace, Lattice, Fringe},
	"close-up":  {Carried, Drift, Banding, PeakFace, Lattice, Fringe},
	"recording": {Continuity, Resemblance, Tint, Carried, Drift},
}

// skewed are the cues of which a few of the living have many times what the others
// have; see Term.Log. Otherwise those few would set the scale.
var skewed = [cues]float64{Drift: .3}

// penalty is how strongly weights are held back.
const penalty = .002

// folds is the number of parts of the people of which each is judged by a fit to the
// others, to find the threshold.
const folds = 6

// Fit makes a regression of examples for each kind of attack among them: scales from
// the living, weights by descent on the penalised log-likelihood, living people and
// attacks weighing the same, attacks that are missed more with each round. The
// thresholds together turn away at most a share spared of the living, as fits to
// other people judge them: of what a fit has seen it thinks too well. That share is
// spent where it keeps out most.
func Fit(examples []Example, spared float64) (map[string]Regression, error) {
	var kinds []*kind
	for _, e := range examples {
		if !e.Live && !slices.ContainsFunc(kinds, func(k *kind) bool { return k.name == e.Kind }) {
			kinds = append(kinds, &kind{name: e.Kind})
		}
	}
	if len(kinds) == 0 {
		return nil, errors.New("fit liveness: there are no attacks")
	}
	for _, k := range kinds {
		if err := k.fit(slices.DeleteFunc(slices.Clone(examples), func(e Example) bool { return !e.Live && e.Kind != k.name })); err != nil {
			return nil, fmt.Errorf("fit liveness against %s: %w", k.name, err)
		}
	}
	spend(kinds, int(spared*float64(len(kinds[0].living))))
	out := map[string]Regression{}
	for _, k := range kinds {
		k.bias -= k.threshold()
		out[k.name] = k.regression()
	}
	return out, nil
}

// kind is a fit to one kind of attack, and what fits to other people think of those
// whom no rule speaks against.
type kind struct {
	*fitting
	name    string
	living  []float64
	attacks map[string][]float64
	away    int // how many of the living its threshold turns away
}

func (k *kind) threshold() float64 { return slices.Sorted(slices.Values(k.living))[k.away] }

// missed is what its species pass, the square of each one's share: the worst count most.
func (k *kind) missed() (sum float64) {
	for species, logits := range k.attacks {
		n := 0.
		for _, l := range logits {
			if l >= k.threshold() {
				n++
			}
		}
		n /= float64(k.groups[species])
		sum += n * n
	}
	return sum
}

// spend sets how many of the living each kind turns away, so that together they turn
// away at most so many and miss least: it tries all ways.
func spend(kinds []*kind, most int) {
	best, least := make([]int, len(kinds)), math.Inf(1)
	var try func(i int)
	try = func(i int) {
		if i < len(kinds) {
			for kinds[i].away = range min(most+1, len(kinds[i].living)) {
				try(i + 1)
			}
			return
		}
		missed := 0.
		for _, k := range kinds {
			missed += k.missed()
		}
		if missed < least && away(kinds) <= most {
			least = missed
			for i, k := range kinds {
				best[i] = k.away
			}
		}
	}
	try(0)
	for i, k := range kinds {
		k.away = best[i]
	}
}

// away counts the living whom any threshold turns away.
func away(kinds []*kind) (n int) {
	for i := range kinds[0].living {
		if slices.ContainsFunc(kinds, func(k *kind) bool { return k.living[i] < k.threshold() }) {
			n++
		}
	}
	return n
}

func (k *kind) fit(examples []Example) (err error) {
	k.attacks = map[string][]float64{}
	for part := range folds {
		var seen, other []Example
		for _, e := range examples {
			if int(e.Person)%folds == part {
				other = append(other, e)
			} else {
				seen = append(seen, e)
			}
		}
		f, err := newFitting(k.name, seen)
		if err != nil {
			return err
		}
		f.run()
		for i := range other {
			switch e := &other[i]; {
			case e.Broken:
			case e.Live:
				k.living = append(k.living, f.logit(e))
			default:
				k.attacks[e.Group] = append(k.attacks[e.Group], f.logit(e))
			}
		}
	}
	if k.fitting, err = newFitting(k.name, examples); err != nil {
		return err
	}
	k.run()
	return nil
}

func newFitting(kind string, examples []Example) (*fitting, error) {
	var living []*Example
	groups := map[string]int{}
	for i := range examples {
		if e := &examples[i]; e.Live {
			living = append(living, e)
		} else {
			groups[e.Group]++
		}
	}
	if len(living) < 10 || len(groups) == 0 {
		return nil, errors.New("too few living people or attacks")
	}
	f := &fitting{examples: examples, groups: groups, extra: map[string]float64{}}
	for c := range cues {
		if of := telling[kind]; of == nil || slices.Contains(of, c) {
			f.scale(c, living)
		}
	}
	return f, nil
}

func (f *fitting) run() {
	for range 4 {
		f.descend()
		f.reweigh()
	}
	f.descend()
}

// fitting is a fit under way.
type fitting struct {
	examples  []Example
	groups    map[string]int
	extra     map[string]float64 // weight of a species that is missed often
	terms     [cues]Term
	used      [cues]bool
	low, high [cues]float64 // weights
	bias      float64
}

// scale takes a cue's middle and spread from the living.
func (f *fitting) scale(c Cue, living []*Example) {
	if directions[c] == 0 {
		return
	}
	t := Term{Log: skewed[c]}
	var of, all []float64
	for _, e := range living {
		if v := t.scaled(e.Measures[c]); !math.IsNaN(v) {
			of = append(of, v)
		}
	}
	for i := range f.examples {
		if v := t.scaled(f.examples[i].Measures[c]); !math.IsNaN(v) {
			all = append(all, v)
		}
	}
	if len(of) < len(living)/2 {
		return
	}
	spread := max((quantile(of, .95)-quantile(of, .05))/3.3, (quantile(all, .97)-quantile(all, .03))/12)
	if spread < 1e-9 {
		return
	}
	f.used[c] = true
	t.Mid, t.Scale = median(of), spread
	f.terms[c] = t
}

func (f *fitting) logit(e *Example) float64 {
	sum := f.bias
	for c := range cues {
		if !f.used[c] {
			continue
		}
		if z := f.terms[c].z(e.Measures[c]); z < 0 {
			sum += f.low[c] * z
		} else {
			sum += f.high[c] * z
		}
	}
	return sum
}

// weights of the examples in the likelihood: the living together weigh 1, the attacks
// together as much.
func (f *fitting) weights() []float64 {
	all := make([]float64, len(f.examples))
	living, attacks := 0., 0.
	for i := range f.examples {
		e := &f.examples[i]
		w := 1.
		if !e.Live {
			w = (1 + f.extra[e.Group]) / float64(f.groups[e.Group])
		}
		if e.Broken {
			w *= .15
		}
		if all[i] = w; e.Live {
			living += w
		} else {
			attacks += w
		}
	}
	for i := range f.examples {
		if f.examples[i].Live {
			all[i] /= living
		} else {
			all[i] /= attacks
		}
	}
	return all
}

// descend goes down the penalised likelihood, weights held to their directions.
func (f *fitting) descend() {
	const steps, rate = 1500, .7
	weights := f.weights()
	zs := make([][cues]float64, len(f.examples))
	for i := range f.examples {
		for c := range cues {
			if f.used[c] {
				zs[i][c] = f.terms[c].z(f.examples[i].Measures[c])
			}
		}
	}
	for range steps {
		var gl, gh [cues]float64
		gb := 0.
		for i := range f.examples {
			sum := f.bias
			for c := range cues {
				sum += min(zs[i][c], 0)*f.low[c] + max(zs[i][c], 0)*f.high[c]
			}
			y := 0.
			if f.examples[i].Live {
				y = 1
			}
			g := weights[i] * (y - 1/(1+math.Exp(-sum)))
			gb += g
			for c := range cues {
				gl[c] += g * min(zs[i][c], 0)
				gh[c] += g * max(zs[i][c], 0)
			}
		}
		f.bias += rate * gb
		for c := range cues {
			if !f.used[c] {
				continue
			}
			f.low[c] = directed(f.low[c]+rate*(gl[c]-penalty*f.low[c]), directions[c])
			f.high[c] = directed(f.high[c]+rate*(gh[c]-penalty*f.high[c]), directions[c])
		}
	}
}

func directed(w, direction float64) float64 {
	if w*direction < 0 {
		return 0
	}
	return w
}

// reweigh gives more to the species that are missed.
func (f *fitting) reweigh() {
	missed := map[string]float64{}
	for i := range f.examples {
		if e := &f.examples[i]; !e.Live && !e.Broken && f.logit(e) > 0 {
			missed[e.Group]++
		}
	}
	for g, n := range missed {
		f.extra[g] += 4 * n / float64(f.groups[g])
	}
}

func (f *fitting) regression() Regression {
	r := Regression{Bias: round(f.bias), Terms: map[string]Term{}}
	for c := range cues {
		if f.used[c] && (f.low[c] != 0 || f.high[c] != 0) {
			t := f.terms[c]
			r.Terms[c.String()] = Term{Log: t.Log, Mid: round(t.Mid), Scale: round(t.Scale), Low: round(f.low[c]), High: round(f.high[c])}
		}
	}
	return r
}

// round keeps four figures: more mean nothing.
func round(x float64) float64 {
	if x == 0 {
		return 0
	}
	k := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(x))))
	return math.Round(x*k) / k
}
