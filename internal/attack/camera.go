package attack

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"time"
)

// The size of an attempt's frames, and what a camera in a hand may sway to each side.
const (
	frameWidth, frameHeight = 640, 480
	margin                  = 32
)

// handheld says whether the camera is in a hand, as that of a telephone, and not on a
// wall: half of the attempts.
func (a *Attempt) handheld() bool {
	return a.Species != "reel" && a.dice("hand").chance(.5)
}

// hand is the motion of a camera in a hand: a few waves.
type hand struct {
	hertz, phase, x, y, lean [4]float64
}

func newHand(d dice) (h hand) {
	for i := range h.hertz {
		h.hertz[i], h.phase[i] = d.within(.2, 3), d.within(0, 7)
		h.x[i], h.y[i], h.lean[i] = d.within(0, 6), d.within(0, 6), d.within(0, .006)
	}
	return h
}

// sees is the part of a wider picture that the camera shows at a moment.
func (h *hand) sees(in *image.YCbCr, at time.Duration) *image.YCbCr {
	var dx, dy, lean float64
	for i := range h.hertz {
		k := 2*math.Pi*h.hertz[i]*at.Seconds() + h.phase[i]
		dx, dy, lean = dx+h.x[i]*math.Sin(k), dy+h.y[i]*math.Sin(k+2), lean+h.lean[i]*math.Sin(k+4)
	}
	sin, cos := math.Sincos(lean)
	out := image.NewYCbCr(image.Rect(0, 0, frameWidth, frameHeight), image.YCbCrSubsampleRatio420)
	cx, cy := float64(in.Rect.Dx())/2+dx, float64(in.Rect.Dy())/2+dy
	plane := func(pix []byte, stride, w, h int, to []byte, tw, th int, k float64) {
		for y := range th {
			for x := range tw {
				u, v := float64(x)+.5-float64(tw)/2, float64(y)+.5-float64(th)/2
				px, py := cx*k+cos*u-sin*v-.5, cy*k+sin*u+cos*v-.5
				px, py = min(max(px, 0), float64(w)-1.001), min(max(py, 0), float64(h)-1.001)
				x0, y0 := int(px), int(py)
				fx, fy := px-float64(x0), py-float64(y0)
				i := y0*stride + x0
				top := float64(pix[i]) + fx*(float64(pix[i+1])-float64(pix[i]))
				low := float64(pix[i+stride]) + fx*(float64(pix[i+stride+1])-float64(pix[i+stride]))
				to[y*tw+x] = level(top + fy*(low-top))
			}
		}
	}
	w, ht := in.Rect.Dx(), in.Rect.Dy()
	plane(in.Y, in.YStride, w, ht, out.Y, frameWidth, frameHeight, 1)
	plane(in.Cb, in.CStride, w/2, ht/2, out.Cb, frameWidth/2, frameHeight/2, .5)
	plane(in.Cr, in.CStride, w/2, ht/2, out.Cr, frameWidth/2, frameHeight/2, .5)
	return out
}

// developed is what the client gets: the hand's view, and what JPEG leaves of it.
func (a *Attempt) developed(frames []Frame) (raw [][]byte, err error) {
	d := a.dice("jpeg")
	quality := 80 + d.IntN(16)
	h := newHand(d)
	for i, f := range frames {
		img := f.Image
		if wide, ok := img.(*image.YCbCr); ok && wide.Rect.Dx() > frameWidth {
			at := f.At
			if a.Species == Repeated { // the frames were taken once
				at = frames[min(i, len(frames)-1-i)].At
			}
			img = h.sees(wide, at)
		}
		if a.Species == Repeated && i >= len(frames)/2 {
			quality = 75 + d.IntN(20) // a file that is saved again is another file
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
			return nil, fmt.Errorf("encode frame: %w", err)
		}
		raw = append(raw, b.Bytes())
	}
	return raw, nil
}
