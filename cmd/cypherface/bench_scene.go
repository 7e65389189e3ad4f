package main

import (
	"image"
	"image/color"
	"math/rand/v2"

	"github.com/cypherface/edge/models"
)

// scene is a camera's view of one rendered person: the first golden face as
// high as the frame, the rest a wall with the grain of a sensor.
func scene(w, h int) *image.YCbCr {
	out := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio422)
	mates, _, err := models.GoldenImages()
	rng := rand.New(rand.NewPCG(3, 4))
	for y := range h {
		for x := range w {
			luma, cb, cr := uint8(90+60*x/w), uint8(128), uint8(128)
			if err == nil {
				face := mates[0].Bounds()
				// The face's picture is scaled to the frame's height.
				fx, fy := (x-w/2)*face.Dy()/h+face.Dx()/2, y*face.Dy()/h
				if image.Pt(fx, fy).In(face) {
					c := color.YCbCrModel.Convert(mates[0].At(fx, fy)).(color.YCbCr)
					luma, cb, cr = c.Y, c.Cb, c.Cr
				}
			}
			grain := rng.IntN(7) - 3
			out.Y[out.YOffset(x, y)] = uint8(min(max(int(luma)+grain, 0), 255))
			out.Cb[out.COffset(x, y)], out.Cr[out.COffset(x, y)] = cb, cr
		}
	}
	return out
}

// toYUYV packs a 4:2:2 image as raw cameras do.
func toYUYV(m *image.YCbCr) []byte {
	b := make([]byte, 0, 2*len(m.Y))
	for y := range m.Rect.Dy() {
		for x := 0; x < m.Rect.Dx(); x += 2 {
			i, c := m.YOffset(x, y), m.COffset(x, y)
			b = append(b, m.Y[i], m.Cb[c], m.Y[i+1], m.Cr[c])
		}
	}
	return b
}
