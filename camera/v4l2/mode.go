package v4l2

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/blackjack/webcam"

	"github.com/cypherface/edge/camera"
)

// fourCC is the code of a pixel format, as in linux/videodev2.h.
func fourCC(s string) webcam.PixelFormat {
	return webcam.PixelFormat(uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24)
}

// The formats that are understood. Some devices call their MJPG JPEG.
var (
	formatYUYV = fourCC("YUYV")
	formatMJPG = fourCC("MJPG")
	formatJPEG = fourCC("JPEG")
)

var errFormat = errors.New("no usable format")

// mode is what the device was asked for.
type mode struct {
	format webcam.PixelFormat
	w, h   int
	listed []size // by the device for this format; may be empty
}

type size struct{ w, h int }

func (m mode) String() string { return fmt.Sprintf("%dx%d %s", m.w, m.h, formatName(m.format)) }

func formatName(f webcam.PixelFormat) string {
	return string([]byte{byte(f), byte(f >> 8), byte(f >> 16), byte(f >> 24)})
}

// configurable is the part of webcam.Webcam that negotiate uses.
type configurable interface {
	GetSupportedFormats() map[webcam.PixelFormat]string
	GetSupportedFrameSizes(webcam.PixelFormat) []webcam.FrameSize
	SetImageFormat(f webcam.PixelFormat, w, h uint32) (webcam.PixelFormat, uint32, uint32, error)
	SetFramerate(float32) error
}

// negotiate sets the mode nearest to the wish.
func negotiate(dev configurable, wish camera.Params) (mode, error) {
	m, err := choose(dev, wish)
	if err != nil {
		return m, err
	}
	// The size that comes back is the one that was asked for, whatever the
	// driver made of it: the frames tell. The format is the driver's.
	got, _, _, err := dev.SetImageFormat(m.format, uint32(m.w), uint32(m.h))
	if err != nil {
		return m, fmt.Errorf("set format %s: %w", m, err)
	}
	if got != m.format {
		if m.format = got; got != formatYUYV && got != formatMJPG && got != formatJPEG {
			return m, fmt.Errorf("%w: the device insists on %s; YUYV and MJPG work", errFormat, formatName(got))
		}
	}
	fps := 30
	if wish.FPS > 0 {
		fps = wish.FPS
	}
	// Devices without a choice of rates refuse; they deliver at their own.
	_ = dev.SetFramerate(float32(fps))
	return m, nil
}

// choose picks the first format that has the wanted size, else the first that
// the device has with its nearest size.
func choose(dev configurable, wish camera.Params) (mode, error) {
	want := size{wish.Width, wish.Height}
	if want.w == 0 {
		want = size{1280, 720}
	}
	has := dev.GetSupportedFormats()
	var best mode
	for _, f := range preference(wish.Format, want) {
		if _, ok := has[f]; !ok {
			continue
		}
		m := nearest(f, want, dev.GetSupportedFrameSizes(f))
		if m.w == want.w && m.h == want.h {
			return m, nil
		}
		if best.format == 0 {
			best = m
		}
	}
	if best.format != 0 {
		return best, nil
	}
	if len(has) == 0 {
		return best, errors.New("not a capture device: it lists no formats")
	}
	var names []string
	for _, f := range slices.Sorted(maps.Keys(has)) {
		names = append(names, formatName(f))
	}
	return best, fmt.Errorf("%w: the device has %s", errFormat, strings.Join(names, ", "))
}

// preference lists the formats to try. Up to VGA raw frames fit through USB 2
// at full rate and spare the decoder.
func preference(format string, want size) []webcam.PixelFormat {
	switch {
	case format == "yuyv":
		return []webcam.PixelFormat{formatYUYV}
	case format == "mjpg":
		return []webcam.PixelFormat{formatMJPG, formatJPEG}
	case want.w*want.h <= 640*480:
		return []webcam.PixelFormat{formatYUYV, formatMJPG, formatJPEG}
	}
	return []webcam.PixelFormat{formatMJPG, formatJPEG, formatYUYV}
}

// nearest finds the listed size closest to want, by the sum of both sides'
// differences. A device that lists none is asked for want.
func nearest(f webcam.PixelFormat, want size, sizes []webcam.FrameSize) mode {
	m := mode{format: f}
	distance := 0
	for _, s := range sizes {
		if s.MaxWidth == 0 || s.MaxHeight == 0 {
			continue // a continuous range, which the package leaves empty
		}
		at := size{
			fit(want.w, s.MinWidth, s.MaxWidth, s.StepWidth),
			fit(want.h, s.MinHeight, s.MaxHeight, s.StepHeight),
		}
		m.listed = append(m.listed, at)
		if d := abs(at.w-want.w) + abs(at.h-want.h); len(m.listed) == 1 || d < distance {
			m.w, m.h, distance = at.w, at.h, d
		}
	}
	if len(m.listed) == 0 {
		m.w, m.h = want.w, want.h
	}
	return m
}

// fit moves n into a range with steps.
func fit(n int, least, most, step uint32) int {
	n = min(max(n, int(least)), int(most))
	if step > 1 {
		n -= (n - int(least)) % int(step)
	}
	return n
}

func abs(n int) int { return max(n, -n) }
