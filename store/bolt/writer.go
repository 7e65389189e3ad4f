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
	cause  store.Cause
	state  atomic.Int32
	turn   chan *batch // the writer gives the word
	ran    chan bool   // the answer: done, or to be taken back
	done   chan error  // the fate of the group
	commit store.Commit
	erased []store.PersonTag
}

const (
	waiting   int32 = iota
	claimed         // by the writer
	withdrawn       // by the caller, whose context ended
)

// Update runs fn in a transaction.
func (s *Store) Update(ctx context.Context, cause store.Cause, fn func(*store.Tx) error) error {
	r := &request{cause: cause, turn: make(chan *batch, 1), ran: make(chan bool, 1), done: make(chan error, 1)}
	if err := s.enqueue(ctx, r); err != nil {
		return err
	}
	var b *batch
	select {
	case b = <-r.turn:
	case err := <-r.done: // refused before its turn
		return err
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, withdrawn) {
			return ctx.Err()
		}
		select {
		case b = <-r.turn:
		case err := <-r.done:
			return err
		}
	}
	err := s.run(r, b, fn)
	// A failed Update waits too: it failed over what it saw, and that was perhaps
	// the work of others that is only now being committed.
	if fate := <-r.done; fate != nil {
		return fate
	}
	return err
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

// run has the turn: it runs fn on the goroutine of the caller, while the writer
// waits. However fn ends, the writer gets its answer.
func (s *Store) run(r *request, b *batch, fn func(*store.Tx) error) (err error) {
	good := false
	defer func() { r.ran <- good }()
	defer s.notice(&err)
	defer faults(&err)()
	tx, err := s.layout.Write(b, r.cause)
	if err != nil {
		return err
	}
	defer tx.Abandon()
	if err := fn(tx); err != nil {
		return err
	}
	brought, err := tx.Finish()
	if err == nil {
		r.commit, r.erased, good = brought, tx.Erased(), true
	}
	return err
}

// write is the writer: it serves the queue until that is closed and empty.
func (s *Store) write() {
	defer close(s.stopped)
	debug.SetPanicOnFault(true) // commits read the map as well; guard has the panics
	for {
		select {
		case r, more := <-s.queue:
			if !more {
				return
			}
			s.serve(r)
		case fn := <-s.still:
			fn()
		}
	}
}

// serve lets a request and those who wait behind it have their turns, and tells
// them their fate.
func (s *Store) serve(r *request) {
	if err := s.refused(); err != nil {
		r.done <- err
		return
	}
	if err := s.space.check(); err != nil {
		s.log.Warn("the reserve of disk space cannot be kept", "err", err)
	}
	group, err := s.group(r)
	for _, r := range group {
		if err == nil && len(r.commit.Events)+len(r.commit.Changes) > 0 {
			s.watchers.call(r.commit)
		}
		fate := err
		if fate == nil {
			fate = s.forget(r.erased)
		}
		r.done <- fate
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

// group gives first and those who wait behind it their turns in one transaction,
// and commits it. It returns those who had one, and their fate.
func (s *Store) group(first *request) (group []*request, err error) {
	tx, err := s.begin(true)
	if err != nil {
		return []*request{first}, s.fail(err)
	}
	b := &batch{kv: kv{tx: tx}}
	for r := first; r != nil && b.broken == nil; r = s.next(len(group), b) {
		if !r.state.CompareAndSwap(waiting, claimed) {
			continue
		}
		if err := s.space.refused(r.cause); err != nil {
			r.done <- err
			continue
		}
		group = append(group, r)
		turn(r, b)
	}
	switch {
	case b.broken != nil: // what was only read and put until now can be forgotten
		err = fmt.Errorf("%w: %w", store.ErrCommit, b.broken)
	case len(b.undo) > 0:
		if err = s.layout.Sync(); err != nil { // nothing is written yet
			err = fmt.Errorf("%w: %w", store.ErrCommit, err)
		} else if err = commit(b); err == nil {
			s.changed.note(b.undo)
			return group, nil
		} else {
			err = s.fail(err)
		}
	}
	if stuck := rollback(b); stuck != nil && !errors.Is(stuck, berrors.ErrTxClosed) {
		s.stuck = stuck
		return group, s.fail(stuck)
	}
	return group, err
}

// turn lets one Update run, and takes its changes back if it fails.
func turn(r *request, b *batch) {
	before := len(b.undo)
	r.turn <- b
	if <-r.ran {
		return
	}
	if err := b.back(before); err != nil {
		b.broken = err
	}
}

// next returns the request that waits, or nil to end the group. Before it finds
// nobody it lets others run once: whom the last commit woke is on his way.
func (s *Store) next(n int, b *batch) *request {
	if n >= groupUpdates || b.size >= groupBytes {
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
