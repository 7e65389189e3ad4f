package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/accuracy"
	"github.com/cypherface/edge/internal/attack"
)

// padReport is the outcome of eval-pad.
type padReport struct {
	Calibration string   `json:"calibration"` // where the score's coefficients come from
	Interval    string   `json:"interval"`
	Active      padRates `json:"active"`
	Passive     padRates `json:"passive"`
}

// padRates are the error rates of a mode, as fractions.
type padRates struct {
	APCER          map[attack.Species]float64    `json:"apcer"` // attacks taken for life
	APCERInterval  map[attack.Species][2]float64 `json:"apcer_interval"`
	APCERWorst     float64                       `json:"apcer_worst"`
	APCERWorstOf   attack.Species                `json:"apcer_worst_of"`
	BPCER          float64                       `json:"bpcer"` // living people turned away
	BPCERInterval  [2]float64                    `json:"bpcer_interval"`
	BPCERReasons   map[string]int                `json:"bpcer_reasons,omitempty"`
	Subjects       int                           `json:"subjects"`
	Attempts       int                           `json:"attempts"` // of each species of attack
	LivingAttempts int                           `json:"living_attempts"`
	Threshold      float64                       `json:"threshold"` // of the score
	ByRules        map[attack.Species]float64    `json:"caught_by_rules"`
	// Pad is what the pack pad holds each species for, 0..1, the median of the attempts;
	// empty where it was not there.
	Pad map[attack.Species]float64 `json:"pad,omitempty"`
}

func newPadReport(trials []trial, m *liveness.Model) *padReport {
	r := &padReport{Calibration: m.Origin, Interval: "Wilson, 95 %"}
	r.Active, r.Passive = newPadRates(trials, m, true), newPadRates(trials, m, false)
	return r
}

func newPadRates(trials []trial, m *liveness.Model, active bool) padRates {
	r := padRates{APCER: map[attack.Species]float64{}, APCERInterval: map[attack.Species][2]float64{}, BPCERReasons: map[string]int{},
		ByRules: map[attack.Species]float64{}, Threshold: liveness.Threshold}
	passed, all, ruled := map[attack.Species]int{}, map[attack.Species]int{}, map[attack.Species]int{}
	people := map[int64]bool{}
	pad := map[attack.Species][]float64{}
	for _, t := range trials {
		if t.active != active {
			continue
		}
		people[t.victim] = true
		all[t.species]++
		if p := t.measures[liveness.Picture]; t.frames > 0 && !math.IsNaN(p) {
			pad[t.species] = append(pad[t.species], p)
		}
		low := t.frames == 0 || m.Score(&t.measures, active) < liveness.Threshold
		switch {
		case t.ruledOut():
			ruled[t.species]++
		case !low:
			passed[t.species]++
		}
		if t.species == attack.Live {
			for _, b := range t.broken {
				r.BPCERReasons[b]++
			}
			if len(t.broken) == 0 {
				for _, b := range t.measures.Rules() {
					r.BPCERReasons[string(b)]++
				}
			}
			if low {
				r.BPCERReasons[string(liveness.LowScore)]++
			}
		}
	}
	r.Subjects = len(people)
	for s, says := range pad {
		if r.Pad == nil {
			r.Pad = map[attack.Species]float64{}
		}
		slices.Sort(says)
		r.Pad[s] = says[len(says)/2]
	}
	for _, s := range attack.Attacks() {
		n := all[s]
		if n == 0 {
			continue
		}
		r.Attempts = max(r.Attempts, n)
		r.APCER[s] = float64(passed[s]) / float64(n)
		r.ByRules[s] = float64(ruled[s]) / float64(n)
		i := accuracy.Wilson(passed[s], n)
		r.APCERInterval[s] = [2]float64{i.Low, i.High}
		if r.APCERWorstOf == "" || r.APCER[s] > r.APCERWorst {
			r.APCERWorst, r.APCERWorstOf = r.APCER[s], s
		}
	}
	if n := all[attack.Live]; n > 0 {
		r.LivingAttempts = n
		r.BPCER = 1 - float64(passed[attack.Live])/float64(n)
		i := accuracy.Wilson(n-passed[attack.Live], n)
		r.BPCERInterval = [2]float64{i.Low, i.High}
	}
	return r
}

func (r *padReport) print(w io.Writer) error {
	fmt.Fprintf(w, "score calibrated by %s\n", r.Calibration)
	for _, mode := range []struct {
		name  string
		rates *padRates
	}{{"active", &r.Active}, {"passive", &r.Passive}} {
		p := mode.rates
		if p.Attempts+p.LivingAttempts == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s: %d people, %d attempts a species; intervals are Wilson's at 95 %%\n", mode.name, p.Subjects, p.Attempts)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		head := "species\tAPCER\tinterval\tcaught by rules"
		says := func(attack.Species) string { return "" }
		if len(p.Pad) > 0 {
			head += "\tan attack, says pad"
			says = func(s attack.Species) string { return fmt.Sprintf("\t%.3f", p.Pad[s]) }
		}
		fmt.Fprintln(tw, head)
		for _, s := range attack.Attacks() {
			if rate, ok := p.APCER[s]; ok {
				i := p.APCERInterval[s]
				fmt.Fprintf(tw, "%s\t%.1f %%\t%.1f–%.1f %%\t%.0f %%%s\n", s, 100*rate, 100*i[0], 100*i[1], 100*p.ByRules[s], says(s))
			}
		}
		fmt.Fprintf(tw, "worst (%s)\t%.1f %%\n", p.APCERWorstOf, 100*p.APCERWorst)
		fmt.Fprintf(tw, "living people turned away (BPCER)\t%.1f %%\t%.1f–%.1f %%\tof %d%s\n", 100*p.BPCER, 100*p.BPCERInterval[0], 100*p.BPCERInterval[1], p.LivingAttempts, says(attack.Live))
		if err := tw.Flush(); err != nil {
			return err
		}
		if len(p.BPCERReasons) > 0 {
			var reasons []string
			for why, n := range p.BPCERReasons {
				reasons = append(reasons, fmt.Sprintf("%s %d", why, n))
			}
			slices.Sort(reasons)
			fmt.Fprintf(w, "they were turned away for: %v\n", reasons)
		}
	}
	return nil
}
