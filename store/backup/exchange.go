package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// marker lies in the new folder until all is done. From the moment that it lies in
// the folder of the environment, the new one holds.
type marker struct {
	Aside  string `json:"aside"`  // name for the folder from before
	Shared bool   `json:"shared"` // its keyring is the new one too, which knows of more erasures
}

// nameAside finds a name for what is there now.
func (r *restore) nameAside() {
	name := string(r.Environment) + asideInfix + r.Clock().UTC().Format(timeInNames)
	r.mark.Aside = name
	for n := 2; ; n++ {
		if _, err := os.Lstat(filepath.Join(r.Dir, r.mark.Aside)); err != nil {
			return
		}
		r.mark.Aside = fmt.Sprintf("%s-%d", name, n)
	}
}

func writeMarker(dir string, m *marker) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, markerName)
	draft := path + ".new"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeFile(draft, bytes.NewReader(b), int64(len(b))); err != nil {
		return err
	}
	return errors.Join(os.Rename(draft, path), syncDir(dir))
}

// exchange puts the new folder in the place of the present one, in one step.
func (r *restore) exchange() error {
	if err := errors.Join(writeMarker(r.stage(), &r.mark), handOver(r.Dir, r.stage()), syncTree(r.stage())); err != nil {
		return err
	}
	if r.From != nil && len(r.From.Manifest.Recovery) > 0 {
		if err := r.step("recovery key"); err != nil {
			return err
		}
		if err := r.keepRecovery(); err != nil {
			return err
		}
	}
	if err := r.step("exchange"); err != nil {
		return err
	}
	err := unix.Renameat2(unix.AT_FDCWD, r.stage(), unix.AT_FDCWD, r.live(), unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = os.Rename(r.stage(), r.live())
	case err == nil:
		r.done.Aside = filepath.Join(r.Dir, r.mark.Aside)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		err = fmt.Errorf("%w: the file system of %s cannot exchange two folders in one step: move %s away first", err, r.Dir, r.live())
	}
	if err != nil {
		return err
	}
	return syncDir(r.Dir)
}

// keepRecovery gives a box that has none the public half of the recovery key.
func (r *restore) keepRecovery() error {
	path := seal.RecoveryPath(r.Dir)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b := r.From.Manifest.Recovery
	draft := path + ".new"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := errors.Join(writeFile(draft, bytes.NewReader(b), int64(len(b))), handOver(r.Dir, draft)); err != nil {
		return err
	}
	return errors.Join(os.Rename(draft, path), syncDir(r.Dir))
}

// Settle completes a restore that was cut after the new folder had taken its place.
// Call it before a store is opened; where there is nothing to do, it costs nothing.
func Settle(dir string, env store.Environment) error {
	return settle(dir, env, func(string) error { return nil })
}

func settle(dir string, env store.Environment, step func(string) error) error {
	live := filepath.Join(dir, string(env))
	b, err := os.ReadFile(filepath.Join(live, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var m marker
	if err := json.Unmarshal(b, &m); err != nil || m.Aside != filepath.Base(m.Aside) || !strings.Contains(m.Aside, asideInfix) {
		return fmt.Errorf("%w: %s makes no sense", store.ErrDamaged, filepath.Join(live, markerName))
	}
	old := live + stageSuffix
	if _, err := os.Stat(old); err == nil {
		if err := putAside(old, filepath.Join(dir, m.Aside), m.Shared, step); err != nil {
			return err
		}
	}
	if err := step("remove marker"); err != nil {
		return err
	}
	return errors.Join(os.Remove(filepath.Join(live, markerName)), syncDir(live))
}

// putAside names the folder from before. Where its keyring lives on in the new one,
// it goes: erasures to come would not reach it.
func putAside(old, aside string, shared bool, step func(string) error) error {
	if shared {
		if err := discardRings(old, step); err != nil {
			return err
		}
	}
	if err := step("put aside"); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, old, unix.AT_FDCWD, aside, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("move %s aside to %s: %w", old, aside, err)
	}
	return syncDir(filepath.Dir(aside))
}

// discardRings overwrites and removes the keyring in a folder.
func discardRings(dir string, step func(string) error) error {
	rings, err := filepath.Glob(filepath.Join(dir, keyringGlob))
	for _, ring := range rings {
		if err := step("discard " + filepath.Base(ring)); err != nil {
			return err
		}
		if err := discard(ring); err != nil {
			return err
		}
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// handOver gives what root has made to the owner of the data folder: the box runs as
// another user, who could not read it.
func handOver(dir, root string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner := st.Sys().(*syscall.Stat_t)
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}

// syncTree makes the names below a folder durable.
func syncTree(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncDir(path)
	})
}
