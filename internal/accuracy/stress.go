package accuracy

import (
	"hash/fnv"
	"image"
	"math"
	"math/rand/v2"
)

// The frame of [Stress], and the width of the faces in it.
const (
	FrameWidth, FrameHeight    = 640, 480
	MinFaceWidth, MaxFaceWidth = 60, 220 // pixels

	maxTurn   = 25   // degrees, in the picture's plane
	faceShare = 0.38 // of a portrait's width: that of the deep-funneled LFW images
	feather   = 0.08 // of a portrait's width, over which it fades into the background
)

// Stress makes of a portrait what a camera at a door sees: the face 60 to 220
// pixels wide, turned up to 25° in the picture's plane, anywhere in a frame of
// 640×480. Around the portrait its own colours go on, blurred. It takes the
// face to stand in the middle of the portrait over 38 % of its width. Seed and
// name decide everything, so a set is the same in whatever order it is made.
// The point is where the middle of the portrait came to lie: others may look
// out of the same portrait.
func Stress(portrait image.Image, name string, seed uint64) (*image.NRGBA, image.Point) {
	rng := randFor(name, seed)
	src := toFloat(portrait)
	angle := (2*rng.Float64() - 1) * maxTurn * math.Pi / 180
	face := MinFaceWidth + rng.Float64()*(MaxFaceWidth-MinFaceWidth)
	scale := face / (faceShare * float64(src.w)) // frame pixels a portrait pixel
	cx := between(rng, 0.75*face, FrameWidth-0.75*face)
	cy := between(rng, 0.9*face, FrameHeight-0.9*face)

	out := src.background()
	sin, cos := math.Sincos(angle)
	reach := math.Hypot(float64(src.w), float64(src.h)) / 2 * scale
	sub := int(math.Ceil(1 / scale)) // samples a side: no aliasing when the face shrinks
	weight := 1 / float64(sub*sub)
	for y := max(0, int(cy-reach)); y < min(FrameHeight, int(cy+reach)+1); y++ {
		for x := max(0, int(cx-reach)); x < min(FrameWidth, int(cx+reach)+1); x++ {
			back := out.pix[y*FrameWidth+x]
			var p rgb
			for i := range sub * sub {
				fx := float64(x) + (float64(i%sub)+0.5)/float64(sub) - cx
				fy := float64(y) + (float64(i/sub)+0.5)/float64(sub) - cy
				sx := (cos*fx+sin*fy)/scale + float64(src.w)/2
				sy := (cos*fy-sin*fx)/scale + float64(src.h)/2
				cover := src.cover(sx, sy)
				p = p.add(back, weight*(1-cover))
				if cover > 0 {
					p = p.add(src.at(sx-0.5, sy-0.5), weight*cover)
				}
			}
			out.set(x, y, p)
		}
	}
	return out.nrgba(), image.Pt(int(cx), int(cy))
}

// background fills a frame with the colours of the portrait's rim, without a
// ghost of the face in the middle.
func (f *floatImage) background() *floatImage {
	cells := f.shrink(4, 3)
	for x := 1; x <= 2; x++ {
		var c rgb
		cells.set(x, 1, c.add(cells.pix[x], 0.5).add(cells.pix[2*4+x], 0.5))
	}
	return cells.stretch(FrameWidth, FrameHeight)
}

// randFor gives each image random numbers of its own.
func randFor(name string, seed uint64) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

func between(rng *rand.Rand, lo, hi float64) float64 { return lo + rng.Float64()*(hi-lo) }

// cover is how much of the portrait shows at a place: one inside, falling to
// nothing at its edge.
func (f *floatImage) cover(x, y float64) float64 {
	edge := min(x, float64(f.w)-x, y, float64(f.h)-y) / (feather * float64(f.w))
	return smooth(edge)
}

// smooth rises from 0 at 0 to 1 at 1 without a kink.
func smooth(t float64) float64 {
	t = min(max(t, 0), 1)
	return t * t * (3 - 2*t)
}
