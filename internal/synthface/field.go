package synthface

import "math"

// The primitives of signed distance fields: negative inside, about the
// distance in cm outside. Unions blend over a width, which is what makes
// flesh of them. (The forms are the usual ones, see Inigo Quilez, "Distance
// functions" and "Smooth minimum".)

// blend is the smooth union of two distances over width k.
func blend(a, b, k float64) float64 {
	h := k - math.Abs(a-b)
	if h <= 0 {
		return min(a, b)
	}
	return min(a, b) - h*h/(4*k)
}

// carve removes b from a with an edge rounded over width k.
func carve(a, b, k float64) float64 { return -blend(-a, b, k) }

// ellipsoid has its centre at c and the radii r.
func ellipsoid(p, c, r vec) float64 {
	x, y, z := (p.X-c.X)/r.X, (p.Y-c.Y)/r.Y, (p.Z-c.Z)/r.Z
	k0 := math.Sqrt(x*x + y*y + z*z)
	if k0 < 1e-6 {
		return -min(r.X, min(r.Y, r.Z))
	}
	x, y, z = x/r.X, y/r.Y, z/r.Z
	return k0 * (k0 - 1) / math.Sqrt(x*x+y*y+z*z)
}

// limb is the rounded cone from a to b with the radii ra and rb.
func limb(p, a, b vec, ra, rb float64) float64 {
	pa, ba := p.sub(a), b.sub(a)
	h := clamp(pa.dot(ba)/ba.dot(ba), 0, 1)
	return pa.addScaled(ba, -h).len() - mix(ra, rb, h)
}

// hash maps a lattice point to -1..1.
func hash(x, y, z int32) float64 {
	h := uint32(x)*0x8da6b343 ^ uint32(y)*0xd8163841 ^ uint32(z)*0xcb1ab31f
	h ^= h >> 15
	h *= 0x2c1b3c6d
	h ^= h >> 12
	h *= 0x297a2d39
	h ^= h >> 15
	return float64(h)/2147483648 - 1
}

// noise is smooth value noise in -1..1 with features one unit apart.
func noise(p vec) float64 {
	fx, fy, fz := math.Floor(p.X), math.Floor(p.Y), math.Floor(p.Z)
	x, y, z := int32(fx), int32(fy), int32(fz)
	u, v, w := p.X-fx, p.Y-fy, p.Z-fz
	u, v, w = u*u*(3-2*u), v*v*(3-2*v), w*w*(3-2*w)
	near := mix(mix(hash(x, y, z), hash(x+1, y, z), u), mix(hash(x, y+1, z), hash(x+1, y+1, z), u), v)
	far := mix(mix(hash(x, y, z+1), hash(x+1, y, z+1), u), mix(hash(x, y+1, z+1), hash(x+1, y+1, z+1), u), v)
	return mix(near, far, w)
}
