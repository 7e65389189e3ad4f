package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
)

var pngMagic = []byte("\x89PNG\r\n\x1a\n")

// decodePNG returns *image.Gray or *image.NRGBA.
func decodePNG(b []byte, lim Limits) (image.Image, error) {
	cfg, err := png.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, damaged("PNG", err)
	}
	weight := 1
	switch cfg.ColorModel {
	case color.Gray16Model, color.RGBA64Model, color.NRGBA64Model:
		weight = 2 // two bytes a sample until they are made one
	}
	if err := lim.pixels(cfg.Width, cfg.Height, weight); err != nil {
		return nil, err
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, damaged("PNG", err)
	}
	switch m := img.(type) {
	case *image.Gray:
		return m, nil
	case *image.NRGBA:
		return m, nil
	case *image.RGBA: // png says so of what is opaque, and the bytes are the same
		return &image.NRGBA{Pix: m.Pix, Stride: m.Stride, Rect: m.Rect}, nil
	case *image.Gray16:
		out := image.NewGray(m.Rect)
		for i := range out.Pix {
			out.Pix[i] = m.Pix[2*i]
		}
		return out, nil
	case *image.Paletted, *image.RGBA64, *image.NRGBA64:
		out := image.NewNRGBA(img.Bounds())
		draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
		return out, nil
	}
	return nil, fmt.Errorf("decode PNG: %w: pixels of type %T", ErrFormat, img)
}
