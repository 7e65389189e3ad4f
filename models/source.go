package models

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
)

// Finder fetches an original file. What it returns has been compared with the
// source's hashes. An error that is [fs.ErrNotExist] means: not here, look
// elsewhere.
type Finder func(ctx context.Context, s Source) ([]byte, error)

// Folders finds sources by name, their own or that of their address, in folders:
// original weights on a disk or a stick, or node_modules.
func Folders(dirs ...string) Finder {
	return func(_ context.Context, s Source) ([]byte, error) {
		for _, dir := range dirs {
			paths := []string{filepath.Join(dir, s.Name)}
			if as := path.Base(s.URL); s.URL != "" && as != s.Name {
				paths = append(paths, filepath.Join(dir, as))
			}
			if s.NPM != "" {
				paths = append(paths, filepath.Join(dir, filepath.FromSlash(s.NPM)))
			}
			for _, file := range paths {
				b, err := readSource(file, s)
				if !errors.Is(err, fs.ErrNotExist) {
					return b, err
				}
			}
		}
		return nil, fmt.Errorf("find %s: %w", s.Name, fs.ErrNotExist)
	}
}

// InstalledFiles finds sources among the networks of the packs below root:
// the detectors are the same files in every pack.
func InstalledFiles(root string) Finder {
	return func(_ context.Context, s Source) ([]byte, error) {
		packs, _ := Installed(root)
		for _, p := range packs {
			for _, r := range p.Roles() {
				if p.Networks[r].SHA256 != s.SHA256 {
					continue
				}
				if b, err := readSource(p.path(r), s); err == nil {
					return b, nil
				}
			}
		}
		return nil, fmt.Errorf("find %s: %w", s.Name, fs.ErrNotExist)
	}
}

// FirstOf asks finders in turn until one has the file. An error other than
// "not here" ends the search: a damaged copy is reported, not passed over.
func FirstOf(finders ...Finder) Finder {
	return func(ctx context.Context, s Source) ([]byte, error) {
		for _, find := range finders {
			b, err := find(ctx, s)
			if !errors.Is(err, fs.ErrNotExist) {
				return b, err
			}
		}
		return nil, fmt.Errorf("find %s: %w", s.Name, fs.ErrNotExist)
	}
}

// Compared says which hashes vouch for the source.
func (s Source) Compared() string {
	if s.SHA384 != "" {
		return "sha384 as its publisher states it, and sha256"
	}
	return "sha256 of the copy this program was made with; the publisher states none"
}

// verify compares b with the source's size and hashes.
func (s Source) verify(b []byte) error {
	if int64(len(b)) != s.Size {
		return fmt.Errorf("%w: %s: %d bytes, want %d", ErrDamaged, s.Name, len(b), s.Size)
	}
	sum := sha256.Sum256(b)
	if got := hex.EncodeToString(sum[:]); got != s.SHA256 {
		return fmt.Errorf("%w: %s: sha256 is %s, want %s", ErrDamaged, s.Name, got, s.SHA256)
	}
	if s.SHA384 == "" {
		return nil
	}
	long := sha512.Sum384(b)
	if got := hex.EncodeToString(long[:]); got != s.SHA384 {
		return fmt.Errorf("%w: %s: sha384 is %s, its publisher states %s", ErrDamaged, s.Name, got, s.SHA384)
	}
	return nil
}

func readSource(path string, s Source) ([]byte, error) {
	f, err := openRegular(path, -1)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, s.Size+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if err := s.verify(b); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}
