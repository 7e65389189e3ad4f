package engine

import (
	"encoding/binary"
	"math"
)

// reduced returns the part of the image that lies under t's square, n times
// smaller, and where in the image that part begins. Each pixel of it is the
// mean of n×n pixels; n is a power of two.
func (r *raster) reduced(n, side int, t similarity) (small *raster, x0, y0 int) {
	lo, hi := Point{math.Inf(1), math.Inf(1)}, Point{math.Inf(-1), math.Inf(-1)}
	for _, c := range [4]Point{{0, 0}, {float64(side), 0}, {0, float64(side)}, {float64(side), float64(side)}} {
		p := t.apply(c)
		lo, hi = Point{min(lo.X, p.X), min(lo.Y, p.Y)}, Point{max(hi.X, p.X), max(hi.Y, p.Y)}
	}
	x0, x1 := span(lo.X, hi.X, r.w, n, r.xs, r.xodd)
	y0, y1 := span(lo.Y, hi.Y, r.h, n, r.ys, r.yodd)
	// Chroma is reduced in its own grid, which begins with the part's: it then
	// lies under luma as before.
	small = &raster{w: (x1 - x0 + n - 1) / n, h: (y1 - y0 + n - 1) / n, xs: r.xs, ys: r.ys}
	small.y, small.ystride = mean(r.y[r.yoff+y0*r.ystride+x0:], r.ystride, x1-x0, y1-y0, n), small.w
	if r.cb != nil {
		cx, cy := (x0+r.xodd)>>r.xs, (y0+r.yodd)>>r.ys
		w, h := (x1+r.xodd-1)>>r.xs+1-cx, (y1+r.yodd-1)>>r.ys+1-cy
		at := r.coff + cy*r.cstride + cx
		small.cw, small.ch = (w+n-1)/n, (h+n-1)/n
		small.cb, small.cr, small.cstride = mean(r.cb[at:], r.cstride, w, h, n), mean(r.cr[at:], r.cstride, w, h, n), small.cw
	}
	return small, x0, y0
}

// span returns the part of an axis of the given size from lo to hi, with room
// for the neighbours that are mixed in, which begins where a chroma sample of
// the reduced image does. It is never empty.
func span(lo, hi float64, size, n int, shift uint, odd int) (from, to int) {
	grid := n << shift
	room := float64(2 * n)
	from = int(min(max(lo-room, 0), float64(size-1)))
	to = int(min(max(hi+room, 0), float64(size)))
	from -= (from + odd) % grid
	for from < 0 { // an odd origin: chroma is off by less than a sample there
		from++
	}
	return from, max(to, from+1)
}

// mean reduces a w×h plane n times, n a power of two.
func mean(src []byte, stride, w, h, n int) []byte {
	for ; n > 1; n /= 2 {
		src, w, h = halved(src, stride, w, h)
		stride = w
	}
	return src
}

// halved returns a plane of half the size, each pixel the mean of 2×2; a last
// column or row without a partner is its own.
func halved(src []byte, stride, w, h int) (out []byte, cols, rows int) {
	cols, rows = (w+1)/2, (h+1)/2
	out = make([]byte, cols*rows)
	for y := range rows {
		upper := src[2*y*stride:][:w]
		lower := upper
		if 2*y+1 < h {
			lower = src[(2*y+1)*stride:][:w]
		}
		line := out[y*cols:][:cols]
		for len(line) >= 8 && len(upper) >= 16 && len(lower) >= 16 {
			a := quads(binary.LittleEndian.Uint64(upper), binary.LittleEndian.Uint64(lower))
			b := quads(binary.LittleEndian.Uint64(upper[8:]), binary.LittleEndian.Uint64(lower[8:]))
			binary.LittleEndian.PutUint64(line, a|b<<32)
			line, upper, lower = line[8:], upper[16:], lower[16:]
		}
		for i := range line {
			x := min(2*i+1, len(upper)-1)
			line[i] = uint8((int(upper[2*i]) + int(upper[x]) + int(lower[2*i]) + int(lower[x]) + 2) / 4)
		}
	}
	return out, cols, rows
}

// quads averages the 2×2 pixels of two rows of eight at once, in 16-bit lanes of
// one word.
func quads(a, b uint64) uint64 {
	const bytes = 0x00ff00ff00ff00ff
	s := a&bytes + a>>8&bytes + b&bytes + b>>8&bytes + 0x0002000200020002
	s = s >> 2 & bytes
	s = (s | s>>8) & 0x0000ffff0000ffff
	return uint64(uint32(s | s>>16))
}
