package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// openStore opens the sealed store of an environment, and says where the master
// key came from. It warns where that protects from less than one would think.
func (s *settings) openStore(env store.Environment, getenv func(string) string, log *slog.Logger) (*bolt.Store, seal.Source, error) {
	master, err := seal.ParseMaster(s.masterKey)
	if err != nil {
		return nil, "", err
	}
	master.Dir, master.Credentials = s.data, getenv("CREDENTIALS_DIRECTORY")
	var source seal.Source
	st, err := bolt.Open(bolt.Path(s.data, env), bolt.Options{Environment: env, Log: log, Keyring: func() (store.Keyring, error) {
		key, err := seal.FindMaster(master)
		if err != nil {
			return nil, err
		}
		source = key.Source()
		return seal.Open(seal.Path(s.data, env), key, seal.Options{Log: log})
	}})
	switch {
	case errors.Is(err, store.ErrLocked):
		return nil, "", fmt.Errorf("%w (one box a data folder: --data DIR chooses another)", err)
	case err != nil:
		return nil, "", err
	}
	if w := source.Warning(); w != "" {
		log.Warn("data at rest is "+w, "hint", "cypherface key rotate moves the key elsewhere")
	}
	return st, source, nil
}

// hideMemory keeps faces and keys out of core dumps, and other programs of the
// same user out of the memory of this one.
func hideMemory(complain io.Writer) {
	err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_CORE, &limit) != nil || limit.Cur != 0 { // the unit has set it already
		err = errors.Join(err, unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}))
	}
	if err != nil {
		fmt.Fprintln(complain, "cypherfaced: a crash may leave faces and keys in a core dump:", err)
	}
}
