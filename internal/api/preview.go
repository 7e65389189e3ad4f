package api

import (
	"context"
	"image"
	"sync"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/verify"
)

// step is a size and rate of a preview.
type step struct {
	width int // pixels at most
	every time.Duration
}

// steps are what a preview goes down when its slowest viewer does not keep up, and
// up again when all do.
var steps = []step{
	{960, 100 * time.Millisecond}, {640, 100 * time.Millisecond}, {480, 200 * time.Millisecond}, {320, 500 * time.Millisecond}, {240, time.Second},
}

const (
	firstStep    = 1
	maxViewers   = 8               // of one camera
	adaptEvery   = 2 * time.Second // between looks at who keeps up
	slowShare    = 0.6             // of the frames: who takes fewer is too slow
	calmRounds   = 4               // in which all kept up, before it goes up again
	previewJPEG  = 70              // quality
	staleView    = time.Second     // from then on faces are not drawn on a frame
	previewLimit = 10 * time.Second
)

// preview makes JPEGs of one camera for all who watch it, as long as somebody
// does. It reads frames beside the workflow and never holds it up: frames are
// read when they are due, and a viewer who is late gets the newest one.
type preview struct {
	mu      sync.Mutex // protects the fields below
	seq     uint64     // of the newest frame, also over runs
	viewers map[*sight]struct{}
	level   int // in steps
	calm    int // rounds in which all kept up
	newest  *shot
	made    int           // frames since the last round
	wake    chan struct{} // closed and replaced with each frame and at the end
	stop    func()        // ends the goroutine; nil: there is none
	err     error         // why it ended
}

// shot is one frame of a preview.
type shot struct {
	Seq   uint64
	Time  time.Time
	Frame image.Rectangle // that the faces are in
	Size  image.Point     // of the JPEG
	Faces []verify.Sight
	JPEG  []byte
}

// sight is one viewer.
type sight struct {
	*preview
	last  uint64
	taken int // since the last round
}

func newPreview() *preview {
	return &preview{viewers: map[*sight]struct{}{}, level: firstStep, wake: make(chan struct{})}
}

// join begins to watch; ok is false where too many do. The first viewer's open and
// seen are used for all.
func (p *preview) join(open func() camera.Source, seen func() verify.View) (s *sight, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.viewers) >= maxViewers {
		return nil, false
	}
	s = &sight{preview: p}
	if p.viewers[s] = struct{}{}; p.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		p.stop, p.err, p.newest = cancel, nil, nil
		go p.run(ctx, open(), seen)
	}
	return s, true
}

// leave ends a viewer's watching, and the last one's the preview.
func (s *sight) leave() {
	p := s.preview
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.viewers, s)
	if len(p.viewers) == 0 && p.stop != nil {
		p.stop()
		p.stop, p.level = nil, firstStep
	}
}

// next waits for a frame that this viewer has not had.
func (s *sight) next(ctx context.Context) (*shot, error) {
	p := s.preview
	for ctx.Err() == nil {
		p.mu.Lock()
		f, wake, err := p.newest, p.wake, p.err
		if f != nil && f.Seq > s.last {
			s.last = f.Seq
			s.taken++
			p.mu.Unlock()
			return f, nil
		}
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
	return nil, ctx.Err()
}

// run makes frames until ctx ends or the camera does.
func (p *preview) run(ctx context.Context, src camera.Source, seen func() verify.View) {
	defer src.Close()
	round := time.Now().Add(adaptEvery)
	for {
		due := time.Now()
		f, err := src.Next(ctx)
		if err == nil {
			err = p.publish(f, seen())
		}
		if err != nil {
			p.end(ctx, err)
			return
		}
		if time.Now().After(round) {
			p.adapt()
			round = time.Now().Add(adaptEvery)
		}
		p.mu.Lock()
		due = due.Add(steps[p.level].every)
		p.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(due)):
		}
	}
}

func (p *preview) end(ctx context.Context, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil { // a later run may be under way
		return
	}
	p.err = err
	close(p.wake)
	p.wake = make(chan struct{})
}

func (p *preview) publish(f camera.Frame, v verify.View) error {
	p.mu.Lock()
	width := steps[p.level].width
	p.mu.Unlock()
	small := shrink(f.Image, width)
	b, err := picture.EncodeJPEG(small, previewJPEG)
	if err != nil {
		return err
	}
	s := &shot{Time: f.Time, Frame: f.Image.Rect, Size: small.Rect.Size(), JPEG: b}
	if f.Time.Sub(v.Time).Abs() < staleView {
		s.Faces = v.Faces
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq++
	s.Seq, p.newest = p.seq, s
	p.made++
	close(p.wake)
	p.wake = make(chan struct{})
	return nil
}

// adapt goes a step down where the slowest viewer took too few of the frames since
// the last round, and up where for some rounds all took nearly all.
func (p *preview) adapt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	least := 1.0
	for s := range p.viewers {
		least = min(least, float64(s.taken)/float64(max(p.made, 1)))
		s.taken = 0
	}
	p.made = 0
	switch {
	case least < slowShare:
		p.level, p.calm = min(p.level+1, len(steps)-1), 0
	case least < 0.9:
		p.calm = 0
	default:
		if p.calm++; p.calm >= calmRounds {
			p.level, p.calm = max(p.level-1, firstStep), 0
		}
	}
}

// shrink is an image at most so wide, by a whole factor: luma as the mean of its
// pixels, in 4:2:0.
func shrink(img *image.YCbCr, width int) *image.YCbCr {
	n := max(1, (img.Rect.Dx()+width-1)/width)
	out := image.NewYCbCr(image.Rect(0, 0, max(1, img.Rect.Dx()/n), max(1, img.Rect.Dy()/n)), image.YCbCrSubsampleRatio420)
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			at := image.Pt(img.Rect.Min.X+x*n, img.Rect.Min.Y+y*n)
			cols, rows := min(n, img.Rect.Max.X-at.X), min(n, img.Rect.Max.Y-at.Y)
			sum := 0
			for dy := range rows {
				for _, v := range img.Y[img.YOffset(at.X, at.Y+dy):][:cols] {
					sum += int(v)
				}
			}
			out.Y[out.YOffset(x, y)] = byte(sum / (cols * rows))
			if x%2 == 0 && y%2 == 0 {
				from, to := img.COffset(at.X, at.Y), out.COffset(x, y)
				out.Cb[to], out.Cr[to] = img.Cb[from], img.Cr[from]
			}
		}
	}
	return out
}
