package bulk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// Exports keeps what Export writes in files for a while, so that a download which was
// cut goes on where it stood. The files are sealed to the other box: this one cannot
// read them either. One goes when it is removed, after KeepExport, and when somebody of
// the merchant is erased. Make one with OpenExports. It is safe for concurrent use.
type Exports struct {
	store   store.Store
	dir     string
	now     func() time.Time
	unwatch func()

	mu    sync.Mutex                  // protects the field below, and keeps erasures and new files apart
	count map[store.MerchantID]uint64 // of erasures since it was opened
}

// KeepExport is how long an export can be fetched.
const KeepExport = 24 * time.Hour

// maxKept is how many exports of a merchant are kept at once.
const maxKept = 4

// ErrErased says that somebody was erased while an export was made of those who were
// there before.
var ErrErased = errors.New("somebody was erased meanwhile")

// A Kept is an export that can be fetched.
type Kept struct {
	ID      store.ExportID
	Size    int64 // bytes
	People  int   // of Make alone
	Expires time.Time
}

// OpenExports keeps exports in dir, which is made where it is not there, and removes
// those whose time is over. now is for tests, nil is the clock.
func OpenExports(s store.Store, dir string, now func() time.Time) (*Exports, error) {
	if now == nil {
		now = time.Now
	}
	e := &Exports{store: s, dir: dir, now: now, count: map[store.MerchantID]uint64{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open exports: %w", err)
	}
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if strings.HasSuffix(f.Name(), unfinished) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, f.Name()))) // a cut left it
		}
	}
	if err = errors.Join(err, e.Sweep()); err != nil {
		return nil, fmt.Errorf("open exports: %w", err)
	}
	e.unwatch = s.Watch(e.committed)
	return e, nil
}

// Close lets go of the store. The files stay.
func (e *Exports) Close() { e.unwatch() }

// A file is called by its merchant and id, and while it is written has unfinished
// behind that. From when it is kept its time of change says.
const (
	suffix     = ".cfx"
	unfinished = ".unfinished"
)

func (e *Exports) path(m store.MerchantID, id store.ExportID) string {
	return filepath.Join(e.dir, string(m)+"."+string(id)+suffix)
}

// committed removes the exports of a merchant of whom somebody, or somebody's face, was
// erased.
func (e *Exports) committed(c store.Commit) {
	for _, change := range c.Changes {
		if change.Op == store.OpDelete && (change.Kind == store.KindPerson || change.Kind == store.KindTemplate) {
			e.mu.Lock()
			e.count[change.Merchant]++
			_ = e.removeAll(func(name string) bool { return strings.HasPrefix(name, string(change.Merchant)+".") }) // what stays now goes by its age
			e.mu.Unlock()
		}
	}
}

// removeAll removes the whole files whose names are gone.
func (e *Exports) removeAll(gone func(name string) bool) error {
	files, err := os.ReadDir(e.dir)
	for _, f := range files {
		if strings.HasSuffix(f.Name(), suffix) && gone(f.Name()) {
			if e := os.Remove(filepath.Join(e.dir, f.Name())); !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// Sweep removes what was kept for KeepExport.
func (e *Exports) Sweep() error {
	return e.removeAll(func(name string) bool {
		st, err := os.Stat(filepath.Join(e.dir, name))
		return err == nil && !e.now().Before(st.ModTime().Add(KeepExport))
	})
}

// Make is Export into a file that is kept. The error is ErrBusy where too many are,
// ErrNoRoom, ErrErased, or one of Export.
func (e *Exports) Make(ctx context.Context, cause store.Cause, m store.MerchantID, to *seal.Recovery) (k Kept, err error) {
	if err := e.Sweep(); err != nil {
		return k, fmt.Errorf("keep export: %w", err)
	}
	files, err := os.ReadDir(e.dir)
	if err != nil {
		return k, fmt.Errorf("keep export: %w", err)
	}
	n := 0
	for _, f := range files {
		if strings.HasPrefix(f.Name(), string(m)+".") {
			n++
		}
	}
	if n >= maxKept {
		return k, ErrBusy
	}
	e.mu.Lock()
	erased := e.count[m]
	e.mu.Unlock()
	k.ID = store.NewUUID[store.ExportID]()
	path := e.path(m, k.ID)
	f, err := os.OpenFile(path+unfinished, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return k, fmt.Errorf("keep export: %w", err)
	}
	defer os.Remove(path + unfinished) // where it was not renamed
	w := &roomy{to: f, dir: e.dir}
	k.People, err = Export(ctx, e.store, cause, m, to, w)
	if err == nil {
		err = errors.Join(f.Sync(), os.Chtimes(f.Name(), e.now(), e.now()))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return k, err
	}
	k.Size, k.Expires = w.size, e.now().Add(KeepExport)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.count[m] != erased {
		return k, ErrErased
	}
	return k, os.Rename(path+unfinished, path)
}

// Open opens an export of a merchant's for reading. The error matches
// store.ErrNotFound where it is gone.
func (e *Exports) Open(m store.MerchantID, id store.ExportID) (io.ReadSeekCloser, Kept, error) {
	f, err := os.Open(e.path(m, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Kept{}, fmt.Errorf("open export: %w", store.ErrNotFound)
	} else if err != nil {
		return nil, Kept{}, fmt.Errorf("open export: %w", err)
	}
	st, err := f.Stat()
	if err == nil && !e.now().Before(st.ModTime().Add(KeepExport)) {
		err = store.ErrNotFound
	}
	if err != nil {
		f.Close()
		return nil, Kept{}, fmt.Errorf("open export: %w", err)
	}
	return f, Kept{ID: id, Size: st.Size(), Expires: st.ModTime().Add(KeepExport)}, nil
}

// Remove removes an export of a merchant's. The error matches store.ErrNotFound.
func (e *Exports) Remove(m store.MerchantID, id store.ExportID) error {
	err := os.Remove(e.path(m, id))
	if errors.Is(err, fs.ErrNotExist) {
		err = store.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("remove export: %w", err)
	}
	return nil
}

// roomy writes, and leaves room on the disk.
type roomy struct {
	to          io.Writer
	dir         string
	size, check int64 // up to check there was room
}

func (w *roomy) Write(b []byte) (int, error) {
	if w.size += int64(len(b)); w.size > w.check {
		if err := room(w.dir); err != nil {
			return 0, err
		}
		w.check = w.size + 8<<20
	}
	return w.to.Write(b)
}
