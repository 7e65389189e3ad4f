package main

import (
	"bytes"
	"encoding/json"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/camera/fusecam"
)

func TestCameraListAndProbe(t *testing.T) {
	bus := fusecam.Mount(t, fusecam.Webcam{Node: "video0", Card: "Door Cam", Bus: "usb-1.1", Person: 73, Width: 320, Height: 256},
		fusecam.Webcam{Node: "video1", Card: "Broken Cam", Fault: fusecam.EIO})
	nobody := t.TempDir() // no box there
	var list cameraList
	if err := json.Unmarshal([]byte(mustCLI(t, "camera", "list", "--json", "--data", nobody, "--devices", bus.Dir)), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Webcams) != 2 || list.Webcams[0].Name != "Door Cam" || list.Webcams[0].URL != "v4l2:?id=usb-1.1" || len(list.Webcams[0].Modes) != 2 {
		t.Errorf("list %+v", list)
	}
	if out := mustCLI(t, "camera", "list", "--data", nobody, "--devices", bus.Dir); !strings.Contains(out, "Door Cam") || !strings.Contains(out, "v4l2:?id=usb-1.1") {
		t.Errorf("list\n%s", out)
	}
	if out := mustCLI(t, "camera", "list", "--data", nobody, "--devices", nobody); !strings.Contains(out, "no webcam") {
		t.Errorf("list without webcams: %s", out)
	}

	var r probeReport
	out := mustCLI(t, "camera", "probe", "--json", "--seconds", "1.5", "v4l2:"+bus.Dir+"?id=Door+Cam&exposure=16&gain=10&powerline=auto")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Frames < 5 || r.Size.X != 320 || r.Health.Picture != "good" || len(r.Notes) != 1 || r.First <= 0 {
		t.Errorf("probe %+v", r)
	}
	if got := bus.Control(0, fusecam.Gain); got != 10 {
		t.Errorf("gain %d, want 10", got)
	}
	out, _, code := cli(t, nil, "camera", "probe", "--seconds", "0.5", "v4l2:"+bus.Path("video1"))
	if code != 1 || !strings.Contains(out, "fault: read") || !strings.Contains(out, "cable") {
		t.Errorf("probe of a broken camera: status %d\n%s", code, out)
	}

	shot := filepath.Join(nobody, "shot.jpg")
	mustCLI(t, "camera", "snapshot", "--out", shot, "v4l2:"+bus.Path("video0"))
	b, err := os.ReadFile(shot)
	if err != nil {
		t.Fatal(err)
	}
	if img, err := jpeg.Decode(bytes.NewReader(b)); err != nil || img.Bounds().Dx() != 320 {
		t.Errorf("snapshot: %v", err)
	}
	if _, errs, code := cli(t, nil, "camera", "snapshot", "--out", shot, "--seconds", "0.5", "v4l2:"+bus.Path("video9")); code != 2 || !strings.Contains(errs, "plugged in") {
		t.Errorf("snapshot of nothing: status %d\n%s", code, errs)
	}
}

// The password is one line of standard input, and goes nowhere but into the store.
func TestCameraLogin(t *testing.T) {
	data := newBox(t)
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"camera", "login", "rtsp://10.0.0.7:554/stream", "--user", "admin", "--data", data},
		&terminal{in: strings.NewReader("s3cret\n"), out: &out, err: &errs, getenv: func(string) string { return "" }})
	if code != 0 || strings.Contains(out.String()+errs.String(), "s3cret") || !strings.Contains(out.String(), "admin at 10.0.0.7:554") {
		t.Errorf("login: status %d\n%s%s", code, &out, &errs)
	}
	err := filepath.Walk(data, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		if b, err := os.ReadFile(path); err != nil || bytes.Contains(b, []byte("s3cret")) {
			t.Errorf("%s has the password, %v", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	mustCLI(t, "camera", "logout", "10.0.0.7:554", "--data", data)
	for _, args := range [][]string{{"camera"}, {"camera", "look"}, {"camera", "probe"}, {"camera", "login", "10.0.0.7"}, {"camera", "list", "more"}} {
		if _, says, code := cli(t, nil, args...); code != 2 || !strings.Contains(says, "usage") {
			t.Errorf("%v: status %d\n%s", args, code, says)
		}
	}
}
