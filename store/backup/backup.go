// Package backup takes what a box keeps out of the box, and brings it back.
//
//	b, err := backup.New(ctx, s, backup.Source{Dir: dir, Actor: actor})
//	err = b.Write(ctx, w)                     // b.Size() bytes
//	b.Close()
//
//	f, err := backup.Open(path)
//	err = f.Unlock(key, master)
//	done, err := backup.Restore(ctx, backup.Plan{Dir: dir, Environment: env, From: f, Master: master, …})
//
// # The file
//
// A backup is one file: the head of a seal.Envelope, which says whose it is and
// which key opens it, and behind it a sealed stream of
//
//	length of the manifest, 4 bytes big-endian
//	manifest (JSON): device, epoch, schema, time; name, size and SHA-256 of each part
//	the parts, one after another: keyring, store.db, and the files of the audit log
//
// The store is a hot copy; what it holds is what was acknowledged before the backup
// began. The stream says whether it is whole and untouched; the sums of the manifest
// say so of each part once more, as it lies on the disk.
//
// # A restore
//
// A restore builds a whole new folder beside that of the environment, opens and
// checks it, and exchanges the two in one step. Nothing is replaced before all was
// verified, a cut leaves the old or the new one whole, and what was there before is
// moved aside. People who were erased since the backup are erased from it before it
// takes its place, and their keys are never written again. The journal begins a new
// epoch.
//
// # What it does not do
//
// It does not move backups anywhere and keeps no schedule.
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
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// What callers branch on.
var (
	// ErrRoom says that there is not enough space on a disk.
	ErrRoom = errors.New("not enough space")
	// ErrUnknownErasures says that nobody knows who was erased since the backup.
	ErrUnknownErasures = errors.New("it is not known who was erased since the backup was made")
	// ErrUnsealed says that a store has no keyring, and so no backup can be sealed.
	ErrUnsealed = errors.New("the store is not sealed")
)

// Names of the parts. Those of the audit log lie in a folder.
const (
	partKeyring = "keyring"
	partStore   = "store.db"
	auditDir    = "audit"
)

// copyName is that of the hot copy while a backup is made.
const copyName = "backup.db"

// Manifest says what is in a backup.
type Manifest struct {
	seal.About
	Schema   int    `json:"schema"`
	Program  string `json:"program,omitempty"`  // version of the program that made it
	Recovery []byte `json:"recovery,omitempty"` // the file with the public half of the recovery key
	Parts    []Part `json:"parts"`
}

// Part is a file in a backup.
type Part struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Sum  string `json:"sha256"` // in hex digits
}

// Bounds of what is read into memory: years of periods, and millions of people,
// take less.
const (
	maxManifest = 16 << 20
	maxKeyring  = 1 << 30
)

func (m *Manifest) size() (n int64) {
	for _, p := range m.Parts {
		n += p.Size
	}
	return n
}

// validPart keeps names from leading anywhere else.
func validPart(name string) bool {
	if name == partKeyring || name == partStore {
		return true
	}
	dir, base := path.Split(name)
	return dir == auditDir+"/" && ofAudit(base) && !strings.ContainsAny(base, "/\\\x00")
}

// ofAudit says whether a file of the audit folder belongs into a backup: periods,
// which never change, and signed checkpoints, which only grow.
func ofAudit(base string) bool {
	return !strings.HasPrefix(base, ".") && (strings.HasSuffix(base, periodSuffix) || strings.HasSuffix(base, notesSuffix))
}

const (
	periodSuffix = ".period"
	notesSuffix  = ".checkpoints"
)

// copier is a store that can be copied while it is in use.
type copier interface {
	store.Store
	Copy(ctx context.Context, path string) error
}

var _ copier = (*bolt.Store)(nil)

// Source says what goes into a backup, and for whom. Dir and Actor are required.
type Source struct {
	Dir     string      // the data folder
	Actor   store.Actor // who wants it; the journal says so
	SameBox bool        // sealed to the master key of the box, not to its recovery key
	Program string      // version of this program
	Clock   func() time.Time
}

// A Backup is ready to be written, once. Close it.
type Backup struct {
	Manifest Manifest
	envelope *seal.Envelope
	keyring  []byte
	head     []byte // the manifest, with its length
	folder   string // of the environment
	copy     string // the hot copy
}

// New makes a hot copy of a store, beside it, and gathers what else belongs to a
// backup. The error matches ErrRoom where the copy has no room, seal.ErrRecovery
// where there is no recovery key, or not the one that the keyring knows.
func New(ctx context.Context, s copier, src Source) (_ *Backup, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make backup: %w", err)
		}
	}()
	if src.Clock == nil {
		src.Clock = time.Now
	}
	ring, err := keyringOf(ctx, s)
	if err != nil {
		return nil, err
	}
	info := s.Info()
	b := &Backup{folder: filepath.Join(src.Dir, string(info.Environment))}
	b.copy = filepath.Join(b.folder, copyName)
	about := seal.About{Environment: info.Environment, Device: info.Device, Epoch: info.Epoch, Made: src.Clock()}
	if b.envelope, b.Manifest.Recovery, err = src.envelope(ring, about); err != nil {
		return nil, err
	}
	b.Manifest.About, b.Manifest.Schema, b.Manifest.Program = b.envelope.About, info.Schema, src.Program
	if err := b.gather(ctx, s, ring, src.Actor); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// envelope makes one for whom the backup is to be sealed, and returns the file with
// the recovery key.
func (src *Source) envelope(ring *seal.Ring, about seal.About) (e *seal.Envelope, file []byte, err error) {
	if src.SameBox {
		e, err = ring.Envelope(about, nil)
		return e, nil, err
	}
	to, err := seal.ReadRecovery(src.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: the box has none (cypherface key recovery new makes one; --same-box seals to the master key instead)", seal.ErrRecovery)
	}
	if err == nil {
		file, err = os.ReadFile(seal.RecoveryPath(src.Dir))
	}
	if err != nil {
		return nil, nil, err
	}
	e, err = ring.Envelope(about, to)
	return e, file, err
}

func keyringOf(ctx context.Context, s store.Store) (ring *seal.Ring, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		var ok bool
		if ring, ok = tx.Sealer().(*seal.Ring); !ok {
			return ErrUnsealed
		}
		return nil
	})
	return ring, err
}

// gather collects the parts. Checkpoints come before the copy, so that none is over
// events that the copy does not have; the keyring and periods after it, so that
// nothing is in neither.
func (b *Backup) gather(ctx context.Context, s copier, ring *seal.Ring, by store.Actor) error {
	notes, err := b.auditFiles(notesSuffix)
	if err != nil {
		return err
	}
	if err := errors.Join(discard(b.copy), b.room()); err != nil {
		return err
	}
	err = s.Update(ctx, store.Cause{Actor: by}, func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventAccess, Action: "backup", Outcome: store.OutcomeDone}, nil)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.Copy(ctx, b.copy); err != nil {
		return err
	}
	if b.keyring, err = b.envelope.Keyring(ring); err != nil {
		return err
	}
	periods, err := b.auditFiles(periodSuffix)
	if err != nil {
		return err
	}
	st, err := os.Stat(b.copy)
	if err != nil {
		return err
	}
	b.Manifest.Parts = append([]Part{{Name: partKeyring, Size: int64(len(b.keyring))}, {Name: partStore, Size: st.Size()}}, append(periods, notes...)...)
	for i := range b.Manifest.Parts {
		p := &b.Manifest.Parts[i]
		sum := sha256.New()
		if err := b.part(ctx, p, sum); err != nil {
			return err
		}
		p.Sum = hex.EncodeToString(sum.Sum(nil))
	}
	body, err := json.Marshal(b.Manifest)
	if err == nil && len(body) > maxManifest {
		err = fmt.Errorf("manifest of %d bytes", len(body))
	}
	b.head = append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	return err
}

// auditFiles lists files of the audit log, as long as they are now.
func (b *Backup) auditFiles(suffix string) (parts []Part, err error) {
	files, err := os.ReadDir(filepath.Join(b.folder, auditDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for _, f := range files {
		if !f.Type().IsRegular() || !ofAudit(f.Name()) || !strings.HasSuffix(f.Name(), suffix) {
			continue
		}
		st, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) { // retention was faster
			continue
		} else if err != nil {
			return nil, err
		}
		parts = append(parts, Part{Name: path.Join(auditDir, f.Name()), Size: st.Size()})
	}
	return parts, nil
}

// room checks that there is space for the hot copy.
func (b *Backup) room() error {
	st, err := os.Stat(filepath.Join(b.folder, partStore))
	if err != nil {
		return err
	}
	return Room(b.folder, st.Size())
}

// spare is what is left free on a disk for all else.
const spare = 16 << 20

// Room checks that the file system of a folder has room for so many bytes. The
// error matches ErrRoom.
func Room(dir string, bytes int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look for space in %s: %w", dir, err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < bytes+spare {
		return fmt.Errorf("%w: %s has %d MB free, and %d MB are needed", ErrRoom, dir, free>>20, (bytes+spare)>>20+1)
	}
	return nil
}

// part writes a part to w.
func (b *Backup) part(ctx context.Context, p *Part, w io.Writer) error {
	if p.Name == partKeyring {
		_, err := w.Write(b.keyring)
		return err
	}
	from := filepath.Join(b.folder, filepath.FromSlash(p.Name))
	if p.Name == partStore {
		from = b.copy
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(w, &cancelled{ctx, f}, p.Size)
	return err
}

// cancelled is a reader that ends with its context.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

// Size is how many bytes Write writes.
func (b *Backup) Size() int64 {
	return b.envelope.Size(int64(len(b.head)) + b.Manifest.size())
}

// Write writes the backup. Whoever keeps it makes it durable.
func (b *Backup) Write(ctx context.Context, w io.Writer) error {
	if err := b.write(ctx, w); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

func (b *Backup) write(ctx context.Context, w io.Writer) error {
	if _, err := w.Write(b.envelope.Head()); err != nil {
		return err
	}
	stream := b.envelope.Writer(w)
	if _, err := stream.Write(b.head); err != nil {
		return err
	}
	for i := range b.Manifest.Parts {
		p := &b.Manifest.Parts[i]
		sum := sha256.New()
		if err := b.part(ctx, p, io.MultiWriter(sum, stream)); err != nil {
			return err
		}
		if hex.EncodeToString(sum.Sum(nil)) != p.Sum {
			return fmt.Errorf("%w: %s was changed meanwhile", store.ErrDamaged, p.Name)
		}
	}
	return stream.Close()
}

// Close removes the hot copy.
func (b *Backup) Close() error { return discard(b.copy) }

// discard overwrites and removes a file, if it is there.
func discard(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(path); err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, zeros{}, st.Size())
	return err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
