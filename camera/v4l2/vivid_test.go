package v4l2

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/blackjack/webcam"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/camera/cameratest"
)

// Controls of vivid, the test driver of the kernel, with which it goes wrong
// (Documentation/admin-guide/media/vivid.rst).
const (
	vividDropped    webcam.ControlID = 0x00f0f040 // percent
	vividDisconnect webcam.ControlID = 0x00f0f041
	vividQueueError webcam.ControlID = 0x00f0f046
)

// TestVivid reads a driver of the kernel, in the virtual machine of scripts/vm:
// CYPHERFACE_VIVID is its device. It ends with the device unplugged.
func TestVivid(t *testing.T) {
	device := os.Getenv("CYPHERFACE_VIVID")
	if device == "" {
		t.Skip("no vivid here: make vm")
	}
	turn := func(id webcam.ControlID, value int32) {
		t.Helper()
		dev, err := webcam.Open(device)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		if err := dev.SetControl(id, value); err != nil {
			t.Fatal(err)
		}
	}
	found := List("/dev")
	if len(found) == 0 {
		t.Fatal("it is not listed")
	}
	t.Logf("%+v", found[0])
	byID := watch(t, found[0].URL()+"&size=640x480&format=yuyv")
	if size := byID.frames(t, 30); size.X != 640 || size.Y != 480 {
		t.Errorf("frames of %v", size)
	}
	t.Logf("%+v", byID.State())
	byID.Close()
	t.Run("conforms", func(t *testing.T) {
		cameratest.Run(t, func(t *testing.T) camera.Source { return watch(t, "v4l2:"+device+"?size=320x180&format=yuyv").Camera })
	})
	cam := watch(t, "v4l2:"+device+"?size=320x180&format=yuyv&gain=40")
	turn(vividDropped, 20)
	cam.frames(t, 30)
	turn(vividDropped, 0)
	if len(cam.faults()) != 0 {
		t.Errorf("faults while frames are dropped: %v", cam.faults())
	}
	told := func(want error) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !errors.Is(errors.Join(cam.faults()...), want); {
			if time.Now().After(deadline) {
				t.Fatalf("told %v, want %v", cam.faults(), want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, _ = cam.Next(ctx) // it may be away
			cancel()
		}
	}
	turn(vividQueueError, 1)
	told(syscall.EIO)
	cam.frames(t, 10) // it came back
	turn(vividDisconnect, 1)
	told(syscall.ENODEV)
	t.Logf("told: %v", errors.Join(cam.faults()...))
}
