package liveness

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cypherface/edge/engine"
)

// texture is a window whose value at a place is that of soft spots scattered by a seed,
// looked up where from says.
func texture(seed uint64, from func(u, v float64) (x, y float64)) []float32 {
	d := rand.New(rand.NewPCG(seed, 1))
	type spot struct{ x, y, r, h float64 }
	var spots []spot
	for range 120 {
		spots = append(spots, spot{2.4*d.Float64() - 1.2, 2.4*d.Float64() - 1.2, .08 + .15*d.Float64(), 80*d.Float64() - 40})
	}
	out := make([]float32, windowSide*windowSide)
	for i := range out {
		const half = windowSide / 2.
		x, y := from((float64(i%windowSide)+.5)/half-1, (float64(i/windowSide)+.5)/half-1)
		v := 128.
		for _, s := range spots {
			v += s.h * math.Exp(-((x-s.x)*(x-s.x)+(y-s.y)*(y-s.y))/(s.r*s.r))
		}
		out[i] = float32(v)
	}
	return out
}

// On paper, turned and bent, the nose is where the rest of the face says; where it
// stands out it is seen to move, if not as far, since its flanks are.
func TestParallax(t *testing.T) {
	nose := engine.Point{X: .02, Y: .1}
	for seed := range uint64(8) {
		for _, moved := range []float64{0, 2, -3, 4} { // samples
			straight := texture(seed, func(u, v float64) (x, y float64) { return u, v })
			turned := texture(seed, func(u, v float64) (x, y float64) {
				x, y = 1.08*u-.03+.06*u*u, v+.02*u
				near := math.Exp(-math.Pow((x-nose.X)/.3, 6) - math.Pow((y-nose.Y)/.3, 6))
				return x - moved/(windowSide/2)*near, y
			})
			w := lay(straight, turned, bent, oval.around(nose))
			if got, ok := w.parallax(straight, turned, nose); !ok || math.Abs(got-.75*moved) > .3+.3*math.Abs(moved) {
				t.Errorf("seed %d: a nose that moved by %v is seen to move by %.2f, %v", seed, moved, got, ok)
			}
		}
	}
}

// A display's grid is in every window of the picture; noise and a pattern in one place
// are no lattice, however strongly JPEG has smoothed the walls.
func TestLattice(t *testing.T) {
	measured := func(noise float64, grid func(x, y int) float64) float64 {
		d := rand.New(rand.NewPCG(3, 4))
		m := image.NewYCbCr(image.Rect(0, 0, 640, 480), image.YCbCrSubsampleRatio420)
		for y := range 480 {
			for x := range 640 {
				m.Y[y*m.YStride+x] = uint8(110 + float64(x+y)/40 + noise*d.NormFloat64() + grid(x, y) + .5)
			}
		}
		f := newPicture(m).fine(engine.Face{Landmarks: [5]engine.Point{{X: 290, Y: 200}, {X: 350, Y: 200}, {X: 320, Y: 235}, {X: 295, Y: 265}, {X: 345, Y: 265}}})
		return f.lattice
	}
	wave := func(x, y int) float64 { return 1.5 * math.Sin(.9*float64(x)+.7*float64(y)) }
	plain := measured(1.5, func(int, int) float64 { return 0 })
	if got := measured(1.5, wave); got < plain+1 {
		t.Errorf("a grid everywhere: %.2f, none %.2f", got, plain)
	}
	if got := measured(1.5, func(x, y int) float64 {
		if x < 200 {
			return wave(x, y)
		}
		return 0
	}); got > plain+.5 {
		t.Errorf("a grid in a corner: %.2f, none %.2f", got, plain)
	}
	if got := measured(.05, func(int, int) float64 { return 0 }); got > plain {
		t.Errorf("a smooth wall: %.2f, a noisy one %.2f", got, plain)
	}
}

func BenchmarkSpectrum(b *testing.B) {
	pix := make([]byte, 640*480)
	for b.Loop() {
		spectrumOf(pix, 640).peak()
	}
}
