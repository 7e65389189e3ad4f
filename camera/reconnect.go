package camera

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Pauses between attempts to open a device that failed. The first is short
// because a USB bus that reset itself is back at once; the last is what an
// operator who plugs a camera in is willing to wait.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 5 * time.Second
	// On the network the pauses go on growing, and each is a random share of what it
	// could be, so that cameras that lost their switch do not all come back at once.
	lastNetworkPause = 30 * time.Second
)

// Status says whether a camera delivers.
type Status string

// The statuses of a camera.
const (
	StatusStarting Status = "starting" // the device is open, no frame came yet
	StatusLive     Status = "live"     // the last call of Next gave a frame
	StatusFault    Status = "fault"    // the device is absent or failed; Next keeps looking
	StatusClosed   Status = "closed"
)

// State is how a camera is doing.
type State struct {
	Status  Status
	Device  string    // what delivers, such as v4l2:/dev/video0 behind auto:
	Err     error     // why Status is StatusFault, a *Fault where a hint is known
	Since   time.Time // when Status last changed
	Faults  uint64    // how often the device was lost or could not be opened
	Frames  uint64    // handed out
	Dropped uint64    // see Frame.Dropped
	Notes   []string  // what the device cannot do of what the URL asks
	Health  Health    // of the picture; but for Rate zero for files and the demo, which are what they are
}

// Trouble says what is wrong with the camera and what to do, "" where it is well.
// alarm: somebody should look at it at once.
func (s State) Trouble() (words string, alarm bool) {
	switch p := s.Health.Picture; {
	case s.Status == StatusFault && s.Err != nil:
		return s.Err.Error(), true
	case s.Status == StatusLive && p != PictureGood && p != "":
		return string(p) + ": " + p.Hint(), p.Alarm()
	}
	return "", false
}

// noted is a Source that could not do all that was asked of it.
type noted interface{ Notes() []string }

// Camera is a Source that outlives its device. Make one with Open.
type Camera struct {
	url     *url.URL
	driver  Driver
	view    *view
	log     *slog.Logger
	changed func(State)
	life    context.Context // ends at Close
	stop    context.CancelFunc

	reading sync.Mutex // held by Next; protects the fields below
	src     Source     // nil while there is no device
	opened  time.Time  // when src was
	metered bool       // src is worth a look at its health
	pause   time.Duration
	dropped uint64 // by the devices that were closed
	meter   meter

	mu       sync.Mutex // protects the fields below
	state    State
	follower Follower // the device, where it is one
	noted    noted    // the device, where it is one
	subject  *Subject // what the view has not been told yet
}

var (
	_ Source   = (*Camera)(nil)
	_ Follower = (*Camera)(nil)
)

// newCamera makes the camera and tries the device once.
func newCamera(ctx context.Context, u *url.URL, d Driver, v *view, opt Options) (*Camera, error) {
	c := &Camera{url: u, driver: d, view: v, log: opt.Log, changed: opt.Changed}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.life, c.stop = context.WithCancel(context.Background())
	c.state = State{Device: Redact(u), Since: time.Now()}
	if err := c.connect(ctx); errors.Is(err, ErrURL) || ctx.Err() != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// Next waits for the next frame, through any number of faults. Its only errors
// are ctx's and ErrClosed.
func (c *Camera) Next(ctx context.Context) (Frame, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()

	for ctx.Err() == nil && c.life.Err() == nil {
		if c.src == nil {
			if sleep(ctx, c.wait()) == nil {
				_ = c.connect(ctx) // the state keeps the error
			}
			continue
		}
		f, err := c.src.Next(ctx)
		if err == nil {
			return c.deliver(f), nil
		}
		if ctx.Err() == nil {
			c.lose(err)
		}
	}
	if c.life.Err() != nil {
		return Frame{}, ErrClosed
	}
	return Frame{}, ctx.Err()
}

// Close ends the camera and closes the device.
func (c *Camera) Close() error {
	c.stop()
	c.reading.Lock()
	defer c.reading.Unlock()
	var err error
	if c.src != nil {
		err = c.src.Close()
		c.src = nil
	}
	c.change(StatusClosed, "", nil)
	return err
}

// State tells how the camera is doing. It may be called from any goroutine. It
// is as fresh as the last call of Next.
func (c *Camera) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	if c.noted != nil {
		s.Notes = c.noted.Notes()
	}
	return s
}

// Follow implements Follower: it turns the view and the device to a face.
func (c *Camera) Follow(s Subject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subject = &s
	if c.follower != nil {
		c.follower.Follow(s)
	}
}

// connect tries to open the device once.
func (c *Camera) connect(ctx context.Context) error {
	src, err := c.driver(ctx, c.url)
	if err != nil {
		if ctx.Err() == nil {
			c.fail(err)
		}
		return err
	}
	device := Redact(c.url)
	if s, ok := src.(fmt.Stringer); ok {
		device = s.String()
	}
	c.src, c.opened = src, time.Now()
	c.metered = !strings.HasPrefix(device, "file:") && !strings.HasPrefix(device, "dir:") && !strings.HasPrefix(device, "demo:")
	c.mu.Lock()
	c.follower, _ = src.(Follower)
	c.noted, _ = src.(noted)
	c.mu.Unlock()
	for _, n := range c.State().Notes {
		c.log.Warn("camera cannot do what its URL asks", "device", device, "note", n)
	}
	c.change(StatusStarting, device, nil)
	return nil
}

// lose gives up a device that failed.
func (c *Camera) lose(err error) {
	c.src.Close()
	c.src = nil
	c.mu.Lock()
	c.follower, c.noted = nil, nil
	c.meter.lose()
	c.state.Health = c.meter.health
	c.mu.Unlock()
	c.dropped = c.State().Dropped
	c.fail(err)
}

// fail notes a fault and lengthens the pause before the next attempt.
func (c *Camera) fail(err error) {
	last := lastPause
	if networked(c.url) {
		last = lastNetworkPause
	}
	c.pause = min(max(2*c.pause, firstPause), last)
	c.mu.Lock()
	c.state.Faults++
	c.mu.Unlock()
	c.change(StatusFault, "", err)
}

// wait is the pause before the next attempt.
func (c *Camera) wait() time.Duration {
	if networked(c.url) && c.pause > 0 {
		return rand.N(c.pause)
	}
	return c.pause
}

// deliver numbers a frame of the device as one of the camera.
func (c *Camera) deliver(f Frame) Frame {
	if time.Since(c.opened) > lastPause {
		c.pause = 0 // it works; what fails again and again is waited for ever longer
	}
	c.mu.Lock()
	c.state.Frames++
	c.state.Dropped = c.dropped + f.Dropped
	f.Seq, f.Dropped = c.state.Frames, c.state.Dropped
	if c.subject != nil {
		c.view.aim.see(c.subject.Box)
		c.subject = nil
	}
	c.mu.Unlock()
	c.change(StatusLive, "", nil)
	c.measure(f)
	f.Image = c.view.of(f.Image)
	return f
}

// measure looks at the health of the whole picture, and tells when it changed.
func (c *Camera) measure(f Frame) {
	changed := false
	if c.metered {
		changed = c.meter.see(f.Time, f.Image)
	} else {
		c.meter.count(f.Time)
	}
	c.mu.Lock()
	c.state.Health = c.meter.health
	now := c.state
	c.mu.Unlock()
	if !changed {
		return
	}
	if words, alarm := now.Trouble(); alarm {
		c.log.Warn("camera picture", "device", now.Device, "picture", words)
	} else {
		c.log.Info("camera picture", "device", now.Device, "picture", now.Health.Picture)
	}
	if c.changed != nil {
		c.changed(now)
	}
}

// change moves to a status and tells about it when it is another one, or
// another error: a camera that stays away fills no log.
func (c *Camera) change(to Status, device string, err error) {
	c.mu.Lock()
	was := c.state
	if device != "" {
		c.state.Device = device
	}
	c.state.Status, c.state.Err = to, err
	same := was.Status == to && fmt.Sprint(was.Err) == fmt.Sprint(err)
	if was.Status != to {
		c.state.Since = time.Now()
	}
	now := c.state
	c.mu.Unlock()
	if same {
		return
	}
	if err != nil {
		c.log.Warn("camera fault", "device", now.Device, "err", err)
	} else {
		c.log.Info("camera "+string(to), "device", now.Device)
	}
	if c.changed != nil {
		c.changed(now)
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
