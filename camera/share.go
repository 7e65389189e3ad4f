package camera

import (
	"context"
	"image"
	"sync"
	"time"
)

// stale is the age from which a frame that one reader had is too old for
// another who asks now.
const stale = 100 * time.Millisecond

// Shared lets several readers have the frames of one source: the decisions at
// a door, a preview, a picture asked for by the API. The source is asked for a
// frame when a reader asks, so that none is decoded in vain, and each is copied
// once. Make one with Share.
type Shared struct {
	src   Source
	asked chan struct{} // holds a token when wanted or readers changed

	mu      sync.Mutex // protects the fields below
	latest  *shot      // nil before the first
	seq     uint64     // of the source's last frame, read by somebody or not
	count   uint64     // frames of the source so far, handed out or dropped
	spare   []*image.YCbCr
	readers int
	wanted  bool          // a reader waits for a frame
	wake    chan struct{} // closed and replaced at each frame and at the end
	err     error         // why Run ended
}

// shot is a frame that readers hold.
type shot struct {
	Frame
	at      time.Time // of publication
	holders int       // readers, and one for being the latest
}

// Share takes over src. The caller runs Run and closes src after it.
func Share(src Source) *Shared {
	return &Shared{src: src, asked: make(chan struct{}, 1), wake: make(chan struct{})}
}

// Run reads the source until ctx ends or the source does, and then ends all
// readers with that error. Without Run no reader gets a frame. It is called once.
func (s *Shared) Run(ctx context.Context) error {
	for {
		s.awaitDemand(ctx)
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

// awaitDemand waits until a reader waits. While there is no reader at all the
// source is read on, so that its state stays true.
func (s *Shared) awaitDemand(ctx context.Context) {
	for {
		s.mu.Lock()
		now := s.wanted || s.readers == 0
		s.wanted = false
		s.mu.Unlock()
		if now {
			return
		}
		select {
		case <-s.asked:
		case <-ctx.Done():
			return
		}
	}
}

// ask makes Run look at wanted and readers again.
func (s *Shared) ask() {
	select {
	case s.asked <- struct{}{}:
	default:
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
	s.latest = &shot{Frame: f, at: time.Now(), holders: 1}
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

// Reader is a source of its own with the frames from now on, whose images it has
// in common with other readers: they are read only. Closing it leaves the shared
// source open.
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
	r.skipStale()
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

// skipStale passes over a frame that was published too long ago. It is called
// once a Next, so that whatever comes while waiting is taken, however slow.
func (r *reader) skipStale() {
	s := r.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.latest != nil && time.Since(s.latest.at) > stale {
		r.last = max(r.last, s.latest.Seq)
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
		s.wanted = true
		s.ask()
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

// Follow tells the source where the face is, where it wants to know.
func (r *reader) Follow(s Subject) {
	if f, ok := r.shared.src.(Follower); ok {
		f.Follow(s)
	}
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
	s.ask()
	return nil
}
