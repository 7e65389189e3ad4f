package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/models"
)

func modelsCommand() command {
	return command{
		name: "models", args: "list|use|status|finish|verify|import|pull|setup|memory|convert|pin [flags] …",
		summary: "show, install and choose the packs of networks",
		help: `A pack is the set of networks a box recognises people with, and what their
scores mean. One pack is in use; templates of different packs are not
comparable, so changing it makes the box embed everyone anew.

  cypherface models list                  the packs, their state and error rates
  cypherface models use NAME              choose the pack of this box
  cypherface models status                how far a change of the pack is
  cypherface models finish                end it without those who hold it up
  cypherface models memory                what packs take in memory
  cypherface models verify [NAME…]        hash every network again
  cypherface models import FOLDER         install from a folder or stick, offline
  cypherface models pull NAME             download original weights and install
  cypherface models setup                 install what can be had, best first
  cypherface models convert SRC… -o OUT   one network to TensorFlow Lite
  cypherface models pin MANIFEST          fill in the hashes and goldens of a pack

cypherface models WORD --help shows flags and examples.
`,
		run: runModels,
	}
}

// probeCommand is the child's side of trying a pack.
func probeCommand() command {
	return command{name: tflite.ProbeWord, args: "FOLDER", summary: "try a pack in this process", hidden: true,
		run: func(ctx context.Context, t *terminal, args []string) error {
			code, asked := tflite.ProbeMain(ctx, append([]string{tflite.ProbeWord}, args...), t.out, t.err)
			if !asked || code == 2 {
				return errUsage
			}
			if code != 0 {
				return errNo
			}
			return nil
		}}
}

func modelsCommands() []command {
	return []command{
		modelsListCommand(), modelsUseCommand(), modelsStatusCommand(), modelsFinishCommand(), modelsMemoryCommand(), modelsVerifyCommand(), modelsImportCommand(),
		modelsPullCommand(), modelsSetupCommand(), modelsConvertCommand(), modelsPinCommand(),
	}
}

func runModels(ctx context.Context, t *terminal, args []string) error {
	return runWord(ctx, t, modelsCommand(), modelsCommands(), args)
}

// packState is a pack as list and verify show it.
type packState struct {
	Name     string      `json:"name"`
	Dir      string      `json:"dir,omitempty"`
	State    string      `json:"state"` // in use, installed, not installed, damaged
	Fault    string      `json:"fault,omitempty"`
	Summary  string      `json:"summary,omitempty"`
	Version  int         `json:"version,omitempty"`
	Space    string      `json:"space,omitempty"`
	Probe    string      `json:"probe,omitempty"` // built in, passed, due
	Rates    *errorRates `json:"error_rates,omitempty"`
	Networks []network   `json:"networks,omitempty"`
}

type network struct {
	Role    models.Role `json:"role"`
	Origin  string      `json:"origin"`
	Licence string      `json:"licence"`
	SHA256  string      `json:"sha256"`
	Size    int64       `json:"size"`
}

// errorRates is what a calibration says in short. Nil where it cannot say.
type errorRates struct {
	FNMR3         *float64 `json:"fnmr_at_fmr_1e-3"`
	FNMR4         *float64 `json:"fnmr_at_fmr_1e-4"`
	ImpostorPairs int      `json:"impostor_pairs"`
	Origin        string   `json:"origin"`
}

func ratesOf(c *models.Calibration) *errorRates {
	at := func(fmr float64) *float64 {
		s, ok := c.Threshold(fmr)
		if !ok {
			return nil
		}
		fnmr := c.FNMR(s)
		return &fnmr
	}
	return &errorRates{FNMR3: at(1e-3), FNMR4: at(1e-4), ImpostorPairs: c.ImpostorPairs, Origin: c.Origin}
}

// percent prints a rate, or that the calibration does not reach so far.
func percent(rate *float64) string {
	if rate == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.2g %%", *rate*100)
}

func describe(m *models.Manifest) packState {
	s := packState{Name: m.Name, State: "not installed", Summary: m.Summary, Version: m.Version, Space: m.Space}
	if m.Name != models.PAD {
		s.Rates = ratesOf(&m.Calibration)
	}
	for _, r := range m.Roles() {
		n := m.Networks[r]
		s.Networks = append(s.Networks, network{Role: r, Origin: n.Origin, Licence: n.Licence, SHA256: n.SHA256, Size: n.Size})
	}
	return s
}

// describeInstalled hashes the pack's networks.
func describeInstalled(p *models.Pack, inUse string) packState {
	s := describe(&p.Manifest)
	s.Dir, s.State = p.Dir, "installed"
	if p.Name == inUse || p.Name == models.PAD {
		s.State = "in use"
	}
	switch {
	case p.Builtin():
		s.Probe = "built in"
	case tflite.Probed(p):
		s.Probe = "passed"
	default:
		s.Probe = "due"
	}
	if err := p.Verify(); err != nil {
		s.State, s.Fault = "damaged", err.Error()
	}
	return s
}

// printPack says in a line which pack it is and how often it errs.
func printPack(w io.Writer, word string, m *models.Manifest) {
	fmt.Fprintf(w, "%s pack %s (%s)\n", word, m.Name, m.Summary)
	if m.Name != models.PAD {
		fmt.Fprintf(w, "  %v\n", &m.Calibration)
	}
}

func modelsListCommand() command {
	c := command{name: "models list", args: "[--packs DIR]",
		summary: "list the packs, installed or known, with state and error rates",
		help: `Every network of an installed pack is hashed on the way: "damaged" is what a
box would refuse to load.

  cypherface models list
  cypherface models list --json | jq '.packs[] | select(.state == "in use")'
`}
	c.run = func(_ context.Context, t *terminal, args []string) error {
		fs, asJSON := c.flags(t)
		root := packsFlag(fs, t)
		if err := noArguments(t, fs, args); err != nil {
			return err
		}
		states, err := listPacks(root())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(t.out, struct {
				Root  string      `json:"root"`
				Packs []packState `json:"packs"`
			}{root(), states})
		}
		printPacks(t.out, states)
		return nil
	}
	return c
}

// listPacks returns the installed packs, broken ones too, then those known
// but not installed.
func listPacks(root string) ([]packState, error) {
	inUse := ""
	if p, err := models.Default(root); err == nil {
		inUse = p.Name
	}
	packs, faults := installed(root)
	var states []packState
	known := map[string]bool{}
	for _, p := range packs {
		states = append(states, describeInstalled(p, inUse))
		known[p.Name] = true
	}
	for _, err := range joined(faults) {
		states = append(states, packState{Name: "?", State: "damaged", Fault: err.Error()})
	}
	builtin, err := models.Builtin()
	if err != nil {
		return nil, err
	}
	for _, m := range builtin {
		if !known[m.Name] {
			states = append(states, describe(m))
		}
	}
	return states, nil
}

// installed opens all packs of root, the one that stands beside another too.
func installed(root string) ([]*models.Pack, error) {
	packs, faults := models.Installed(root)
	beside, err := models.Beside(root)
	if beside != nil {
		packs = append(packs, beside)
	}
	if err != nil {
		faults = errors.Join(append(joined(faults), err)...)
	}
	return packs, faults
}

func printPacks(w io.Writer, states []packState) {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "PACK\tSTATE\tFNMR at FMR 1e-3\tat 1e-4\tSPACE\tTRIAL")
	for _, s := range states {
		r3, r4 := "", ""
		if s.Rates != nil {
			r3, r4 = percent(s.Rates.FNMR3), percent(s.Rates.FNMR4)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.State, r3, r4, s.Space, s.Probe)
	}
	tw.Flush()
	for _, s := range states {
		if s.Summary != "" {
			fmt.Fprintf(w, "\n%s: %s\n", s.Name, s.Summary)
		}
		if s.Rates != nil {
			fmt.Fprintf(w, "  rates measured on: %s\n", s.Rates.Origin)
		}
		tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		for _, n := range s.Networks {
			fmt.Fprintf(tw, "  %s\t%s\t%s\n", n.Role, n.Licence, n.Origin)
		}
		tw.Flush()
		if s.Fault != "" {
			fmt.Fprintf(w, "  FAULT: %s\n", strings.ReplaceAll(s.Fault, "\n", "\n         "))
		}
	}
}

// joined takes an errors.Join apart.
func joined(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// usePack tries a pack and makes it the one of this box.
func usePack(ctx context.Context, root, name string, previous bool) (*models.Pack, error) {
	if name == models.PAD {
		return nil, models.Use(root, name) // which says why not
	}
	p, err := models.Open(filepath.Join(root, name))
	if previous {
		p, err = models.Previous(root, name)
	}
	if err != nil {
		return nil, err
	}
	if err := tflite.Probe(ctx, "", p.Dir); err != nil {
		return nil, fmt.Errorf("%w (the box stays on the pack it has)", err)
	}
	if previous {
		if err := models.Restore(root, name); err != nil {
			return nil, err
		}
	}
	if err := models.Use(root, name); err != nil {
		return nil, err
	}
	return models.Open(filepath.Join(root, name))
}

func modelsVerifyCommand() command {
	c := command{name: "models verify", args: "[--packs DIR] [--try] [NAME…]",
		summary: "hash the networks of installed packs; status 1 where one is damaged",
		help: `  cypherface models verify
  cypherface models verify --try standard     run its networks and goldens too
`}
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		fs, asJSON := c.flags(t)
		root := packsFlag(fs, t)
		try := fs.Bool("try", false, "also run each pack on its golden inputs, in a process of its own")
		names, err := parse(t, fs, args)
		if err != nil {
			return err
		}
		states, err := verifyPacks(ctx, root(), names, *try)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(t.out, states)
		}
		bad := slices.ContainsFunc(states, func(s packState) bool { return s.Fault != "" })
		for _, s := range states {
			if *asJSON {
				break
			}
			if s.Fault != "" {
				fmt.Fprintf(t.out, "%s: DAMAGED: %s\n", s.Name, s.Fault)
				continue
			}
			fmt.Fprintf(t.out, "%s: all %d networks are as its manifest says\n", s.Name, len(s.Networks))
		}
		if err == nil && bad {
			return errNo
		}
		return err
	}
	return c
}

// verifyPacks hashes, and tries on request, the named packs or all.
func verifyPacks(ctx context.Context, root string, names []string, try bool) ([]packState, error) {
	packs, faults := installed(root)
	if len(packs) == 0 && faults == nil {
		return nil, fmt.Errorf("verify packs in %s: %w", root, models.ErrNoPack)
	}
	var states []packState
	for _, p := range packs {
		if len(names) > 0 && !slices.Contains(names, p.Name) {
			continue
		}
		s := describeInstalled(p, "")
		if try && s.Fault == "" {
			if err := tflite.Probe(ctx, "", p.Dir); err != nil {
				s.Fault = err.Error()
			}
		}
		states = append(states, s)
	}
	for _, err := range joined(faults) {
		states = append(states, packState{Name: "?", State: "damaged", Fault: err.Error()})
	}
	for _, name := range names {
		if !slices.ContainsFunc(states, func(s packState) bool { return s.Name == name }) {
			return nil, errors.Join(fmt.Errorf("verify %s: not installed in %s, or cannot be opened", name, root), faults)
		}
	}
	return states, nil
}

// packsFlag declares --packs; the function gives the root after parsing.
func packsFlag(fs *flag.FlagSet, t *terminal) func() string {
	dir := fs.String("packs", "", "`folder` of the packs (default: $CYPHERFACE_PACKS, else packs/ beside the program)")
	return func() string { return models.Root(*dir, t.getenv) }
}

// noArguments parses flags where nothing else may follow.
func noArguments(t *terminal, fs *flag.FlagSet, args []string) error {
	rest, err := parse(t, fs, args)
	if err == nil && len(rest) > 0 {
		fmt.Fprintf(t.err, "unexpected argument %q\n\n", rest[0])
		fs.Usage()
		return errUsage
	}
	return err
}
