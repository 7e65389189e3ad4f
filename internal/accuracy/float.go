package accuracy

import (
	"image"
	"image/draw"
	"math"
)

// rgb is a colour, 0 to 255 a channel, or linear light, 0 to 1.
type rgb [3]float64

func (c rgb) add(d rgb, weight float64) rgb {
	for i := range c {
		c[i] += d[i] * weight
	}
	return c
}

// floatImage is a picture to calculate with.
type floatImage struct {
	w, h int
	pix  []rgb
}

func newFloat(w, h int) *floatImage { return &floatImage{w, h, make([]rgb, w*h)} }

func toFloat(img image.Image) *floatImage {
	b := img.Bounds()
	flat := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(flat, flat.Rect, image.Black, image.Point{}, draw.Src)
	draw.Draw(flat, flat.Rect, img, b.Min, draw.Over)
	f := newFloat(b.Dx(), b.Dy())
	for i := range f.pix {
		for c := range 3 {
			f.pix[i][c] = float64(flat.Pix[4*i+c])
		}
	}
	return f
}

func (f *floatImage) set(x, y int, c rgb) { f.pix[y*f.w+x] = c }

// at samples between the centres of pixels, which lie at whole numbers; beyond
// the edge the edge goes on.
func (f *floatImage) at(x, y float64) rgb {
	x = min(max(x, 0), float64(f.w-1))
	y = min(max(y, 0), float64(f.h-1))
	x0, y0 := int(x), int(y)
	x1, y1 := min(x0+1, f.w-1), min(y0+1, f.h-1)
	fx, fy := x-float64(x0), y-float64(y0)
	a, b, c, d := &f.pix[y0*f.w+x0], &f.pix[y0*f.w+x1], &f.pix[y1*f.w+x0], &f.pix[y1*f.w+x1]
	var out rgb
	for k := range out {
		top, bottom := a[k]+(b[k]-a[k])*fx, c[k]+(d[k]-c[k])*fx
		out[k] = top + (bottom-top)*fy
	}
	return out
}

// shrink averages the picture down to a few cells.
func (f *floatImage) shrink(w, h int) *floatImage {
	out := newFloat(w, h)
	for y := range h {
		for x := range w {
			x0, x1 := x*f.w/w, max((x+1)*f.w/w, x*f.w/w+1)
			y0, y1 := y*f.h/h, max((y+1)*f.h/h, y*f.h/h+1)
			var c rgb
			n := float64((x1 - x0) * (y1 - y0))
			for yy := y0; yy < y1; yy++ {
				for xx := x0; xx < x1; xx++ {
					c = c.add(f.pix[yy*f.w+xx], 1/n)
				}
			}
			out.set(x, y, c)
		}
	}
	return out
}

// stretch blows the picture up, smoothly.
func (f *floatImage) stretch(w, h int) *floatImage {
	out := newFloat(w, h)
	for y := range h {
		v := (float64(y)+0.5)/float64(h)*float64(f.h) - 0.5
		for x := range w {
			out.set(x, y, f.at((float64(x)+0.5)/float64(w)*float64(f.w)-0.5, v))
		}
	}
	return out
}

func (f *floatImage) nrgba() *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, f.w, f.h))
	for i, c := range f.pix {
		for k := range 3 {
			out.Pix[4*i+k] = byte(min(max(c[k], 0), 255) + 0.5)
		}
		out.Pix[4*i+3] = 255
	}
	return out
}

// The transfer of sRGB between code values and light, taken as a square: within
// five hundredths of the standard's curve, and quick.
func toLinear(code float64) float64 { return code / 255 * (code / 255) }
func toCode(light float64) float64  { return 255 * math.Sqrt(min(max(light, 0), 1)) }
