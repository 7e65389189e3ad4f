package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"

	berrors "go.etcd.io/bbolt/errors"

	"github.com/cypherface/edge/store"
)

// A group ends when nobody waits, or it has so many Updates or bytes: the first
// in it should not wait long for the last, and where keys come in no order each costs
// the more the more there are, as bbolt keeps what a transaction adds to a page in one
// slice.
const (
	groupUpdates = 256
	groupBytes   = 4 << 20
)

// request is an Update on its way through the writer.
type request struct {
	cause store.Cause
	fn    func(*store.Tx) error
	state atomic.Int32
	fate  chan error // that of the group

	// What came of fn, to be read once fate has been heard.
	err      error
	panicked any
	exited   bool
	commit   store.Commit
	erased   []store.PersonTag
}

const (
	waiting   int32 = iota
	claimed         // by the writer
	withdrawn       // by the caller, whose context ended
)

// Update runs fn in a transaction.
func (s *Store) Update(ctx context.Context, cause store.Cause, fn func(*store.Tx) error) error {
	r := &request{cause: cause, fn: fn, fate: make(chan error, 1)}
	if err := s.enqueue(ctx, r); err != nil {
		return err
	}
	select {
	case err := <-r.fate:
		return r.end(err)
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, withdrawn) {
			return ctx.Err()
		}
		return r.end(<-r.fate)
	}
}

// end ends an Update as its fn has ended. One that failed has waited too: it failed
// over what it saw, and that was perhaps the work of others that is only now committed.
func (r *request) end(fate error) error {
	switch {
	case r.exited:
		runtime.Goexit()
	case r.panicked != nil:
		panic(r.panicked)
	case fate != nil:
		return fate
	}
	return r.err
}

func (s *Store) enqueue(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	select {
	case s.queue <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write is the writer: it serves the queue until that is closed and empty. Where another
// has left off in the midst of a group, it goes on with that.
func (s *Store) write(begun *batch) {
	debug.SetPanicOnFault(true) // commits read the map as well; guard has the panics
	if begun != nil {
		s.turns(s.next(begun), begun)
		s.finish(begun)
	}
	for {
		select {
		case r, more := <-s.queue:
			if !more {
				close(s.stopped)
				return
			}
			s.serve(r)
		case fn := <-s.still:
			fn()
		}
	}
}

// serve gives first and those who wait behind it their turns in one transaction.
func (s *Store) serve(first *request) {
	if err := s.refused(); err != nil {
		first.fate <- err
		return
	}
	if err := s.space.check(); err != nil {
		s.log.Warn("the reserve of disk space cannot be kept", "err", err)
	}
	tx, err := s.begin(true)
	if err != nil {
		first.fate <- s.fail(err)
		return
	}
	b := &batch{kv: kv{tx: tx}}
	s.turns(first, b)
	s.finish(b)
}

// turns gives r and those who wait behind it their turns. That they all run on one
// goroutine is much cheaper than to wake that of each.
func (s *Store) turns(r *request, b *batch) {
	for ; r != nil; r = s.next(b) {
		if !r.state.CompareAndSwap(waiting, claimed) {
			continue
		}
		if err := s.space.refused(r.cause); err != nil {
			r.fate <- err
			continue
		}
		b.group = append(b.group, r)
		s.turn(r, b)
	}
}

// next returns the request that waits, or nil to end the group. Before it finds
// nobody it lets others run once: whom the last commit woke is on his way.
func (s *Store) next(b *batch) *request {
	if b.broken != nil || len(b.group) >= groupUpdates || b.size >= groupBytes {
		return nil
	}
	if len(s.queue) == 0 {
		runtime.Gosched()
	}
	select {
	case r := <-s.queue: // nil when closed
		return r
	default:
		return nil
	}
}

// turn lets one Update run, and takes its changes back if it does not succeed. One
// that exits takes the writer along: another goes on.
func (s *Store) turn(r *request, b *batch) {
	before, good := len(b.undo), false
	r.exited = true
	defer func() {
		if r.panicked = recover(); r.panicked != nil {
			r.exited = false
			// The stack of the caller, who panics in the end, does not show where.
			s.log.Error("an Update panicked", "stack", string(debug.Stack()))
		}
		if !good {
			if err := b.back(before); err != nil {
				b.broken = err
			}
		}
		if r.exited {
			go s.write(b)
		}
	}()
	r.err = s.run(r, b)
	r.exited, good = false, r.err == nil
}

func (s *Store) run(r *request, b *batch) (err error) {
	defer s.notice(&err)
	defer faults(&err)()
	tx, err := s.layout.Write(b, r.cause)
	if err != nil {
		return err
	}
	defer tx.Abandon()
	if err := r.fn(tx); err != nil {
		return err
	}
	brought, err := tx.Finish()
	if err == nil {
		r.commit, r.erased = brought, tx.Erased()
	}
	return err
}

// finish commits what a group has changed, and tells those who had a turn their fate.
func (s *Store) finish(b *batch) {
	err := s.commit(b)
	for _, r := range b.group {
		if err == nil && len(r.commit.Events)+len(r.commit.Changes) > 0 {
			s.watchers.call(r.commit)
		}
		fate := err
		if fate == nil {
			fate = s.forget(r.erased)
		}
		r.fate <- fate
	}
}

// forget ends an erasure that is committed: the keys of the people go. The one
// who waits for it hears when that fails; it is done again with the next opening.
func (s *Store) forget(people []store.PersonTag) error {
	if err := s.layout.Forget(people); err != nil {
		return s.fail(fmt.Errorf("erased, but the key is still there: %w", err))
	}
	return nil
}

// refused says why nothing can be changed any more.
func (s *Store) refused() error {
	if err := s.failed.Load(); err != nil {
		return fmt.Errorf("%w: the store takes no changes until it is opened again, after: %w", store.ErrCommit, *err)
	}
	return nil
}

// commit commits what a group has changed, or nothing.
func (s *Store) commit(b *batch) (err error) {
	switch {
	case b.broken != nil: // what was only read and put until now can be forgotten
		err = fmt.Errorf("%w: %w", store.ErrCommit, b.broken)
	case len(b.undo) > 0:
		if err = s.layout.Sync(); err != nil { // nothing is written yet
			err = fmt.Errorf("%w: %w", store.ErrCommit, err)
		} else if err = commit(b); err == nil {
			s.changed.note(b.undo)
			return nil
		} else {
			err = s.fail(err)
		}
	}
	if stuck := rollback(b); stuck != nil && !errors.Is(stuck, berrors.ErrTxClosed) {
		s.stuck = stuck
		return s.fail(stuck)
	}
	return err
}

func commit(b *batch) (err error) {
	defer guard(&err)
	return named(b.tx.Commit())
}

// named gives an error its cause back, of which bbolt has kept the text alone where
// the file could not grow.
func named(err error) error {
	if err == nil {
		return nil
	}
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
		if !errors.Is(err, cause) && strings.Contains(err.Error(), cause.Error()) {
			return fmt.Errorf("%w: %w", err, cause)
		}
	}
	return err
}

func rollback(b *batch) (err error) {
	defer guard(&err)
	return b.tx.Rollback()
}

// fail turns the reason why a group was not committed into the answer, and stops
// the store, unless the reason is one that passes.
func (s *Store) fail(err error) error {
	s.notice(&err)
	if !errors.Is(err, syscall.ENOSPC) {
		s.failed.Store(&err)
		s.log.Error("store takes no more changes", "error", err)
	}
	return fmt.Errorf("%w: %w", store.ErrCommit, full(err))
}
