package v4l2

import (
	"context"
	"errors"
	"fmt"
	"image"
	"sync"
	"syscall"
	"time"

	"github.com/blackjack/webcam"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/internal/picture"
)

const (
	stall      = 5 * time.Second // without a frame before the device counts as hung
	maxDamaged = 30              // damaged frames in a row before it counts as broken
)

var (
	errStalled  = errors.New("no frame for 5 seconds")
	errDamaged  = errors.New("only damaged frames")
	errNonsense = errors.New("driver answers nonsense")
)

// streaming is the part of webcam.Webcam that a source reads with.
type streaming interface {
	WaitForFrame(seconds uint32) error
	GetFrame() ([]byte, uint32, error)
	ReleaseFrame(uint32) error
	Close() error
}

// source reads a device in a goroutine of its own, so that its buffers never
// run full, and decodes only the frames that are asked for.
type source struct {
	name string
	dev  streaming
	mode mode
	*knobs
	stop chan struct{} // closed by Close
	done chan struct{} // closed when grab has ended
	got  chan struct{} // holds a token when newest is new

	reading   raw // lent to the decoder
	img       *image.YCbCr
	seq       uint64
	damaged   uint64
	bad       int // damaged frames since the last good one
	closeOnce sync.Once
	closeErr  error

	mu      sync.Mutex // protects the fields below
	newest  raw
	fresh   bool
	dropped uint64
	err     error // why grab ended
}

// raw is a frame as the device gave it.
type raw struct {
	data []byte
	time time.Time
}

var (
	_ camera.Source   = (*source)(nil)
	_ camera.Follower = (*source)(nil)
)

func newSource(name string, dev streaming, m mode, k *knobs) *source {
	s := &source{name: name, dev: dev, mode: m, knobs: k,
		stop: make(chan struct{}), done: make(chan struct{}), got: make(chan struct{}, 1)}
	go s.run()
	return s
}

// Next waits for a frame and decodes it.
func (s *source) Next(ctx context.Context) (camera.Frame, error) {
	for {
		if err := s.take(ctx); err != nil {
			return camera.Frame{}, err
		}
		img, err := s.decode(s.reading.data)
		if err == nil {
			s.img, s.bad = img, 0
			s.seq++
			s.mu.Lock()
			defer s.mu.Unlock()
			return camera.Frame{Image: img, Time: s.reading.time, Seq: s.seq, Dropped: s.dropped + s.damaged}, nil
		}
		s.damaged++
		if s.bad++; s.bad >= maxDamaged {
			return camera.Frame{}, &camera.Fault{Op: "read", Subject: s.name, Err: fmt.Errorf("%w: %w", errDamaged, err),
				Hint: "try another cable or port, or a smaller size"}
		}
	}
}

// take waits for a new frame and moves it to s.reading.
func (s *source) take(ctx context.Context) error {
	for ctx.Err() == nil {
		if ok, err := s.swap(); ok || err != nil {
			return err
		}
		select {
		case <-s.got:
		case <-ctx.Done():
		case <-s.done:
		}
	}
	return ctx.Err()
}

// swap exchanges s.reading for the newest frame, or says why none will come.
func (s *source) swap() (ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.err, camera.ErrClosed) || !s.fresh {
		return false, s.err
	}
	s.fresh = false
	s.reading, s.newest = s.newest, s.reading
	return true, nil
}

// decode is strict: the error flag of a buffer is not to be had, so a frame
// must prove itself by its length.
func (s *source) decode(b []byte) (*image.YCbCr, error) {
	if s.mode.format == formatYUYV {
		size, err := s.mode.rawSize(len(b))
		if err != nil {
			return nil, err
		}
		return fromYUYV(b, size, s.img), nil
	}
	whole, err := camera.CompleteJPEG(b)
	if err != nil {
		return nil, err
	}
	return picture.DecodeJPEG(whole, s.img, picture.Limits{})
}

// Close stops the device. It waits for a read that is under way, up to a second.
func (s *source) Close() error {
	s.closeOnce.Do(func() {
		close(s.stop)
		<-s.done
		s.closeErr = s.dev.Close()
	})
	return s.closeErr
}

// String names the device and the mode asked for.
func (s *source) String() string { return s.name }

// run grabs frames until Close or an error of the device.
func (s *source) run() {
	err := s.grabAll()
	s.rest()
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	close(s.done)
}

func (s *source) grabAll() error {
	var fill raw
	last := time.Now()
	for {
		select {
		case <-s.stop:
			return camera.ErrClosed
		default:
		}
		if time.Since(last) > stall {
			return &camera.Fault{Op: "read", Subject: s.name, Err: errStalled, Hint: "the camera hangs; it is opened again"}
		}
		ok, err := s.grab(&fill)
		if err != nil {
			return &camera.Fault{Op: "read", Subject: s.name, Err: err, Hint: lostHint(err)}
		}
		if ok {
			last = fill.time
			s.put(&fill)
			s.turn(last)
		}
	}
}

// grab waits up to a second for a frame and copies it before the device may
// write over it.
func (s *source) grab(into *raw) (ok bool, err error) {
	// A driver that names a buffer or length that does not exist makes the
	// package index out of range.
	defer func() {
		if r := recover(); r != nil {
			ok, err = false, fmt.Errorf("%w: %v", errNonsense, r)
		}
	}()
	if err := s.dev.WaitForFrame(1); err != nil {
		var timeout *webcam.Timeout
		if errors.As(err, &timeout) {
			return false, nil
		}
		return false, err
	}
	b, index, err := s.dev.GetFrame()
	if errors.Is(err, syscall.EAGAIN) {
		time.Sleep(10 * time.Millisecond) // poll said otherwise: do not spin
		return false, nil
	}
	if err != nil {
		return false, err
	}
	into.data, into.time = append(into.data[:0], b...), time.Now()
	return true, s.dev.ReleaseFrame(index)
}

// put makes fill the newest frame, in exchange for memory.
func (s *source) put(fill *raw) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh {
		s.dropped++
	}
	s.newest, *fill, s.fresh = *fill, s.newest, true
	select {
	case s.got <- struct{}{}:
	default:
	}
}

func lostHint(err error) string {
	switch {
	case errors.Is(err, syscall.ENODEV):
		return "the camera was unplugged; it is used again when it is back"
	case errors.Is(err, syscall.EIO):
		return "the camera or its cable failed; it is opened again"
	}
	return ""
}
