// Package bolt keeps a store in one bbolt file.
//
//	s, err := bolt.Open(bolt.Path(dir, store.Sandbox), bolt.Options{Environment: store.Sandbox})
//
// # Guarantees
//
// An Update that returned nil is on the disk (fdatasync) and survives a crash of
// the process, of the system and of the power, as far as the disk keeps what it
// has confirmed. Of an Update that had not returned, all is found or nothing.
//
// One goroutine writes. It lets all Updates that wait have their turn in one
// bbolt transaction, one after another, and makes them durable together; whoever
// comes meanwhile waits for the next. Nobody waits for company: a lone Update is
// committed at once. All run on the goroutine of the writer. One that fails, panics or
// exits takes back its own changes only, and it is its caller who panics or exits.
//
// With a Keyring, the keys of new people are durable before what was sealed with
// them is committed, and an Update that erases somebody returns when his key is
// destroyed. If that fails, the Update returns ErrCommit although its changes are
// made; the next opening destroys the key.
//
// Views read a snapshot and keep nobody waiting, as long as the file is smaller
// than 16 GiB; beyond that, a View that stays open delays the commit that makes
// the file pass the next GiB.
//
// On a full disk a space that was reserved goes to the Updates that are essential,
// and others are refused with store.ErrFull; so are all when that is spent.
// After a commit that failed for another reason than a full disk, what the disk
// holds is unknown until it is read again: the store then refuses changes until
// it is opened anew.
//
// # Damage
//
// An empty file, a file of something else and a file that was cut short are
// refused, and so is one whose meta pages do not follow each other, which may be
// back at an earlier commit, or whose list of free pages is none. A damaged page is
// an error (store.ErrDamaged) and not a panic. Values whose bytes flip on the disk
// are noticed by a store.Sealer that authenticates them (store/seal).
//
// Check reads all there is and names what is wrong; it also finds what bbolt takes
// for truth, such as a page in use that is said to be free. Mend and MendFile make
// right what follows from the rest.
//
// # Room
//
// The file grows with what is put, and does not shrink by itself: Compact replaces
// it by a packed one while Views and Updates go on. Copy makes a packed copy
// elsewhere.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/cypherface/edge/store"
)

// Options says how to open a store. Environment is required.
type Options struct {
	Environment store.Environment
	Sealer      store.Sealer     // nil means store.Clear
	Clock       func() time.Time // nil means time.Now

	// Keyring opens a Sealer in place of the one above. It is called whenever this
	// process has come to hold the store alone, so that what it reads stays true,
	// and may be called more than once.
	Keyring func() (store.Keyring, error)

	// Reserve is how much disk space, in bytes, is kept in a file beside the store
	// for essential Updates, for when the disk is full; 0 leaves one that is there
	// alone, as for tools that open the store in between. It is given up
	// where less than 8 MiB are free, and taken again where there is room.
	Reserve int64

	// NewEpoch is store.Options.NewEpoch.
	NewEpoch uint64

	// MustExist makes it an error (fs.ErrNotExist) that there is no file yet.
	MustExist bool
	// LockTimeout is how long to wait for another process; 0 means a second.
	LockTimeout time.Duration
	// NoSync gives durability up for speed; for tests.
	NoSync bool

	readOnly bool // and whatever the meta pages say
	// Log is told of what goes wrong in the background; nil discards it.
	Log *slog.Logger
}

// Path is where the store of an environment lies below the data directory.
func Path(dir string, env store.Environment) string {
	return filepath.Join(dir, string(env), "store.db")
}

// Store is a store in a bbolt file.
type Store struct {
	path   string
	noSync bool
	layout *store.Layout
	log    *slog.Logger

	at sync.RWMutex // protects db, which Compact replaces on the writer's goroutine
	db *file

	space   *space
	queue   chan *request
	still   chan func()           // to be run between two groups
	stopped chan struct{}         // closed when the writer has ended
	failed  atomic.Pointer[error] // why changes are refused since; set by the writer
	damage  atomic.Pointer[error] // the last that somebody met
	stuck   error                 // bbolt holds its lock for ever; the writer's until stopped

	mu     sync.RWMutex // protects closed and, against Close, sending to queue and adding to jobs
	closed bool

	compacting sync.Mutex
	changed    changes
	jobs       sync.WaitGroup // what Close waits for, besides the writer
	step       func(string)   // told of each step of Compact before it is taken; nil outside of tests

	watchers watchers
}

var _ store.Store = (*Store)(nil)

// Open opens the store at path, and makes one with its directories if there is
// none. The error matches store.ErrLocked, ErrForeign, ErrNewer or ErrDamaged
// where that is the reason.
func Open(path string, opt Options) (*Store, error) {
	s, err := open(path, opt)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	go s.write(nil)
	return s, nil
}

// Info says which store this is.
func (s *Store) Info() store.Info { return s.layout.Info() }

// View runs fn over a snapshot.
func (s *Store) View(ctx context.Context, fn func(*store.Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.notice(&err)
	defer faults(&err)()
	btx, err := s.begin(false)
	if err != nil {
		return err
	}
	defer btx.Rollback()
	tx := s.layout.Read(&kv{tx: btx})
	defer tx.Abandon()
	return fn(tx)
}

// Watch has fn called after each Update that changed something. A call that is
// under way when stop is called may end after it.
func (s *Store) Watch(fn func(store.Commit)) (stop func()) { return s.watchers.add(fn) }

// Close waits for Updates and Views that are under way, and ends a Compact.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.stopped
		return nil
	}
	s.closed = true
	close(s.queue)
	s.mu.Unlock()
	<-s.stopped
	s.jobs.Wait()
	if s.stuck != nil {
		return fmt.Errorf("close store: %w", s.stuck)
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Trouble says what has been wrong with the store since it was opened: refuses is
// why it takes no changes any more, damage what the last who met damaged bytes was
// told. Both are nil as a rule.
func (s *Store) Trouble() (refuses, damage error) {
	if err := s.failed.Load(); err != nil {
		refuses = *err
	}
	if err := s.damage.Load(); err != nil {
		damage = *err
	}
	return refuses, damage
}

// notice keeps damage for Trouble.
func (s *Store) notice(err *error) {
	if errors.Is(*err, store.ErrDamaged) {
		met := *err
		s.damage.Store(&met)
	}
}

// begin starts a bbolt transaction.
func (s *Store) begin(writable bool) (*bbolt.Tx, error) {
	tx, _, err := s.beginIn(writable)
	return tx, err
}

// beginIn says as well in which file, which stays open until the transaction ends.
func (s *Store) beginIn(writable bool) (tx *bbolt.Tx, in *file, err error) {
	defer guard(&err)
	s.at.RLock()
	defer s.at.RUnlock()
	tx, err = s.db.Begin(writable)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		err = store.ErrClosed
	}
	return tx, s.db, err
}

// guard turns a panic of bbolt, which is how it meets damaged pages, into
// store.ErrDamaged. It stands only around calls of bbolt.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", store.ErrDamaged, p)
	}
}

// faults does the same for reads of the mapped file behind its end, anywhere on
// this goroutine until the function that it returns is called; other panics go
// their way.
func faults(err *error) (restore func()) {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		switch p := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // only faults know an address
			*err = fmt.Errorf("%w: a page lies behind the end of the file", store.ErrDamaged)
		default:
			panic(p)
		}
	}
}
