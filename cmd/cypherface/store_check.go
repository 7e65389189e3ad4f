package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/upkeep"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

func storeCheckCommand() command {
	return command{
		name: "store check", args: "[flags]",
		summary: "read everything that the box keeps, and say what is wrong",
		help: `Reads the whole store, while the box runs or not: the pages of the file, every
value, every index against the records, the numbers of the events, both files of
the keyring, and the hot copies. It names what is wrong, what that costs, and what
to do. --repair makes right what follows from the rest: indexes from the records,
and a file whose list of free pages or newest page is wrong. It never drops a
record; for one that is lost, restore a copy or a backup.

The exit status is 0 where nothing is wrong (any more), 1 where something is.

  cypherface store check
  cypherface store check --env production --json
  cypherface store check --repair
`,
		run: runStoreCheck,
	}
}

func storeCompactCommand() command {
	return command{
		name: "store compact", args: "[flags]",
		summary: "give the room of what was deleted back to the disk",
		help: `Replaces the store by a packed copy of itself, while the box runs or not. Decisions
go on meanwhile. What was deleted and still lay in free pages is overwritten, such
as the hashed e-mail addresses of people who were erased. A box does this by itself
when half of the file is free, and within a day after an erasure.

  cypherface store compact
`,
		run: runStoreCompact,
	}
}

func runStoreCheck(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := storeCheckCommand().flags(t)
	box := addBoxFlags(fs, t)
	repair := fs.Bool("repair", false, "make right what follows from the rest")
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(words) > 0 {
		fs.Usage()
		return errUsage
	}
	report, err := box.checkStore(ctx, t, *repair)
	if err != nil {
		return err
	}
	mended := report.Mended
	if mended > 0 { // what is left
		if report, err = box.checkStore(ctx, t, false); err != nil {
			return err
		}
		report.Mended = mended
	}
	if *asJSON {
		err = printJSON(t.out, report)
	} else {
		printReport(t.out, report)
	}
	if err == nil && !report.Whole() {
		err = errNo
	}
	return err
}

// checkStore checks an environment through its daemon, or by itself.
func (f boxFlags) checkStore(ctx context.Context, t *terminal, repair bool) (*upkeep.Report, error) {
	if !f.environment().Valid() {
		return nil, fmt.Errorf("check store: there is no environment %q (--env sandbox or --env production)", *f.env)
	}
	if f.running() {
		path := "/control/store/check"
		if repair {
			path += "?repair=true"
		}
		job, err := socketClient(f.socket(), f.environment()).storeJob(ctx, t, path)
		return job.Report, err
	}
	master, err := f.master(t)
	if err != nil {
		return nil, err
	}
	report, err := upkeep.CheckFiles(ctx, *f.data, bolt.Options{
		Environment: f.environment(), MustExist: true, Keyring: seal.Opener(f.environment(), master),
	}, repair)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("check store: there is none in %s (cypherfaced --data %s starts a box; --data DIR names another)", *f.data, *f.data)
	}
	return report, err
}

// storeJob has the daemon begin something, and waits for its end.
func (c *client) storeJob(ctx context.Context, t *terminal, path string) (job api.StorageJob, err error) {
	defer c.Close()
	err = c.call(ctx, "POST", path, nil, &job)
	p := newProgress(t.err, "working, MiB")
	defer p.end()
	for err == nil && !job.Ended {
		if job.State.Total > 0 {
			p.step(int(job.State.Done>>20), int(job.State.Total>>20))
		}
		select {
		case <-ctx.Done():
			return job, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		err = c.call(ctx, "GET", "/control/store", nil, &job)
	}
	if err == nil && job.Error != "" {
		err = errors.New(job.Error)
	}
	return job, err
}

func printReport(w io.Writer, r *upkeep.Report) {
	c := r.Store.Checked
	fmt.Fprintf(w, "%s: %.1f MiB, %.1f free; %d records, %d lines of indexes, %d events, %d personal parts\n",
		r.Environment, mebi(r.Store.Size), mebi(r.Store.Free), c.Records, c.Lines, c.Events, c.Personal)
	if r.Mended > 0 {
		fmt.Fprintf(w, "mended: %d\n", r.Mended)
	}
	printFaults(w, r.Store.Faults, r.Store.Omitted)
	printFaults(w, r.Keyring, 0)
	for _, copied := range r.Copies {
		words := "whole"
		if !copied.Whole() {
			words = "damaged"
		}
		fmt.Fprintf(w, "copy %s: %.1f MiB, %s\n", filepath.Base(copied.Path), mebi(copied.Size), words)
		printFaults(w, copied.Faults, copied.Omitted)
	}
	if r.Whole() {
		fmt.Fprintln(w, "nothing is wrong")
	}
}

func mebi(n int64) float64 { return float64(n) / (1 << 20) }

// shownFaults is how many faults a person is shown.
const shownFaults = 20

func printFaults(w io.Writer, faults []store.Fault, omitted int) {
	for _, f := range faults[:min(len(faults), shownFaults)] {
		fmt.Fprintf(w, "  %s: %s\n      %s\n", f.Where, f.What, f.Cost)
		if f.Remedy != "" {
			fmt.Fprintf(w, "      %s\n", f.Remedy)
		}
	}
	if more := max(0, len(faults)-shownFaults) + omitted; more > 0 {
		fmt.Fprintf(w, "  and %d more (--json lists them)\n", more)
	}
}

// compacted is what a compaction has brought.
type compacted struct {
	Environment store.Environment `json:"environment"`
	Before      int64             `json:"before"` // bytes of the file
	After       int64             `json:"after"`
}

func runStoreCompact(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := storeCompactCommand().flags(t)
	box := addBoxFlags(fs, t)
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(words) > 0 || !box.environment().Valid() {
		fs.Usage()
		return errUsage
	}
	c := compacted{Environment: box.environment()}
	path := bolt.Path(*box.data, c.Environment)
	if c.Before, err = sizeOf(path); err != nil {
		return err
	}
	if err := box.compactStore(ctx, t, path); err != nil {
		return err
	}
	if c.After, err = sizeOf(path); err != nil {
		return err
	}
	if *asJSON {
		return printJSON(t.out, c)
	}
	fmt.Fprintf(t.out, "%s: %.1f MiB, before %.1f\n", c.Environment, mebi(c.After), mebi(c.Before))
	return nil
}

func sizeOf(path string) (int64, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("compact store: there is none at %s (--data DIR and --env name another)", path)
	} else if err != nil {
		return 0, fmt.Errorf("compact store: %w", err)
	}
	return st.Size(), nil
}

// compactStore compacts a store through its daemon, or by itself.
func (f boxFlags) compactStore(ctx context.Context, t *terminal, path string) (err error) {
	if f.running() {
		_, err := socketClient(f.socket(), f.environment()).storeJob(ctx, t, "/control/store/compact")
		return err
	}
	master, err := f.master(t)
	if err != nil {
		return err
	}
	s, err := bolt.Open(path, bolt.Options{
		Environment: f.environment(), MustExist: true, Keyring: seal.Opener(f.environment(), master),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	p := newProgress(t.err, "compacting, MiB")
	defer p.end()
	return upkeep.New(upkeep.Config{Store: s, Dir: *f.data}).Compact(ctx, func(done, total int64) {
		p.step(int(done>>20), int(total>>20))
	})
}
