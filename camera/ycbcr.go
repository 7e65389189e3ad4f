package camera

import (
	"image"
	"image/color"
	"image/draw"
)

// Reuse returns an image of w×h pixels that takes over the memory of into where
// that suffices. Its content is undefined; into may be nil and is not to be
// used afterwards.
func Reuse(into *image.YCbCr, w, h int, ratio image.YCbCrSubsampleRatio) *image.YCbCr {
	if into != nil && into.SubsampleRatio == ratio && into.Rect == image.Rect(0, 0, w, h) {
		return into
	}
	return image.NewYCbCr(image.Rect(0, 0, w, h), ratio)
}

// copyFrame copies src into the memory of into. A part of a larger picture keeps
// its place in it.
func copyFrame(into, src *image.YCbCr) *image.YCbCr {
	if into != nil { // its place may be another than it was
		into.Rect = into.Rect.Sub(into.Rect.Min)
	}
	into = Reuse(into, src.Rect.Dx(), src.Rect.Dy(), src.SubsampleRatio)
	w, h := into.Rect.Dx(), into.Rect.Dy()
	cw, ch := into.CStride, len(into.Cb)/into.CStride
	y, c := src.YOffset(src.Rect.Min.X, src.Rect.Min.Y), src.COffset(src.Rect.Min.X, src.Rect.Min.Y)
	copyPlane(into.Y, into.YStride, src.Y[y:], src.YStride, w, h)
	copyPlane(into.Cb, into.CStride, src.Cb[c:], src.CStride, cw, ch)
	copyPlane(into.Cr, into.CStride, src.Cr[c:], src.CStride, cw, ch)
	into.Rect = into.Rect.Add(src.Rect.Min)
	return into
}

func copyPlane(dst []byte, dstStride int, src []byte, srcStride, w, h int) {
	if dstStride == srcStride && len(src) >= len(dst) {
		copy(dst, src)
		return
	}
	for y := range h {
		copy(dst[y*dstStride:][:w], src[y*srcStride:])
	}
}

// toYCbCr makes a frame of any picture; what is transparent becomes white.
func toYCbCr(img image.Image) *image.YCbCr {
	switch img := img.(type) {
	case *image.YCbCr:
		return img
	case *image.Gray:
		return grey(img)
	}
	b := img.Bounds()
	rgba := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(rgba, rgba.Rect, image.White, image.Point{}, draw.Src)
	draw.Draw(rgba, rgba.Rect, img, b.Min, draw.Over)
	out := image.NewYCbCr(rgba.Rect, image.YCbCrSubsampleRatio444)
	for i := range out.Y {
		p := rgba.Pix[4*i:]
		out.Y[i], out.Cb[i], out.Cr[i] = color.RGBToYCbCr(p[0], p[1], p[2])
	}
	return out
}

func grey(img *image.Gray) *image.YCbCr {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	copyPlane(out.Y, out.YStride, img.Pix, img.Stride, w, h)
	neutral(out)
	return out
}

// neutral takes the colour out of img.
func neutral(img *image.YCbCr) {
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = 128, 128
	}
}
