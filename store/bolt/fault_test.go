package bolt_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/faultfs"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

var faultsFlag = flag.Int("bolt.faults", 12, "how many faults are tried of each kind; 0: one at each operation")

func TestMain(m *testing.M) {
	faultfs.Serve()
	os.Exit(m.Run())
}

// ledger is what a script of operations was told.
type ledger struct {
	t       *testing.T
	dir     string
	wanted  map[string]store.PersonID // who should be there, by name
	unsure  map[store.PersonID]string // what may be or not be: the operation that failed
	renamed map[store.PersonID]string // first names, as acknowledged
	erased  map[store.PersonID]bool
	errs    []error
}

func (l *ledger) options() bolt.Options {
	return bolt.Options{
		Environment: store.Sandbox, LockTimeout: 10 * time.Millisecond,
		Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: l.dir}),
	}
}

func (l *ledger) path() string { return bolt.Path(l.dir, store.Sandbox) }

// script does a little of everything with a store on a disk that goes wrong. After
// an error it opens the store again and goes on, as a box does; when that fails
// twice, it gives up.
func (l *ledger) script() {
	var s *bolt.Store
	defer func() {
		if s != nil {
			s.Close()
		}
	}()
	// do runs one operation on an open store, and says whether it was acknowledged.
	do := func(op func() error) bool {
		if s == nil {
			for range 2 {
				opened, err := bolt.Open(l.path(), l.options())
				if err == nil {
					s = opened
					break
				}
				l.errs = append(l.errs, fmt.Errorf("open: %w", err))
			}
			if s == nil {
				return false
			}
		}
		err := op()
		if err != nil {
			l.errs = append(l.errs, err)
			s.Close()
			s = nil
		}
		return err == nil
	}
	put := func(name string) store.PersonID {
		p := store.Person{ID: store.NewID[store.PersonID](s0), Merchant: "m", Firstname: name, Email: name}
		l.unsure[p.ID] = "enrol " + name
		if do(func() error {
			return s.Update(l.t.Context(), cause, func(tx *store.Tx) error { return enrol(tx, &p) })
		}) {
			delete(l.unsure, p.ID)
			l.wanted[name] = p.ID
		}
		return p.ID
	}
	erase := func(id store.PersonID) {
		if l.unsure[id] != "" {
			return
		}
		l.unsure[id] = "erase"
		if do(func() error {
			return s.Update(l.t.Context(), cause, func(tx *store.Tx) error { return store.Erase(tx, id) })
		}) {
			delete(l.unsure, id)
			l.erased[id] = true
		}
		for name, p := range l.wanted {
			if p == id {
				delete(l.wanted, name)
			}
		}
	}
	ada, bob := put("ada"), put("bob")
	cyd := put("cyd")
	if do(func() error {
		return s.Update(l.t.Context(), cause, func(tx *store.Tx) error {
			p, err := store.Get[store.Person](tx, ada)
			if err == nil {
				p.Firstname = "augusta"
				err = store.Put(tx, &p)
			}
			return err
		})
	}) {
		l.renamed[ada] = "augusta"
	}
	erase(bob)
	do(func() error { return s.Copy(l.t.Context(), filepath.Join(l.dir, "copy.db")) })
	do(func() error { return s.Compact(l.t.Context(), nil) })
	put("dan")
	do(func() error {
		err := s.Close()
		s = nil
		return err
	})
	put("eve")
	erase(cyd)
	do(func() error { return s.Compact(l.t.Context(), nil) })
	put("fay")
}

// verify looks at what is there, with what was acknowledged in mind.
func (l *ledger) verify(when string) {
	l.t.Helper()
	fail := func(format string, args ...any) {
		l.t.Helper()
		l.t.Errorf("%s: %s\n  errors before it: %v", when, fmt.Sprintf(format, args...), l.errs)
	}
	s, err := bolt.Open(l.path(), l.options())
	if err != nil {
		fail("open: %v", err)
		return
	}
	defer s.Close()
	r, err := s.Check(l.t.Context())
	if err != nil || !r.Whole() {
		fail("check: %+v, %v", r, err)
		return
	}
	if faults := seal.Check(seal.Path(l.dir, store.Sandbox)); len(faults) > 0 {
		fail("keyring: %+v", faults)
	}
	err = s.View(l.t.Context(), func(tx *store.Tx) error {
		for name, id := range l.wanted {
			p, err := store.Get[store.Person](tx, id)
			if err != nil {
				fail("%s was acknowledged: %v", name, err)
				continue
			}
			if want := l.renamed[id]; want != "" && p.Firstname != want {
				fail("%s is called %s again", want, p.Firstname)
			}
		}
		for id := range l.erased {
			if _, err := store.Get[store.Person](tx, id); !errors.Is(err, store.ErrNotFound) {
				fail("who was erased is there: %v", err)
			}
			if ring, ok := tx.Sealer().(store.Keyring); ok && ring.Has(id.Tag()) {
				fail("the key of who was erased is there")
			}
		}
		for p, err := range store.All(tx, store.PersonsByMerchant, store.Plain("m")) {
			if err != nil {
				return err
			}
			known := l.unsure[p.ID] != "" || slices.Contains(slices.Collect(maps.Values(l.wanted)), p.ID)
			if !known {
				fail("%s is there, whom nobody enrolled", p.Firstname)
			}
			if _, err := store.Get[store.Template](tx, store.NewTemplateID(p.ID, "x")); err != nil {
				fail("half of %s: %v", p.Firstname, err)
			}
		}
		return nil
	})
	if err != nil {
		fail("%v", err)
	}
	copied := filepath.Join(l.dir, "copy.db")
	if _, err := os.Stat(copied); err == nil {
		opt := l.options()
		opt.Keyring, opt.Sealer = nil, sealerOf(l.t, s)
		if r, err := bolt.CheckFile(l.t.Context(), copied, opt); err != nil || !r.Whole() {
			fail("the copy: %+v, %v", r, err)
		}
	}
	p := store.Person{ID: store.NewID[store.PersonID](s0), Merchant: "m"}
	if err := s.Update(l.t.Context(), cause, func(tx *store.Tx) error { return enrol(tx, &p) }); err != nil {
		fail("goes on: %v", err)
	}
	l.wanted["last after "+when] = p.ID
}

func sealerOf(t *testing.T, s *bolt.Store) (sealer store.Sealer) {
	_ = s.View(t.Context(), func(tx *store.Tx) error { sealer = tx.Sealer(); return nil })
	return sealer
}

// knownErrors are what an operation may say went wrong, so that somebody can act.
var knownErrors = []error{syscall.EIO, syscall.ENOSPC, store.ErrCommit, store.ErrDamaged, store.ErrNotFound}

// TestFaults runs the script over and over, with a fault of each kind at one
// operation of the disk after the other. In the end, and after the power was cut at
// that moment or then, the store opens, nothing in it is wrong, all that was
// acknowledged is there, no half of anything, and who was erased is erased.
func TestFaults(t *testing.T) {
	whole := faultfs.New(t)
	l := newLedger(t, whole)
	l.script()
	if len(l.errs) > 0 {
		t.Fatalf("without a fault: %v", l.errs)
	}
	ops := whole.Status().Ops
	l.verify("without a fault")
	for _, kind := range faultfs.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			disk := faultfs.New(t)
			stride, tries := 1, *faultsFlag
			if testing.Short() {
				tries = min(tries, 3)
			}
			if tries > 0 {
				stride = max(1, ops/tries)
			}
			runs, fired, failed := 0, map[string]int{}, 0
			for at := 1 + len(kind)%stride; ; at += stride {
				disk.Fresh(uint64(at))
				disk.Plan(faultfs.Plan{Kind: kind, At: at})
				l := newLedger(t, disk)
				l.script()
				status := disk.Status()
				if status.Fired == "" {
					break
				}
				runs++
				word, _, _ := strings.Cut(status.Fired, " ")
				fired[word]++
				for _, err := range l.errs {
					if !slices.ContainsFunc(knownErrors, func(known error) bool { return errors.Is(err, known) }) {
						t.Errorf("%s %s: says too little: %v", kind, status.Fired, err)
					}
				}
				if len(l.errs) > 0 {
					failed++
				}
				when := fmt.Sprintf("%s at %s", kind, status.Fired)
				if kind != faultfs.Cut && kind != faultfs.Tear {
					disk.Plan(faultfs.Plan{})
					l.verify(when + ", opened again")
				}
				disk.Reboot(uint64(at))
				l.dir = filepath.Join(disk.Dir(), "data")
				l.verify(when + ", after a power cut")
				if t.Failed() {
					return
				}
			}
			t.Logf("%s: %d runs of %d operations, %d with an error; at %v", kind, runs, ops, failed, fired)
			if runs == 0 {
				t.Error("no fault was met")
			}
		})
	}
}

func newLedger(t *testing.T, disk *faultfs.FS) *ledger {
	return &ledger{
		t: t, dir: filepath.Join(disk.Dir(), "data"), wanted: map[string]store.PersonID{}, unsure: map[store.PersonID]string{},
		renamed: map[store.PersonID]string{}, erased: map[store.PersonID]bool{},
	}
}
