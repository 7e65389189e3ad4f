package synthface

import "math"

// shoulders is how far the body is lifted towards the head, in cm.
const shoulders = 1.8

// clothField is the distance to the clothed body, in head space at rest. p is
// mirrored to x ≥ 0.
func (t *traits) clothField(p vec) float64 {
	p.Y -= shoulders
	p.X /= t.build
	d := limb(p, vec{2, -21.5, -4}, vec{16, -25.5, -5}, 4.6, 5)
	d = blend(d, ellipsoid(p, vec{0, -43, -4}, vec{17.5, 25, 9.5}), 3.5)
	d = blend(d, ellipsoid(p, vec{0, -76, -4}, vec{15.5, 28, 9}), 6)
	d = blend(d, limb(p, vec{18, -26.5, -5}, vec{21.5, -52, -7}, 4.9, 4.1), 1.2)
	d = blend(d, limb(p, vec{21.5, -52, -7}, vec{21, -77, -2}, 4.1, 3.2), 1)
	d += .12 * noise(vec{p.X * .22, p.Y * .16, p.Z * .2}.add(t.grain))
	open, rim := t.neckline(p)
	d = carve(d, open, .5)
	return blend(d, rim, .35)
}

// neckline is the opening for the neck and the rim or collar around it.
func (t *traits) neckline(p vec) (open, rim float64) {
	c := vec{0, -17.6, -3.2}
	r := t.neckR + 1.3
	if t.pattern == shirt { // a shirt: a v to the first button, and a stiff collar
		open = limb(p, vec{0, -16, 0}, vec{0, -23, 7}, t.neckR*.9, .3)
		q := p.sub(c)
		ring := math.Hypot(math.Hypot(q.X, q.Z*.95)-r+.25*(q.Y-.5), max(0, math.Abs(q.Y-.3+.1*q.Z)-1.4)) - .6
		return open, carve(ring, limb(p, vec{0, -14, 6}, vec{0, -20, 6}, 1.4, .5), .3)
	}
	q := p.sub(c)
	q.Y += .28*q.Z + .4 // lower in front
	open = math.Hypot(q.X, q.Z) - r
	thick := .62
	if t.pattern == hood { // a hood lying on the shoulders
		thick = 1.7
		r += 1.1
	}
	return max(open, -.8-q.Y), math.Hypot(math.Hypot(q.X, q.Z)-r, q.Y+.4) - thick
}
