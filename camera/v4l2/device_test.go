package v4l2

import (
	"context"
	"errors"
	"flag"
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
	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/models"
)

var slow = flag.Bool("faults", false, "try the faults that take their time")

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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
		again  bool        // the same in another format
	}{
		{fusecam.Stall, "yuyv", errStalled, "hangs", image.Point{}, false},
		{fusecam.EIO, "yuyv", syscall.EIO, "cable", image.Point{}, false},
		{fusecam.EIO, "mjpg", syscall.EIO, "cable", image.Point{}, true},
		{fusecam.Short, "yuyv", nil, "only damaged frames", image.Point{}, false},
		{fusecam.Short, "mjpg", nil, "only damaged frames", image.Point{}, true},
		{fusecam.Trailing, "mjpg", nil, "", whole, false},
		{fusecam.Corrupt, "mjpg", nil, "only damaged frames", image.Point{}, false},
		{fusecam.OtherSize, "yuyv", nil, "", half, false},
		{fusecam.OtherSize, "mjpg", nil, "", half, true},
		{fusecam.OtherFmt, "yuyv", nil, "", whole, false},
		{fusecam.OtherFmt, "mjpg", nil, "", whole, true},
		{fusecam.Foreign, "yuyv", errFormat, "NV12", image.Point{}, false},
		{fusecam.Lie, "yuyv", nil, "", half, false},
		{fusecam.Lie, "mjpg", nil, "", half, true},
		{fusecam.Nonsense, "yuyv", errNonsense, "nonsense", image.Point{}, false},
		{fusecam.Busy, "yuyv", nil, "another program", image.Point{}, false},
		{"unplugged", "yuyv", syscall.ENODEV, "unplugged", image.Point{}, false},
		{"plugged in later", "yuyv", fs.ErrNotExist, "plugged in", image.Point{}, false},
	} {
		t.Run(string(test.fault)+" "+test.format, func(t *testing.T) {
			t.Parallel()
			if !*slow && test.again {
				t.Skip("much as in the other format: make faults")
			}
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

// networks opens the basic pack, which set-up always makes.
func networks(t *testing.T) *engine.Engine {
	t.Helper()
	pack, err := models.Open(filepath.Join("..", "..", ".deps", "packs", "basic"))
	if err != nil {
		t.Skipf("no pack: %v (make setup)", err)
	}
	e, open, err := tflite.OpenEngine(pack, tflite.Options{})
	if errors.Is(err, tflite.ErrNoRuntime) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { open.Close() })
	return e
}

// What a webcam shows is seen: a person in its frames is a face to the networks,
// in either format.
func TestDeviceShowsPeople(t *testing.T) {
	e := networks(t)
	bus := fusecam.Mount(t, fusecam.Webcam{Node: "video0", Person: 73})
	for _, format := range []string{"yuyv", "mjpg"} {
		cam := watch(t, "v4l2:"+bus.Path("video0")+"?format="+format)
		for range 3 {
			f, err := cam.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if faces, err := e.Detect(t.Context(), f.Image); err != nil || len(faces) != 1 || faces[0].Score < .7 {
				t.Errorf("%s: %d faces, %v", format, len(faces), err)
			}
		}
		cam.Close()
	}
}

func TestDeviceControls(t *testing.T) {
	t.Parallel()
	bus := fusecam.Mount(t, fusecam.Webcam{Node: "video0"}, fusecam.Webcam{Node: "video1", Bare: true})
	for _, test := range []struct {
		device, query string
		want          map[uint32]int32
		notes         []string // a part of each
	}{
		{"video0", "exposure=8&gain=20&powerline=60&focus=40", map[uint32]int32{fusecam.ExposureAuto: 1, fusecam.Exposure: 80,
			fusecam.Gain: 20, fusecam.PowerLine: 2, fusecam.Focus: 100, fusecam.FocusAuto: 0}, nil},
		{"video0", "powerline=auto&focus=auto", map[uint32]int32{fusecam.ExposureAuto: 3, fusecam.FocusAuto: 1}, []string{"powerline: the camera refuses 3"}},
		{"video0", "exposure=500", map[uint32]int32{fusecam.Exposure: 2047}, []string{"0.3 to 204.7 ms"}},
		{"video0", "exposure=auto", map[uint32]int32{fusecam.ExposureAuto: 3}, nil},
		{"video1", "exposure=face&gain=3", nil, []string{"gain: the camera has no such control"}},
		{"video1", "exposure=face", nil, []string{"exposure=face: the camera lets nobody"}},
		{"video1", "exposure=8&focus=9&powerline=50", nil, []string{"exposure", "focus", "powerline"}},
		{"video1", "", nil, nil},
	} {
		cam := watch(t, "v4l2:"+bus.Path(test.device)+"?"+test.query)
		cam.frames(t, 1) // the last one may have been busy for a moment yet
		for id, want := range test.want {
			if got := bus.Control(0, id); got != want {
				t.Errorf("%s: control %#x is %d, want %d", test.query, id, got, want)
			}
		}
		notes := cam.State().Notes
		if len(notes) != len(test.notes) {
			t.Errorf("%s %s: notes %q, want %q", test.device, test.query, notes, test.notes)
		}
		for i := range min(len(notes), len(test.notes)) {
			if !strings.Contains(notes[i], test.notes[i]) {
				t.Errorf("%s %s: note %q, want %q", test.device, test.query, notes[i], test.notes[i])
			}
		}
		cam.Close()
	}
	for _, query := range []string{"exposure=bright", "exposure=-1", "gain=101", "focus=near", "powerline=55"} {
		_, err := camera.Open(t.Context(), "v4l2:"+bus.Path("video0")+"?"+query, camera.Options{Drivers: map[string]camera.Driver{"v4l2": Open}})
		if !errors.Is(err, camera.ErrURL) || !strings.Contains(err.Error(), "write ") {
			t.Errorf("%s: %v, want ErrURL with a hint", query, err)
		}
	}
}

// backLit is a person before a window: the camera's automatic serves the window.
var backLit = synthface.Light{Azimuth: 180, Elevation: 20, Key: 6, Ambient: .12}

// A face before a window is brought to light through the controls of a device,
// and the automatic has the camera again when it is gone.
func TestDeviceIsSteeredByTheFace(t *testing.T) {
	t.Parallel()
	e := networks(t)
	bus := fusecam.Mount(t, fusecam.Webcam{Node: "video0", Width: 320, Height: 256, Person: 73, Scene: synthface.Scene{Light: backLit}})
	cam := watch(t, "v4l2:"+bus.Path("video0")+"?format=yuyv")
	cam.frames(t, 60) // the automatic comes to rest
	face := func() engine.Quality {
		t.Helper()
		for range 30 {
			f, err := cam.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			faces, err := e.Detect(t.Context(), f.Image)
			if err != nil {
				t.Fatal(err)
			}
			if len(faces) == 0 {
				continue
			}
			b := faces[0].Box
			cam.Follow(camera.Subject{Box: image.Rect(int(b.X0), int(b.Y0), int(b.X1), int(b.Y1)), Luma: faces[0].Quality.Brightness})
			return faces[0].Quality
		}
		t.Fatal("nobody is seen")
		return engine.Quality{}
	}
	before := face()
	var after engine.Quality
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if after = face(); after.Brightness > aim-band {
			break
		}
	}
	t.Logf("the face's luma is %.2f (%v) by the camera's automatic, %.2f (%v) steered", before.Brightness, before.Reasons, after.Brightness, after.Reasons)
	if before.Brightness > aim-wideBand || after.Brightness < aim-wideBand || bus.Control(0, fusecam.ExposureAuto) != 1 {
		t.Errorf("the face's luma went from %.2f to %.2f", before.Brightness, after.Brightness)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && bus.Control(0, fusecam.ExposureAuto) == 1; {
		cam.Follow(camera.Subject{})
		cam.frames(t, 1)
	}
	if bus.Control(0, fusecam.ExposureAuto) != 3 {
		t.Error("the camera's automatic did not get it back")
	}
}

// A webcam that is covered or frozen delivers frames as before; its picture tells.
func TestDeviceHealth(t *testing.T) {
	for fault, want := range map[fusecam.Fault]camera.Picture{fusecam.Covered: camera.PictureCovered, fusecam.Frozen: camera.PictureFrozen} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			if !*slow {
				t.Skip("it takes its time: make faults")
			}
			bus := fusecam.Mount(t, fusecam.Webcam{Node: "video0", Width: 320, Height: 256, Person: 73, FPS: 15})
			cam := watch(t, "v4l2:"+bus.Path("video0")+"?format=yuyv&exposure=16")
			for _, step := range []struct {
				fault   fusecam.Fault
				picture camera.Picture
			}{{fusecam.None, camera.PictureGood}, {fault, want}, {fusecam.None, camera.PictureGood}} {
				bus.Fault(0, step.fault)
				for deadline := time.Now().Add(time.Minute); cam.State().Health.Picture != step.picture; cam.frames(t, 1) {
					if time.Now().After(deadline) {
						t.Fatalf("%q never showed: %+v", step.picture, cam.State().Health)
					}
				}
				if words, alarm := cam.State().Trouble(); alarm != (step.picture == want) || alarm && words == "" {
					t.Errorf("%s: told %q, alarm %v", step.picture, words, alarm)
				}
			}
			if s := cam.State(); len(cam.faults()) != 0 || s.Health.Rate < 5 {
				t.Errorf("faults %v, %.1f frames a second", cam.faults(), s.Health.Rate)
			}
			t.Logf("| %s | yuyv | %d | alarm: %s |", fault, len(cam.faults()), want.Hint())
		})
	}
}

// A camera that dies while it is steered, or is closed, keeps no exposure of ours.
func TestDeviceIsGivenBack(t *testing.T) {
	t.Parallel()
	bus := fusecam.Mount(t, fusecam.Webcam{Node: "video0", Width: 320, Height: 256})
	cam := watch(t, "v4l2:"+bus.Path("video0")+"?format=yuyv")
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && bus.Control(0, fusecam.ExposureAuto) != 1; {
		cam.Follow(camera.Subject{Box: image.Rect(1, 1, 9, 9), Luma: .1})
		cam.frames(t, 1)
	}
	if bus.Control(0, fusecam.ExposureAuto) != 1 {
		t.Fatal("a dark face was not exposed for")
	}
	cam.Close()
	if bus.Control(0, fusecam.ExposureAuto) != 3 {
		t.Error("a closed camera is left with a fixed exposure")
	}
}

// until reads frames until the camera is in a status, and returns how many came.
func (w *watched) until(t *testing.T, s camera.Status) (frames int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
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
