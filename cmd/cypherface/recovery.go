package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cypherface/edge/store/seal"
)

// recoveryState names the recovery key of a box.
type recoveryState struct {
	Fingerprint string `json:"fingerprint"`
	File        string `json:"file,omitempty"` // with the key itself, where it was written to one
}

func (f boxFlags) showRecovery(t *terminal, asJSON bool) error {
	p, err := seal.ReadRecovery(*f.data)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("show the recovery key: there is none in %s: a lost disk means lost data (cypherface key recovery new makes one)", *f.data)
	} else if err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, recoveryState{Fingerprint: p.Fingerprint()})
	}
	fmt.Fprintf(t.out, "recovery key %s\n", p.Fingerprint())
	return nil
}

// newRecovery makes a recovery key. Its private half is in safety before the box
// uses the public one.
func (f boxFlags) newRecovery(t *terminal, out string, replace, asJSON bool) error {
	switch _, err := os.Stat(seal.RecoveryPath(*f.data)); {
	case err == nil && !replace:
		return errors.New("make a recovery key: there is one (cypherface key recovery show); with --replace later backups are sealed to another, and earlier ones still need the old")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("make a recovery key: %w", err)
	}
	if out == "" && (asJSON || !forEyes(t.out)) {
		return errors.New("make a recovery key: it is shown on a terminal or written to a file only: --out FILE")
	}
	opt, err := f.master(t)
	if err != nil {
		return err
	}
	master, err := seal.FindMaster(opt)
	if err != nil {
		return err
	}
	k := seal.NewRecoveryKey()
	err = f.alone(func() error {
		if _, err := f.keys(); err != nil {
			return err
		}
		if err := handOver(t, k, out); err != nil {
			return err
		}
		err := seal.SetRecovery(*f.data, master, k)
		if err != nil {
			err = fmt.Errorf("%w; the key that was just given out is not in use", err)
		}
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, recoveryState{k.Public().Fingerprint(), out})
	}
	fmt.Fprintf(t.out, "from now on backups are sealed to the recovery key %s\n", k.Public().Fingerprint())
	return nil
}

// forEyes says whether a person reads w: no pipe, no file.
func forEyes(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return true // a test
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// handOver gives the key to the operator.
func handOver(t *terminal, k *seal.RecoveryKey, out string) error {
	if out == "" {
		_, err := fmt.Fprintf(t.out, `
  This is the recovery key %s.
  It is shown once. Write it down, and keep it where the box is not: who has it
  and a backup reads everything; without it a backup brings nothing back.

  %s

`, k.Public().Fingerprint(), k.Text())
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the recovery key: %w", err)
	}
	_, err = fmt.Fprintf(f, "# Recovery key of a CypherFace box, made on %s: %s\n# Keep it offline. Who has it and a backup reads everything.\n%s\n",
		time.Now().UTC().Format(time.DateOnly), k.Public().Fingerprint(), k.Text())
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = syncFolder(filepath.Dir(out))
	}
	if err != nil {
		return fmt.Errorf("write the recovery key: %w", err)
	}
	return nil
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
