package camera

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// named is a source that only has a name.
type named string

func (named) Next(context.Context) (Frame, error) { return Frame{}, errors.New("no frames") }
func (named) Close() error                        { return nil }
func (n named) String() string                    { return string(n) }

// newTestAuto is an auto on a machine with these devices, of which only the
// working ones open.
func newTestAuto(demo bool, devices *[]string, working ...string) *auto {
	drivers := map[string]Driver{"v4l2": func(_ context.Context, u *url.URL) (Source, error) {
		if !slices.Contains(working, u.Path) {
			return nil, fmt.Errorf("open %s: not a video capture device", u.Path)
		}
		return named(u.String()), nil
	}}
	if demo {
		drivers["demo"] = func(_ context.Context, u *url.URL) (Source, error) { return named(u.String()), nil }
	}
	a := newAuto(drivers)
	a.list = func() []string { return *devices }
	return a
}

func TestAutoChooses(t *testing.T) {
	for _, test := range []struct {
		name    string
		demo    bool
		devices []string
		want    string // the source, or a part of the error
	}{
		{"first that works", true, []string{"/dev/video0", "/dev/video2", "/dev/video3"}, "v4l2:/dev/video2?size=640x480"},
		{"demo in place of none", true, nil, "demo:"},
		{"demo in place of useless ones", true, []string{"/dev/video0"}, "demo:"},
		{"none", false, nil, "plug in a webcam"},
		{"useless ones", false, []string{"/dev/video0", "/dev/video1"}, "open /dev/video1: not a video capture device"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTestAuto(test.demo, &test.devices, "/dev/video2", "/dev/video3")
			src, err := a.open(t.Context(), &url.URL{Scheme: "auto", RawQuery: "size=640x480"})
			if got := fmt.Sprint(src, err); !strings.Contains(got, test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if err != nil && !errors.Is(err, errNoCamera) {
				t.Errorf("error %v is not errNoCamera", err)
			}
		})
	}
}

// Demo people must not appear at a door whose camera was unplugged.
func TestAutoStaysWithARealCamera(t *testing.T) {
	devices := []string{"/dev/video0"}
	a := newTestAuto(true, &devices, "/dev/video0", "/dev/video1")
	u := &url.URL{Scheme: "auto"}
	if _, err := a.open(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	devices = nil
	if src, err := a.open(t.Context(), u); err == nil {
		t.Errorf("opened %v in place of the camera that was unplugged", src)
	}
	devices = []string{"/dev/video1"}
	if src, err := a.open(t.Context(), u); err != nil || src != Source(named("v4l2:/dev/video1")) {
		t.Errorf("got %v, %v after plugging in again", src, err)
	}
}

func TestAutoWithoutDrivers(t *testing.T) {
	if _, err := newAuto(nil).open(t.Context(), &url.URL{Scheme: "auto"}); !errors.Is(err, errNoCamera) {
		t.Errorf("got %v, want errNoCamera", err)
	}
}
