package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/accuracy"
)

func evalCommand() command {
	return command{
		name: "eval", args: "--pairs FILE --images DIR [flags]",
		summary: "measure a pack's error rates on labelled images",
		help: `Embeds every image that the pairs file names and compares all of them: the
pairs marked 1 are the mates, every two images of different people are an
impostor comparison. The file has lines imageA<TAB>imageB<TAB>1|0; the person
of an image is the folder it lies in. The face nearest to the middle of a
picture is the one that is meant.

An image without that face is a failure to enrol and counts as a non-match.
Intervals are at 95 %: a bootstrap over people for the rates of the whole set,
Wilson's for groups and searches.

  cypherface eval --pairs pairs.txt --images lfw --json
  cypherface eval --pairs pairs.txt --images lfw --det det.svg --identify 1000
  cypherface eval --pairs pairs.txt --images lfw --stress 1
  cypherface eval --pairs pairs.txt --images lfw --stress-light 1
  cypherface eval --pairs pairs.txt --images lfw --calibration standard.json
`,
		run: runEval,
	}
}

// evalOptions are the flags of eval.
type evalOptions struct {
	pairs, images, groups    string
	stress, light            uint64
	identify                 int
	halves                   bool
	look                     engine.SecondLook
	calibration, origin, det string
	pack                     packFlags
}

func (o *evalOptions) define(fs *flag.FlagSet) {
	fs.StringVar(&o.pairs, "pairs", "", "`file` of lines imageA<TAB>imageB<TAB>1|0")
	fs.StringVar(&o.images, "images", "", "`folder` that the images' names start from")
	fs.StringVar(&o.groups, "groups", "", "`file` of lines person-or-image<TAB>group: report by group too")
	fs.Uint64Var(&o.stress, "stress", 0, "turn the images into camera frames (turned, 60 to 220 pixels, anywhere) by this `seed`, 1 and up")
	fs.Uint64Var(&o.light, "stress-light", 0, "put the images into bad light by this `seed`, 1 and up; measured with and without correction")
	fs.IntVar(&o.identify, "identify", 0, "enrol `N` people and let all other images search among them")
	fs.BoolVar(&o.halves, "halves", false, "report the first and the second half of the pairs by themselves too")
	fs.StringVar(&o.calibration, "calibration", "", "write a manifest's calibration, the worse of the plain and the stressed images, to this `file`")
	fs.StringVar(&o.origin, "origin", "", "what a calibration says of the images' `origin` (default: the name of the folder)")
	fs.StringVar(&o.det, "det", "", "draw the trade-off of both errors as SVG into this `file`")
	fs.Func("looks", "`once`, twice or hard: embed each face so often, hard: twice in bad light (default hard)", o.setLook)
	o.pack = addPackFlags(fs)
}

func (o *evalOptions) setLook(word string) error {
	look, ok := map[string]engine.SecondLook{"hard": engine.LookWhenHard, "once": engine.LookOnce, "twice": engine.LookTwice}[word]
	if !ok {
		return errors.New("want once, twice or hard")
	}
	o.look = look
	return nil
}

func (o *evalOptions) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case o.pairs == "" || o.images == "":
		return errors.New("--pairs and --images are needed")
	case o.stress != 0 && o.light != 0:
		return errors.New("--stress and --stress-light are two measurements: run one after the other")
	case o.calibration != "" && o.light != 0:
		return errors.New("--calibration takes the plain and the stressed images, not --stress-light")
	case o.light != 0 && o.look == engine.LookOnce:
		return errors.New("--stress-light compares with --looks once by itself")
	case o.identify < 0:
		return errors.New("--identify wants a number of people")
	}
	return nil
}

func runEval(ctx context.Context, t *terminal, args []string) error {
	var opt evalOptions
	fs, asJSON := evalCommand().flags(t)
	opt.define(fs)
	rest, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if err := opt.check(rest); err != nil {
		return fmt.Errorf("%w (cypherface eval --help)", err)
	}
	report, err := evaluate(ctx, t, &opt)
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(t.out, report)
	}
	return report.print(t.out)
}

// evaluate measures what the options ask for, one pass over the images after
// another.
func evaluate(ctx context.Context, t *terminal, opt *evalOptions) (*evalReport, error) {
	set, err := openSet(opt)
	if err != nil {
		return nil, err
	}
	defer set.root.Close()
	main, err := set.measure(ctx, t, view{stress: opt.stress, light: opt.light, look: opt.look})
	if err != nil {
		return nil, err
	}
	report := &evalReport{Pack: main.pack.Name, Space: main.pack.Space, evalRates: rates(main)}
	curves := []accuracy.Curve{main.curve()}
	if opt.light != 0 {
		other, err := set.measure(ctx, t, view{light: opt.light, look: engine.LookOnce})
		if err != nil {
			return nil, err
		}
		report.Uncorrected = new(rates(other))
		curves = append(curves, other.curve())
	}
	if opt.calibration != "" {
		other, err := set.calibrate(ctx, t, opt, main)
		if err != nil {
			return nil, err
		}
		report.Other = new(rates(other))
		curves = append(curves, other.curve())
	}
	if opt.identify > 0 {
		id, err := accuracy.Identify(set.images, main.templates, opt.identify, 1)
		if err != nil {
			return nil, err
		}
		report.Identification = searchRates(id)
	}
	if opt.det != "" {
		return report, writeDET(opt.det, "Pack "+main.pack.Name+" on "+filepath.Base(opt.images), curves)
	}
	return report, nil
}

// defaultStress is the seed of the stressed half of a calibration.
const defaultStress = 1

// calibrate measures the other of plain and stressed, and writes both down.
func (s *evalSet) calibrate(ctx context.Context, t *terminal, opt *evalOptions, main *measured) (*measured, error) {
	with := view{stress: defaultStress, look: opt.look}
	if main.view.stress != 0 {
		with.stress = 0
	}
	other, err := s.measure(ctx, t, with)
	if err != nil {
		return nil, err
	}
	origin := opt.origin
	if origin == "" {
		origin = filepath.Base(opt.images)
	}
	origin += fmt.Sprintf(": %d images of %d people, the worse of %s and %s",
		main.result.Images, main.result.People, main.view, other.view)
	c, err := accuracy.Calibrate(origin, main.result, other.result)
	if err != nil {
		return nil, err
	}
	f, err := os.Create(opt.calibration)
	if err != nil {
		return nil, fmt.Errorf("write calibration: %w", err)
	}
	defer f.Close()
	if err := printJSON(f, c); err != nil {
		return nil, fmt.Errorf("write calibration: %w", err)
	}
	return other, f.Close()
}

func writeDET(name, title string, curves []accuracy.Curve) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	defer f.Close()
	if err := accuracy.DET(f, title, curves...); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	return f.Close()
}
