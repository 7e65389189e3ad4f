// Package cameratest is the conformance suite of camera.Source: whoever writes a
// source runs it in a test.
//
//	func TestSource(t *testing.T) {
//		cameratest.Run(t, func(t *testing.T) camera.Source { … })
//	}
//
// It checks what readers rely on and knows nothing of pictures: that they are
// the right ones is for the source's own tests. Sources that are paced by the
// clock may be run inside testing/synctest with Source.
package cameratest

import (
	"context"
	"errors"
	"image"
	"testing"
	"time"

	"github.com/cypherface/edge/camera"
)

// patience is how long a frame may take.
const patience = 10 * time.Second

// Run checks the sources that open makes.
func Run(t *testing.T, open func(t *testing.T) camera.Source) {
	for name, check := range checks {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

// checks take a source that is new and close it.
var checks = map[string]func(*testing.T, camera.Source){
	"frames are numbered and whole": frames,
	"late reader gets a new frame":  lateReader,
	"context ends a wait":           cancelled,
	"closed source says so":         closed,
}

// frames reads some and looks at what each promises.
func frames(t *testing.T, src camera.Source) {
	defer src.Close()
	var last camera.Frame
	for seq := uint64(1); seq <= 5; seq++ {
		f := next(t, src)
		if f.Seq != seq {
			t.Fatalf("frame %d has Seq %d", seq, f.Seq)
		}
		if f.Dropped < last.Dropped {
			t.Errorf("frame %d: Dropped fell from %d to %d", seq, last.Dropped, f.Dropped)
		}
		if f.Time.Before(last.Time) || f.Time.After(time.Now()) || f.Time.IsZero() {
			t.Errorf("frame %d: Time %v after a frame of %v", seq, f.Time, last.Time)
		}
		if err := whole(f.Image); err != "" {
			t.Errorf("frame %d: %s", seq, err)
		}
		last = f
	}
}

// lateReader waits longer than the source between two frames.
func lateReader(t *testing.T, src camera.Source) {
	defer src.Close()
	next(t, src)
	const pause = 1500 * time.Millisecond
	time.Sleep(pause)
	begin := time.Now()
	f := next(t, src)
	if f.Time.Before(begin.Add(-pause / 3)) {
		t.Errorf("frame is %v old", begin.Sub(f.Time))
	}
}

// cancelled ends waits before and during Next; the source stays usable.
func cancelled(t *testing.T, src camera.Source) {
	defer src.Close()
	next(t, src)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := src.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Next with a cancelled context: %v", err)
	}
	if f := next(t, src); f.Seq != 2 {
		t.Errorf("Seq %d after a cancelled Next, want 2", f.Seq)
	}
}

func closed(t *testing.T, src camera.Source) {
	next(t, src)
	for range 2 {
		if err := src.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	if _, err := src.Next(t.Context()); !errors.Is(err, camera.ErrClosed) {
		t.Errorf("Next of a closed source: %v, want ErrClosed", err)
	}
}

func next(t *testing.T, src camera.Source) camera.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f, err := src.Next(ctx)
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	return f
}

// whole checks that every pixel of an image can be read.
func whole(img *image.YCbCr) string {
	if img == nil || img.Rect.Empty() {
		return "no picture"
	}
	last := img.Rect.Max.Sub(image.Pt(1, 1))
	if img.YOffset(last.X, last.Y) >= len(img.Y) {
		return "luma plane too short"
	}
	if c := img.COffset(last.X, last.Y); c >= len(img.Cb) || c >= len(img.Cr) {
		return "chroma planes too short"
	}
	return ""
}

// Source checks one new source as Run does, for tests that cannot use t.Run.
func Source(t *testing.T, open func() camera.Source) {
	for name, check := range checks {
		t.Log(name)
		check(t, open())
	}
}
