package liveness

import (
	"math"
	"slices"

	"github.com/cypherface/edge/engine"
)

// The terms of the warps that explain a plane and bent paper that are turned.
const (
	flat = 3
	bent = 6
)

// lay finds the warp that brings a straight face to a turned one, over a region of the
// window, by Gauss and Newton (Lucas and Kanade, 1981), on the coarse window first.
func lay(straight, turned []float32, terms int, on region) warp {
	small, other := halved(straight, windowSide), halved(turned, windowSide)
	best, most := warp{}, -2.
	for _, from := range []float64{0, -.18, .18} { // landmarks may be off on what is no head
		w := warp{terms: terms}
		w.x[0], w.x[1], w.y[2] = from, 1, 1
		for range 7 {
			w.improve(small, other, windowSide/2, on.coarse)
		}
		if c := w.correlation(small, other, windowSide/2, on.coarse); c > most {
			best, most = w, c
		}
	}
	for range 4 {
		best.improve(straight, turned, windowSide, on.fine)
	}
	return best
}

// unexplained is how much of a turned face a warp of a straight one does not explain:
// 1 less the correlation. On a head the nose hides a cheek, and light comes from where
// it came.
func (w *warp) unexplained(straight, turned []float32) float64 {
	return 1 - w.correlation(straight, turned, windowSide, oval.fine)
}

// A nose is looked for so far, in samples of the window, and is found where the
// correlation is so high.
const (
	noseReach   = 8
	noseMatches = .85
)

// parallax is how far the nose of a turned face lies beside the place to which a warp
// brings it, in samples of the window, to the right: 0 on paper, however it is bent,
// where the warp explains what is around the nose. ok is false where it is not found.
func (w *warp) parallax(straight, turned []float32, nose engine.Point) (shift float64, ok bool) {
	const half, wide, high, rise = windowSide / 2, 5, 5, 2 // samples to each side; down, as far
	var patch, xs, ys []float64
	for y := -high; y < high; y++ {
		for x := -wide; x <= wide; x++ {
			u, v := nose.X+float64(x)/half, nose.Y+float64(y)/half
			px, py := w.to(terms(u, v))
			patch = append(patch, bilinear(straight, windowSide, (u+1)*half, (v+1)*half))
			xs, ys = append(xs, (px+1)*half), append(ys, (py+1)*half)
		}
	}
	var row, peak [2*noseReach + 1]float64
	best, at := -1., 0
	found := make([]float64, len(patch))
	for dy := -rise; dy <= rise; dy++ {
		higher := false
		for k := range row {
			for i := range patch {
				found[i] = bilinear(turned, windowSide, xs[i]+float64(k-noseReach), ys[i]+float64(dy))
			}
			if row[k] = correlated(patch, found); row[k] > best {
				best, at, higher = row[k], k, true
			}
		}
		if higher {
			peak = row
		}
	}
	if best < noseMatches || at == 0 || at == len(peak)-1 {
		return 0, false
	}
	// The top of the parabola through the highest three.
	shift = float64(at - noseReach)
	if bow := peak[at-1] - 2*peak[at] + peak[at+1]; bow < 0 {
		shift += min(max((peak[at-1]-peak[at+1])/2/bow, -.5), .5)
	}
	return shift, true
}

// correlated is the correlation of two series, −1..1.
func correlated(a, b []float64) float64 {
	var x, y, xx, xy, yy float64
	for i, v := range a {
		u := b[i]
		x, y, xx, xy, yy = x+u, y+v, xx+u*u, xy+u*v, yy+v*v
	}
	n := float64(len(a))
	return (xy - x*y/n) / math.Sqrt(max((xx-x*x/n)*(yy-y*y/n), 1e-9))
}

// bilinear reads a window between its samples, the border repeated.
func bilinear(w []float32, side int, x, y float64) float64 {
	last := float64(side) - 1.001
	x, y = min(max(x-.5, 0), last), min(max(y-.5, 0), last)
	x0, y0 := int(x), int(y)
	fx, fy := float32(x-float64(x0)), float32(y-float64(y0))
	i := y0*side + x0
	top, low := w[i]+fx*(w[i+1]-w[i]), w[i+side]+fx*(w[i+side+1]-w[i+side])
	return float64(top + fy*(low-top))
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
	x, y  [maxTerms]float64
	terms int
}

const maxTerms = 6

func terms(u, v float64) *[maxTerms]float64 {
	return &[maxTerms]float64{1, u, v, u * u, u * v, v * v}
}

// to is where a place comes to.
func (w *warp) to(b *[maxTerms]float64) (x, y float64) {
	for i := range w.terms {
		x += w.x[i] * b[i]
		y += w.y[i] * b[i]
	}
	return x, y
}

// place is a sample of a window: its index, and the terms there.
type place struct {
	at   int
	base [maxTerms]float64
}

// region is a part of the face, in the coarse window and in the fine one.
type region struct{ coarse, fine []place }

// oval is the whole face.
var oval = region{ovalOf(windowSide / 2), ovalOf(windowSide)}

func ovalOf(side int) (all []place) {
	half := float64(side) / 2
	for at := range side * side {
		u, v := (float64(at%side)+.5-half)/half, (float64(at/side)+.5-half)/half
		if u*u+v*v < .9 {
			all = append(all, place{at, *terms(u, v)})
		}
	}
	return all
}

// around is the region without the nose: its tip, its wings and the bridge.
func (r region) around(nose engine.Point) region {
	of := func(p place) bool {
		u, v := p.base[1]-nose.X, p.base[2]-nose.Y
		return math.Abs(u) < .28 && v > -.5 && v < .18
	}
	return region{slices.DeleteFunc(slices.Clone(r.coarse), of), slices.DeleteFunc(slices.Clone(r.fine), of)}
}

// each calls do for places of a window, with the value there and that of the other at
// the warped place, and its slopes for a unit of the window.
func (w *warp) each(a, b []float32, side int, on []place, do func(base *[maxTerms]float64, want, got, gx, gy float64)) {
	half := float64(side) / 2
	for k := range on {
		p := &on[k]
		x, y := w.to(&p.base)
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
func (w *warp) improve(a, b []float32, side int, on []place) {
	gain, shift := w.brightness(a, b, side, on)
	n := 2 * w.terms
	var normal [2 * maxTerms][2*maxTerms + 1]float64
	w.each(a, b, side, on, func(base *[maxTerms]float64, want, got, gx, gy float64) {
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
func (w *warp) brightness(a, b []float32, side int, on []place) (gain, shift float64) {
	var n, x, y, xx, xy float64
	w.each(a, b, side, on, func(_ *[maxTerms]float64, want, got, _, _ float64) {
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
func (w *warp) correlation(a, b []float32, side int, on []place) float64 {
	var n, x, y, xx, xy, yy float64
	w.each(a, b, side, on, func(_ *[maxTerms]float64, want, got, _, _ float64) {
		n++
		x, y, xx, xy, yy = x+got, y+want, xx+got*got, xy+got*want, yy+want*want
	})
	if n < 20 {
		return 0
	}
	return (xy - x*y/n) / math.Sqrt(max((xx-x*x/n)*(yy-y*y/n), 1e-9))
}
