package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/camera/v4l2"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// eyes are a camera and those who read it.
type eyes struct {
	camera *camera.Camera
	shared *camera.Shared
	busy   atomic.Int64 // since when (Unix ns) the workflow has worked on a frame; 0: it waits
}

// Limits of time around the camera.
const (
	snapshotLimit = 5 * time.Second  // to wait for a picture somebody asked for
	frameLimit    = 30 * time.Second // to work off a frame before the box counts as stuck
)

// openCamera opens the camera of the environment. One that is absent or broken is
// a state, not an error: the box works without it until it comes. The demo people
// live in the sandbox only.
func (e *environment) openCamera(ctx context.Context) error {
	if e.camera == "none:" {
		return nil
	}
	drivers := map[string]camera.Driver{"v4l2": v4l2.Open}
	if e.name == store.Sandbox {
		drivers["demo"] = demoDriver(filepath.Join(e.data, "cache", "demo"), e.log)
	}
	cam, err := camera.Open(ctx, e.camera, camera.Options{Drivers: drivers, Log: e.log, Changed: func(s camera.State) {
		if e.api != nil {
			e.api.CameraChanged(string(s.Status))
		}
	}})
	if err != nil {
		return err
	}
	e.eyes = &eyes{camera: cam, shared: camera.Share(cam)}
	return e.countFrames(cam)
}

func (e *environment) countFrames(cam *camera.Camera) error {
	reg := e.registerer()
	return errors.Join(
		reg.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "cypherface_camera_frames_total", Help: "Frames that the camera gave.",
		}, func() float64 { return float64(cam.State().Frames) })),
		reg.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "cypherface_camera_frames_dropped_total", Help: "Frames that came while nobody had time for them, or were damaged.",
		}, func() float64 { return float64(cam.State().Dropped) })),
		reg.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "cypherface_camera_faults_total", Help: "Times that the camera was lost or could not be opened.",
		}, func() float64 { return float64(cam.State().Faults) })),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cypherface_people", Help: "People who can be recognised.",
		}, func() float64 { return float64(e.service.People()) })),
	)
}

func (e *environment) closeCamera() error {
	if e.eyes == nil {
		return nil
	}
	return e.eyes.camera.Close()
}

// watch has the workflow look through the camera until ctx ends.
func (e *environment) watch(ctx context.Context) error {
	if e.eyes == nil {
		return nil
	}
	reader := &pacedReader{e.eyes.shared.Reader(), &e.eyes.busy}
	defer reader.Close()
	ended := make(chan error, 1)
	go func() { ended <- e.eyes.shared.Run(ctx) }()
	err := e.service.Run(ctx, reader, verify.DoorConfig{Merchant: e.merchant})
	if ctx.Err() != nil {
		<-ended
		return nil
	}
	return fmt.Errorf("watch the camera: %w", errors.Join(err, errors.New("it ended by itself")))
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
func (e *eyes) alive() error {
	if since := e.busy.Load(); since != 0 && time.Since(time.Unix(0, since)) > frameLimit {
		return fmt.Errorf("a frame has not been worked off in %v", frameLimit)
	}
	return nil
}

// state puts the camera's state into words, and what is wrong with it.
func (e *eyes) state() (words, fault string) {
	s := e.camera.State()
	words = string(s.Status)
	if s.Device != "" {
		words += ", " + s.Device
	}
	if s.Status == camera.StatusFault && s.Err != nil {
		fault = s.Err.Error()
	}
	return words, fault
}

// Snapshot waits for the next frame and copies it. A camera that is broken is not
// waited for.
func (e *eyes) Snapshot(ctx context.Context) (image.Image, error) {
	if s := e.camera.State(); s.Status == camera.StatusFault {
		return nil, fmt.Errorf("take a picture: %w", s.Err)
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotLimit)
	defer cancel()
	img, err := e.shared.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("take a picture: %w", err)
	}
	return img, nil
}

// demoDriver opens the demo camera, whose clips are kept in a folder.
func demoDriver(dir string, log *slog.Logger) camera.Driver {
	return func(ctx context.Context, u *url.URL) (camera.Source, error) {
		told := time.Now()
		demo, err := synthface.OpenDemo(ctx, dir, u.Query(), synthface.DemoOptions{Log: log, Progress: func(ready, total int) {
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
