package bolt

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/cypherface/edge/store"
)

// Lock keeps all others from opening the store at path until it is closed, for
// work on what lies beside it. The error matches store.ErrLocked where another
// has it open.
func Lock(path string) (io.Closer, error) { return lock(path, syscall.LOCK_EX) }

func lock(path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	// The same lock as bbolt's.
	err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %s holds it; stop that first", store.ErrLocked, holder(path))
	}
	if st, statErr := f.Stat(); err == nil && (statErr != nil || !leads(path, st)) {
		err = fmt.Errorf("%w: it is being compacted", store.ErrLocked)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock store %s: %w", path, err)
	}
	return f, nil
}
