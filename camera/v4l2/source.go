package v4l2

import (
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

// stall is how long a device may give no frame before it counts as hung.
const stall = 5 * time.Second

var (
	errStalled  = errors.New("no frame for 5 seconds")
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
// run full.
type source struct {
	*camera.Pump
	*knobs
	dev       streaming
	stop      chan struct{} // closed by Close
	closeOnce sync.Once
	closeErr  error
}

var (
	_ camera.Source   = (*source)(nil)
	_ camera.Follower = (*source)(nil)
)

func newSource(name string, dev streaming, m mode, k *knobs) *source {
	s := &source{Pump: camera.NewPump(name, m.decode), knobs: k, dev: dev, stop: make(chan struct{})}
	go func() {
		err := s.grabAll()
		s.rest()
		s.End(err)
	}()
	return s
}

// decode is strict: the error flag of a buffer is not to be had, so a frame
// must prove itself by its length.
func (m mode) decode(b []byte, into *image.YCbCr) (*image.YCbCr, error) {
	if m.format == formatYUYV {
		size, err := m.rawSize(len(b))
		if err != nil {
			return nil, err
		}
		return fromYUYV(b, size, into), nil
	}
	whole, err := camera.CompleteJPEG(b)
	if err != nil {
		return nil, err
	}
	return picture.DecodeJPEG(whole, into, picture.Limits{})
}

// Close stops the device. It waits for a read that is under way, up to a second.
func (s *source) Close() error {
	s.closeOnce.Do(func() {
		close(s.stop)
		<-s.Done()
		s.closeErr = s.dev.Close()
	})
	return s.closeErr
}

// grabAll reads the device until Close, or an error of the device.
func (s *source) grabAll() error {
	var fill camera.Raw
	last := time.Now()
	for {
		select {
		case <-s.stop:
			return camera.ErrClosed
		default:
		}
		if time.Since(last) > stall {
			return &camera.Fault{Op: "read", Subject: s.String(), Err: errStalled, Hint: "the camera hangs; it is opened again"}
		}
		ok, err := s.grab(&fill)
		if err != nil {
			return &camera.Fault{Op: "read", Subject: s.String(), Err: err, Hint: lostHint(err)}
		}
		if ok {
			last = fill.Time
			s.Put(&fill)
			s.turn(last)
		}
	}
}

// grab waits up to a second for a frame and copies it before the device may
// write over it.
func (s *source) grab(into *camera.Raw) (ok bool, err error) {
	// A driver that names a buffer or length that does not exist makes the
	// package index out of range.
	defer func() {
		if r := recover(); r != nil {
			ok, err = false, fmt.Errorf("%w: a buffer or length that does not exist", errNonsense)
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
	into.Data, into.Time = append(into.Data[:0], b...), time.Now()
	return true, s.dev.ReleaseFrame(index)
}

func lostHint(err error) string {
	switch {
	case errors.Is(err, syscall.ENODEV):
		return "the camera was unplugged; it is used again when it is back"
	case errors.Is(err, syscall.EIO):
		return "the camera or its cable failed; it is opened again"
	case errors.Is(err, errNonsense):
		return "another kernel or camera would help; it is opened again"
	}
	return ""
}
