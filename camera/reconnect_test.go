package camera_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/camera/cameratest"
)

// device is a camera that gives frames every 100 ms until frames run out, and
// then fails with err.
type device struct {
	frames int
	err    error
	open   bool
	seq    uint64
}

func (d *device) Next(ctx context.Context) (camera.Frame, error) {
	if !d.open {
		return camera.Frame{}, camera.ErrClosed
	}
	select {
	case <-ctx.Done():
		return camera.Frame{}, ctx.Err()
	case <-time.After(100 * time.Millisecond):
	}
	if d.frames == 0 {
		return camera.Frame{}, d.err
	}
	d.frames--
	d.seq++
	return camera.Frame{Image: image.NewYCbCr(image.Rect(0, 0, 8, 4), image.YCbCrSubsampleRatio422),
		Time: time.Now(), Seq: d.seq, Dropped: 2 * d.seq}, nil
}

func (d *device) Close() error   { d.open = false; return nil }
func (d *device) String() string { return "fake:usb1" }

// bus hands out devices, or an error for each nil among them.
type bus struct {
	devices []*device
	opened  []time.Duration // since the first attempt
	first   time.Time
}

func (b *bus) open(context.Context, *url.URL) (camera.Source, error) {
	if b.first.IsZero() {
		b.first = time.Now()
	}
	b.opened = append(b.opened, time.Since(b.first))
	if len(b.devices) == 0 {
		return nil, errors.New("no such device")
	}
	d := b.devices[0]
	b.devices = b.devices[1:]
	if d == nil {
		return nil, errors.New("no such device")
	}
	d.open = true
	return d, nil
}

func openFake(t *testing.T, b *bus, changed func(camera.State)) *camera.Camera {
	t.Helper()
	cam, err := camera.Open(t.Context(), "fake:", camera.Options{
		Drivers: map[string]camera.Driver{"fake": b.open}, Changed: changed})
	if err != nil {
		t.Fatal(err)
	}
	return cam
}

func TestCameraConforms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cameratest.Source(t, func() camera.Source {
			eio := errors.New("input/output error")
			return openFake(t, &bus{devices: []*device{{frames: 1, err: eio}, nil, {frames: 1, err: eio}, {frames: 9}}}, nil)
		})
	})
}

func TestCameraOutlivesItsDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eio := errors.New("input/output error")
		b := &bus{devices: []*device{nil, {frames: 2, err: eio}, nil, nil, {frames: 3}}}
		var log []string
		cam := openFake(t, b, func(s camera.State) {
			log = append(log, fmt.Sprintf("%s %v", s.Status, s.Err))
		})
		defer cam.Close()
		for seq := uint64(1); seq <= 4; seq++ {
			f, err := cam.Next(t.Context())
			if err != nil || f.Seq != seq {
				t.Fatalf("frame %d: Seq %d, %v", seq, f.Seq, err)
			}
		}
		want := "fault no such device; starting <nil>; live <nil>; fault input/output error; fault no such device; starting <nil>; live <nil>"
		if got := strings.Join(log, "; "); got != want {
			t.Errorf("told\n%s, want\n%s", got, want)
		}
		s := cam.State()
		if s.Device != "fake:usb1" || s.Faults != 4 || s.Frames != 4 || s.Dropped != 4+4 {
			t.Errorf("state %+v", s)
		}
	})
}

func TestCameraPausesGrowAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bus{}
		cam := openFake(t, b, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := cam.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Next without a device: %v", err)
		}
		want := "[0s 250ms 750ms 1.75s 3.75s 7.75s 12.75s 17.75s]"
		if got := fmt.Sprint(b.opened); got != want {
			t.Errorf("attempts at %s, want %s", got, want)
		}
		if s := cam.State(); s.Status != camera.StatusFault || s.Err == nil {
			t.Errorf("state %+v, want a fault with its error", s)
		}
	})
}

// On the network each pause is a random share of one that grows, and the cap of
// that is longer.
func TestCameraPausesOnTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bus{}
		cam, err := camera.Open(t.Context(), "rtsp://10.0.0.1/a", camera.Options{Drivers: map[string]camera.Driver{"rtsp": b.open}})
		if err != nil {
			t.Fatal(err)
		}
		defer cam.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := cam.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Next without a device: %v", err)
		}
		// With pauses of 0 to 30 s an hour has some 240 attempts, with a deviation of 9.
		if n := len(b.opened); n < 190 || n > 300 {
			t.Errorf("%d attempts in an hour, want about 240", n)
		}
		var longest time.Duration
		short := 0
		for i := 10; i < len(b.opened); i++ {
			pause := b.opened[i] - b.opened[i-1]
			longest = max(longest, pause)
			if pause < 15*time.Second {
				short++
			}
		}
		if longest > 30*time.Second || longest < 25*time.Second || short < len(b.opened)/4 {
			t.Errorf("pauses up to %v, %d of %d under 15 s", longest, short, len(b.opened))
		}
	})
}

// A device that fails soon after each opening is left alone for longer and
// longer, until it has worked for a while.
func TestCameraPausesAfterEachShortLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eio := errors.New("input/output error")
		b := &bus{}
		for _, frames := range []int{1, 1, 1, 1, 60, 1, 1} {
			b.devices = append(b.devices, &device{frames: frames, err: eio})
		}
		cam := openFake(t, b, nil)
		defer cam.Close()
		for range 66 {
			if _, err := cam.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var pauses []time.Duration
		for i := 1; i < len(b.opened); i++ {
			lived := 200 * time.Millisecond
			if i == 5 {
				lived = 6100 * time.Millisecond
			}
			pauses = append(pauses, b.opened[i]-b.opened[i-1]-lived)
		}
		if got, want := fmt.Sprint(pauses), "[250ms 500ms 1s 2s 250ms 500ms]"; got != want {
			t.Errorf("pauses %s, want %s", got, want)
		}
	})
}

func TestCloseEndsAWaitingNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cam := openFake(t, &bus{}, nil)
		done := make(chan error)
		go func() {
			_, err := cam.Next(context.Background())
			done <- err
		}()
		time.Sleep(time.Minute)
		cam.Close()
		if err := <-done; !errors.Is(err, camera.ErrClosed) {
			t.Errorf("Next returned %v, want ErrClosed", err)
		}
	})
}

func TestOpenRefusesOnlyURLs(t *testing.T) {
	refusing := map[string]camera.Driver{"bad": func(context.Context, *url.URL) (camera.Source, error) {
		return nil, fmt.Errorf("%w: never", camera.ErrURL)
	}}
	for _, test := range []struct{ url, hint string }{
		{"/dev/video0", "v4l2:/dev/video0"},
		{"pictures", "dir:pictures"},
		{"rtsp:10.0.0.1", "rtsp://HOST/PATH"},
		{"rtsp://10.0.0.1/", "this program opens auto: bad: dir: file:"},
		{"file://clip.y4m", "one colon"},
		{"file:a#b.jpg", "%23"},
		{"file:", "file:PATH"},
		{"file:a.jpg?fps=0", "1 to 240"},
		{"file:a.jpg?fps=1&fps=2", "once"},
		{"file:a.jpg?size=1x1", "file: takes fps, rotate"},
		{"file:a.jpg?rotate=45", "90, 180 or 270"},
		{"file:a.jpg?rotate=90&rotate=90", "once"},
		{"file:a.jpg?mirror=yes", "mirror=1"},
		{"file:a.jpg?roi=50,0,60,100", "percent"},
		{"file:a.jpg?roi=1,2,3", "percent"},
		{"file:a.jpg?zoom=2", "zoom=face"},
		{"file:a%zz.jpg", "%25"},
		{"dir:a?fps=%zz", "?size="},
		{"auto:?size=640", "size=1280x720"},
		{"auto:?format=rgb", "mjpg and yuyv"},
		{"auto:/dev/video1", "v4l2:/dev/video1"},
		{"bad:", ""},
		{"\x00", ""},
	} {
		_, err := camera.Open(t.Context(), test.url, camera.Options{Drivers: refusing})
		if !errors.Is(err, camera.ErrURL) || !strings.Contains(err.Error(), test.hint) {
			t.Errorf("Open(%q) = %v, want ErrURL with a hint of %q", test.url, err, test.hint)
		}
	}
	cam, err := camera.Open(t.Context(), "file:does-not-exist.jpg", camera.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("a file that is not there yet: %v", err)
	}
	defer cam.Close()
	if s := cam.State(); s.Status != camera.StatusFault {
		t.Errorf("status %s, want fault", s.Status)
	}
}

// Whatever is wrong with a URL, its credentials are not told.
func TestURLsAreRedacted(t *testing.T) {
	refuses := func(_ context.Context, u *url.URL) (camera.Source, error) {
		return nil, &camera.Fault{Op: "open", Subject: camera.Redact(u), Err: errors.New("connection refused")}
	}
	var log bytes.Buffer
	for _, raw := range []string{
		"rtsp://admin:geheim@10.0.0.1/stream?user=admin&pwd=geheim",
		"http://admin:geheim@10.0.0.1/video.mjpg?rotate=45",
		"rtsp://admin:ge%heim@10.0.0.1/", "rtsp://admin:geheim#@10.0.0.1/", "https://admin:geheim@10.0.0.1:a/",
		"v4l2://admin:geheim@x", "ftp://admin:geheim@x/y", "rtsp://admin:geheim@10.0.0.1/#geheim",
	} {
		cam, err := camera.Open(t.Context(), raw, camera.Options{
			Drivers: map[string]camera.Driver{"rtsp": refuses, "http": refuses}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		told := fmt.Sprint(err)
		if err == nil {
			defer cam.Close()
			told = fmt.Sprint(cam.State())
		}
		if strings.Contains(told, "geheim") || strings.Contains(told, "heim@") {
			t.Errorf("%s: told %s", raw, told)
		}
	}
	if strings.Contains(log.String(), "geheim") {
		t.Errorf("logged %s", log.String())
	}
}

func FuzzOpenURL(f *testing.F) {
	for _, s := range []string{"auto:?size=1x1&fps=2&format=mjpg", "v4l2:/dev/video0?size=axb", "file:%41", "dir:///tmp?fps=1", ":", "a:?&&=;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil {
			return
		}
		p, err := camera.ParseParams(u, "size", "fps", "format")
		if err != nil && !errors.Is(err, camera.ErrURL) {
			t.Errorf("error %v is not ErrURL", err)
		}
		if err == nil && (p.Width < 0 || p.Width > 8192 || (p.Width == 0) != (p.Height == 0) || p.FPS < 0 || p.FPS > 240) {
			t.Errorf("parameters out of range: %+v", p)
		}
	})
}
