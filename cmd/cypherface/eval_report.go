package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/cypherface/edge/internal/accuracy"
)

// evalReport is what eval prints; all rates are fractions, null where the set
// is too small to say.
type evalReport struct {
	Pack  string `json:"pack"`
	Space string `json:"space"`
	evalRates
	// Uncorrected is the same in bad light without the engine's second look.
	Uncorrected *evalRates `json:"uncorrected,omitempty"`
	// Other is what a calibration measures besides: the plain images of
	// stressed ones, or the other way round.
	Other          *evalRates  `json:"other,omitempty"`
	Identification *evalSearch `json:"identification,omitempty"`
}

// evalRates is one pass over the images.
type evalRates struct {
	View              string                 `json:"view"`
	Images            int                    `json:"images"`
	People            int                    `json:"people"`
	FailuresToEnrol   int                    `json:"failures_to_enrol"`
	Mates             int                    `json:"mate_comparisons"`
	Impostors         int                    `json:"impostor_comparisons"`
	EER               float64                `json:"eer"`
	EERInterval       *[2]float64            `json:"eer_interval"`
	Accuracy          float64                `json:"accuracy"`
	AccuracyDeviation float64                `json:"accuracy_deviation"`
	FNMR              map[string]*float64    `json:"fnmr"` // by FMR
	FNMRInterval      map[string]*[2]float64 `json:"fnmr_interval"`
	Threshold         map[string]*float64    `json:"threshold"`
	Halves            []evalRates            `json:"halves,omitempty"`
	Groups            []evalGroup            `json:"groups,omitempty"`
}

type evalGroup struct {
	Name            string                 `json:"name"`
	Images          int                    `json:"images"`
	FailuresToEnrol int                    `json:"failures_to_enrol"`
	Mates           int                    `json:"mate_comparisons"`
	Impostors       int                    `json:"impostor_comparisons"`
	FMR             map[string]float64     `json:"fmr"` // in the group, by the FMR of the whole set
	FNMR            map[string]float64     `json:"fnmr"`
	FNMRInterval    map[string]*[2]float64 `json:"fnmr_interval"`
}

type evalSearch struct {
	Enrolled     int                    `json:"enrolled"`
	Mates        int                    `json:"mate_searches"`
	Strangers    int                    `json:"stranger_searches"`
	RankOneMiss  float64                `json:"rank_one_miss"`
	FNIR         map[string]*float64    `json:"fnir"` // by FPIR
	FNIRInterval map[string]*[2]float64 `json:"fnir_interval"`
	Threshold    map[string]*float64    `json:"threshold"`
}

// rateKey names an error rate as the keys of the report do: 1e-3.
func rateKey(p float64) string {
	mantissa, exponent, _ := strings.Cut(fmt.Sprintf("%.0e", p), "e-")
	return mantissa + "e-" + strings.TrimLeft(exponent, "0")
}

// known is a pointer to v, nil where the set does not support it.
func known[T any](v T, supported bool) *T {
	if !supported {
		return nil
	}
	return &v
}

func ends(i accuracy.Interval) *[2]float64 {
	return known([2]float64{i.Low, i.High}, !math.IsNaN(i.Low) && !math.IsNaN(i.High))
}

func rates(m *measured) evalRates {
	out := setRates(m.view.String(), m.result)
	for i, half := range m.halves {
		out.Halves = append(out.Halves, setRates(out.View+", "+[]string{"first half", "second half"}[i], half))
	}
	for _, g := range m.groups {
		out.Groups = append(out.Groups, groupRates(g))
	}
	return out
}

func setRates(name string, r *accuracy.Result) evalRates {
	out := evalRates{
		View: name, Images: r.Images, People: r.People, FailuresToEnrol: r.FailuresToEnrol,
		Mates: r.Mates, Impostors: r.Impostors, EER: r.EER, EERInterval: ends(r.EERInterval),
		Accuracy: r.Accuracy, AccuracyDeviation: r.AccuracyDeviation,
		FNMR: make(map[string]*float64), FNMRInterval: make(map[string]*[2]float64), Threshold: make(map[string]*float64),
	}
	for _, p := range r.Points {
		key := rateKey(p.FMR)
		out.FNMR[key] = known(p.FNMR, p.Supported)
		out.Threshold[key] = known(p.Threshold, p.Supported)
		if p.Supported {
			out.FNMRInterval[key] = ends(p.Interval)
		}
	}
	return out
}

func groupRates(g accuracy.Group) evalGroup {
	out := evalGroup{Name: g.Name, Images: g.Images, FailuresToEnrol: g.FailuresToEnrol, Mates: g.Mates, Impostors: g.Impostors,
		FMR: make(map[string]float64), FNMR: make(map[string]float64), FNMRInterval: make(map[string]*[2]float64)}
	for _, p := range g.Points {
		key := rateKey(p.SetFMR)
		out.FMR[key], out.FNMR[key], out.FNMRInterval[key] = p.FMR, p.FNMR, ends(p.FNMRInterval)
	}
	return out
}

func searchRates(id *accuracy.Identification) *evalSearch {
	out := &evalSearch{Enrolled: id.Enrolled, Mates: id.Mates, Strangers: id.Strangers, RankOneMiss: id.RankOne,
		FNIR: make(map[string]*float64), FNIRInterval: make(map[string]*[2]float64), Threshold: make(map[string]*float64)}
	for _, p := range id.Points {
		key := rateKey(p.FPIR)
		out.FNIR[key] = known(p.FNIR, p.Supported)
		out.Threshold[key] = known(p.Threshold, p.Supported)
		if p.Supported {
			out.FNIRInterval[key] = ends(p.Interval)
		}
	}
	return out
}

// print writes the report as tables.
func (r *evalReport) print(w io.Writer) error {
	fmt.Fprintf(w, "pack %s, space %s\n", r.Pack, r.Space)
	r.evalRates.print(w)
	for _, also := range []*evalRates{r.Uncorrected, r.Other} {
		if also != nil {
			also.print(w)
		}
	}
	if s := r.Identification; s != nil {
		fmt.Fprintf(w, "\nidentification: %d enrolled, %d searches by them, %d by strangers\n", s.Enrolled, s.Mates, s.Strangers)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "  FPIR\tFNIR\tinterval\tthreshold")
		for _, fpir := range accuracy.FPIRs {
			key := rateKey(fpir)
			fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", key, percent(s.FNIR[key]), interval(s.FNIRInterval[key]), score(s.Threshold[key]))
		}
		fmt.Fprintf(tw, "  any\t%s\t\t\n", percent(&s.RankOneMiss))
		return tw.Flush()
	}
	return nil
}

func (r *evalRates) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %d images of %d people, %d failures to enrol\n", r.View, r.Images, r.People, r.FailuresToEnrol)
	fmt.Fprintf(w, "%d mate and %d impostor comparisons\n", r.Mates, r.Impostors)
	fmt.Fprintf(w, "accuracy %.2f %% ± %.2f, EER %s %s\n", r.Accuracy*100, r.AccuracyDeviation*100, percent(&r.EER), interval(r.EERInterval))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "  FMR\tFNMR\tinterval\tthreshold")
	for _, fmr := range accuracy.FMRs {
		key := rateKey(fmr)
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", key, percent(r.FNMR[key]), interval(r.FNMRInterval[key]), score(r.Threshold[key]))
	}
	tw.Flush()
	for _, half := range r.Halves {
		half.print(w)
	}
	if len(r.Groups) > 0 {
		r.printGroups(w)
	}
}

func (r *evalRates) printGroups(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nby group, at the thresholds of the whole set")
	fmt.Fprint(tw, "  group\timages\tfailures\tmates")
	for _, fmr := range accuracy.FMRs {
		fmt.Fprintf(tw, "\tFMR at %[1]s\tFNMR at %[1]s", rateKey(fmr))
	}
	fmt.Fprintln(tw)
	for _, g := range r.Groups {
		fmt.Fprintf(tw, "  %s\t%d\t%d\t%d", g.Name, g.Images, g.FailuresToEnrol, g.Mates)
		for _, fmr := range accuracy.FMRs {
			key := rateKey(fmr)
			fmr, fnmr := g.FMR[key], g.FNMR[key]
			fmt.Fprintf(tw, "\t%s\t%s", percent(&fmr), percent(&fnmr))
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
}

func interval(i *[2]float64) string {
	if i == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.2f to %.2f %%", i[0]*100, i[1]*100)
}

func score(s *float64) string {
	if s == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.4f", *s)
}
