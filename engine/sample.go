package engine

import (
	"image"
	"image/color"
	"image/draw"
	"math"
)

// raster is an image as planes: luma, and chroma at its own resolution. It is
// what every sampler reads, so that a camera frame is never copied.
type raster struct {
	w, h       int
	y, cb, cr  []byte // cb and cr are nil for a grey image
	ystride    int
	cstride    int
	xs, ys     uint // chroma is subsampled by 1<<xs and 1<<ys
	yoff, coff int
	xodd, yodd int // the image's origin within its chroma grid
}

// newRaster looks at img without copying where it is YCbCr or grey.
func newRaster(img image.Image) *raster {
	b := img.Bounds()
	r := &raster{w: b.Dx(), h: b.Dy()}
	switch m := img.(type) {
	case *image.YCbCr:
		r.y, r.cb, r.cr, r.ystride, r.cstride = m.Y, m.Cb, m.Cr, m.YStride, m.CStride
		r.xs, r.ys = subsampling(m.SubsampleRatio)
		r.yoff, r.coff = m.YOffset(b.Min.X, b.Min.Y), m.COffset(b.Min.X, b.Min.Y)
		r.xodd, r.yodd = b.Min.X&(1<<r.xs-1), b.Min.Y&(1<<r.ys-1)
	case *image.Gray:
		r.y, r.ystride, r.yoff = m.Pix, m.Stride, m.PixOffset(b.Min.X, b.Min.Y)
	default:
		c := toYCbCr(img)
		r.y, r.cb, r.cr, r.ystride, r.cstride = c.Y, c.Cb, c.Cr, c.YStride, c.CStride
	}
	return r
}

func subsampling(s image.YCbCrSubsampleRatio) (x, y uint) {
	switch s {
	case image.YCbCrSubsampleRatio422:
		return 1, 0
	case image.YCbCrSubsampleRatio420:
		return 1, 1
	case image.YCbCrSubsampleRatio440:
		return 0, 1
	case image.YCbCrSubsampleRatio411:
		return 2, 0
	case image.YCbCrSubsampleRatio410:
		return 2, 1
	}
	return 0, 0
}

// toYCbCr converts any image at full chroma resolution; what is transparent
// becomes mid-grey, which no detector takes for a face's edge.
func toYCbCr(img image.Image) *image.YCbCr {
	b := img.Bounds()
	flat := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	if o, ok := img.(interface{ Opaque() bool }); !ok || !o.Opaque() {
		draw.Draw(flat, flat.Rect, image.NewUniform(color.Gray{128}), image.Point{}, draw.Src)
	}
	draw.Draw(flat, flat.Rect, img, b.Min, draw.Over)
	out := image.NewYCbCr(flat.Rect, image.YCbCrSubsampleRatio444)
	for y := range b.Dy() {
		row := flat.Pix[y*flat.Stride:][:4*b.Dx()]
		o := y * out.YStride
		for x := range b.Dx() {
			out.Y[o+x], out.Cb[o+x], out.Cr[o+x] = color.RGBToYCbCr(row[4*x], row[4*x+1], row[4*x+2])
		}
	}
	return out
}

// at reads a colour between pixels: luma bilinear, chroma from the nearest
// sample, the border repeated outside. x and y are as in Point.
func (r *raster) at(x, y float32) (luma, cb, cr float32) {
	x = min(max(x-0.5, 0), float32(r.w-1))
	y = min(max(y-0.5, 0), float32(r.h-1))
	x0, y0 := int(x), int(y)
	fx, fy := x-float32(x0), y-float32(y0)
	i := r.yoff + y0*r.ystride + x0
	right, below := 1, r.ystride
	if x0 == r.w-1 {
		right = 0
	}
	if y0 == r.h-1 {
		below = 0
	}
	top := float32(r.y[i]) + fx*(float32(r.y[i+right])-float32(r.y[i]))
	low := float32(r.y[i+below]) + fx*(float32(r.y[i+below+right])-float32(r.y[i+below]))
	luma = top + fy*(low-top)
	if r.cb == nil {
		return luma, 128, 128
	}
	c := r.coff + ((int(y+0.5)+r.yodd)>>r.ys)*r.cstride + (int(x+0.5)+r.xodd)>>r.xs
	return luma, float32(r.cb[c]), float32(r.cr[c])
}

// maxTaps bounds the samples along one axis that are averaged for one pixel of
// a picture that is made smaller.
const maxTaps = 4

// warp fills in, a side×side tensor, with the image under t (tensor pixels →
// image pixels), its light corrected by light unless that is nil.
func (r *raster) warp(in []float32, side int, t similarity, prep Prep, light *shade) {
	r.planes(in, side, t)
	for i := range side * side {
		px := in[3*i : 3*i+3]
		luma := px[0]
		if light != nil {
			luma = light.correct(luma, i%side, i/side)
		}
		prep.put(px, luma, px[1], px[2])
	}
}

// planes fills out with side×side triples of luma, Cb and Cr (0..255) of the
// image under t. Each is the mean of a grid of samples about as fine as the
// image's own pixels, which keeps fine texture from turning into noise.
func (r *raster) planes(out []float32, side int, t similarity) {
	n := min(max(int(math.Ceil(t.scale()-0.25)), 1), maxTaps)
	step := 1 / float64(n)
	weight := 1 / float32(n*n)
	dx, dy := float32(t.a*step), float32(t.b*step)
	for v := range side {
		row := out[3*v*side:][:3*side]
		for u := range side {
			var luma, cb, cr float32
			for j := range n {
				p := t.apply(Point{float64(u) + step/2, float64(v) + (float64(j)+0.5)*step})
				x, y := float32(p.X), float32(p.Y)
				for range n {
					l, b, c := r.at(x, y)
					luma, cb, cr = luma+l, cb+b, cr+c
					x, y = x+dx, y+dy
				}
			}
			row[3*u], row[3*u+1], row[3*u+2] = luma*weight, cb*weight, cr*weight
		}
	}
}

// put writes one pixel, by JFIF's full-range conversion (ITU-T T.871).
func (p Prep) put(out []float32, luma, cb, cr float32) {
	cb, cr = cb-128, cr-128
	r := min(max(luma+1.402*cr, 0), 255)
	g := min(max(luma-0.344136*cb-0.714136*cr, 0), 255)
	b := min(max(luma+1.772*cb, 0), 255)
	if p.BGR {
		r, b = b, r
	}
	out[0], out[1], out[2] = r*p.Scale+p.Bias, g*p.Scale+p.Bias, b*p.Scale+p.Bias
}
