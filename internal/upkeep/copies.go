package upkeep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// A copy is named after its time, in UTC; one that was not checked yet has another
// end.
const (
	copyTime   = "2006-01-02T150405.000Z"
	copySuffix = ".db"
	rawSuffix  = ".unchecked"
)

// CopyDir is where the hot copies of an environment lie below the data folder.
func CopyDir(dir string, env store.Environment) string {
	return filepath.Join(dir, string(env), "copies")
}

// Copied is a hot copy.
type Copied struct {
	Name string    `json:"name"`
	Time time.Time `json:"time"` // of which it is
	Size int64     `json:"size"` // in bytes
}

// Copies lists the hot copies of an environment that were found whole when they
// were made, the newest last.
func Copies(dir string, env store.Environment) ([]Copied, error) {
	files, err := os.ReadDir(CopyDir(dir, env)) // in the order of their names
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list copies: %w", err)
	}
	var copies []Copied
	for _, f := range files {
		name, ours := strings.CutSuffix(f.Name(), copySuffix)
		at, err := time.Parse(copyTime, name)
		if !ours || err != nil {
			continue
		}
		if info, err := f.Info(); err == nil {
			copies = append(copies, Copied{f.Name(), at, info.Size()})
		}
	}
	return copies, nil
}

// copyDue says whether the newest copy is a day old. One of a time that has not
// come yet is from before the clock was set back; then this process counts.
func (k *Keeper) copyDue() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	age := k.Clock().Sub(k.state.Copy)
	return k.Copies > 0 && (age >= copyAge || age < 0 && k.Clock().Sub(k.copied) >= copyAge)
}

// Copy makes a hot copy of the store, and removes the oldest beyond the number that
// is kept. It refuses to copy a store that is damaged: the older copies are better.
func (k *Keeper) Copy(ctx context.Context) error {
	defer k.begin("copy")()
	if err := k.copy(ctx); err != nil {
		return fmt.Errorf("make a hot copy: %w", err)
	}
	return k.Store.Relax()
}

func (k *Keeper) copy(ctx context.Context) error {
	dir := CopyDir(k.Dir, k.env)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := sweepCopies(dir); err != nil {
		return err
	}
	used, _, _ := k.Store.Room()
	if err := k.mayTake(used); err != nil {
		return err
	}
	r, err := k.check(ctx)
	if err != nil {
		return err
	}
	if !r.Whole() {
		return fmt.Errorf("%w: %s", store.ErrDamaged, &r.Faults[0])
	}
	at := k.Clock().UTC()
	path := filepath.Join(dir, at.Format(copyTime))
	if err := k.Store.Copy(ctx, path+rawSuffix); err != nil {
		return err
	}
	if err := k.accept(ctx, path); err != nil {
		return errors.Join(err, bolt.Discard(path+rawSuffix))
	}
	k.change(func(s *State) { s.Copy = at.Truncate(time.Millisecond) })
	k.mu.Lock()
	k.copied = at
	k.mu.Unlock()
	return k.thin(dir)
}

// accept checks a new copy and gives it its name.
func (k *Keeper) accept(ctx context.Context, path string) error {
	r, err := bolt.CheckFile(ctx, path+rawSuffix, k.options())
	if err != nil {
		return err
	}
	if !r.Whole() {
		return fmt.Errorf("%w: the new copy: %s", store.ErrDamaged, &r.Faults[0])
	}
	return os.Rename(path+rawSuffix, path+copySuffix)
}

// thin removes the oldest copies beyond the number that is kept.
func (k *Keeper) thin(dir string) error {
	copies, err := Copies(k.Dir, k.env)
	if err != nil {
		return err
	}
	for _, c := range copies[:max(0, len(copies)-k.Copies)] {
		if err := bolt.Discard(filepath.Join(dir, c.Name)); err != nil {
			return err
		}
	}
	return nil
}

// sweepCopies removes what a cut has left.
func sweepCopies(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if slices.Contains([]string{rawSuffix, ".new"}, filepath.Ext(f.Name())) {
			if err := bolt.Discard(filepath.Join(dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// leave is how much room must stay on the disk: the events of many days.
const leave = 256 << 20

// mayTake says whether there is room for a file of some size, with as much again
// left, or leave.
func (k *Keeper) mayTake(size int64) error {
	have, err := k.room(filepath.Join(k.Dir, string(k.env)))
	if err != nil {
		return err
	}
	if need := size + max(size, leave); have < need {
		return fmt.Errorf("%w: %d MiB are free, and it takes %d", errRoom, have>>20, need>>20)
	}
	return nil
}

// room is how much a program may still put on the disk of a folder.
func room(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("ask for the room on the disk: %w", err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
