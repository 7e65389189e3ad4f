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
	cw, ch     int    // of the chroma planes
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
	r.cw, r.ch = (r.w+r.xodd-1)>>r.xs+1, (r.h+r.yodd-1)>>r.ys+1
	return r
}

// grey is the image without its colour.
func (r *raster) grey() *raster {
	g := *r
	g.cb, g.cr = nil, nil
	return &g
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

// at reads a colour between pixels: luma bilinear, chroma, which carries little
// detail, from the nearest sample, the border repeated outside. x and y are as in
// Point.
func (r *raster) at(x, y float32) (luma, cb, cr float32) {
	luma = r.luma(x, y)
	if r.cb == nil {
		return luma, 128, 128
	}
	cx := (int(min(max(x, 0), float32(r.w-1))) + r.xodd) >> r.xs
	cy := (int(min(max(y, 0), float32(r.h-1))) + r.yodd) >> r.ys
	c := r.coff + cy*r.cstride + cx
	return luma, float32(r.cb[c]), float32(r.cr[c])
}

// luma is what at says of it.
func (r *raster) luma(x, y float32) float32 {
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
	return top + fy*(low-top)
}

// pixel is a sampled colour.
type pixel struct {
	luma   int32 // in 1/65536
	cb, cr uint8
}

// one is 1 in the fixed-point numbers of sampling.
const one = 1 << 16

// warp fills in, a side×side tensor, with the image under t (tensor pixels →
// image pixels).
func (r *raster) warp(in []float32, side int, t similarity, prep Prep) {
	ink := prep.ink()
	r.square(side, t, func(v int, row []pixel) { ink.write(in[3*v*side:][:3*side], row) })
}

// planes fills out with side×side triples of luma, Cb and Cr (0..255) of the
// image under t.
func (r *raster) planes(out []float32, side int, t similarity) {
	r.square(side, t, func(v int, row []pixel) {
		for u, px := range row {
			o := out[3*(v*side+u):][:3]
			o[0], o[1], o[2] = float32(px.luma)/one, float32(px.cb), float32(px.cr)
		}
	})
}

// square hands out the rows of the side×side square that t brings to the image.
// Where t makes the image smaller, whole pixels are averaged first: fine texture
// would turn into noise otherwise.
func (r *raster) square(side int, t similarity, each func(v int, row []pixel)) {
	if n := 1 << max(0, int(math.Round(math.Log2(t.scale())))); n > 1 {
		var x, y int
		r, x, y = r.reduced(n, side, t)
		k := 1 / float64(n)
		t = similarity{t.a * k, t.b * k, (t.tx - float64(x)) * k, (t.ty - float64(y)) * k}
	}
	row := make([]pixel, side)
	for v := range side {
		r.line(row, t.apply(Point{0.5, float64(v) + 0.5}), t.a, t.b)
		each(v, row)
	}
}

// line samples colours along a line: the first at p, the others each (dx, dy)
// further.
func (r *raster) line(out []pixel, p Point, dx, dy float64) {
	at := func(i int) Point { return Point{p.X + float64(i)*dx, p.Y + float64(i)*dy} }
	from, to := 0, len(out)
	for from < to && !r.interior(at(from)) {
		from++
	}
	for to > from && !r.interior(at(to-1)) {
		to--
	}
	if to > from {
		r.fastLine(out[from:to], at(from), dx, dy)
	}
	for i := 0; i < len(out); i++ {
		if i == from {
			i = to
		}
		if i < len(out) {
			q := at(i)
			luma, cb, cr := r.at(float32(q.X), float32(q.Y))
			out[i] = pixel{int32(luma * one), uint8(cb), uint8(cr)}
		}
	}
}

// interior reports whether all samples that at would mix lie in the image, with
// some room for rounding.
func (r *raster) interior(p Point) bool {
	return p.X >= 1 && p.Y >= 1 && p.X <= float64(r.w-1) && p.Y <= float64(r.h-1)
}

// fastLine is line inside the image, in fixed-point numbers: it is what a face
// costs.
func (r *raster) fastLine(out []pixel, p Point, dx, dy float64) {
	x, y := int(p.X*one), int(p.Y*one)
	stepX, stepY := int(math.Round(dx*one)), int(math.Round(dy*one))
	luma, stride := r.y[r.yoff:], r.ystride
	for i := range out {
		lx, ly := x-one/2, y-one/2
		at := (ly>>16)*stride + lx>>16
		fx, fy := lx>>8&255, ly>>8&255
		a, b := luma[at:][:2], luma[at+stride:][:2]
		top := int(a[0])<<8 + fx*(int(a[1])-int(a[0]))
		low := int(b[0])<<8 + fx*(int(b[1])-int(b[0]))
		out[i] = pixel{int32(top<<8 + fy*(low-top)), 128, 128}
		x, y = x+stepX, y+stepY
	}
	if r.cb == nil {
		return
	}
	cb, cr := r.cb[r.coff:], r.cr[r.coff:]
	xs, ys := r.xs+16, r.ys+16
	x, y = int(p.X*one)+r.xodd*one, int(p.Y*one)+r.yodd*one
	for i := range out {
		c := (y>>ys)*r.cstride + x>>xs
		out[i].cb, out[i].cr = cb[c], cr[c]
		x, y = x+stepX, y+stepY
	}
}

// ink writes pixels as a network wants them.
type ink struct {
	levels [256]float32 // of the values 0..255
	r, b   int          // where red and blue go
}

func (p Prep) ink() *ink {
	k := &ink{b: 2}
	if p.BGR {
		k.r, k.b = 2, 0
	}
	for v := range k.levels {
		k.levels[v] = float32(v)*p.Scale + p.Bias
	}
	return k
}

// write converts to RGB by JFIF's full-range formula (ITU-T T.871), in 1/65536.
func (k *ink) write(out []float32, row []pixel) {
	for _, px := range row {
		y, u, v := int(px.luma)+one/2, int(px.cb)-128, int(px.cr)-128
		r := (y + 91881*v) >> 16
		g := (y - 22554*u - 46802*v) >> 16
		b := (y + 116130*u) >> 16
		if r|g|b > 255 || r|g|b < 0 {
			r, g, b = min(max(r, 0), 255), min(max(g, 0), 255), min(max(b, 0), 255)
		}
		o := out[:3]
		out = out[3:]
		o[k.r&3], o[1], o[k.b&3] = k.levels[uint8(r)], k.levels[uint8(g)], k.levels[uint8(b)]
	}
}
