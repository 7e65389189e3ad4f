package camera

import (
	"context"
	"image"
	"sync"
)

// Shared lets several readers have the frames of one source: the decisions at
// a door, a preview, a picture asked for by the API. Each frame is copied once,
// and only while somebody reads. Make one with Share.
type Shared struct {
	src Source

	mu      sync.Mutex // protects the fields below
	latest  *shot      // nil before the first
	seq     uint64     // of the source's last frame, read by somebody or not
	count   uint64     // frames of the source so far, handed out or dropped
	spare   []*image.YCbCr
	readers int
	wake    chan struct{} // closed and replaced at each frame and at the end
	err     error         // why Run ended
}

// shot is a frame that readers hold.
type shot struct {
	Frame
	holders int // readers, and one for being the latest
}

// Share takes over src. The caller runs Run and closes src after it.
func Share(src Source) *Shared {
	return &Shared{src: src, wake: make(chan struct{})}
}

// Run reads the source until ctx ends or the source does, and then ends all
// readers with that error. Without Run no reader gets a frame.
func (s *Shared) Run(ctx context.Context) error {
	for {
		f, err := s.src.Next(ctx)
		if err != nil {
			s.mu.Lock()
			s.err = err
			close(s.wake)
			s.mu.Unlock()
			return err
		}
		if into, wanted := s.buffer(f); wanted {
			f.Image = copyFrame(into, f.Image)
			s.publish(f)
		}
	}
}

// buffer says whether anybody reads f, and lends memory for a copy.
func (s *Shared) buffer(f Frame) (into *image.YCbCr, wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq, s.count = f.Seq, f.Seq+f.Dropped
	if s.readers == 0 {
		return nil, false
	}
	if n := len(s.spare); n > 0 {
		into, s.spare = s.spare[n-1], s.spare[:n-1]
	}
	return into, true
}

func (s *Shared) publish(f Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(s.latest)
	s.latest = &shot{Frame: f, holders: 1}
	close(s.wake)
	s.wake = make(chan struct{})
}

// release gives a shot back; the memory of the last holder is used again.
func (s *Shared) release(sh *shot) {
	if sh == nil {
		return
	}
	if sh.holders--; sh.holders == 0 && len(s.spare) < 2 {
		s.spare = append(s.spare, sh.Image)
	}
}

// Reader is a source of its own with the frames from now on. Closing it leaves
// the shared source open.
func (s *Shared) Reader() Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers++
	return &reader{shared: s, last: s.seq, base: s.count}
}

// Snapshot waits for the next frame and returns a picture of it that is the
// caller's.
func (s *Shared) Snapshot(ctx context.Context) (image.Image, error) {
	r := s.Reader()
	defer r.Close()
	f, err := r.Next(ctx)
	if err != nil {
		return nil, err
	}
	return copyFrame(nil, f.Image), nil
}

// reader is one reader of a Shared.
type reader struct {
	shared *Shared
	held   *shot
	last   uint64 // Seq of the shared source
	seq    uint64 // own
	base   uint64 // Shared.count when this reader began
	closed bool
}

// Next waits for a frame that this reader has not had.
func (r *reader) Next(ctx context.Context) (Frame, error) {
	for {
		f, wake, err := r.take()
		if wake == nil {
			return f, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
}

// take returns a new frame, an error, or what to wait for.
func (r *reader) take() (Frame, <-chan struct{}, error) {
	s := r.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.closed {
		return Frame{}, nil, ErrClosed
	}
	if s.latest == nil || s.latest.Seq <= r.last {
		if s.err != nil {
			return Frame{}, nil, s.err
		}
		return Frame{}, s.wake, nil
	}
	s.release(r.held)
	r.held = s.latest
	r.held.holders++
	f := r.held.Frame
	r.last = f.Seq
	r.seq++
	f.Dropped = f.Seq + f.Dropped - r.base - r.seq
	f.Seq = r.seq
	return f, nil, nil
}

// Close gives the frame back.
func (r *reader) Close() error {
	s := r.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	s.release(r.held)
	r.held = nil
	s.readers--
	return nil
}
