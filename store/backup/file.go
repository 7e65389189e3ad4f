package backup

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// A File is a backup to be read, once, from its beginning to its end. Close it.
type File struct {
	// Manifest is empty until Unlock.
	Manifest Manifest
	envelope *seal.Envelope
	raw      io.ReadCloser
	stream   io.Reader // behind the manifest
}

// Open opens a backup and reads its head. The error matches store.ErrForeign where
// it is none, store.ErrNewer where this program is too old for it.
func Open(path string) (*File, error) {
	raw, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	f, err := Read(raw)
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("open backup %s: %w", path, err)
	}
	return f, nil
}

// Read is Open for what is not in a file.
func Read(raw io.ReadCloser) (*File, error) {
	e, err := seal.ReadEnvelope(raw)
	if err != nil {
		return nil, err
	}
	return &File{envelope: e, raw: raw}, nil
}

// About says whose backup it is. Before Unlock nobody vouches for it.
func (f *File) About() seal.About { return f.envelope.About }

// Recovery is the fingerprint of the recovery key that the backup is sealed to;
// empty: it is sealed to a master key.
func (f *File) Recovery() string { return f.envelope.Recovery() }

// Unlock opens the backup with its recovery key or its master key, and reads the
// manifest. The error matches seal.ErrRecovery or seal.ErrMaster where the key is
// another, store.ErrDamaged where the backup is not as it was written.
func (f *File) Unlock(k *seal.RecoveryKey, m *seal.Master) error {
	err := f.envelope.Open(k, m)
	if err == nil {
		f.stream = f.envelope.Reader(f.raw)
		err = f.readManifest()
	}
	if err != nil {
		return fmt.Errorf("open backup: %w", err)
	}
	return nil
}

func (f *File) readManifest() error {
	var n [4]byte
	if _, err := io.ReadFull(f.stream, n[:]); err != nil {
		return ended(err)
	}
	size := binary.BigEndian.Uint32(n[:])
	if size > maxManifest {
		return fmt.Errorf("%w: manifest of %d bytes", store.ErrDamaged, size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(f.stream, body); err != nil {
		return ended(err)
	}
	m, err := parseManifest(body)
	if err == nil && m.About != f.envelope.About {
		err = fmt.Errorf("%w: manifest of another backup", store.ErrDamaged)
	}
	f.Manifest = m
	return err
}

// parseManifest refuses what this program would not have written.
func parseManifest(body []byte) (m Manifest, err error) {
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("%w: read manifest: %v", store.ErrDamaged, err)
	}
	seen := map[string]bool{}
	for _, p := range m.Parts {
		sum, err := hex.DecodeString(p.Sum)
		if err != nil || len(sum) != sha256.Size || p.Size < 0 || seen[p.Name] || !validPart(p.Name) || p.Name == partKeyring && p.Size > maxKeyring {
			return m, fmt.Errorf("%w: manifest with a part %q", store.ErrDamaged, p.Name)
		}
		seen[p.Name] = true
	}
	if !seen[partKeyring] || !seen[partStore] {
		return m, fmt.Errorf("%w: manifest without store and keyring", store.ErrDamaged)
	}
	return m, nil
}

// ended makes an end that comes too early damage.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the backup ends before its last part", store.ErrDamaged)
	}
	return err
}

// extract writes the parts below dir, durably, and returns the keyring, which stays
// in memory. It has then read the backup to its end, and all of it is right.
func (f *File) extract(ctx context.Context, dir string, at func(string) error, progress func(done, total int64)) (keyring []byte, err error) {
	done, total := int64(0), f.Manifest.size()
	for i := range f.Manifest.Parts {
		p := &f.Manifest.Parts[i]
		if err := at("extract " + p.Name); err != nil {
			return nil, err
		}
		sum := sha256.New()
		r := io.TeeReader(&counted{&cancelled{ctx, f.stream}, func(n int) { done += int64(n); progress(done, total) }}, sum)
		if p.Name == partKeyring {
			keyring = make([]byte, p.Size)
			_, err = io.ReadFull(r, keyring)
		} else {
			err = writeFile(filepath.Join(dir, filepath.FromSlash(p.Name)), r, p.Size)
		}
		if err != nil {
			return nil, ended(err)
		}
		if hex.EncodeToString(sum.Sum(nil)) != p.Sum {
			return nil, fmt.Errorf("%w: %s does not have the sum in the manifest", store.ErrDamaged, p.Name)
		}
	}
	switch n, err := f.stream.Read(make([]byte, 1)); {
	case n > 0:
		return nil, fmt.Errorf("%w: something follows the last part", store.ErrDamaged)
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return keyring, nil
}

// counted tells how many bytes were read.
type counted struct {
	r    io.Reader
	tell func(n int)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.tell(n)
	return n, err
}

// writeFile makes a new file of the next bytes of r, durably.
func writeFile(path string, r io.Reader, size int64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(w, r, size)
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

// Close closes the file.
func (f *File) Close() error { return f.raw.Close() }
