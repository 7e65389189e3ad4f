package accuracy

import (
	"hash/fnv"
	"image"
	"math"
	"math/rand/v2"
)

// The frame of [Stress], and the width of the faces in it.
const (
	FrameWidth, FrameHeight      = 640, 480
	MinFaceWidth, MaxFaceWidth   = 60, 220 // pixels
	maxTurn                      = 25      // degrees, in the picture's plane
	faceShare                    = 0.38    // of a portrait's width: that of the deep-funneled LFW images
	feather                      = 0.08    // of a portrait's width, over which it fades into the background
	backgroundCols, backgroundRs = 16, 12  // of the blurred background
)

// Stress makes of a portrait what a camera at a door sees: the face 60 to 220
// pixels wide, turned up to 25° in the picture's plane, anywhere in a frame of
// 640×480. Around the portrait its own colours go on, blurred. It takes the
// face to stand in the middle of the portrait over 38 % of its width. Seed and
// name decide everything, so a set is the same in whatever order it is made.
func Stress(portrait image.Image, name string, seed uint64) *image.NRGBA {
	rng := randFor(name, seed)
	src := toFloat(portrait)
	angle := (2*rng.Float64() - 1) * maxTurn * math.Pi / 180
	face := MinFaceWidth + rng.Float64()*(MaxFaceWidth-MinFaceWidth)
	scale := face / (faceShare * float64(src.w)) // frame pixels a portrait pixel
	cx := between(rng, 0.75*face, FrameWidth-0.75*face)
	cy := between(rng, 0.9*face, FrameHeight-0.9*face)

	out := newFloat(FrameWidth, FrameHeight)
	background := src.shrink(backgroundCols, backgroundRs)
	sin, cos := math.Sincos(-angle)
	sub := int(math.Ceil(1 / scale)) // samples a side: no aliasing when the face shrinks
	for y := range FrameHeight {
		for x := range FrameWidth {
			back := background.at(
				(float64(x)+0.5)/FrameWidth*backgroundCols-0.5,
				(float64(y)+0.5)/FrameHeight*backgroundRs-0.5)
			var front rgb
			var cover float64
			for i := range sub * sub {
				fx := float64(x) + (float64(i%sub)+0.5)/float64(sub) - cx
				fy := float64(y) + (float64(i/sub)+0.5)/float64(sub) - cy
				sx := (cos*fx-sin*fy)/scale + float64(src.w)/2
				sy := (sin*fx+cos*fy)/scale + float64(src.h)/2
				c := src.cover(sx, sy)
				if c > 0 {
					front = front.add(src.at(sx-0.5, sy-0.5), c)
					cover += c
				}
			}
			n := float64(sub * sub)
			var p rgb
			out.set(x, y, p.add(front, 1/n).add(back, 1-cover/n))
		}
	}
	return out.nrgba()
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
