package synthface

import (
	"image"
	"math"
	"slices"
)

// Negative is a scene with all of its light, to be exposed as often as wanted:
// what a picture has lost to white or to noise is still in it.
type Negative struct {
	Faces []Keypoints // one for each subject, in their order
	scene Scene
	light []vec
	tone  *tone
}

// Capture draws the subjects in the scene as Render does, short of a picture.
// The scene's Noise has no meaning for it: see Expose.
func Capture(s Scene, subjects ...Subject) *Negative {
	st := studios.Get().(*studio)
	defer studios.Put(st)
	n := &Negative{scene: s.normal(), tone: st.tone}
	light, faces := st.paint(&n.scene, subjects)
	n.light, n.Faces = slices.Clone(light), faces
	return n
}

// The noise of Expose: of the photons, which grows with the root of the light,
// and of the read-out, as shares of the signal that is white at a gain of 1.
// Together about 2 of 255 levels at mid-grey, as of an ordinary webcam.
const (
	photonNoise = 1. / 4000 // variance of a full well
	readNoise   = .0015     // standard deviation
)

// Expose is the picture of a sensor with this exposure time and gain, both as
// multiples of what Render would take. More time gathers more light; more gain
// amplifies what there is, noise and all; what is beyond white is lost. seed is
// of the noise.
func (n *Negative) Expose(time, gain float64, seed int64) *image.YCbCr {
	scale := max(0, time) * max(0, gain)
	light := make([]vec, len(n.light))
	parallel(n.scene.Height, func(y int) {
		for x := range n.scene.Width {
			i := y*n.scene.Width + x
			c := n.light[i].mul(scale)
			signal := .2126*c.X + .7152*c.Y + .0722*c.Z
			noise := math.Sqrt(photonNoise*signal*gain+sq(readNoise*gain)) * grain(seed, x, y, 3)
			light[i] = vec{max(0, c.X+noise), max(0, c.Y+noise), max(0, c.Z+noise)}
		}
	})
	s := n.scene
	s.Noise = 0
	return develop(light, &s, n.tone)
}

// Flat is the picture that a sensor makes of light that is the same everywhere,
// of a lens that is covered: light is what reaches the picture after exposure
// and gain, 0.2 mid-grey.
func Flat(r image.Rectangle, light, gain float64, seed int64) *image.YCbCr {
	n := Negative{scene: Scene{Width: r.Dx(), Height: r.Dy()}, light: make([]vec, r.Dx()*r.Dy()), tone: newTone()}
	for i := range n.light {
		n.light[i] = vec{light, light, light}
	}
	return n.Expose(1/max(gain, 1e-9), gain, seed)
}

// Automatic is the exposure that a webcam would find by itself: the mean of the
// whole frame in the middle, whatever that does to a face. It takes more time,
// up to twice the usual, before it takes gain, up to 16 times.
func (n *Negative) Automatic() (time, gain float64) {
	const middle = .45
	low, high := -7., 5. // stops
	for range 8 {
		mid := (low + high) / 2
		time, gain = math.Exp2(min(mid, 1)), math.Exp2(max(mid-1, 0))
		sum := 0.0
		step := max(1, len(n.light)/5000) // a few thousand pixels tell the mean
		for i := 0; i < len(n.light); i += step {
			c := n.light[i].mul(time * gain)
			sum += n.tone.level(.2126*c.X + .7152*c.Y + .0722*c.Z)
		}
		if sum/float64((len(n.light)+step-1)/step) < 255*middle {
			low = mid
		} else {
			high = mid
		}
	}
	return time, gain
}
