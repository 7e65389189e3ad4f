package camera

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// auto opens the first usable webcam, else the demo.
type auto struct {
	drivers map[string]Driver
	list    func() []string // device files in the order to try
	real    bool            // a webcam was open once
}

func newAuto(drivers map[string]Driver) *auto {
	return &auto{drivers: drivers, list: videoDevices}
}

var errNoCamera = errors.New("no camera found")

// open tries every device. Once a real camera has delivered, the demo is no
// stand-in for it any more: a cable that falls out must show as a fault, not
// as demo people at the door.
func (a *auto) open(ctx context.Context, u *url.URL) (Source, error) {
	if _, err := ParseParams(u, "size", "fps", "format", "exposure", "gain", "focus", "powerline"); err != nil {
		return nil, err
	}
	if p, err := Path(u); err != nil || p != "" {
		return nil, badURL(u, "auto: names no device", "write auto: or v4l2:"+p)
	}
	src, err := a.openFirst(ctx, u.RawQuery)
	if src != nil {
		a.real = true
		return src, nil
	}
	if demo := a.drivers["demo"]; demo != nil && !a.real && ctx.Err() == nil {
		return demo(ctx, &url.URL{Scheme: "demo"})
	}
	return nil, err
}

// openFirst opens the first device that can be opened, or says why none can.
func (a *auto) openFirst(ctx context.Context, query string) (Source, error) {
	v4l2 := a.drivers["v4l2"]
	devices := a.list()
	if v4l2 == nil || len(devices) == 0 {
		return nil, &Fault{"open", "auto:", errNoCamera, "plug in a webcam; it appears as /dev/video0 and is then used at once"}
	}
	var causes []error
	for _, path := range devices {
		src, err := v4l2(ctx, &url.URL{Scheme: "v4l2", OmitHost: true, Path: path, RawQuery: query})
		if err == nil {
			return src, nil
		}
		causes = append(causes, err)
	}
	return nil, fmt.Errorf("open auto:: %w: %w", errNoCamera, errors.Join(causes...))
}

// videoDevices lists /dev/video* by number, so that video2 comes before video10.
func videoDevices() []string {
	paths, _ := filepath.Glob("/dev/video[0-9]*") // the pattern is well formed
	number := func(p string) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(p, "/dev/video"))
		return n
	}
	slices.SortFunc(paths, func(a, b string) int { return number(a) - number(b) })
	return paths
}
