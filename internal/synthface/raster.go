package synthface

import (
	"math"
	"runtime"
)

// canvas is a visibility buffer: which triangle is seen at each sample.
type canvas struct {
	w, h int
	id   []uint32  // part<<triBits | triangle+1; 0: nothing
	inv  []float32 // of the nearest so far, larger is nearer
}

const triBits = 20

// reset empties the canvas and gives it a size.
func (c *canvas) reset(w, h int) {
	c.w, c.h = w, h
	if cap(c.id) < w*h {
		c.id, c.inv = make([]uint32, w*h), make([]float32, w*h)
	}
	c.id, c.inv = c.id[:w*h], c.inv[:w*h]
	clear(c.id)
	clear(c.inv)
}

// spot is a vertex on a canvas, in samples, with its nearness.
type spot struct{ x, y, inv float64 }

// rows fills the rows y0 ≤ y < y1 of the canvas with one part's triangles.
// Different rows may be filled at the same time.
func (c *canvas) rows(y0, y1, part int, tris [][3]int32, spots []spot) {
	for i, t := range tris {
		a, b, d := &spots[t[0]], &spots[t[1]], &spots[t[2]]
		if max(a.y, max(b.y, d.y)) < float64(y0) || min(a.y, min(b.y, d.y)) > float64(y1) {
			continue
		}
		c.triangle(y0, y1, uint32(part)<<triBits|uint32(i+1), a, b, d)
	}
}

// triangle draws one that is wound clockwise on the canvas (whose y runs
// down), that is, counter-clockwise for the eye; the others face away.
func (c *canvas) triangle(y0, y1 int, id uint32, a, b, d *spot) {
	area := (b.x-a.x)*(d.y-a.y) - (b.y-a.y)*(d.x-a.x)
	if area >= 0 {
		return
	}
	x0 := max(0, int(math.Ceil(min(a.x, min(b.x, d.x))-.5)))
	x1 := min(c.w-1, int(math.Floor(max(a.x, max(b.x, d.x))-.5)))
	y0 = max(y0, int(math.Ceil(min(a.y, min(b.y, d.y))-.5)))
	y1 = min(y1-1, int(math.Floor(max(a.y, max(b.y, d.y))-.5)))
	scale := 1 / area
	// Barycentric weights of b and d and their steps along x.
	ux, vx := (d.y-a.y)*scale, (a.y-b.y)*scale
	for y := y0; y <= y1; y++ {
		py := float64(y) + .5 - a.y
		px := float64(x0) + .5 - a.x
		u := (px*(d.y-a.y) - py*(d.x-a.x)) * scale
		v := (py*(b.x-a.x) - px*(b.y-a.y)) * scale
		for x := x0; x <= x1; x++ {
			if u >= 0 && v >= 0 && u+v <= 1 {
				inv := float32(a.inv + u*(b.inv-a.inv) + v*(d.inv-a.inv))
				if at := y*c.w + x; inv > c.inv[at] {
					c.inv[at], c.id[at] = inv, id
				}
			}
			u += ux
			v += vx
		}
	}
}

// shadowMap is what the key light sees: a view along the light's direction
// without perspective.
type shadowMap struct {
	canvas
	u, v, dir vec // right, up, and towards the light
	centre    vec
	scale     float64 // texels to a cm
}

const (
	shadowSize  = 320
	shadowReach = 27.0 // cm from the head's centre to the edge of the map
)

// cast fills the map with the shadows of the parts of one subject and lights
// their corners.
func (m *shadowMap) cast(parts []*posed, head vec, light vec) {
	m.dir = light
	m.u = vec{0, 1, 0}.cross(light).norm()
	m.v = light.cross(m.u)
	m.centre, m.scale = head, shadowSize/(2*shadowReach)
	m.reset(shadowSize, shadowSize)
	bands := runtime.GOMAXPROCS(0)
	for i, p := range parts {
		spots := make([]spot, len(p.corners))
		for j := range spots {
			spots[j] = m.spot(p.corners[j].at)
		}
		parallel(bands, func(b int) { m.rows(b*shadowSize/bands, (b+1)*shadowSize/bands, i, p.tri, spots) })
	}
	for _, p := range parts {
		const block = 1024
		parallel((len(p.corners)+block-1)/block, func(b int) {
			for i := b * block; i < min((b+1)*block, len(p.corners)); i++ {
				c := &p.corners[i]
				c.lit = m.light(c.at.addScaled(c.nrm, .35))
			}
		})
	}
}

// spot is where a point falls on the map. Nearness is shifted to be positive.
func (m *shadowMap) spot(p vec) spot {
	q := p.sub(m.centre)
	return spot{shadowSize/2 + q.dot(m.u)*m.scale, shadowSize/2 - q.dot(m.v)*m.scale, 1000 + q.dot(m.dir)}
}

// light is the share of a wide filter around p that the light reaches.
func (m *shadowMap) light(p vec) float64 {
	s := m.spot(p)
	free, all := 0, 0
	for dy := -6; dy <= 6; dy += 2 {
		for dx := -6; dx <= 6; dx += 2 {
			x, y := int(s.x)+dx, int(s.y)+dy
			if dx*dx+dy*dy > 40 || x < 0 || y < 0 || x >= m.w || y >= m.h {
				continue
			}
			all++
			if float64(m.inv[y*m.w+x]) < s.inv+.45 {
				free++
			}
		}
	}
	if all == 0 {
		return 1
	}
	return smooth(0, 1, float64(free)/float64(all))
}
