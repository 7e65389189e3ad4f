package bolt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
)

// Limits of catching up with what is changed while a store is compacted.
const (
	stillKeys  = 512     // so many may be left for the round that keeps Updates waiting
	busyKeys   = 1 << 20 // more are not noted: the store is too busy
	busyRounds = 16
)

// ErrBusy says that a store was changed faster than it could be compacted.
var ErrBusy = errors.New("too many changes to keep up with")

// Compact replaces the file by a packed copy of itself, while Views and Updates go
// on. What lies in freed pages goes, and the file shrinks.
//
// The writer notes which keys it changes meanwhile, and they are brought up to
// date in rounds. In the last, short one it holds still: the copy is made durable,
// takes the name of the file, and is used from then on. A cut leaves the one or
// the other, and both hold all that was acknowledged. Views that read the old file
// end in peace; then it is overwritten, as far as the disk writes where it has
// written before, and Compact returns.
//
// progress, if it is not nil, is told how many of the file's bytes in use have
// been copied. The error matches ErrBusy where there were too many changes, and
// store.ErrDamaged where a page cannot be read; the store is then as it was.
func (s *Store) Compact(ctx context.Context, progress func(done, total int64)) error {
	if !s.job() {
		return store.ErrClosed
	}
	defer s.jobs.Done()
	s.compacting.Lock()
	defer s.compacting.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.stopped:
			cancel(store.ErrClosed)
		case <-ctx.Done():
		}
	}()
	if err := s.compact(ctx, progress); err != nil {
		return fmt.Errorf("compact store: %w", err)
	}
	return nil
}

// job reserves a place among what Close waits for, unless it has begun to.
func (s *Store) job() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.closed {
		s.jobs.Add(1)
	}
	return !s.closed
}

func (s *Store) compact(ctx context.Context, progress func(done, total int64)) (err error) {
	if err := s.refused(); err != nil {
		return err
	}
	draft := s.path + draftSuffix
	if err := Discard(draft); err != nil {
		return err
	}
	s.reached("create")
	to, err := openFile(draft, Options{NoSync: true})
	if err != nil {
		return err
	}
	s.changed.start()
	defer s.changed.stop()
	var old *remains
	if err = s.fill(ctx, to, progress); err == nil {
		old, err = s.replace(ctx, to)
	}
	if old == nil {
		return errors.Join(err, to.Close(), Discard(draft))
	}
	return errors.Join(err, old.erase(ctx, s))
}

// reached is for tests.
func (s *Store) reached(step string) {
	if s.step != nil {
		s.step(step)
	}
}

// fill copies the store as it is now, and then what was changed meanwhile, until
// little is left.
func (s *Store) fill(ctx context.Context, to *file, progress func(done, total int64)) error {
	if err := s.copyInto(ctx, to, progress); err != nil {
		return err
	}
	for range busyRounds {
		if s.changed.few() {
			break
		}
		s.reached("catch up")
		if err := s.catchUp(ctx, to); err != nil {
			return err
		}
	}
	s.reached("sync")
	return to.Sync() // the last sync is short, then
}

func (s *Store) copyInto(ctx context.Context, to *file, progress func(done, total int64)) (err error) {
	defer faults(&err)()
	from, err := s.begin(false)
	if err != nil {
		return err
	}
	defer from.Rollback()
	return copyAll(from, to, s.pace(ctx, from, to, progress))
}

// pace returns what is called for each portion that was copied. It has it on the
// disk before the next, so that Updates, which sync too, never wait for much, and
// leaves as much time to others as it took.
func (s *Store) pace(ctx context.Context, from *bbolt.Tx, to *file, progress func(done, total int64)) func(int64) error {
	rest := restful(ctx)
	total := from.Size() - int64(from.DB().Stats().FreePageN*from.DB().Info().PageSize)
	return func(done int64) error {
		s.reached("portion")
		if progress != nil {
			progress(min(done, total), total)
		}
		if !s.noSync {
			if err := to.Sync(); err != nil {
				return err
			}
		}
		if rest(); ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
}

// restful returns a pause as long as what was done since the last one, or until ctx
// ends.
func restful(ctx context.Context) (rest func()) {
	last := time.Now()
	return func() {
		select {
		case <-time.After(min(time.Since(last), time.Second)):
		case <-ctx.Done():
		}
		last = time.Now()
	}
}

// catchUp brings what was changed up to now up to date in the copy.
func (s *Store) catchUp(ctx context.Context, to *file) (err error) {
	places, err := s.changed.take() // before the snapshot, so that it has them all
	if err != nil {
		return err
	}
	defer faults(&err)()
	from, err := s.begin(false)
	if err != nil {
		return err
	}
	defer from.Rollback()
	source, w := &kv{tx: from}, &packer{db: to}
	defer w.rollback()
	for _, p := range places {
		value, err := source.Get(p.bucket, []byte(p.key))
		if err != nil {
			return err
		}
		if err := w.change(p.bucket, []byte(p.key), value); err != nil {
			return err
		}
		if w.size < portion {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := w.commit(); err != nil {
			return err
		}
	}
	return w.commit()
}

// replace has the copy take the place of the file, while the writer holds still.
// What remains of the old file is returned, unless it is still the one that holds.
func (s *Store) replace(ctx context.Context, to *file) (old *remains, err error) {
	done := make(chan struct{})
	turn := func() {
		defer close(done)
		if err = ctx.Err(); err == nil {
			old, err = s.swap(to)
		}
	}
	select {
	case s.still <- turn:
		<-done
		return old, err
	case <-s.stopped:
		return nil, store.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// swap is the last round, on the writer's goroutine.
func (s *Store) swap(to *file) (*remains, error) {
	if err := s.refused(); err != nil {
		return nil, err
	}
	s.reached("hold still")
	if err := s.catchUp(context.Background(), to); err != nil {
		return nil, err
	}
	s.reached("sync still")
	if err := to.Sync(); err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(s.path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	file, err := os.OpenFile(s.path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	s.reached("link")
	old := s.path + oldSuffix
	_ = os.Link(s.path, old) // for sweep, where the file system has such
	s.reached("rename")
	if err := os.Rename(s.path+draftSuffix, s.path); err != nil {
		file.Close()
		return nil, errors.Join(err, os.Remove(old))
	}
	to.NoSync, to.NoGrowSync = s.noSync, s.noSync
	s.at.Lock()
	left := &remains{db: s.db, file: file, path: old}
	s.db = to
	s.at.Unlock()
	s.reached("sync directory")
	if err := dir.Sync(); err != nil {
		left.keep = true // a cut may still bring its name back
		return left, s.fail(err)
	}
	return left, nil
}

// remains is the file that a compacted one has replaced.
type remains struct {
	db   *file
	file *os.File // to be overwritten through
	path string   // its last name
	keep bool     // leave it for sweep
}

// erase overwrites the file when the last View of it has ended.
func (r *remains) erase(ctx context.Context, s *Store) error {
	s.reached("close")
	err := r.db.Close()
	if r.keep {
		return errors.Join(err, r.file.Close())
	}
	s.reached("overwrite")
	err = errors.Join(err, blankSlowly(r.file, restful(ctx)), r.file.Close())
	s.reached("remove")
	if rm := os.Remove(r.path); !errors.Is(rm, fs.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}

const (
	draftSuffix = ".new"
	oldSuffix   = ".old"
)

// sweep removes what a cut has left beside a store, whose lock is held.
func sweep(path string) error {
	if err := Discard(path + draftSuffix); err != nil {
		return err
	}
	old := path + oldSuffix
	a, err := os.Stat(old)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	b, err := os.Stat(path)
	if err != nil {
		return err
	}
	if os.SameFile(a, b) { // it is the one that holds
		return os.Remove(old)
	}
	return Discard(old)
}

// Discard overwrites a store that nobody has open, as far as the disk writes where
// it has written before, and removes it. That there is none is no error.
func Discard(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	if err := blank(f); err != nil {
		return err
	}
	return os.Remove(path)
}

// changes are the keys that were changed since the store is being compacted.
type changes struct {
	mu    sync.Mutex // protects the fields below
	noted map[place]struct{}
	on    bool
}

type place struct{ bucket, key string }

func (c *changes) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noted, c.on = map[place]struct{}{}, true
}

func (c *changes) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noted, c.on = nil, false
}

// note is told what was committed. Who begins a View after take has returned a
// change, or before note was called for it, sees it or finds it noted.
func (c *changes) note(committed []undo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on || len(c.noted) > busyKeys {
		return
	}
	for _, u := range committed {
		c.noted[place{u.bucket, string(u.key)}] = struct{}{}
	}
}

// take returns what was noted, in the order of buckets and keys, and forgets it.
func (c *changes) take() ([]place, error) {
	c.mu.Lock()
	noted := c.noted
	c.noted = map[place]struct{}{}
	c.mu.Unlock()
	if len(noted) > busyKeys {
		return nil, ErrBusy
	}
	places := make([]place, 0, len(noted))
	for p := range noted {
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.key, b.key))
	})
	return places, nil
}

func (c *changes) few() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.noted) <= stillKeys
}
