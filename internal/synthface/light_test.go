package synthface

import (
	"math"
	"testing"
)

func TestShade(t *testing.T) {
	l := Light{Azimuth: 0, Elevation: 0, Key: 1, Ambient: 1}.lamp()
	eye := vec{0, 0, 1}
	luma := func(s surface, lit, open float64) float64 {
		c := l.shade(&s, eye, lit, open)
		return .3*c.X + .59*c.Y + .11*c.Z
	}
	matt := surface{colour: vec{.5, .5, .5}, normal: vec{0, 0, 1}}
	turned := matt
	turned.normal = vec{.8, 0, .6}
	flesh := matt
	flesh.flesh = true
	away := flesh
	away.normal = vec{1, 0, -.1}.norm()
	glowing := matt
	glowing.glow = vec{1, 1, 1}
	for _, c := range []struct {
		name           string
		darker, bright float64
	}{
		{"turned away from the light", luma(turned, 1, 1), luma(matt, 1, 1)},
		{"in shadow", luma(matt, 0, 1), luma(matt, 1, 1)},
		{"in a crease", luma(matt, 1, .2), luma(matt, 1, 1)},
		{"without light of its own", luma(matt, 1, 1), luma(glowing, 1, 1)},
		{"nothing", 0, luma(matt, 0, .1)},
	} {
		if !(c.darker < c.bright) {
			t.Errorf("%s: %.3f is not darker than %.3f", c.name, c.darker, c.bright)
		}
	}
	if c := l.shade(&away, eye, 1, 0); !(c.X > c.Y && c.Y >= c.Z) {
		t.Errorf("the edge of the shade on skin is not red: %v", c)
	}
}

func TestWarmLightIsWarm(t *testing.T) {
	warm := Light{Key: 1, Warmth: 1}.lamp().key
	if !(warm.X > warm.Y && warm.Y > warm.Z) {
		t.Errorf("a tungsten lamp shines %v", warm)
	}
	if cold := (Light{Key: 1}).lamp().key; cold.X != cold.Z {
		t.Errorf("a neutral lamp shines %v", cold)
	}
}

func TestFurShinesAcrossTheStrand(t *testing.T) {
	strand := vec{0, 1, 0}
	across, along := furShine(strand, vec{0, 0, 1}, 40), furShine(strand, vec{0, 1, 0}, 40)
	if across != 1 || along > 1e-6 {
		t.Errorf("across %v, along %v", across, along)
	}
}

// A ball before a wall casts a round, soft shadow where the light says.
func TestShadowMap(t *testing.T) {
	b := extract(grid{axis(-4, band{4, .5}), axis(-4, band{4, .5}), axis(-4, band{4, .5})}, func(p vec) float64 { return p.len() - 3 })
	wall := &part{}
	for x := -10.; x <= 10; x++ {
		wall.pos, wall.nrm = append(wall.pos, vec{x, 0, -8}), append(wall.nrm, vec{0, 0, 1})
	}
	stand := func(p *part) *posed {
		out := &posed{part: p, corners: make([]corner, len(p.pos))}
		for i := range p.pos {
			out.corners[i] = corner{at: p.pos[i], nrm: p.nrm[i]}
		}
		return out
	}
	ball, screen := stand(&part{mesh: *b}), stand(wall)
	var m shadowMap
	m.cast([]*posed{ball, screen}, vec{}, vec{.6, 0, .8}) // from the right: the shadow falls 6 cm to the left
	lit := func(x float64) float64 { return screen.corners[int(x)+10].lit }
	if lit(-6) > .05 || lit(5) < .95 {
		t.Errorf("lit %.2f in the shadow, %.2f beside it", lit(-6), lit(5))
	}
	soft := 0
	for i := range screen.corners {
		if l := screen.corners[i].lit; l > .05 && l < .95 {
			soft++
		}
	}
	if soft == 0 {
		t.Error("the shadow has a hard edge")
	}
	for i, c := range ball.corners {
		if c.nrm.dot(m.dir) > .4 && c.lit < .9 {
			t.Fatalf("vertex %d faces the light and is in its own shadow: %.2f", i, c.lit)
		}
	}
}

func TestTone(t *testing.T) {
	tone := newTone()
	last := -1.0
	for x := -.1; x < 2.5; x += .001 {
		y := tone.level(x)
		if y < last || y < 0 || y > 255 {
			t.Fatalf("level %v at %v after %v", y, x, last)
		}
		last = y
	}
	if black, white := tone.level(0), tone.level(2); black > 3 || white < 254 {
		t.Errorf("black %v, white %v", black, white)
	}
}

func TestGrain(t *testing.T) {
	const n = 200
	var sum, sq, beside float64
	for y := range n {
		for x := range n {
			g := grain(3, x, y, 0)
			sum, sq, beside = sum+g, sq+g*g, beside+g*grain(3, x+1, y, 0)
		}
	}
	mean, deviation, correlation := sum/n/n, math.Sqrt(sq/n/n), beside/n/n
	if math.Abs(mean) > .02 || math.Abs(deviation-1) > .02 || math.Abs(correlation) > .02 {
		t.Errorf("mean %.3f, deviation %.3f, correlation of neighbours %.3f", mean, deviation, correlation)
	}
	if grain(3, 5, 5, 0) == grain(4, 5, 5, 0) || grain(3, 5, 5, 0) == grain(3, 5, 5, 1) {
		t.Error("seeds or planes share their grain")
	}
}

func TestBlursKeepTheLight(t *testing.T) {
	const w, h = 21, 15
	img := make([]vec, w*h)
	img[7*w+10] = vec{1, 2, 3}
	for name, out := range map[string][]vec{"box": boxBlur(img, w, h, 2), "lens": lensBlur(img, w, h, 1.2)} {
		var sum vec
		for _, c := range out {
			sum = sum.add(c)
		}
		if sum.sub(vec{1, 2, 3}).len() > 1e-9 {
			t.Errorf("%s: the light becomes %v", name, sum)
		}
		if out[7*w+10].Z >= 3 || out[7*w+9] != out[7*w+11] {
			t.Errorf("%s: not blurred, or unevenly", name)
		}
	}
}

func TestRooms(t *testing.T) {
	scene := small(96, 72)
	scene = scene.normal()
	mean := map[vec]int64{}
	for seed := range int64(6) {
		img := newRoom(seed).paint(96, 72, scene.lens())
		var sum vec
		for i, c := range img {
			if !(min(c.X, c.Y, c.Z) >= 0 && max(c.X, c.Y, c.Z) < 4) {
				t.Fatalf("room %d: pixel %d is %v", seed, i, c)
			}
			sum = sum.add(c)
		}
		sum = sum.mul(1. / (96 * 72))
		if sum.Y < .1 || sum.Y > .8 {
			t.Errorf("room %d is too dark or too bright for a face: %v", seed, sum)
		}
		mean[sum] = seed
	}
	if len(mean) < 6 {
		t.Error("rooms are alike")
	}
}
