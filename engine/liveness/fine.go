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
	face    float64 // height of the highest peak over its surroundings, in ln of power
	lattice float64 // … in all of the picture but a quarter
	fringe  float64 // … of the colour of the face; NaN: it has none
}

// spectrumSide is the side of the windows whose spectrum is taken, in pixels.
const spectrumSide = 64

// fine looks at a window on the face, and at some all over the picture: a room has a
// pattern here and there and plain walls beside it, a display has its own everywhere.
func (p *picture) fine(f engine.Face) (out fine) {
	out.fringe = math.NaN()
	w, h := p.w-spectrumSide, p.h-spectrumSide
	if w < 0 || h < 0 {
		return out
	}
	c, _, _, _ := frameOf(f)
	at := func(x, y int) *spectrum { return spectrumOf(p.y[y*p.stride+x:], p.stride) }
	out.face = at(min(max(int(c.X)-spectrumSide/2, 0), w), min(max(int(c.Y)-spectrumSide/2, 0), h)).peak()
	if p.ycc != nil {
		out.fringe = p.fringe(c)
	}
	const across, down = 4, 3
	var peaks []float64
	for i := range across * down {
		peaks = append(peaks, at(i%across*w/(across-1), i/across*h/(down-1)).peak())
	}
	out.lattice = quantile(peaks, .25)
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

// floor is added to the power, that of noise of a quarter of a level: JPEG leaves less
// of a plain wall in the dark, and what little it leaves stands out.
const floor = 40

// logPower is ln(|c|²+floor), by the bits of the number: a few per cent are near enough.
func logPower(c complex64) float32 {
	v := math.Float32bits(real(c)*real(c) + imag(c)*imag(c) + floor)
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

// transform is the fast Fourier transform in place: the first two stages at once,
// since their roots of unity are 1 and −i, then radix 2.
func transform(a *[spectrumSide]complex64) {
	for i, j := range reversed {
		if int(j) > i {
			a[i], a[j] = a[j], a[i]
		}
	}
	for i := 0; i < spectrumSide; i += 4 {
		q := a[i : i+4 : i+4]
		s, d, t, e := q[0]+q[1], q[0]-q[1], q[2]+q[3], q[2]-q[3]
		e = complex(imag(e), -real(e))
		q[0], q[1], q[2], q[3] = s+t, d+e, s-t, d-e
	}
	for size := 8; size <= spectrumSide; size *= 2 {
		step, half := spectrumSide/size, size/2
		for i := 0; i < spectrumSide; i += size {
			low, high := a[i:i+half:i+half], a[i+half:i+size:i+size]
			for k, u := range low {
				v := high[k] * twiddles[k*step]
				low[k], high[k] = u+v, u-v
			}
		}
	}
}

// reversed are the indices with their bits in reverse order.
var reversed = func() (r [spectrumSide]uint8) {
	const logN = 6
	for i := range r {
		r[i] = bits.Reverse8(uint8(i)) >> (8 - logN)
	}
	return r
}()

// eighths says whether a frequency lies on the grid of JPEG's blocks.
func eighths(k int) bool { return k%(spectrumSide/8) == 0 }

// peak is the highest bin over the mean of its ring, beyond the frequencies of a
// face's own shapes.
func (s *spectrum) peak() float64 {
	var sum [rings]float32
	for _, b := range bins {
		sum[b.ring] += s[b.y][b.k]
	}
	for r, n := range binsOf {
		sum[r] /= n
	}
	best := float32(0)
	for _, b := range bins {
		best = max(best, s[b.y][b.k]-sum[b.ring])
	}
	return float64(best)
}

// bins are the frequencies in which peaks are looked for, ring by ring, and binsOf how
// many each ring has: all beyond the shapes of a face but those of JPEG's blocks.
var bins, binsOf = func() (all []bin, of [rings]float32) {
	const least = 8
	for y := range spectrumSide {
		fy := y
		if fy > spectrumSide/2 {
			fy -= spectrumSide
		}
		for k := range spectrumSide / 2 {
			if k == 0 && fy <= 0 || eighths(k) || eighths(y) {
				continue
			}
			if r := ringOf[k][abs(fy)]; r >= least && r < rings {
				all = append(all, bin{uint8(y), uint8(k), r})
				of[r]++
			}
		}
	}
	for r := range of {
		of[r] = max(of[r], 1)
	}
	return all, of
}()

type bin struct{ y, k, ring uint8 }

const rings = 46

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
