package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// Plan says what to restore, and how.
type Plan struct {
	Dir         string // the data folder
	Environment store.Environment
	Master      *seal.Master // of the box: it wraps the restored keyring

	// From is an unlocked backup. Where it is nil, Copy is the path of a copy of the
	// store, as it was at Made, which the keyring that lies there opens.
	From *File
	Copy string
	Made time.Time

	// Erasures is the path of an erasure log from elsewhere; empty: none.
	Erasures string
	// AcceptUnknown says that nobody may know who was erased since the backup.
	AcceptUnknown bool
	// Try stops before anything is replaced.
	Try bool

	Progress func(what string, done, total int64) // nil: nobody wants to know
	Clock    func() time.Time

	step   func(name string) error // told of each step before it is taken; nil outside of tests
	noSync bool                    // for tests
}

// Done is what a restore has brought.
type Done struct {
	Info    store.Info    `json:"info"`    // of the restored store
	Made    time.Time     `json:"made"`    // when the backup or the copy was
	Records store.Checked `json:"records"` // that were read and are right
	Erased  int           `json:"erased"`  // people who were erased since
	// Unknown says that erasures since Made are not known.
	Unknown bool `json:"unknownErasures,omitempty"`
	// Aside is where lies what was there before; empty: there was nothing.
	Aside string `json:"aside,omitempty"`
	// Foreign says that what lies aside is of another box or an earlier life of
	// this one, and keeps its own keyring: erasures do not reach it.
	Foreign bool `json:"foreign,omitempty"`
	// Warnings are in the operator's words.
	Warnings []string `json:"warnings,omitempty"`
}

const (
	stageSuffix = ".restore"
	asideInfix  = ".before-"
	markerName  = "restoring"
	copiesDir   = "copies"
	keyringGlob = "keyring*"
	timeInNames = "20060102T150405Z"
)

// A restore is a Plan on its way.
type restore struct {
	Plan
	done Done
	mark marker
	old  *seal.Ring // the keyring that lies there; nil: none that opens
}

func (p *Plan) live() string  { return filepath.Join(p.Dir, string(p.Environment)) }
func (p *Plan) stage() string { return p.live() + stageSuffix }

// Restore brings a backup or a hot copy back. The caller has the store that is
// there locked. The error matches ErrUnknownErasures where the plan does not accept
// that, ErrRoom, store.ErrDamaged and others, and then nothing was replaced.
func Restore(ctx context.Context, p Plan) (*Done, error) {
	if p.Progress == nil {
		p.Progress = func(string, int64, int64) {}
	}
	if p.Clock == nil {
		p.Clock = time.Now
	}
	if p.step == nil {
		p.step = func(string) error { return nil }
	}
	r := &restore{Plan: p}
	if err := r.run(ctx); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return &r.done, nil
}

func (r *restore) run(ctx context.Context) (err error) {
	if err := errors.Join(Settle(r.Dir, r.Environment), r.sweep()); err != nil {
		return fmt.Errorf("complete an earlier restore: %w", err)
	}
	if err := r.begin(); err != nil {
		return err
	}
	err = r.build(ctx)
	if err == nil && !r.Try {
		err = r.exchange()
	}
	if err != nil || r.Try {
		if cut := r.step("clean up"); cut != nil {
			return cut
		}
		return errors.Join(err, r.sweep())
	}
	if err := r.step("settle"); err != nil {
		return err
	}
	return settle(r.Dir, r.Environment, r.step)
}

// build makes the new folder whole.
func (r *restore) build(ctx context.Context) error {
	ring, err := r.take(ctx)
	if err != nil {
		return err
	}
	if err := r.recall(ring); err != nil {
		return err
	}
	if err := r.step("write keyring"); err != nil {
		return err
	}
	if err := ring.Sync(); err != nil {
		return err
	}
	if err := r.carry(); err != nil {
		return err
	}
	return r.open(ctx, ring)
}

// take lays the store into the new folder, and returns its keyring.
func (r *restore) take(ctx context.Context) (*seal.Ring, error) {
	if err := r.step("take"); err != nil {
		return nil, err
	}
	path := filepath.Join(r.stage(), partKeyring)
	live := filepath.Join(r.live(), partKeyring)
	old, errOld := seal.Open(live, r.Master, seal.Options{MustExist: true})
	if r.From != nil {
		b, err := r.From.extract(ctx, r.stage(), r.step, func(done, total int64) { r.Progress("read", done, total) })
		if err != nil {
			return nil, err
		}
		if errOld == nil {
			r.old = old
		} else if !errors.Is(errOld, fs.ErrNotExist) {
			r.warn("the keyring that lay there cannot be opened, so that it does not tell who was erased: %v", errOld)
		}
		return r.From.envelope.Restore(b, path, r.Master)
	}
	if errOld != nil {
		return nil, errOld
	}
	r.old = old
	copied, err := os.Open(r.Copy)
	if err != nil {
		return nil, err
	}
	defer copied.Close()
	st, err := copied.Stat()
	if err != nil {
		return nil, err
	}
	done := int64(0)
	told := &counted{&cancelled{ctx, copied}, func(n int) { done += int64(n); r.Progress("read", done, st.Size()) }}
	if err := writeFile(filepath.Join(r.stage(), partStore), told, st.Size()); err != nil {
		return nil, err
	}
	return old.At(path), nil
}

func (r *restore) warn(format string, args ...any) {
	r.done.Warnings = append(r.done.Warnings, fmt.Sprintf(format, args...))
}

// recall has the keyring forget whom the box knows to be erased since.
func (r *restore) recall(ring *seal.Ring) error {
	known := false
	if r.old != nil {
		known = ring.Join(r.old)
		r.mark.Shared = known
	}
	rings, err := filepath.Glob(filepath.Join(r.live(), keyringGlob))
	if err != nil {
		return err
	}
	r.done.Foreign = len(rings) > 0 && !known
	here, err := ring.Recall(seal.ErasuresPath(r.Dir, r.Environment))
	if err != nil {
		return err
	}
	known = known || here
	if r.Erasures != "" {
		if _, err := os.Stat(r.Erasures); err != nil {
			return err
		}
		there, err := ring.Recall(r.Erasures)
		if err != nil {
			return err
		}
		if !there {
			return fmt.Errorf("%w: %s is no erasure log of this box", store.ErrForeign, r.Erasures)
		}
		known = true
	}
	if r.done.Unknown = !known; !known && !r.AcceptUnknown {
		return fmt.Errorf("%w on %s", ErrUnknownErasures, r.done.Made.UTC().Format("2 January 2006, 15:04 UTC"))
	}
	return nil
}

// open opens the new store, which erases from it who was erased since, reads all of
// it, and begins its new epoch.
func (r *restore) open(ctx context.Context, ring *seal.Ring) error {
	if err := r.step("open"); err != nil {
		return err
	}
	opt := bolt.Options{Environment: r.Environment, MustExist: true, NoSync: r.noSync, Clock: r.Clock, Keyring: func() (store.Keyring, error) { return ring, nil }}
	path := filepath.Join(r.stage(), partStore)
	s, err := bolt.Open(path, opt)
	if err != nil {
		return err
	}
	told, err := r.close(ctx, s)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	if err := r.step("begin epoch"); err != nil {
		return err
	}
	if opt.NewEpoch, err = r.epoch(s.Info().Epoch); err != nil {
		return err
	}
	if s, err = bolt.Open(path, opt); err != nil {
		return err
	}
	r.done.Info = s.Info()
	err = s.Update(ctx, store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "restore"}}, func(tx *store.Tx) error {
		_, err := store.Append(tx, told, nil)
		return err
	})
	return errors.Join(err, s.Close())
}

// close reads everything in the store and ends its epoch. It returns the event that
// is to begin the next one.
func (r *restore) close(ctx context.Context, s *bolt.Store) (e store.Event, err error) {
	var head uint64
	err = s.View(ctx, func(tx *store.Tx) (err error) {
		if head, err = store.Head(tx); err == nil {
			r.done.Erased, err = replayed(tx, head)
		}
		return err
	})
	if err != nil {
		return e, err
	}
	e = store.Event{Kind: store.EventSystem, Action: "restore", Outcome: store.OutcomeDone, Counters: map[string]float64{
		"epoch": float64(s.Info().Epoch), "events": float64(head), "erased": float64(r.done.Erased),
	}}
	if err := r.check(ctx, s); err != nil {
		return e, err
	}
	if err := r.step("archive"); err != nil {
		return e, err
	}
	r.Progress("archive", 0, 0)
	return e, archive(ctx, audit.Config{Store: s, Dir: filepath.Join(r.stage(), auditDir), Clock: r.Clock})
}

// replayed counts the erasures at the end of a journal that the opening of its store
// has just made up for.
func replayed(tx *store.Tx, head uint64) (n int, err error) {
	for e, err := range store.Envelopes(tx, head, 1) {
		if err != nil || e.Actor != store.Replayer {
			return n, err
		}
		if e.Kind == store.EventErasure {
			n++
		}
	}
	return n, nil
}

// maxNamed is how many faults an error names.
const maxNamed = 3

// check reads everything in the store.
func (r *restore) check(ctx context.Context, s *bolt.Store) error {
	r.Progress("check", 0, 0)
	found, err := s.Check(ctx)
	if err != nil {
		return err
	}
	r.done.Records = found.Checked
	if found.Whole() {
		return nil
	}
	var named []string
	for i := range found.Faults[:min(maxNamed, len(found.Faults))] {
		named = append(named, found.Faults[i].String())
	}
	return fmt.Errorf("%w: %d faults: %s", store.ErrDamaged, len(found.Faults)+found.Omitted, strings.Join(named, "; "))
}

// archive closes the journal of a store: all of it moves into periods, and a
// checkpoint is signed.
func archive(ctx context.Context, c audit.Config) error {
	log, err := audit.Open(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(log.Archive(ctx), log.Close())
}

// epoch chooses a number that no epoch of this journal ever had, also where other
// restores of the same backup are unknown here: the second of this one, or, where
// the clock is wrong, one more than any that is known.
func (r *restore) epoch(present uint64) (uint64, error) {
	next := max(present+1, uint64(max(0, r.Clock().Unix())))
	names, err := filepath.Glob(filepath.Join(r.Dir, string(r.Environment)+"*", auditDir, "*"))
	for _, name := range names {
		digits, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(name), notesSuffix), "-")
		if n, err := strconv.ParseUint(digits, 16, 64); err == nil && n < 1<<62 {
			next = max(next, n+1)
		}
	}
	return next, err
}
