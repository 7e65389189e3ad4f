package engine

import (
	"image"
	"image/color"
	"math"
	"testing"
)

// plain is a preparation that leaves values as they are.
var plain = Prep{Scale: 1}

// slope is an image whose luma rises by gx and gy a pixel, which bilinear
// sampling must reproduce exactly.
func slope(w, h int, gx, gy float64, ratio image.YCbCrSubsampleRatio) *image.YCbCr {
	m := image.NewYCbCr(image.Rect(0, 0, w, h), ratio)
	for y := range h {
		for x := range w {
			m.Y[y*m.YStride+x] = uint8(20 + gx*float64(x) + gy*float64(y))
		}
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = 100, 150
	}
	return m
}

func TestSamplingIsBilinear(t *testing.T) {
	r := newRaster(slope(100, 60, 1, 2, image.YCbCrSubsampleRatio420))
	for _, p := range []Point{{0.5, 0.5}, {10.25, 20.75}, {50, 30}, {99.5, 59.5}} {
		got, cb, cr := r.at(float32(p.X), float32(p.Y))
		want := 20 + (p.X - 0.5) + 2*(p.Y-0.5)
		if math.Abs(float64(got)-want) > 0.01 || cb != 100 || cr != 150 {
			t.Errorf("at %v: %v, want %v; chroma %v %v", p, got, want, cb, cr)
		}
	}
	// Outside, the border repeats.
	if got, _, _ := r.at(-50, -50); got != 20 {
		t.Errorf("outside: %v", got)
	}
	if got, _, _ := r.at(1e6, 1e6); got != float32(r.y[59*r.ystride+99]) {
		t.Errorf("far outside: %v", got)
	}
}

// All kinds of images and subsamplings, and parts of larger images, are one
// and the same picture to the sampler.
func TestRasterOfEveryImageType(t *testing.T) {
	const w, h = 37, 23 // odd on purpose
	colourAt := func(x, y int) color.YCbCr {
		return color.YCbCr{Y: uint8(30 + 3*x + 2*y), Cb: 120, Cr: 140}
	}
	full := image.NewYCbCr(image.Rect(0, 0, w+7, h+5), image.YCbCrSubsampleRatio444)
	rgb := image.NewNRGBA(image.Rect(0, 0, w+7, h+5))
	for y := range h + 5 {
		for x := range w + 7 {
			c := colourAt(x-7, y-5)
			i := y*full.YStride + x
			full.Y[i], full.Cb[i], full.Cr[i] = c.Y, c.Cb, c.Cr
			r, g, b := color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
			rgb.SetNRGBA(x, y, color.NRGBA{r, g, b, 255})
		}
	}
	part := image.Rect(7, 5, w+7, h+5)
	images := map[string]image.Image{"part 4:4:4": full.SubImage(part), "part NRGBA": rgb.SubImage(part)}
	for _, s := range []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
		image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
	} {
		m := image.NewYCbCr(image.Rect(0, 0, w+7, h+5), s)
		for i := range m.Cb {
			m.Cb[i], m.Cr[i] = 120, 140
		}
		for y := range h + 5 {
			copy(m.Y[y*m.YStride:][:w+7], full.Y[y*full.YStride:])
		}
		images["part "+s.String()] = m.SubImage(part)
	}
	for name, img := range images {
		r := newRaster(img)
		if r.w != w || r.h != h {
			t.Errorf("%s: %d×%d", name, r.w, r.h)
			continue
		}
		for _, p := range []image.Point{{0, 0}, {w - 1, h - 1}, {5, 11}, {36, 0}} {
			want := colourAt(p.X, p.Y)
			y, cb, cr := r.at(float32(p.X)+0.5, float32(p.Y)+0.5)
			if math.Abs(float64(y)-float64(want.Y)) > 2 || math.Abs(float64(cb)-120) > 2 || math.Abs(float64(cr)-140) > 2 {
				t.Errorf("%s at %v: %v %v %v, want %v", name, p, y, cb, cr, want)
			}
		}
	}
	grey := image.NewGray(image.Rect(0, 0, 4, 4))
	grey.Pix[5] = 77
	if y, cb, cr := newRaster(grey).at(1.5, 1.5); y != 77 || cb != 128 || cr != 128 {
		t.Errorf("grey: %v %v %v", y, cb, cr)
	}
}

// A texture finer than the result's pixels must come out as its mean.
func TestWarpDoesNotAlias(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 256, 256))
	for i := range m.Pix {
		if (i%256+i/256)%2 == 0 {
			m.Pix[i] = 200
		}
	}
	const side = 64
	out := make([]float32, 3*side*side)
	newRaster(m).warp(out, side, framing(Point{128, 128}, 240, 0.3, side), plain)
	for i, v := range out {
		if math.Abs(float64(v)-100) > 30 {
			t.Fatalf("value %d is %v, want about 100", i, v)
		}
	}
}

func TestWarpTurns(t *testing.T) {
	m := slope(200, 200, 1, 0, image.YCbCrSubsampleRatio444) // brighter to the right
	const side = 16
	out := make([]float32, 3*side*side)
	newRaster(m).planes(out, side, framing(Point{100, 100}, 16, math.Pi/2, side))
	// A quarter turn clockwise: what is right in the image is above in the crop.
	top, bottom := out[3*(0*side+8)], out[3*(15*side+8)]
	if top <= bottom || math.Abs(float64(top-bottom)) != 15 {
		t.Errorf("top %v, bottom %v: want 15 between them, brighter above", top, bottom)
	}
}

func TestPrepOrder(t *testing.T) {
	var rgb, bgr [3]float32
	red := []pixel{{76 * one, 85, 255}}
	Prep{Scale: 1.0 / 127.5, Bias: -1}.ink().write(rgb[:], red)
	Prep{BGR: true, Scale: 1}.ink().write(bgr[:], red)
	if rgb[0] < 0.98 || rgb[2] > -0.95 || bgr[2] < 253 || bgr[0] > 3 {
		t.Errorf("red is %v in RGB and %v in BGR", rgb, bgr)
	}
}

func TestLetterbox(t *testing.T) {
	const side = 96
	for _, size := range []image.Point{{640, 480}, {480, 640}, {1280, 720}, {96, 96}, {31, 57}, {1, 1}, {3000, 2}} {
		m := slope(size.X, size.Y, 0, 0, image.YCbCrSubsampleRatio420)
		for i := range m.Y {
			m.Y[i], m.Cb[i/8%len(m.Cb)], m.Cr[i/8%len(m.Cr)] = 200, 128, 128
		}
		for i := range m.Cb {
			m.Cb[i], m.Cr[i] = 128, 128
		}
		in := make([]float32, 3*side*side)
		box := newRaster(m).letterbox(in, side, Prep{Scale: 1.0 / 127.5, Bias: -1})
		lit := 0
		for i := 0; i < len(in); i += 3 {
			if in[i] != in[i+1] || in[i] != -1 && math.Abs(float64(in[i])-(200/127.5-1)) > 1e-5 {
				t.Fatalf("%v: value %v", size, in[i])
			}
			if in[i] != -1 {
				lit++
			}
		}
		share := float64(lit) / (side * side)
		want := float64(min(size.X, size.Y)) / float64(max(size.X, size.Y))
		if math.Abs(share-want) > 0.03 {
			t.Errorf("%v: %.2f of the tensor is picture, want %.2f", size, share, want)
		}
		center := box.toImage(Point{side / 2, side / 2})
		if !near(center, Point{float64(size.X) / 2, float64(size.Y) / 2}, 1e-9) {
			t.Errorf("%v: the centre comes from %v", size, center)
		}
	}
}

// A dot in the image must be where toImage says it is.
func TestLetterboxKeepsPlaces(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 640, 480))
	for y := 200; y < 220; y++ {
		for x := 400; x < 420; x++ {
			m.Pix[y*m.Stride+x] = 255
		}
	}
	const side = 192
	in := make([]float32, 3*side*side)
	box := newRaster(m).letterbox(in, side, plain)
	var sum, sx, sy float64
	for i := range side * side {
		v := float64(in[3*i])
		sum += v
		sx += v * (float64(i%side) + 0.5)
		sy += v * (float64(i/side) + 0.5)
	}
	if got := box.toImage(Point{sx / sum, sy / sum}); !near(got, Point{410, 210}, 1) {
		t.Errorf("the dot at (410, 210) is seen at %v", got)
	}
}
