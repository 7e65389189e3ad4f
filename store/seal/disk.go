package seal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cypherface/edge/store"
)

// disk writes files so that a cut leaves the old or the new one whole.
type disk struct {
	noSync bool
	// step is told of each step before it is taken; an error is a cut there. Nil
	// outside of tests.
	step func(name string) error
}

func (d *disk) at(name string) error {
	if d.step == nil {
		return nil
	}
	return d.step(name)
}

// replace puts a file in the place of another, readable by its owner alone, and
// overwrites the other. That keeps a second name until then, where the file system
// has such, so that sweep finds it after a cut.
func (d *disk) replace(path string, content []byte) error {
	draft := path + ".new"
	if err := d.draft(draft, content); err != nil {
		return err
	}
	if err := d.sweep(path); err != nil {
		return err
	}
	if err := d.at("link " + filepath.Base(path)); err != nil {
		return err
	}
	_ = os.Link(path, path+oldSuffix) // there may be none yet, or no links here
	if err := d.rename(draft, path); err != nil {
		return err
	}
	if err := os.Remove(path + oldSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

const oldSuffix = ".old"

// sweep overwrites and removes what a cut replacement has left of the old file,
// unless it is still the one that holds.
func (d *disk) sweep(path string) error {
	old := path + oldSuffix
	switch _, err := os.Stat(old); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case sameFile(old, path):
		return os.Remove(old)
	}
	f, err := os.OpenFile(old, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := d.blank(f); err != nil {
		return err
	}
	return os.Remove(old)
}

// draft writes a new file; what an earlier cut left under its name goes.
func (d *disk) draft(path string, content []byte) error {
	if err := d.remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.at("create " + filepath.Base(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := store.HandOver(f); err != nil {
		return err
	}
	if d.step != nil { // a cut may leave half of it
		_, _ = f.Write(content[:len(content)/2])
		if err := d.at("write " + filepath.Base(path)); err != nil {
			return err
		}
		_, _ = f.Seek(0, io.SeekStart)
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := d.sync(f); err != nil {
		return err
	}
	return f.Close()
}

// rename moves a whole file to its place. From then on it is the one that holds;
// what was there is overwritten.
func (d *disk) rename(from, to string) error {
	old, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		defer old.Close()
	}
	if err := d.at("rename " + filepath.Base(from)); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := d.syncDir(to); err != nil {
		return err
	}
	if old == nil {
		return nil
	}
	if err := d.at("overwrite " + filepath.Base(to)); err != nil {
		return err
	}
	return d.blank(old)
}

// remove removes and overwrites a file, in this order: nobody is to find zeros
// under its name.
func (d *disk) remove(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := d.at("remove " + filepath.Base(path)); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return errors.Join(d.syncDir(path), d.blank(f))
}

// extend writes at the end of files, which is at size, whatever a cut has left
// behind it. They become durable together.
func (d *disk) extend(paths []string, size int64, content []byte) error {
	synced := make(chan error, len(paths))
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := d.extendFile(f, size, content); err != nil {
			return err
		}
		go func() { synced <- d.sync(f) }()
	}
	var err error
	for range paths {
		err = errors.Join(err, <-synced)
	}
	return err
}

func (d *disk) extendFile(f *os.File, size int64, content []byte) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	if d.step != nil {
		_, _ = f.WriteAt(content[:len(content)/2], size)
		if err := d.at("extend " + filepath.Base(f.Name())); err != nil {
			return err
		}
	}
	_, err := f.WriteAt(content, size)
	return err
}

// append writes at the end of a file of lines, behind what a cut may have left
// there, and makes the file if there is none.
func (d *disk) append(path string, lines []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if size := st.Size(); size > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			lines = append([]byte{'\n'}, lines...)
		}
	}
	if err := store.HandOver(f); err != nil {
		return err
	}
	if d.step != nil {
		if err := d.at("append " + filepath.Base(path)); err != nil {
			_, _ = f.Write(lines[:len(lines)/2])
			return err
		}
	}
	if _, err := f.Write(lines); err != nil {
		return err
	}
	if err := d.sync(f); err != nil {
		return err
	}
	return d.syncDir(path)
}

func (d *disk) blank(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(make([]byte, st.Size()), 0); err != nil {
		return err
	}
	return d.sync(f)
}

func (d *disk) sync(f *os.File) error {
	if d.noSync {
		return nil
	}
	return f.Sync()
}

func (d *disk) syncDir(path string) error {
	if d.noSync {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
