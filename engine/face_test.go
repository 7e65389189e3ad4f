package engine

import (
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestEmbed(t *testing.T) {
	at := anchors(192, 2304)
	e := newFake(t, fakeDetector(192, 2304, func(reg, cls []float32) { plant(reg, cls, at, 1000, 3, Point{96, 96}, 40, 16) }), nil)
	img := image.NewGray(image.Rect(0, 0, 192, 192))
	faces, err := e.Detect(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Embed(t.Context(), img, faces[0])
	if err != nil || !slices.Equal(got, Template{0.6, 0.8}) || e.Space() != "test" {
		t.Errorf("template %v, %v", got, err)
	}
	if _, err := e.Embed(t.Context(), img, Face{}); err == nil {
		t.Error("a face without landmarks was embedded")
	}
	for _, v := range [][]float32{{0, 0}, {float32(math.NaN()), 1}, {float32(math.Inf(1)), 1}} {
		e.cfg.Embedder.Model = fakeEmbedder(v...)
		if _, err := e.Embed(t.Context(), img, faces[0]); err == nil {
			t.Errorf("a template from %v", v)
		}
	}
}

// The aligned picture must have the face's points where the template wants
// them.
func TestAlignmentPutsPointsOnTheTemplate(t *testing.T) {
	e := newFake(t, fakeDetector(192, 2304, nil), nil)
	place := framing(Point{300, 200}, 90, 0.4, 1)
	var marks [5]Point
	for i, p := range fakeTemplate {
		marks[i] = place.apply(p)
	}
	s, err := e.aligned(marks)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range fakeTemplate {
		if got := s.apply(Point{p.X * 32, p.Y * 32}); !near(got, marks[i], 1e-6) {
			t.Errorf("point %d comes from %v, want %v", i, got, marks[i])
		}
	}
}

func TestCrop(t *testing.T) {
	e := newFake(t, fakeDetector(192, 2304, nil), nil)
	img := slope(640, 480, 0.3, 0.05, image.YCbCrSubsampleRatio420)
	f := Face{Landmarks: [5]Point{{300, 200}, {340, 210}, {318, 230}, {300, 250}, {330, 256}}}
	c := e.Crop(img, f)
	if c.Image.Rect != image.Rect(0, 0, CropSize, CropSize) || c.Image.SubsampleRatio != image.YCbCrSubsampleRatio444 {
		t.Fatalf("crop %v", c.Image.Rect)
	}
	if d := distance(c.Landmarks[0], c.Landmarks[1]); math.Abs(d-CropEyes) > 1e-6 || c.Landmarks[0].Y != c.Landmarks[1].Y {
		t.Errorf("eyes at %v and %v", c.Landmarks[0], c.Landmarks[1])
	}
	// Pixels are where the landmarks say.
	r := newRaster(img)
	want, _, _ := r.at(318, 230)
	got, _, _ := newRaster(c.Image).at(float32(c.Landmarks[2].X), float32(c.Landmarks[2].Y))
	if math.Abs(float64(got-want)) > 1.5 {
		t.Errorf("the nose is %v in the crop, %v in the image", got, want)
	}
	if c := e.Crop(img, Face{}); c.Image == nil || c.Landmarks != cropLayout {
		t.Error("a crop without landmarks")
	}
}

func TestCompareAndFuse(t *testing.T) {
	a, b := Template{1, 0}, Template{0, 1}
	for _, c := range []struct {
		a, b Template
		want float64
	}{{a, a, 1}, {a, b, 0}, {a, Template{-1, 0}, -1}, {a, Template{1, 0, 0}, -1}, {nil, nil, -1}} {
		if got := Compare(c.a, c.b); got != c.want {
			t.Errorf("compare %v %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
	m := Fuse(a, b, Template{1, 2, 3})
	if math.Abs(Compare(m, a)-math.Sqrt2/2) > 1e-6 || math.Abs(Compare(m, m)-1) > 1e-6 {
		t.Errorf("fused %v", m)
	}
	if Fuse() != nil || Fuse(a, Template{-1, 0}) != nil {
		t.Error("a fusion without a direction")
	}
	if a[0] != 1 || b[1] != 1 {
		t.Error("fusion changed its arguments")
	}
}

func TestQualityReasons(t *testing.T) {
	face := func(gap float64) Face {
		return Face{Box: Rect{320 - gap, 240 - gap, 320 + gap, 240 + gap}, Landmarks: [5]Point{
			{320 - gap/2, 220}, {320 + gap/2, 220}, {320, 220 + 0.56*gap}, {320 - gap*0.4, 220 + gap}, {320 + gap*0.4, 220 + gap}}}
	}
	// scene draws luma by place; texture gives the face detail.
	scene := func(luma func(x, y int) int, texture int) *raster {
		m := image.NewGray(image.Rect(0, 0, 640, 480))
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range m.Pix {
			m.Pix[i] = uint8(min(max(luma(i%640, i/640)+rng.IntN(2*texture+1)-texture, 0), 255))
		}
		return newRaster(m)
	}
	flat := func(v int) func(x, y int) int { return func(int, int) int { return v } }
	for name, c := range map[string]struct {
		r    *raster
		gap  float64
		yaw  float64
		want Reason
	}{
		"good":       {scene(flat(120), 40), 80, 0, ""},
		"small":      {scene(flat(120), 40), 15, 0, TooSmall},
		"turned":     {scene(flat(120), 40), 80, 50, TurnedAway},
		"dark":       {scene(flat(15), 15), 80, 0, TooDark},
		"bright":     {scene(flat(240), 15), 80, 0, TooBright},
		"side light": {scene(func(x, _ int) int { return 40 + 160*(x/320) }, 30), 80, 0, SideLit},
		"back light": {scene(func(x, y int) int {
			if math.Hypot(float64(x-320), float64(y-260)) < 110 {
				return 50
			}
			return 250
		}, 20), 80, 0, BackLit},
		"haze": {scene(flat(120), 2), 80, 0, LowDetail},
		"blur": {scene(func(x, y int) int { return 120 + int(60*math.Sin(float64(x)/25)) }, 0), 80, 0, Blurred},
	} {
		f := face(c.gap)
		f.Pose.Yaw = c.yaw
		q := c.r.assess(&f)
		if c.want == "" && !q.Good() || c.want != "" && !slices.Contains(q.Reasons, c.want) {
			t.Errorf("%s: reasons %v, want %q (%+v)", name, q.Reasons, c.want, q)
		}
		for _, r := range q.Reasons {
			if r.Hint() == "" {
				t.Errorf("%s has no hint", r)
			}
		}
	}
	cut := face(80)
	cut.Box = Rect{-100, 100, 60, 260}
	if q := scene(flat(120), 40).assess(&cut); !slices.Contains(q.Reasons, CutByFrame) || q.Inside > 0.4 {
		t.Errorf("cut by the frame: %+v", q)
	}
}
