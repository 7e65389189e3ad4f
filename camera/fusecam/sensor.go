package fusecam

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/internal/synthface"
)

// Types of controls.
const (
	ctrlInt  = 1
	ctrlBool = 2
	ctrlMenu = 3
)

// control is what a webcam says of one of its controls.
type control struct {
	id, kind               uint32
	name                   string
	least, most, step, def int32
}

var known = []control{
	{Gain, ctrlInt, "Gain", 0, 100, 1, 0},
	{PowerLine, ctrlMenu, "Power Line Frequency", 0, 2, 1, 1},
	{ExposureAuto, ctrlMenu, "Auto Exposure", 0, 3, 1, 3},
	{Exposure, ctrlInt, "Exposure Time, Absolute", 3, 2047, 1, Usual},
	{Focus, ctrlInt, "Focus, Absolute", 0, 250, 5, 0},
	{FocusAuto, ctrlBool, "Focus, Automatic Continuous", 0, 1, 1, 1},
}

// controls are the controls of a webcam; the zero value has none.
type controls struct {
	values map[uint32]int32
	auto   float64 // the exposure that the camera found by itself
}

func newControls() controls {
	c := controls{map[uint32]int32{}, 1}
	for _, k := range known {
		c.values[k.id] = k.def
	}
	return c
}

// ioctl answers a query, or reads or sets a control.
func (c *controls) ioctl(number uint32, b []byte) syscall.Errno {
	if c.values == nil {
		return unix.ENOTTY
	}
	id := le.Uint32(b)
	if number == vidQueryCtrl {
		return query(b, id)
	}
	i := slices.IndexFunc(known, func(k control) bool { return k.id == id })
	if i < 0 {
		return unix.EINVAL
	}
	if number == vidGetCtrl {
		le.PutUint32(b[4:], uint32(c.values[id]))
		return 0
	}
	v := int32(le.Uint32(b[4:]))
	switch {
	case v < known[i].least || v > known[i].most || (v-known[i].least)%known[i].step != 0:
		return unix.ERANGE
	case id == ExposureAuto && v != 1 && v != 3: // as webcams have it
		return unix.EINVAL
	case id == Exposure && c.values[ExposureAuto] != 1, id == Focus && c.values[FocusAuto] != 0:
		return unix.EACCES
	}
	c.values[id] = v
	return 0
}

// query describes a control, or with the next flag the one behind it.
func query(b []byte, id uint32) syscall.Errno {
	const next = 0x80000000
	i := slices.IndexFunc(known, func(k control) bool { return k.id == id || id&next != 0 && k.id > id&^next })
	if i < 0 {
		return unix.EINVAL
	}
	k := known[i]
	le.PutUint32(b, k.id)
	le.PutUint32(b[4:], k.kind)
	copy(b[8:39], k.name)
	for j, v := range []int32{k.least, k.most, k.step, k.def} {
		le.PutUint32(b[40+4*j:], uint32(v))
	}
	return 0
}

// sensor is an exposure, both as multiples of the usual.
type sensor struct{ time, gain float64 }

func (c *controls) sensor() sensor {
	switch {
	case c.values == nil:
		return sensor{1, 1}
	case c.values[ExposureAuto] != 1:
		return sensor{min(c.auto, 2), max(1, c.auto/2)}
	}
	return sensor{float64(c.values[Exposure]) / Usual, 1 + 15*float64(c.values[Gain])/100}
}

// adapt is the automatic exposure: it brings the mean of the whole frame (0..1)
// to the middle, as webcams do, whatever that does to a face.
func (c *controls) adapt(mean float64) {
	const middle = .45
	if c.values == nil || c.values[ExposureAuto] == 1 || math.Abs(mean-middle) < .03 {
		return
	}
	c.auto = min(max(c.auto*math.Pow(middle/max(mean, .02), .8), .02), 32)
	s := c.sensor() // to be read, as many webcams have it
	c.values[Exposure], c.values[Gain] = int32(max(3, Usual*s.time)), int32((s.gain-1)/15*100)
}

// takes are the frames of one exposure, which differ by their noise.
const takes = 6

// scene is what a webcam is pointed at.
type scene struct {
	negative *synthface.Negative // nil: the test card
	card     *image.YCbCr
	key      view
	frames   [takes][]byte
	mean     float64
}

func newScene(w Webcam) *scene {
	s := &scene{card: TestCard(w.Width, w.Height)}
	if w.Person != 0 {
		w.Scene.Width, w.Scene.Height = w.Width, w.Height
		s.negative = synthface.Capture(w.Scene, synthface.Subject{Person: synthface.NewPerson(w.Person), Pose: w.Pose})
	}
	return s
}

// view is how a scene is seen.
type view struct {
	format        uint32
	width, height int
	sensor        sensor
	fault         Fault
	seq           int
}

// frame is the scene in the format of the view, and its mean luma, 0..1.
func (s *scene) frame(v view) ([]byte, float64) {
	take := v.seq % takes
	if v.fault == Frozen {
		take = 0
	}
	v.seq = 0
	if v != s.key {
		s.key, s.frames = v, [takes][]byte{}
	}
	if s.frames[take] == nil {
		img := s.look(v, int64(take))
		if v.width < img.Rect.Dx() {
			img = halved(img)
		}
		s.mean = mean(img)
		if s.frames[take] = packYUYV(img); v.format == mjpg {
			s.frames[take] = packJPEG(img)
		}
	}
	return s.frames[take], s.mean
}

// look is the picture of the sensor.
func (s *scene) look(v view, take int64) *image.YCbCr {
	amplified := v.sensor.time * v.sensor.gain
	switch {
	case v.fault == Covered: // a little light comes through a hand
		return synthface.Flat(s.card.Rect, .02*amplified, v.sensor.gain, take)
	case v.fault == LightsOut:
		img := synthface.Flat(s.card.Rect, .0004*amplified, v.sensor.gain, take)
		clock(img)
		return img
	case s.negative != nil:
		return s.negative.Expose(v.sensor.time, v.sensor.gain, take)
	}
	return s.card
}

// clock draws the display of a clock: a little light that a dark room still has.
func clock(img *image.YCbCr) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	for y := h / 3; y < h/3+h/10; y++ {
		for x := w / 2; x < w/2+w/6; x++ {
			if x*12/w%2 == 0 || y*24/h%2 == 0 {
				img.Y[img.YOffset(x, y)] = 130
			}
		}
	}
}

func mean(img *image.YCbCr) float64 {
	sum := 0
	for _, y := range img.Y {
		sum += int(y)
	}
	return float64(sum) / float64(len(img.Y)) / 255
}

// halved is every second pixel of every second row.
func halved(img *image.YCbCr) *image.YCbCr {
	out := image.NewYCbCr(image.Rect(0, 0, img.Rect.Dx()/2, img.Rect.Dy()/2), image.YCbCrSubsampleRatio422)
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			from, c := img.COffset(2*x, 2*y), out.COffset(x, y)
			out.Y[out.YOffset(x, y)] = img.Y[img.YOffset(2*x, 2*y)]
			out.Cb[c], out.Cr[c] = img.Cb[from], img.Cr[from]
		}
	}
	return out
}

func packYUYV(img *image.YCbCr) []byte {
	out := make([]byte, 0, 2*len(img.Y))
	for y := range img.Rect.Dy() {
		for x := 0; x < img.Rect.Dx(); x += 2 {
			i, c := img.YOffset(x, y), img.COffset(x, y)
			out = append(out, img.Y[i], img.Cb[c], img.Y[i+1], img.Cr[c])
		}
	}
	return out
}

// packJPEG is a frame as webcams send it.
func packJPEG(img *image.YCbCr) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		panic(err) // an image of a size that fits a buffer
	}
	return b.Bytes()
}
