package picture_test

import (
	"image"
	"math/rand/v2"
	"testing"

	"github.com/cypherface/edge/internal/picture"
)

func BenchmarkDecodeJPEG(b *testing.B) {
	m := image.NewYCbCr(image.Rect(0, 0, 1280, 720), image.YCbCrSubsampleRatio422)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range m.Y {
		m.Y[i] = uint8(60 + i%1280/16 + rng.IntN(7))
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = 120, 130
	}
	coded, err := picture.EncodeJPEG(m, 85)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(coded)))
	var into *image.YCbCr
	for b.Loop() {
		if into, err = picture.DecodeJPEG(coded, into, picture.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
