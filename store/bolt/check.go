package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
)

// Report is what a check has found.
type Report struct {
	Path    string        `json:"path"`
	Size    int64         `json:"size"`              // of the file, in bytes
	Free    int64         `json:"free"`              // of these not in use
	Checked store.Checked `json:"checked"`           // what was read
	Faults  []store.Fault `json:"faults"`            // at most maxFaults
	Omitted int           `json:"omitted,omitempty"` // how many there were besides
}

// maxFaults bounds a report: who has so many needs no more.
const maxFaults = 10_000

func (r *Report) add(f store.Fault) {
	if len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, f)
	} else {
		r.Omitted++
	}
}

// Whole says whether nothing is wrong.
func (r *Report) Whole() bool { return len(r.Faults) == 0 }

// Mendable says whether all that is wrong follows from what is there.
func (r *Report) Mendable() bool {
	for i := range r.Faults {
		if f := &r.Faults[i]; !f.Mendable() && f.Remedy != remedyPack {
			return false
		}
	}
	return r.Omitted == 0
}

// Check reads the whole store while Updates go on, and takes its time: the pages of
// the file, and all that store.Check looks at. Faults are no error; that is for a
// check that did not come to its end.
func (s *Store) Check(ctx context.Context) (*Report, error) {
	if !s.job() {
		return nil, store.ErrClosed
	}
	defer s.jobs.Done()
	r := &Report{Path: s.path, Faults: []store.Fault{}}
	tx, in, m, err := s.beginAt()
	if err != nil {
		return nil, fmt.Errorf("check store: %w", err)
	}
	defer tx.Rollback()
	ended := leisurely(ctx)
	r.Size = tx.Size()
	free, err := checkPages(in.f, m, r.add, ended)
	if r.Free = int64(free) * int64(m.pageSize); err == nil {
		err = r.records(s.layout.Read(&kv{tx: tx, each: ended}))
	}
	if err != nil {
		return nil, fmt.Errorf("check store: %w", err)
	}
	if r.Whole() {
		s.damage.Store(nil) // it has been mended
	}
	return r, nil
}

// leisurely returns what is called for each page and key: it leaves as much time to
// others as was taken, and says when ctx has ended.
func leisurely(ctx context.Context) func() error {
	rest, n := restful(ctx), 0
	return func() error {
		if n++; n%256 == 0 {
			rest()
		}
		return ctx.Err()
	}
}

// beginAt begins a View whose meta page is known: it is not overwritten until the
// second commit after it.
func (s *Store) beginAt() (*bbolt.Tx, *file, meta, error) {
	for {
		tx, in, err := s.beginIn(false)
		if err != nil {
			return nil, nil, meta{}, err
		}
		both, err := settledMetas(in.f)
		for _, m := range both {
			if err == nil && m.whole && m.tx == uint64(tx.ID()) {
				return tx, in, m.meta, nil
			}
		}
		tx.Rollback()
		if err == nil && both.lost() != "" {
			err = fmt.Errorf("%w: %s", store.ErrDamaged, both.lost())
		}
		if err != nil {
			return nil, nil, meta{}, err
		}
	}
}

// records is store.Check. Where a page ends it, which was reported by then, the
// check is at its end.
func (r *Report) records(tx *store.Tx) (err error) {
	defer func() {
		if errors.Is(err, store.ErrDamaged) && len(r.Faults) > 0 {
			err = nil
		}
	}()
	defer faults(&err)()
	defer tx.Abandon()
	r.Checked, err = store.Check(tx, r.add)
	return err
}

// CheckFile checks a file that nobody has open, as Check does, and also where it
// is too damaged to be opened. The options must be those to open it with; nothing
// is changed in it.
func CheckFile(ctx context.Context, path string, opt Options) (*Report, error) {
	r, err := checkFile(ctx, path, opt)
	if err != nil {
		return nil, fmt.Errorf("check store %s: %w", path, err)
	}
	return r, nil
}

func checkFile(ctx context.Context, path string, opt Options) (*Report, error) {
	f, err := lock(path, syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r := &Report{Path: path, Size: st.Size(), Faults: []store.Fault{}}
	ended := func() error { return ctx.Err() }
	if readable, err := r.file(f, ended); err != nil || !readable {
		return r, err
	}
	opt.readOnly = true
	db, err := openFile(path, opt)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return r, r.inside(db, opt, ended)
}

// inside checks the records of a file.
func (r *Report) inside(db *file, opt Options, ended func() error) error {
	tx, err := db.Begin(false)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	inside, err := opt.inside()
	if err != nil {
		r.add(store.Fault{Part: store.PartKeyring, Where: "keyring", What: err.Error(), Cost: "nothing can be read", Remedy: "name the master key, or put back the keyring"})
		return nil
	}
	read := &kv{tx: tx, each: ended}
	l, err := store.Inspect(read, inside)
	fault := store.Fault{Part: store.PartRecord, Where: "description of the store", Cost: "the store cannot be opened", Remedy: store.RemedyRestore}
	switch {
	case errors.Is(err, store.ErrNewer):
		fault.Remedy = "install the newer program again; if there never was one: " + store.RemedyRestore
		fallthrough
	case errors.Is(err, store.ErrForeign), errors.Is(err, store.ErrDamaged):
		fault.What = err.Error()
		r.add(fault)
		return nil
	case err != nil:
		return err
	}
	return r.records(l.Read(read))
}

// file checks the pages of a file; false means that no records can be read.
func (r *Report) file(f *os.File, ended func() error) (bool, error) {
	gone := func(what string) {
		r.add(store.Fault{Part: store.PartFile, Where: "file", What: what, Cost: "the store cannot be opened", Remedy: store.RemedyRestore})
	}
	if r.Size == 0 {
		gone("is empty")
		return false, nil
	}
	both, err := readMetas(f)
	if err != nil {
		return false, err
	}
	m, ok := both.newest()
	if !ok {
		gone("is none of a store, or both of its meta pages are damaged")
		return false, nil
	}
	if lost := both.lost(); lost != "" {
		r.add(store.Fault{Part: store.PartFile, Where: "meta pages", What: lost, Cost: "the last changes may be lost, and the store is not opened without a word about it", Remedy: remedyPack})
	}
	if end := int64(m.pages) * int64(m.pageSize); end > r.Size {
		gone(fmt.Sprintf("ends at byte %d of %d", r.Size, end))
		return false, nil
	}
	before := len(r.Faults)
	free, err := checkPages(f, m, r.add, ended)
	if err != nil {
		return false, err
	}
	r.Free = int64(free) * int64(m.pageSize)
	for _, f := range r.Faults[before:] {
		if f.Remedy != remedyPack {
			return false, nil
		}
	}
	return true, nil
}

// Mend makes right what follows from what is there, as a report of Check says:
// indexes are made anew from the records, and a file whose list of free pages is
// wrong is compacted. It returns how many faults are gone.
func (s *Store) Mend(ctx context.Context, r *Report) (n int, err error) {
	lines, pack := r.mendable()
	if pack {
		if err := s.Compact(ctx, nil); err != nil {
			return 0, err
		}
		n = 1
	}
	for part := range slices.Chunk(lines, 1000) {
		err := s.Update(ctx, mendCause, func(tx *store.Tx) error {
			mended, err := store.Mend(tx, part)
			n += mended
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

var mendCause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "store"}}

// mendable returns the lines that can be made anew, and whether the file is to be
// packed.
func (r *Report) mendable() (lines []store.Fault, pack bool) {
	for _, f := range r.Faults {
		if f.Mendable() {
			lines = append(lines, f)
		}
		pack = pack || f.Remedy == remedyPack
	}
	return lines, pack
}

// MendFile is Mend for a file that nobody has open, and that may be too damaged to
// be opened otherwise. It refuses (store.ErrDamaged) where something is wrong that
// does not follow from the rest. What is mended is in the journal.
func MendFile(ctx context.Context, path string, opt Options) (n int, err error) {
	r, err := CheckFile(ctx, path, opt)
	if err != nil {
		return 0, err
	}
	if !r.Mendable() {
		return 0, fmt.Errorf("mend store %s: %w, and not all of it follows from what is there: %s", path, store.ErrDamaged, store.RemedyRestore)
	}
	_, pack := r.mendable()
	if pack {
		if err := packFile(ctx, path, opt); err != nil {
			return 0, fmt.Errorf("mend store %s: %w", path, err)
		}
		n = 1
	}
	s, err := Open(path, opt)
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if pack {
		err := s.Update(ctx, mendCause, func(tx *store.Tx) error {
			_, err := store.Append(tx, store.Event{Kind: store.EventSystem, Action: "mend_file", Outcome: store.OutcomeDone}, nil)
			return err
		})
		if err != nil {
			return n, err
		}
	}
	lines, err := s.Mend(ctx, r)
	return n + lines, err
}

// packFile replaces a file by a packed copy of what can be reached in it.
func packFile(ctx context.Context, path string, opt Options) error {
	opt.readOnly = true
	db, err := openFile(path, opt)
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.Begin(false)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	old, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer old.Close()
	err = whole(path, func(draft string) (err error) {
		defer faults(&err)()
		return pack(tx, draft, func(*file) func(int64) error {
			return func(int64) error { return ctx.Err() }
		})
	})
	if err != nil {
		return err
	}
	return blank(old)
}
