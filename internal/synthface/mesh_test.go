package synthface

import (
	"math"
	"testing"
)

func ball(p vec) float64 { return p.len() - 5 }

func TestExtractSphere(t *testing.T) {
	g := grid{axis(-7, band{-2, .9}, band{3, .5}, band{7, 1}), axis(-7, band{7, .8}), axis(-7, band{0, .7}, band{7, .5})}
	m := extract(g, ball)
	for i, p := range m.pos {
		if off := ball(p); math.Abs(off) > .02 {
			t.Fatalf("vertex %d is %.3f off the surface", i, off)
		}
		if m.nrm[i].dot(p.norm()) < .999 {
			t.Fatalf("normal %d is not the sphere's", i)
		}
	}
	// Closed: each edge is walked once in each direction; and of the sphere's
	// kind: Euler's characteristic is 2.
	edges := map[[2]int32]int{}
	for _, tri := range m.tri {
		for k := range 3 {
			edges[[2]int32{tri[k], tri[(k+1)%3]}]++
		}
		a, b, c := m.pos[tri[0]], m.pos[tri[1]], m.pos[tri[2]]
		if b.sub(a).cross(c.sub(a)).dot(a) < 0 {
			t.Fatal("a triangle faces inwards")
		}
	}
	for e, n := range edges {
		if n != 1 || edges[[2]int32{e[1], e[0]}] != 1 {
			t.Fatalf("edge %v is not shared by two triangles", e)
		}
	}
	if x := len(m.pos) - len(edges)/2 + len(m.tri); x != 2 {
		t.Errorf("Euler's characteristic is %d", x)
	}
}

func TestExtractFindsNothing(t *testing.T) {
	g := grid{axis(0, band{4, 1}), axis(0, band{4, 1}), axis(0, band{4, 1})}
	if m := extract(g, func(vec) float64 { return 10 }); len(m.tri) != 0 {
		t.Errorf("%d triangles of nothing", len(m.tri))
	}
}

func TestFields(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"blend of far surfaces is their union", blend(1, 9, 2), 1},
		{"blend of near surfaces fills the crease", blend(1, 1, 2), .5},
		{"carve takes away", carve(-3, -1, .1), 1},
		{"ellipsoid on its surface", ellipsoid(vec{2, 0, 0}, vec{}, vec{2, 3, 4}), 0},
		{"ellipsoid at its centre", ellipsoid(vec{}, vec{}, vec{2, 3, 4}), -2},
		{"limb beside its middle", limb(vec{5, 1, 0}, vec{0, 0, 0}, vec{0, 2, 0}, 1, 3), 3},
		{"limb beyond its end", limb(vec{0, 7, 0}, vec{0, 0, 0}, vec{0, 2, 0}, 1, 3), 2},
		{"smooth falls too", smooth(3, 1, 1.5), .84375},
		{"bump is one in the middle", bump(0, 2), 1},
	} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestNoiseIsSmooth(t *testing.T) {
	last := noise(vec{0, .3, .7})
	for x := 0.; x < 20; x += .01 {
		n := noise(vec{x, .3, .7})
		if math.Abs(n) > 1 || math.Abs(n-last) > .05 {
			t.Fatalf("noise jumps from %v to %v at %v", last, n, x)
		}
		last = n
	}
}

// Every seed has to give a head that can be drawn: features in order, no hole
// where the camera looks.
func TestTraitsAreHuman(t *testing.T) {
	for seed := range int64(300) {
		p := newTraits(seed)
		if !(p.noseY < -2.5 && p.mouthY < p.noseY-1 && p.chinY < p.mouthY-1.9 && p.browY > .8) {
			t.Errorf("seed %d: nose %.1f, mouth %.1f, chin %.1f, brow %.1f are out of order", seed, p.noseY, p.mouthY, p.chinY, p.browY)
		}
		for _, c := range []vec{p.skin, p.hair, p.iris, p.lip, p.cloth} {
			if min(c.X, c.Y, c.Z) < 0 || max(c.X, c.Y, c.Z) > 1 {
				t.Errorf("seed %d: colour %v", seed, c)
			}
		}
		for _, at := range []vec{{0, 0, 0}, {0, -8, 2}, {3, 3, 3}} {
			if d := p.bareHead(at); d > 0 {
				t.Errorf("seed %d: the head is hollow at %v: %.2f", seed, at, d)
			}
		}
	}
}

func TestPersonIsItsSeed(t *testing.T) {
	if *newTraits(7) != *newTraits(7) {
		t.Error("the same seed gave another person")
	}
	if *newTraits(7) == *newTraits(8) {
		t.Error("two seeds gave one person")
	}
}

func TestCanvasCoversOnce(t *testing.T) {
	var c canvas
	c.reset(8, 8)
	spots := []spot{{1, 1, 1}, {7, 1, 1}, {7, 7, 1}, {1, 7, 1}}
	c.rows(0, 8, 0, [][3]int32{{0, 2, 1}, {0, 3, 2}}, spots)
	for y := range 8 {
		for x := range 8 {
			inside := x >= 1 && x < 7 && y >= 1 && y < 7
			if got := c.id[y*8+x] != 0; got != inside {
				t.Errorf("sample %d,%d: seen %v", x, y, got)
			}
		}
	}
	c.reset(8, 8)
	c.rows(0, 8, 0, [][3]int32{{0, 1, 2}}, spots)
	for _, id := range c.id {
		if id != 0 {
			t.Fatal("a triangle is seen from behind")
		}
	}
}

func TestCanvasKeepsTheNearest(t *testing.T) {
	var c canvas
	c.reset(4, 4)
	near := []spot{{0, 0, 2}, {8, 0, 2}, {0, 8, 2}}
	far := []spot{{0, 0, 1}, {8, 0, 1}, {0, 8, 1}}
	tri := [][3]int32{{0, 2, 1}}
	c.rows(0, 4, 0, tri, far)
	c.rows(0, 4, 1, tri, near)
	c.rows(0, 4, 2, tri, far)
	if part := c.id[0] >> triBits; part != 1 {
		t.Errorf("part %d is seen, the nearest is 1", part)
	}
}
