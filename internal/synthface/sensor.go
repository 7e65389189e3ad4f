package synthface

import (
	"image"
	"math"
)

// tone maps linear light to 8-bit sRGB levels with a soft shoulder, by table.
type tone [4096]float32

const toneMax = 2.0 // of linear light; brighter is white

// newTone tabulates the curve: a power function for each pixel is too slow.
func newTone() *tone {
	t := new(tone)
	for i := range t {
		x := (float64(i) + .5) / float64(len(t)) * toneMax
		x = min(1, x/(1+.18*x)*1.1)
		if x < .0031308 {
			x *= 12.92
		} else {
			x = 1.055*math.Pow(x, 1/2.4) - .055
		}
		t[i] = float32(x * 255)
	}
	return t
}

// level is the 8-bit level, not yet rounded, of linear light.
func (t *tone) level(x float64) float64 {
	i := int(x * (float64(len(t)) / toneMax))
	return float64(t[min(max(i, 0), len(t)-1)])
}

// develop makes the camera's picture of linear light: tone, sensor noise, and
// full-range YCbCr (BT.601, as JPEG has it) with halved chroma.
func develop(light []vec, s *Scene, t *tone) *image.YCbCr {
	w, h := s.Width, s.Height
	img := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	parallel((h+1)/2, func(cy int) {
		for cx := range (w + 1) / 2 {
			var sum vec
			n := 0.0
			for y := 2 * cy; y < min(2*cy+2, h); y++ {
				for x := 2 * cx; x < min(2*cx+2, w); x++ {
					c := light[y*w+x]
					c = vec{t.level(c.X), t.level(c.Y), t.level(c.Z)}
					luma := .299*c.X + .587*c.Y + .114*c.Z + s.Noise*grain(s.Seed, x, y, 0)
					img.Y[y*img.YStride+x] = level(luma)
					sum = sum.add(c)
					n++
				}
			}
			sum = sum.mul(1 / n)
			luma := .299*sum.X + .587*sum.Y + .114*sum.Z
			at := cy*img.CStride + cx
			img.Cb[at] = level(128 + .564*(sum.Z-luma) + .4*s.Noise*grain(s.Seed, cx, cy, 1))
			img.Cr[at] = level(128 + .713*(sum.X-luma) + .4*s.Noise*grain(s.Seed, cx, cy, 2))
		}
	})
	return img
}

func level(x float64) uint8 { return uint8(min(max(int(math.Floor(x+.5)), 0), 255)) }

// grain is a nearly normal deviate for one sample of the sensor: the sum of
// four uniform ones from a hash of its place (SplitMix64's finaliser).
func grain(seed int64, x, y, plane int) float64 {
	h := uint64(seed)*0x9e3779b97f4a7c15 + uint64(y)<<32 + uint64(x)<<2 + uint64(plane)
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	sum := h&0xffff + h>>16&0xffff + h>>32&0xffff + h>>48
	return (float64(sum) - 2*65535) / 37837 // the standard deviation of the sum
}
