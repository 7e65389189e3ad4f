package liveness

import (
	"math"

	"github.com/cypherface/edge/engine"
)

// lay finds the warp by polynomials of a degree that brings a straight face to a
// turned one, by Gauss and Newton (Lucas and Kanade, 1981), on the coarse window
// first.
func lay(straight, turned []float32, terms int) warp {
	small, other := halved(straight, windowSide), halved(turned, windowSide)
	best, most := warp{}, -2.
	for _, from := range []float64{0, -.18, .18} { // landmarks may be off on what is no head
		w := warp{terms: terms}
		w.x[0], w.x[1], w.y[2] = from, 1, 1
		for range 7 {
			w.improve(small, other, windowSide/2)
		}
		if c := w.correlation(small, other, windowSide/2); c > most {
			best, most = w, c
		}
	}
	for range 4 {
		best.improve(straight, turned, windowSide)
	}
	return best
}

// The terms of the warps that explain a plane and bent paper that are turned.
const (
	flat = 3
	bent = 6
)

// unexplained is how much of a turned face a warp of a straight one does not explain:
// 1 less the correlation. On a head the nose hides a cheek, and light comes from where
// it came.
func (w *warp) unexplained(straight, turned []float32) float64 {
	return 1 - w.correlation(straight, turned, windowSide)
}

// relief is how much better a turned face is explained with a nose that stands out of
// bent paper than with one that goes as far into it: in correlation, 0 on paper. w is
// the warp that explains it best without, nose where its tip is in the window of the
// straight face, and turn how far it moved against the eyes, in halves of the window.
func (w warp) relief(straight, turned []float32, nose engine.Point, turn float64) float64 {
	const side = windowSide / 2 // finer windows tell no more
	straight, turned = halved(straight, windowSide), halved(turned, windowSide)
	w.hump = make([]float64, len(places[side]))
	for i, p := range places[side] {
		w.hump[i] = hump(p.base[1]-nose.X, p.base[2]-nose.Y)
	}
	with := func(height float64) float64 {
		best := -1.
		for _, k := range []float64{.35, .7} {
			h := w
			h.height = k * height
			for range 6 {
				h.improve(straight, turned, side)
			}
			best = max(best, h.correlation(straight, turned, side))
		}
		return best
	}
	return with(turn) - with(-turn)
}

// hump is how far a nose stands out at a place beside and below its tip, as a share:
// some 1.3 cm to each side, 2.5 cm up the bridge, and little below.
func hump(u, v float64) float64 {
	const side, bridge, below = .2, .4, .2 // in halves of the window
	if v > 0 {
		v /= below
	} else {
		v /= bridge
	}
	u /= side
	return math.Exp(-u*u - v*v)
}

// halved is a window at half the resolution.
func halved(in []float32, side int) []float32 {
	n := side / 2
	out := make([]float32, n*n)
	for y := range n {
		for x := range n {
			i := 2*y*side + 2*x
			out[y*n+x] = (in[i] + in[i+1] + in[i+side] + in[i+side+1]) / 4
		}
	}
	return out
}

// warp moves places of a window, in −1..1, by polynomials with the terms 1, u, v,
// u², uv, v², and sideways by a nose of a given height.
type warp struct {
	x, y   [maxTerms]float64
	terms  int
	height float64
	hump   []float64 // shares of the height at the places; nil: there is no nose
}

const maxTerms = 6

// place is one of a window on the face: its index, and the terms there.
type place struct {
	at   int
	base [maxTerms]float64
}

// places are those of windows by their sides: all on the face's oval.
var places = func() (all [windowSide + 1][]place) {
	for _, side := range []int{windowSide / 2, windowSide} {
		half := float64(side) / 2
		for at := range side * side {
			u, v := (float64(at%side)+.5-half)/half, (float64(at/side)+.5-half)/half
			if u*u+v*v < .9 {
				all[side] = append(all[side], place{at, [maxTerms]float64{1, u, v, u * u, u * v, v * v}})
			}
		}
	}
	return all
}()

// each calls do for the places of a window on the face, with the value there and
// that of the other at the warped place, and its slopes for a unit of the window.
func (w *warp) each(a, b []float32, side int, do func(base *[maxTerms]float64, want, got, gx, gy float64)) {
	half := float64(side) / 2
	for k := range places[side] {
		p := &places[side][k]
		var x, y float64
		for i := range w.terms {
			x += w.x[i] * p.base[i]
			y += w.y[i] * p.base[i]
		}
		if w.hump != nil {
			x += w.height * w.hump[k]
		}
		x, y = x*half+half-.5, y*half+half-.5
		x0, y0 := int(x), int(y)
		if x < 1 || y < 1 || x0 >= side-2 || y0 >= side-2 {
			continue
		}
		fx, fy := float32(x-float64(x0)), float32(y-float64(y0))
		i := y0*side + x0
		p00, p10, p01, p11 := b[i], b[i+1], b[i+side], b[i+side+1]
		top, low := p00+fx*(p10-p00), p01+fx*(p11-p01)
		gx := (1-fy)*(p10-p00) + fy*(p11-p01)
		do(&p.base, float64(a[p.at]), float64(top+fy*(low-top)), float64(gx)*half, float64(low-top)*half)
	}
}

// improve is one step of Gauss and Newton; the difference in brightness and contrast
// is taken out first.
func (w *warp) improve(a, b []float32, side int) {
	gain, shift := w.brightness(a, b, side)
	n := 2 * w.terms
	var normal [2 * maxTerms][2*maxTerms + 1]float64
	w.each(a, b, side, func(base *[maxTerms]float64, want, got, gx, gy float64) {
		diff := want - (gain*got + shift)
		var row [2 * maxTerms]float64
		for i := range w.terms {
			row[i], row[w.terms+i] = gain*gx*base[i], gain*gy*base[i]
		}
		for i := range n {
			for j := i; j < n; j++ {
				normal[i][j] += row[i] * row[j]
			}
			normal[i][2*maxTerms] += row[i] * diff
		}
	})
	for i := range n {
		normal[i][i] *= 1.001
		normal[i][i] += 1
		for j := range i {
			normal[i][j] = normal[j][i]
		}
	}
	step := solve(&normal, n)
	for i := range w.terms {
		w.x[i] += min(max(step[i], -.2), .2)
		w.y[i] += min(max(step[w.terms+i], -.2), .2)
	}
}

// solve eliminates; the matrix is positive definite.
func solve(m *[2 * maxTerms][2*maxTerms + 1]float64, n int) (x [2 * maxTerms]float64) {
	const right = 2 * maxTerms
	for i := range n {
		if m[i][i] < 1e-12 {
			return [2 * maxTerms]float64{}
		}
		for j := i + 1; j < n; j++ {
			k := m[j][i] / m[i][i]
			for c := i; c < n; c++ {
				m[j][c] -= k * m[i][c]
			}
			m[j][right] -= k * m[i][right]
		}
	}
	for i := n - 1; i >= 0; i-- {
		v := m[i][right]
		for c := i + 1; c < n; c++ {
			v -= m[i][c] * x[c]
		}
		x[i] = v / m[i][i]
	}
	return x
}

// brightness is the line that brings the warped window's values nearest.
func (w *warp) brightness(a, b []float32, side int) (gain, shift float64) {
	var n, x, y, xx, xy float64
	w.each(a, b, side, func(_ *[maxTerms]float64, want, got, _, _ float64) {
		n++
		x, y, xx, xy = x+got, y+want, xx+got*got, xy+got*want
	})
	if n == 0 {
		return 1, 0
	}
	d := xx - x*x/n
	if d < 1 {
		return 1, (y - x) / n
	}
	gain = min(max((xy-x*y/n)/d, .3), 3)
	return gain, (y - gain*x) / n
}

// correlation of a window and the other one warped, −1..1.
func (w *warp) correlation(a, b []float32, side int) float64 {
	var n, x, y, xx, xy, yy float64
	w.each(a, b, side, func(_ *[maxTerms]float64, want, got, _, _ float64) {
		n++
		x, y, xx, xy, yy = x+got, y+want, xx+got*got, xy+got*want, yy+want*want
	})
	if n < 20 {
		return 0
	}
	return (xy - x*y/n) / math.Sqrt(max((xx-x*x/n)*(yy-y*y/n), 1e-9))
}
