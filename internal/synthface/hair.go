package synthface

import "math"

// hairField is the distance to the hair and how far, in cm, p lies inside the
// part of the head where hair grows (negative: on bare skin). p is mirrored,
// sx is its signed x. The hair begins with no thickness at the hair line and
// rises from there, so that skin and hair meet without a step.
func (t *traits) hairField(p vec, sx float64) (d, inside float64) {
	inside = t.hairLineAt(p, sx)
	if t.style == shaved {
		return 1e3, inside
	}
	skull := t.cranium(p)
	rise := smooth(-.2, 2.2, inside)
	d = skull - t.volume(p, sx)*rise + .1*(1-rise)
	if skull < 5 {
		d += t.locks(p, sx) * rise
	}
	if hanging := t.hanging(p, sx); hanging < d {
		if hanging < .5 {
			inside = max(inside, 1.2)
		}
		d = blend(d, hanging, .8)
	} else {
		d = blend(d, hanging, .8)
	}
	return d, inside
}

// hairLineAt is the signed distance in cm from the hair line.
func (t *traits) hairLineAt(p vec, sx float64) float64 {
	const cy = -2.5
	top := t.hairLine + t.slant*sx
	if t.fringe > 0 {
		top = t.fringe + .25*math.Sin(sx*1.7+t.grain.X) + .3*sx*t.slant
	}
	rx, ry := 6.05*t.width, top-cy
	if t.style >= bob {
		rx = 5.85 * t.width
	}
	if p.Y < cy {
		ry = 30
	}
	if t.style == scarf {
		rx, ry = 5.8*t.width, 5.4-cy
		if p.Y < cy {
			ry = cy - t.chinY + 1.2
		}
	}
	ex, ey := sq(p.X/rx), sq((p.Y-cy)/ry)
	ring := math.Sqrt(math.Sqrt(ex*ex+ey*ey)) - 1
	in := ring*5 - t.recede*bump(p.X-3.6, 1.6)*smooth(2, 6, p.Y)
	if t.style == scarf {
		return max(in, 1-p.Z)
	}
	back := 1.6 - p.Z
	if t.style < bob || t.style == bun {
		// Sideburns to the middle of the ear, the ear and the nape bare.
		back = min(1.9-1.6*smooth(-.5, -3, p.Y)-p.Z, 9)
		in = max(in, back)
		in = min(in, p.Y+3.2+.1*max(0, -p.Z-1))
		if p.X > 4.5 {
			in = min(in, math.Hypot(p.Y+1.9, (p.Z+.5)*1.15)-3.1)
		}
		return in
	}
	return max(in, back)
}

// volume is how thick the hair lies on the skull at p.
func (t *traits) volume(p vec, sx float64) float64 {
	switch t.style {
	case cropped:
		return t.hairT * (.55 + .6*smooth(3, 8, p.Y))
	case parted:
		side := smooth(-5, 4, sx*math.Copysign(1, t.slant))
		furrow := .25 * bump(sx*math.Copysign(1, t.slant)+2.6, .5) * smooth(4, 7, p.Y)
		return t.hairT*(.35+.4*side+.5*smooth(3, 8, p.Y)) - furrow
	case swept:
		return t.hairT * (.3 + smooth(1, 7, p.Y)*(.8+.3*smooth(-2, 6, p.Z)))
	case curly:
		return t.hairT * (.6 + .5*smooth(-1, 7, p.Y))
	case bob, long:
		return t.hairT * (.7 + .25*smooth(2, 8, p.Y))
	}
	return t.hairT
}

// locks is the relief of the strands.
func (t *traits) locks(p vec, sx float64) float64 {
	switch t.style {
	case curly:
		return .2*noise(p.mul(1.1).add(t.grain)) + .05*noise(p.mul(2.6))
	case cropped, scarf:
		return .03 * noise(p.mul(3))
	case bun:
		return .05 * noise(vec{sx * 3, p.Y * .4, p.Z * .4}.add(t.grain))
	}
	return .14*noise(vec{sx * 1.5, p.Y * .3, p.Z * .5}.add(t.grain)) + .05*noise(vec{sx * 4, p.Y * .6, p.Z * 1.2}.add(t.grain))
}

// hanging is what falls from the head: bob, long hair, a bun, a scarf.
func (t *traits) hanging(p vec, sx float64) float64 {
	switch t.style {
	case bob:
		d := blend(ellipsoid(p, vec{5.7 * t.width, -3, -2}, vec{2.2 + t.hairT*.5, 6.2, 5.2}), ellipsoid(p, vec{0, -3, -5}, vec{6.5, 7, 5}), 2)
		return carve(d+t.locks(p, sx), p.Y+8.6, .8)
	case long:
		d := limb(p, vec{6.5 * t.width, 1, -1.6}, vec{7*t.width + .5, t.hairLen, -.3}, 1.6+t.hairT*.5, 1.5+t.hairT*.4)
		d = blend(d, ellipsoid(p, vec{0, -7, -5.8}, vec{7, 11, 4.2}), 2)
		return d + t.locks(p, sx)
	case bun:
		return vec{p.X, p.Y - 10.5, p.Z + 5.5}.len() - 3.6 + t.locks(p, sx)
	case scarf:
		d := limb(p, vec{0, -9, -1.6}, vec{0, -17, -2.6}, 7, 8.2)
		d = blend(d, ellipsoid(p, vec{0, -2, -1}, vec{8.1 * t.width, 11.5, 8.8}), 2)
		d = carve(d, ellipsoid(p, vec{0, -2.6, 9.5}, vec{5.9 * t.width, -t.chinY - 2, 9.5}), .8)
		return d + .16*noise(vec{p.X * .7, p.Y * .8, p.Z * .5}.add(t.grain))
	}
	return 1e3
}
