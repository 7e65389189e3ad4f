package synthface

import "math"

// vec is a point, a direction or a linear RGB colour. In space +x is to the
// right of the image, +y up and +z towards the camera, lengths in cm.
type vec struct{ X, Y, Z float64 }

func (a vec) add(b vec) vec                  { return vec{a.X + b.X, a.Y + b.Y, a.Z + b.Z} }
func (a vec) sub(b vec) vec                  { return vec{a.X - b.X, a.Y - b.Y, a.Z - b.Z} }
func (a vec) mul(s float64) vec              { return vec{a.X * s, a.Y * s, a.Z * s} }
func (a vec) times(b vec) vec                { return vec{a.X * b.X, a.Y * b.Y, a.Z * b.Z} }
func (a vec) dot(b vec) float64              { return a.X*b.X + a.Y*b.Y + a.Z*b.Z }
func (a vec) len() float64                   { return math.Sqrt(a.dot(a)) }
func (a vec) lerp(b vec, t float64) vec      { return a.add(b.sub(a).mul(t)) }
func (a vec) addScaled(b vec, s float64) vec { return vec{a.X + b.X*s, a.Y + b.Y*s, a.Z + b.Z*s} }

func (a vec) cross(b vec) vec {
	return vec{a.Y*b.Z - a.Z*b.Y, a.Z*b.X - a.X*b.Z, a.X*b.Y - a.Y*b.X}
}

// norm is the unit vector along a, or a itself where it has no length.
func (a vec) norm() vec {
	l := a.len()
	if l == 0 {
		return a
	}
	return a.mul(1 / l)
}

// mat is a rotation, row by row.
type mat [9]float64

func (m *mat) apply(v vec) vec {
	return vec{m[0]*v.X + m[1]*v.Y + m[2]*v.Z, m[3]*v.X + m[4]*v.Y + m[5]*v.Z, m[6]*v.X + m[7]*v.Y + m[8]*v.Z}
}

// rotation turns by yaw about y, then pitch about x, then roll about z, with
// the signs of Pose; degrees.
func rotation(yaw, pitch, roll float64) mat {
	sy, cy := math.Sincos(yaw * math.Pi / 180)
	sp, cp := math.Sincos(pitch * math.Pi / 180)
	sr, cr := math.Sincos(roll * math.Pi / 180)
	ry := mat{cy, 0, sy, 0, 1, 0, -sy, 0, cy}
	rx := mat{1, 0, 0, 0, cp, sp, 0, -sp, cp}
	rz := mat{cr, -sr, 0, sr, cr, 0, 0, 0, 1}
	return product(product(rz, rx), ry)
}

func product(a, b mat) mat {
	var c mat
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				c[i*3+j] += a[i*3+k] * b[k*3+j]
			}
		}
	}
	return c
}

func clamp(x, lo, hi float64) float64 { return max(lo, min(hi, x)) }
func mix(a, b, t float64) float64     { return a + (b-a)*t }
func sq(x float64) float64            { return x * x }

// smooth rises from 0 at a to 1 at b (or falls, where b < a) without a kink.
func smooth(a, b, x float64) float64 {
	t := (x - a) / (b - a)
	if t <= 0 {
		return 0
	}
	if t >= 1 {
		return 1
	}
	return t * t * (3 - 2*t)
}

// bump is a bell of height 1 at zero and width w.
func bump(x, w float64) float64 {
	x /= w
	if x > 5 || x < -5 {
		return 0
	}
	return math.Exp(-x * x)
}
