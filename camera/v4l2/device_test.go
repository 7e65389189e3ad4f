package v4l2

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/camera/cameratest"
	"github.com/cypherface/edge/camera/fusecam"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/models"
)

func TestMain(m *testing.M) {
	fusecam.Main()
	os.Exit(m.Run())
}

// watched is a camera and what it told of itself.
type watched struct {
	*camera.Camera
	mu   sync.Mutex
	told []camera.State
}

// watch opens a device as a program does.
func watch(t *testing.T, url string) *watched {
	t.Helper()
	w := &watched{}
	cam, err := camera.Open(t.Context(), url, camera.Options{
		Drivers: map[string]camera.Driver{"v4l2": Open},
		Changed: func(s camera.State) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, s)
		}})
	if err != nil {
		t.Fatal(err)
	}
	w.Camera = cam
	t.Cleanup(func() { cam.Close() })
	return w
}

// faults are the errors that the camera told of.
func (w *watched) faults() (all []error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.told {
		if s.Status == camera.StatusFault {
			all = append(all, s.Err)
		}
	}
	return all
}

// frames reads n frames and returns the size of the last.
func (w *watched) frames(t *testing.T, n int) image.Point {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var size image.Point
	for range n {
		f, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("Next: %v; state %+v", err, w.State())
		}
		size = f.Image.Rect.Size()
	}
	return size
}

func TestDeviceDelivers(t *testing.T) {
	bus := fusecam.Mount(t, fusecam.Webcam{Node: "video0"})
	want := fusecam.TestCard(640, 480)
	for query, tolerance := range map[string]int{"?format=yuyv": 0, "?format=mjpg&fps=30": 8, "?size=800x600&format=yuyv": 0} {
		cam := watch(t, "v4l2:"+bus.Path("video0")+query)
		for range 10 {
			f, err := cam.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if f.Image.Rect != want.Rect {
				t.Fatalf("%s: frame of %v", query, f.Image.Rect)
			}
			for i, y := range f.Image.Y {
				if d := int(y) - int(want.Y[i]); d > tolerance || d < -tolerance {
					t.Fatalf("%s: luma of pixel %d is %d, want %d", query, i, y, want.Y[i])
				}
			}
		}
		if err := cam.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDeviceConforms(t *testing.T) {
	bus := fusecam.Mount(t, fusecam.Webcam{Node: "video0"})
	cameratest.Run(t, func(t *testing.T) camera.Source { return watch(t, "v4l2:"+bus.Path("video0")).Camera })
}

// TestFaults shows what becomes of each fault of a webcam: what is told, and that
// frames come again once the fault is over. With -v it prints the table of
// docs/reliability.md (make faults).
func TestFaults(t *testing.T) {
	whole, half := image.Pt(640, 480), image.Pt(320, 240)
	for _, test := range []struct {
		fault  fusecam.Fault
		format string
		err    error       // what the camera tells; nil: it is no fault
		said   string      // a part of the words
		size   image.Point // of the frames meanwhile; zero: there are none
	}{
		{fusecam.Stall, "yuyv", errStalled, "hangs", image.Point{}},
		{fusecam.EIO, "yuyv", syscall.EIO, "cable", image.Point{}},
		{fusecam.EIO, "mjpg", syscall.EIO, "cable", image.Point{}},
		{fusecam.Short, "yuyv", errDamaged, "smaller size", image.Point{}},
		{fusecam.Short, "mjpg", errDamaged, "smaller size", image.Point{}},
		{fusecam.Trailing, "mjpg", nil, "", whole},
		{fusecam.Corrupt, "mjpg", errDamaged, "cable", image.Point{}},
		{fusecam.OtherSize, "yuyv", nil, "", half},
		{fusecam.OtherSize, "mjpg", nil, "", half},
		{fusecam.OtherFmt, "yuyv", nil, "", whole},
		{fusecam.OtherFmt, "mjpg", nil, "", whole},
		{fusecam.Foreign, "yuyv", errFormat, "NV12", image.Point{}},
		{fusecam.Lie, "yuyv", nil, "", half},
		{fusecam.Lie, "mjpg", nil, "", half},
		{fusecam.Nonsense, "yuyv", errNonsense, "nonsense", image.Point{}},
		{fusecam.Busy, "yuyv", nil, "another program", image.Point{}},
		{"unplugged", "yuyv", syscall.ENODEV, "unplugged", image.Point{}},
		{"plugged in later", "yuyv", fs.ErrNotExist, "plugged in", image.Point{}},
	} {
		t.Run(string(test.fault)+" "+test.format, func(t *testing.T) {
			t.Parallel()
			webcam := fusecam.Webcam{Node: "video0"}
			atOnce := slices.Contains([]fusecam.Fault{fusecam.OtherSize, fusecam.OtherFmt, fusecam.Foreign, fusecam.Lie, fusecam.Busy}, test.fault)
			switch {
			case atOnce: // it shows at opening
				webcam.Fault = test.fault
			case test.fault == "plugged in later":
				webcam.Node = ""
			}
			bus := fusecam.Mount(t, webcam)
			cam := watch(t, "v4l2:"+bus.Path("video0")+"?format="+test.format)
			before := 0
			if !atOnce && webcam.Node != "" {
				before = 5
				cam.frames(t, before)
				if test.fault == "unplugged" {
					bus.Move(0, "")
				} else {
					bus.Fault(0, test.fault)
				}
			}
			during := 0
			if test.size != (image.Point{}) {
				during = 5
				if got := cam.frames(t, during); got != test.size {
					t.Errorf("frames of %v, want %v", got, test.size)
				}
			} else {
				during = cam.until(t, camera.StatusFault)
			}
			err := errors.Join(cam.faults()...)
			if test.err != nil && !errors.Is(err, test.err) || test.said != "" && !strings.Contains(fmt.Sprint(err), test.said) ||
				test.size != (image.Point{}) && err != nil {
				t.Errorf("told %v, want %v, %q", err, test.err, test.said)
			}
			bus.Fault(0, fusecam.None)
			bus.Move(0, "video0")
			const after = 10
			cam.frames(t, after)
			if s := cam.State(); s.Status != camera.StatusLive {
				t.Errorf("afterwards %s, %v", s.Status, s.Err)
			}
			said := "nothing: the frames tell their size and format themselves"
			if faults := cam.faults(); len(faults) > 0 {
				said = strings.ReplaceAll(faults[0].Error(), bus.Dir, "/dev")
			}
			t.Logf("| %s | %s | %d | %d | %d | %d | %s |", test.fault, test.format, before, during, len(cam.faults()), after, said)
		})
	}
}

// What a webcam shows is seen: a person in its frames is a face to the networks,
// in either format.
func TestDeviceShowsPeople(t *testing.T) {
	pack, err := models.Open(filepath.Join("..", "..", ".deps", "packs", "basic"))
	if err != nil {
		t.Skipf("no pack: %v (make setup)", err)
	}
	networks, open, err := tflite.OpenEngine(pack, tflite.Options{})
	if errors.Is(err, tflite.ErrNoRuntime) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	bus := fusecam.Mount(t, fusecam.Webcam{Node: "video0", Person: 73})
	for _, format := range []string{"yuyv", "mjpg"} {
		cam := watch(t, "v4l2:"+bus.Path("video0")+"?format="+format)
		for range 3 {
			f, err := cam.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if faces, err := networks.Detect(t.Context(), f.Image); err != nil || len(faces) != 1 || faces[0].Score < .7 {
				t.Errorf("%s: %d faces, %v", format, len(faces), err)
			}
		}
		cam.Close()
	}
}

// until reads frames until the camera is in a status, and returns how many came.
func (w *watched) until(t *testing.T, s camera.Status) (frames int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if w.State().Status == s {
			return frames
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := w.Next(ctx); err == nil {
			frames++
		}
		cancel()
	}
	t.Fatalf("never %s: %+v", s, w.State())
	return 0
}

// Two webcams that change their numbers are told apart by what stays.
func TestFindsDevicesByID(t *testing.T) {
	bus := fusecam.Mount(t,
		fusecam.Webcam{Node: "video0", Card: "Door Cam", Bus: "usb-1.1", Width: 640, Height: 480},
		fusecam.Webcam{Node: "video2", Card: "Yard Cam", Bus: "usb-1.2", Width: 320, Height: 256},
		fusecam.Webcam{Node: "video10", Card: "Yard Cam", Bus: "usb-1.3"})
	door := watch(t, "v4l2:"+bus.Dir+"?id=Door+Cam&format=yuyv")
	yard := watch(t, "v4l2:"+bus.Dir+"?id=usb-1.2&format=yuyv")
	for range 3 {
		if got := door.frames(t, 3); got != image.Pt(640, 480) {
			t.Fatalf("the door's camera gives %v", got)
		}
		if got := yard.frames(t, 3); got != image.Pt(320, 256) {
			t.Fatalf("the yard's camera gives %v", got)
		}
		bus.Swap(0, 1)
	}
	if faults := door.faults(); len(faults) == 0 {
		t.Error("the door's camera was never away")
	}
	var names []string
	for _, d := range List(bus.Dir) {
		names = append(names, fmt.Sprint(strings.TrimPrefix(d.Path, bus.Dir), d.Bus, d.Name, d.Modes))
	}
	want := "/video0usb-1.2Yard Cam[320x256 MJPG 320x256 YUYV] /video2usb-1.1Door Cam[640x480 MJPG 640x480 YUYV] /video10usb-1.3Yard Cam[640x480 MJPG 640x480 YUYV]"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("listed %s, want %s", got, want)
	}
	for id, want := range map[string]string{"Yard+Cam": "cannot be told apart", "usb-9": "usb-1.1 (Door Cam)"} {
		if cam := watch(t, "v4l2:"+bus.Dir+"?id="+id); cam.State().Err == nil || !strings.Contains(cam.State().Err.Error(), want) {
			t.Errorf("id=%s: %v, want %q", id, cam.State().Err, want)
		}
	}
}
