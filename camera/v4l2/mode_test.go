package v4l2

import (
	"bytes"
	"errors"
	"image"
	"strings"
	"testing"

	"github.com/blackjack/webcam"

	"github.com/cypherface/edge/camera"
)

// listing is a device that lists formats and sizes and takes what it is asked.
type listing struct {
	sizes map[webcam.PixelFormat][]webcam.FrameSize
	force webcam.PixelFormat // the format it insists on; 0: none
	asked mode
	fps   float32
}

func (l *listing) GetSupportedFormats() map[webcam.PixelFormat]string {
	formats := map[webcam.PixelFormat]string{}
	for f := range l.sizes {
		formats[f] = formatName(f)
	}
	return formats
}

func (l *listing) GetSupportedFrameSizes(f webcam.PixelFormat) []webcam.FrameSize { return l.sizes[f] }

func (l *listing) SetImageFormat(f webcam.PixelFormat, w, h uint32) (webcam.PixelFormat, uint32, uint32, error) {
	l.asked = mode{format: f, w: int(w), h: int(h)}
	if w == 13 {
		return 0, 0, 0, errors.New("device or resource busy")
	}
	if l.force != 0 {
		return l.force, w, h, nil
	}
	return f, w, h, nil
}

func (l *listing) SetFramerate(fps float32) error { l.fps = fps; return errors.New("not supported") }

func sizes(wh ...uint32) (list []webcam.FrameSize) {
	for i := 0; i < len(wh); i += 2 {
		list = append(list, webcam.FrameSize{MinWidth: wh[i], MaxWidth: wh[i], MinHeight: wh[i+1], MaxHeight: wh[i+1]})
	}
	return list
}

func TestNegotiate(t *testing.T) {
	type formats = map[webcam.PixelFormat][]webcam.FrameSize
	usual := formats{formatYUYV: sizes(640, 480, 320, 240), formatMJPG: sizes(640, 480, 1280, 720, 1920, 1080)}
	stepped := formats{formatYUYV: {{MinWidth: 48, MaxWidth: 1000, StepWidth: 16, MinHeight: 32, MaxHeight: 600, StepHeight: 8}}}
	grey := fourCC("GREY")
	for _, test := range []struct {
		name    string
		formats formats
		force   webcam.PixelFormat
		wish    camera.Params
		want    string // the mode, or a part of the error
	}{
		{"no wish", usual, 0, camera.Params{}, "1280x720 MJPG"},
		{"small fits raw", usual, 0, camera.Params{Width: 640, Height: 480}, "640x480 YUYV"},
		{"small compressed", usual, 0, camera.Params{Width: 640, Height: 480, Format: "mjpg"}, "640x480 MJPG"},
		{"raw has not this size", usual, 0, camera.Params{Width: 1280, Height: 720, Format: "yuyv"}, "640x480 YUYV"},
		{"between two", usual, 0, camera.Params{Width: 1200, Height: 700}, "1280x720 MJPG"},
		{"only raw", formats{formatYUYV: sizes(640, 480)}, 0, camera.Params{}, "640x480 YUYV"},
		{"called JPEG", formats{formatJPEG: sizes(640, 480)}, 0, camera.Params{Format: "mjpg"}, "640x480 JPEG"},
		{"steps", stepped, 0, camera.Params{Width: 650, Height: 481}, "640x480 YUYV"},
		{"beyond the range", stepped, 0, camera.Params{Width: 4000, Height: 10}, "992x32 YUYV"},
		{"lists no sizes", formats{formatYUYV: nil}, 0, camera.Params{Width: 800, Height: 600}, "800x600 YUYV"},
		{"lists an empty range", formats{formatYUYV: {{}}}, 0, camera.Params{}, "1280x720 YUYV"},
		{"driver's own choice", usual, formatYUYV, camera.Params{}, "1280x720 YUYV"},
		{"driver's useless choice", usual, grey, camera.Params{}, "insists on GREY"},
		{"useless formats", formats{grey: nil}, 0, camera.Params{}, "device has GREY"},
		{"metadata node", formats{}, 0, camera.Params{}, "not a capture device"},
		{"refused", formats{formatYUYV: nil}, 0, camera.Params{Width: 13, Height: 10}, "busy"},
	} {
		dev := &listing{sizes: test.formats, force: test.force}
		m, err := negotiate(dev, test.wish)
		got := m.String()
		if err != nil {
			got = err.Error()
		}
		if got != test.want && (err == nil || !strings.Contains(got, test.want)) {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		if err == nil && dev.fps != 30 {
			t.Errorf("%s: asked for %v frames a second, want 30", test.name, dev.fps)
		}
	}
}

func TestRawSize(t *testing.T) {
	m := mode{format: formatYUYV, w: 800, h: 600, listed: []size{{800, 600}, {500, 100}}}
	for _, test := range []struct {
		n    int
		want size
	}{
		{800 * 600 * 2, size{800, 600}},
		{500 * 100 * 2, size{500, 100}},                   // listed
		{640 * 480 * 2, size{640, 480}},                   // the driver's own
		{800*600*2 + 1024, size{800, 600}},                // padded
		{800*600*2 + page, size{}},                        // too much for padding
		{800*600*2 - 2, size{}}, {0, size{}}, {3, size{}}, // cut off
	} {
		if got, err := m.rawSize(test.n); got != test.want || (err == nil) != (test.want != size{}) {
			t.Errorf("%d bytes: %v, %v; want %v", test.n, got, err, test.want)
		}
	}
}

func TestFromYUYV(t *testing.T) {
	b := []byte{
		1, 101, 2, 201, 3, 102, 4, 202,
		5, 103, 6, 203, 7, 104, 8, 204,
	}
	old := image.NewYCbCr(image.Rect(0, 0, 4, 2), image.YCbCrSubsampleRatio422)
	img := fromYUYV(b, size{4, 2}, old)
	if img != old {
		t.Error("memory was not used again")
	}
	if !bytes.Equal(img.Y, []byte{1, 2, 3, 4, 5, 6, 7, 8}) || !bytes.Equal(img.Cb, []byte{101, 102, 103, 104}) ||
		!bytes.Equal(img.Cr, []byte{201, 202, 203, 204}) {
		t.Errorf("got %v", img)
	}
}

// Every width is sorted byte by byte, those that fill whole words too.
func TestUnpack(t *testing.T) {
	for _, w := range []int{2, 6, 8, 10, 16, 26, 64} {
		const h = 3
		b := make([]byte, 2*w*h)
		for i := range b {
			b[i] = byte(7*i + i/5)
		}
		img, err := Unpack(b, w, h, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range w * h {
			c := img.YCbCrAt(i%w, i/w)
			if c.Y != b[2*i] || c.Cb != b[4*(i/2)+1] || c.Cr != b[4*(i/2)+3] {
				t.Fatalf("width %d, pixel %d is %v", w, i, c)
			}
		}
	}
	for _, size := range [][2]int{{0, 2}, {3, 2}, {2, 0}, {4, 2}} {
		if _, err := Unpack(make([]byte, 15), size[0], size[1], nil); err == nil {
			t.Errorf("15 bytes made %v pixels", size)
		}
	}
}

// Whatever a device sends is a picture of a sane size or an error.
func FuzzDecode(f *testing.F) {
	f.Add(true, make([]byte, 160*120*2))
	f.Add(true, make([]byte, 17))
	f.Add(false, jpegFrame(f, 9))
	f.Add(false, jpegFrame(f, 9)[:150])
	f.Fuzz(func(t *testing.T, yuyv bool, b []byte) {
		m := mode{format: formatMJPG, w: 160, h: 120}
		if yuyv {
			m.format = formatYUYV
		}
		img, err := m.decode(b, nil)
		if err == nil && (img.Rect.Empty() || img.YOffset(img.Rect.Dx()-1, img.Rect.Dy()-1) >= len(img.Y)) {
			t.Errorf("decoded to %v with %d luma bytes", img.Rect, len(img.Y))
		}
	})
}

// Whatever a URL asks of the controls is within bounds or refused with a hint.
func FuzzWishes(f *testing.F) {
	f.Add("exposure", "8.5")
	f.Add("gain", "101")
	f.Add("powerline", "55")
	f.Add("focus", "auto")
	f.Fuzz(func(t *testing.T, name, value string) {
		w, err := parseWishes(map[string]string{name: value})
		if err != nil {
			if !errors.Is(err, camera.ErrURL) {
				t.Errorf("%v is not ErrURL", err)
			}
			return
		}
		if !(w.exposure >= 0 && w.exposure <= 1000) || w.gain < -1 || w.gain > 100 || w.focus < -1 || w.focus > 100 || w.powerLine < -1 || w.powerLine > 3 {
			t.Errorf("%s=%q: %+v", name, value, w)
		}
	})
}
