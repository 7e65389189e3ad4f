package bolt

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/cypherface/edge/store"
)

const (
	// mapped is how much address space the file gets at once: moving the map has
	// to wait for all Views. It costs no memory. 32-bit systems map as they go.
	mapped = (16 << 30) * (strconv.IntSize / 64)
	// growth is by how much the file grows, at one sync each time.
	growth = 4 << 20
)

func open(path string, opt Options) (_ *Store, err error) {
	switch st, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist) && !opt.MustExist:
		if err := create(path, opt); err != nil {
			return nil, fmt.Errorf("create it: %w", err)
		}
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%w: not a regular file", store.ErrForeign)
	case st.Size() == 0:
		// bbolt would make a new store of it, and all people would be gone.
		return nil, fmt.Errorf("%w: the file is empty; put a backup in its place, or remove it to begin anew", store.ErrDamaged)
	case st.Mode().Perm() != 0o600:
		if err := os.Chmod(path, 0o600); err != nil {
			return nil, err
		}
	}
	s := &Store{
		path:    path,
		noSync:  opt.NoSync,
		log:     opt.Log,
		queue:   make(chan *request, 1024),
		still:   make(chan func()),
		stopped: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.db, s.layout, err = openWhole(path, opt, false)
	if errors.Is(err, store.ErrUnsealed) {
		s.log.Info("the store is being sealed", "path", path)
		s.db, s.layout, err = seal(path, opt)
	}
	if err != nil {
		return nil, err
	}
	err = sweep(path)
	if err == nil && !opt.NoSync { // whoever made the file may have failed to
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		s.db.Close()
		return nil, fmt.Errorf("make sure of the folder: %w", err)
	}
	if s.space, err = openSpace(path, opt.Reserve, s.log); err != nil {
		s.log.Warn("no disk space is reserved for the store", "err", err)
	}
	return s, nil
}

// openWhole opens a file, which locks it, and what is in it.
func openWhole(path string, opt Options, fresh bool) (*file, *store.Layout, error) {
	db, err := openFile(path, opt)
	if err != nil {
		return nil, nil, err
	}
	l, err := prepare(db, opt, fresh)
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, l, nil
}

// errMoved says that the file was replaced while its lock was waited for.
var errMoved = errors.New("the file was replaced meanwhile")

// openFile opens a bbolt file and says in the operator's words why it cannot.
func openFile(path string, opt Options) (*file, error) {
	db, err := openMapped(path, opt, mapped)
	for range 3 {
		if !errors.Is(err, errMoved) {
			break
		}
		db, err = openMapped(path, opt, mapped)
	}
	if errors.Is(err, syscall.ENOMEM) { // there is a limit on address space
		db, err = openMapped(path, opt, 0)
	}
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s holds it; stop that first", store.ErrLocked, holder(path))
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %v", store.ErrForeign, err)
	case errors.Is(err, berrors.ErrChecksum):
		return nil, fmt.Errorf("%w: %v", store.ErrDamaged, err)
	case err != nil:
		return nil, err
	}
	db.AllocSize = growth
	return db, nil
}

// openMapped opens a bbolt file with so much address space. After an error the
// file is closed, which bbolt leaves undone when it panics, and so unlocked.
func openMapped(path string, opt Options, space int) (db *file, err error) {
	db = &file{}
	var info fs.FileInfo
	defer func() {
		if info != nil && !leads(path, info) && !errors.Is(err, berrors.ErrTimeout) {
			err = errMoved // what it held is nobody's any more
		}
		if err == nil {
			return
		}
		if db.DB != nil {
			db.Close()
		} else if db.f != nil { // mapped by then, maybe, which would keep the lock
			_ = syscall.Flock(int(db.f.Fd()), syscall.LOCK_UN)
			db.f.Close()
		}
	}()
	defer func() { err = named(err) }()
	defer guard(&err)
	defer faults(&err)()
	timeout := opt.LockTimeout
	if timeout <= 0 {
		timeout = time.Second
	}
	db.DB, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         timeout,
		ReadOnly:        opt.readOnly,
		NoSync:          opt.NoSync,
		NoGrowSync:      opt.NoSync,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: space,
		OpenFile: func(name string, flag int, perm os.FileMode) (_ *os.File, err error) {
			if db.f, err = os.OpenFile(name, flag, perm); err == nil && flag&os.O_CREATE != 0 {
				err = store.HandOver(db.f)
			}
			if err == nil {
				info, err = db.f.Stat()
			}
			return db.f, err
		},
	})
	if err == nil && !opt.readOnly {
		err = db.glance()
	}
	return db, err
}

// file is an open bbolt file.
type file struct {
	*bbolt.DB
	f *os.File // bbolt's; open as long as a transaction is
}

// glance looks for damage that bbolt takes for truth, as far as it is quickly seen.
func (db *file) glance() error {
	both, err := readMetas(db.f)
	if err != nil {
		return err
	}
	if lost := both.lost(); lost != "" {
		return fmt.Errorf("%w: %s", store.ErrDamaged, lost)
	}
	m, _ := both.newest()
	checkFree(db.f, m, func(f store.Fault) { err = fmt.Errorf("%w: %s", store.ErrDamaged, f.String()) })
	return err
}

// leads reports whether path still leads to a file: one that Compact has replaced
// is unlocked at last, and whoever waited for that has a file without a name.
func leads(path string, file fs.FileInfo) bool {
	named, err := os.Stat(path)
	return err == nil && os.SameFile(named, file)
}

// prepare checks what is in the file, and brings it up to date.
func prepare(db *file, opt Options, fresh bool) (l *store.Layout, err error) {
	defer guard(&err)
	defer faults(&err)()
	tx, err := db.Begin(true)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	if !fresh {
		if st, err := db.f.Stat(); err == nil && st.Size() < tx.Size() {
			return nil, fmt.Errorf("%w: the file ends at byte %d of %d", store.ErrDamaged, st.Size(), tx.Size())
		}
		if tx.Bucket([]byte("meta")) == nil {
			return nil, fmt.Errorf("%w, but a bbolt file of something else", store.ErrForeign)
		}
	}
	b := &batch{kv: kv{tx: tx}}
	inside, err := opt.inside()
	if err != nil {
		return nil, err
	}
	l, err = store.Prepare(b, inside)
	if err == nil && len(b.undo) > 0 {
		err = settle(b, l)
	}
	return l, err
}

// inside returns what the store package wants to know; the store must be locked.
func (opt Options) inside() (store.Options, error) {
	o := store.Options{Environment: opt.Environment, Sealer: opt.Sealer, Clock: opt.Clock, NewEpoch: opt.NewEpoch}
	if opt.Keyring == nil {
		return o, nil
	}
	ring, err := opt.Keyring()
	o.Sealer = ring
	return o, err
}

// settle commits what was put by nobody's Update.
func settle(b *batch, l *store.Layout) error {
	if err := l.Sync(); err != nil {
		return err
	}
	return named(b.tx.Commit())
}

// create makes a new store under another name and moves it to path when it is
// whole, so that a cut leaves no half of one.
func create(path string, opt Options) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := rootDurably(dir); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// Only one process at a time creates; the lock goes with the descriptor.
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock directory: %w", err)
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return whole(path, func(draft string) error { return fill(draft, opt) })
}

func fill(path string, opt Options) error {
	db, _, err := openWhole(path, opt, true)
	if err != nil {
		return err
	}
	return db.Close()
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// rootDurably makes the names durable that lead to a folder: whoever made them may
// have failed to, or been cut. Folders that may not be read were there before.
func rootDurably(dir string) error {
	dir, err := filepath.Abs(dir)
	for err == nil {
		if err = syncDir(dir); errors.Is(err, fs.ErrPermission) {
			err = nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	if errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EINVAL) { // nothing is made there
		return nil
	}
	return err
}

// holder names the process that has locked the file at path, as well as it can.
func holder(path string) string {
	const unknown = "another process"
	st, err := os.Stat(path)
	if err != nil {
		return unknown
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return unknown
	}
	defer locks.Close()
	pid := findLock(bufio.NewScanner(locks), st.Sys().(*syscall.Stat_t).Ino)
	if pid <= 0 {
		return unknown
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(name)), pid)
}

// findLock returns the process that holds a flock on an inode, 0 for none:
//
//	1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF
//
// The device is left out, as overlay file systems show another one than stat.
func findLock(lines *bufio.Scanner, inode uint64) int {
	suffix := ":" + strconv.FormatUint(inode, 10)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) >= 6 && f[1] == "FLOCK" && strings.HasSuffix(f[5], suffix) {
			pid, _ := strconv.Atoi(f[4])
			return pid
		}
	}
	return 0
}
