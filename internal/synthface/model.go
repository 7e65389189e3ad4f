package synthface

import "math"

// material chooses how the pixels of a part are painted.
type material int

const (
	ofHead material = iota // skin, hair, eyes, lips
	ofCloth
	ofFrame // of glasses
	ofPrint
)

// part is one mesh of a model with what is known at each vertex.
type part struct {
	mesh
	material material
	open     []float32 // 0..1, how much of the sky a vertex sees
	hair     []float32 // cm inside the hair line, negative on skin
	follow   []float32 // 0: moves with the head … 1: stays with the body
}

// model is a person ready to be posed.
type model struct {
	traits *traits
	parts  []*part
}

// headGrid is finest where the face is.
func headGrid() grid {
	return grid{
		x: axis(-13, band{-6.6, .45}, band{6.6, .17}, band{13, .45}),
		y: axis(-25, band{-13, .6}, band{-9.5, .3}, band{3.5, .15}, band{15.5, .4}),
		z: axis(-14.5, band{3, .5}, band{12.3, .17}),
	}
}

// bodyGrid is coarse: clothes have no features but the neckline.
func bodyGrid() grid {
	return grid{
		x: axis(-29, band{-9, 1.1}, band{9, .5}, band{29, 1.1}),
		y: axis(-100, band{-30, 1.7}, band{-24, .8}, band{-11, .4}),
		z: axis(-17, band{-2, 1.1}, band{11, .7}),
	}
}

// newModel meshes a person. It is the dear part, some half a second of one
// core; posing and drawing the result is cheap.
func newModel(t *traits) *model {
	all := func(p vec) float64 {
		if p.Y < -9 {
			return min(t.head(p), t.clothField(mirror(p)))
		}
		return t.head(p)
	}
	body := &part{mesh: *extract(bodyGrid(), func(p vec) float64 { return t.clothField(mirror(p)) }), material: ofCloth}
	m := &model{traits: t, parts: []*part{t.headPart(), body}}
	for _, p := range m.parts {
		p.open = openness(&p.mesh, all)
	}
	if t.glasses != noGlasses {
		m.parts = append(m.parts, t.spectacles())
	}
	return m
}

// mirror folds the left half of a head onto the right: the fields are written
// for one half.
func mirror(p vec) vec { return vec{math.Abs(p.X), p.Y, p.Z} }

// head is the distance to skin or hair, whichever is nearer.
func (t *traits) head(p vec) float64 {
	d := t.bareHead(mirror(p))
	if d < -4 {
		return d
	}
	h, _ := t.hairField(mirror(p), p.X)
	return min(d, h)
}

// headPart is the mesh of head and neck.
func (t *traits) headPart() *part {
	h := &part{mesh: *extract(headGrid(), t.head), material: ofHead}
	h.hair = make([]float32, len(h.pos))
	h.follow = make([]float32, len(h.pos))
	for i, p := range h.pos {
		d, inside := t.hairField(mirror(p), p.X)
		if d > t.bareHead(mirror(p))+.1 { // not on the scalp: the neck, the ears
			inside = min(inside, 2-4*smooth(.1, 1, t.cranium(mirror(p))))
		}
		h.hair[i] = float32(inside)
		h.follow[i] = float32(smooth(-8.5, -17, p.Y))
	}
	return h
}

// openness is ambient occlusion: how much nearer than expected the surface is
// on the way out along the normal.
func openness(m *mesh, field func(vec) float64) []float32 {
	open := make([]float32, len(m.pos))
	const block = 512
	parallel((len(m.pos)+block-1)/block, func(b int) {
		for i := b * block; i < min((b+1)*block, len(m.pos)); i++ {
			shut, weight := 0.0, 1.0
			for _, h := range [...]float64{.3, .7, 1.4, 2.6} {
				shut += max(0, h-field(m.pos[i].addScaled(m.nrm[i], h))) * weight
				weight *= .55
			}
			open[i] = float32(clamp(1-.5*shut, .12, 1))
		}
	})
	return open
}

// spectacles is a frame of bent wire: two rims, a bridge and the temples.
func (t *traits) spectacles() *part {
	p := &part{material: ofFrame}
	const rimSteps = 40
	c := vec{t.eyeX + .1, -.25, 9.55}
	for _, side := range [2]float64{-1, 1} {
		var rim []vec
		for i := range rimSteps + 1 {
			q := t.rimPoint(2 * math.Pi * float64(i) / rimSteps)
			rim = append(rim, vec{side * (c.X + q.X), c.Y + q.Y, c.Z - .14*q.X})
		}
		p.tube(rim, .13)
		hinge := vec{side * 6.7 * t.width, .55, 8.1}
		p.tube([]vec{{side * (c.X + t.glassR*.93), .5, 9.15}, hinge, {side * 7.9 * t.width, .7, -1.5}}, .13)
	}
	in := t.rimPoint(math.Pi * .93)
	p.tube([]vec{{-c.X - in.X, .3, 9.9}, {0, .55, 10.1}, {c.X + in.X, .3, 9.9}}, .12)
	p.open = make([]float32, len(p.pos))
	for i := range p.open {
		p.open[i] = 1
	}
	return p
}

// rimPoint is the outline of one lens about its centre.
func (t *traits) rimPoint(a float64) vec {
	s, c := math.Sincos(a)
	power := 1.0 // a circle; less makes it squarer
	if t.glasses == squareGlasses {
		power = .55
		s *= .85
	}
	return vec{math.Copysign(math.Pow(math.Abs(c), power), c) * t.glassR, math.Copysign(math.Pow(math.Abs(s), power), s) * t.glassR * .9, 0}
}

// tube adds a pipe of radius r along a path.
func (m *mesh) tube(path []vec, r float64) {
	const sides = 8
	for i, p := range path {
		along := path[min(i+1, len(path)-1)].sub(path[max(i-1, 0)]).norm()
		u := along.cross(vec{0, 1, .3}).norm()
		if u.len() < .5 {
			u = vec{1, 0, 0}
		}
		v := u.cross(along)
		for k := range sides {
			s, c := math.Sincos(2 * math.Pi * float64(k) / sides)
			n := u.mul(c).addScaled(v, s)
			m.pos, m.nrm = append(m.pos, p.addScaled(n, r)), append(m.nrm, n)
			if i > 0 {
				a, b := int32(len(m.pos)-1), int32(len(m.pos)-1-sides)
				next := int32(1)
				if k == sides-1 {
					next = 1 - sides
				}
				// Points that a triangle asks for before they are made: their
				// indices are known.
				m.tri = append(m.tri, [3]int32{b, b + next, a}, [3]int32{b + next, a + next, a})
			}
		}
	}
}
