package synthface

import "math"

// aperture says where the opening between the lids is at (u, v) of an eye, in
// radii of the eyeball: how far inside the opening, and how far below the
// upper lid.
func (t *traits) aperture(u, v, blink float64) (inside, below float64) {
	w := t.eyeW
	bow := clamp(1-sq(u/w), 0, 1)
	low := -t.eyeOpen * .68 * mix(math.Sqrt(bow), bow, .6)
	bow = clamp(1-sq((u+.08)/w), 0, 1)
	top := t.eyeOpen * 1.07 * mix(math.Sqrt(bow), bow, .35)
	top = mix(top, low, blink)
	inside = min(top-v, v-low)
	if a := math.Abs(u); a > w {
		inside = min(inside, w-a)
	}
	return inside, top - v
}

// eyeball paints the eye at (u, v); side is -1 for the subject's right.
func (t *traits) eyeball(u, v, inside, below, side float64, e *Expression) vec {
	gu, gv := u-side*.32*e.GazeX, v-.22*e.GazeY
	r := math.Hypot(gu, gv)
	white := vec{.70, .67, .645}.lerp(vec{.60, .36, .33}, .55*smooth(.6, 1, math.Abs(u)))
	const iris = .5
	ray := noise(vec{math.Atan2(gv, gu) * 6, r * 5, float64(t.seed % 64)})
	c := t.iris.mul(1.25 + .45*ray + .5*smooth(iris, iris*.4, r))
	c = c.mul(1 - .65*smooth(iris*.78, iris, r))
	c = white.lerp(c, smooth(iris+.035, iris-.035, r))
	c = c.lerp(vec{.004, .004, .004}, smooth(.205, .165, r))
	c = c.mul(.38 + .62*smooth(-.02, .24, below)) // the shadow of the upper lid
	c = c.mul(.5 + .5*smooth(-.02, .06, inside))
	// A window in the cornea: the light that makes eyes look alive.
	glint := smooth(.085, .05, math.Hypot(gu-.13*side*side, (gv-.15)*1.1))
	return c.lerp(vec{.95, .96, 1}, .85*glint*smooth(.0, .06, inside))
}

// aroundEye paints lids, lashes, creases and brows onto the skin colour c.
func (t *traits) aroundEye(c vec, p vec, sx float64, e *Expression) vec {
	q := t.inEye(p)
	if math.Abs(q.X) > 4.5 || q.Y < -3 || q.Y > 4 {
		return c
	}
	hollow := bump(q.X, 2.1) * bump(q.Y+.15, 1.05)
	c = c.times(vec{1 - .15*hollow, 1 - .20*hollow, 1 - .17*hollow})
	bag := bump(q.Y+1.25-.07*q.X*q.X, .2) * bump(q.X+.2, 1.2)
	c = c.mul(1 - (.04+.16*t.age)*bag)
	if crow := t.age - .45; crow > 0 {
		lines := max(0, math.Sin(math.Atan2(q.Y, q.X-1.2)*14)) * smooth(1.5, 1.9, q.X) * smooth(3, 2.2, q.X) * smooth(1.3, .6, math.Abs(q.Y))
		c = c.mul(1 - .25*crow*lines)
	}
	u, v := q.X/t.eyeR, q.Y/t.eyeR
	inside, below := t.aperture(u, v, e.Blink)
	if t.makeUp > 0 {
		k := smooth(1.1, .3, math.Abs(q.Y-.7)/.8) * smooth(2, 1, math.Abs(q.X)) * smooth(0, .2, q.Y)
		c = c.lerp(t.shadow, .45*t.makeUp*k)
	}
	if q.Z > 0 && math.Abs(u) < 1.2 {
		edge := smooth(t.eyeW*1.15, t.eyeW*.85, math.Abs(u))
		lash := smooth(-.15, -.03, inside) * smooth(-.17, -.02, below) * edge
		if below < .06 {
			c = c.lerp(vec{.012, .009, .008}, (.8+.15*t.makeUp)*lash)
		} else {
			c = c.mul(1 - .35*smooth(-.1, -.02, inside)*edge)
		}
		c = c.mul(1 - .42*bump(below+t.lidFold, .06)*edge*(1-.6*e.Blink))
	}
	return t.brow(c, p, sx)
}

// brow draws the eyebrow hair by hair.
func (t *traits) brow(c vec, p vec, sx float64) vec {
	along := (p.X - 1.15) / 4.1
	if along < -.2 || along > 1.3 {
		return c
	}
	mid := t.browY + .1 + t.browTilt*2*(along-.3) + t.browArch*2.8*along*(1-along) - .22*smooth(.65, 1.1, along)
	half := t.browT * (1.2 - .8*smooth(.3, 1.05, along))
	off := (p.Y - mid) / half
	if math.Abs(off) > 2 {
		return c
	}
	lean := 2.2 * (1 - along)
	hairs := noise(vec{sx*9 + math.Copysign(p.Y, sx)*lean*2.5, p.Y*1.4 - p.X*2, 3})
	k := smooth(1.3, .35, math.Abs(off)+.28*hairs) * smooth(-.10, .08, along+.05*hairs) * smooth(1.12, .85, along)
	tone := t.hair.mul(.75).lerp(vec{.03, .02, .015}, .35)
	return c.lerp(tone, t.browDark*k*(.85+.15*hairs))
}
