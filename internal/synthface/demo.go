package synthface

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"math"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Errors to branch on.
var (
	ErrClosed = errors.New("demo camera closed")
	ErrQuery  = errors.New("demo camera parameter not usable")
)

// DemoOptions are what a demo camera needs besides its query. The zero value
// works.
type DemoOptions struct {
	// Progress is told, from a background goroutine, how many of the clips are
	// ready. May be nil.
	Progress func(ready, total int)
	// Answers has the answers to the challenges of a door rendered too before somebody
	// comes; otherwise each is, the first time that it is asked for.
	Answers bool
	// Log tells of clips that cannot be kept; nil discards.
	Log *slog.Logger
}

// DemoFrame is one frame of the demo camera.
type DemoFrame struct {
	Image   *image.YCbCr // 4:2:0; valid until the next call of Next
	Time    time.Time    // when it was due
	Seq     uint64       // counts the frames handed out: 1, 2, 3 …
	Dropped uint64       // frames since opening that nobody fetched in time
}

// Demo is a camera that sees the cast. Next is for one goroutine; Ask and
// Close may be called from others.
type Demo struct {
	set    settings
	log    *slog.Logger
	cache  *clipCache
	cancel context.CancelFunc
	ended  chan struct{} // closed when the background work is over
	wake   chan struct{} // tells the background that a clip is missing

	mu     sync.Mutex // protects the two below
	asked  Act        // Empty: nothing
	missed []clipKey

	sitter *Person // for the background alone: who is being rendered

	// For Next alone.
	play    playback
	started time.Time
	tick    int64 // of the next frame
	seq     uint64
	dropped uint64
}

// OpenDemo opens the demo camera with its clips cached in cacheDir, a folder
// that is made where it is missing. It knows the query parameters
//
//	person=3        only the third of the cast, or by name: person=Ada
//	fps=10          frames per second, 1 to 30
//	size=640x480    frame size, 64x48 to 1920x1440
//	room=1          another hallway
//	attack=print    they hold up a photograph instead (also bent, screen)
//
// Others and unusable values are ErrQuery. Frames come in real time from the
// first moment. Where the clips are in the cache somebody is in view at once;
// otherwise the hallway is empty until the first visitor has been rendered, a
// few seconds later, and the rest of the cast is rendered while they play.
func OpenDemo(ctx context.Context, cacheDir string, query url.Values, opt DemoOptions) (*Demo, error) {
	set, err := parseQuery(query)
	if err != nil {
		return nil, err
	}
	cache, err := openCache(cacheDir, defaultCacheLimit)
	if err != nil {
		return nil, err
	}
	if opt.Answers {
		set.answers = answers
	}
	d := &Demo{set: set, log: opt.Log, cache: cache, ended: make(chan struct{}), wake: make(chan struct{}, 1)}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	hall := set.key(nil, Empty)
	empty, err := cache.fetch(ctx, hall, func(ctx context.Context) (clip, error) { return film(ctx, hall, nil, func() {}) })
	if err != nil {
		return nil, fmt.Errorf("open demo camera: %w", err)
	}
	d.play = playback{demo: d, empty: empty, clip: empty}
	d.play.begin()
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = cancel
	go func() {
		defer close(d.ended)
		d.prepare(background, opt.Progress)
	}()
	return d, nil
}

// Close stops the rendering in the background and waits for its end. Next then
// returns ErrClosed. It may be called again.
func (d *Demo) Close() error {
	d.cancel()
	<-d.ended
	return nil
}

// answers are what the challenges of a door ask for.
var answers = []Act{TurnLeft, TurnRight, LookUp, LookDown, Closer}

// Ask has the visitor do something, Turn to Closer, as soon as they stand
// before the camera and have ended what they are doing. A later Ask replaces
// one that is waiting. The first time it is rendered meanwhile.
func (d *Demo) Ask(a Act) error {
	if a < Turn || a == Leave || a > Closer {
		return fmt.Errorf("ask for %s: it is not an answer to a challenge", a)
	}
	d.mu.Lock()
	d.asked = a
	d.mu.Unlock()
	return nil
}

// pending is the act that was asked for and not yet played, or Empty.
func (d *Demo) pending() Act {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

// answered forgets the act that was asked for, unless another one was since.
func (d *Demo) answered(a Act) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked == a {
		d.asked = Empty
	}
}

// Next waits until the next frame is due and returns it. Frames whose time has
// passed are skipped and counted.
func (d *Demo) Next(ctx context.Context) (DemoFrame, error) {
	select {
	case <-d.ended:
		return DemoFrame{}, ErrClosed
	default:
	}
	if d.started.IsZero() {
		d.started = time.Now()
	}
	due, err := d.wait(ctx)
	if err != nil {
		return DemoFrame{}, err
	}
	img, err := d.play.frame()
	if err != nil {
		return DemoFrame{}, err
	}
	d.seq++
	swing(img, due.Sub(d.started))
	return DemoFrame{Image: img, Time: due, Seq: d.seq, Dropped: d.dropped}, nil
}

// swing moves a picture by a few pixels, as a camera sees that does not hang quite
// still. Without it the people, whose clips are played again and again, would stand
// where they stood before to a hair, which liveness takes for a recording shown twice.
func swing(img *image.YCbCr, at time.Duration) {
	const reach, step = 3, 2 // steps to each side, pixels
	wave := func(hertz, phase float64) int {
		return int(math.Round(reach * math.Sin(2*math.Pi*hertz*at.Seconds()+phase)))
	}
	x, y := wave(.23, 0), wave(.31, 1)
	w, h := img.Rect.Dx(), img.Rect.Dy()
	shifted(img.Y, img.YStride, w, h, step*x, step*y)
	shifted(img.Cb, img.CStride, (w+1)/2, (h+1)/2, x, y)
	shifted(img.Cr, img.CStride, (w+1)/2, (h+1)/2, x, y)
}

// shifted moves a plane within its bounds, the border repeated.
func shifted(pix []byte, stride, w, h, dx, dy int) {
	from := slices.Clone(pix)
	for y := range h {
		row := from[min(max(y-dy, 0), h-1)*stride:]
		for x := range w {
			pix[y*stride+x] = row[min(max(x-dx, 0), w-1)]
		}
	}
}

// wait sleeps until the next tick, steps over those that have passed, and says
// when it was.
func (d *Demo) wait(ctx context.Context) (time.Time, error) {
	period := time.Second / time.Duration(d.set.fps)
	due := d.started.Add(time.Duration(d.tick) * period)
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return due, context.Cause(ctx)
	case <-d.ended:
		return due, ErrClosed
	}
	if late := int64(time.Since(due) / period); late > 0 {
		for range min(late, int64(10*d.set.fps)) { // longer ago does not matter
			d.play.step()
		}
		d.tick += late
		d.dropped += uint64(late)
		due = due.Add(time.Duration(late) * period)
	}
	d.tick++
	return due, nil
}

// prepare renders what is missing in the cache, once through the whole script,
// and from then on whatever the player misses.
func (d *Demo) prepare(ctx context.Context, progress func(ready, total int)) {
	keys := d.set.script()
	for i, k := range keys {
		d.mend(ctx)
		d.ready(ctx, k, k.person != d.set.cast[0].Seed)
		if ctx.Err() != nil {
			return
		}
		if progress != nil {
			progress(i+1, len(keys))
		}
	}
	d.cache.prune(d.set.wanted)
	for {
		d.sitter = nil // a mesh is large, and the next wish may be long in coming
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
			d.mend(ctx)
		}
	}
}

// miss asks the background for a clip that the player wanted and did not find.
func (d *Demo) miss(k clipKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.missed, k) {
		d.missed = append(d.missed, k)
	}
	select {
	case d.wake <- struct{}{}:
	default: // it is awake
	}
}

// mend renders the clips that were missed.
func (d *Demo) mend(ctx context.Context) {
	d.mu.Lock()
	keys := d.missed
	d.missed = nil
	d.mu.Unlock()
	for _, k := range keys {
		d.ready(ctx, k, false)
	}
}

// ready makes sure that one clip is in the cache. Gently means at half speed,
// to leave the processor to those who use the camera.
func (d *Demo) ready(ctx context.Context, k clipKey, gently bool) {
	last := time.Now()
	rest := func() {
		if gently {
			pause(ctx, min(time.Since(last), time.Second))
			last = time.Now()
		}
	}
	_, err := d.cache.fetch(ctx, k, func(ctx context.Context) (clip, error) { return film(ctx, k, d.sit(k.person), rest) })
	if err != nil && ctx.Err() == nil {
		d.log.Warn("demo clip not kept", "file", k.file(), "err", err)
	}
}

// sit returns the person of a seed, with the mesh from the last time where it
// is the same one.
func (d *Demo) sit(seed int64) *Person {
	if d.sitter == nil || d.sitter.Seed != seed {
		d.sitter = NewPerson(seed)
	}
	return d.sitter
}

// pause sleeps until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
