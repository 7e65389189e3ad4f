package engine

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"
)

func TestHalved(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, size := range [][2]int{{1, 1}, {2, 2}, {3, 1}, {7, 5}, {8, 8}, {9, 3}, {16, 4}, {31, 33}, {64, 3}, {70, 2}} {
		w, h := size[0], size[1]
		stride := w + 3
		src := make([]byte, stride*h)
		for i := range src {
			src[i] = byte(rng.Uint32())
		}
		out, cols, rows := halved(src, stride, w, h)
		if cols != (w+1)/2 || rows != (h+1)/2 {
			t.Fatalf("%v: %d×%d", size, cols, rows)
		}
		for i, got := range out {
			x, y := 2*(i%cols), 2*(i/cols)
			x1, y1 := min(x+1, w-1), min(y+1, h-1)
			sum := int(src[y*stride+x]) + int(src[y*stride+x1]) + int(src[y1*stride+x]) + int(src[y1*stride+x1])
			if int(got) != (sum+2)/4 {
				t.Fatalf("%v: pixel %d is %d, want %d/4", size, i, got, sum)
			}
		}
	}
}

// A reduced image shows the same at the same place, wherever its part begins.
func TestReducedKeepsPlaces(t *testing.T) {
	whole := image.NewYCbCr(image.Rect(0, 0, 403, 301), image.YCbCrSubsampleRatio420)
	for y := range 301 {
		for x := range 403 {
			whole.Y[whole.YOffset(x, y)] = uint8(x/4 + y/4)
			c := whole.COffset(x, y)
			whole.Cb[c], whole.Cr[c] = uint8(x/2), uint8(y/2)
		}
	}
	for _, m := range []*image.YCbCr{whole, whole.SubImage(image.Rect(13, 7, 403, 301)).(*image.YCbCr)} {
		for _, scale := range []float64{1.5, 2.3, 3, 4.2, 7} {
			const side = 32
			t0 := framing(Point{180, 140}, scale*side, 0.4, side)
			got := make([]float32, 3*side*side)
			r := newRaster(m)
			r.planes(got, side, t0)
			for i := range side * side {
				p := t0.apply(Point{float64(i%side) + 0.5, float64(i/side) + 0.5})
				y, cb, cr := r.at(float32(p.X), float32(p.Y))
				if p.X < 8 || p.Y < 8 || p.X > 380 || p.Y > 280 {
					continue // the border repeats in another way
				}
				within := []float64{2.5, 1 + scale, 1 + scale} // chroma rises by a half a pixel, and is not mixed
				for k, want := range []float32{y, cb, cr} {
					if d := math.Abs(float64(got[3*i+k] - want)); d > within[k] {
						t.Fatalf("scale %v, pixel %d, plane %d: %v, want %v", scale, i, k, got[3*i+k], want)
					}
				}
			}
		}
	}
}
