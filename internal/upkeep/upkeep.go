// Package upkeep looks after the stores of a box: it keeps hot copies, compacts,
// and checks, by itself in the background and when it is told to.
//
//	k := upkeep.New(upkeep.Config{Store: s, Dir: dir, Copies: 3})
//	go k.Run(ctx)
//	report, err := k.Check(ctx, nil)
//
// # Hot copies
//
// They lie in DIR/ENVIRONMENT/copies, the newest last by name, and are stores
// without keys: they open with the keyring, which stays where it is, so that who
// was erased cannot be read in them. There is one a day, the first some time after
// a start whose last one is older. A copy is opened and checked whole before an
// older one goes, and there is none where it would leave the disk without room.
//
// # Compaction
//
// A store is compacted by itself when half of its file and at least 16 MiB are
// free, when the list of its free pages has grown so long that each commit suffers
// from it (65,536 pages), and within a day after somebody was erased, whose hashed
// terms lie in freed pages until then. For erasures before the start of the box,
// that is once after a start.
//
// # Checks
//
// A store is checked whole before each copy. What is found is told to the log, to
// the metrics and to whoever asks; nothing is mended by itself.
package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// Times of the work in the background.
const (
	settleTime  = 10 * time.Minute // after a start
	roundTime   = 10 * time.Minute
	copyAge     = 24 * time.Hour
	compactRest = time.Hour // between two compactions
)

// When a store is compacted by itself.
const (
	freeShare = 2        // half of the file
	freeLeast = 16 << 20 // bytes
	freePages = 1 << 16
)

// Config is what a Keeper is made of.
type Config struct {
	Store *bolt.Store
	// Dir is the data folder of the box.
	Dir string
	// Copies is how many hot copies are kept; 0: none is made.
	Copies int
	Log    *slog.Logger     // nil discards
	Clock  func() time.Time // nil means time.Now
}

// Keeper looks after the store of one environment. It does one thing at a time.
type Keeper struct {
	Config
	env     store.Environment
	room    func(dir string) (int64, error) // on the disk; a test has its own
	working sync.Mutex

	mu    sync.Mutex // protects the fields below
	state State
	// since is when the last compaction of this process began, zero before it.
	since  time.Time
	copied time.Time
	erased bool // somebody was, and lies in freed pages
}

// State is how the upkeep of a store stands.
type State struct {
	Doing   string        `json:"doing,omitempty"` // check, copy, compact
	Done    int64         `json:"done,omitempty"`  // bytes of what is being done
	Total   int64         `json:"total,omitempty"`
	Checked time.Time     `json:"checked,omitzero"`  // when the last check ended
	Faults  []store.Fault `json:"faults,omitempty"`  // that it found
	Copy    time.Time     `json:"copy,omitzero"`     // of when the newest copy is
	Trouble string        `json:"trouble,omitempty"` // why there is no newer one
}

// New makes a Keeper, which does nothing yet.
func New(c Config) *Keeper {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	k := &Keeper{Config: c, env: c.Store.Info().Environment, room: room}
	if copies, err := Copies(c.Dir, k.env); err == nil && len(copies) > 0 {
		k.state.Copy = copies[len(copies)-1].Time
	}
	return k
}

// State says how the upkeep stands.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

func (k *Keeper) change(fn func(*State)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fn(&k.state)
}

// begin waits until nothing else is being done.
func (k *Keeper) begin(what string) (end func()) {
	k.working.Lock()
	k.change(func(s *State) { s.Doing, s.Done, s.Total = what, 0, 0 })
	return func() {
		k.change(func(s *State) { s.Doing, s.Done, s.Total = "", 0, 0 })
		k.working.Unlock()
	}
}

// Run does what is due until ctx ends. Failures are logged and tried again.
func (k *Keeper) Run(ctx context.Context) error {
	k.noteErased(ctx)
	stop := k.Store.Watch(func(c store.Commit) {
		for i := range c.Events {
			if e := &c.Events[i]; e.Kind == store.EventErasure || e.Kind == store.EventConsent && e.Action == store.ActionWithdrawn {
				k.mu.Lock()
				k.erased = true
				k.mu.Unlock()
			}
		}
	})
	defer stop()
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			timer.Reset(roundTime)
		}
		k.round(ctx)
	}
}

// noteErased finds out whether anybody was ever erased: what lies in freed pages
// since is not known after a start.
func (k *Keeper) noteErased(ctx context.Context) {
	err := k.Store.View(ctx, func(tx *store.Tx) error {
		any, err := store.AnyErased(tx)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.erased = k.erased || any
		return err
	})
	if err != nil && ctx.Err() == nil {
		k.Log.Warn("look for erasures", "err", err)
	}
}

// round does what is due now.
func (k *Keeper) round(ctx context.Context) {
	if why := k.compactDue(); why != "" {
		k.Log.Info("the store is being compacted", "environment", k.env, "why", why)
		if err := k.Compact(ctx, nil); err != nil && ctx.Err() == nil {
			k.Log.Warn("the store could not be compacted", "environment", k.env, "err", err)
		}
	}
	if !k.copyDue() {
		return
	}
	err := k.Copy(ctx)
	if ctx.Err() != nil {
		return
	}
	k.change(func(s *State) { s.Trouble = "" })
	if err != nil {
		k.change(func(s *State) { s.Trouble = err.Error() })
		k.Log.Warn("no hot copy of the store could be made", "environment", k.env, "err", err)
	}
}

// compactDue says why the store should be compacted now, in words.
func (k *Keeper) compactDue() string {
	used, free, pages := k.Store.Room()
	k.mu.Lock()
	defer k.mu.Unlock()
	rest := k.Clock().Sub(k.since)
	switch {
	case !k.since.IsZero() && rest < compactRest:
		return ""
	case free >= freeLeast && free >= (used+free)/freeShare:
		return fmt.Sprintf("%d of %d MiB are free", free>>20, (used+free)>>20)
	case pages >= freePages:
		return fmt.Sprintf("the list of free pages has %d", pages)
	case k.erased && (k.since.IsZero() || rest >= copyAge):
		return "somebody was erased"
	}
	return ""
}

// Compact compacts the store, see bolt.Store.Compact.
func (k *Keeper) Compact(ctx context.Context, progress func(done, total int64)) error {
	defer k.begin("compact")()
	used, _, _ := k.Store.Room()
	if err := k.mayTake(used); err != nil {
		return fmt.Errorf("compact store: %w", err)
	}
	k.mu.Lock()
	k.since = k.Clock()
	erased := k.erased
	k.erased = false
	k.mu.Unlock()
	err := k.Store.Compact(ctx, func(done, total int64) {
		k.change(func(s *State) { s.Done, s.Total = done, total })
		if progress != nil {
			progress(done, total)
		}
	})
	if err != nil {
		k.mu.Lock()
		k.erased = k.erased || erased
		k.mu.Unlock()
		return err
	}
	return k.Store.Relax()
}

// Report is what a check of an environment has found.
type Report struct {
	Environment store.Environment `json:"environment"`
	Store       *bolt.Report      `json:"store"`
	Keyring     []store.Fault     `json:"keyring,omitempty"`
	Copies      []*bolt.Report    `json:"copies,omitempty"`
	Mended      int               `json:"mended,omitempty"` // faults of the store that are gone since
}

// Whole says whether nothing is wrong.
func (r *Report) Whole() bool {
	for _, c := range r.Copies {
		if !c.Whole() {
			return false
		}
	}
	return r.Store.Whole() && len(r.Keyring) == 0
}

// Check reads everything in the store, its keyring and its copies. With mend, it
// makes right what follows from the rest, and the report says what was before.
func (k *Keeper) Check(ctx context.Context, mend bool) (*Report, error) {
	defer k.begin("check")()
	r := &Report{Environment: k.env}
	var err error
	if r.Store, err = k.check(ctx); err != nil {
		return nil, err
	}
	r.Keyring = seal.Check(seal.Path(k.Dir, k.env))
	if r.Copies, err = checkCopies(ctx, k.Dir, k.options()); err != nil {
		return nil, err
	}
	if !mend || r.Store.Whole() {
		return r, nil
	}
	if r.Mended, err = k.Store.Mend(ctx, r.Store); err != nil {
		return nil, err
	}
	_, err = k.check(ctx)
	return r, err
}

// check checks the store, and keeps what was found.
func (k *Keeper) check(ctx context.Context) (*bolt.Report, error) {
	r, err := k.Store.Check(ctx)
	if err != nil {
		return nil, err
	}
	k.change(func(s *State) { s.Checked, s.Faults = k.Clock(), r.Faults })
	for _, f := range r.Faults[:min(len(r.Faults), 20)] {
		k.Log.Error("the store is damaged", "environment", k.env, "where", f.Where, "what", f.What, "remedy", f.Remedy)
	}
	return r, k.Store.Relax()
}

// options open a copy of the store.
func (k *Keeper) options() bolt.Options {
	opt := bolt.Options{Environment: k.env, MustExist: true, Clock: k.Clock}
	_ = k.Store.View(context.Background(), func(tx *store.Tx) error { // fails when closed only
		opt.Sealer = tx.Sealer()
		return nil
	})
	return opt
}

// CheckFiles is Keeper.Check for an environment that no box has open. opt must be
// what opens its store.
func CheckFiles(ctx context.Context, dir string, opt bolt.Options, mend bool) (*Report, error) {
	env, path := opt.Environment, bolt.Path(dir, opt.Environment)
	r := &Report{Environment: env, Keyring: seal.Check(seal.Path(dir, env))}
	var err error
	if r.Store, err = bolt.CheckFile(ctx, path, opt); err != nil {
		return nil, err
	}
	if r.Copies, err = checkCopies(ctx, dir, opt); err != nil || !mend || r.Store.Whole() {
		return r, err
	}
	r.Mended, err = bolt.MendFile(ctx, path, opt)
	return r, err
}

func checkCopies(ctx context.Context, dir string, opt bolt.Options) (all []*bolt.Report, err error) {
	copies, err := Copies(dir, opt.Environment)
	if err != nil {
		return nil, err
	}
	for _, c := range copies {
		r, err := bolt.CheckFile(ctx, filepath.Join(CopyDir(dir, opt.Environment), c.Name), opt)
		if err != nil && ctx.Err() != nil {
			return nil, err
		} else if err != nil {
			r = &bolt.Report{Path: c.Name, Faults: []store.Fault{{
				Part: store.PartCopy, Where: c.Name, What: err.Error(), Cost: "this copy is of no use", Remedy: "remove it",
			}}}
		}
		for i := range r.Faults {
			r.Faults[i].Part, r.Faults[i].Cost, r.Faults[i].Remedy = store.PartCopy, "this copy is of no use", "remove it"
		}
		all = append(all, r)
	}
	return all, nil
}

var errRoom = errors.New("too little room on the disk")
