package camera_test

import (
	"context"
	"errors"
	"image"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/camera/cameratest"
)

// sharing runs a shared source of 10 frames a second in the background.
func sharing(t *testing.T, d *device) *camera.Shared {
	d.open = true
	s := camera.Share(d)
	go s.Run(t.Context())
	return s
}

func TestReadersConform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sharing(t, &device{frames: 1000})
		cameratest.Source(t, func() camera.Source { return s.Reader() })
	})
}

func TestReadersHaveTheSameFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sharing(t, &device{frames: 1000})
		time.Sleep(time.Second) // frames that nobody reads are nobody's loss
		fast, slow := s.Reader(), s.Reader()
		defer fast.Close()
		defer slow.Close()
		var kept *image.YCbCr
		for i := range 10 {
			f, err := fast.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// The device itself drops two frames for each that it gives.
			if f.Seq != uint64(i+1) || f.Dropped != 2*f.Seq {
				t.Errorf("fast reader: frame %d, %d dropped", f.Seq, f.Dropped)
			}
			if i%5 == 4 {
				g, err := slow.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if g.Image != f.Image || !g.Time.Equal(f.Time) {
					t.Error("readers at the same time have different frames")
				}
				if want := uint64(14 * (i + 1) / 5); g.Dropped != want {
					t.Errorf("slow reader: %d dropped, want %d", g.Dropped, want)
				}
				kept = g.Image
			} else if f.Image == kept {
				t.Error("a frame that a reader holds was written over")
			}
		}
	})
}

// A source is not read ahead of its readers, and none of them gets a frame that
// another one had long ago.
func TestSharedReadsOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{frames: 1000}
		s := sharing(t, d)
		a, b := s.Reader(), s.Reader()
		defer a.Close()
		defer b.Close()
		time.Sleep(10 * time.Second)
		if d.seq > 1 { // one may be under way from before there were readers
			t.Errorf("%d frames were read while nobody asked", d.seq)
		}
		if _, err := a.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		f, err := b.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if age := time.Since(f.Time); age > 100*time.Millisecond {
			t.Errorf("frame is %v old", age)
		}
	})
}

func TestSnapshotIsTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sharing(t, &device{frames: 1000})
		img, err := s.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r := s.Reader()
		defer r.Close()
		for range 5 {
			if f, err := r.Next(t.Context()); err != nil || f.Image == img {
				t.Fatalf("%v; the snapshot was used again: %v", err, f.Image == img)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Snapshot(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
}

func TestSharedEndTellsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eio := errors.New("input/output error")
		d := &device{frames: 1, err: eio, open: true}
		s := camera.Share(d)
		r := s.Reader()
		done := make(chan error)
		go func() { done <- s.Run(t.Context()) }()
		if _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Next(t.Context()); !errors.Is(err, eio) {
			t.Errorf("reader got %v, want the error of the source", err)
		}
		if err := <-done; !errors.Is(err, eio) {
			t.Errorf("Run returned %v, want the error of the source", err)
		}
		if _, err := s.Reader().Next(context.Background()); !errors.Is(err, eio) {
			t.Errorf("late reader got %v, want the error of the source", err)
		}
	})
}
