package bolt

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Relax gives the memory of pages that were read back to the system; they are
// read again when they are needed. A program that has walked through the whole
// store, as at its start, stays small with it: what is mapped counts as its own
// memory, in places of 64 KiB for each page of 4.
func (s *Store) Relax() (err error) {
	// Until this transaction ends the map cannot move.
	tx, err := s.begin(false)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	// The map is shared and read only: nothing in it can be lost.
	_, _, errno := unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
	if errno != 0 {
		return fmt.Errorf("relax store: %w", errno)
	}
	return nil
}

// Room says how many bytes of the file are in use and how many are free, and how
// many pages are on the list of free ones.
func (s *Store) Room() (used, free int64, pages int) {
	tx, in, err := s.beginIn(false)
	if err != nil {
		return 0, 0, 0
	}
	defer tx.Rollback()
	stats, size := in.Stats(), int64(in.Info().PageSize)
	pages = stats.FreePageN + stats.PendingPageN
	free = int64(pages) * size
	return tx.Size() - free, free, pages
}
