package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Save has write make a file of so many bytes under another name, and moves it to
// path, durable and readable by its owner alone, when it is whole. A file that is
// there is replaced only with force; else the error matches fs.ErrExist, and ErrRoom
// where there is not enough space for it.
func Save(path string, size int64, force bool, write func(f *os.File) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if _, err := os.Lstat(path); err == nil && !force {
		return fs.ErrExist
	}
	dir := filepath.Dir(path)
	if err := Room(dir, size); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if force {
		err = os.Rename(f.Name(), path)
	} else {
		err = moveNew(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// moveNew moves a file to where there must be none, also on file systems that
// cannot say so in one step.
func moveNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		if _, err := os.Lstat(to); err == nil {
			return fs.ErrExist
		}
		return os.Rename(from, to)
	}
	return err
}
