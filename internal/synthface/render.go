package synthface

import (
	"math"
	"runtime"
	"sync"
)

// maxSide bounds the pictures, in pixels.
const maxSide = 4096

// Render draws the subjects in the scene, the nearest in front. It uses all
// cores and does not keep the subjects.
func Render(s Scene, subjects ...Subject) Shot {
	st := studios.Get().(*studio)
	defer studios.Put(st)
	return st.render(s, subjects)
}

// Renderer draws frames one after another and keeps what they share, above all the
// room: half the time where one camera looks on. It is for one goroutine; the zero
// value is ready.
type Renderer struct{ st *studio }

// Render is the function Render.
func (r *Renderer) Render(s Scene, subjects ...Subject) Shot {
	if r.st == nil {
		r.st = &studio{tone: newTone()}
	}
	return r.st.render(s, subjects)
}

// studios are idle studios: their buffers are worth keeping between frames.
var studios = sync.Pool{New: func() any { return &studio{tone: newTone()} }}

// studio is the memory of a renderer: its buffers and the room last painted.
type studio struct {
	tone   *tone
	canvas canvas
	shadow shadowMap
	light  []vec
	room   []vec
	roomOf roomKey
}

type roomKey struct {
	seed int64
	w, h int
	fov  float64
}

// over is the number of samples along each side of a pixel.
const over = 2

// render poses, lights and paints the scene, and develops the picture.
func (st *studio) render(s Scene, subjects []Subject) Shot {
	s = s.normal()
	light, faces := st.paint(&s, subjects)
	return Shot{develop(light, &s, st.tone), faces}
}

// paint poses and lights the scene, s in its normal form. The light is lent
// until the next call.
func (st *studio) paint(s *Scene, subjects []Subject) (light []vec, faces []Keypoints) {
	l := s.lens()
	lamp := s.Light.lamp()
	var parts []*posed
	faces = make([]Keypoints, len(subjects))
	for i := range subjects {
		sub := subjects[i]
		if sub.Pose.Distance == 0 {
			sub.Pose.Distance = 60
		}
		placed, truth := sub.place(l)
		faces[i] = truth
		head := vec{sub.Pose.X, sub.Pose.Y - 2, -sub.Pose.Distance}
		st.shadow.cast(placed, head, lamp.dir)
		parts = append(parts, placed...)
	}
	st.backdrop(s, l, &lamp)
	st.draw(parts, s)
	st.shadeAll(parts, s, l, &lamp)
	light = st.light
	if s.Blur > 0 {
		light = lensBlur(light, s.Width, s.Height, s.Blur)
	}
	return light, faces
}

// normal fills in the documented zero values.
func (s Scene) normal() Scene {
	if s.Width <= 0 || s.Height <= 0 {
		s.Width, s.Height = 640, 480
	}
	s.Width, s.Height = min(s.Width, maxSide), min(s.Height, maxSide)
	if s.FOV <= 0 {
		s.FOV = 46
	}
	if s.Noise == 0 {
		s.Noise = 1.5
	}
	s.Noise = max(0, s.Noise)
	if s.Light == (Light{}) {
		s.Light = Light{Azimuth: 28, Elevation: 30, Warmth: .3}
	}
	if s.Light.Key == 0 {
		s.Light.Key = 1
	}
	if s.Light.Ambient == 0 {
		s.Light.Ambient = 1
	}
	return s
}

// place poses a subject's parts and finds its true keypoints.
func (sub *Subject) place(l lens) ([]*posed, Keypoints) {
	switch {
	case sub.Person != nil:
		m := sub.Person.model()
		var out []*posed
		for _, p := range m.parts {
			out = append(out, m.place(p, sub, l))
		}
		if sub.Print != nil && sub.Print.Of.Image != nil { // a mask before the face
			t := sub.Print.ready()
			return append(out, t.place(sub, l)), t.keypoints(sub, l)
		}
		return out, m.traits.keypoints(sub.Pose, &sub.Expression, l)
	case sub.Print != nil && sub.Print.Of.Image != nil:
		t := sub.Print.ready()
		return []*posed{t.place(sub, l)}, t.keypoints(sub, l)
	}
	return nil, Keypoints{}
}

// backdrop fills the frame with the empty room.
func (st *studio) backdrop(s *Scene, l lens, lamp *lamp) {
	key := roomKey{s.Room, s.Width, s.Height, s.FOV}
	if st.room == nil || st.roomOf != key {
		st.room, st.roomOf = newRoom(s.Room).paint(s.Width, s.Height, l), key
	}
	if len(st.light) != len(st.room) {
		st.light = make([]vec, len(st.room))
	}
	tint := vec{.85, .85, .85}.mul(lamp.ambient).add(lamp.key.mul(.15))
	for i, c := range st.room {
		st.light[i] = c.times(tint)
	}
}

// draw finds out what is seen at each sample.
func (st *studio) draw(parts []*posed, s *Scene) {
	st.canvas.reset(s.Width*over, s.Height*over)
	all := make([][]spot, len(parts))
	for i, p := range parts {
		all[i] = make([]spot, len(p.corners))
		for j := range p.corners {
			c := &p.corners[j]
			all[i][j] = spot{c.x * over, c.y * over, c.inv}
		}
	}
	bands := 2 * runtime.GOMAXPROCS(0)
	h := st.canvas.h
	parallel(bands, func(b int) {
		for i, p := range parts {
			st.canvas.rows(b*h/bands, (b+1)*h/bands, i, p.tri, all[i])
		}
	})
}

// shadeAll paints every pixel in which something is seen over the backdrop.
func (st *studio) shadeAll(parts []*posed, s *Scene, l lens, lamp *lamp) {
	parallel(s.Height, func(y int) {
		b := brush{studio: st, parts: parts, lens: l, lamp: lamp}
		for x := range s.Width {
			b.pixel(x, y, &st.light[y*s.Width+x])
		}
	})
}

// brush paints single pixels.
type brush struct {
	*studio
	parts []*posed
	lens  lens
	lamp  *lamp
}

// fineBelow is the number of pixels to a cm below which every sample of a
// pixel is painted: features are then smaller than pixels.
const fineBelow = 5

// pixel paints one pixel over what is there. Where all its samples see one
// smooth surface it is painted once, else each sample is.
func (b *brush) pixel(x, y int, out *vec) {
	w := b.canvas.w
	var ids [over * over]uint32
	seen := 0
	lo, hi := float32(math.MaxFloat32), float32(0)
	for k := range ids {
		at := (y*over+k/over)*w + x*over + k%over
		ids[k] = b.canvas.id[at]
		if ids[k] != 0 {
			seen++
			lo, hi = min(lo, b.canvas.inv[at]), max(hi, b.canvas.inv[at])
		}
	}
	if seen == 0 {
		return
	}
	part := b.parts[ids[0]>>triBits]
	smoothHere := seen == len(ids) && ids[0]>>triBits == ids[3]>>triBits && 1/lo-1/hi < .7
	if smoothHere && part.near >= fineBelow {
		*out = b.sample(ids[0], float64(x)+.5, float64(y)+.5)
		return
	}
	var sum vec
	for k, id := range ids {
		if id == 0 {
			sum = sum.add(*out)
			continue
		}
		sum = sum.add(b.sample(id, float64(x)+(float64(k%over)+.5)/over, float64(y)+(float64(k/over)+.5)/over))
	}
	*out = sum.mul(1. / (over * over))
}

// sample is the light that comes to (x, y) from a triangle.
func (b *brush) sample(id uint32, x, y float64) vec {
	p := b.parts[id>>triBits]
	t := p.tri[id&(1<<triBits-1)-1]
	c0, c1, c2 := &p.corners[t[0]], &p.corners[t[1]], &p.corners[t[2]]
	// Where the ray through (x, y) meets the triangle's plane.
	ray := vec{(x - b.lens.cx) / b.lens.focal, (b.lens.cy - y) / b.lens.focal, -1}
	e1, e2 := c1.at.sub(c0.at), c2.at.sub(c0.at)
	n := e1.cross(e2)
	facing := n.dot(ray)
	if facing == 0 {
		facing = 1e-9
	}
	at := ray.mul(n.dot(c0.at) / facing)
	q := at.sub(c0.at)
	nn := n.dot(n)
	if nn == 0 {
		nn = 1
	}
	u := clamp(q.cross(e2).dot(n)/nn, 0, 1)
	v := clamp(e1.cross(q).dot(n)/nn, 0, 1-u)
	w := 1 - u - v
	mix3 := func(a, b, c vec) vec { return a.mul(w).addScaled(b, u).addScaled(c, v) }
	normal := mix3(c0.nrm, c1.nrm, c2.nrm).norm()
	rest := mix3(p.pos[t[0]], p.pos[t[1]], p.pos[t[2]])
	lit := clamp(c0.lit*w+c1.lit*u+c2.lit*v, 0, 1)
	open := clamp(float64(p.open[t[0]])*w+float64(p.open[t[1]])*u+float64(p.open[t[2]])*v, 0, 1)
	s := b.paint(p, t, rest, normal, u, v)
	return b.lamp.shade(&s, ray.mul(-1).norm(), lit, open)
}

// paint finds the surface of a part at a place at rest; u and v are the shares
// of the triangle's second and third vertex.
func (b *brush) paint(p *posed, t [3]int32, rest, normal vec, u, v float64) surface {
	switch p.material {
	case ofHead:
		inside := float64(p.hair[t[0]])*(1-u-v) + float64(p.hair[t[1]])*u + float64(p.hair[t[2]])*v
		return p.head(rest, normal, inside)
	case ofCloth:
		return p.traits.clothing(rest, normal)
	case ofPrint:
		return p.print.paper(rest, normal)
	}
	return surface{colour: p.traits.glassC, normal: normal, shine: .4, gloss: 50}
}

// lensBlur is a bell of the given standard deviation in pixels.
func lensBlur(src []vec, w, h int, sigma float64) []vec {
	n := int(math.Ceil(2.5 * sigma))
	kernel := make([]float64, 2*n+1)
	sum := 0.0
	for i := range kernel {
		kernel[i] = math.Exp(-sq(float64(i-n)/sigma) / 2)
		sum += kernel[i]
	}
	for i := range kernel {
		kernel[i] /= sum
	}
	// Along the rows, then down the columns: row by row, as they lie in memory.
	across, out := make([]vec, len(src)), make([]vec, len(src))
	parallel(h, func(y int) {
		row := src[y*w:][:w]
		for x := range w {
			var c vec
			for k, f := range kernel {
				c = c.addScaled(row[min(max(x+k-n, 0), w-1)], f)
			}
			across[y*w+x] = c
		}
	})
	parallel(h, func(y int) {
		to := out[y*w:][:w]
		for k, f := range kernel {
			row := across[min(max(y+k-n, 0), h-1)*w:][:w]
			for x := range to {
				to[x] = to[x].addScaled(row[x], f)
			}
		}
	})
	return out
}
