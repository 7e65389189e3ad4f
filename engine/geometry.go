package engine

import "math"

// Point is a place in an image in pixels, from its upper left corner; the
// centre of the first pixel is (0.5, 0.5).
type Point struct{ X, Y float64 }

// Rect is an upright rectangle in pixels.
type Rect struct{ X0, Y0, X1, Y1 float64 }

// Width of a, in pixels.
func (a Rect) Width() float64 { return a.X1 - a.X0 }

// Height of a, in pixels.
func (a Rect) Height() float64 { return a.Y1 - a.Y0 }

// Center of a.
func (a Rect) Center() Point { return Point{(a.X0 + a.X1) / 2, (a.Y0 + a.Y1) / 2} }

// Overlap is the intersection of two rectangles over their union, 0..1.
func (a Rect) Overlap(b Rect) float64 {
	w := min(a.X1, b.X1) - max(a.X0, b.X0)
	h := min(a.Y1, b.Y1) - max(a.Y0, b.Y0)
	if w <= 0 || h <= 0 {
		return 0
	}
	both := w * h
	return both / (a.Width()*a.Height() + b.Width()*b.Height() - both)
}

func distance(a, b Point) float64 { return math.Hypot(a.X-b.X, a.Y-b.Y) }

func middle(a, b Point) Point { return Point{(a.X + b.X) / 2, (a.Y + b.Y) / 2} }

// similarity turns, scales and moves: x' = a·x − b·y + tx, y' = b·x + a·y + ty.
type similarity struct{ a, b, tx, ty float64 }

func (s similarity) apply(p Point) Point {
	return Point{s.a*p.X - s.b*p.Y + s.tx, s.b*p.X + s.a*p.Y + s.ty}
}

func (s similarity) scale() float64 { return math.Hypot(s.a, s.b) }

func (s similarity) inverse() similarity {
	d := s.a*s.a + s.b*s.b
	a, b := s.a/d, -s.b/d
	return similarity{a, b, b*s.ty - a*s.tx, -b*s.tx - a*s.ty}
}

// fit returns the similarity that brings from to to with the least squared
// distance (Umeyama, IEEE PAMI 13(4), 1991, in the plane and without mirroring).
// ok is false where the points of from coincide.
func fit(from, to []Point) (s similarity, ok bool) {
	var f, t Point
	n := float64(len(from))
	for i := range from {
		f.X += from[i].X / n
		f.Y += from[i].Y / n
		t.X += to[i].X / n
		t.Y += to[i].Y / n
	}
	var norm, cos, sin float64
	for i := range from {
		x, y := from[i].X-f.X, from[i].Y-f.Y
		u, v := to[i].X-t.X, to[i].Y-t.Y
		norm += x*x + y*y
		cos += x*u + y*v
		sin += x*v - y*u
	}
	if !(norm > 1e-9) || cos == 0 && sin == 0 {
		return similarity{}, false
	}
	a, b := cos/norm, sin/norm
	return similarity{a, b, t.X - (a*f.X - b*f.Y), t.Y - (b*f.X + a*f.Y)}, true
}

// framing brings the pixels of a square picture with the given side to the
// square in the image with this centre and side, turned by angle (radians,
// clockwise as the image's y grows downwards).
func framing(center Point, side, angle, pixels float64) similarity {
	sin, cos := math.Sincos(angle)
	k := side / pixels
	a, b := k*cos, k*sin
	half := pixels / 2
	return similarity{a, b, center.X - (a*half - b*half), center.Y - (b*half + a*half)}
}
