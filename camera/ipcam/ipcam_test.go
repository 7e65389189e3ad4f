package ipcam

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/camera/cameratest"
	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/models"
)

// logins is a driver that has one for every host.
func logins(user, password string) Driver {
	return Driver{Login: func(context.Context, string) (string, string, bool, error) { return user, password, true, nil }}
}

// watched is a camera and all that was told of it.
type watched struct {
	*camera.Camera
	mu   sync.Mutex // protects the fields below
	told bytes.Buffer
	last error // of the faults
}

func (w *watched) lastFault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told.Write(b)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told.String()
}

// watch opens a camera as a program does. Whatever is told of it must not have
// the password.
func watch(t *testing.T, d Driver, raw string) *watched {
	t.Helper()
	w := &watched{}
	cam, err := camera.Open(t.Context(), raw, camera.Options{
		Drivers: map[string]camera.Driver{"http": d.Open, "https": d.Open, "rtsp": d.Open, "rtsps": d.Open},
		Log:     slog.New(slog.NewTextHandler(w, nil)),
		Changed: func(s camera.State) {
			fmt.Fprintf(w, "%+v\n", s)
			if s.Err != nil {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.last = s.Err
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Camera = cam
	t.Cleanup(func() {
		cam.Close()
		for _, secret := range []string{password, url.PathEscape(password), url.QueryEscape(password), "s3cret"} {
			if strings.Contains(w.String(), secret) {
				t.Errorf("the password is told: %s", w)
			}
		}
	})
	return w
}

func (w *watched) frames(t *testing.T, n int) camera.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var f camera.Frame
	for range n {
		var err error
		if f, err = w.Next(ctx); err != nil {
			t.Fatalf("Next: %v; state %+v", err, w.State())
		}
	}
	return f
}

// fault waits for a fault and returns what is told of it.
func (w *watched) fault(t *testing.T) error {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if s := w.State(); s.Err != nil {
			return s.Err
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		w.Next(ctx)
		cancel()
	}
	t.Fatalf("no fault: %+v", w.State())
	return nil
}

func withLogin(raw string) string {
	return strings.Replace(raw, "://", "://"+url.UserPassword(user, password).String()+"@", 1)
}

func TestConforms(t *testing.T) {
	t.Parallel()
	web, rtsp := newWebServer(t, "", false), mjpegServer(t)
	cameras := map[string]string{"HTTP": web.URL + "/video", "snapshots": web.URL + "/shot.jpg", "RTSP": rtsp.url("/live")}
	for name, raw := range cameras {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cameratest.Run(t, func(t *testing.T) camera.Source { return watch(t, Driver{}, raw) })
		})
	}
	t.Run("H.264", func(t *testing.T) {
		t.Parallel()
		s := h264Server(t)
		cameratest.Run(t, func(t *testing.T) camera.Source { return watch(t, Driver{}, s.url("/live")) })
	})
}

// Every kind of camera shows the person that it sees.
func TestShowsPeople(t *testing.T) {
	pack, err := models.Open(filepath.Join("..", "..", ".deps", "packs", "basic"))
	if err != nil {
		t.Skipf("no pack: %v (make setup)", err)
	}
	e, networks, err := tflite.OpenEngine(pack, tflite.Options{})
	if errors.Is(err, tflite.ErrNoRuntime) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer networks.Close()
	show := func(name, raw string) {
		t.Run(name, func(t *testing.T) {
			f := watch(t, Driver{}, raw).frames(t, 3)
			faces, err := e.Detect(t.Context(), f.Image)
			if err != nil || len(faces) != 1 || faces[0].Score < .7 {
				t.Errorf("%d faces, %v", len(faces), err)
				return
			}
			if d := engine.Compare(embed(t, e, f, faces[0]), embed(t, e, f, faces[0])); d < .99 {
				t.Errorf("the same face compares as %.2f", d)
			}
		})
	}
	show("HTTP", newWebServer(t, "", false).URL+"/video")
	show("RTSP", mjpegServer(t).url("/live"))
	show("H.264", h264Server(t).url("/live"))
}

func embed(t *testing.T, e *engine.Engine, f camera.Frame, face engine.Face) engine.Template {
	t.Helper()
	v, err := e.Embed(t.Context(), f.Image, face)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAuthorizes(t *testing.T) {
	rtsp := mjpegServer(t)
	rtsp.password = true
	servers := map[string]string{
		"basic": newWebServer(t, "basic", false).URL + "/video", "digest": newWebServer(t, "digest", false).URL + "/video?channel=1",
		"digest, snapshots": newWebServer(t, "digest", false).URL + "/shot.jpg", "rtsp": rtsp.url("/live"),
	}
	for name, raw := range servers {
		t.Run(name, func(t *testing.T) {
			watch(t, Driver{}, withLogin(raw)).frames(t, 3)
			watch(t, logins(user, password), raw).frames(t, 3)
			for what, d := range map[string]Driver{"none": {}, "a wrong one": logins(user, password+"x")} {
				if err := watch(t, d, raw).fault(t); !errors.Is(err, errLogin) || !strings.Contains(err.Error(), "cypherface camera login 127.0.0.1:") {
					t.Errorf("with %s: %v", what, err)
				}
			}
		})
	}
}

func TestTLS(t *testing.T) {
	s := newWebServer(t, "basic", true)
	sum := sha256.Sum256(s.Certificate().Raw)
	pin := "sha256:" + hex.EncodeToString(sum[:])
	err := watch(t, logins(user, password), s.URL+"/video").fault(t)
	if !strings.Contains(err.Error(), "tlspin="+pin) {
		t.Errorf("a certificate that nobody signed: %v, want a hint with %s", err, pin)
	}
	watch(t, logins(user, password), s.URL+"/video?a=b&tlspin="+pin).frames(t, 2)
	rtsp := mjpegServer(t)
	rtsp.stop()
	rtsp.tls, rtsp.password = &tls.Config{Certificates: s.TLS.Certificates}, true
	rtsp.start()
	secure := "rtsps" + strings.TrimPrefix(rtsp.url("/live"), "rtsp")
	watch(t, logins(user, password), secure+"?tlspin="+pin).frames(t, 2)
	if err := watch(t, logins(user, password), secure).fault(t); !strings.Contains(err.Error(), "tlspin="+pin) {
		t.Errorf("RTSP with a certificate that nobody signed: %v, want a hint with %s", err, pin)
	}
	other := "sha256:" + strings.Repeat("00", 32)
	if err := watch(t, Driver{}, secure+"?tlspin="+other).fault(t); !errors.Is(err, errPin) {
		t.Errorf("RTSP with another certificate: %v", err)
	}
	if err := watch(t, Driver{}, s.URL+"/video?tlspin="+other).fault(t); !errors.Is(err, errPin) {
		t.Errorf("another certificate: %v", err)
	}
	for _, bad := range []string{"x", "sha256:12", "md5:" + pin[7:]} {
		u, _ := url.Parse(s.URL + "/video?tlspin=" + bad)
		if _, err := (Driver{}).Open(t.Context(), u); !errors.Is(err, camera.ErrURL) {
			t.Errorf("tlspin=%s: %v", bad, err)
		}
	}
}

func TestSaysWhatIsWrong(t *testing.T) {
	web, rtsp := newWebServer(t, "", false), mjpegServer(t)
	for raw, want := range map[string]string{
		web.URL + "/page":           "manual",
		web.URL + "/nothing":        "404",
		web.URL + "/elsewhere":      "elsewhere",
		"http://127.0.0.1:1/video":  "is the camera on",
		"rtsp://127.0.0.1:1/live":   "is the camera on",
		rtsp.url("/nothing"):        "404",
		"http://nowhere.invalid/v":  "address",
		web.URL + "/video?rotate=1": "",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		src, err := Driver{}.Open(t.Context(), u)
		if want == "" { // the query is the camera's own
			if err != nil {
				t.Errorf("%s: %v", raw, err)
			} else {
				src.Close()
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
	watch(t, Driver{}, web.URL+"/moved").frames(t, 1)
}

// A camera that answers nothing does not hold up whoever gives up on it.
func TestOpeningEndsWithItsContext(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it takes connections and says nothing
	for _, scheme := range []string{"http", "https", "rtsp", "rtsps"} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		u, _ := url.Parse(scheme + "://" + l.Addr().String() + "/live")
		done := make(chan error, 1)
		go func() { _, err := Driver{}.Open(ctx, u); done <- err }()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%s: opened", scheme)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: it goes on after its context", scheme)
		}
		cancel()
	}
}

// row is a line of the table of docs/reliability.md (make faults).
func (w *watched) row(t *testing.T, what, camera string, frames int, said error) {
	t.Helper()
	t.Logf("| %s | %s | %d | %d | %v |", what, camera, w.State().Faults, frames, said)
}

// What is cut comes back, and a stream that hangs is found out. With -v it prints
// what is told (make faults).
func TestComesBack(t *testing.T) {
	t.Run("HTTP", func(t *testing.T) {
		t.Parallel()
		s := newWebServer(t, "digest", false)
		w := watch(t, logins(user, password), s.URL+"/video")
		for range 3 {
			w.frames(t, 3)
			s.cut <- struct{}{}
		}
		w.frames(t, 3)
		if f := w.State().Faults; f != 3 {
			t.Errorf("%d faults for 3 cuts", f)
		}
		w.row(t, "cut three times", "HTTP", 3, w.lastFault())
		s.stalls.Store(true)
		if err := w.fault(t); !errors.Is(err, errStalled) {
			t.Errorf("a stream that hangs: %v", err)
		} else {
			w.row(t, "hangs", "HTTP", 3, err)
		}
		s.stalls.Store(false)
		w.frames(t, 3)
	})
	t.Run("RTSP", func(t *testing.T) {
		t.Parallel()
		s := mjpegServer(t)
		w := watch(t, Driver{}, s.url("/live"))
		for range 2 {
			w.frames(t, 3)
			s.stop()
			if err := w.fault(t); err == nil {
				t.Error("a camera that is off is no fault")
			}
			s.start()
		}
		w.frames(t, 3)
		w.row(t, "switched off and on twice", "RTSP, MJPEG", 3, w.lastFault())
		s.stalls.Store(true)
		if err := w.fault(t); !errors.Is(err, errStalled) {
			t.Errorf("a stream that hangs: %v", err)
		}
		s.stalls.Store(false)
		w.frames(t, 3)
	})
	t.Run("H.264", func(t *testing.T) {
		t.Parallel()
		s := h264Server(t)
		w := watch(t, Driver{}, s.url("/live"))
		w.frames(t, 3)
		s.stop()
		if err := w.fault(t); err == nil {
			t.Error("a camera that is off is no fault")
		}
		s.start()
		w.frames(t, 3)
		w.row(t, "switched off and on", "RTSP, H.264", 3, w.lastFault())
	})
}

func TestWithoutDecoder(t *testing.T) {
	s := h264Server(t)
	t.Setenv("PATH", t.TempDir())
	if err := watch(t, Driver{}, s.url("/live")).fault(t); !errors.Is(err, errNoDecoder) || !strings.Contains(err.Error(), "apt install ffmpeg") {
		t.Errorf("without ffmpeg: %v", err)
	}
}
