package liveness

import "math"

// unexplained is how much of a turned face a smooth change of a straight one does
// not explain: 1 less the correlation of the window and the best warp of the other
// by polynomials of the degree. A plane that is turned needs the first, paper that
// is bent the second; on a head the nose hides a cheek, and light comes from where it
// came.
//
// The warp is found by Gauss and Newton (Lucas and Kanade, 1981), on the coarse
// window first.
func unexplained(straight, turned []float32, degree int) float64 {
	terms := 3
	if degree == 2 {
		terms = 6
	}
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
	return 1 - best.correlation(straight, turned, windowSide)
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
// u², uv, v².
type warp struct {
	x, y  [6]float64
	terms int
}

const maxTerms = 6

func basis(u, v float64) [maxTerms]float64 { return [maxTerms]float64{1, u, v, u * u, u * v, v * v} }

// to is where a place comes to.
func (w *warp) to(b *[maxTerms]float64) (x, y float64) {
	for i := range w.terms {
		x += w.x[i] * b[i]
		y += w.y[i] * b[i]
	}
	return x, y
}

// oval says whether a place of the window lies on the face.
func oval(u, v float64) bool { return u*u+v*v < .9 }

// each calls do for the places of a window on the face, with the value there and
// that of the other at the warped place, and its slopes for a unit of the window.
func (w *warp) each(a, b []float32, side int, do func(base *[maxTerms]float64, want, got, gx, gy float64)) {
	half := float64(side) / 2
	for py := range side {
		v := (float64(py) + .5 - half) / half
		for px := range side {
			u := (float64(px) + .5 - half) / half
			if !oval(u, v) {
				continue
			}
			base := basis(u, v)
			x, y := w.to(&base)
			x, y = x*half+half-.5, y*half+half-.5
			x0, y0 := int(x), int(y)
			if x < 1 || y < 1 || x0 >= side-2 || y0 >= side-2 {
				continue
			}
			fx, fy := float32(x-float64(x0)), float32(y-float64(y0))
			i := y0*side + x0
			p, q, r, s := b[i], b[i+1], b[i+side], b[i+side+1]
			top, low := p+fx*(q-p), r+fx*(s-r)
			gx := (1-fy)*(q-p) + fy*(s-r)
			do(&base, float64(a[py*side+px]), float64(top+fy*(low-top)), float64(gx)*half, float64(low-top)*half)
		}
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
