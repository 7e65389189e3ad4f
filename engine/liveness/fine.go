package liveness

import (
	"math"
	"math/bits"

	"github.com/cypherface/edge/engine"
)

// fine is what the spectrum of the picture at its own resolution says. A display's
// pixels, sampled by the camera's, and the screen of a halftone give peaks where skin
// has none.
type fine struct {
	face   float64 // height of the highest peak over its surroundings, in ln of power
	around float64 // … beside the face
	fringe float64 // … of the colour of the face; NaN: it has none
	detail float64 // share of power at high frequencies on the face, ln
	noise  float64 // power at the highest frequencies, ln: the sensor's noise, or its lack
}

// spectrumSide is the side of the windows whose spectrum is taken, in pixels.
const spectrumSide = 64

// fine looks at three windows on the face and two beside it.
func (p *picture) fine(f engine.Face) fine {
	c, half, _, _ := frameOf(f)
	out := fine{face: math.Inf(-1), around: math.Inf(-1), fringe: math.NaN()}
	at := func(dx, dy float64) *spectrum {
		x := min(max(int(c.X+dx*half)-spectrumSide/2, 0), p.w-spectrumSide)
		y := min(max(int(c.Y+dy*half)-spectrumSide/2, 0), p.h-spectrumSide)
		if x < 0 || y < 0 {
			return nil
		}
		return spectrumOf(p.y[y*p.stride+x:], p.stride)
	}
	if s := at(0, 0); s != nil {
		out.face = s.peak()
		out.detail, out.noise = s.shares()
	}
	if p.ycc != nil {
		out.fringe = p.fringe(c)
	}
	for _, dx := range []float64{-2, 2} {
		if s := at(dx, -.6); s != nil {
			out.around = max(out.around, s.peak())
		}
	}
	if math.IsInf(out.face, 0) {
		out.face = 0
	}
	if math.IsInf(out.around, 0) {
		out.around = 0
	}
	return out
}

// fringe is the highest peak of the planes of colour around a place: the three colours
// of a display's pixels are beside each other, and where they beat with the camera's,
// they do at different places.
func (p *picture) fringe(c engine.Point) float64 {
	m := p.ycc
	b := m.Rect
	x, y := b.Min.X+min(max(int(c.X), 0), p.w-1), b.Min.Y+min(max(int(c.Y), 0), p.h-1)
	from := m.COffset(b.Min.X, b.Min.Y)
	at := m.COffset(x, y) - from
	w, h := m.COffset(b.Max.X-1, b.Min.Y)-from+1, (m.COffset(b.Min.X, b.Max.Y-1)-from)/m.CStride+1
	u, v := min(max(at%m.CStride-spectrumSide/2, 0), w-spectrumSide), min(max(at/m.CStride-spectrumSide/2, 0), h-spectrumSide)
	if u < 0 || v < 0 {
		return math.NaN()
	}
	at = from + v*m.CStride + u
	return max(spectrumOf(m.Cb[at:], m.CStride).peak(), spectrumOf(m.Cr[at:], m.CStride).peak())
}

// spectrum is the power of a window of luma, in ln, by frequency: half the plane is
// enough.
type spectrum [spectrumSide][spectrumSide/2 + 1]float32

// hann is the bell that keeps a window's edges out of its spectrum.
var hann = func() (w [spectrumSide]float32) {
	for i := range w {
		w[i] = float32(.5 - .5*math.Cos(2*math.Pi*(float64(i)+.5)/spectrumSide))
	}
	return w
}()

// spectrumOf is that of the window at the beginning of a plane.
func spectrumOf(pix []byte, stride int) *spectrum {
	var mean float32
	for y := range spectrumSide {
		for _, v := range pix[y*stride:][:spectrumSide] {
			mean += float32(v)
		}
	}
	mean /= spectrumSide * spectrumSide
	var rows [spectrumSide][spectrumSide / 2]complex64
	var line [spectrumSide]complex64
	// Two rows of real numbers make one transform of complex ones.
	for y := 0; y < spectrumSide; y += 2 {
		a, b := pix[y*stride:][:spectrumSide], pix[(y+1)*stride:][:spectrumSide]
		for x := range line {
			line[x] = complex((float32(a[x])-mean)*hann[x]*hann[y], (float32(b[x])-mean)*hann[x]*hann[y+1])
		}
		transform(&line)
		for k := range spectrumSide / 2 {
			u, v := line[k], line[(spectrumSide-k)%spectrumSide]
			rows[y][k] = complex((real(u)+real(v))/2, (imag(u)-imag(v))/2)
			rows[y+1][k] = complex((imag(u)+imag(v))/2, (real(v)-real(u))/2)
		}
	}
	s := new(spectrum)
	for k := range spectrumSide / 2 {
		for y := range line {
			line[y] = rows[y][k]
		}
		transform(&line)
		for y, c := range line {
			s[y][k] = logPower(c)
		}
	}
	return s
}

// logPower is ln(|c|²+1), by the bits of the number: a few per cent are near enough.
func logPower(c complex64) float32 {
	v := math.Float32bits(real(c)*real(c) + imag(c)*imag(c) + 1)
	return (float32(v)/(1<<23) - 127 + .045) * math.Ln2
}

// twiddles are the roots of unity.
var twiddles = func() (w [spectrumSide / 2]complex64) {
	for i := range w {
		sin, cos := math.Sincos(-2 * math.Pi * float64(i) / spectrumSide)
		w[i] = complex(float32(cos), float32(sin))
	}
	return w
}()

// transform is the fast Fourier transform in place, radix 2.
func transform(a *[spectrumSide]complex64) {
	const logN = 6
	for i := range a {
		if j := int(bits.Reverse8(uint8(i)) >> (8 - logN)); j > i {
			a[i], a[j] = a[j], a[i]
		}
	}
	for size := 2; size <= spectrumSide; size *= 2 {
		step := spectrumSide / size
		for i := 0; i < spectrumSide; i += size {
			for k := range size / 2 {
				u, v := a[i+k], a[i+k+size/2]*twiddles[k*step]
				a[i+k], a[i+k+size/2] = u+v, u-v
			}
		}
	}
}

// eighths says whether a frequency lies on the grid of JPEG's blocks.
func eighths(k int) bool { return k%(spectrumSide/8) == 0 }

// peak is the highest bin over the mean of its ring, beyond the frequencies of a
// face's own shapes.
func (s *spectrum) peak() float64 {
	const least, rings = 8, 46
	var sum, n [rings]float32
	each := func(do func(r, y, k int)) {
		for y := range spectrumSide {
			fy := y
			if fy > spectrumSide/2 {
				fy -= spectrumSide
			}
			for k := range spectrumSide / 2 {
				if k == 0 && fy <= 0 || eighths(k) && eighths(y) {
					continue
				}
				r := ringOf[k][abs(fy)]
				if r >= least && r < rings {
					do(int(r), y, k)
				}
			}
		}
	}
	each(func(r, y, k int) { sum[r] += s[y][k]; n[r]++ })
	best := float32(0)
	each(func(r, y, k int) {
		best = max(best, s[y][k]-sum[r]/n[r])
	})
	return float64(best)
}

// ringOf is the radius of a frequency.
var ringOf = func() (r [spectrumSide/2 + 1][spectrumSide/2 + 1]uint8) {
	for x := range r {
		for y := range r[x] {
			r[x][y] = uint8(math.Hypot(float64(x), float64(y)) + .5)
		}
	}
	return r
}()

func abs(x int) int {
	if x < 0 {
		return -x
	}
	return x
}

// shares are the mean ln of power at middling frequencies against low ones, and at
// the highest.
func (s *spectrum) shares() (detail, noise float64) {
	var sum, n [3]float64
	for y := range spectrumSide {
		fy := y
		if fy > spectrumSide/2 {
			fy -= spectrumSide
		}
		for k := range spectrumSide / 2 {
			band := -1
			switch r := ringOf[k][abs(fy)]; {
			case r >= 2 && r < 6:
				band = 0
			case r >= 8 && r < 20:
				band = 1
			case r >= 26 && r < 32:
				band = 2
			}
			if band >= 0 {
				sum[band] += float64(s[y][k])
				n[band]++
			}
		}
	}
	return sum[1]/n[1] - sum[0]/n[0], sum[2] / n[2]
}
