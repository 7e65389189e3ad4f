package models

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Pack is an installed pack: a folder with a manifest and its networks. Safe
// for concurrent use; it holds no file open.
type Pack struct {
	Manifest
	Dir string // the pack's folder
	raw []byte // the manifest as read
}

// Open reads the pack in dir. It checks the manifest whole, and of each
// network that it is there, a regular file, and of the stated size. Contents
// are hashed whenever they are handed out, see [Pack.File] and [Pack.Verify].
func Open(dir string) (*Pack, error) {
	raw, err := readSmall(filepath.Join(dir, manifestFile), maxManifest)
	if err != nil {
		return nil, fmt.Errorf("open pack: %w", err)
	}
	m, err := ParseManifest(raw)
	if err != nil {
		return nil, fmt.Errorf("open pack %s: %w", dir, err)
	}
	p := &Pack{Manifest: *m, Dir: dir, raw: raw}
	for _, r := range p.Roles() {
		f, err := openRegular(p.path(r), p.Networks[r].Size)
		if err != nil {
			return nil, fmt.Errorf("open pack %s: %s: %w", p.Name, r, err)
		}
		f.Close()
	}
	return p, nil
}

// Digest identifies the pack's manifest, and so the hashes of its networks.
func (p *Pack) Digest() string {
	sum := sha256.Sum256(p.raw)
	return hex.EncodeToString(sum[:])
}

// Builtin reports whether the manifest is, byte for byte, one that this
// program carries; any other pack is to be probed before it is used.
func (p *Pack) Builtin() bool {
	d, ok := definition(p.Name)
	return ok && string(d) == string(p.raw)
}

// File returns the network of a role as a sealed copy in memory whose bytes
// have the manifest's hash and cannot change any more: what was hashed is what
// is loaded, by the name /proc/self/fd/N, whatever happens to the file on
// disk. The caller closes it; a mapping outlives that. A hash that differs is
// ErrDamaged.
func (p *Pack) File(role Role) (*os.File, error) {
	n, ok := p.Networks[role]
	if !ok {
		return nil, fmt.Errorf("open pack %s: it has no %s", p.Name, role)
	}
	src, err := openRegular(p.path(role), n.Size)
	if err != nil {
		return nil, fmt.Errorf("open pack %s: %w", p.Name, err)
	}
	defer src.Close()
	mem, err := sealed(n.File, src, n.Size, n.SHA256)
	if err != nil {
		return nil, fmt.Errorf("open pack %s: %s: %w", p.Name, n.File, err)
	}
	return mem, nil
}

// Verify hashes every network.
func (p *Pack) Verify() error {
	var faults []error
	for _, r := range p.Roles() {
		f, err := p.File(r)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		f.Close()
	}
	return errors.Join(faults...)
}

func (p *Pack) path(r Role) string { return filepath.Join(p.Dir, p.Networks[r].File) }

// sealed copies size bytes of src into a memory file, hashing what it writes,
// and seals it against writing, growing, shrinking and unsealing.
func sealed(name string, src io.Reader, size int64, digest string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("create memory file: %w", err)
	}
	mem := os.NewFile(uintptr(fd), name)
	if err := fill(mem, src, size, digest); err != nil {
		mem.Close()
		return nil, err
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(mem.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		mem.Close()
		return nil, fmt.Errorf("seal memory file: %w", err)
	}
	return mem, nil
}

// fill copies exactly size bytes with the given SHA-256.
func fill(dst io.Writer, src io.Reader, size int64, digest string) error {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(dst, h), io.LimitReader(src, size+1))
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	if n != size {
		return fmt.Errorf("%w: %d bytes or more, the manifest says %d", ErrDamaged, n, size)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != digest {
		return fmt.Errorf("%w: sha256 is %s, the manifest says %s", ErrDamaged, got, digest)
	}
	return nil
}

// openRegular opens a regular file, never through a symbolic link and without
// waiting for the other end of a pipe. A size below zero is not compared.
func openRegular(path string, size int64) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("open %s: a symbolic link, packs hold plain files only", path)
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("open %s: not a regular file (%s)", path, st.Mode().Type())
	}
	if err == nil && size >= 0 && st.Size() != size {
		err = fmt.Errorf("open %s: %w: %d bytes, the manifest says %d", path, ErrDamaged, st.Size(), size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// readSmall reads a regular file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := openRegular(path, -1)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, limit)
	}
	return b, nil
}
