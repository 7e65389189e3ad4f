package v4l2

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/blackjack/webcam"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/camera/cameratest"
)

// fake is a device that plays a script, a frame every 100 ms, and then repeats
// its last line.
type fake struct {
	script []line

	mu     sync.Mutex
	at     int
	lent   int // buffers that were not given back
	closed bool
}

// line is what one read of a device brings.
type line struct {
	frame []byte
	err   error
	wait  error
}

func (f *fake) now() line { return f.script[min(f.at, len(f.script)-1)] }

func (f *fake) WaitForFrame(seconds uint32) error {
	time.Sleep(100 * time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.now().wait; err != nil {
		f.at++
		time.Sleep(time.Duration(seconds)*time.Second - 100*time.Millisecond)
		return err
	}
	return nil
}

func (f *fake) GetFrame() ([]byte, uint32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.now()
	f.at++
	if l.frame == nil && l.err == nil {
		panic("runtime error: index out of range") // as webcam does
	}
	if l.err == nil {
		f.lent++
	}
	return l.frame, uint32(f.at % 4), l.err
}

func (f *fake) ReleaseFrame(uint32) error { f.lent--; return nil }

func (f *fake) Close() error {
	if f.closed {
		return errors.New("closed twice")
	}
	f.closed = true
	return nil
}

var vga = mode{format: formatMJPG, w: 640, h: 480}

// jpegFrame is a frame of 32×16 pixels with this luma.
func jpegFrame(t testing.TB, luma uint8) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 32, 16))
	for i := range img.Pix {
		img.Pix[i] = luma
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSourceConforms(t *testing.T) {
	good := jpegFrame(t, 10)
	synctest.Test(t, func(t *testing.T) {
		cameratest.Source(t, func() camera.Source {
			return newSource("fake", &fake{script: []line{{frame: good}, {wait: new(webcam.Timeout)}, {frame: []byte("junk")}, {frame: good}}}, vga, &knobs{})
		})
	})
}

func TestSourceDropsWhatIsDamaged(t *testing.T) {
	a, b := jpegFrame(t, 50), jpegFrame(t, 100)
	padded := append(bytes.Clone(b), make([]byte, 5000)...)
	synctest.Test(t, func(t *testing.T) {
		src := newSource("fake", &fake{script: []line{{frame: a}, {frame: a[:len(a)/2]}, {frame: []byte{}}, {err: syscall.EAGAIN}, {frame: padded}}}, vga, &knobs{})
		defer src.Close()
		for i, want := range []struct {
			luma    byte
			dropped uint64
		}{{50, 0}, {100, 2}} {
			f, err := src.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Image.Y[0]; got != want.luma || f.Dropped != want.dropped {
				t.Errorf("frame %d shows %d after %d dropped, want %+v", i, got, f.Dropped, want)
			}
		}
	})
}

func TestSourceGivesTheNewestFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var script []line
		for luma := range 20 {
			script = append(script, line{frame: jpegFrame(t, uint8(10*luma))})
		}
		src := newSource("fake", &fake{script: script}, vga, &knobs{})
		defer src.Close()
		time.Sleep(1050 * time.Millisecond) // frames 0 to 9
		for _, want := range []uint8{90, 100} {
			f, err := src.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if f.Image.Y[0] != want || f.Dropped != 9 {
				t.Errorf("frame shows %d after %d dropped, want %d after 9", f.Image.Y[0], f.Dropped, want)
			}
		}
	})
}

func TestSourceEndsWithItsDevice(t *testing.T) {
	for _, test := range []struct {
		name string
		line line
		want error
		hint string
	}{
		{"unplugged", line{err: syscall.ENODEV}, syscall.ENODEV, "unplugged"},
		{"failed", line{err: syscall.EIO}, syscall.EIO, "cable"},
		{"poll failed", line{wait: syscall.EBADF}, syscall.EBADF, ""},
		{"hung", line{wait: new(webcam.Timeout)}, errStalled, "hangs"},
		{"nothing behind poll", line{err: syscall.EAGAIN}, errStalled, "hangs"},
		{"only junk", line{frame: []byte("junk")}, nil, "only damaged frames"},
		{"impossible buffer", line{}, nil, "nonsense"},
	} {
		t.Run(test.name, func(t *testing.T) {
			good := jpegFrame(t, 1)
			synctest.Test(t, func(t *testing.T) {
				dev := &fake{script: []line{{frame: good}, test.line}}
				src := newSource("fake", dev, vga, &knobs{})
				if _, err := src.Next(t.Context()); err != nil {
					t.Fatal(err)
				}
				_, err := src.Next(t.Context())
				if test.want != nil && !errors.Is(err, test.want) || err == nil || !strings.Contains(err.Error(), test.hint) {
					t.Errorf("got %v, want %v with a hint of %q", err, test.want, test.hint)
				}
				if err := src.Close(); err != nil || !dev.closed || dev.lent != 0 {
					t.Errorf("Close: %v, device closed: %v, %d buffers kept", err, dev.closed, dev.lent)
				}
			})
		})
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for raw, want := range map[string]string{
		"v4l2:/dev/nothing":              "plugged in",
		"v4l2:/dev/null":                 "open /dev/null",
		"v4l2:/dev/video0?rate=30":       "size, fps, format, id, exposure, gain, focus, powerline",
		"v4l2:%zz":                       "%25",
		"v4l2:" + filepath.Join("/", ""): "open /",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), u); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
}
