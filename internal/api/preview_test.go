package api

import (
	"context"
	"image"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/internal/verify"
)

// pulse is a camera of 20 frames a second that counts who reads it.
type pulse struct{ n *int }

func (p pulse) Next(ctx context.Context) (camera.Frame, error) {
	select {
	case <-ctx.Done():
		return camera.Frame{}, ctx.Err()
	case <-time.After(50 * time.Millisecond):
	}
	*p.n++
	return camera.Frame{Image: image.NewYCbCr(image.Rect(0, 0, 1280, 16), image.YCbCrSubsampleRatio420), Time: time.Now()}, nil
}

func (p pulse) Close() error { return nil }

// watchFor has a viewer take frames, a pause after each, and returns how many and
// how wide the last one was.
func watchFor(s *sight, pause, d time.Duration) (frames, width int) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for {
		f, err := s.next(ctx)
		if err != nil {
			return frames, width
		}
		frames, width = frames+1, f.Size.X
		time.Sleep(pause)
	}
}

// The preview follows its slowest viewer, and comes up again without him; the
// camera is not read more for all that.
func TestPreviewFollowsItsSlowestViewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := 0
		p := newPreview()
		join := func() (*sight, bool) {
			return p.join(func() camera.Source { return pulse{&read} }, func() verify.View { return verify.View{} })
		}
		fast, _ := join()
		defer fast.leave()
		if n, w := watchFor(fast, 0, 10*time.Second); n < 90 || n > 101 || w != 640 {
			t.Errorf("a fast viewer had %d frames of %d pixels in 10 s", n, w)
		}
		slow, _ := join()
		go watchFor(slow, 700*time.Millisecond, 20*time.Second)
		watchFor(fast, 0, 16*time.Second)
		if n, w := watchFor(fast, 0, 4*time.Second); n > 9 || w > 320 {
			t.Errorf("beside a slow viewer: %d frames of %d pixels in 4 s", n, w)
		}
		slow.leave()
		watchFor(fast, 0, 60*time.Second)
		if n, w := watchFor(fast, 0, 10*time.Second); n < 90 || w != 640 {
			t.Errorf("after the slow viewer left: %d frames of %d pixels in 10 s", n, w)
		}
		if read > 1300 {
			t.Errorf("the camera was read %d times in 100 s", read)
		}
	})
}

func TestPreviewTakesSoManyViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := 0
		p := newPreview()
		join := func() (*sight, bool) {
			return p.join(func() camera.Source { return pulse{&read} }, func() verify.View { return verify.View{} })
		}
		var all []*sight
		for range maxViewers {
			s, ok := join()
			if !ok {
				t.Fatal("a viewer was refused")
			}
			all = append(all, s)
		}
		if _, ok := join(); ok {
			t.Error("one viewer too many")
		}
		for _, s := range all {
			s.leave()
		}
		synctest.Wait()
		was := read
		time.Sleep(10 * time.Second)
		if read > was+1 {
			t.Errorf("without viewers the camera was read %d times", read-was)
		}
		again, ok := join()
		if n, _ := watchFor(again, 0, time.Second); !ok || n == 0 {
			t.Error("nobody can watch any more")
		}
		again.leave()
	})
}

// A picture is made smaller by whole factors, whatever its place and its size.
func TestShrink(t *testing.T) {
	for _, r := range []image.Rectangle{image.Rect(0, 0, 1280, 720), image.Rect(320, 180, 960, 540), image.Rect(0, 0, 5, 3), image.Rect(0, 0, 2000, 1)} {
		for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio440} {
			img := image.NewYCbCr(r, ratio)
			for i := range img.Y {
				img.Y[i] = 77
			}
			out := shrink(img, 640)
			if out.Rect.Dx() > 640 || out.Rect.Empty() || out.Y[out.YOffset(out.Rect.Dx()-1, out.Rect.Dy()-1)] != 77 {
				t.Errorf("%v became %v", r, out.Rect)
			}
		}
	}
}
