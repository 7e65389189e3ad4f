package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/store"
)

// lowWater is the free space, in bytes, below which the disk counts as full: what
// two groups of usual size may need, the growth of the file included.
const lowWater = 2 * growth

// space watches over the disk that a store lies on. As long as there is room, a
// file of some size keeps it from others; when the disk is full, the file goes,
// and the space that it held is for essential Updates alone. All but low is the
// writer's.
type space struct {
	path string // of the file
	size int64  // 0: nothing is kept
	log  *slog.Logger
	low  atomic.Bool
}

// openSpace takes care of the reserve of the store at path. What it returns is
// good for use even with an error.
func openSpace(path string, size int64, log *slog.Logger) (*space, error) {
	s := &space{path: path + ".reserve", size: size, log: log}
	return s, s.check()
}

// check compares what is free with what should be, and lets the reserve go or
// takes it again.
func (s *space) check() error {
	if s.size == 0 {
		return nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(s.path), &fs); err != nil {
		return fmt.Errorf("look for room: %w", err)
	}
	free := int64(fs.Bavail) * fs.Bsize
	switch held, err := s.held(); {
	case err != nil:
		return err
	case held && free < lowWater:
		return s.release()
	case !held && free >= s.size+2*lowWater:
		return s.take()
	default:
		s.low.Store(!held)
	}
	return nil
}

// held says whether the reserve is there, whole: a sparse file keeps nothing.
func (s *space) held() (bool, error) {
	var st unix.Stat_t
	err := unix.Stat(s.path, &st)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && 512*st.Blocks >= s.size, err
}

// release gives the reserve to those who need it.
func (s *space) release() error {
	s.low.Store(true)
	s.log.Error("the disk is full: only decisions and erasures are stored, from the reserve",
		"reserve", s.size, "hint", "make room on the disk of "+filepath.Dir(s.path))
	return os.Truncate(s.path, 0)
}

// take makes the reserve anew.
func (s *space) take() error {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, s.size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		s.log.Warn("the file system cannot keep space for the store", "path", s.path)
		s.size = 0
		err = os.Remove(s.path)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			return os.Truncate(s.path, 0)
		}
		return err
	}
	if s.low.Swap(false) {
		s.log.Info("there is room on the disk again")
	}
	return nil
}

// refused says why an Update may not be stored now.
func (s *space) refused(cause store.Cause) error {
	if s.low.Load() && !cause.Essential {
		return fmt.Errorf("%w: what is left is kept for decisions and erasures", store.ErrFull)
	}
	return nil
}

// full marks an error as that of a full disk.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	return err
}

// Full says whether the disk is full: only essential Updates are stored.
func (s *Store) Full() bool { return s.space.low.Load() }
