package synthface

import "math"

// neckPivot is the point about which a head turns, in head space.
var neckPivot = vec{0, -7, -2}

// hip is the height about which a body turns; only x and z matter.
var hip = vec{0, 0, -4}

// corner is a vertex of a posed part as the camera sees it.
type corner struct {
	at, nrm   vec     // in the camera's space: the camera at the origin looks along -z
	x, y, inv float64 // projected, in pixels, and 1/depth
	lit       float64 // 0 in shadow … 1 in the key light
}

// posed is a part in the place where the camera sees it.
type posed struct {
	*part
	subject *Subject
	stance  stance
	traits  *traits
	print   *texture
	corners []corner
	near    float64 // pixels to a cm at the part's distance
}

// lens is a pinhole camera.
type lens struct{ focal, cx, cy float64 }

// lens of a scene whose zero values have been filled in.
func (s *Scene) lens() lens {
	return lens{float64(s.Height) / 2 / math.Tan(s.FOV*math.Pi/360), float64(s.Width) / 2, float64(s.Height) / 2}
}

// project is where a point of the camera's space is seen. What is behind the
// camera is treated as 1 cm before it: far outside the picture.
func (l lens) project(p vec) Point {
	z := max(-p.Z, 1)
	return Point{l.cx + l.focal*p.X/z, l.cy - l.focal*p.Y/z}
}

// stance moves points from head space into the camera's space.
type stance struct {
	head, body mat
	origin     vec
}

// stance works out the rotations of a pose.
func (p Pose) stance() stance {
	return stance{
		head:   rotation(p.Yaw, p.Pitch, p.Roll),
		body:   rotation(p.Body, 0, 0),
		origin: vec{p.X, p.Y, -p.Distance},
	}
}

// withHead moves a point that is fixed to the head. The neck's pivot goes
// where the body turns it.
func (s *stance) withHead(p vec) vec {
	return s.head.apply(p.sub(neckPivot)).add(s.withBody(neckPivot))
}

// withBody moves a point that is fixed to the body.
func (s *stance) withBody(p vec) vec {
	return s.body.apply(p.sub(hip)).add(hip).add(s.origin)
}

// place poses one part of a person.
func (m *model) place(p *part, sub *Subject, l lens) *posed {
	st := sub.Pose.stance()
	out := &posed{part: p, subject: sub, stance: st, traits: m.traits, corners: make([]corner, len(p.pos)), near: l.focal / sub.Pose.Distance}
	moving := p.material == ofHead && (sub.Expression.Mouth > 0 || sub.Expression.Smile > 0)
	const block = 1024
	parallel((len(p.pos)+block-1)/block, func(b int) {
		for i := b * block; i < min((b+1)*block, len(p.pos)); i++ {
			at := p.pos[i]
			if moving {
				at = m.traits.deform(at, &sub.Expression)
			}
			out.corners[i] = st.corner(p, i, at, l)
		}
	})
	return out
}

// corner poses vertex i of a part, which an expression has moved to at. The
// neck is between head and body and follows each in part.
func (s *stance) corner(p *part, i int, at vec, l lens) corner {
	var c corner
	switch {
	case p.material == ofCloth:
		c.at, c.nrm = s.withBody(at), s.body.apply(p.nrm[i])
	case p.follow == nil || p.follow[i] == 0:
		c.at, c.nrm = s.withHead(at), s.head.apply(p.nrm[i])
	default:
		f := float64(p.follow[i])
		c.at = s.withHead(at).lerp(s.withBody(at), f)
		c.nrm = s.head.apply(p.nrm[i]).lerp(s.body.apply(p.nrm[i]), f).norm()
	}
	q := l.project(c.at)
	c.x, c.y, c.inv, c.lit = q.X, q.Y, 1/max(-c.at.Z, 1), 1
	return c
}

// deform opens the mouth and smiles: everything below the line of the lips
// goes down with the jaw, the corners of the mouth go up and out.
func (t *traits) deform(p vec, e *Expression) vec {
	if p.Z < -3 {
		return p
	}
	x := math.Abs(p.X)
	front := smooth(-2, 4, p.Z)
	if e.Smile > 0 {
		k := e.Smile * bump(x-t.mouthW, 1.5) * bump(p.Y-t.mouthY, 1.3) * front
		p.Y += .5 * k
		p.Z -= .15 * k
		p.X += math.Copysign(.38*k, p.X)
		apple := e.Smile * bump(x-4.2, 1.7) * bump(p.Y+3.2, 1.6) * front
		p.Y += .2 * apple
		p.Z += .22 * apple
	}
	if e.Mouth > 0 {
		w := t.mouthW + .3
		lips := math.Sqrt(max(0, 1-sq(x/w))) // the corners stay together
		split := mix(smooth(t.mouthY+2.5, t.mouthY-2.5, p.Y), smooth(t.mouthY+.26, t.mouthY-.26, p.Y), lips*smooth(5.5, 7, p.Z))
		if x >= w {
			split = smooth(t.mouthY+2.5, t.mouthY-2.5, p.Y)
		}
		drop := 2.2 * e.Mouth * split * front * smooth(-14, -11, p.Y)
		p.Y -= drop
		p.Z -= .3 * drop
	}
	return p
}

// keypoints are the true features of a person in this pose.
func (t *traits) keypoints(pose Pose, e *Expression, l lens) Keypoints {
	st := pose.stance()
	lipY := t.mouthY - 1.1*e.Mouth
	ear := vec{7.3 * t.width, -1.6, .3}
	rest := [6]vec{
		{-t.eyeX, 0, t.eye.Z + t.eyeR}, {t.eyeX, 0, t.eye.Z + t.eyeR},
		t.nosePeak, {0, lipY, 9}, {-ear.X, ear.Y, ear.Z}, ear,
	}
	var k Keypoints
	for i, p := range rest {
		k[i] = l.project(st.withHead(p))
	}
	return k
}
