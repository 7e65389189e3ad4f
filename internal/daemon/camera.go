package daemon

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/camera/ipcam"
	"github.com/cypherface/edge/camera/v4l2"
	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// eyes are a camera and those who read it: that of the settings, or of a door.
type eyes struct {
	door     store.DoorID // "" for that of the settings
	merchant store.MerchantID
	url      string // for camera.Open
	camera   *camera.Camera
	shared   *camera.Shared
	busy     atomic.Int64 // since when (Unix ns) the workflow has worked on a frame; 0: it waits
	view     atomic.Pointer[verify.View]
	changed  chan struct{}                  // holds a token when the camera's state is another one
	demo     atomic.Pointer[synthface.Demo] // the demo camera, where it is one
	move     liveness.Move                  // that the door asked for last
}

// Limits of time around the cameras.
const (
	snapshotLimit = 5 * time.Second  // to wait for a picture somebody asked for
	frameLimit    = 30 * time.Second // to work off a frame before the box counts as stuck

	// Between two events of one camera: the first follow at once, one that comes and
	// goes all the time fills no journal.
	firstQuiet = time.Second
	lastQuiet  = 5 * time.Minute
)

// openCamera opens the camera of the settings, for as long as the environment
// lives. One that is absent or broken is a state, not an error: the box works
// without it until it comes.
func (e *environment) openCamera(ctx context.Context) error {
	if err := e.registerer().Register(cameraMetrics{e}); err != nil {
		return err
	}
	err := e.registerer().Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cypherface_people", Help: "People who can be recognised.",
	}, func() float64 { return float64(e.service.People()) }))
	if err != nil || e.camera == "none:" {
		return err
	}
	e.eyes, err = e.openEyes(ctx, "", e.merchant, e.camera)
	return err
}

// openEyes opens a camera. The demo people live in the sandbox only.
func (e *environment) openEyes(ctx context.Context, door store.DoorID, m store.MerchantID, url string) (*eyes, error) {
	y := &eyes{door: door, merchant: m, url: url, changed: make(chan struct{}, 1)}
	network := ipcam.Driver{Login: e.login}
	drivers := map[string]camera.Driver{
		"v4l2": v4l2.Open, "http": network.Open, "https": network.Open, "rtsp": network.Open, "rtsps": network.Open,
	}
	if e.name == store.Sandbox {
		drivers["demo"] = y.demoDriver(filepath.Join(e.data, "cache", "demo"), e.log)
	}
	log := e.log
	if door != "" {
		log = log.With("door", string(door))
	}
	cam, err := camera.Open(ctx, url, camera.Options{Drivers: drivers, Log: log, Changed: func(camera.State) {
		select {
		case y.changed <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		return nil, err
	}
	y.camera, y.shared = cam, camera.Share(cam)
	return y, nil
}

// login is what the store has for a camera on the network.
func (e *environment) login(ctx context.Context, host string) (user, password string, ok bool, err error) {
	return api.CameraLogin(ctx, e.store, host)
}

func (e *environment) closeCamera() error {
	if e.eyes == nil {
		return nil
	}
	return e.eyes.camera.Close()
}

// watch has the workflow look through the camera of the settings until ctx ends.
func (e *environment) watch(ctx context.Context) error {
	if e.eyes == nil {
		return nil
	}
	if err := e.look(ctx, e.eyes); ctx.Err() == nil {
		return fmt.Errorf("watch the camera: %w", errors.Join(err, errors.New("it ended by itself")))
	}
	return nil
}

// look has the workflow look through a camera until ctx ends, or what the camera
// is for is gone.
func (e *environment) look(ctx context.Context, y *eyes) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() { _ = y.shared.Run(ctx) }) // its error comes to the reader
	group.Go(func() { e.tell(ctx, y) })
	reader := &pacedReader{&heldReader{y.shared.Reader(), e.may()}, &y.busy}
	defer reader.Close()
	return e.service.Run(ctx, reader, verify.DoorConfig{Merchant: y.merchant, Door: y.door, Saw: func(v verify.View) {
		y.view.Store(&v)
		y.answer(v)
		e.api.Saw(y.merchant, y.door, v)
	}})
}

// tell records what becomes of a camera as events, at once; of one that comes and
// goes less and less often.
func (e *environment) tell(ctx context.Context, y *eyes) {
	var told string
	var last time.Time
	quiet := firstQuiet
	for {
		select {
		case <-ctx.Done():
			return
		case <-y.changed:
		}
		e.api.CameraChanged(string(y.camera.State().Status))
		if word, _ := condition(y.camera.State()); word == "" || word == told {
			continue
		}
		if wait := quiet - time.Since(last); wait > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
		word, outcome := condition(y.camera.State())
		if word == "" || word == told {
			continue
		}
		if quiet = min(2*quiet, lastQuiet); time.Since(last) > 2*lastQuiet {
			quiet = firstQuiet
		}
		told, last = word, time.Now()
		event := store.Event{Kind: store.EventSystem, Action: "camera", Merchant: y.merchant, Door: y.door, Outcome: outcome, Reasons: []string{word}}
		err := e.store.Update(ctx, systemCause, func(tx *store.Tx) error {
			_, err := store.Append(tx, event, nil)
			return err
		})
		if err != nil && ctx.Err() == nil {
			e.log.Warn("camera event not recorded", "camera", word, "err", err)
		}
	}
}

// condition is the state of a camera as a word for an event: fault, or what its
// picture is; "" while neither is known.
func condition(s camera.State) (word string, outcome store.Outcome) {
	p := s.Health.Picture
	switch {
	case s.Status == camera.StatusFault:
		return "fault", store.OutcomeFailed
	case s.Status != camera.StatusLive:
		return "", ""
	case p == "" || p == camera.PictureGood:
		return string(camera.StatusLive), store.OutcomeDone
	}
	return string(p), store.OutcomeFailed
}

// pacedReader notes how long the one who reads works on each frame.
type pacedReader struct {
	camera.Source
	busy *atomic.Int64
}

func (r *pacedReader) Next(ctx context.Context) (camera.Frame, error) {
	r.busy.Store(0)
	f, err := r.Source.Next(ctx)
	r.busy.Store(time.Now().UnixNano())
	return f, err
}

// Follow passes on where the face is.
func (r *pacedReader) Follow(s camera.Subject) {
	if f, ok := r.Source.(camera.Follower); ok {
		f.Follow(s)
	}
}

// alive reports a frame that has been worked on for too long.
func (y *eyes) alive() error {
	if since := y.busy.Load(); since != 0 && time.Since(time.Unix(0, since)) > frameLimit {
		return fmt.Errorf("a frame has not been worked off in %v", frameLimit)
	}
	return nil
}

// state puts the camera's state into words, and what is wrong with it.
func (y *eyes) state() (words, trouble string, alarm bool) {
	s := y.camera.State()
	words = string(s.Status)
	if s.Device != "" {
		words += ", " + s.Device
	}
	if s.Health.Night {
		words += ", night"
	}
	trouble, alarm = s.Trouble()
	return words, trouble, alarm
}

// Snapshot waits for the next frame and copies it. A camera that is broken is not
// waited for.
func (y *eyes) Snapshot(ctx context.Context) (image.Image, error) {
	if s := y.camera.State(); s.Status == camera.StatusFault {
		return nil, fmt.Errorf("take a picture: %w", s.Err)
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotLimit)
	defer cancel()
	img, err := y.shared.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("take a picture: %w", err)
	}
	return img, nil
}

// acts are the moves of a challenge as the demo people make them.
var acts = map[liveness.Move]synthface.Act{
	liveness.Left: synthface.TurnLeft, liveness.Right: synthface.TurnRight,
	liveness.Up: synthface.LookUp, liveness.Down: synthface.LookDown, liveness.Closer: synthface.Closer,
}

// answer has the demo people do what the door asks for, each time that it asks for
// something else. A real camera has no such ear.
func (y *eyes) answer(v verify.View) {
	demo, move := y.demo.Load(), liveness.Move("")
	if len(v.Faces) > 0 {
		move = v.Faces[0].Move
	}
	if demo == nil || move == y.move {
		return
	}
	y.move = move
	if act, ok := acts[move]; ok {
		_ = demo.Ask(act) // it is one of those that can be asked for
	}
}

// demoDriver opens the demo camera, whose clips are kept in a folder. At a door its
// people can answer challenges.
func (y *eyes) demoDriver(dir string, log *slog.Logger) camera.Driver {
	return func(ctx context.Context, u *url.URL) (camera.Source, error) {
		told := time.Now()
		demo, err := synthface.OpenDemo(ctx, dir, u.Query(), synthface.DemoOptions{Log: log, Answers: y.door != "", Progress: func(ready, total int) {
			if time.Since(told) > 2*time.Second { // clips of an earlier start come at once
				log.Info("demo people are being drawn", "clips", ready, "of", total)
				told = time.Now()
			}
		}})
		if errors.Is(err, synthface.ErrQuery) {
			return nil, &camera.Fault{Op: "open", Subject: u.Redacted(), Err: fmt.Errorf("%w: %w", camera.ErrURL, err)}
		}
		if err != nil {
			return nil, err
		}
		y.demo.Store(demo)
		return demoSource{demo}, nil
	}
}

// demoSource is the demo camera as a Source; the two packages do not know each
// other.
type demoSource struct{ *synthface.Demo }

func (s demoSource) String() string { return "demo:" }

func (s demoSource) Next(ctx context.Context) (camera.Frame, error) {
	f, err := s.Demo.Next(ctx)
	return camera.Frame(f), err
}
