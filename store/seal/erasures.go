package seal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cypherface/edge/store"
)

// The erasure log of an environment lies outside of its folder, so that who puts
// an older folder back, store and keyring, does not put it back. Each line stands
// for itself: when, who, and a keyed hash under a key of the keyring, so that
// nobody else can have people erased:
//
//	2026-11-26T08:00:00Z 00112233445566778899aabbccddeeff 0123456789abcdef0123456789abcdef
//
// Lines of other keyrings, what a cut has left of a line and lines that begin with
// # are passed over. The tag 0 stands for the keyring itself: from its line on, the
// log has all erasures.
const logSuffix = ".erasures"

// ErasuresPath is where the erasure log of an environment lies below the data
// directory.
func ErasuresPath(dir string, env store.Environment) string {
	return filepath.Join(dir, string(env)+logSuffix)
}

// An Erasure is a line of an erasure log, which only the keyring can vouch for.
type Erasure struct {
	Time   time.Time
	Person store.PersonTag
	proof  [16]byte
}

// begun is whom the line is about that begins a log.
var begun store.PersonTag

func (e *Erasure) line() []byte {
	return fmt.Appendf(nil, "%s %x %x\n", e.Time.UTC().Format(time.RFC3339), e.Person, e.proof)
}

// prove makes the keyed hash of a line.
func (e *Erasure) prove(k *key) (proof [16]byte) {
	h := hmac.New(sha256.New, k[:])
	fmt.Fprintf(h, "%s %x", e.Time.UTC().Format(time.RFC3339), e.Person)
	copy(proof[:], h.Sum(nil))
	return proof
}

// parseErasures reads the lines that have the form of one.
func parseErasures(b []byte) (lines []Erasure) {
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 || !strings.HasSuffix(line, "\n") {
			continue
		}
		at, err := time.Parse(time.RFC3339, f[0])
		tag, err2 := hex.DecodeString(f[1])
		proof, err3 := hex.DecodeString(f[2])
		if errors.Join(err, err2, err3) == nil && len(tag) == len(begun) && len(proof) == 16 {
			lines = append(lines, Erasure{at, store.PersonTag(tag), [16]byte(proof)})
		}
	}
	return lines
}

// Erasures reads the erasure log at path. Without the keyring nobody vouches for
// it; where there is none, it is empty.
func Erasures(path string) ([]Erasure, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read erasure log: %w", err)
	}
	return parseErasures(b), nil
}

// FormatErasures makes a log of lines again, to be taken elsewhere.
func FormatErasures(lines []Erasure, now time.Time) []byte {
	b := fmt.Appendf(nil, "# Erasures of a CypherFace box, as of %s\n", now.UTC().Format(time.RFC3339))
	for _, e := range lines {
		b = append(b, e.line()...)
	}
	return b
}

// Recall has the keyring forget whom the erasure log at path knows to be erased,
// and says whether the log is one of this keyring: it then has all erasures that
// there were. Sync makes it durable.
func (r *Ring) Recall(path string) (known bool, err error) {
	lines, err := Erasures(path)
	if err != nil {
		return false, err
	}
	known, _ = r.follow(lines)
	return known, nil
}

// follow does so, and returns whom the lines do not have.
func (r *Ring) follow(lines []Erasure) (known bool, missing []store.PersonTag) {
	k := r.generalKey.derive(labelErasures)
	r.mu.Lock()
	defer r.mu.Unlock()
	left := map[store.PersonTag]bool{begun: true}
	gone := make(map[store.PersonTag]bool, len(r.gone))
	for _, tag := range r.gone {
		left[tag], gone[tag] = true, true
	}
	for _, e := range lines {
		if !gone[e.Person] && e.prove(&k) != e.proof {
			continue
		}
		delete(left, e.Person)
		switch {
		case e.Person == begun:
			known = true
		case !gone[e.Person]:
			r.lose(e.Person)
			gone[e.Person] = true
		}
	}
	for tag := range left {
		missing = append(missing, tag)
	}
	return known, missing
}

// lose takes a person's key from memory, and keeps that he was erased. It must be
// called with mu held.
func (r *Ring) lose(tag store.PersonTag) {
	id, ok := r.people[tag]
	if !ok {
		id = r.newID() // of a key that this keyring never had
	}
	delete(r.people, tag)
	delete(r.keys, id)
	r.recent.forget(id)
	r.gone[id] = tag
	r.stale = true
}

// remember brings keyring and log together: erasures that only the log knows
// befell a later keyring than this one.
func (r *Ring) remember() error {
	if r.log == "" || r.slots == 0 { // in memory only yet
		return nil
	}
	lines, err := Erasures(r.log)
	if err != nil {
		return err
	}
	_, missing := r.follow(lines)
	if err := r.note(missing...); err != nil {
		return err
	}
	if r.stale {
		return r.rewrite()
	}
	return nil
}

// note writes lines at the end of the log.
func (r *Ring) note(people ...store.PersonTag) error {
	if r.log == "" || len(people) == 0 {
		return nil
	}
	k := r.generalKey.derive(labelErasures)
	var b bytes.Buffer
	for _, tag := range people {
		e := Erasure{Time: time.Now().Truncate(time.Second), Person: tag}
		e.proof = e.prove(&k)
		b.Write(e.line())
	}
	if err := r.disk.append(r.log, b.Bytes()); err != nil {
		return fmt.Errorf("write erasure log: %w", err)
	}
	return nil
}
