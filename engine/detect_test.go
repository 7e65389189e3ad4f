package engine

import (
	"context"
	"errors"
	"image"
	"math"
	"testing"
)

// fakeNet is a network that answers what it was told.
type fakeNet struct {
	in   []int
	outs [][]int
	say  func(in []float32, out [][]float32)
	err  error
	runs int
}

func (f *fakeNet) Input() []int     { return f.in }
func (f *fakeNet) Outputs() [][]int { return f.outs }
func (f *fakeNet) Run(_ context.Context, fill func([]float32), read func([][]float32)) error {
	f.runs++
	if f.err != nil {
		return f.err
	}
	in := make([]float32, volume(f.in))
	fill(in)
	var out [][]float32
	for _, s := range f.outs {
		out = append(out, make([]float32, volume(s)))
	}
	if f.say != nil {
		f.say(in, out)
	}
	read(out)
	return nil
}

func fakeDetector(side, anchors int, say func(reg, cls []float32)) *fakeNet {
	return &fakeNet{in: []int{1, side, side, 3}, outs: [][]int{{1, anchors, 16}, {1, anchors, 1}},
		say: func(_ []float32, out [][]float32) {
			for i := range out[1] {
				out[1][i] = -100
			}
			if say != nil {
				say(out[0], out[1])
			}
		}}
}

func fakeEmbedder(vector ...float32) *fakeNet {
	return &fakeNet{in: []int{1, 32, 32, 3}, outs: [][]int{{1, len(vector)}},
		say: func(_ []float32, out [][]float32) { copy(out[0], vector) }}
}

var fakeTemplate = [5]Point{{0.3, 0.4}, {0.7, 0.4}, {0.5, 0.6}, {0.35, 0.8}, {0.65, 0.8}}

// plant writes a face into the raw outputs: centre, size and eyes in input
// pixels.
func plant(reg, cls []float32, at []Point, i int, logit float32, center Point, size, eyes float32) {
	r := reg[16*i:][:16]
	dx, dy := float32(center.X-at[i].X), float32(center.Y-at[i].Y)
	copy(r, []float32{dx, dy, size, size,
		dx - eyes/2, dy, dx + eyes/2, dy, dx, dy + eyes*0.56, dx, dy + eyes, dx - eyes, dy, dx + eyes, dy})
	cls[i] = logit
}

func newFake(t *testing.T, full, short *fakeNet) *Engine {
	t.Helper()
	cfg := Config{FullRange: Network{full, plain}, Embedder: Network{fakeEmbedder(3, 4), plain}, Template: fakeTemplate, Space: "test"}
	if short != nil {
		cfg.ShortRange = Network{short, plain}
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAnchors(t *testing.T) {
	full, short := anchors(192, 2304), anchors(128, 896)
	if len(full) != 2304 || full[0] != (Point{2, 2}) || full[49] != (Point{6, 6}) {
		t.Errorf("full range: %d, %v", len(full), full[:2])
	}
	if len(short) != 896 || short[0] != (Point{4, 4}) || short[1] != (Point{4, 4}) || short[512] != (Point{8, 8}) || short[895] != (Point{120, 120}) {
		t.Errorf("short range: %d", len(short))
	}
	if anchors(128, 897) != nil {
		t.Error("anchors of a layout that does not exist")
	}
}

func TestDetectDecodesInImagePixels(t *testing.T) {
	at := anchors(192, 2304)
	full := fakeDetector(192, 2304, func(reg, cls []float32) {
		plant(reg, cls, at, 1000, 2, Point{96, 100}, 30, 12)
	})
	e := newFake(t, full, nil)
	// 640×480 in 192: 3.33 pixels each, 24 rows of letterbox above.
	faces, err := e.Detect(t.Context(), image.NewGray(image.Rect(0, 0, 640, 480)))
	if err != nil || len(faces) != 1 {
		t.Fatalf("%d faces, %v", len(faces), err)
	}
	f, k := faces[0], 640.0/192
	if c := f.Box.Center(); !near(c, Point{96 * k, (100 - 24) * k}, 1e-4) || math.Abs(f.Box.Width()-30*k) > 1e-4 {
		t.Errorf("box %v", f.Box)
	}
	if math.Abs(f.EyeDistance()-12*k) > 1e-4 || math.Abs(f.Score-1/(1+math.Exp(-2))) > 1e-6 {
		t.Errorf("eyes %v, score %v", f.EyeDistance(), f.Score)
	}
	// The same in a part of a larger image, in that image's own coordinates.
	big := image.NewGray(image.Rect(0, 0, 1000, 1000)).SubImage(image.Rect(100, 50, 740, 530))
	moved, err := e.Detect(t.Context(), big)
	if err != nil || len(moved) != 1 || !near(moved[0].Landmarks[2], Point{f.Landmarks[2].X + 100, f.Landmarks[2].Y + 50}, 1e-4) {
		t.Errorf("in a part: %v %v", moved, err)
	}
}

func TestWeightedSuppression(t *testing.T) {
	a := Face{Box: Rect{0, 0, 10, 10}, Score: 0.9}
	b := Face{Box: Rect{2, 0, 12, 10}, Score: 0.6}
	far := Face{Box: Rect{50, 50, 60, 60}, Score: 0.7}
	faces := suppress([]Face{b, far, a})
	if len(faces) != 2 {
		t.Fatalf("%d faces, want 2", len(faces))
	}
	if f := faces[0]; f.Score != 0.9 || math.Abs(f.Box.X0-2*0.6/1.5) > 1e-12 {
		t.Errorf("blend %+v", f)
	}
	if faces[1].Box != far.Box {
		t.Errorf("the second face moved: %v", faces[1].Box)
	}
}

func TestSuppressionIsBounded(t *testing.T) {
	many := make([]Face, 50_000)
	for i := range many {
		x := float64(i * 20)
		many[i] = Face{Box: Rect{x, 0, x + 10, 10}, Score: 0.6}
	}
	if n := len(suppress(many)); n > maxCandidates {
		t.Errorf("%d faces", n)
	}
}

func TestShortRangeServesWhereFullFindsNothing(t *testing.T) {
	at := anchors(128, 896)
	full := fakeDetector(192, 2304, nil)
	short := fakeDetector(128, 896, func(reg, cls []float32) { plant(reg, cls, at, 600, 3, Point{64, 64}, 60, 25) })
	e := newFake(t, full, short)
	img := image.NewGray(image.Rect(0, 0, 128, 128))
	faces, err := e.Detect(t.Context(), img)
	if err != nil || len(faces) != 1 || math.Abs(faces[0].Box.Width()-60) > 1e-4 {
		t.Fatalf("%v %v", faces, err)
	}
	full.say = func(_ []float32, out [][]float32) {
		plant(out[0], out[1], anchors(192, 2304), 500, 3, Point{64, 64}, 60, 25)
	}
	runs := short.runs
	if _, err := e.Detect(t.Context(), img); err != nil || short.runs != runs+1 { // the close-up
		t.Errorf("short range ran on the frame although full range found a face: %v", err)
	}
}

func TestDetectSurvivesNonsense(t *testing.T) {
	nan := float32(math.NaN())
	inf := float32(math.Inf(1))
	for name, say := range map[string]func(reg, cls []float32){
		"nan logits": func(_, cls []float32) { fillWith(cls, nan) },
		"nan boxes":  func(reg, cls []float32) { fillWith(cls, 5); fillWith(reg, nan) },
		"inf boxes":  func(reg, cls []float32) { fillWith(cls, inf); fillWith(reg, inf) },
		"zero boxes": func(_, cls []float32) { fillWith(cls, 5) },
		"all faces": func(reg, cls []float32) {
			fillWith(cls, 5)
			for i := 2; i < len(reg); i += 16 {
				reg[i], reg[i+1] = 2, 2
			}
		},
	} {
		e := newFake(t, fakeDetector(192, 2304, say), nil)
		for _, size := range []image.Point{{1, 1}, {640, 480}, {1, 5000}} {
			if _, err := e.Detect(t.Context(), image.NewGray(image.Rectangle{Max: size})); err != nil {
				t.Errorf("%s, %v: %v", name, size, err)
			}
		}
		if faces, err := e.Detect(t.Context(), image.NewGray(image.Rect(3, 3, 3, 9))); err != nil || len(faces) != 0 {
			t.Errorf("empty image: %v %v", faces, err)
		}
	}
}

func fillWith(s []float32, v float32) {
	for i := range s {
		s[i] = v
	}
}

func TestErrorsOfNetworksAreReported(t *testing.T) {
	broken := errors.New("broken")
	full := fakeDetector(192, 2304, nil)
	full.err = broken
	if _, err := newFake(t, full, nil).Detect(t.Context(), image.NewGray(image.Rect(0, 0, 9, 9))); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	good := func() Config {
		return Config{FullRange: Network{fakeDetector(192, 2304, nil), plain}, Embedder: Network{fakeEmbedder(1, 0), plain}}
	}
	for name, change := range map[string]func(c *Config){
		"no detector":     func(c *Config) { c.FullRange = Network{} },
		"no embedder":     func(c *Config) { c.Embedder = Network{} },
		"anchors":         func(c *Config) { c.FullRange.Model = fakeDetector(192, 2303, nil) },
		"not square":      func(c *Config) { c.Embedder.Model = &fakeNet{in: []int{1, 3, 4, 3}, outs: [][]int{{1, 2}}} },
		"one output":      func(c *Config) { c.FullRange.Model = &fakeNet{in: []int{1, 192, 192, 3}, outs: [][]int{{1, 2304, 16}}} },
		"scalar template": func(c *Config) { c.Embedder.Model = &fakeNet{in: []int{1, 32, 32, 3}, outs: [][]int{{1, 1}}} },
		"landmark outputs": func(c *Config) {
			c.Landmarks = Network{&fakeNet{in: []int{1, 48, 48, 3}, outs: [][]int{{1, 8}}}, plain}
		},
		"landmark input": func(c *Config) { c.Landmarks = Network{&fakeNet{in: []int{48}, outs: [][]int{{1, 10}}}, plain} },
		"short range":    func(c *Config) { c.ShortRange = Network{fakeDetector(64, 896, nil), plain} },
	} {
		c := good()
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if e, err := New(good()); err != nil || e.Dim() != 2 {
		t.Errorf("a good configuration: %v", err)
	}
}

func TestDominant(t *testing.T) {
	face := func(gap float64) Face { return Face{Landmarks: [5]Point{{0, 0}, {gap, 0}}} }
	if _, _, ok := Dominant(nil); ok {
		t.Error("a dominant face among none")
	}
	for _, c := range []struct {
		second    float64
		ambiguous bool
	}{{59, false}, {60, true}, {100, true}} {
		f, ambiguous, ok := Dominant([]Face{face(100), face(c.second)})
		if !ok || f.EyeDistance() != 100 || ambiguous != c.ambiguous {
			t.Errorf("second face of %v: ambiguous %v", c.second, ambiguous)
		}
	}
}

func TestLandmarksNetworkAnswersInItsCrop(t *testing.T) {
	at := anchors(192, 2304)
	full := fakeDetector(192, 2304, func(reg, cls []float32) { plant(reg, cls, at, 1000, 3, Point{96, 96}, 40, 16) })
	marks := &fakeNet{in: []int{1, 48, 48, 3}, outs: [][]int{{1, 10}}, say: func(_ []float32, out [][]float32) {
		copy(out[0], []float32{0.3, 0.4, 0.7, 0.4, 0.5, 0.5, 0.35, 0.8, 0.65, 0.8})
	}}
	e, err := New(Config{FullRange: Network{full, plain}, Landmarks: Network{marks, plain}, Embedder: Network{fakeEmbedder(1, 1), plain}, Template: fakeTemplate})
	if err != nil {
		t.Fatal(err)
	}
	faces, err := e.Detect(t.Context(), image.NewGray(image.Rect(0, 0, 192, 192)))
	if err != nil || len(faces) != 1 {
		t.Fatalf("%v %v", faces, err)
	}
	// A box of 40 around (96, 96).
	if l := faces[0].Landmarks; !near(l[2], Point{96, 96}, 0.01) || !near(l[0], Point{76 + 0.3*40, 76 + 0.4*40}, 0.01) {
		t.Errorf("landmarks %v", l)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, float32(1), float32(20))
	d := &detector{side: 192, anchors: anchors(192, 2304), least: 0.5}
	f.Fuzz(func(t *testing.T, b []byte, logit, v float32) {
		reg, cls := make([]float32, 16*2304), make([]float32, 2304)
		for i, c := range b {
			cls[i%len(cls)] = logit * float32(c)
			reg[(i*31)%len(reg)] = v * (float32(c) - 100)
		}
		for _, face := range suppress(d.decode(reg, cls, fitSquare(640, 480, 192))) {
			if !(face.Score >= 0.5 && face.Score <= 1) || !(face.Box.Width() > 0) {
				t.Errorf("face %+v", face)
			}
		}
	})
}
