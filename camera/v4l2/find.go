package v4l2

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/blackjack/webcam"
)

// Device is a webcam that is plugged in.
type Device struct {
	Path   string   `json:"path"`             // such as /dev/video0: changes from boot to boot
	Name   string   `json:"name"`             // of the product
	Bus    string   `json:"bus"`              // where it is plugged in
	Serial string   `json:"serial,omitempty"` // of the USB device, where it has one
	Links  []string `json:"links,omitempty"`  // its names in /dev/v4l/by-id
	Modes  []string `json:"modes,omitempty"`  // that can be used, such as "1280x720 MJPG"
}

// URL finds the device again whatever number it gets: by what is known of it that
// others lack.
func (d Device) URL() string {
	id := d.Bus
	if len(d.Links) > 0 {
		id = d.Links[0]
	}
	return "v4l2:?id=" + strings.ReplaceAll(id, " ", "+")
}

func (d Device) called(id string) bool {
	return strings.EqualFold(id, d.Bus) || strings.EqualFold(id, d.Name) || d.Serial != "" && strings.EqualFold(id, d.Serial) ||
		slices.Contains(d.Links, id)
}

// List returns the webcams of a folder, /dev by rule, in the order of their
// numbers. Devices that cannot be opened or capture nothing are left out.
func List(dir string) []Device {
	var found []Device
	for _, path := range nodes(dir) {
		if d, err := identify(path); err == nil {
			found = append(found, d)
		}
	}
	return found
}

// nodes lists the device files of a folder by number.
func nodes(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	numbers := map[int]string{}
	for _, e := range entries {
		if n, ok := strings.CutPrefix(e.Name(), "video"); ok {
			if i, err := strconv.Atoi(n); err == nil {
				numbers[i] = filepath.Join(dir, e.Name())
			}
		}
	}
	var paths []string
	for _, i := range slices.Sorted(maps.Keys(numbers)) {
		paths = append(paths, numbers[i])
	}
	return paths
}

// identify asks a device who it is.
func identify(path string) (Device, error) {
	d := Device{Path: path}
	dev, err := webcam.Open(path)
	if err != nil {
		return d, err
	}
	defer dev.Close()
	if d.Name, err = dev.GetName(); err != nil {
		return d, err
	}
	if d.Bus, err = dev.GetBusInfo(); err != nil {
		return d, err
	}
	formats := dev.GetSupportedFormats()
	if len(formats) == 0 { // the second node of many webcams: it has data about frames only
		return d, errors.New("not a capture device: it lists no formats")
	}
	for _, f := range []webcam.PixelFormat{formatMJPG, formatJPEG, formatYUYV} {
		if _, has := formats[f]; !has {
			continue
		}
		for _, s := range dev.GetSupportedFrameSizes(f) {
			d.Modes = append(d.Modes, fmt.Sprintf("%dx%d %s", s.MaxWidth, s.MaxHeight, formatName(f)))
		}
	}
	node := filepath.Base(path)
	if b, err := os.ReadFile("/sys/class/video4linux/" + node + "/device/../serial"); err == nil && filepath.Dir(path) == "/dev" {
		d.Serial = strings.TrimSpace(string(b))
	}
	d.Links = linksTo(path)
	return d, nil
}

// linksTo are the names that udev gives a device, without a folder.
func linksTo(path string) (names []string) {
	dir := filepath.Join(filepath.Dir(path), "v4l", "by-id")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // no udev
	}
	for _, e := range entries {
		if to, err := filepath.EvalSymlinks(filepath.Join(dir, e.Name())); err == nil && to == path {
			names = append(names, e.Name())
		}
	}
	return names
}

// find returns the path of the device that id names.
func find(dir, id string) (string, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	all := List(dir)
	var called, known []string
	for _, d := range all {
		if d.called(id) {
			called = append(called, d.Path)
		}
		known = append(known, fmt.Sprintf("%s (%s)", d.Bus, d.Name))
	}
	switch {
	case len(called) == 1:
		return called[0], nil
	case len(called) > 1:
		return "", fmt.Errorf("%d cameras are called %q: %w; name one by its bus: %s", len(called), id, errTwins, strings.Join(known, ", "))
	case len(all) == 0:
		return "", fmt.Errorf("camera %q: %w: no camera is plugged in", id, fs.ErrNotExist)
	}
	return "", fmt.Errorf("camera %q: %w among %s", id, fs.ErrNotExist, strings.Join(known, ", "))
}

var errTwins = errors.New("cannot be told apart")
