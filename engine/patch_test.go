package engine

import (
	"errors"
	"image"
	"math"
	"testing"
)

// fakePatch answers with logits and shows what it was given.
func fakePatch(scale float64, seen *[]float32, logits ...float32) Patch {
	return Patch{Network{&fakeNet{in: []int{1, 8, 8, 3}, outs: [][]int{{1, 3}}, say: func(in []float32, out [][]float32) {
		if seen != nil {
			*seen = in
		}
		copy(out[0], logits)
	}}, Prep{BGR: true, Scale: 1}}, scale}
}

// watching is an engine with networks against attacks.
func watching(t *testing.T, patches ...Patch) *Engine {
	t.Helper()
	e, err := New(Config{FullRange: Network{fakeDetector(192, 2304, nil), plain}, Embedder: Network{fakeEmbedder(1, 0), plain}, Patches: patches})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// frontal is a face whose eyes and mouth are 40 pixels apart, the middle of both here.
func frontal(x, y float64) Face {
	return Face{Landmarks: [5]Point{{x - 18, y - 20}, {x + 18, y - 20}, {x, y}, {x - 15, y + 20}, {x + 15, y + 20}}}
}

// Where a rectangle lies is worked out by hand from what the makers of the networks
// write: scaled around the middle, smaller where the picture is, pushed inside, cut to
// whole pixels of which the last belongs to it.
func TestPatchesLieWhereTheirMakersCutThem(t *testing.T) {
	r := newRaster(image.NewGray(image.Rect(0, 0, 640, 480)))
	for name, c := range map[string]struct {
		box   Rect
		scale float64
		want  image.Rectangle
	}{
		"inside":                  {Rect{300, 200, 360, 280}, 2.7, image.Rect(249, 132, 412, 349)},
		"beyond the upper left":   {Rect{10, 20, 70, 100}, 2.7, image.Rect(0, 0, 163, 217)},
		"beyond the lower right":  {Rect{590, 400, 630, 470}, 4, image.Rect(479, 199, 640, 480)},
		"higher than the picture": {Rect{200, 100, 320, 260}, 4, image.Rect(80, 0, 440, 480)},
		"wider than the picture":  {Rect{0, 200, 320, 280}, 4, image.Rect(0, 160, 640, 320)},
		"larger than the picture": {Rect{-100, -100, 900, 900}, 2.7, image.Rect(160, 0, 640, 480)},
	} {
		if got := r.patch(c.box, c.scale); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// A rectangle is stretched into the square of the network: what is at its edges is at
// those of the input, blue first.
func TestPatchesAreStretched(t *testing.T) {
	m := slope(200, 160, 1, 0, image.YCbCrSubsampleRatio444)
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = 138, 128 // bluer than grey
	}
	in := make([]float32, 8*8*3)
	newRaster(m).stretch(in, 8, image.Rect(40, 20, 120, 140), Prep{BGR: true, Scale: 1})
	for u := range 8 {
		luma := 20 + 40 + (float64(u)+.5)*10 - .5
		for v := range 8 {
			px := in[3*(8*v+u):][:3]
			if math.Abs(float64(px[2])-luma) > 1 || math.Abs(float64(px[0])-luma-1.772*10) > 1 || math.Abs(float64(px[1])-luma+.344*10) > 1 {
				t.Fatalf("at %d, %d: %v, want a luma of %v", u, v, px, luma)
			}
		}
	}
}

func TestAttackIsTheMeanOfTheNetworks(t *testing.T) {
	img := slope(640, 480, 0, 0, image.YCbCrSubsampleRatio420)
	var near, wide []float32
	sure, torn := fakePatch(2.7, &near, 0, 50, 0), fakePatch(4, &wide, 1, 1, -50)
	p, err := watching(t, sure, torn).Attack(t.Context(), img, frontal(320, 240))
	if err != nil || math.Abs(p-.25) > 1e-6 {
		t.Errorf("%v, %v", p, err)
	}
	if near == nil || wide == nil || near[2] == 0 {
		t.Error("they were shown nothing")
	}
	part := img.SubImage(image.Rect(100, 60, 540, 420))
	if q, err := watching(t, sure, torn).Attack(t.Context(), part, frontal(320, 240)); err != nil || q != p {
		t.Errorf("in a part of a picture: %v, %v", q, err)
	}
	if p, err := watching(t).Attack(t.Context(), img, frontal(320, 240)); err != nil || !math.IsNaN(p) {
		t.Errorf("without networks: %v, %v", p, err)
	}
	if p, err := watching(t, sure).Attack(t.Context(), image.NewGray(image.Rectangle{}), Face{}); err != nil || !math.IsNaN(p) {
		t.Errorf("in no picture: %v, %v", p, err)
	}
}

func TestAttackReportsFaults(t *testing.T) {
	img := slope(64, 48, 0, 0, image.YCbCrSubsampleRatio420)
	if _, err := watching(t, fakePatch(2.7, nil, float32(math.NaN()), 0, 0)).Attack(t.Context(), img, frontal(30, 20)); err == nil {
		t.Error("an answer that is no number is taken for one")
	}
	broken := fakePatch(2.7, nil, 0, 0, 0)
	broken.Model.(*fakeNet).err = errors.New("broken")
	if _, err := watching(t, broken).Attack(t.Context(), img, frontal(30, 20)); !errors.Is(err, broken.Model.(*fakeNet).err) {
		t.Errorf("error %v", err)
	}
}

func TestNewRefusesPatches(t *testing.T) {
	for name, p := range map[string]Patch{
		"no network":  {Scale: 2},
		"no scale":    fakePatch(0, nil),
		"odd scale":   fakePatch(math.NaN(), nil),
		"two classes": {Network{&fakeNet{in: []int{1, 8, 8, 3}, outs: [][]int{{1, 2}}}, plain}, 2.7},
		"not square":  {Network{&fakeNet{in: []int{1, 8, 9, 3}, outs: [][]int{{1, 3}}}, plain}, 2.7},
	} {
		_, err := New(Config{FullRange: Network{fakeDetector(192, 2304, nil), plain}, Embedder: Network{fakeEmbedder(1, 0), plain}, Patches: []Patch{p}})
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Any face in any picture is looked at without harm, and the answer is a probability.
func FuzzAttack(f *testing.F) {
	f.Add(uint8(64), uint8(48), 10., 10., 40., 30.)
	f.Add(uint8(1), uint8(1), -1e9, 0., math.Inf(1), math.NaN())
	f.Fuzz(func(t *testing.T, w, h uint8, x0, y0, x1, y1 float64) {
		if w == 0 || h == 0 {
			return
		}
		face := Face{Landmarks: [5]Point{{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}, {x1, y1}}}
		p, err := watching(t, fakePatch(2.7, nil, 0, 1, 2), fakePatch(4, nil, 3, 0, 0)).Attack(t.Context(), image.NewYCbCr(image.Rect(0, 0, int(w), int(h)), image.YCbCrSubsampleRatio420), face)
		if err != nil || !(p >= 0 && p <= 1) {
			t.Errorf("%v, %v", p, err)
		}
	})
}
