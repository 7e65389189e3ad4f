package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func (p *Plan) draft() string {
	return filepath.Join(p.Dir, "."+string(p.Environment)+stageSuffix+"-")
}

// sweep removes a new folder that was not finished.
func (r *restore) sweep() error {
	drafts, _ := filepath.Glob(r.draft() + "*") // the pattern is well formed
	for _, draft := range drafts {
		if err := os.RemoveAll(draft); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(r.stage(), markerName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := discardRings(r.stage(), r.step); err != nil {
		return err
	}
	// The marker goes last: without it the rest would be in the way of the next.
	entries, err := os.ReadDir(r.stage())
	for _, e := range entries {
		if e.Name() != markerName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(r.stage(), e.Name())))
		}
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(r.stage())
}

// begin makes the new folder, with the marker in it from the first moment on.
func (r *restore) begin() error {
	if err := r.step("begin"); err != nil {
		return err
	}
	if err := os.Remove(r.stage()); err != nil && !errors.Is(err, fs.ErrNotExist) { // it is not empty
		return fmt.Errorf("%s is in the way, and is not of a restore that was cut", r.stage())
	}
	need, err := r.size()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	if err := Room(r.Dir, 2*need); err != nil {
		return err
	}
	r.nameAside()
	draft, err := os.MkdirTemp(r.Dir, filepath.Base(r.draft())+"*")
	if err == nil {
		err = writeMarker(draft, &r.mark)
	}
	if err == nil {
		err = os.Rename(draft, r.stage())
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(draft))
	}
	return syncDir(r.Dir)
}

// size is how many bytes are to be brought.
func (r *restore) size() (int64, error) {
	if r.From != nil {
		r.done.Made = r.From.Manifest.Made
		return r.From.Manifest.size(), nil
	}
	r.done.Made = r.Made
	st, err := os.Stat(r.Copy)
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// carry brings what else belongs to the environment from the folder that is there:
// certificates, and where its keyring is the same, the audit log, of which the
// backup may have an earlier state, and hot copies.
func (r *restore) carry() error {
	if err := r.step("carry"); err != nil {
		return err
	}
	err := filepath.WalkDir(r.live(), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == r.live() {
			return nil
		} else if err != nil {
			return err
		}
		name, err := filepath.Rel(r.live(), path)
		switch {
		case err != nil || name == ".":
			return err
		case r.replaced(name) && d.IsDir():
			return fs.SkipDir
		case r.replaced(name):
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(r.stage(), name), 0o700)
		}
		return r.bring(name, d.Type())
	})
	return err
}

// replaced says whether a file or folder of the environment is another after the
// restore.
func (r *restore) replaced(name string) bool {
	top, base, below := strings.Cut(name, string(filepath.Separator))
	switch top {
	case auditDir:
		return !r.mark.Shared || below && !ofAudit(base)
	case copiesDir:
		return !r.mark.Shared
	}
	return strings.HasPrefix(top, partStore) || strings.HasPrefix(top, partKeyring) || strings.HasPrefix(top, copyName) || top == markerName
}

// bring brings one file: those that never change by a second name, where the file
// system has such. Checkpoints take the place of fewer.
func (r *restore) bring(name string, kind fs.FileMode) error {
	from, to := filepath.Join(r.live(), name), filepath.Join(r.stage(), name)
	if kind&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err == nil {
			err = os.Symlink(target, to)
		}
		return err
	}
	if !kind.IsRegular() {
		return nil
	}
	here, err := os.Stat(from)
	if err != nil {
		return err
	}
	have, err := os.Stat(to)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case err == nil && (!strings.HasSuffix(name, notesSuffix) || have.Size() >= here.Size()):
		return nil
	case err == nil:
		if err := os.Remove(to); err != nil {
			return err
		}
	}
	if strings.HasSuffix(name, periodSuffix) || filepath.Dir(name) == copiesDir {
		if os.Link(from, to) == nil {
			return nil
		}
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return writeFile(to, f, here.Size())
}
