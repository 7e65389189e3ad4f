// Package v4l2 is the camera driver for webcams of Linux, on top of
// blackjack/webcam. Hand Open to camera.Open as the driver of "v4l2":
//
//	cam, err := camera.Open(ctx, "v4l2:/dev/video0?size=1280x720&format=mjpg&fps=30",
//		camera.Options{Drivers: map[string]camera.Driver{"v4l2": v4l2.Open}})
//
// A device is named by its file, or by what stays when the numbers change (bus
// info, product name, USB serial, name in /dev/v4l/by-id): v4l2:?id=NAME looks it
// up at each opening, and List tells the names.
//
// Size, format and rate are wishes: the nearest that the device lists is used,
// and each frame has the size it really came with. Without wishes it asks for
// 1280×720 at 30 frames a second, compressed (MJPG) where the device can, since
// USB 2 does not carry that raw.
//
// A source ends with an error when the device is unplugged (ENODEV), fails
// (EIO: every later read fails too), gives nothing for five seconds, or gives
// only damaged frames; camera.Camera then opens it again. Raw YUYV and
// MJPG are understood.
//
// Controls are parameters of the URL; what a camera lacks is a note of the
// source, not an error:
//
//	exposure=face   by the face that is followed, see Steering; this is the default
//	exposure=auto   the camera's own automatic; exposure=8 for 8 ms
//	gain=20         percent of the range, fixed        focus=auto, focus=40
//	powerline=50    50 or 60: against lamps that flicker with the mains; off, auto
package v4l2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/blackjack/webcam"

	"github.com/cypherface/edge/camera"
)

var _ camera.Driver = Open

// buffers is how many frames the device may fill ahead: enough to cover a copy,
// few enough that the newest is new. The package's default is 256.
const buffers = 4

// Open opens the device that u names and starts it.
func Open(_ context.Context, u *url.URL) (camera.Source, error) {
	params, err := camera.ParseParams(u, append([]string{"size", "fps", "format", "id"}, controlParameters...)...)
	if err != nil {
		return nil, err
	}
	wish, err := parseWishes(params.Other)
	if err != nil {
		return nil, &camera.Fault{Op: "parse", Subject: camera.Redact(u), Err: err}
	}
	path, err := camera.Path(u)
	if err != nil {
		return nil, err
	}
	if params.ID != "" {
		path, err = find(cmp.Or(path, "/dev"), params.ID)
		if err != nil {
			return nil, &camera.Fault{Op: "open", Subject: camera.Redact(u), Err: err, Hint: hint(err)}
		}
	}
	path = cmp.Or(path, "/dev/video0")
	src, err := start(path, params, wish)
	if err != nil {
		return nil, &camera.Fault{Op: "open", Subject: path, Err: err, Hint: hint(err)}
	}
	return src, nil
}

// start negotiates a format and begins to stream.
func start(path string, params camera.Params, wish wishes) (camera.Source, error) {
	dev, err := webcam.Open(path)
	if err != nil {
		return nil, err
	}
	mode, err := negotiate(dev, params)
	var k *knobs
	if err == nil {
		k = newKnobs(dev, wish)
		err = dev.SetBufferCount(buffers)
	}
	if err == nil {
		err = dev.StartStreaming()
	}
	if err != nil {
		dev.Close()
		return nil, err
	}
	name, err := dev.GetName()
	if err != nil {
		name = "webcam"
	}
	return newSource(fmt.Sprintf("v4l2:%s (%s, %s)", path, name, mode), dev, mode, k), nil
}

// hint says what the operator can do about an error of start.
func hint(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is the camera plugged in? cypherface camera list shows what is there"
	case errors.Is(err, fs.ErrPermission):
		return "the user that runs the box must be in group video"
	case strings.Contains(err.Error(), "busy"): // StartStreaming drops the errno
		return "another program uses the camera; fuser -v /dev/video* names it"
	}
	return ""
}
