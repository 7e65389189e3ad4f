package synthface

import "math"

// surface is what the light falls on at one sample.
type surface struct {
	colour      vec // linear
	normal      vec // in the camera's space
	shine       float64
	gloss       float64 // exponent of the highlight
	flesh       bool    // light bleeds through
	strand, fur vec     // direction of the hair, if any, and its highlight's colour
	glow        vec     // light of its own
}

// head paints skin, eyes and hair at p of head space.
func (s *posed) head(p, normal vec, inside float64) surface {
	t, e, st := s.traits, &s.subject.Expression, &s.stance
	sx := p.X
	p.X = math.Abs(p.X)
	out := surface{normal: normal, shine: .13, gloss: 20, flesh: true}
	if q := t.inEye(p); p.Z > 4 && q.Z > 0 && math.Abs(q.X) < 1.2*t.eyeR && math.Abs(q.Y) < t.eyeR {
		u, v := q.X/t.eyeR, q.Y/t.eyeR
		if open, below := t.aperture(u, v, e.Blink); open > -.01 {
			out.colour = t.eyeball(u, v, open, below, math.Copysign(1, sx), e)
			q.X = math.Copysign(q.X, sx)
			out.normal = st.head.apply(q.norm())
			out.shine, out.gloss, out.flesh = .35, 160, false
			return out
		}
	}
	c := t.complexion(p, sx)
	if p.Z > 2 {
		c = t.nose(c, p)
		c = t.wrinkles(c, p)
		c = t.aroundEye(c, p, sx, e)
		c = t.lips(c, p, sx, e, &out)
	}
	if t.beard > 0 {
		c = t.beardOn(c, p, sx, &out)
	}
	out.colour = c
	if inside > -1 {
		t.hairOn(&out, p, sx, inside, st)
	}
	return out
}

// complexion is the skin's own colour: fine grain, ruddy cheeks, freckles.
func (t *traits) complexion(p vec, sx float64) vec {
	ps := vec{sx, p.Y, p.Z}
	c := t.skin.mul(1 + .025*noise(ps.mul(.8).add(t.grain)) + .02*noise(ps.mul(5)))
	red := .8*bump(p.X-4, 1.9)*bump(p.Y+3.6, 1.7) + .6*bump(p.X, 1.5)*bump(p.Y-t.noseY, 1.3)
	if p.X > 7 {
		red += .5
	}
	red *= (.2 + .5*t.ruddy) * smooth(0, 4, max(p.Z, p.X-3))
	c = c.times(vec{1 - .03*red, 1 - .24*red, 1 - .22*red})
	if t.mole.Z > 0 && p.Z > 3 {
		c = c.lerp(c.mul(.3), smooth(1.3, .7, math.Hypot(sx-t.mole.X, p.Y-t.mole.Y)/t.mole.Z))
	}
	if t.freckles > 0 && p.Z > 3 {
		f := smooth(.42, .68, noise(ps.mul(2.9).add(t.grain)))
		c = c.mul(1 - .3*t.freckles*f*bump(p.Y+2.2, 2.6))
	}
	return c
}

// nose darkens what light hardly reaches: nostrils, the creases of the wings
// and the groove below.
func (t *traits) nose(c vec, p vec) vec {
	if p.Y > 0 || p.Y < t.noseY-3 || p.X > 4 {
		return c
	}
	c = c.mul(1 - .8*smooth(.06, -.05, t.nostril(p, .95)))
	crease := bump(t.noseWing(p)-.25, .14) * smooth(.5, 1.2, p.X) * smooth(9.6, 8.8, p.Z)
	c = c.mul(1 - .22*crease)
	groove := bump(p.X, .28) * smooth(t.mouthY+.6, t.mouthY+.9, p.Y) * smooth(t.noseY-.8, t.noseY-1.2, p.Y)
	return c.mul(1 - .08*groove)
}

// wrinkles are the laugh lines, which the young have a little of, and those of
// the forehead, which they have not.
func (t *traits) wrinkles(c vec, p vec) vec {
	if p.Y < 0 {
		return c.mul(1 - (.03+.14*t.age)*smooth(.4, -.25, t.laughLine(p)))
	}
	if t.age > .4 && p.Y > 2.6 {
		wave := math.Sin(p.Y*4.6+.5*math.Cos(p.X*.7)) - .3
		c = c.mul(1 - .16*(t.age-.4)*max(0, wave)*smooth(5, 3, p.X)*smooth(2.6, 3.2, p.Y)*smooth(6.5, 5.5, p.Y))
	}
	return c
}

// lips paints the red of the lips and, between them, the open mouth.
func (t *traits) lips(c vec, p vec, sx float64, e *Expression, out *surface) vec {
	w := t.mouthW + .1
	y := p.Y - t.mouthY - .16*sq(p.X/w)
	if p.X > w+.5 || math.Abs(y) > 2.2 || p.Z < 5 {
		return c
	}
	bow := clamp(1-sq(p.X/w), 0, 1)
	cupid := -.12*bump(p.X, .35) + .08*bump(p.X-.7, .5)
	top := t.lipU*1.75*math.Pow(bow, .85) + cupid*bow + .03
	low := t.lipL*1.8*math.Pow(bow, .85) + .03
	red := 0.0
	if p.X < w {
		red = smooth(.13, -.1, y-top) * smooth(.13, -.1, -y-low)
	}
	c = c.lerp(t.lip.mul(1+.06*noise(vec{sx * 6, p.Y, 0})), red*.88)
	out.shine += .12 * red * (1 + t.makeUp)
	if e.Mouth > 0 && math.Abs(y) < .2 && p.X < w-.1 {
		c = vec{.055, .012, .012}
		if y > .08 && p.X < w*.75 {
			c = vec{.62, .59, .53} // the upper teeth
		}
		out.shine = .02
		return c
	}
	return c.mul(1 - .68*bump(y, .1)*smooth(w+.2, w-.2, p.X))
}

// beardOn grows the beard, hair by hair, onto the skin colour.
func (t *traits) beardOn(c vec, p vec, sx float64, out *surface) vec {
	m := t.beardMask(p)
	if m == 0 {
		return c
	}
	hairs := noise(vec{sx * 8, p.Y * 3, p.Z * 5})
	fine := noise(vec{sx * 17, p.Y * 7, p.Z * 11})
	k := clamp(m*t.beard*(.95+.3*hairs+.2*fine), 0, .94)
	if t.beardCut == stubble {
		k *= .42
	}
	out.shine *= 1 - .7*k
	return c.lerp(t.hair.mul(1+.35*hairs+.25*fine), k)
}

// hairOn covers the surface with hair where it grows. The line where it begins
// is broken up by the strands.
func (t *traits) hairOn(out *surface, p vec, sx, inside float64, st *stance) {
	if t.style == scarf {
		k := smooth(-.12, .1, inside)
		fold := noise(vec{p.X * .9, p.Y * .8, p.Z * .6}.add(t.grain))
		out.colour = out.colour.lerp(t.cloth2.mul(1+.1*fold), k)
		out.shine *= 1 - k
		out.flesh = out.flesh && k < .5
		return
	}
	lean := .5 * t.slant * 6
	var coarse, fine float64
	switch t.style {
	case curly, cropped, shaved:
		coarse = noise(vec{sx * 3, p.Y * 3, p.Z * 3}.add(t.grain))
		fine = noise(vec{sx * 9, p.Y * 7, p.Z * 9})
	default:
		coarse = noise(vec{sx*2.6 + lean*p.Y*.3, p.Y * .35, p.Z * 1.3}.add(t.grain))
		fine = noise(vec{sx*9 + lean*p.Y, p.Y * .8, p.Z * 4})
	}
	ragged := .22*fine + .2*coarse
	k := smooth(-.5, .7, inside+ragged)
	if t.style == shaved {
		k *= .3
	}
	tone := t.hair.mul(1 + .22*coarse + .22*fine)
	out.colour = out.colour.lerp(tone, k)
	out.shine *= 1 - k
	if k < .5 {
		return
	}
	out.shine, out.flesh = .02, false
	if t.style != shaved {
		crown := vec{sx, p.Y - 11, p.Z + 3}
		if t.style == curly || t.style == cropped {
			crown = crown.add(vec{coarse, fine, coarse}.mul(6))
		}
		out.strand = st.head.apply(crown).norm()
		out.fur = t.hair.mul(1.2).add(vec{.03, .03, .03}).mul(k * (1 + .8*fine))
		bent := vec{fine, coarse * .5, 0}.mul(.22)
		out.normal = out.normal.add(st.head.apply(bent)).norm()
	}
}

// clothing paints the clothes at p of head space.
func (t *traits) clothing(p, normal vec) surface {
	c := t.cloth
	weave := noise(p.mul(1.3))
	switch t.pattern {
	case stripes:
		c = c.lerp(t.cloth2, smooth(.3, .4, math.Abs(math.Mod(math.Abs(p.Y+.06*p.Z), 4.6)/4.6-.5)*2-.3))
	case shirt:
		if math.Abs(p.X) < .12 && p.Z > 0 && p.Y < -22 {
			c = c.mul(.6) // the edge where it buttons
		}
		if p.Z > 0 && math.Hypot(p.X-.7, math.Mod(-p.Y, 7)-3.5) < .4 && p.Y < -23 {
			c = c.lerp(vec{.7, .7, .68}, .8)
		}
	}
	return surface{colour: c.mul(.97 + .06*weave), normal: normal, shine: .015, gloss: 8}
}
