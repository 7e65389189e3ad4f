package engine

import (
	"image"
	"math/rand/v2"
	"testing"
)

// noise is a picture with detail everywhere and the colours of a room.
func noise(w, h int, ratio image.YCbCrSubsampleRatio) *image.YCbCr {
	m := image.NewYCbCr(image.Rect(0, 0, w, h), ratio)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range m.Y {
		m.Y[i] = uint8(60 + rng.IntN(120))
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = uint8(118+rng.IntN(20)), uint8(118+rng.IntN(20))
	}
	return m
}

func BenchmarkLetterbox(b *testing.B) {
	in := make([]float32, 3*192*192)
	for name, m := range map[string]*image.YCbCr{
		"250x250":  noise(250, 250, image.YCbCrSubsampleRatio420),
		"640x480":  noise(640, 480, image.YCbCrSubsampleRatio422),
		"1280x720": noise(1280, 720, image.YCbCrSubsampleRatio420),
	} {
		b.Run(name, func(b *testing.B) {
			r := newRaster(m)
			for b.Loop() {
				r.letterbox(in, 192, Prep{Scale: 1 / 127.5, Bias: -1})
			}
		})
	}
}

func BenchmarkWarp(b *testing.B) {
	const side = 128
	in := make([]float32, 3*side*side)
	r := newRaster(noise(1280, 720, image.YCbCrSubsampleRatio420))
	for name, width := range map[string]float64{"same size": 128, "half": 256, "third": 384, "quarter": 512} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r.warp(in, side, framing(Point{640, 360}, width, 0.1, side), Prep{BGR: true, Scale: 1})
			}
		})
	}
}
