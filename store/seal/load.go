package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/cypherface/edge/store"
)

// A keyring lies on the disk twice, as without it all is lost. Whatever is written
// is written to the first file and then to its mirror, and is not done before.
const mirrorSuffix = ".mirror"

func (r *Ring) paths() []string { return []string{r.path, r.path + mirrorSuffix} }

// content is what a keyring file holds.
type content struct {
	header   header
	wrapping key
	file     key
	slots    []slot
	raw      []byte // as far as it is whole
}

// load reads the keyring, or begins one. Where the two files differ, a cut came
// between them, or one is damaged: the other replaces it.
func (r *Ring) load(opt Options) error {
	first, err := os.ReadFile(r.path)
	mirror, errMirror := os.ReadFile(r.path + mirrorSuffix)
	noFirst, noMirror := errors.Is(err, fs.ErrNotExist), errors.Is(errMirror, fs.ErrNotExist)
	switch {
	case noFirst && noMirror && !opt.MustExist:
		return r.begin()
	case noFirst && noMirror, err != nil && !noFirst:
		return err
	case errMirror != nil && !noMirror:
		return errMirror
	}
	c, err := r.choose(first, mirror)
	if err != nil {
		return err
	}
	if !bytes.Equal(first, c.raw) || !bytes.Equal(mirror, c.raw) {
		if err := r.mend(c.raw, opt.Log); err != nil {
			return fmt.Errorf("mend it: %w", err)
		}
	}
	return r.adopt(c)
}

// choose returns what to go on with: the first file, which is written first and so
// never the older one, unless it is damaged or lacks slots that its mirror has.
func (r *Ring) choose(first, mirror []byte) (*content, error) {
	c, err := r.parse(first)
	switch {
	case bytes.Equal(first, mirror), errors.Is(err, store.ErrNewer):
		return c, err
	case err == nil && (len(mirror) <= len(c.raw) || !bytes.Equal(mirror[:headLen], first[:headLen])):
		return c, nil
	}
	second, errSecond := r.parse(mirror)
	if errSecond == nil && (err != nil || len(second.slots) > len(c.slots)) {
		return second, nil
	}
	return c, err
}

// mend makes both files the same.
func (r *Ring) mend(raw []byte, log *slog.Logger) error {
	for _, path := range r.paths() {
		b, err := os.ReadFile(path)
		if err == nil && bytes.Equal(b, raw) {
			continue
		}
		if log != nil {
			log.Warn("a file of the keyring was missing, older or damaged, and is replaced by the other", "path", path)
		}
		if err := r.disk.replace(path, raw); err != nil {
			return err
		}
	}
	return nil
}

func (r *Ring) parse(b []byte) (*content, error) {
	h, err := parseHeader(b)
	if err != nil {
		return nil, err
	}
	c := &content{header: h}
	if c.wrapping, c.file, err = r.master.unwrap(b[:headLen], &h); err != nil {
		return nil, err
	}
	if c.slots, err = parseSlots(b[headLen:], &c.file, h.Slots); err != nil {
		return nil, err
	}
	c.raw = b[:headLen+len(c.slots)*slotLen]
	return c, nil
}

// adopt makes r the keyring that a file holds.
func (r *Ring) adopt(c *content) error {
	r.header, r.wrapping, r.file, r.slots = c.header, c.wrapping, c.file, len(c.slots)
	if r.header.Source != r.master.source { // the same key has come to lie elsewhere
		r.header.Source, r.stale = r.master.source, true
	}
	r.keys, r.people = make(map[keyID]key, len(c.slots)), make(map[store.PersonTag]keyID, len(c.slots))
	for _, s := range c.slots {
		switch s.kind {
		case generalSlot:
			r.general, r.generalKey = s.id, s.key
		case personSlot:
			r.keys[s.id], r.people[s.tag] = s.key, s.id
		case forgottenSlot:
			r.gone[s.id] = s.tag
		case recoverySlot:
			r.recovery = &recoverySecret{s.tag, s.key}
		}
	}
	if r.general == 0 {
		return fmt.Errorf("%w: keyring without its general key", store.ErrDamaged)
	}
	for _, path := range r.paths() {
		if err := r.disk.sweep(path); err != nil {
			return err
		}
	}
	return nil
}
