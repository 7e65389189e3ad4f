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
	if _, err := os.Stat(r.stage()); err == nil {
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

// carry brings what belongs to the new folder from that which is there: the audit
// log, which the backup may have an earlier state of, and the hot copies.
func (r *restore) carry() error {
	if !r.mark.Shared {
		return nil
	}
	if err := r.step("carry"); err != nil {
		return err
	}
	for _, dir := range []string{auditDir, copiesDir} {
		entries, err := os.ReadDir(filepath.Join(r.live(), dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || dir == auditDir && !ofAudit(e.Name()) {
				continue
			}
			if err := r.bring(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// bring brings one file: those that never change by a second name, where the file
// system has such. Checkpoints take the place of fewer.
func (r *restore) bring(name string) error {
	from, to := filepath.Join(r.live(), name), filepath.Join(r.stage(), name)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	have, err := os.Stat(to)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case strings.HasSuffix(name, notesSuffix):
		here, err := os.Stat(from)
		if err != nil || have != nil && have.Size() >= here.Size() {
			return err
		}
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	case have != nil:
		return nil
	case os.Link(from, to) == nil:
		return nil
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return writeFile(to, f, st.Size())
}
