package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

func keyCommand() command {
	return command{
		name: "key", args: "show|rotate|recovery show|recovery new [flags]",
		summary: "the keys that protect the box's data, and bring it back",
		help: `Shows where the master key of a box is, or gives the box another one. The data
itself is not written anew, only the keyring that the master key opens. A key
that lay beside the data is destroyed. The box must be stopped for it; if it is
cut, the same command completes it.

  cypherface key show
  cypherface key rotate --to file:/media/usb/box.key
  cypherface key rotate --master-key file:/media/usb/box.key --to passphrase
  cypherface key rotate --to local

Backups are sealed to the recovery key. The box keeps its public half; its other
half is shown once, for paper or a file that you keep offline, and opens backups
when the box is gone. Another one takes the place of the old only with --replace:
older backups still need the old.

  cypherface key recovery new
  cypherface key recovery new --out /media/usb/recovery.key
  cypherface key recovery show

A key file is made with: head -c 32 /dev/urandom > FILE. Keep a copy of it in
another place: without the key nobody reads the data any more. For the TPM of the
machine, encrypt such a file with systemd-creds as the credential
cypherface-master, rotate to the file, and destroy it.
`,
		run: runKey,
	}
}

// keyState is what can be said of a keyring without its key.
type keyState struct {
	Environment store.Environment `json:"environment"`
	Source      seal.Source       `json:"source"`
	Key         string            `json:"key"` // its id
	Warning     string            `json:"warning,omitempty"`
}

func runKey(_ context.Context, t *terminal, args []string) error {
	fs, asJSON := keyCommand().flags(t)
	box := addBoxFlags(fs, t)
	to := fs.String("to", "", "rotate: `place` of the new key: local, file:PATH, passphrase or passphrase-fd:N")
	out := fs.String("out", "", "recovery new: `file` to write the key to, readable by you alone, in place of the terminal")
	replace := fs.Bool("replace", false, "recovery new: in place of the recovery key that there is")
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(words) == 2 && words[0] == "recovery" && *to == "" {
		switch {
		case words[1] == "new":
			return box.newRecovery(t, *out, *replace, *asJSON)
		case words[1] == "show" && *out == "" && !*replace:
			return box.showRecovery(t, *asJSON)
		}
	}
	if *out != "" || *replace || len(words) != 1 || words[0] != "show" && words[0] != "rotate" || (words[0] == "rotate") != (*to != "") {
		fs.Usage()
		return errUsage
	}
	if words[0] == "rotate" {
		if err := box.rotate(t, *to); err != nil {
			return err
		}
	}
	states, err := box.keys()
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(t.out, states)
	}
	for _, s := range states {
		fmt.Fprintf(t.out, "%-10s key %s, %s\n", s.Environment, s.Key, s.Source)
		if s.Warning != "" {
			fmt.Fprintf(t.out, "%-10s %s\n", "", s.Warning)
		}
	}
	return nil
}

var environments = []store.Environment{store.Sandbox, store.Production}

func (f boxFlags) keys() ([]keyState, error) {
	var states []keyState
	for _, env := range environments {
		ring, err := seal.Inspect(seal.Path(*f.data, env))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		states = append(states, keyState{env, ring.Source, ring.Master, ring.Source.Warning()})
	}
	if len(states) == 0 {
		return nil, fmt.Errorf("look for keyrings: there is none in %s (the first start of the box makes one)", *f.data)
	}
	return states, nil
}

// rotate gives the keyrings another master key, while nobody has the stores open.
func (f boxFlags) rotate(t *terminal, to string) (err error) {
	from, err := f.master(t)
	if err != nil {
		return err
	}
	old, err := seal.FindMaster(from)
	if err != nil {
		return err
	}
	next, err := f.nextMaster(to)
	if err != nil {
		return err
	}
	return f.alone(func() error { return seal.Rotate(*f.data, old, next) })
}

// alone runs fn while nobody else has the stores open.
func (f boxFlags) alone(fn func() error) error {
	for _, env := range environments {
		lock, err := bolt.Lock(bolt.Path(*f.data, env))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		defer func(lock io.Closer) { lock.Close() }(lock) // nothing was written through it
	}
	return fn()
}

// master says where the present master key is.
func (f boxFlags) master(t *terminal) (seal.MasterOptions, error) {
	opt, err := seal.ParseMaster(*f.masterKey)
	opt.Dir, opt.Credentials = *f.data, t.getenv("CREDENTIALS_DIRECTORY")
	return opt, err
}

func (f boxFlags) nextMaster(to string) (*seal.Master, error) {
	if to == "local" {
		return seal.NextLocal(*f.data)
	}
	opt, err := seal.ParseMaster(to)
	if err != nil {
		return nil, err
	}
	opt.Dir = *f.data
	return seal.FindMaster(opt)
}
