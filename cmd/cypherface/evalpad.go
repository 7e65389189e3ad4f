package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/attack"
	"github.com/cypherface/edge/models"
)

func evalPadCommand() command {
	return command{
		name: "eval-pad", args: "[flags]",
		summary: "measure how well attacks are told from living people",
		help: `Renders living people and presentation attacks on them, and lets liveness decide,
with a challenge (active) and without (passive). It reports, in the terms of ISO/IEC
30107-3, APCER for each species of attack and BPCER, with Wilson's intervals at 95 %.
All of it takes a few hours of one core; progress goes to stderr.

With folders it measures real pictures: each folder in DIR is the frames of one
passive session in the order of their names, pictures right in DIR count one by one.

  cypherface eval-pad --json
  cypherface eval-pad --subjects 8 --attempts 8               # a quick look
  cypherface eval-pad --live people/ --attack photos-of-them/
  cypherface eval-pad --cues cues.csv                         # keep what was measured,
  cypherface eval-pad --measured cues.csv --json              # … and decide again
  cypherface eval-pad --seeds tuning --fit calibration.json   # fit the score anew
`,
		run: runEvalPad,
	}
}

// padOptions are the flags of eval-pad.
type padOptions struct {
	subjects, attempts, workers int
	living, skip                int
	species                     []attack.Species
	part, parts                 int
	mode, seeds, cues, cache    string
	measured, fit               string
	live, attack                string
	pack                        packFlags
}

func (o *padOptions) define(fs *flag.FlagSet) {
	fs.IntVar(&o.subjects, "subjects", 40, "`N` identities")
	fs.IntVar(&o.skip, "skip", 0, "`N` identities to leave out: the first ones, which were looked at before")
	fs.IntVar(&o.attempts, "attempts", 100, "`N` attempts of each species of attack")
	fs.IntVar(&o.living, "living", 0, "`N` attempts of living people (default as many as --attempts)")
	fs.Func("species", "only these `species`, parted by commas, as live,cut-out-mask", func(v string) error {
		for name := range strings.SplitSeq(v, ",") {
			s := attack.Species(name)
			if s != attack.Live && !slices.Contains(attack.Attacks(), s) {
				return fmt.Errorf("%q is none of %s, %v", name, attack.Live, attack.Attacks())
			}
			o.species = append(o.species, s)
		}
		return nil
	})
	fs.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "`N` attempts at a time")
	fs.StringVar(&o.mode, "mode", "", "only active or only passive `attempts`")
	fs.StringVar(&o.seeds, "seeds", "reporting", "reporting or tuning: which `identities`")
	fs.StringVar(&o.cues, "cues", "", "write what each attempt measured into this `file`, as CSV")
	o.part, o.parts = 1, 1
	fs.Func("part", "`K/N`: only the K-th of N parts of the people; --measured takes the files of all", func(v string) error {
		if n, err := fmt.Sscanf(v, "%d/%d", &o.part, &o.parts); n != 2 || err != nil || o.part < 1 || o.part > o.parts {
			return errors.New("want K/N, as 1/4")
		}
		return nil
	})
	fs.StringVar(&o.cache, "cache", "", "keep the frames of the attempts in this `folder`, some 1 MB each, for another run")
	fs.StringVar(&o.measured, "measured", "", "decide about the attempts of these `files` of --cues, parted by commas, and render none")
	fs.StringVar(&o.fit, "fit", "", "fit the score to tuning identities and write it into this `file`")
	fs.StringVar(&o.live, "live", "", "`folder` of pictures or sessions of living people")
	fs.StringVar(&o.attack, "attack", "", "`folder` of pictures or sessions of attacks")
	o.pack = addPackFlags(fs)
}

func (o *padOptions) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case o.subjects < 1 || o.attempts < 1 || o.living < 0:
		return errors.New("--subjects, --attempts and --living want at least 1")
	case o.skip < 0 || o.skip+o.subjects > attack.MaxPool:
		return fmt.Errorf("--skip %d --subjects %d: there are identities 0 to %d", o.skip, o.subjects, attack.MaxPool-1)
	case o.mode != "" && o.mode != "active" && o.mode != "passive":
		return fmt.Errorf("--mode %s: want active or passive", o.mode)
	case o.seeds != "reporting" && o.seeds != "tuning":
		return fmt.Errorf("--seeds %s: want reporting or tuning", o.seeds)
	case o.fit != "" && o.seeds != "tuning" && o.measured == "":
		return errors.New("--fit wants --seeds tuning: what was fitted to an identity tells nothing about it")
	case (o.live != "" || o.attack != "") && (o.fit != "" || o.measured != ""):
		return errors.New("--live and --attack go with neither --fit nor --measured")
	}
	return nil
}

func runEvalPad(ctx context.Context, t *terminal, args []string) error {
	var opt padOptions
	fs, asJSON := evalPadCommand().flags(t)
	opt.define(fs)
	rest, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if err := opt.check(rest); err != nil {
		return fmt.Errorf("%w (cypherface eval-pad --help)", err)
	}
	if opt.live != "" || opt.attack != "" {
		return evalPadFolders(ctx, t, &opt, *asJSON)
	}
	trials, err := opt.trials(ctx, t)
	if err != nil {
		return err
	}
	if opt.fit != "" {
		return fitPad(t, &opt, trials)
	}
	m, err := opt.model(t)
	if err != nil {
		return err
	}
	report := newPadReport(trials, m)
	if *asJSON {
		return printJSON(t.out, report)
	}
	return report.print(t.out)
}

// trial is one attempt and what was measured, whoever decides about it.
type trial struct {
	species  attack.Species
	active   bool
	victim   int64
	frames   int
	broken   []string // rules that speak against it
	measures liveness.Measures
}

// ruledOut reports whether a rule speaks against the attempt.
func (t *trial) ruledOut() bool { return len(t.broken) > 0 || len(t.measures.Rules()) > 0 }

// model is the calibration that the product takes with the pack that is used. What was
// measured before is taken to be of a pack with a network for the points of a face,
// unless one is named.
func (o *padOptions) model(t *terminal) (*liveness.Model, error) {
	m := liveness.Default()
	if o.measured != "" && *o.pack.name == "" {
		return m, nil
	}
	pack, err := o.pack.pack(t)
	if err != nil {
		return nil, err
	}
	return calibrated(m, pack), nil
}

// open opens the engine of the pack that is used, with what looks for attacks.
func (o *padOptions) open(ctx context.Context, t *terminal) (*engine.Engine, *models.Pack, io.Closer, error) {
	beside, err := o.pack.beside(ctx, t)
	if err != nil {
		return nil, nil, nil, err
	}
	return o.pack.open(ctx, t, tflite.Options{Beside: beside})
}

func calibrated(m *liveness.Model, pack *models.Pack) *liveness.Model {
	if _, ok := pack.Networks[models.Landmarks]; !ok {
		return m.Bare()
	}
	return m
}

// trials films and measures the attempts, or reads what was measured before.
func (o *padOptions) trials(ctx context.Context, t *terminal) ([]trial, error) {
	if o.measured != "" {
		return readCues(o.measured)
	}
	e, pack, networks, err := o.open(ctx, t)
	if err != nil {
		return nil, err
	}
	defer networks.Close()
	same, err := likeness(&pack.Calibration)
	if err != nil {
		return nil, err
	}
	var keep *cueWriter
	if o.cues != "" {
		if keep, err = newCueWriter(o.cues); err != nil {
			return nil, err
		}
		defer keep.close()
	}
	attempts := o.plan()
	p := newProgress(t.err, "attempt")
	defer p.end()
	studio := attack.Studio{Cache: o.cache}
	var trials []trial
	err = studio.Run(ctx, e, liveness.Default(), same, attempts, o.workers, func(r attack.Outcome) error {
		one := trial{r.Species, len(r.Challenge) > 0, r.Victim, r.Frames, nil, r.Verdict.Measures}
		for _, reason := range r.Verdict.Reasons {
			if reason != liveness.LowScore {
				one.broken = append(one.broken, string(reason))
			}
		}
		trials = append(trials, one)
		p.step(len(trials), len(attempts))
		return keep.write(one)
	})
	return trials, err
}

// plan lists the attempts, person by person.
func (o *padOptions) plan() []attack.Attempt {
	pool := attack.Reporting(o.subjects)
	if o.seeds == "tuning" {
		pool = attack.Tuning(o.subjects)
	}
	pool = pool.Skip(o.skip)
	var all []attack.Attempt
	for _, active := range []bool{true, false} {
		if o.mode != "" && active != (o.mode == "active") {
			continue
		}
		for i := range o.attempts {
			for _, s := range attack.Attacks() {
				all = append(all, pool.Attempt(s, i, active))
			}
		}
		for i := range cmp.Or(o.living, o.attempts) {
			all = append(all, pool.Attempt(attack.Live, i, active))
		}
	}
	all = slices.DeleteFunc(all, func(a attack.Attempt) bool {
		return int(a.Victim)%o.parts != o.part-1 || o.species != nil && !slices.Contains(o.species, a.Species)
	})
	// Person by person, what needs the challenge first.
	slices.SortStableFunc(all, func(a, b attack.Attempt) int {
		if x, y := len(a.Challenge) > 0, len(b.Challenge) > 0; x != y {
			return map[bool]int{true: -1, false: 1}[x]
		}
		return int(a.Victim - b.Victim)
	})
	return all
}

// likeness is what a pack's calibration says of templates of one person.
func likeness(c *models.Calibration) (liveness.Likeness, error) {
	next, ok := c.Threshold(1e-4)
	all, ok2 := c.Threshold(1e-2)
	if !ok || !ok2 {
		return liveness.Likeness{}, errors.New("the pack's error rates are not known well enough to tell two people apart")
	}
	return liveness.Likeness{Next: next, Any: all, Coarse: c.FNMR(next) > .1}, nil
}

// spared is the share of living people of the tuning identities that the threshold
// of a fit turns away: with those whom a rule does, and what is worse with people who
// were not fitted to, the aim is a twentieth.
const spared = .035

// fitPad fits the score and writes the calibration. Of a mode without attempts stays
// what the file says already.
func fitPad(t *terminal, o *padOptions, trials []trial) error {
	if slices.ContainsFunc(trials, func(r trial) bool { return r.victim >= attack.Reporting(1).Victim(0) }) {
		return errors.New("fit liveness: there are reporting identities among the attempts")
	}
	ofPack := ""
	if *o.pack.name != "" {
		ofPack = " --pack " + *o.pack.name
	}
	var m liveness.Model
	origin := fmt.Sprintf("cypherface eval-pad --seeds tuning --fit%s, %s: %d rendered attempts of %d identities", ofPack, time.Now().UTC().Format(time.DateOnly), len(trials), identities(trials))
	active := func(r trial) bool { return r.active }
	if one := slices.ContainsFunc(trials, active); !one || !slices.ContainsFunc(trials, func(r trial) bool { return !r.active }) {
		old, err := readModel(o.fit)
		if err != nil {
			return fmt.Errorf("%w (a new file wants attempts of both modes)", err)
		}
		m = *old
		mode, kept := "active", "passive"
		if !one {
			mode, kept = kept, mode
		}
		origin += ", " + mode + only + originOf(old.Origin, kept)
	}
	m.Origin = origin
	for _, mode := range []struct {
		active bool
		to     *map[string]liveness.Regression
	}{{true, &m.Active}, {false, &m.Passive}} {
		var examples []liveness.Example
		for _, r := range trials {
			if r.active == mode.active && r.frames > 0 {
				examples = append(examples, liveness.Example{Measures: r.measures, Live: r.species == attack.Live, Kind: r.species.Kind(), Group: string(r.species), Person: r.victim, Broken: r.ruledOut()})
			}
		}
		if len(examples) == 0 {
			continue
		}
		var err error
		if *mode.to, err = liveness.Fit(examples, spared); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(&m, "", "  ")
	if err != nil {
		return fmt.Errorf("write calibration: %w", err)
	}
	if err := os.WriteFile(o.fit, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write calibration: %w", err)
	}
	report := newPadReport(trials, &m)
	return report.print(t.out)
}

// only parts the origins of two modes that were not fitted at once.
const only = " only; the rest: "

// originOf is where one mode of a calibration comes from.
func originOf(origin, mode string) string {
	if of, ok := strings.CutSuffix(origin[:max(strings.Index(origin, only), 0)], ", "+mode); ok {
		return of
	}
	_, rest, ok := strings.Cut(origin, only)
	if !ok {
		return origin
	}
	return rest
}

func readModel(name string) (*liveness.Model, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read calibration: %w", err)
	}
	return liveness.Parse(b)
}

func identities(trials []trial) int {
	seen := map[int64]bool{}
	for _, r := range trials {
		seen[r.victim] = true
	}
	return len(seen)
}
