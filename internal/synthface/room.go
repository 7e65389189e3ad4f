package synthface

import (
	"math"
	"math/rand/v2"
)

// room is a hallway seen along its length, in cm from the camera.
type room struct {
	left, right, floor, ceiling, end   float64
	wall, dado, wood, door, frame, art vec
	doorX, windowZ, artZ               float64
}

// newRoom furnishes a hallway from a seed.
func newRoom(seed int64) *room {
	r := dice{rand.New(rand.NewPCG(uint64(seed), 0x68616c6c))}
	walls := []vec{{.62, .58, .50}, {.52, .57, .58}, {.60, .55, .52}, {.55, .58, .50}, {.50, .52, .58}}
	doors := []vec{{.10, .20, .24}, {.26, .13, .06}, {.30, .31, .32}, {.12, .20, .12}}
	w := r.IntN(len(walls))
	return &room{
		left: -150 - 40*r.Float64(), right: 150 + 40*r.Float64(), floor: -150, ceiling: 105, end: -560,
		wall: walls[w], dado: walls[w].times(vec{.72, .74, .78}), wood: pick(r, vec{.34, .22, .12}, vec{.27, .24, .21}, vec{.42, .33, .22}),
		door: pick(r, doors...), frame: vec{.64, .62, .58}, art: vec{.2 + .3*r.Float64(), .2 + .2*r.Float64(), .2 + .3*r.Float64()},
		doorX: -60 + 80*r.Float64(), windowZ: -260 - 60*r.Float64(), artZ: -250 - 60*r.Float64(),
	}
}

// colour is what a ray from the camera sees.
func (r *room) colour(dir vec) vec {
	p, face := r.hit(dir)
	c := r.surface(p, face)
	if face == 'f' { // polished: a little of what stands at the end shows in it
		up := vec{p.X, 2*r.floor - p.Y, p.Z}
		dir.Y = -dir.Y
		q, side := r.hitFrom(up, dir)
		c = c.lerp(r.surface(q, side), .13)
	}
	return c
}

func (r *room) hit(dir vec) (vec, byte) { return r.hitFrom(vec{}, dir) }

// hitFrom follows a ray to the first wall: l, r, f(loor), c(eiling) or the e(nd).
func (r *room) hitFrom(from, dir vec) (vec, byte) {
	t, face := (r.end-from.Z)/dir.Z, byte('e')
	try := func(at, o, d float64, f byte) {
		if d == 0 {
			return
		}
		if k := (at - o) / d; k > 1e-6 && k < t {
			t, face = k, f
		}
	}
	try(r.left, from.X, dir.X, 'l')
	try(r.right, from.X, dir.X, 'r')
	try(r.floor, from.Y, dir.Y, 'f')
	try(r.ceiling, from.Y, dir.Y, 'c')
	return from.addScaled(dir, t), face
}

// inRect is 1 inside the rectangle, fading over soft cm at its edges.
func inRect(x, y, x0, x1, y0, y1, soft float64) float64 {
	return smooth(x0-soft, x0+soft, x) * smooth(x1+soft, x1-soft, x) * smooth(y0-soft, y0+soft, y) * smooth(y1+soft, y1-soft, y)
}

// surface is the light from a place on a wall. There is no light transport
// here: what makes a room believable is that corners are darker, that it is
// brighter by the window and under the lamps, and that these shine.
func (r *room) surface(p vec, face byte) vec {
	// Corners are darker, and so is what is far from the window.
	near := func(d float64) float64 { return 1 - .30*math.Exp(-d/28) }
	shade := near(p.X-r.left) * near(r.right-p.X) * near(r.ceiling-p.Y) * near(p.Y-r.floor) * near(p.Z-r.end)
	glow := .72 + .5*math.Exp(-p.sub(vec{r.left, 10, r.windowZ}).len()/190)
	lamp := 0.0
	for z := -120.0; z > -560; z -= 170 {
		lamp += math.Exp(-p.sub(vec{0, r.ceiling, z}).len() / 75)
	}
	c := r.plain(p, face)
	light := vec{.97, .99, 1.02}.mul(glow).add(vec{.42, .38, .32}.mul(lamp))
	return c.times(light).mul(shade * .86).add(r.shining(p, face))
}

// plain is the surface's own colour.
func (r *room) plain(p vec, face byte) vec {
	wall := r.wall.lerp(r.dado, smooth(-49, -51, p.Y))
	wall = wall.lerp(r.frame, inRect(p.X, p.Y, -1e3, 1e3, -53, -49, .5)) // rail
	wall = wall.lerp(r.frame, smooth(-138, -139, p.Y))                   // skirting
	switch face {
	case 'c':
		return vec{.70, .69, .66}
	case 'f':
		board := math.Floor(p.X / 18)
		grain := noise(vec{p.X * .35, 0, p.Z*.02 + board*7})
		seam := smooth(.6, .2, math.Abs(p.X-18*math.Round(p.X/18)))
		return r.wood.mul((1 + .10*hash(int32(board), 3, 1) + .06*grain) * (1 - .3*seam))
	case 'e':
		wall = wall.lerp(r.frame, inRect(p.X, p.Y, r.doorX-57, r.doorX+57, -200, 66, .6))
		wall = wall.lerp(r.door, inRect(p.X, p.Y, r.doorX-49, r.doorX+49, -200, 58, .6))
		panel := inRect(math.Abs(p.X-r.doorX), p.Y, 8, 40, -128, -58, 1.5)
		return wall.lerp(r.door.mul(.82), panel)
	case 'r':
		for i := range 3 {
			z := r.artZ - float64(i)*95
			wall = wall.lerp(vec{.05, .045, .04}, inRect(p.Z, p.Y, z-30, z+30, -22, 48, .6))
			paint := r.art.lerp(vec{.6, .5, .35}, .5+.5*noise(vec{p.Z * .05, p.Y * .06, float64(i)}))
			wall = wall.lerp(paint, inRect(p.Z, p.Y, z-25, z+25, -17, 43, .6))
		}
	case 'l':
		for i := range 2 {
			z := r.windowZ - float64(i)*150
			wall = wall.lerp(r.frame, inRect(p.Z, p.Y, z-58, z+58, -45, 75, .8))
		}
	}
	return wall
}

// shining is what gives light itself: windows, a pane in the door, lamps.
func (r *room) shining(p vec, face byte) vec {
	k := 0.0
	switch face {
	case 'l':
		for i := range 2 {
			z := r.windowZ - float64(i)*150
			k += inRect(math.Abs(p.Z-z), p.Y, 3, 52, -39, 69, .8)
		}
		return vec{.62, .74, .82}.mul(.8 * k)
	case 'e':
		k = inRect(math.Abs(p.X-r.doorX), p.Y, 6, 36, -35, 40, 1)
		return vec{.55, .66, .68}.mul(.55 * k)
	case 'c':
		for z := -120.0; z > -560; z -= 170 {
			k += inRect(p.X, p.Z, -28, 28, z-45, z+45, 1)
		}
		return vec{1, .96, .88}.mul(.8 * k)
	}
	return vec{}
}

// paint draws the room as the lens sees it, a little out of focus, in linear
// light of normal strength.
func (r *room) paint(w, h int, l lens) []vec {
	img := make([]vec, w*h)
	parallel(h, func(y int) {
		for x := range w {
			img[y*w+x] = r.colour(vec{(float64(x) + .5 - l.cx) / l.focal, (l.cy - float64(y) - .5) / l.focal, -1})
		}
	})
	radius := max(1, h/200)
	for range 3 { // three boxes make a bell
		img = boxBlur(img, w, h, radius)
	}
	return img
}

// boxBlur averages over (2r+1)² pixels: along the rows, then down the columns, in
// strips that stay in the cache.
func boxBlur(src []vec, w, h, r int) []vec {
	k := 1 / float64(2*r+1)
	across, out := make([]vec, len(src)), make([]vec, len(src))
	parallel(h, func(y int) {
		row := src[y*w:][:w]
		pixel := func(x int) vec { return row[min(max(x, 0), w-1)] }
		var sum vec
		for i := -r; i <= r; i++ {
			sum = sum.add(pixel(i))
		}
		for x := range w {
			across[y*w+x] = sum.mul(k)
			sum = sum.add(pixel(x + r + 1)).sub(pixel(x - r))
		}
	})
	const strip = 64
	parallel((w+strip-1)/strip, func(s int) {
		from, to := s*strip, min((s+1)*strip, w)
		row := func(y int) []vec { return across[min(max(y, 0), h-1)*w:][from:to] }
		sums := make([]vec, to-from)
		for i := -r; i <= r; i++ {
			for x, c := range row(i) {
				sums[x] = sums[x].add(c)
			}
		}
		for y := range h {
			in, gone := row(y+r+1), row(y-r)
			for x, c := range sums {
				out[y*w+from+x] = c.mul(k)
				sums[x] = c.add(in[x]).sub(gone[x])
			}
		}
	})
	return out
}
