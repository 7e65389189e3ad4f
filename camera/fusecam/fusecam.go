// Package fusecam is a bus of webcams for tests: V4L2 devices of which programs
// cannot tell that there is no hardware, and which fail when they are told to.
//
//	func TestMain(m *testing.M) { fusecam.Main(); os.Exit(m.Run()) }
//
//	bus := fusecam.Mount(t, fusecam.Webcam{Node: "video0", Person: 73})
//	cam, err := camera.Open(ctx, "v4l2:"+bus.Path("video0"), …)
//	bus.Fault(0, fusecam.Stall)
//
// A webcam shows a person of internal/synthface, or a test card, in YUYV and
// MJPG, through a sensor whose exposure, gain and other controls a program may
// set. The kernel passes ioctl, mmap and poll on a regular file of a FUSE file
// system to its server, and a V4L2 client asks for no more. The server must be a
// process of its own: one that serves the pages which it has mapped itself waits
// for itself. Main makes the test program such a process when Mount starts it.
//
// Mount skips the test where FUSE cannot be mounted: it takes Linux, /dev/fuse
// and root. Only tests import this package.
package fusecam

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/internal/synthface"
)

// A Fault is what is wrong with a webcam.
type Fault string

// The faults. Unplugging is Move to nowhere.
const (
	None      Fault = ""
	Stall     Fault = "stall"     // no more frames
	EIO       Fault = "eio"       // every read fails, after opening anew as well
	Short     Fault = "short"     // half of each frame
	Trailing  Fault = "trailing"  // the whole buffer's length, with junk behind the frame
	Corrupt   Fault = "corrupt"   // a JPEG with a hole in its middle
	OtherSize Fault = "size"      // half the size that was asked for, and says so
	OtherFmt  Fault = "format"    // the other format than asked for, and says so
	Foreign   Fault = "foreign"   // a format that nobody asked for
	Lie       Fault = "lie"       // says the size that was asked for, and sends half of it
	Nonsense  Fault = "nonsense"  // numbers of buffers that do not exist
	Busy      Fault = "busy"      // another program streams
	Frozen    Fault = "frozen"    // the same frame again and again
	Covered   Fault = "covered"   // something before the lens: an even, dim grey with the noise of the sensor
	LightsOut Fault = "lightsout" // no light in the room but the display of a clock
)

// Webcam is one camera of the bus.
type Webcam struct {
	Node          string // name of its device, such as video0; empty: not plugged in yet
	Card, Bus     string // name and bus info; empty: made up, different for each
	Width, Height int    // of the only size it has, a multiple of 4096 pixels; 0: 640×480
	FPS           int    // 0: 30
	Fault         Fault  // from the beginning
	Bare          bool   // has no controls

	// Person is the seed of the one it shows, in Scene and Pose; 0: the test card.
	Person int64
	Scene  synthface.Scene
	Pose   synthface.Pose
}

// Controls of the webcams (linux/v4l2-controls.h).
const (
	Gain         = 0x00980913 // 0..100: up to 16 times
	PowerLine    = 0x00980918 // 0 off, 1 50 Hz, 2 60 Hz
	ExposureAuto = 0x009a0901 // 1 manual, 3 automatic
	Exposure     = 0x009a0902 // in 100 µs; Usual is what Render takes
	Focus        = 0x009a090a
	FocusAuto    = 0x009a090c
)

// Usual is the exposure at which a scene looks as it is rendered.
const Usual = 160

// Bus is the folder in which the webcams are.
type Bus struct {
	Dir string

	t   testing.TB
	in  io.Writer
	out *bufio.Scanner
}

// serveWord makes a test program the server.
const serveWord = "serve-fuse-webcams"

// Main serves webcams and does not return, in the process that Mount starts for
// that; in any other it does nothing. TestMain calls it first.
func Main() {
	if len(os.Args) != 3 || os.Args[1] != serveWord {
		return
	}
	if err := serve(os.Args[2], os.Stdin, os.Stdout); err != nil {
		_ = json.NewEncoder(os.Stdout).Encode(answer{Error: err.Error()})
	}
	os.Exit(0)
}

// order is a line to the server, answer one from it.
type (
	order struct {
		Webcams []Webcam `json:",omitempty"` // the first order
		Cam     int
		Fault   *Fault  `json:",omitempty"`
		Node    *string `json:",omitempty"`
		Swap    *int    `json:",omitempty"`
	}
	answer struct {
		Error    string `json:",omitempty"`
		Controls map[uint32]int32
		Opens    int // how often the device was set to stream
	}
)

// Mount starts a bus with these webcams for the length of the test.
func Mount(t testing.TB, webcams ...Webcam) *Bus {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("no FUSE camera: mounting takes root")
	}
	b := &Bus{Dir: t.TempDir(), t: t}
	server := exec.Command(os.Args[0], serveWord, b.Dir)
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = server.Process.Kill()
		_ = server.Wait() // it was killed
		_ = unix.Unmount(b.Dir, unix.MNT_DETACH)
	})
	b.in, b.out = in, bufio.NewScanner(out)
	if a, err := b.tell(order{Webcams: webcams}); err != nil {
		t.Fatalf("FUSE camera: %v (does TestMain call fusecam.Main?)", err)
	} else if a.Error != "" {
		t.Skipf("no FUSE camera: %s", a.Error)
	}
	return b
}

// Path of a device of the bus, plugged in or not.
func (b *Bus) Path(node string) string { return filepath.Join(b.Dir, node) }

// Fault makes something go wrong with webcam i from now on, or with None right
// again.
func (b *Bus) Fault(i int, f Fault) { b.must(order{Cam: i, Fault: &f}) }

// Move plugs webcam i in as another device; "" unplugs it.
func (b *Bus) Move(i int, node string) { b.must(order{Cam: i, Node: &node}) }

// Swap exchanges the device names of two webcams, as a boot may do.
func (b *Bus) Swap(i, j int) { b.must(order{Cam: i, Swap: &j}) }

// Control is the present value of a control.
func (b *Bus) Control(i int, id uint32) int32 { return b.must(order{Cam: i}).Controls[id] }

// Opens is how often webcam i was set to stream.
func (b *Bus) Opens(i int) int { return b.must(order{Cam: i}).Opens }

func (b *Bus) must(o order) answer {
	b.t.Helper()
	a, err := b.tell(o)
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err != nil {
		b.t.Fatalf("FUSE camera: %v", err)
	}
	return a
}

func (b *Bus) tell(o order) (a answer, err error) {
	if err := json.NewEncoder(b.in).Encode(o); err != nil {
		return a, err
	}
	if !b.out.Scan() {
		return a, fmt.Errorf("the server ended: %w", errors.Join(b.out.Err(), io.ErrUnexpectedEOF))
	}
	return a, json.Unmarshal(b.out.Bytes(), &a)
}

// TestCard is what a webcam without a person shows: each row and column is told
// by its value.
func TestCard(w, h int) *image.YCbCr {
	img := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio422)
	for i := range img.Y {
		img.Y[i] = byte(i%w/4 + i/w/8)
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = 100, 150
	}
	return img
}
