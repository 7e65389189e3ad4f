package v4l2

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/camera/cameratest"
)

// serveWord makes this test program the camera.
const serveWord = "serve-fuse-camera"

func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == serveWord {
		fmt.Fprintln(os.Stderr, "fuse camera:", serveFuseMain(os.Args[2:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// ramp is a picture in which every row and column is told by its value.
func ramp() *image.YCbCr {
	img := image.NewYCbCr(image.Rect(0, 0, fuseW, fuseH), image.YCbCrSubsampleRatio422)
	for i := range img.Y {
		img.Y[i] = byte(i%fuseW/4 + i/fuseW/8)
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = 100, 150
	}
	return img
}

func packYUYV(img *image.YCbCr) []byte {
	out := make([]byte, 0, 2*len(img.Y))
	for i := range img.Cb {
		out = append(out, img.Y[2*i], img.Cb[i], img.Y[2*i+1], img.Cr[i])
	}
	return out
}

// plugIn starts a FUSE camera and returns its device.
func plugIn(t *testing.T, fault string) (device string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a FUSE camera takes root")
	}
	dir, files := t.TempDir(), t.TempDir()
	var mjpg bytes.Buffer
	if err := jpeg.Encode(&mjpg, ramp(), &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	yuyvFile, mjpgFile := filepath.Join(files, "yuyv"), filepath.Join(files, "mjpg")
	for name, b := range map[string][]byte{yuyvFile: packYUYV(ramp()), mjpgFile: mjpg.Bytes()} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	server := exec.Command(os.Args[0], serveWord, dir, fault, yuyvFile, mjpgFile)
	server.Stderr = &out
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { server.Wait(); close(ended) }()
	t.Cleanup(func() {
		server.Process.Kill()
		<-ended
		unix.Unmount(dir, unix.MNT_DETACH)
	})
	device = filepath.Join(dir, "video0")
	for range 200 {
		if _, err := os.Stat(device); err == nil {
			return device
		}
		select {
		case <-ended:
			t.Skipf("no FUSE camera on this machine: %s", out.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatal("FUSE camera did not come up")
	return ""
}

// openDevice opens a device as a program does.
func openDevice(t *testing.T, device, query string) *camera.Camera {
	t.Helper()
	cam, err := camera.Open(t.Context(), "v4l2:"+device+query, camera.Options{Drivers: map[string]camera.Driver{"v4l2": Open}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cam.Close() })
	if s := cam.State(); s.Status != camera.StatusStarting {
		t.Fatalf("state %+v", s)
	}
	return cam
}

func TestDeviceDelivers(t *testing.T) {
	device := plugIn(t, "")
	want := ramp()
	for query, tolerance := range map[string]int{"?format=yuyv": 0, "?format=mjpg&fps=30": 3, "?size=800x600&format=yuyv": 0} {
		cam := openDevice(t, device, query)
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
	device := plugIn(t, "")
	cameratest.Run(t, func(t *testing.T) camera.Source { return openDevice(t, device, "") })
}

// A device that fails after ten frames is opened again, and goes on.
func TestDeviceThatFailsIsOpenedAgain(t *testing.T) {
	for fault, want := range map[string]error{"eio": syscall.EIO, "enodev": syscall.ENODEV} {
		t.Run(fault, func(t *testing.T) {
			var seen []error
			cam, err := camera.Open(t.Context(), "v4l2:"+plugIn(t, fault), camera.Options{
				Drivers: map[string]camera.Driver{"v4l2": Open},
				Changed: func(s camera.State) { seen = append(seen, s.Err) }})
			if err != nil {
				t.Fatal(err)
			}
			defer cam.Close()
			for range 25 {
				if _, err := cam.Next(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if s := cam.State(); s.Faults < 2 || !errors.Is(errors.Join(seen...), want) {
				t.Errorf("%d faults, told of %v; want %v", s.Faults, seen, want)
			}
		})
	}
}
