package synthface

import "math"

// cranium is the skull without the face. p is mirrored to x ≥ 0.
func (t *traits) cranium(p vec) float64 {
	d := ellipsoid(p, vec{0, 2.6, -.8}, vec{7.4 * t.width, t.skullH, 9.6})
	return blend(d, ellipsoid(p, vec{0, 3.6, 3.4}, vec{6.1 * t.width, 5.6, 5.3}), 1.5)
}

// bareHead is the distance to the skin of head and neck at rest: mouth shut,
// and the eyes closed smoothly over, for lids and gaze are painted. p is
// mirrored to x ≥ 0.
func (t *traits) bareHead(p vec) float64 {
	d := t.skull(p)
	if p.Z > 3 && p.Y > -4.5 && p.Y < 4.5 {
		d = t.withEye(p, d)
	}
	if p.Z > 4 {
		d = t.withNose(p, d)
		d = t.withLips(p, d)
	}
	if t.beard > 0 && d < 1.5 && t.beardCut != stubble {
		d -= .35 * t.beard * t.beardMask(p) * (1 + .3*noise(p.mul(2.4)))
	}
	if p.X > 4.5 {
		d = t.withEar(p, d)
	}
	return d
}

// skull is the head without features: cranium, face, jaw, chin, cheekbones,
// cheeks, the ridge of the brows and the muzzle, and below it neck and chest.
// The widths of the blends are what makes a face soft or bony.
func (t *traits) skull(p vec) float64 {
	w := t.width
	d := t.cranium(p)
	d = blend(d, ellipsoid(p, vec{0, (t.chinY + 4.4) / 2, 1.6}, vec{6.2 * w, (4.4 - t.chinY) / 2, 6.9}), 1.6)
	d = blend(d, limb(p, vec{t.jawW * w, -6.2, .8}, vec{t.chinW * .6, t.chinY + 1.3, t.chinZ - .6}, 1.25, 1.15), 1.8)
	d = blend(d, ellipsoid(p, vec{0, t.chinY + 1.35, t.chinZ}, vec{t.chinW, 1.35, 1.5}), 1.1)
	d = blend(d, ellipsoid(p, vec{4.5 * w, -2.4, 5}, vec{t.cheekBone, 1.5, t.cheekBone}), 1.8)
	d = blend(d, ellipsoid(p, vec{3.6 * w, -5.2, 4.7}, vec{1.8 + t.cheek, 2.2, 2 + t.cheek*.8}), 1.8)
	d = blend(d, limb(p, vec{1, t.browY - .35, 7.75 + t.ridge*.25}, vec{4.9 * w, t.browY - .5, 5.9}, t.ridge*.9, t.ridge*.75), 1.3)
	d = blend(d, ellipsoid(p, vec{0, t.mouthY, 6.6}, vec{3.1, 2.3, 2.4}), 1.4)
	if p.Y < -3 {
		d = blend(d, limb(p, vec{0, -8, -2.2}, vec{0, -18, -4}, t.neckR, t.neckR*1.08), 2)
		d = blend(d, ellipsoid(p, vec{0, -25.5, -4.2}, vec{15, 9, 6.5}), 5)
	}
	return d
}

// withEye sinks the socket and sets the closed lid into it: a ball a little
// larger than the eyeball. The opening between the lids is painted, so that a
// blink and a glance cost no new mesh.
func (t *traits) withEye(p vec, d float64) float64 {
	d = carve(d, ellipsoid(p, vec{t.eyeX * 1.02, -.15, 9.3}, vec{2.1, 1.25, 1.7}), .9)
	q := t.inEye(p)
	return blend(d, q.len()-t.eyeR*1.07, .45)
}

// withNose adds the bridge, the tip, the wings and the part between the
// nostrils, and takes the nostrils away.
func (t *traits) withNose(p vec, d float64) float64 {
	mid := t.noseRoot.lerp(t.nosePeak, .5)
	mid.Z += t.noseHump
	tip := t.nosePeak
	tip.Z -= t.noseTip
	n := blend(limb(p, t.noseRoot, mid, t.noseBridge*.9, t.noseBridge), limb(p, mid, tip, t.noseBridge, t.noseTip), .3)
	n = blend(n, t.noseWing(p), 1.2)
	n = blend(n, limb(p, vec{0, t.noseY - .3, t.noseZ - 1}, vec{0, t.noseY - .8 - t.tipUp, 8.2}, .35, .3), .4)
	d = blend(d, n, 1.6)
	return carve(d, t.nostril(p, 1), .22)
}

// noseWing and nostril are fields of their own because paint darkens the
// creases around them.
func (t *traits) noseWing(p vec) float64 {
	return ellipsoid(p, vec{t.noseW, t.noseY - .25 - t.tipUp, t.noseZ - 1.9}, vec{.72, .72, 1.05})
}

func (t *traits) nostril(p vec, scale float64) float64 {
	return ellipsoid(p, vec{t.noseW * .55, t.noseY - .95 - t.tipUp*.8, t.noseZ - 1.35}, vec{.33, .36, .55}.mul(scale))
}

// laughLine runs from the wing of the nose to the corner of the mouth.
func (t *traits) laughLine(p vec) float64 {
	return limb(p, vec{t.noseW + .8, t.noseY, 8.5}, vec{t.mouthW + .9, t.mouthY + .2, 7.4}, .2, .25)
}

const lipZ = 8.75

// withLips adds the lips and what surrounds a mouth.
func (t *traits) withLips(p vec, d float64) float64 {
	d = carve(d, t.laughLine(p)+.34, 1+.3*t.age)
	d = blend(d, limb(p, vec{.35, t.mouthY + t.lipU*.75, lipZ}, vec{t.mouthW, t.mouthY + .05, lipZ - 1.25}, t.lipU, .13), .3)
	d = blend(d, limb(p, vec{0, t.mouthY - t.lipL*.75, lipZ - .1}, vec{t.mouthW * .96, t.mouthY - .05, lipZ - 1.25}, t.lipL, .13), .3)
	// The groove where the lips meet; opened by moving what is below it.
	return carve(d, ellipsoid(p, vec{0, t.mouthY, lipZ + .75}, vec{t.mouthW * .98, .1, 1}), .12)
}

// withEar adds an ear: a disc turned outwards, hollowed on its outer side.
func (t *traits) withEar(p vec, d float64) float64 {
	q := p.sub(vec{7.15*t.width + t.earOut, -1.6, -.6})
	s, c := math.Sincos(.45 + t.earOut*.5)
	q = vec{q.X*c + q.Z*s, q.Y, -q.X*s + q.Z*c}
	q.Z += q.Y * .2
	q = q.mul(1 / t.ear)
	e := ellipsoid(q, vec{}, vec{.55, 3.1, 1.75})
	e = carve(e, ellipsoid(q, vec{.55, .3, .1}, vec{.45, 2.1, 1.1}), .3)
	return blend(d, e*t.ear, .5)
}

// beardMask is 1 where a beard of this style grows, 0 where it does not.
func (t *traits) beardMask(p vec) float64 {
	low := smooth(0, 1.6, -5.7-p.Y-.35*(p.X-2.5))
	side := smooth(-.8, .6, p.X-5) * smooth(.5, -1.5, p.Y) * smooth(.3, 1.5, p.Z) * smooth(5.4, 3.8, p.Z)
	lip := smooth(.55, 0, math.Abs(p.Y-(t.mouthY+1.05-.12*p.X))-.3) * smooth(3.4, 2.4, p.X)
	m := max(low, side, lip)
	switch t.beardCut {
	case moustache:
		m = lip
	case goatee:
		m = max(lip, low*smooth(3.6, 2.4, p.X))
	}
	m *= smooth(.85, 1.25, math.Hypot(p.X/(t.mouthW+.2), (p.Y-t.mouthY)/.95))
	under := smooth(-10.5, -9, p.Y)
	if p.Z > 2 {
		under = smooth(t.chinY-1.2, t.chinY, p.Y)
	}
	return m * under * smooth(-.5, 1.5, p.Z)
}
