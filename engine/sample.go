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

// at reads a colour between pixels, bilinear, the border repeated outside. x and
// y are as in Point.
func (r *raster) at(x, y float32) (luma, cb, cr float32) {
	luma = r.luma(x, y)
	if r.cb == nil {
		return luma, 128, 128
	}
	x, y = (x+float32(r.xodd))/float32(int(1)<<r.xs), (y+float32(r.yodd))/float32(int(1)<<r.ys)
	return luma, bilinear(r.cb[r.coff:], r.cstride, r.cw, r.ch, x, y), bilinear(r.cr[r.coff:], r.cstride, r.cw, r.ch, x, y)
}

// luma is what at says of it.
func (r *raster) luma(x, y float32) float32 {
	return bilinear(r.y[r.yoff:], r.ystride, r.w, r.h, x, y)
}

// bilinear reads a w×h plane between its samples.
func bilinear(plane []byte, stride, w, h int, x, y float32) float32 {
	x = min(max(x-0.5, 0), float32(w-1))
	y = min(max(y-0.5, 0), float32(h-1))
	x0, y0 := int(x), int(y)
	fx, fy := x-float32(x0), y-float32(y0)
	i := y0*stride + x0
	right, below := 1, stride
	if x0 == w-1 {
		right = 0
	}
	if y0 == h-1 {
		below = 0
	}
	top := float32(plane[i]) + fx*(float32(plane[i+right])-float32(plane[i]))
	low := float32(plane[i+below]) + fx*(float32(plane[i+below+right])-float32(plane[i+below]))
	return top + fy*(low-top)
}

// warp fills in, a side×side tensor, with the image under t (tensor pixels →
// image pixels), its light corrected by light unless that is nil.
func (r *raster) warp(in []float32, side int, t similarity, prep Prep, light *shade) {
	r.planes(in, side, t)
	if light != nil {
		for i := range side * side {
			in[3*i] = light.correct(in[3*i], i%side, i/side)
		}
	}
	prep.apply(in[:3*side*side])
}

// planes fills out with side×side triples of luma, Cb and Cr (0..255) of the
// image under t. Where t makes the image smaller, whole pixels are averaged
// first: fine texture would turn into noise otherwise.
func (r *raster) planes(out []float32, side int, t similarity) {
	if n := 1 << max(0, int(math.Round(math.Log2(t.scale())))); n > 1 {
		var x, y int
		r, x, y = r.reduced(n, side, t)
		k := 1 / float64(n)
		t = similarity{t.a * k, t.b * k, (t.tx - float64(x)) * k, (t.ty - float64(y)) * k}
	}
	for v := range side {
		r.line(out[3*v*side:][:3*side], t.apply(Point{0.5, float64(v) + 0.5}), t.a, t.b)
	}
}

// line samples len(out)/3 colours along a line: the first at p, the others each
// (dx, dy) further.
func (r *raster) line(out []float32, p Point, dx, dy float64) {
	n := len(out) / 3
	at := func(i int) Point { return Point{p.X + float64(i)*dx, p.Y + float64(i)*dy} }
	from, to := 0, n
	for from < n && !r.interior(at(from)) {
		from++
	}
	for to > from && !r.interior(at(to-1)) {
		to--
	}
	for i := 0; i < n; i++ {
		if i == from && to > from {
			r.fastLine(out[3*from:3*to], at(from), dx, dy)
			i = to - 1
			continue
		}
		q := at(i)
		out[3*i], out[3*i+1], out[3*i+2] = r.at(float32(q.X), float32(q.Y))
	}
}

// interior reports whether all samples that at would mix lie in the image.
func (r *raster) interior(p Point) bool {
	mx, my := float64(int(1)<<r.xs), float64(int(1)<<r.ys)
	return p.X >= mx && p.Y >= my && p.X <= float64(r.w)-mx && p.Y <= float64(r.h)-my
}

// fastLine is line inside the image, in fixed-point numbers: it is what a face
// costs.
func (r *raster) fastLine(out []float32, p Point, dx, dy float64) {
	const one, half = 1 << 16, 1 << 15
	x, y := int(p.X*one), int(p.Y*one)
	stepX, stepY := int(math.Round(dx*one)), int(math.Round(dy*one))
	luma := r.y[r.yoff:]
	if r.cb == nil {
		for ; len(out) >= 3; out = out[3:] {
			out[0], out[1], out[2] = mix(luma, r.ystride, x-half, y-half), 128, 128
			x, y = x+stepX, y+stepY
		}
		return
	}
	cb, cr := r.cb[r.coff:], r.cr[r.coff:]
	for ; len(out) >= 3; out = out[3:] {
		cx, cy := (x+r.xodd*one)>>r.xs-half, (y+r.yodd*one)>>r.ys-half
		out[0] = mix(luma, r.ystride, x-half, y-half)
		out[1] = mix(cb, r.cstride, cx, cy)
		out[2] = mix(cr, r.cstride, cx, cy)
		x, y = x+stepX, y+stepY
	}
}

// mix is bilinear at a place in 1/65536 samples, which has all four neighbours.
func mix(plane []byte, stride, x, y int) float32 {
	i := (y>>16)*stride + x>>16
	fx, fy := x>>8&255, y>>8&255
	a, b := plane[i:][:2], plane[i+stride:][:2]
	top := int(a[0])<<8 + fx*(int(a[1])-int(a[0]))
	low := int(b[0])<<8 + fx*(int(b[1])-int(b[0]))
	return float32(top<<8+fy*(low-top)) * (1.0 / (1 << 16))
}

// apply turns triples of luma, Cb and Cr into a network's input, by JFIF's
// full-range conversion (ITU-T T.871).
func (p Prep) apply(px []float32) {
	for ; len(px) >= 3; px = px[3:] {
		p.put(px[:3:3], px[0], px[1], px[2])
	}
}

// put writes one pixel.
func (p Prep) put(out []float32, luma, cb, cr float32) {
	_ = out[2]
	cb, cr = cb-128, cr-128
	r := clamp(luma + 1.402*cr)
	g := clamp(luma - 0.344136*cb - 0.714136*cr)
	b := clamp(luma + 1.772*cb)
	if p.BGR {
		r, b = b, r
	}
	out[0], out[1], out[2] = r*p.Scale+p.Bias, g*p.Scale+p.Bias, b*p.Scale+p.Bias
}

func clamp(v float32) float32 {
	if v < 0 {
		return 0
	}
	if v > 255 {
		return 255
	}
	return v
}
