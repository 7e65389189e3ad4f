package liveness

import (
	"image"
	"math"
	"time"

	"github.com/cypherface/edge/engine"
)

// Frame is what is kept of one frame: some 25 KB.
type Frame struct {
	At       time.Duration   // since any moment, the same for all frames; 0 where unknown
	Face     engine.Face     // the one that is meant
	Template engine.Template // of it; empty: not embedded
	Size     image.Point     // of the picture
	Spoof    float64         // 0..1, what a network for single pictures says of an attack; NaN: there is none

	unasked int // frames since that network was asked, see Ask

	thumb  *thumb    // the whole picture, small
	coarse *thumb    // … and smaller
	blue   *thumb    // its Cb, of the coarse one's size; nil: it has no colour
	red    *thumb    // … Cr
	window []float32 // the face, upright
	fine   fine      // what the finest detail of the picture says
}

// Observe measures a frame. The picture is not kept.
func Observe(img image.Image, face engine.Face, t engine.Template, at time.Duration) Frame {
	p := newPicture(img)
	f := Frame{At: at, Face: face, Template: t, Size: img.Bounds().Size(), Spoof: math.NaN()}
	f.Face = placed(face, img.Bounds())
	f.thumb = p.thumb()
	f.coarse = f.thumb.reduced()
	f.blue, f.red = p.colours(f.coarse)
	f.window = p.window(f.Face)
	f.fine = p.fine(f.Face)
	return f
}

// placed is a face in the coordinates of a picture whose corner is the origin. What a
// detector says of places far outside, or of none, is brought near: it costs time.
func placed(f engine.Face, r image.Rectangle) engine.Face {
	near := func(v float64, from, size int) float64 {
		v -= float64(from)
		if math.IsNaN(v) {
			return 0
		}
		return min(max(v, -2*float64(size)), 3*float64(size))
	}
	x := func(v float64) float64 { return near(v, r.Min.X, r.Dx()) }
	y := func(v float64) float64 { return near(v, r.Min.Y, r.Dy()) }
	f.Box = engine.Rect{X0: x(f.Box.X0), Y0: y(f.Box.Y0), X1: x(f.Box.X1), Y1: y(f.Box.Y1)}
	for i, p := range f.Keypoints {
		f.Keypoints[i] = engine.Point{X: x(p.X), Y: y(p.Y)}
	}
	for i, p := range f.Landmarks {
		f.Landmarks[i] = engine.Point{X: x(p.X), Y: y(p.Y)}
	}
	return f
}

// picture is an image as planes. Of images that are not YCbCr or grey, only what is
// asked for is converted.
type picture struct {
	w, h   int
	img    image.Image
	y      []byte
	stride int
	ycc    *image.YCbCr
}

func newPicture(img image.Image) *picture {
	b := img.Bounds()
	p := &picture{w: b.Dx(), h: b.Dy(), img: img}
	switch m := img.(type) {
	case *image.YCbCr:
		p.y, p.stride, p.ycc = m.Y[m.YOffset(b.Min.X, b.Min.Y):], m.YStride, m
	case *image.Gray:
		p.y, p.stride = m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride
	default:
		p.y, p.stride = make([]byte, p.w*p.h), p.w
		for y := range p.h {
			for x := range p.w {
				r, g, b, _ := img.At(b.Min.X+x, b.Min.Y+y).RGBA()
				p.y[y*p.w+x] = byte((19595*r + 38470*g + 7471*b + 1<<15) >> 24)
			}
		}
	}
	return p
}

// luma reads between pixels, the border repeated outside.
func (p *picture) luma(x, y float64) float64 {
	x, y = min(max(x-.5, 0), float64(p.w-1)), min(max(y-.5, 0), float64(p.h-1))
	x0, y0 := int(x), int(y)
	fx, fy := x-float64(x0), y-float64(y0)
	x1, y1 := min(x0+1, p.w-1), min(y0+1, p.h-1)
	at := func(x, y int) float64 { return float64(p.y[y*p.stride+x]) }
	top := at(x0, y0) + fx*(at(x1, y0)-at(x0, y0))
	low := at(x0, y1) + fx*(at(x1, y1)-at(x0, y1))
	return top + fy*(low-top)
}

// thumb is a picture made small by averaging.
type thumb struct {
	w, h  int
	scale float64 // pixels of the picture to one of it
	pix   []byte
}

// thumbWidth is about how wide it is.
const thumbWidth = 160

func (p *picture) thumb() *thumb {
	n := max(1, (max(p.w, p.h*4/3)+thumbWidth/2)/thumbWidth)
	return p.reduced(n, float64(n))
}

// reduced averages squares of n×n pixels.
func (p *picture) reduced(n int, scale float64) *thumb {
	n = max(1, min(n, p.w, p.h))
	t := &thumb{w: p.w / n, h: p.h / n, scale: scale}
	t.pix = make([]byte, t.w*t.h)
	sums := make([]uint32, t.w)
	for y := range t.h {
		clear(sums)
		for r := range n {
			row := p.y[(y*n+r)*p.stride:]
			for x := range sums {
				for _, v := range row[x*n:][:n] {
					sums[x] += uint32(v)
				}
			}
		}
		for x, s := range sums {
			t.pix[y*t.w+x] = byte((s + uint32(n*n)/2) / uint32(n*n))
		}
	}
	return t
}

// colours are the planes of colour, as small as a thumb.
func (p *picture) colours(like *thumb) (blue, red *thumb) {
	if p.ycc == nil {
		return nil, nil
	}
	b := p.ycc.Rect
	at := p.ycc.COffset(b.Min.X, b.Min.Y)
	w, h := p.ycc.COffset(b.Max.X-1, b.Min.Y)-at+1, (p.ycc.COffset(b.Min.X, b.Max.Y-1)-at)/max(p.ycc.CStride, 1)+1
	plane := func(pix []byte) *thumb {
		t := &thumb{w: like.w, h: like.h, scale: like.scale, pix: make([]byte, like.w*like.h)}
		kx, ky := like.scale*float64(w)/float64(p.w), like.scale*float64(h)/float64(p.h)
		for y := range t.h {
			for x := range t.w {
				x0, y0 := min(int(float64(x)*kx), w-1), min(int(float64(y)*ky), h-1)
				x1, y1 := min(max(x0+1, int(float64(x+1)*kx)), w), min(max(y0+1, int(float64(y+1)*ky)), h)
				sum := 0
				for v := y0; v < y1; v++ {
					for _, c := range pix[v*p.ycc.CStride+x0 : v*p.ycc.CStride+x1] {
						sum += int(c)
					}
				}
				t.pix[y*t.w+x] = byte((sum + (x1-x0)*(y1-y0)/2) / ((x1 - x0) * (y1 - y0)))
			}
		}
		return t
	}
	return plane(p.ycc.Cb[at:]), plane(p.ycc.Cr[at:])
}

// coarser is by how much the second thumb is smaller.
const coarser = 4

func (t *thumb) reduced() *thumb {
	p := picture{w: t.w, h: t.h, y: t.pix, stride: t.w}
	return p.reduced(coarser, t.scale*coarser)
}

// at reads a thumb between its pixels, the border repeated.
func (t *thumb) at(x, y float64) float64 {
	x, y = min(max(x-.5, 0), float64(t.w-1)), min(max(y-.5, 0), float64(t.h-1))
	x0, y0 := int(x), int(y)
	fx, fy := x-float64(x0), y-float64(y0)
	x1, y1 := min(x0+1, t.w-1), min(y0+1, t.h-1)
	a, b, c, d := float64(t.pix[y0*t.w+x0]), float64(t.pix[y0*t.w+x1]), float64(t.pix[y1*t.w+x0]), float64(t.pix[y1*t.w+x1])
	top, low := a+fx*(b-a), c+fx*(d-c)
	return top + fy*(low-top)
}

// windowSide is the side of the upright window of a face, in samples.
const windowSide = 48

// windowReach is its side in distances between eyes and mouth or the eyes,
// whichever is more: from the brows to the chin, cheek to cheek.
const windowReach = 2.0

// frameOf is where the window of a face lies: its middle, half its side, and the
// eye line.
func frameOf(f engine.Face) (c engine.Point, half, sin, cos float64) {
	l := f.Landmarks
	eyes := engine.Point{X: (l[0].X + l[1].X) / 2, Y: (l[0].Y + l[1].Y) / 2}
	mouth := engine.Point{X: (l[3].X + l[4].X) / 2, Y: (l[3].Y + l[4].Y) / 2}
	apart := math.Hypot(l[1].X-l[0].X, l[1].Y-l[0].Y)
	down := math.Hypot(mouth.X-eyes.X, mouth.Y-eyes.Y)
	sin, cos = math.Sincos(math.Atan2(l[1].Y-l[0].Y, l[1].X-l[0].X))
	return engine.Point{X: (eyes.X + mouth.X) / 2, Y: (eyes.Y + mouth.Y) / 2}, windowReach / 2 * max(apart, down, 1), sin, cos
}

// nose is where the tip of the nose is in the window of a face, and how far the eyes
// are apart there, in halves of it.
func (f *Frame) nose() (tip engine.Point, eyes float64) {
	c, half, sin, cos := frameOf(f.Face)
	l := &f.Face.Landmarks
	x, y := l[2].X-c.X, l[2].Y-c.Y
	return engine.Point{X: (cos*x + sin*y) / half, Y: (cos*y - sin*x) / half}, math.Hypot(l[1].X-l[0].X, l[1].Y-l[0].Y) / half
}

// window samples the face upright.
func (p *picture) window(f engine.Face) []float32 {
	const w = windowSide
	c, half, sin, cos := frameOf(f)
	out := make([]float32, w*w)
	step := 2 * half / w
	for v := range w {
		for u := range w {
			x, y := (float64(u)+.5)*step-half, (float64(v)+.5)*step-half
			out[v*w+u] = float32(p.luma(c.X+cos*x-sin*y, c.Y+sin*x+cos*y))
		}
	}
	return out
}
