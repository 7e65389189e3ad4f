package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/backup"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

func storeBackupCommand() command {
	return command{
		name: "store backup", args: "--to FILE [flags]",
		summary: "take all that the box keeps out of the box, in one file",
		help: `Writes a backup: people, faces, journal, audit log and the keys that open them,
sealed to the recovery key of the box (cypherface key recovery new). Whoever finds
the file reads nothing in it, also not who is in it. The box goes on working.

With --same-box the backup is sealed to the box's own master key instead: it brings
nothing back where that is lost, as with the disk it lies on.

  cypherface store backup --to /media/usb/box.backup
  cypherface store backup --env production --to /mnt/nas/production.backup --force
`,
		run: runStoreBackup,
	}
}

// backupState says what a backup is.
type backupState struct {
	File        string            `json:"file"`
	Bytes       int64             `json:"bytes"`
	Environment store.Environment `json:"environment"`
	Device      store.DeviceID    `json:"device"`
	Epoch       uint64            `json:"epoch"`
	Made        time.Time         `json:"made"`
	Recovery    string            `json:"recovery,omitempty"` // fingerprint of the key that opens it
	Warning     string            `json:"warning,omitempty"`
}

const sameBoxWarning = "sealed to the master key of this box: without that, as after a lost disk, it brings nothing back"

func runStoreBackup(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := storeBackupCommand().flags(t)
	box := addBoxFlags(fs, t)
	to := fs.String("to", "", "`file` to write")
	force := fs.Bool("force", false, "replace the file if it is there")
	sameBox := fs.Bool("same-box", false, "seal to the master key of the box, not to its recovery key")
	rest, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 || *to == "" {
		fs.Usage()
		return errUsage
	}
	if _, err := os.Lstat(*to); err == nil && !*force {
		return fmt.Errorf("write %s: it is there already; --force replaces it", *to)
	}
	save := box.backupAlone
	if box.running() {
		save = box.backupAsked
	}
	if err := save(ctx, t, *sameBox, func(size int64, write func(io.Writer) error) error {
		p := newProgress(t.err, "backup, MB")
		defer p.end()
		return backup.Save(*to, size, *force, func(f *os.File) error { return write(&told{w: f, p: p, total: size}) })
	}); err != nil {
		return err
	}
	return showBackup(t, *to, *asJSON)
}

// saver keeps a backup of so many bytes.
type saver func(size int64, write func(io.Writer) error) error

// backupAsked has the daemon make the backup.
func (f boxFlags) backupAsked(ctx context.Context, _ *terminal, sameBox bool, save saver) error {
	c := socketClient(f.socket(), f.environment())
	body, err := json.Marshal(map[string]bool{"sameBox": sameBox})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+string(c.env)+"/control/backup", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the box: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	return save(resp.ContentLength, func(w io.Writer) error {
		if _, err := io.Copy(w, resp.Body); err != nil {
			return fmt.Errorf("the box broke off: %w (its log says why)", err)
		}
		return nil
	})
}

// backupAlone makes the backup in this process.
func (f boxFlags) backupAlone(ctx context.Context, t *terminal, sameBox bool, save saver) (err error) {
	master, err := f.master(t)
	if err != nil {
		return err
	}
	s, err := f.openStore(master)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	by := store.Actor{Kind: store.ActorCLI, ID: fmt.Sprint(os.Getuid())}
	b, err := backup.New(ctx, s, backup.Source{Dir: *f.data, Actor: by, SameBox: sameBox})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return save(b.Size(), func(w io.Writer) error { return b.Write(ctx, w) })
}

// openStore opens the store of an environment that no daemon has open.
func (f boxFlags) openStore(master seal.MasterOptions) (*bolt.Store, error) {
	env := f.environment()
	if !env.Valid() {
		return nil, fmt.Errorf("open the box: it has no environment %q (--env sandbox or --env production)", env)
	}
	if err := backup.Settle(*f.data, env); err != nil {
		return nil, err
	}
	return bolt.Open(bolt.Path(*f.data, env), bolt.Options{Environment: env, MustExist: true, Keyring: seal.Opener(env, master)})
}

// showBackup says what was written, as the file says it.
func showBackup(t *terminal, path string, asJSON bool) error {
	f, err := backup.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	a := f.About()
	s := backupState{path, st.Size(), a.Environment, a.Device, a.Epoch, a.Made, f.Recovery(), ""}
	if s.Recovery == "" {
		s.Warning = sameBoxWarning
	}
	if asJSON {
		return printJSON(t.out, s)
	}
	fmt.Fprintf(t.out, "backup    %s, %.1f MB, of the %s\n", s.File, float64(s.Bytes)/1e6, s.Environment)
	if s.Warning != "" {
		fmt.Fprintf(t.out, "          %s\n", s.Warning)
	} else {
		fmt.Fprintf(t.out, "opens     with the recovery key %s\n", s.Recovery)
	}
	return nil
}

func storeErasuresCommand() command {
	return command{
		name: "store erasures", args: "--out FILE [flags]",
		summary: "who was erased, for a restore on another machine",
		help: `Writes the erasure log: when somebody was erased, by a hash of his random id. It
tells nobody who that was. A backup that is restored where the log of the box is lost
does not know who was erased after it was made; with this file it does. Keep it
with the backups, and write it anew after an erasure.

  cypherface store erasures --out /media/usb/box.erasures
`,
		run: runStoreErasures,
	}
}

func runStoreErasures(_ context.Context, t *terminal, args []string) error {
	flags, asJSON := storeErasuresCommand().flags(t)
	box := addBoxFlags(flags, t)
	out := flags.String("out", "", "`file` to write; one that is there is replaced")
	rest, err := parse(t, flags, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 || *out == "" {
		flags.Usage()
		return errUsage
	}
	path := seal.ErasuresPath(*box.data, box.environment())
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the erasure log: there is none in %s (the first start of the box makes one)", *box.data)
	}
	lines, err := seal.Erasures(path)
	if err != nil {
		return err
	}
	log := seal.FormatErasures(lines, time.Now())
	if err := backup.Save(*out, int64(len(log)), true, func(f *os.File) error { _, err := f.Write(log); return err }); err != nil {
		return err
	}
	erased := 0
	for i := range lines {
		if lines[i].Person != (store.PersonTag{}) {
			erased++
		}
	}
	if *asJSON {
		return printJSON(t.out, struct {
			File   string `json:"file"`
			Erased int    `json:"erased"`
		}{*out, erased})
	}
	fmt.Fprintf(t.out, "erasures  %s, %d so far\n", *out, erased)
	return nil
}
