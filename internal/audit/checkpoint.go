package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cypherface/edge/store"
)

// Checkpoint says that the log had a root when it had so many events.
type Checkpoint struct {
	Box   string // cypherface/ENVIRONMENT/DEVICE, which is the name of the key too
	Epoch uint64
	Size  uint64
	Root  store.Hash
	Note  string // the signed text
}

// Signed is a checkpoint with the tree that it is over.
type Signed struct {
	Checkpoint
	Tree store.Tree
}

// Newest returns the last checkpoint of the present epoch; ok is false where the log
// has grown since the last one when it was opened, until the next one is due.
func (l *Log) Newest() (s Signed, ok bool) {
	p := l.newest.Load()
	if p == nil {
		return s, false
	}
	return *p, true
}

// Name is what a box is called in checkpoints, and its keys are.
func Name(env store.Environment, d store.DeviceID) string {
	return "cypherface/" + string(env) + "/" + string(d)
}

// KeyOf is what ParseCheckpoint verifies signatures of another key with.
func KeyOf(name string, public ed25519.PublicKey) (string, error) {
	if len(public) != ed25519.PublicKeySize {
		return "", fmt.Errorf("read key: %w: %d bytes", store.ErrInvalid, len(public))
	}
	return note.NewEd25519VerifierKey(name, public)
}

// CoSign adds a signature to a checkpoint, by the Ed25519 key of a seed under the
// name of the box.
func (c Checkpoint) CoSign(seed []byte) (signed string, err error) {
	signer, _, err := newSigner(c.Box, seed)
	if err != nil {
		return "", err
	}
	var open *note.UnverifiedNoteError
	if _, err = note.Open([]byte(c.Note), note.VerifierList()); !errors.As(err, &open) {
		return "", fmt.Errorf("sign checkpoint: %w", err)
	}
	b, err := note.Sign(open.Note, signer)
	return string(b), err
}

// newSigner makes the Ed25519 key of a seed in the forms of package note.
func newSigner(name string, seed []byte) (note.Signer, string, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, "", fmt.Errorf("%w: seed of %d bytes", store.ErrDamaged, len(seed))
	}
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	key, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return nil, "", err
	}
	const algorithm = 1 // Ed25519
	named, _, _ := strings.Cut(strings.TrimPrefix(key, name+"+"), "+")
	s, err := note.NewSigner("PRIVATE+KEY+" + name + "+" + named + "+" + base64.StdEncoding.EncodeToString(append([]byte{algorithm}, seed...)))
	return s, key, err
}

// text is the body of a checkpoint: origin, size, root, a line each.
func text(box string, epoch uint64, t store.Tree) string {
	return fmt.Sprintf("%s/%d\n%d\n%s\n", box, epoch, t.Size(), t.Root())
}

// ParseCheckpoint reads a signed note and verifies it with a key as Log.Key
// returns it; an empty key verifies nothing. The error matches ErrUntrue.
func ParseCheckpoint(signed, key string) (c Checkpoint, err error) {
	body := signed
	if key == "" {
		body, _, _ = strings.Cut(signed, "\n\n")
		body += "\n"
	} else {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return c, fmt.Errorf("read key: %w (it is NAME+HASH+KEY, as cypherface audit key prints it)", err)
		}
		n, err := note.Open([]byte(signed), note.VerifierList(verifier))
		if err != nil {
			return c, fmt.Errorf("read checkpoint: %w: it is not signed by %s: %v", ErrUntrue, verifier.Name(), err)
		}
		body = n.Text
	}
	malformed := fmt.Errorf("read checkpoint: %w: it is not one of a box", ErrUntrue)
	lines := strings.Split(body, "\n")
	if len(lines) < 4 {
		return c, malformed
	}
	cut := strings.LastIndexByte(lines[0], '/')
	if cut < 0 {
		return c, malformed
	}
	epoch, err1 := strconv.ParseUint(lines[0][cut+1:], 10, 64)
	size, err2 := strconv.ParseUint(lines[1], 10, 64)
	root, err3 := tlog.ParseHash(lines[2])
	if errors.Join(err1, err2, err3) != nil {
		return c, malformed
	}
	return Checkpoint{lines[0][:cut], epoch, size, root, signed}, nil
}

// Checkpoint signs the log as it is now, or returns the last checkpoint where
// nothing came since. It is durable when it is returned.
func (l *Log) Checkpoint(ctx context.Context) (Checkpoint, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checkpoint(ctx)
}

// checkpoint is Checkpoint for those who hold mu.
func (l *Log) checkpoint(ctx context.Context) (Checkpoint, error) {
	tree, err := l.tree(ctx)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("sign checkpoint: %w", err)
	}
	if c, err := ParseCheckpoint(l.notes.last, l.key); err == nil && c.Size == tree.Size() && c.Root == tree.Root() {
		l.newest.Store(&Signed{c, tree})
		return c, nil
	}
	epoch := l.Store.Info().Epoch
	signed, err := note.Sign(&note.Note{Text: text(l.signer.Name(), epoch, tree)}, l.signer)
	if err == nil {
		err = l.notes.append(string(signed), tree.Size(), l.Clock())
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("sign checkpoint: %w", err)
	}
	c := Checkpoint{l.signer.Name(), epoch, tree.Size(), tree.Root(), string(signed)}
	l.newest.Store(&Signed{c, tree})
	return c, nil
}

// checkpointDue signs one when it is time.
func (l *Log) checkpointDue(ctx context.Context) error {
	tree, err := l.tree(ctx)
	if err != nil || tree.Size() == l.notes.size {
		return err
	}
	if tree.Size() < l.notes.size+checkpointEvents && l.Clock().Sub(l.notes.at) < checkpointAfter {
		return nil
	}
	_, err = l.checkpoint(ctx)
	return err
}

// checkpoints returns those of an epoch that are signed with the log's key, and
// how many are not.
func (l *Log) checkpoints(epoch uint64) (cs []Checkpoint, bad int, err error) {
	all, err := readNotes(l.notesPath(epoch))
	for _, signed := range all {
		c, err := ParseCheckpoint(signed, l.key)
		if err != nil || c.Epoch != epoch {
			bad++
			continue
		}
		cs = append(cs, c)
	}
	return cs, bad, err
}

func (l *Log) notesPath(epoch uint64) string {
	return filepath.Join(l.Dir, fmt.Sprintf("%08x%s", epoch, notesSuffix))
}

const notesSuffix = ".checkpoints"

// notes is the file of checkpoints of the present epoch.
type notes struct {
	file *os.File
	end  int64  // of what is whole in it
	last string // note; empty: there is none
	size uint64 // of the log that it is over
	at   time.Time
}

// openNotes opens a file of notes, makes it where it is missing, and removes a
// line that a cut has left half written.
func openNotes(path string) (*notes, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	n := &notes{file: f}
	all, err := readNotes(path)
	if err == nil {
		err = store.HandOver(f)
	}
	if err == nil {
		n.end, err = wholeLines(f)
	}
	if err == nil {
		err = errors.Join(f.Truncate(n.end), syncDir(filepath.Dir(path)))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if len(all) > 0 {
		n.last = all[len(all)-1]
		c, _ := ParseCheckpoint(n.last, "") // who reads it verifies it
		n.size = c.Size
	}
	return n, nil
}

func wholeLines(r io.Reader) (int64, error) {
	raw, err := io.ReadAll(r)
	return int64(bytes.LastIndexByte(raw, '\n') + 1), err
}

// readNotes reads the whole lines of a file of notes; none where it is missing.
func readNotes(path string) (all []string, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(raw[:bytes.LastIndexByte(raw, '\n')+1]))
	for lines.Scan() {
		var signed string
		if err := json.Unmarshal(lines.Bytes(), &signed); err != nil {
			signed = lines.Text() // whoever verifies it will complain
		}
		all = append(all, signed)
	}
	return all, lines.Err()
}

func (n *notes) append(signed string, size uint64, at time.Time) error {
	line, err := json.Marshal(signed)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if _, err = n.file.WriteAt(line, n.end); err == nil {
		err = n.file.Sync()
	}
	if err != nil {
		return errors.Join(err, n.file.Truncate(n.end))
	}
	n.end += int64(len(line))
	n.last, n.size, n.at = signed, size, at
	return nil
}

func (n *notes) close() error { return n.file.Close() }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
