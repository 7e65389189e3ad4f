package engine

// letterbox is an image fitted into a square tensor, centred, the rest black.
type letterbox struct {
	scale  float64 // image pixels a tensor pixel
	dx, dy float64 // where the image begins, in tensor pixels
}

func fitSquare(w, h, side int) letterbox {
	k := float64(max(w, h)) / float64(side)
	return letterbox{k, (float64(side) - float64(w)/k) / 2, (float64(side) - float64(h)/k) / 2}
}

// toImage brings a place in the tensor (pixels) to the image.
func (l letterbox) toImage(p Point) Point {
	return Point{(p.X - l.dx) * l.scale, (p.Y - l.dy) * l.scale}
}

// columns are the samples of one axis: n indexes for each of the tensor pixels
// from first to last.
type columns struct {
	first, last, n int
	luma, chroma   []int32
}

// taps chooses n image pixels, evenly spread, for each tensor pixel.
func (l letterbox) taps(side, size int, offset float64, shift uint, odd int) columns {
	n := 2
	if l.scale > 4 {
		n = 3
	}
	c := columns{first: side, n: n, luma: make([]int32, side*n), chroma: make([]int32, side)}
	for u := range side {
		center := (float64(u) + 0.5 - offset) * l.scale
		if center < 0 || center >= float64(size) {
			continue
		}
		c.first, c.last = min(c.first, u), u+1
		for k := range n {
			x := (float64(u) - offset + (float64(k)+0.5)/float64(n)) * l.scale
			c.luma[u*n+k] = int32(min(max(int(x), 0), size-1))
		}
		c.chroma[u] = int32((int(center) + odd) >> shift)
	}
	return c
}

// fine is the scale up to which the letterbox interpolates between pixels;
// beyond, there are pixels enough to average some of them.
const fine = 1.5

// letterbox fills in, a side×side tensor. It is the one step that touches the
// whole frame, so it reads only as many pixels as the detector can tell apart:
// in a large frame a grid about half as fine as the image's.
func (r *raster) letterbox(in []float32, side int, prep Prep) letterbox {
	l := fitSquare(r.w, r.h, side)
	xs := l.taps(side, r.w, l.dx, r.xs, r.xodd)
	ys := l.taps(side, r.h, l.dy, r.ys, r.yodd)
	if xs.first > 0 || xs.last < side || ys.first > 0 || ys.last < side {
		black := prep.Bias // 0*Scale + Bias
		for i := range in {
			in[i] = black
		}
	}
	if xs.first > xs.last || ys.first > ys.last {
		return l // too thin to be seen
	}
	ink := prep.ink()
	row := make([]pixel, xs.last-xs.first)
	for v := ys.first; v < ys.last; v++ {
		if l.scale <= fine {
			r.line(row, l.toImage(Point{float64(xs.first) + 0.5, float64(v) + 0.5}), l.scale, 0)
		} else {
			r.gather(row, xs, ys, v)
		}
		ink.write(in[3*(v*side+xs.first):][:3*len(row)], row)
	}
	return l
}

// gather averages the samples of a row of tensor pixels, 2×2 or 3×3 for each.
func (r *raster) gather(row []pixel, xs, ys columns, v int) {
	n := xs.n
	var lines [3][]byte
	for j, y := range ys.luma[v*n:][:n] {
		lines[j] = r.y[r.yoff+int(y)*r.ystride:][:r.w]
	}
	l0, l1, l2 := lines[0], lines[1], lines[2]
	taps := xs.luma[xs.first*n : xs.last*n]
	for u := range row {
		at := taps[u*n:][:n]
		i, j := at[0], at[1]
		sum := int32(l0[i]) + int32(l0[j]) + int32(l1[i]) + int32(l1[j])
		if n == 2 {
			row[u] = pixel{sum * (one / 4), 128, 128}
			continue
		}
		k := at[2]
		sum += int32(l0[k]) + int32(l1[k]) + int32(l2[i]) + int32(l2[j]) + int32(l2[k])
		row[u] = pixel{(sum*one + 4) / 9, 128, 128}
	}
	if r.cb == nil {
		return
	}
	chroma := r.coff + int(ys.chroma[v])*r.cstride
	cb, cr := r.cb[chroma:], r.cr[chroma:]
	for u, c := range xs.chroma[xs.first:xs.last] {
		row[u].cb, row[u].cr = cb[c], cr[c]
	}
}
