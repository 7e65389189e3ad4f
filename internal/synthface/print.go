package synthface

import (
	"image"
	"image/color"
	"math"
	"sync"
)

// Print is a photograph or a screen held up to the camera in place of a face:
// a presentation attack. Its fields are not changed once it has been rendered.
type Print struct {
	Of     Shot    // what it shows; its first face is printed life size
	Bend   float64 // radius in cm of the cylinder it is bent around; zero: flat
	Screen bool    // a glowing display with a bezel instead of paper
	// Cut is a mask: the paper is cut out along the face, with holes for the eyes.
	Cut bool

	once    sync.Once
	texture *texture
}

// The paper reaches this far from the face's middle, in cm.
const (
	printHalfW = 11.5
	printHalfH = 14.5
)

// texture is the picture on a print.
type texture struct {
	*Print
	w, h   int
	pix    []vec   // linear
	scale  float64 // pixels to a cm on the paper
	cx, cy float64 // the pixel at the paper's middle
}

// ready returns the texture, made once.
func (p *Print) ready() *texture {
	p.once.Do(func() { p.texture = newTexture(p) })
	return p.texture
}

// lifeSize is the mean distance between the eyes in cm.
const lifeSize = 6.4

// newTexture takes the picture over in linear light and finds its scale from
// the distance of the eyes.
func newTexture(p *Print) *texture {
	b := p.Of.Image.Bounds()
	t := &texture{Print: p, w: b.Dx(), h: b.Dy(), pix: make([]vec, b.Dx()*b.Dy()), cx: float64(b.Dx()) / 2, cy: float64(b.Dy()) / 2, scale: float64(b.Dx()) / (2 * printHalfW)}
	parallel(t.h, func(y int) {
		for x := range t.w {
			t.pix[y*t.w+x] = linear(p.Of.Image, b.Min.X+x, b.Min.Y+y)
		}
	})
	if len(p.Of.Faces) > 0 {
		k := p.Of.Faces[0]
		re, le, m := k[RightEye], k[LeftEye], k[Mouth]
		t.scale = max(1, math.Hypot(le.X-re.X, le.Y-re.Y)) / lifeSize
		t.cx, t.cy = (re.X+le.X+m.X)/3, (re.Y+le.Y+m.Y)/3
	}
	return t
}

// linear is the light that a printed pixel reflects: about the inverse of the
// tone curve, a little darker than the paper.
func linear(img *image.YCbCr, x, y int) vec {
	r, g, b := color.YCbCrToRGB(img.Y[img.YOffset(x, y)], img.Cb[img.COffset(x, y)], img.Cr[img.COffset(x, y)])
	f := func(c uint8) float64 { return math.Pow(float64(c)/255, 2.2) * .95 }
	return vec{f(r), f(g), f(b)}
}

// colour at a place on the paper in cm, bilinear.
func (t *texture) colour(x, y float64) vec {
	u, v := t.cx+x*t.scale-.5, t.cy-y*t.scale-.5
	fx, fy := math.Floor(u), math.Floor(v)
	at := func(dx, dy int) vec {
		i, j := min(max(int(fx)+dx, 0), t.w-1), min(max(int(fy)+dy, 0), t.h-1)
		return t.pix[j*t.w+i]
	}
	u, v = u-fx, v-fy
	return at(0, 0).lerp(at(1, 0), u).lerp(at(0, 1).lerp(at(1, 1), u), v)
}

// bent is where a place on the paper lies in space.
func (t *texture) bent(x, y float64) (at, normal vec) {
	if t.Bend <= 0 {
		return vec{x, y, 0}, vec{0, 0, 1}
	}
	s, c := math.Sincos(x / t.Bend)
	return vec{t.Bend * s, y, t.Bend * (c - 1)}, vec{s, 0, c}
}

// kept reports whether there is paper at a place in cm.
func (t *texture) kept(x, y float64) bool {
	if !t.Cut || len(t.Of.Faces) == 0 {
		return true
	}
	const eyeW, eyeH = 1.7, .95 // a hole's half width and height
	for _, k := range []Point{t.Of.Faces[0][RightEye], t.Of.Faces[0][LeftEye]} {
		if sq((x-(k.X-t.cx)/t.scale)/eyeW)+sq((y-(t.cy-k.Y)/t.scale)/eyeH) < 1 {
			return false
		}
	}
	return sq(x/cutHalfW)+sq((y-cutMiddle)/cutHalfH) < 1
}

// The oval of a mask in cm, its middle above that of the print.
const (
	cutHalfW  = 7.6
	cutHalfH  = 10.2
	cutMiddle = .4
)

// sheet is the mesh of the paper.
func (t *texture) sheet() *part {
	cols, rows := 32, 8
	if t.Cut {
		cols, rows = 96, 120 // fine enough for the edges of the holes
	}
	p := &part{material: ofPrint}
	for j := range rows + 1 {
		for i := range cols + 1 {
			x, y := mix(-printHalfW, printHalfW, float64(i)/float64(cols)), mix(-printHalfH, printHalfH, float64(j)/float64(rows))
			at, n := t.bent(x, y)
			p.pos, p.nrm, p.open = append(p.pos, at), append(p.nrm, n), append(p.open, 1)
			if i > 0 && j > 0 && t.kept(x, y) {
				d := int32(len(p.pos) - 1)
				c, b, a := d-1, d-int32(cols)-1, d-int32(cols)-2
				p.tri = append(p.tri, [3]int32{a, b, d}, [3]int32{a, d, c})
			}
		}
	}
	return p
}

// place poses the paper; it turns about its own middle.
func (t *texture) place(sub *Subject, l lens) *posed {
	p := t.sheet()
	turn := rotation(sub.Pose.Yaw, sub.Pose.Pitch, sub.Pose.Roll)
	out := &posed{part: p, subject: sub, print: t, corners: make([]corner, len(p.pos)), near: l.focal / sub.Pose.Distance}
	pose := t.hung(sub)
	for i := range p.pos {
		at := pose(p.pos[i])
		q := l.project(at)
		out.corners[i] = corner{at: at, nrm: turn.apply(p.nrm[i]), x: q.X, y: q.Y, inv: 1 / max(-at.Z, 1), lit: 1}
	}
	return out
}

// wornAt is where the middle of a mask is on the head of who wears it.
var wornAt = vec{0, -2.8, 11.3}

// hung moves points of the paper to where the camera sees them: held in the hand
// it turns about its own middle, worn it goes with the head.
func (t *texture) hung(sub *Subject) func(vec) vec {
	if sub.Person != nil {
		st := sub.Pose.stance()
		return func(p vec) vec { return st.withHead(p.add(wornAt)) }
	}
	turn := rotation(sub.Pose.Yaw, sub.Pose.Pitch, sub.Pose.Roll)
	return func(p vec) vec {
		return turn.apply(p).add(vec{sub.Pose.X, sub.Pose.Y, -sub.Pose.Distance})
	}
}

// keypoints are where the printed face's features are seen.
func (t *texture) keypoints(sub *Subject, l lens) Keypoints {
	var k Keypoints
	if len(t.Of.Faces) == 0 {
		return k
	}
	pose := t.hung(sub)
	for i, q := range t.Of.Faces[0] {
		at, _ := t.bent((q.X-t.cx)/t.scale, (t.cy-q.Y)/t.scale)
		k[i] = l.project(pose(at))
	}
	return k
}

// paper paints the print at a place of the sheet.
func (t *texture) paper(p, normal vec) surface {
	x := p.X
	if t.Bend > 0 {
		x = t.Bend * math.Atan2(p.X, p.Z+t.Bend)
	}
	edge := min(printHalfW-math.Abs(x), printHalfH-math.Abs(p.Y))
	out := surface{normal: normal, shine: .05, gloss: 30}
	switch c := t.colour(x, p.Y); {
	case t.Screen && edge < .7:
		out.colour = vec{.01, .01, .012}
	case t.Screen: // it gives its own light, a little blue, in rows of pixels
		out.glow = c.times(vec{.95, 1, 1.08}).mul(1.05)
		out.colour = vec{.015, .015, .015}
		out.shine = .25
	case edge < .5:
		out.colour = vec{.8, .8, .78}
	default:
		out.colour = c
	}
	return out
}
