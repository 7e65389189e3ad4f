package engine

import (
	"context"
	"image"
)

// CropSize is the side of a Crop in pixels, and CropEyes the distance between
// the eyes in it: enough for any embedder with room for all of the head.
const (
	CropSize = 256
	CropEyes = 64
)

// Crop is an enrolled face, upright, kept so that every later network can embed
// it anew.
type Crop struct {
	Image     *image.YCbCr // CropSize × CropSize, 4:4:4
	Landmarks [5]Point     // in the crop's pixels
}

// cropLayout is where the five landmarks of an average face lie in a crop.
var cropLayout = [5]Point{{96, 108}, {160, 108}, {128, 140}, {102, 172}, {154, 172}}

// Crop cuts a face that Detect found in img.
func (e *Engine) Crop(img image.Image, f Face) Crop {
	b := img.Bounds()
	f.move(-float64(b.Min.X), -float64(b.Min.Y))
	r := newRaster(img)
	c := Crop{Image: image.NewYCbCr(image.Rect(0, 0, CropSize, CropSize), image.YCbCrSubsampleRatio444)}
	// The eyes fix size and angle; they are the points that are found best.
	s, ok := fit(f.Landmarks[:2], cropLayout[:2])
	if !ok {
		c.Landmarks = cropLayout
		return c
	}
	for i, p := range f.Landmarks {
		c.Landmarks[i] = s.apply(p)
	}
	planes := make([]float32, 3*CropSize*CropSize)
	r.planes(planes, CropSize, s.inverse())
	for i := range CropSize * CropSize {
		c.Image.Y[i] = uint8(planes[3*i] + 0.5)
		c.Image.Cb[i] = uint8(planes[3*i+1] + 0.5)
		c.Image.Cr[i] = uint8(planes[3*i+2] + 0.5)
	}
	return c
}

// EmbedCrop returns the template of a crop, as Embed does of the image it came
// from.
func (e *Engine) EmbedCrop(ctx context.Context, c Crop) (Template, error) {
	return e.embed(ctx, newRaster(c.Image), c.Landmarks)
}
