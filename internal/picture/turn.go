package picture

import "image"

// turn brings an image upright that was stored with an EXIF orientation.
func turn(img image.Image, orientation int) image.Image {
	if orientation <= 1 || orientation > 8 {
		return img
	}
	swap := orientation >= 5
	size := img.Bounds().Size()
	if swap {
		size.X, size.Y = size.Y, size.X
	}
	r := image.Rectangle{Max: size}
	switch m := img.(type) {
	case *image.Gray:
		out := image.NewGray(r)
		turnPlane(out.Pix, out.Stride, m.Pix, m.Stride, m.Rect.Dx(), m.Rect.Dy(), orientation)
		return out
	case *image.YCbCr:
		return Turn(m, orientation, nil)
	}
	return img
}

// Turn returns m, whose bounds begin at the origin, as an EXIF orientation of
// 2..8 has it: 2 mirrored, 3 upside down, 6 turned clockwise, 8 anticlockwise,
// and 4, 5, 7 the same mirrored. The memory of into is used where it fits.
func Turn(m *image.YCbCr, orientation int, into *image.YCbCr) *image.YCbCr {
	size, ratio := m.Rect.Size(), m.SubsampleRatio
	if orientation >= 5 {
		size.X, size.Y = size.Y, size.X
		var ok bool
		if ratio, ok = swapped[ratio]; !ok {
			m, ratio = fullChroma(m), image.YCbCrSubsampleRatio444
		}
	}
	out := into
	if out == nil || out.Rect != (image.Rectangle{Max: size}) || out.SubsampleRatio != ratio {
		out = image.NewYCbCr(image.Rectangle{Max: size}, ratio)
	}
	w, h := m.Rect.Dx(), m.Rect.Dy()
	turnPlane(out.Y, out.YStride, m.Y, m.YStride, w, h, orientation)
	cw, ch := chromaSize(w, h, m.SubsampleRatio)
	turnPlane(out.Cb, out.CStride, m.Cb, m.CStride, cw, ch, orientation)
	turnPlane(out.Cr, out.CStride, m.Cr, m.CStride, cw, ch, orientation)
	return out
}

// swapped is the subsampling of an image that is laid on its side; quarter
// chroma has no counterpart in package image.
var swapped = map[image.YCbCrSubsampleRatio]image.YCbCrSubsampleRatio{
	image.YCbCrSubsampleRatio444: image.YCbCrSubsampleRatio444,
	image.YCbCrSubsampleRatio422: image.YCbCrSubsampleRatio440,
	image.YCbCrSubsampleRatio440: image.YCbCrSubsampleRatio422,
	image.YCbCrSubsampleRatio420: image.YCbCrSubsampleRatio420,
}

// turnPlane copies a w×h plane into dst as the orientation says. Along a row of
// dst the source is walked in steps of across, from row to row in steps of down.
func turnPlane(dst []byte, dstStride int, src []byte, stride, w, h, orientation int) {
	right, below := (w - 1), (h-1)*stride
	var start, across, down int
	switch orientation {
	case 2:
		start, across, down = right, -1, stride
	case 3:
		start, across, down = right+below, -1, -stride
	case 4:
		start, across, down = below, 1, -stride
	case 5:
		start, across, down = 0, stride, 1
	case 6:
		start, across, down = below, -stride, 1
	case 7:
		start, across, down = right+below, -stride, -1
	case 8:
		start, across, down = right, stride, -1
	}
	if orientation >= 5 {
		w, h = h, w
	}
	for y := range h {
		row := dst[y*dstStride:][:w]
		at := start + y*down
		for x := range row {
			row[x] = src[at]
			at += across
		}
	}
}

// fullChroma repeats chroma so that every pixel has its own.
func fullChroma(m *image.YCbCr) *image.YCbCr {
	b := m.Rect
	out := image.NewYCbCr(image.Rect(0, 0, b.Dx(), b.Dy()), image.YCbCrSubsampleRatio444)
	for y := range b.Dy() {
		for x := range b.Dx() {
			i, c := m.YOffset(b.Min.X+x, b.Min.Y+y), m.COffset(b.Min.X+x, b.Min.Y+y)
			o := y*out.YStride + x
			out.Y[o], out.Cb[o], out.Cr[o] = m.Y[i], m.Cb[c], m.Cr[c]
		}
	}
	return out
}

func chromaSize(w, h int, ratio image.YCbCrSubsampleRatio) (int, int) {
	switch ratio {
	case image.YCbCrSubsampleRatio422:
		return (w + 1) / 2, h
	case image.YCbCrSubsampleRatio420:
		return (w + 1) / 2, (h + 1) / 2
	case image.YCbCrSubsampleRatio440:
		return w, (h + 1) / 2
	case image.YCbCrSubsampleRatio411:
		return (w + 3) / 4, h
	case image.YCbCrSubsampleRatio410:
		return (w + 3) / 4, (h + 1) / 2
	}
	return w, h
}
