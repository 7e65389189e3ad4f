package accuracy

import (
	"image"
	"math"
	"math/rand/v2"
)

// Conditions are the kinds of bad light of [Light].
var Conditions = []string{"side light", "back light", "under-exposed", "over-exposed", "sensor noise"}

// Condition is the kind of light that an image gets.
func Condition(name string, seed uint64) string { return Conditions[condition(randFor(name, seed))] }

func condition(rng *rand.Rand) int { return rng.IntN(len(Conditions)) }

// Light puts a portrait into bad light of one kind and of a strength that seed
// and name decide. It calculates in linear light, as light adds there, with
// the head as an ellipsoid in the middle of the picture, and ends with a
// sensor: shot noise, read noise, clipping and eight bits. The skin's own
// shading stays, so shadows of nose and brow are missing: real side light is
// harder than this.
func Light(portrait image.Image, name string, seed uint64) *image.NRGBA {
	rng := randFor(name, seed)
	kind := condition(rng)
	img := toFloat(portrait)
	for i := range img.pix {
		for c := range 3 {
			img.pix[i][c] = toLinear(img.pix[i][c])
		}
	}
	electrons := 4000.0 // that fill a pixel: a webcam in good light
	switch kind {
	case 0:
		sideLight(img, rng)
	case 1:
		backLight(img, rng)
	case 2:
		img.expose(math.Exp(between(rng, math.Log(0.02), math.Log(0.12))))
	case 3:
		img.expose(math.Exp(between(rng, math.Log(2.5), math.Log(7))))
	case 4:
		electrons = math.Exp(between(rng, math.Log(25), math.Log(150)))
	}
	sensor(img, rng, electrons)
	return img.nrgba()
}

func (f *floatImage) expose(gain float64) {
	for i := range f.pix {
		f.pix[i] = rgb{}.add(f.pix[i], gain)
	}
}

// head places a pixel on the ellipsoid: the normal's three parts, x to the
// right, y down, z to the camera, and the distance from the axis, 1 at the rim.
func (f *floatImage) head(i int) (nx, ny, nz, r float64) {
	u := (float64(i%f.w) + 0.5 - 0.5*float64(f.w)) / (0.21 * float64(f.w))
	v := (float64(i/f.w) + 0.5 - 0.5*float64(f.h)) / (0.29 * float64(f.h))
	r = math.Hypot(u, v)
	if r < 1 {
		return u, v, math.Sqrt(1 - r*r), r
	}
	return u / r, v / r, 0, r
}

// sideLight shines from 50 to 85° left or right, a little from above, on a
// Lambertian head, with little light from elsewhere.
func sideLight(f *floatImage, rng *rand.Rand) {
	turn, lift := between(rng, 50, 85)*math.Pi/180, between(rng, 0, 30)*math.Pi/180
	if rng.IntN(2) == 0 {
		turn = -turn
	}
	lx, ly, lz := math.Sin(turn)*math.Cos(lift), -math.Sin(lift), math.Cos(turn)*math.Cos(lift)
	ambient := between(rng, 0.02, 0.10)
	for i := range f.pix {
		nx, ny, nz, r := f.head(i)
		shade := ambient + 1.4*max(0, nx*lx+ny*ly+nz*lz)
		far := smooth((r - 1) / 0.8) // the wall behind is lit evenly
		f.pix[i] = rgb{}.add(f.pix[i], shade*(1-far)+0.5*far)
	}
}

// backLight has a bright window behind: head and shoulders dark, the rest
// blown out, and glare in the lens over everything.
func backLight(f *floatImage, rng *rand.Rand) {
	dark, bright, veil := between(rng, 0.03, 0.12), between(rng, 1.5, 4), between(rng, 0.01, 0.05)
	for i := range f.pix {
		_, _, _, r := f.head(i)
		x := math.Abs(float64(i%f.w)/float64(f.w) - 0.5)
		y := float64(i/f.w) / float64(f.h)
		body := smooth((y-0.75)/0.1) * (1 - smooth((x-0.35)/0.1))
		inside := max(1-smooth((r-1.15)/0.25), body)
		gain := dark*inside + bright*(1-inside)
		p := rgb{veil, veil, veil}.add(f.pix[i], gain)
		wall := 0.35 * (1 - inside) // a window is bright whatever stood there
		f.pix[i] = p.add(rgb{1, 1, 1}, wall)
	}
}

// sensor turns light into code values: shot noise of so many electrons at full
// scale, read noise of three electrons, clipping and the transfer curve.
func sensor(f *floatImage, rng *rand.Rand, electrons float64) {
	const read = 3.0
	for i := range f.pix {
		for c := range 3 {
			e := min(f.pix[i][c], 4) * electrons
			e += math.Sqrt(e+read*read) * rng.NormFloat64()
			f.pix[i][c] = toCode(e / electrons)
		}
	}
}
