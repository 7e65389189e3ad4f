package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/backup"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// reserve is the disk space that each environment keeps for when the disk is full:
// about 40,000 decisions.
const reserve = 32 << 20

// openStore opens the sealed store of an environment, and says where the master
// key came from. It warns where that protects from less than one would think.
func (b *box) openStore(env store.Environment, log *slog.Logger) (*bolt.Store, seal.Source, error) {
	var source seal.Source
	if err := backup.Settle(b.data, env); err != nil {
		return nil, "", err
	}
	st, err := bolt.Open(bolt.Path(b.data, env), bolt.Options{Environment: env, Reserve: reserve, Log: log, Keyring: func() (store.Keyring, error) {
		key, err := seal.FindMaster(b.master)
		if err != nil {
			return nil, err
		}
		source = key.Source()
		return seal.Open(seal.Path(b.data, env), key, seal.Options{Log: log})
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

// masterOptions says where the master key of the box is. A passphrase is asked
// for once: it is that of both environments, and a descriptor is read only once.
func (s *settings) masterOptions(getenv func(string) string) (seal.MasterOptions, error) {
	opt, err := seal.ParseMaster(s.masterKey)
	opt.Dir, opt.Credentials = s.data, getenv("CREDENTIALS_DIRECTORY")
	if ask := opt.Ask; ask != nil {
		var known []byte
		opt.Ask = func(isNew bool) ([]byte, error) {
			if known == nil {
				phrase, err := ask(isNew)
				if err != nil {
					return nil, err
				}
				known = phrase
			}
			return bytes.Clone(known), nil // the caller wipes it
		}
	}
	return opt, err
}

// hideMemory keeps faces and keys out of core dumps, and other programs of the
// same user out of the memory of this one.
func hideMemory(program string, complain io.Writer) {
	err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_CORE, &limit) != nil || limit.Cur != 0 { // the unit has set it already
		err = errors.Join(err, unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}))
	}
	if err != nil {
		fmt.Fprintln(complain, program+": a crash may leave faces and keys in a core dump:", err)
	}
}
