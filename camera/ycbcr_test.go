package camera

import (
	"bytes"
	"image"
	"image/color"
	"testing"
)

// pattern is an image whose samples are all different for some way.
func pattern(r image.Rectangle, ratio image.YCbCrSubsampleRatio) *image.YCbCr {
	img := image.NewYCbCr(r, ratio)
	for i := range img.Y {
		img.Y[i] = byte(i)
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = byte(3*i), byte(5*i)
	}
	return img
}

func TestCopyFrameIsTheSamePicture(t *testing.T) {
	for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio444} {
		whole := pattern(image.Rect(0, 0, 17, 9), ratio)
		for name, src := range map[string]*image.YCbCr{
			"whole": whole,
			"part":  whole.SubImage(image.Rect(4, 2, 11, 8)).(*image.YCbCr),
		} {
			got := copyFrame(nil, src)
			if got.Rect != src.Rect || got.SubsampleRatio != ratio {
				t.Fatalf("%v %s: copy of %v is %v %v", ratio, name, src.Rect, got.Rect, got.SubsampleRatio)
			}
			for y := src.Rect.Min.Y; y < src.Rect.Max.Y; y++ {
				for x := src.Rect.Min.X; x < src.Rect.Max.X; x++ {
					if a, b := got.YCbCrAt(x, y), src.YCbCrAt(x, y); a != b {
						t.Fatalf("%v %s: pixel (%d,%d) is %v, want %v", ratio, name, x, y, a, b)
					}
				}
			}
		}
	}
}

func TestReuseTakesMemoryThatFits(t *testing.T) {
	img := image.NewYCbCr(image.Rect(0, 0, 8, 6), image.YCbCrSubsampleRatio420)
	if Reuse(img, 8, 6, image.YCbCrSubsampleRatio420) != img {
		t.Error("memory that fits was not used again")
	}
	for name, other := range map[string]*image.YCbCr{
		"none":   Reuse(nil, 8, 6, image.YCbCrSubsampleRatio420),
		"larger": Reuse(img, 10, 6, image.YCbCrSubsampleRatio420),
		"finer":  Reuse(img, 8, 6, image.YCbCrSubsampleRatio444),
	} {
		if other == img || other == nil {
			t.Errorf("%s: got %v", name, other)
		}
	}
}

func TestToYCbCrOfEveryPicture(t *testing.T) {
	gray := image.NewGray(image.Rect(0, 0, 3, 3))
	gray.SetGray(2, 2, color.Gray{90})
	if got := toYCbCr(gray); got.YCbCrAt(2, 2) != (color.YCbCr{Y: 90, Cb: 128, Cr: 128}) {
		t.Errorf("grey became %v", got.YCbCrAt(2, 2))
	}
	same := pattern(image.Rect(0, 0, 4, 4), image.YCbCrSubsampleRatio420)
	if toYCbCr(same) != same {
		t.Error("a frame was converted to a frame")
	}
	paletted := image.NewPaletted(image.Rect(5, 5, 7, 7), color.Palette{color.White, color.RGBA{200, 0, 0, 255}})
	paletted.SetColorIndex(6, 6, 1)
	got := toYCbCr(paletted)
	y, cb, cr := color.RGBToYCbCr(200, 0, 0)
	if got.Rect != image.Rect(0, 0, 2, 2) || got.YCbCrAt(1, 1) != (color.YCbCr{Y: y, Cb: cb, Cr: cr}) {
		t.Errorf("red became %v in %v", got.YCbCrAt(1, 1), got.Rect)
	}
}

// Bytes that are not pixels of the copy's width stay out of it.
func TestCopyPlaneKeepsStrides(t *testing.T) {
	src := []byte{1, 2, 9, 3, 4, 9}
	dst := bytes.Repeat([]byte{7}, 8)
	copyPlane(dst, 4, src, 3, 2, 2)
	if want := []byte{1, 2, 7, 7, 3, 4, 7, 7}; !bytes.Equal(dst, want) {
		t.Errorf("got %v, want %v", dst, want)
	}
}
