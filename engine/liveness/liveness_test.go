package liveness

import (
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cypherface/edge/engine"
)

// head is a face at a turn in radians, of a head (depth 1) or of a flat picture (0):
// the points of a head before a camera from afar.
func head(turn, nod, depth float64) engine.Face {
	at := func(x, y, z float64) engine.Point {
		z *= depth
		s, c := math.Sincos(turn)
		x, z = c*x+s*z, c*z-s*x
		s, c = math.Sincos(nod)
		y = c*y - s*z
		return engine.Point{X: 320 + 20*x, Y: 240 - 20*y}
	}
	right, left, nose, mouth := at(-3.2, 0, 8), at(3.2, 0, 8), at(0, -3.8, 10.6), at(0, -6.9, 9)
	f := engine.Face{Keypoints: [6]engine.Point{right, left, nose, mouth, at(-7.3, -1.6, .3), at(7.3, -1.6, .3)}}
	f.Landmarks = [5]engine.Point{right, left, nose, at(-2.4, -6.8, 8.6), at(2.4, -6.8, 8.6)}
	f.Box = engine.Rect{X0: 180, Y0: 150, X1: 460, Y1: 430}
	return f
}

// picture is grey with noise of its own.
func grey(seed uint64) *image.YCbCr {
	img := image.NewYCbCr(image.Rect(0, 0, 640, 480), image.YCbCrSubsampleRatio420)
	d := rand.New(rand.NewPCG(seed, 1))
	for i := range img.Y {
		img.Y[i] = byte(110 + 30*math.Sin(float64(i%640)/25) + 4*d.NormFloat64())
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = 120, 140
	}
	return img
}

func session(depth float64, turns ...float64) (frames []Frame) {
	for i, turn := range turns {
		frames = append(frames, Observe(grey(uint64(i)), head(turn, 0, depth), nil, time.Duration(i)*300*time.Millisecond))
	}
	return frames
}

// The geometry knows a head from a plane: what the figures of a turn say.
func TestDepthOfATurn(t *testing.T) {
	turns := []float64{0, .1, .25, .4, .25, .1, 0, -.1, -.25, -.4, -.25, 0}
	solid, flat := session(1, turns...), session(0, turns...)
	for name, of := range map[string]func([]Frame) float64{
		"span": func(f []Frame) float64 { return span(series(f, yaw)) }, "protrusion": func(f []Frame) float64 { return span(series(f, protrusion)) },
		"ridge": func(f []Frame) float64 { return span(series(f, ridge)) },
		"third": third, "bend": bend,
	} {
		if a, b := of(solid), of(flat); a < 4*b || a < .05 {
			t.Errorf("%s: %.3f of a head, %.3f of a plane", name, a, b)
		}
	}
}

func TestFollows(t *testing.T) {
	turns := []float64{0, 0, .2, .4, .2, 0, -.2, -.4, -.2, 0}
	for _, tt := range []struct {
		asked []Move
		depth float64
		want  bool
	}{
		{[]Move{Center, Left, Right}, 1, true},
		{[]Move{Center, Right, Left}, 1, false},
		{[]Move{Center, Left, Right, Left}, 1, false},
		{[]Move{Center, Left}, 0, false}, // a plane that is turned by so much shows no turn
	} {
		if got := follows(session(tt.depth, turns...), tt.asked); got != tt.want {
			t.Errorf("%v at depth %v: %v", tt.asked, tt.depth, got)
		}
	}
	up := []Frame{Observe(grey(1), head(0, 0, 1), nil, 0), Observe(grey(2), head(0, 0, 1), nil, 1), Observe(grey(3), head(0, -.3, 1), nil, 2)}
	if !follows(up, []Move{Center, Up}) && !follows(up, []Move{Center, Down}) {
		t.Error("no nod is seen")
	}
}

func TestRules(t *testing.T) {
	turns := []float64{0, .1, .3, .4, .3, .1, 0, -.1, -.3, -.4, -.3, 0}
	has := func(frames []Frame, asked []Move, want Reason) bool {
		for _, r := range rules(frames, asked) {
			if r == want {
				return true
			}
		}
		return false
	}
	twice := session(1, turns...)
	twice = append(twice, twice[2], twice[3], twice[4])
	if !has(twice, nil, RepeatedOf) || has(session(1, turns...), nil, RepeatedOf) {
		t.Error("frames that are sent twice are not told from new ones")
	}
	if !has(session(1, 0, 0, 0), nil, NoMovement) || !has(session(1, 0, .1), nil, FewFrames) || !has(session(1, 0, .1, .2), []Move{Center, Left}, FewFrames) {
		t.Error("stillness or too few frames go unnoticed")
	}
	if !has(session(1, 0, .4, -.4, .4, -.4, .4, -.4, .4, -.4, .4, -.4, .4), []Move{Center, Left, Right}, Reordered) {
		t.Error("a head that goes to and fro without end goes unnoticed")
	}
	leap := session(1, turns...)
	leap[5].Face.Box = engine.Rect{X0: 1180, Y0: 150, X1: 1460, Y1: 430}
	if !has(leap, nil, Jumps) {
		t.Error("a face that leaps goes unnoticed")
	}
}

// room is a session of somebody far from the camera, in rooms of these colours.
func room(colours ...byte) (frames []Frame) {
	for i, c := range colours {
		img := grey(uint64(i))
		for k := range img.Cb {
			img.Cb[k] = c
		}
		f := head(.02*float64(i), 0, 1)
		for k, p := range f.Keypoints {
			f.Keypoints[k] = engine.Point{X: 320 + (p.X-320)/3, Y: 240 + (p.Y-240)/3}
		}
		for k, p := range f.Landmarks {
			f.Landmarks[k] = engine.Point{X: 320 + (p.X-320)/3, Y: 240 + (p.Y-240)/3}
		}
		frames = append(frames, Observe(img, f, nil, time.Duration(i)*300*time.Millisecond))
	}
	return frames
}

func TestOneRoom(t *testing.T) {
	for _, tt := range []struct {
		colours []byte
		want    bool // a cut
	}{
		{[]byte{120, 120, 120, 120, 120, 120}, false},
		{[]byte{120, 120, 120, 124, 124, 124}, true},
		{[]byte{120, 121, 122, 123, 124, 125}, false}, // a camera that finds its white
	} {
		m := measure(room(tt.colours...), Likeness{})
		if got := m[Tint] > tintLimit; got != tt.want {
			t.Errorf("%v: tint %.2f", tt.colours, m[Tint])
		}
		if r := m.Rules(); (len(r) == 1 && r[0] == CutFrames) != tt.want {
			t.Errorf("%v: rules %v", tt.colours, r)
		}
	}
}

func TestOnePerson(t *testing.T) {
	same := Likeness{Next: .4, Any: .2}
	frames := session(1, 0, .1, .2)
	for i, tpl := range []engine.Template{{1, 0}, {1, 0}, {0, 1}} {
		frames[i].Template = tpl
	}
	m := measure(frames, same)
	if r := m.Rules(); len(r) != 1 || r[0] != Foreign {
		t.Errorf("rules %v", r)
	}
	frames[2].Template = engine.Template{1, 0}
	if m := measure(frames, same); len(m.Rules()) != 0 || m[Continuity] != 1 {
		t.Errorf("rules %v, continuity %v", m.Rules(), m[Continuity])
	}
	if m := measure(frames, Likeness{}); !math.IsNaN(m[Continuity]) {
		t.Error("templates are compared without a calibration")
	}
}

func TestChallenges(t *testing.T) {
	d := rand.New(rand.NewPCG(1, 2))
	seen := map[string]bool{}
	for range 400 {
		c, words := NewChallenge(d.IntN), ""
		for _, m := range c {
			words += string(m) + " "
		}
		seen[words] = true
		if len(c) != 4 || c[0] != Center {
			t.Fatal(c)
		}
	}
	if len(seen) != 18 {
		t.Errorf("%d challenges", len(seen))
	}
}

func TestTheCalibrationIsThere(t *testing.T) {
	m, bare := Default(), Default().Bare()
	if m.Origin == "" || bare.Origin == "" || bare == m {
		t.Error("one does not say where it comes from")
	}
	for mode, kinds := range map[string]map[string]Regression{"active": m.Active, "passive": m.Passive, "active, bare": bare.Active, "passive, bare": bare.Passive} {
		for _, kind := range []string{"paper", "display", "recording"} {
			r := kinds[kind]
			if _, ok := r.Terms[Picture.String()]; ok {
				t.Errorf("%s, %s: rendered people say how a network for real ones counts", mode, kind)
			}
			if len(r.Terms) < 3 {
				t.Errorf("%s, %s: %d terms", mode, kind, len(r.Terms))
			}
			for name, term := range r.Terms {
				for c := range cues {
					if c.String() == name && (term.Low*directions[c] < 0 || term.High*directions[c] < 0) {
						t.Errorf("%s, %s: %s speaks against its direction", mode, kind, name)
					}
				}
			}
		}
	}
}

// Whose points are the detector's own is judged by the model for such.
func TestThePointsChooseTheModel(t *testing.T) {
	frames := session(1, 0, .1, .3)
	own := slices.Clone(frames)
	own[1].Face.Landmarks[2].X += 3
	if m := Default(); m.suits(frames) != m.Bare() || m.suits(own) != m {
		t.Error("the wrong model is taken")
	}
	if m := new(Model); m.suits(frames) != m {
		t.Error("a model without another for bare points is not used for them")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(calibration)
	f.Add([]byte(`{"active":{"paper":{"terms":{"span":{"scale":0}}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		if s := m.Score(new(Measures), true); s < 0 || s > 100 {
			t.Errorf("score %v", s)
		}
	})
}

// Any face that a detector might report, in any picture, is measured without harm.
func FuzzObserve(f *testing.F) {
	f.Add(uint8(64), uint8(48), 10., 10., 40., 30.)
	f.Add(uint8(1), uint8(1), -1e9, 0., math.Inf(1), math.NaN())
	f.Fuzz(func(t *testing.T, w, h uint8, x0, y0, x1, y1 float64) {
		if w == 0 || h == 0 {
			return
		}
		img := image.NewYCbCr(image.Rect(0, 0, int(w), int(h)), image.YCbCrSubsampleRatio420)
		face := engine.Face{Box: engine.Rect{X0: x0, Y0: y0, X1: x1, Y1: y1}}
		for i := range face.Keypoints {
			face.Keypoints[i] = engine.Point{X: x0 + float64(i)*x1, Y: y0 - float64(i)*y1}
		}
		for i := range face.Landmarks {
			face.Landmarks[i] = engine.Point{X: x1 - float64(i)*x0, Y: y1 + float64(i%2)*y0}
		}
		fr := Observe(img, face, nil, 0)
		fr.Spoof = x0
		Default().Judge([]Frame{fr, fr, fr}, nil, Likeness{})
	})
}
