// Package camera turns a URL into a stream of frames.
//
//	v4l2:/dev/video0?size=1280x720&format=mjpg&fps=30   a webcam (driver of camera/v4l2)
//	rtsp://10.0.0.7/stream1, http://10.0.0.7/video      a camera on the network (driver of camera/ipcam)
//	file:door.jpg, file:clip.mjpeg, file:clip.y4m       a picture or clip in a loop (?fps=N)
//	dir:pictures?fps=2                                  the pictures of a folder in order, in a loop
//	demo:                                               whatever demo driver the caller hands in
//	auto:                                               the first usable webcam, else the demo
//
// Every camera takes, beside the parameters of its driver,
//
//	rotate=90        degrees clockwise: 90, 180, 270     mirror=1     left to right
//	roi=25,0,50,100  left, top, width, height in percent: the only part that is looked at
//	zoom=face        looks closer at the face that a reader follows, see [Follower]
//
// [Open] returns a [Camera], a [Source] that survives its device: when the
// device fails it says so in [Camera.State], closes it, and looks for it again
// with growing pauses, while [Camera.Next] waits. Only a wrong URL is an error
// of Open. [Share] lets several readers have the same frames.
//
// A driver says what it could not do of what was asked in [State.Notes]: a
// parameter is never ignored in silence. [State.Health] is how the picture is
// doing: a camera that is covered or frozen delivers, and is an alarm.
//
// Frames stay in Y'CbCr as the device gave them (no conversion of range or
// matrix), because that is what the engine reads. The newest frame wins:
// frames that came while nobody asked are dropped and counted.
//
// The package knows no device itself: drivers are handed in by scheme, so that
// a program decides what it can open (a production box has no demo driver). It
// neither finds faces nor records.
package camera

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Frame is one picture of a camera.
type Frame struct {
	// Image is the picture in full; its size and subsampling may change from
	// frame to frame, and its bounds need not begin at the origin: a part keeps its
	// place in the whole. It is valid until the next call of Next or Close.
	Image *image.YCbCr
	// Time is when the frame arrived.
	Time time.Time
	// Seq counts the frames handed out by this source: 1, 2, 3 …
	Seq uint64
	// Dropped counts the frames since opening that were not handed out: too old
	// when Next was called, or damaged.
	Dropped uint64
}

// Source is a stream of frames for one reader: Next and Close are not called at
// the same time (a Camera is safe there).
type Source interface {
	// Next waits for a frame newer than the last one. An error other than
	// ctx's means that this source is finished: close it and open another.
	Next(ctx context.Context) (Frame, error)
	// Close ends the source; Next then returns ErrClosed. It may be called again.
	Close() error
}

// Driver opens one device. It returns an error that is ErrURL when asking
// again cannot help, and any other one when the device is not there now. ctx
// bounds the opening; the source lives until it is closed.
type Driver func(ctx context.Context, u *url.URL) (Source, error)

// Errors to branch on.
var (
	ErrClosed = errors.New("camera closed")
	ErrURL    = errors.New("camera URL not usable")
)

// Fault is a failure told to the operator: what failed on what, and what he
// can do about it.
type Fault struct {
	Op      string // "open", "read", "parse"
	Subject string // the device or URL
	Err     error
	Hint    string // may be empty
}

func (f *Fault) Error() string {
	msg := fmt.Sprintf("%s %s: %v", f.Op, f.Subject, f.Err)
	if f.Hint != "" {
		msg += " (" + f.Hint + ")"
	}
	return msg
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Options is what Open needs besides the URL. The zero value opens file: and
// dir: only.
type Options struct {
	// Drivers opens the schemes that are not built in: "v4l2", "demo".
	Drivers map[string]Driver
	// Log tells of faults and recoveries; nil discards.
	Log *slog.Logger
	// Changed, when set, is called on every change of Status, by the goroutine
	// that calls Open or Next. It must not call back into the camera.
	Changed func(State)
}

// Open opens the camera that rawURL names. A device that is absent or broken
// is a state of the camera, not an error: Open returns it in StatusFault and
// Next keeps looking. The error is ErrURL for a URL that cannot work.
func Open(ctx context.Context, rawURL string, opt Options) (*Camera, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	driver, err := driverOf(u, opt.Drivers)
	if err != nil {
		return nil, err
	}
	view, u, err := takeView(u)
	if err != nil {
		return nil, err
	}
	return newCamera(ctx, u, driver, view, opt)
}

// driverOf finds the driver of u's scheme.
func driverOf(u *url.URL, handed map[string]Driver) (Driver, error) {
	switch u.Scheme {
	case "file":
		return openFile, nil
	case "dir":
		return openDir, nil
	case "auto":
		return newAuto(handed).open, nil
	}
	if d := handed[u.Scheme]; d != nil {
		return d, nil
	}
	known := []string{"auto:", "dir:", "file:"}
	for scheme := range handed {
		known = append(known, scheme+":")
	}
	slices.Sort(known)
	return nil, &Fault{"open", Redact(u), fmt.Errorf("%w: no driver for %s", ErrURL, u.Scheme),
		"this program opens " + strings.Join(known, " ")}
}
