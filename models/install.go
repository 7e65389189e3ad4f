package models

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cypherface/edge/models/convert"
	"golang.org/x/sys/unix"
)

// Installer puts packs below Root. A pack appears there whole or not at all:
// it is written to a hidden folder, synced, tried, and renamed. The pack of
// that name from before is kept as Root/.old-NAME until the next change.
type Installer struct {
	Root string
	// Try is given the finished folder before it takes its place; an error
	// refuses the pack. Nil tries nothing.
	Try func(ctx context.Context, p *Pack) error
	// Progress hears of each step, in words for people; nil hears nothing.
	Progress func(step string)
}

// Build makes a pack this program carries from original weights and installs
// it. Networks that need it are converted here; each must come out with the
// manifest's hash.
func (in Installer) Build(ctx context.Context, name string, find Finder) (*Pack, error) {
	raw, ok := definition(name)
	if !ok {
		return nil, fmt.Errorf("install pack %q: unknown; this program knows %v", name, known)
	}
	return in.build(ctx, raw, find)
}

func (in Installer) build(ctx context.Context, raw []byte, find Finder) (*Pack, error) {
	m, err := ParseManifest(raw)
	if err != nil {
		return nil, fmt.Errorf("install pack: %w", err)
	}
	return in.install(ctx, m, raw, func(r Role) ([]byte, error) {
		n := m.Networks[r]
		b, err := Convert(ctx, n, find)
		if err != nil {
			return nil, err
		}
		in.say("%s: %s", r, n.Origin)
		made := Source{Name: n.File, Size: n.Size, SHA256: n.SHA256}
		if err := made.verify(b); err != nil {
			return nil, fmt.Errorf("convert: %w (this program's converter does not match its manifest)", err)
		}
		return b, nil
	})
}

// Import installs the ready-made pack in folder dir: its manifest and its
// networks, each hashed. It needs no network connection.
func (in Installer) Import(ctx context.Context, dir string) (*Pack, error) {
	from, err := Open(dir)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return in.install(ctx, &from.Manifest, from.raw, func(r Role) ([]byte, error) {
		n := from.Networks[r]
		in.say("%s: %s", r, n.Origin)
		return readSource(from.path(r), Source{Name: n.File, Size: n.Size, SHA256: n.SHA256})
	})
}

// Refresh brings the installed pack up to this program's definition of it
// where only the description changed (a new calibration, say) and the networks
// are the same. It reports whether the pack is now up to date.
func (in Installer) Refresh(name string) (bool, error) {
	raw, ok := definition(name)
	if !ok {
		return false, nil
	}
	p, err := Open(filepath.Join(in.Root, name))
	if err != nil {
		return false, err
	}
	if p.Builtin() {
		return true, nil
	}
	m, err := ParseManifest(raw)
	if err != nil {
		return false, err
	}
	if len(m.Networks) != len(p.Networks) {
		return false, nil
	}
	for r, n := range m.Networks {
		if have := p.Networks[r]; have.SHA256 != n.SHA256 || have.File != n.File || have.Size != n.Size {
			return false, nil
		}
	}
	return true, writeFile(filepath.Join(p.Dir, manifestFile), raw)
}

// Convert makes the TFLite file of a network from its sources, without
// comparing it with anything.
func Convert(ctx context.Context, n Network, find Finder) ([]byte, error) {
	src := make([][]byte, len(n.Sources))
	for i, s := range n.Sources {
		var err error
		if src[i], err = find(ctx, s); err != nil {
			return nil, err
		}
	}
	switch {
	case n.Conversion == ConversionNone && len(src) == 1:
		return src[0], nil
	case n.Conversion == ConversionOpenVINO && len(src) == 2:
		return convert.OpenVINO(src[0], src[1], convert.Options{})
	case n.Conversion == ConversionFaceAPI && len(src) == 2:
		return convert.FaceAPI(src[0], src[1], convert.Options{})
	case n.Conversion == ConversionNCNN && len(src) == 2:
		return convert.NCNN(src[0], src[1], n.Input.Shape[1], n.Input.Shape[2], convert.Options{})
	}
	return nil, fmt.Errorf("convert %s: %q from %d files is not a conversion", n.File, n.Conversion, len(src))
}

// install writes a pack and swaps it in; content yields each network's bytes.
func (in Installer) install(ctx context.Context, m *Manifest, raw []byte, content func(Role) ([]byte, error)) (_ *Pack, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("install pack %s: %w", m.Name, hint(err))
		}
	}()
	if err := os.MkdirAll(in.Root, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(in.Root)
	if err != nil {
		return nil, err
	}
	defer unlock()
	tmp, err := os.MkdirTemp(in.Root, ".new-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	// The detectors come last: they are always to be had, the rest may not be.
	for _, r := range byNeed(m) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := content(r)
		if err == nil {
			err = writeFile(filepath.Join(tmp, m.Networks[r].File), b)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r, err)
		}
	}
	if err := writeFile(filepath.Join(tmp, manifestFile), raw); err != nil {
		return nil, err
	}
	if err := in.try(ctx, tmp); err != nil {
		return nil, err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return nil, err
	}
	if err := swap(in.Root, tmp, m.Name); err != nil {
		return nil, err
	}
	return Open(filepath.Join(in.Root, m.Name))
}

func byNeed(m *Manifest) []Role {
	roles := m.Roles()
	slices.Reverse(roles)
	return roles
}

func (in Installer) try(ctx context.Context, dir string) error {
	p, err := Open(dir)
	if err != nil || in.Try == nil {
		return err
	}
	in.say("trying it in a process of its own")
	return in.Try(ctx, p)
}

func (in Installer) say(format string, args ...any) {
	if in.Progress != nil {
		in.Progress(fmt.Sprintf(format, args...))
	}
}

// swap makes tmp the pack name. Where there is one already the two folders
// change places in one step, so that a reader always finds a whole pack.
func swap(root, tmp, name string) error {
	final, old := filepath.Join(root, name), filepath.Join(root, ".old-"+name)
	previous, _ := Open(final)
	err := unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, final, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
		if err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, final, unix.RENAME_EXCHANGE); err == nil {
			err = os.Rename(tmp, old)
		}
		if now, nerr := Open(final); err == nil && nerr == nil && previous != nil && previous.Digest() == now.Digest() {
			err = os.RemoveAll(old) // the same pack, repaired
		}
		if err == nil {
			return syncDir(root)
		}
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// A file system without these: two steps, and the old one is kept.
		if err = os.Rename(final, old); err == nil || errors.Is(err, fs.ErrNotExist) {
			err = os.Rename(tmp, final)
		}
	}
	if err != nil {
		return fmt.Errorf("put %s in its place: %w", name, err)
	}
	return syncDir(root)
}

// Previous opens the pack that name was before its last change.
func Previous(root, name string) (*Pack, error) {
	if !plainName(name) {
		return nil, fmt.Errorf("open the previous pack %q: no pack's name", name)
	}
	p, err := Open(filepath.Join(root, ".old-"+name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the previous pack %s: none was kept", name)
	}
	return p, err
}

// Restore exchanges the pack name with the one it was before its last change.
// The caller has probed that one; see [Previous].
func Restore(root, name string) error {
	if _, err := Previous(root, name); err != nil {
		return err
	}
	unlock, err := lock(root)
	if err != nil {
		return err
	}
	defer unlock()
	old, now := filepath.Join(root, ".old-"+name), filepath.Join(root, name)
	err = unix.Renameat2(unix.AT_FDCWD, old, unix.AT_FDCWD, now, unix.RENAME_EXCHANGE)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(old, now)
	}
	if err != nil {
		return fmt.Errorf("restore pack %s: %w", name, hint(err))
	}
	return syncDir(root)
}

// lock keeps a second installer out of root, and clears away what an earlier
// one left when it was killed.
func lock(root string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(root, ".lock"), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another installation is under way in %s: %w", root, err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		f.Close()
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".new-") {
			os.RemoveAll(filepath.Join(root, e.Name()))
		}
	}
	return func() { f.Close() }, nil
}

// hint adds what the operator can do.
func hint(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w (the disk is full; a pack takes about 30 MB, nothing was changed)", err)
	case errors.Is(err, unix.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (the packs' folder cannot be written; --packs or $CYPHERFACE_PACKS names another)", err)
	}
	return err
}

// writeFile replaces a file as a whole: temporary file, fsync, rename.
func writeFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err = tmp.Write(b); err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
