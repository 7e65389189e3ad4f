package synthface

import (
	"math"
	"testing"
)

// surfaceAt is the first point of the head on a ray from the camera's side.
func surfaceAt(t *traits, x, y float64) vec {
	z := 16.0
	for range 400 {
		d := t.head(vec{x, y, z})
		if d < .01 {
			break
		}
		z -= min(d, .3)
	}
	return vec{x, y, z}
}

func TestHairGrowsOnTheScalp(t *testing.T) {
	for seed := range int64(80) {
		p := newTraits(seed)
		if _, in := p.hairField(vec{0, p.skullH + 2, -3}, 0); in < .5 {
			t.Errorf("seed %d, style %d: no hair on the crown: %.2f", seed, p.style, in)
		}
		for _, face := range []vec{{0, 0, 9}, {p.eyeX, 0, 8}, {3, -4, 7}, {0, p.mouthY, 9}, {0, p.chinY, 8}} {
			if _, in := p.hairField(face, face.X); in > -.3 {
				t.Errorf("seed %d, style %d: hair on the face at %v: %.2f", seed, p.style, face, in)
			}
		}
	}
}

// Skin and hair meet without a step: along the middle of the forehead the
// surface does not jump.
func TestHairLineHasNoStep(t *testing.T) {
	for seed := range int64(40) {
		p := newTraits(seed)
		last := surfaceAt(p, 0, 2.5).Z
		for y := 2.6; y < 8; y += .1 {
			z := surfaceAt(p, 0, y).Z
			if math.Abs(z-last) > .9 {
				t.Errorf("seed %d, style %d: a step of %.2f cm at height %.1f", seed, p.style, z-last, y)
			}
			last = z
		}
	}
}

func TestFeaturesStandInTheirOrder(t *testing.T) {
	for seed := range int64(40) {
		p := newTraits(seed)
		nose, cheek, ear := surfaceAt(p, 0, p.noseY), surfaceAt(p, 4.5, p.noseY), surfaceAt(p, 7.8*p.width, -1.6)
		if !(nose.Z > cheek.Z+1 && cheek.Z > ear.Z+1) {
			t.Errorf("seed %d: nose at %.1f, cheek at %.1f, ear at %.1f", seed, nose.Z, cheek.Z, ear.Z)
		}
		if lip := surfaceAt(p, 0, p.mouthY-.4); math.Abs(lip.Z-9) > 1.4 {
			t.Errorf("seed %d: the lip is at %.1f, its keypoint at 9", seed, lip.Z)
		}
	}
}

func TestAperture(t *testing.T) {
	p := newTraits(3)
	if in, _ := p.aperture(0, 0, 0); in <= 0 {
		t.Error("the open eye is shut")
	}
	if in, _ := p.aperture(0, 0, 1); in > 0 {
		t.Error("the shut eye is open")
	}
	for _, far := range [][2]float64{{2, 0}, {-2, 0}, {0, 1}, {0, -1}} {
		if in, _ := p.aperture(far[0], far[1], 0); in > 0 {
			t.Errorf("the eye is open at %v", far)
		}
	}
	last := math.Inf(1)
	for blink := 0.; blink <= 1; blink += .1 {
		in, _ := p.aperture(0, .05, blink)
		if in > last {
			t.Errorf("at blink %.1f the eye opens", blink)
		}
		last = in
	}
}

func TestEyeballLooks(t *testing.T) {
	p := newTraits(3)
	dark := func(u float64, e Expression) float64 { return p.eyeball(u, -.05, .3, .4, 1, &e).len() }
	if !(dark(0, Expression{}) < dark(.7, Expression{})/3) {
		t.Error("no pupil in the middle of the eye")
	}
	if !(dark(.3, Expression{GazeX: 1}) < dark(0, Expression{GazeX: 1})) {
		t.Error("the pupil does not follow the gaze")
	}
}

func TestDeform(t *testing.T) {
	p := newTraits(3)
	chin, brow, back := vec{0, p.chinY + 1, 8}, vec{2, p.browY, 8}, vec{0, p.chinY, -6}
	wide := &Expression{Mouth: 1}
	if d := p.deform(chin, wide); chin.Y-d.Y < 1 {
		t.Errorf("the chin drops by %.2f cm", chin.Y-d.Y)
	}
	if p.deform(brow, wide) != brow || p.deform(back, wide) != back {
		t.Error("brow or nape move with the jaw")
	}
	corner := vec{p.mouthW, p.mouthY, 7.5}
	if d := p.deform(corner, &Expression{Smile: 1}); d.Y-corner.Y < .2 || d.X <= corner.X {
		t.Errorf("a smile takes the corner of the mouth from %v to %v", corner, d)
	}
	if left, right := p.deform(vec{-2, -7, 8}, wide), p.deform(vec{2, -7, 8}, wide); left.X != -right.X || left.Y != right.Y {
		t.Error("the mouth opens unevenly")
	}
}

func TestBeardsStayOffTheLips(t *testing.T) {
	p := newTraits(3)
	for _, cut := range []beardCut{fullBeard, moustache, goatee, stubble} {
		p.beardCut = cut
		if m := p.beardMask(vec{0, p.mouthY, 9}); m > .01 {
			t.Errorf("cut %d: a beard of %.2f on the lips", cut, m)
		}
		if m := p.beardMask(vec{3, 2, 7}); m > .01 {
			t.Errorf("cut %d: a beard of %.2f on the brow", cut, m)
		}
	}
	p.beardCut = moustache
	if p.beardMask(vec{0, p.chinY + 1, 8}) > .01 || p.beardMask(vec{1, p.mouthY + 1.05, 9}) < .5 {
		t.Error("a moustache grows elsewhere")
	}
}

func TestStance(t *testing.T) {
	pose := Pose{Yaw: 30, Pitch: 10, Roll: -5, X: 4, Y: 2, Distance: 70, Body: 20}
	s := pose.stance()
	if s.withHead(neckPivot).sub(s.withBody(neckPivot)).len() > 1e-9 {
		t.Error("the head comes off the neck")
	}
	straight := (Pose{Distance: 50, X: 3}).stance()
	if got, want := straight.withHead(vec{1, 2, 4}), (vec{4, 2, -46}); got.sub(want).len() > 1e-9 {
		t.Errorf("straight ahead %v becomes %v", want, got)
	}
	for _, m := range []mat{rotation(20, 30, 40), rotation(-200, 5, 300)} {
		x, y := m.apply(vec{1, 0, 0}), m.apply(vec{0, 1, 0})
		if math.Abs(x.len()-1) > 1e-12 || math.Abs(x.dot(y)) > 1e-12 || m.apply(vec{0, 0, 1}).sub(x.cross(y)).len() > 1e-12 {
			t.Errorf("%v is no rotation", m)
		}
	}
}

func TestBentPaper(t *testing.T) {
	flat, bent := &texture{Print: &Print{}}, &texture{Print: &Print{Bend: 9}}
	if at, n := flat.bent(5, 3); at != (vec{5, 3, 0}) || n != (vec{0, 0, 1}) {
		t.Errorf("flat paper: %v %v", at, n)
	}
	at, n := bent.bent(5, 3)
	if at.Z >= 0 || at.X >= 5 || at.Y != 3 {
		t.Errorf("bent paper: %v", at)
	}
	// Paper does not stretch: the length along the bend stays.
	if along := 9 * math.Atan2(at.X, at.Z+9); math.Abs(along-5) > 1e-9 {
		t.Errorf("5 cm of paper became %.2f", along)
	}
	if math.Abs(n.len()-1) > 1e-12 || n.X <= 0 {
		t.Errorf("normal %v", n)
	}
}
