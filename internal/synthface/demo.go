package synthface

import (
	"context"
	"image"
	"net/url"
	"time"
)

// DemoOptions are what a demo camera needs besides its query. The zero value
// works.
type DemoOptions struct {
	// Progress is told, from a background goroutine, how many of the cast's
	// clips are ready. May be nil.
	Progress func(ready, total int)
}

// Demo is a camera that sees the cast. Next is for one goroutine; Ask and
// Close may be called from others.
type Demo struct{}

// DemoFrame is one frame of the demo camera.
type DemoFrame struct {
	Image   *image.YCbCr // valid until the next call of Next
	Time    time.Time    // when it was due
	Dropped uint64       // frames that nobody fetched in time, in all
}

// OpenDemo opens the demo camera with its clips cached in cacheDir. It knows
// the query parameters
//
//	person=3        only the third of the cast (from 1), or by name: person=Ada
//	fps=10          frames per second, 1 to 30
//	size=640x480    frame size
//	room=1          another hallway
//
// An unknown parameter is an error. Frames come in real time from the first
// moment: a person is in view at once where their clips are in the cache, and
// the empty hallway is seen while they are being rendered.
func OpenDemo(ctx context.Context, cacheDir string, query url.Values, opt DemoOptions) (*Demo, error) {
	return &Demo{}, nil
}

// Next waits until the next frame is due and returns it.
func (d *Demo) Next(ctx context.Context) (DemoFrame, error) {
	<-ctx.Done()
	return DemoFrame{}, ctx.Err()
}

// Close stops the rendering in the background and waits for its end.
func (d *Demo) Close() error { return nil }
