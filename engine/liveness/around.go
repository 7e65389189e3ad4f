package liveness

import (
	"math"

	"github.com/cypherface/edge/engine"
)

// area is a rectangle of a thumb.
type area struct{ x0, y0, x1, y1 int }

// beside are the areas left and right of a head, above the shoulders, in the thumb
// of the frame. What lies there stands still behind a person, and moves with a
// picture of one.
func (f *Frame) beside(near, far float64) []area {
	c, half, _, _ := frameOf(f.Face)
	k := 1 / f.thumb.scale
	cx, cy, h := c.X*k, c.Y*k, half*k
	var out []area
	for _, side := range []float64{-1, 1} {
		a, b := cx+side*near*h, cx+side*far*h
		r := area{int(min(a, b)), int(cy - 1.6*h), int(max(a, b)), int(cy + .7*h)}
		r.x0, r.y0, r.x1, r.y1 = max(r.x0, 1), max(r.y0, 1), min(r.x1, f.thumb.w-1), min(r.y1, f.thumb.h-1)
		if r.x1-r.x0 >= 3 && r.y1-r.y0 >= 6 {
			out = append(out, r)
		}
	}
	return out
}

// moveOf is the similarity that brings the points of one face to those of another.
type moveOf struct{ a, b, tx, ty float64 }

// motion between two faces, in pixels of the thumb.
func motion(f, g *Frame) moveOf {
	p, q := points(&f.Face), points(&g.Face)
	kf, kg := 1/f.thumb.scale, 1/g.thumb.scale
	var cp, cq engine.Point
	for i := range p {
		p[i], q[i] = engine.Point{X: p[i].X * kf, Y: p[i].Y * kf}, engine.Point{X: q[i].X * kg, Y: q[i].Y * kg}
		cp.X, cp.Y, cq.X, cq.Y = cp.X+p[i].X/trackPoints, cp.Y+p[i].Y/trackPoints, cq.X+q[i].X/trackPoints, cq.Y+q[i].Y/trackPoints
	}
	var norm, cos, sin float64
	for i := range p {
		x, y, u, v := p[i].X-cp.X, p[i].Y-cp.Y, q[i].X-cq.X, q[i].Y-cq.Y
		norm, cos, sin = norm+x*x+y*y, cos+x*u+y*v, sin+x*v-y*u
	}
	if norm < 1e-9 {
		return moveOf{a: 1}
	}
	m := moveOf{a: cos / norm, b: sin / norm}
	m.tx, m.ty = cq.X-(m.a*cp.X-m.b*cp.Y), cq.Y-(m.b*cp.X+m.a*cp.Y)
	return m
}

func (m moveOf) apply(x, y float64) (float64, float64) {
	return m.a*x - m.b*y + m.tx, m.b*x + m.a*y + m.ty
}

// difference is the mean square of the difference between an area of a thumb and the
// places of another that a motion brings it to, a change of brightness taken out.
func difference(f, g *thumb, r area, m moveOf) float64 {
	var sum, squares, n float64
	for y := r.y0; y < r.y1; y++ {
		for x := r.x0; x < r.x1; x++ {
			u, v := m.apply(float64(x)+.5, float64(y)+.5)
			if u < 1 || v < 1 || u > float64(g.w-1) || v > float64(g.h-1) {
				continue
			}
			d := float64(f.pix[y*f.w+x]) - g.at(u, v)
			sum, squares, n = sum+d, squares+d*d, n+1
		}
	}
	if n < 12 {
		return 0
	}
	return squares/n - sum*sum/n/n
}

// view is how the camera itself moved between two frames: the shifts of what is seen
// left and right of the person at the border of the picture, in pixels of the thumb.
// A camera on a wall has none; one in a hand sways and leans.
type view struct {
	x      [2]float64
	dx, dy [2]float64
}

// at is the shift of the room at a column.
func (v *view) at(x float64) (dx, dy float64) {
	k := 0.
	if w := v.x[1] - v.x[0]; w > 1 {
		k = min(max((x-v.x[0])/w, -.5), 1.5)
	}
	return v.dx[0] + k*(v.dx[1]-v.dx[0]), v.dy[0] + k*(v.dy[1]-v.dy[0])
}

// motion is the view's as a motion about a column.
func (v *view) motion(x float64) moveOf {
	dx, dy := v.at(x)
	return moveOf{a: 1, tx: dx, ty: dy}
}

// cameraView finds the camera's motion. Where the person fills the picture to one
// side, the other side stands for both; where to both, the strip above.
func cameraView(f, g *Frame) *view {
	t := f.thumb
	c, half, _, _ := frameOf(f.Face)
	d, other, _, _ := frameOf(g.Face)
	left, right := int(min(c.X-2.4*half, d.X-2.4*other)/t.scale), int(max(c.X+2.4*half, d.X+2.4*other)/t.scale)
	low := min(max(int(min(c.Y+.8*half, d.Y+.8*other)/t.scale), 20), t.h-2) // shoulders move with the head
	var strips []area
	if left > 10 {
		strips = append(strips, area{2, 2, left, low})
	}
	if right < t.w-10 {
		strips = append(strips, area{right, 2, t.w - 2, low})
	}
	if len(strips) == 0 {
		strips = append(strips, area{2, 2, t.w - 2, max(10, int(min(c.Y-2.2*half, d.Y-2.2*other)/t.scale))})
	}
	v := new(view)
	for i := range v.x {
		r := strips[min(i, len(strips)-1)]
		v.x[i] = float64(r.x0+r.x1) / 2
		v.dx[i], v.dy[i] = shift(f, g, []area{r})
	}
	return v
}

// shift is how far areas of a thumb have moved in another, in its pixels: on the
// coarse thumbs first.
func shift(f, g *Frame, areas []area) (dx, dy float64) {
	var coarse []area
	for _, r := range areas {
		r = area{(r.x0 + coarser - 1) / coarser, (r.y0 + coarser - 1) / coarser, r.x1 / coarser, r.y1 / coarser}
		if r.x1-r.x0 >= 3 && r.y1-r.y0 >= 3 {
			coarse = append(coarse, r)
		}
	}
	if len(coarse) > 0 {
		dx, dy = refine(f.coarse, g.coarse, coarse, 0, 0)
	}
	return refine(f.thumb, g.thumb, areas, dx*coarser, dy*coarser)
}

// refine takes a few steps of Gauss and Newton for one common shift.
func refine(f, g *thumb, areas []area, dx, dy float64) (float64, float64) {
	for range 4 {
		var xx, xy, yy, xd, yd, n, sx, sy, sd float64
		for _, r := range areas {
			for y := max(r.y0, 1); y < min(r.y1, f.h-1); y++ {
				for x := max(r.x0, 1); x < min(r.x1, f.w-1); x++ {
					u, v := float64(x)+.5+dx, float64(y)+.5+dy
					if u < 1 || v < 1 || u > float64(g.w)-1 || v > float64(g.h)-1 {
						continue
					}
					i := y*f.w + x
					gx := (float64(f.pix[i+1]) - float64(f.pix[i-1])) / 2
					gy := (float64(f.pix[i+f.w]) - float64(f.pix[i-f.w])) / 2
					d := float64(f.pix[i]) - g.at(u, v)
					xx, xy, yy, xd, yd = xx+gx*gx, xy+gx*gy, yy+gy*gy, xd+gx*d, yd+gy*d
					n, sx, sy, sd = n+1, sx+gx, sy+gy, sd+d
				}
			}
		}
		if n < 9 {
			break
		}
		xx, xy, yy, xd, yd = xx-sx*sx/n, xy-sx*sy/n, yy-sy*sy/n, xd-sx*sd/n, yd-sy*sd/n
		xx, yy = xx+.05*n, yy+.05*n // what has no detail does not move
		det := xx*yy - xy*xy
		if det < 1e-9 {
			break
		}
		dx += min(max((xd*yy-yd*xy)/det, -1.5), 1.5)
		dy += min(max((yd*xx-xd*xy)/det, -1.5), 1.5)
		dx, dy = min(max(dx, -14), 14), min(max(dy, -14), 14)
	}
	return dx, dy
}

// pairing is two frames of one camera with what moved between them.
type pairing struct {
	f, g *Frame
	face moveOf
	view *view
}

// pairs are frames that follow each other.
func pairs(frames []Frame) []pairing {
	var out []pairing
	for i := 1; i < len(frames); i++ {
		f, g := &frames[i-1], &frames[i]
		if f.thumb.w == g.thumb.w && f.thumb.h == g.thumb.h {
			out = append(out, pairing{f, g, motion(f, g), cameraView(f, g)})
		}
	}
	return out
}

// moved is how far the face went against the room, in pixels of the thumb.
func (p *pairing) moved() float64 {
	c, _, _, _ := frameOf(p.f.Face)
	x, y := c.X/p.f.thumb.scale, c.Y/p.f.thumb.scale
	u, v := p.face.apply(x, y)
	dx, dy := p.view.at(x)
	return math.Hypot(u-x-dx, v-y-dy)
}

// carried says whether what is beside the face moves with it (positive) or stands
// still (negative): ln of the ratio of what both leave unexplained, over the pairs
// of frames between which the face moved without turning. 0 where it never did.
func carried(all []pairing) float64 {
	var still, with, noise float64
	for i := range all {
		p := &all[i]
		if p.moved() < .8 || math.Abs(yaw(&p.f.Face)-yaw(&p.g.Face)) > .12 {
			continue
		}
		for _, r := range p.f.beside(1.25, 1.9) {
			still += difference(p.f.thumb, p.g.thumb, r, p.view.motion(float64(r.x0+r.x1)/2))
			with += difference(p.f.thumb, p.g.thumb, r, p.face)
			noise += 1.5
		}
	}
	if noise == 0 {
		return 0
	}
	return math.Log((still + noise) / (with + noise))
}

// drift is how far what is beside the head moves from frame to frame against the
// border of the picture: in hundredths of the face's size, between most frames. A
// display and paper shake in the hand, the room does not.
func drift(all []pairing) float64 {
	var out []float64
	for i := range all {
		p := &all[i]
		least := math.Inf(1) // somebody may walk by on one side
		for _, r := range p.f.beside(1.3, 2) {
			dx, dy := shift(p.f, p.g, []area{r})
			cx, cy := p.view.at(float64(r.x0+r.x1) / 2)
			least = min(least, math.Hypot(dx-cx, dy-cy))
		}
		if math.IsInf(least, 0) {
			continue
		}
		_, half, _, _ := frameOf(p.f.Face)
		out = append(out, 100*least*p.f.thumb.scale/half)
	}
	return quantile(out, .7)
}

// headReach is how far a head and its hair reach from the middle of the face, in
// halves of its window; the shoulders reach twice as far, below.
const headReach = 2.0

// hides says whether somebody in a frame may hide a place of its coarse thumb.
func (f *Frame) hides(x, y float64) bool {
	c, half, _, _ := frameOf(f.Face)
	k := f.coarse.scale
	dx, dy := math.Abs(x*k-c.X)/half, (y*k-c.Y)/half
	return dx < headReach && dy > -1.3*headReach || dx < 2*headReach && dy > .8
}

// tile is the side of the squares in which two pictures of a room are compared, in
// pixels of the coarse thumb.
const tile = 4

// changes are by how much the room changed between two frames: its luma and its
// colour, in levels. They are those of the tiles that changed little, of those that
// nobody hides: somebody may walk by, and the way a hand moved is not known exactly.
func (p *pairing) changes() (luma, colour float64) {
	t := p.f.coarse
	var means, squares, cs []float64
	for y := 1; y+tile < t.h; y += tile {
		for x := 1; x+tile < t.w; x += tile {
			mx, my := float64(x)+tile/2, float64(y)+tile/2
			if p.f.hides(mx, my) || p.g.hides(mx, my) {
				continue
			}
			m := p.view.motion(mx * coarser)
			m.tx, m.ty = m.tx/coarser, m.ty/coarser
			r := area{x, y, x + tile, y + tile}
			means = append(means, level(t, p.g.coarse, r, m))
			squares = append(squares, difference(t, p.g.coarse, r, m))
			if p.f.blue != nil && p.g.blue != nil {
				cs = append(cs, math.Hypot(level(p.f.blue, p.g.blue, r, m), level(p.f.red, p.g.red, r, m)))
			}
		}
	}
	if len(means) < tilesLeast {
		return 0, 0
	}
	exposure := median(means)
	for i, m := range means {
		squares[i] = max(squares[i], 0) + (m-exposure)*(m-exposure)
	}
	return math.Sqrt(quantile(squares, least)), quantile(cs, least)
}

// least is the share of the tiles that are looked past, tilesLeast how many there
// must be: few are all beside a head that came close.
const (
	least      = .4
	tilesLeast = 8
)

// level is the mean difference of an area of a thumb and the places of another that a
// motion brings it to.
func level(f, g *thumb, r area, m moveOf) float64 {
	var sum, n float64
	for y := r.y0; y < r.y1; y++ {
		for x := r.x0; x < r.x1; x++ {
			u, v := m.apply(float64(x)+.5, float64(y)+.5)
			sum, n = sum+float64(f.pix[y*f.w+x])-g.at(u, v), n+1
		}
	}
	return sum / n
}

// cut is the greatest jump of the room between two frames, against what is usual
// between the others, in levels of luma and of colour: where recordings were cut
// together it changes from one frame to the next.
func cut(all []pairing) (luma, colour float64) {
	var ls, cs []float64
	for i := range all {
		l, c := all[i].changes()
		ls, cs = append(ls, l), append(cs, c)
	}
	return quantile(ls, 1) - 2*median(ls), quantile(cs, 1) - 2*median(cs)
}
