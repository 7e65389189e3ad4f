package attack

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"time"
)

// rendition names the look of attempts: raise it whenever they change, and no cache
// will show old ones.
const rendition = 4

// recording is an attempt as it is kept.
type recording struct {
	JPEG [][]byte
	At   []time.Duration
}

func (s *Studio) file(a *Attempt) string {
	moves := ""
	for _, m := range a.Challenge {
		moves += "-" + string(m)
	}
	return filepath.Join(s.Cache, fmt.Sprintf("r%d-%s-%d-%d-%d%s.frames", rendition, a.Species, a.Victim, a.Other, a.Seed, moves))
}

var errNoCache = errors.New("nothing is kept")

func (s *Studio) load(a *Attempt) ([]Frame, error) {
	if s.Cache == "" {
		return nil, errNoCache
	}
	b, err := os.ReadFile(s.file(a))
	if err != nil {
		return nil, err
	}
	var r recording
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&r); err != nil || len(r.At) != len(r.JPEG) {
		return nil, errNoCache
	}
	frames := make([]Frame, len(r.At))
	for i := range frames {
		frames[i].At = r.At[i]
	}
	return decoded(frames, r.JPEG)
}

// keep writes an attempt beside and renames it, so that a cut leaves no half one.
func (s *Studio) keep(a *Attempt, frames []Frame, raw [][]byte) error {
	if s.Cache == "" {
		return nil
	}
	r := recording{JPEG: raw}
	for _, f := range frames {
		r.At = append(r.At, f.At)
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(r); err != nil {
		return fmt.Errorf("keep attempt: %w", err)
	}
	if err := os.MkdirAll(s.Cache, 0o755); err != nil {
		return fmt.Errorf("keep attempt: %w", err)
	}
	name := s.file(a)
	if err := os.WriteFile(name+".tmp", b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("keep attempt: %w", err)
	}
	return os.Rename(name+".tmp", name)
}

// decoded are frames with the pictures that JPEG left.
func decoded(frames []Frame, raw [][]byte) ([]Frame, error) {
	out := make([]Frame, len(frames))
	for i, b := range raw {
		img, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("decode frame: %w", err)
		}
		ycc, ok := img.(*image.YCbCr)
		if !ok {
			return nil, fmt.Errorf("decode frame: %T", img)
		}
		out[i] = Frame{ycc, frames[i].At}
	}
	return out, nil
}
