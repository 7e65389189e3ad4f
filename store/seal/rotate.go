package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cypherface/edge/store"
)

// Rotate wraps the keyrings below a data folder with another master key. Then a
// local key that is no longer needed is destroyed. The caller sees to it that
// nobody has the keyrings open.
//
// It may be cut anywhere: each keyring is wrapped with the one or the other key,
// a local key is destroyed only after all are, and Open tries both local keys.
// Doing it again completes it.
func Rotate(dir string, from, to *Master) error {
	return rotate(dir, from, to, disk{})
}

func rotate(dir string, from, to *Master, d disk) error {
	rings, err := openAll(dir, from, to, d)
	if err != nil {
		return fmt.Errorf("rotate master key: %w", err)
	}
	for _, r := range rings {
		if err := r.rewrap(to); err != nil {
			return fmt.Errorf("rotate master key: %w", err)
		}
	}
	if err := to.settle(dir, &d); err != nil {
		return fmt.Errorf("rotate master key: %w", err)
	}
	return nil
}

// openAll opens the keyrings below a data folder.
func openAll(dir string, from, to *Master, d disk) (rings []*Ring, err error) {
	for _, env := range []store.Environment{store.Sandbox, store.Production} {
		r, err := openEither(dir, env, from, to)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		r.disk = d
		rings = append(rings, r)
	}
	return rings, nil
}

// openEither opens a keyring with the key it should still have, or with the one
// that it got before a cut.
func openEither(dir string, env store.Environment, from, to *Master) (*Ring, error) {
	local, err := localMaster(dir)
	if err != nil {
		return nil, err
	}
	opt := Options{MustExist: true}
	r, err := Open(Path(dir, env), from, opt)
	for _, m := range []*Master{to, local} {
		if !errors.Is(err, ErrMaster) {
			break
		}
		if rewrapped, err := Open(Path(dir, env), m, opt); err == nil {
			return rewrapped, nil
		}
	}
	return r, err
}

func (r *Ring) rewrap(m *Master) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	h, wrapping, err := m.wrap()
	if err != nil {
		return err
	}
	r.master, r.header, r.wrapping = m, h, wrapping
	return r.rewrite()
}

// settle ends a rotation: the next local key takes the place of the present one,
// or, where the key is not local now, both go.
func (m *Master) settle(dir string, d *disk) error {
	if err := m.save(d); err != nil { // no keyring has needed it
		return err
	}
	local, next := filepath.Join(dir, localName), filepath.Join(dir, nextName)
	if m.source == Local {
		if m.path == next {
			if err := d.rename(next, local); err != nil {
				return err
			}
			m.path = local
		}
		return nil
	}
	for _, path := range []string{local, next} {
		if err := d.remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Inspection is what a keyring tells without its master key.
type Inspection struct {
	Source Source
	Master string // id of the master key
	Keys   int    // about so many people have a key
}

// Inspect reads the public part of a keyring, which nobody vouches for without
// the master key.
func Inspect(path string) (Inspection, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Inspection{}, fmt.Errorf("inspect keyring: %w", err)
	}
	h, err := parseHeader(b)
	if err != nil {
		return Inspection{}, fmt.Errorf("inspect keyring %s: %w", path, err)
	}
	return Inspection{h.Source, h.Master, (len(b)-headLen)/slotLen - 1}, nil
}
