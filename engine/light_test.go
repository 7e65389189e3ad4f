package engine

import (
	"context"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// lit fills an embedder's input with the same light of a function of the place
// (0..1 across and down) in every channel.
func lit(e *Engine, f func(x, y float64) float64) []float32 {
	in := make([]float32, 3*e.size*e.size)
	p := e.cfg.Embedder.Prep
	for i := range e.size * e.size {
		v := f((float64(i%e.size)+0.5)/float64(e.size), (float64(i/e.size)+0.5)/float64(e.size))
		for c := range 3 {
			in[3*i+c] = float32(min(max(v, 0), 255))*p.Scale + p.Bias
		}
	}
	return in
}

// stripes look like a face to the statistics: mean and spread as asked, the
// same on both sides, smooth at the scale of a pixel.
func stripes(mean, spread float64) func(x, y float64) float64 {
	return func(_, y float64) float64 { return mean + spread*math.Sqrt2*math.Sin(y*20) }
}

func TestLightOn(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		f    func(x, y float64) float64
		bad  bool
	}{
		{"everyday", stripes(130, 36), false},
		{"dark", stripes(40, 12), true},
		{"bright", stripes(210, 30), true},
		{"flat", stripes(120, 8), true},
		{"from one side", func(x, y float64) float64 { return 220*x + 5 + 20*math.Sin(y*20) }, true},
		{"noisy", func(x, y float64) float64 { return stripes(130, 30)(x, y) + 8*rng.NormFloat64() }, true},
		{"black", func(_, _ float64) float64 { return 0 }, true},
	} {
		for _, prep := range []Prep{{Scale: 1}, {BGR: true, Scale: 1 / 127.5, Bias: -1}} {
			e := newFake(t, fakeDetector(192, 2304, nil), nil)
			e.cfg.Embedder.Prep = prep
			l := e.lightOn(lit(e, c.f))
			if l.bad() != c.bad {
				t.Errorf("%s: %+v, bad %v", c.name, l, l.bad())
			}
		}
	}
}

func TestLightOnMeasures(t *testing.T) {
	e := newFake(t, fakeDetector(192, 2304, nil), nil)
	e.cfg.Embedder.Prep = Prep{Scale: 1}
	l := e.lightOn(lit(e, func(x, _ float64) float64 {
		if x < 0.5 {
			return 150
		}
		return 50
	}))
	if math.Abs(l.side-0.5) > 0.02 || math.Abs(l.mean-100) > 3 || math.Abs(l.spread-50) > 1 {
		t.Errorf("halves of 150 and 50: %+v", l)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	if l = e.lightOn(lit(e, func(_, _ float64) float64 { return 128 + 10*rng.NormFloat64() })); math.Abs(l.noise-10) > 1.5 {
		t.Errorf("noise of 10: %+v", l)
	}
}

func TestEvenBringsBackDarkFaces(t *testing.T) {
	for _, prep := range []Prep{{Scale: 1}, {Scale: 1 / 127.5, Bias: -1}} {
		e := newFake(t, fakeDetector(192, 2304, nil), nil)
		e.cfg.Embedder.Prep = prep
		in := lit(e, stripes(30, 9))
		e.lightOn(in).even(in, prep)
		if l := e.lightOn(in); math.Abs(l.mean-evenMean) > 3 || math.Abs(l.spread-evenSpread) > 3 {
			t.Errorf("evened: %+v", l)
		}
		for _, f := range []func(x, y float64) float64{stripes(130, 36), stripes(215, 20)} {
			in := lit(e, f)
			before := slices.Clone(in)
			e.lightOn(in).even(in, prep)
			if !slices.Equal(in, before) {
				t.Error("a good or a clipped face was changed")
			}
		}
		black := lit(e, func(_, _ float64) float64 { return 0 })
		e.lightOn(black).even(black, prep)
		for _, v := range black {
			if v < prep.Bias || v > 255*prep.Scale+prep.Bias || math.IsNaN(float64(v)) {
				t.Fatalf("black face evened to %v", v)
			}
		}
	}
}

func TestMirror(t *testing.T) {
	in := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27}
	before := slices.Clone(in)
	mirror(in, 3)
	if in[0] != 7 || in[2] != 9 || in[3] != 4 || in[6] != 1 || in[9] != 16 {
		t.Errorf("mirrored: %v", in)
	}
	mirror(in, 3)
	if !slices.Equal(in, before) {
		t.Errorf("mirrored twice: %v", in)
	}
}

func TestSecondLook(t *testing.T) {
	face := Face{Landmarks: [5]Point{{30, 40}, {70, 40}, {50, 60}, {35, 80}, {65, 80}}}
	picture := func(f func(x, y float64) float64) image.Image {
		img := image.NewGray(image.Rect(0, 0, 100, 100))
		for i := range img.Pix {
			img.SetGray(i%100, i/100, color.Gray{uint8(f(float64(i%100)/100, float64(i/100)/100))})
		}
		return img
	}
	good, dark := picture(stripes(130, 36)), picture(stripes(40, 12))
	for _, c := range []struct {
		look       SecondLook
		good, dark int // runs of the embedder
	}{{LookWhenHard, 1, 2}, {LookOnce, 1, 1}, {LookTwice, 2, 2}} {
		e := newFake(t, fakeDetector(192, 2304, nil), nil)
		e.cfg.SecondLook = c.look
		net := fakeEmbedder(0, 0)
		net.say = func(_ []float32, out [][]float32) { // another direction each time
			out[0][net.runs%2] = 2
		}
		e.cfg.Embedder.Model = net
		for img, want := range map[image.Image]int{good: c.good, dark: c.dark} {
			net.runs = 0
			got, err := e.Embed(context.Background(), img, face)
			if err != nil {
				t.Fatal(err)
			}
			if net.runs != want {
				t.Errorf("look %d: %d runs, want %d", c.look, net.runs, want)
			}
			if mean := float32(math.Sqrt(0.5)); want == 2 && math.Abs(float64(got[0]-mean)) > 1e-6 {
				t.Errorf("look %d: %v is not the mean of both looks", c.look, got)
			}
		}
	}
}
