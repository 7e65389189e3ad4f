package bolt

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cypherface/edge/store"
)

// seal replaces a store that is not sealed by a sealed copy of itself: in the old
// file, freed pages would keep what they held. A cut leaves the one or the other.
func seal(path string, opt Options) (*file, *store.Layout, error) {
	if err := sealFile(path, opt); err != nil {
		return nil, nil, fmt.Errorf("seal it: %w", err)
	}
	return openWhole(path, opt, false)
}

func sealFile(path string, opt Options) (err error) {
	old, err := openFile(path, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	remains, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer remains.Close()
	if err := whole(path, func(draft string) error { return sealInto(old, draft, opt) }); err != nil {
		return err
	}
	return blank(remains)
}

func sealInto(old *file, path string, opt Options) (err error) {
	defer guard(&err)
	defer faults(&err)()
	inside, err := opt.inside()
	if err != nil {
		return err
	}
	from, err := old.Begin(false)
	if err != nil {
		return err
	}
	defer from.Rollback()
	db, err := openFile(path, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	to, err := db.Begin(true)
	if err != nil {
		return err
	}
	defer to.Rollback()
	b := &batch{kv: kv{tx: to}}
	l, err := store.Reseal(&kv{tx: from}, b, inside)
	if err != nil {
		return err
	}
	return settle(b, l)
}

// blank overwrites a file that no name leads to any more, as far as the disk
// writes where it has written before.
func blank(f *os.File) error { return blankSlowly(f, func() {}) }

// blankSlowly calls rest between parts that are each on the disk by then: who syncs
// another file meanwhile does not wait for the whole of this one.
func blankSlowly(f *os.File, rest func()) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	for left := st.Size(); left > 0; left -= portion {
		if _, err := io.CopyN(f, zeros{}, min(left, portion)); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		rest()
	}
	return nil
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
