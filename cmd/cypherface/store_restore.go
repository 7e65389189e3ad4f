package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cypherface/edge/internal/upkeep"
	"github.com/cypherface/edge/store/backup"
	"github.com/cypherface/edge/store/seal"
)

func storeRestoreCommand() command {
	return command{
		name: "store restore", args: "--from FILE | --copy NAME [flags]",
		summary: "bring a backup or a hot copy back",
		help: `Brings back what a backup holds, or one of the hot copies that the box makes by
itself. The box must be stopped. All is read and checked first, people who were
erased since are erased from it, and then it takes the place of what is there in one
step. What was there is moved aside and named, never deleted.

  cypherface store restore --copy latest
  cypherface store restore --from box.backup --recovery-key /media/usb/recovery.key
  cypherface store restore --from box.backup --recovery-key - < recovery.key
  cypherface store restore --from box.backup --recovery-key KEY --dry-run

On another machine nobody knows who was erased after the backup was made, unless you
have the erasure log of the lost box (cypherface store erasures):

  cypherface store restore --from box.backup --recovery-key KEY --erasures box.erasures
  cypherface store restore --from box.backup --recovery-key KEY --accept-unknown-erasures
`,
		run: runStoreRestore,
	}
}

// restoreFlags say what to restore.
type restoreFlags struct {
	boxFlags
	from, copy, recoveryKey, erasures *string
	latest, accept, dryRun            *bool
}

func runStoreRestore(ctx context.Context, t *terminal, args []string) error {
	flags, asJSON := storeRestoreCommand().flags(t)
	f := restoreFlags{
		boxFlags:    addBoxFlags(flags, t),
		from:        flags.String("from", "", "`file` with a backup"),
		copy:        flags.String("copy", "", "`name` of a hot copy, or latest"),
		latest:      flags.Bool("latest", false, "the same as --copy latest"),
		recoveryKey: flags.String("recovery-key", "", "`file` with the recovery key, or - for standard input"),
		erasures:    flags.String("erasures", "", "`file` with the erasure log of the box that is gone"),
		accept:      flags.Bool("accept-unknown-erasures", false, "bring back also who may have been erased since"),
		dryRun:      flags.Bool("dry-run", false, "read and check all, and replace nothing"),
	}
	rest, err := parse(t, flags, args)
	if err != nil {
		return err
	}
	if *f.latest && *f.copy == "" {
		*f.copy = "latest"
	}
	if len(rest) > 0 || (*f.from == "") == (*f.copy == "") || *f.copy != "" && (*f.recoveryKey != "" || *f.erasures != "") {
		flags.Usage()
		return errUsage
	}
	done, err := f.restore(ctx, t)
	if errors.Is(err, backup.ErrUnknownErasures) {
		err = fmt.Errorf("%w: --erasures FILE tells it (cypherface store erasures, on the box that is gone), --accept-unknown-erasures goes on without", err)
	}
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(t.out, done)
	}
	showRestore(t.out, done, *f.dryRun)
	return nil
}

func (f *restoreFlags) restore(ctx context.Context, t *terminal) (*backup.Done, error) {
	if !f.environment().Valid() {
		return nil, fmt.Errorf("restore: there is no environment %q (--env sandbox or --env production)", *f.env)
	}
	if f.running() {
		return nil, errors.New("restore: the box runs; stop it first (systemctl stop cypherfaced)")
	}
	opt, err := f.master(t)
	if err != nil {
		return nil, err
	}
	plan := backup.Plan{
		Dir: *f.data, Environment: f.environment(),
		Erasures: *f.erasures, AcceptUnknown: *f.accept, Try: *f.dryRun,
	}
	if plan.Master, err = seal.FindMaster(opt); err != nil {
		return nil, err
	}
	if *f.from != "" {
		if plan.From, err = f.unlock(t, plan.Master); err != nil {
			return nil, err
		}
		defer plan.From.Close()
	} else if err := f.find(&plan); err != nil {
		return nil, err
	}
	p := newProgress(t.err, "restore, MB")
	defer p.end()
	plan.Progress = func(_ string, done, total int64) { p.step(int(done>>20), int(total>>20)) }
	var done *backup.Done
	err = f.alone(func() (err error) {
		done, err = backup.Restore(ctx, plan)
		return err
	})
	return done, err
}

// unlock opens the backup with the key that it wants.
func (f *restoreFlags) unlock(t *terminal, m *seal.Master) (*backup.File, error) {
	b, err := backup.Open(*f.from)
	if err != nil {
		return nil, err
	}
	if a := b.About(); a.Environment != f.environment() {
		b.Close()
		return nil, fmt.Errorf("restore: the backup is of the %s environment: --env %s", a.Environment, a.Environment)
	}
	var k *seal.RecoveryKey
	if b.Recovery() != "" {
		k, err = readRecoveryKey(t, *f.recoveryKey, b.Recovery())
	}
	if err == nil {
		err = b.Unlock(k, m)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func readRecoveryKey(t *terminal, path, wanted string) (*seal.RecoveryKey, error) {
	var text []byte
	var err error
	switch path {
	case "":
		return nil, fmt.Errorf("restore: the backup opens with the recovery key %s: --recovery-key FILE, or - to type it", wanted)
	case "-":
		text, err = io.ReadAll(io.LimitReader(t.in, 1<<20))
	default:
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the recovery key: %w", err)
	}
	return seal.ParseRecoveryKey(text)
}

// find finds the hot copy that was asked for.
func (f *restoreFlags) find(plan *backup.Plan) error {
	copies, err := upkeep.Copies(plan.Dir, plan.Environment)
	if err != nil {
		return err
	}
	dir := upkeep.CopyDir(plan.Dir, plan.Environment)
	for i := len(copies) - 1; i >= 0; i-- { // the newest is the last
		if c := copies[i]; *f.copy == "latest" || *f.copy == c.Name {
			plan.Copy, plan.Made = filepath.Join(dir, c.Name), c.Time
			return nil
		}
	}
	if len(copies) == 0 {
		return fmt.Errorf("restore: there is no hot copy in %s", dir)
	}
	names := ""
	for _, c := range copies {
		names += " " + c.Name
	}
	return fmt.Errorf("restore: there is no hot copy %q; there are:%s", *f.copy, names)
}

func showRestore(w io.Writer, d *backup.Done, dryRun bool) {
	what := "restored  "
	if dryRun {
		what = "is right  "
	}
	fmt.Fprintf(w, "%s%s, as it was on %s: %d records, %d events\n", what, d.Info.Environment, d.Made.UTC().Format("2 January 2006, 15:04 UTC"), d.Records.Records, d.Records.Events)
	if d.Erased > 0 {
		fmt.Fprintf(w, "erased    %d who were erased since\n", d.Erased)
	}
	if d.Unknown {
		fmt.Fprintf(w, "          who was erased since is not known: those people are back\n")
	}
	if !dryRun {
		fmt.Fprintf(w, "journal   epoch %d begins\n", d.Info.Epoch)
	}
	if d.Aside != "" {
		fmt.Fprintf(w, "before    lies in %s, with what has happened since;\n          cypherface audit verify names the events that are in it alone\n", d.Aside)
	}
	if d.Foreign && d.Aside != "" {
		fmt.Fprintf(w, "          with a keyring of its own, which later erasures do not reach: remove it when you no longer need it\n")
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(w, "warning   %s\n", warning)
	}
}
