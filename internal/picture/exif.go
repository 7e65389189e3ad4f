package picture

import (
	"bytes"
	"encoding/binary"
	"image"
)

// orientation finds the EXIF orientation of a JPEG: 1 (upright) to 8; 1 where
// it has none or a damaged one. (CIPA DC-008, Exif 2.32, 4.6.4 and 4.5.4.)
func orientation(b []byte) int {
	for i := 2; i+4 <= len(b) && b[i] == 0xff; {
		marker := b[i+1]
		if marker == 0xff { // padding
			i++
			continue
		}
		size := int(binary.BigEndian.Uint16(b[i+2:]))
		if marker == 0xda || marker == 0xd9 || size < 2 || i+2+size > len(b) {
			return 1
		}
		if segment := b[i+4 : i+2+size]; marker == 0xe1 && bytes.HasPrefix(segment, []byte("Exif\x00\x00")) {
			return tiffOrientation(segment[6:])
		}
		i += 2 + size
	}
	return 1
}

// tiffOrientation reads tag 274 of the first directory of a TIFF.
func tiffOrientation(t []byte) int {
	if len(t) < 8 {
		return 1
	}
	var order binary.ByteOrder
	switch string(t[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	at := int64(order.Uint32(t[4:]))
	if at < 8 || at+2 > int64(len(t)) {
		return 1
	}
	entries := t[at+2:]
	for range order.Uint16(t[at:]) {
		if len(entries) < 12 {
			return 1
		}
		const short = 3
		if order.Uint16(entries) == 274 {
			o := int(order.Uint16(entries[8:]))
			if order.Uint16(entries[2:]) != short || o < 1 || o > 8 {
				return 1
			}
			return o
		}
		entries = entries[12:]
	}
	return 1
}

// turn brings an image with an EXIF orientation upright.
func turn(img image.Image, orientation int) image.Image {
	if orientation <= 1 || orientation > 8 {
		return img
	}
	switch m := img.(type) {
	case *image.Gray:
		p := turnPlane(plane{m.Pix, m.Stride, m.Rect.Dx(), m.Rect.Dy()}, orientation)
		return &image.Gray{Pix: p.pix, Stride: p.stride, Rect: image.Rect(0, 0, p.w, p.h)}
	case *image.YCbCr:
		return turnYCbCr(m, orientation)
	}
	return turnNRGBA(img.(*image.NRGBA), orientation)
}

// plane is one channel of an image.
type plane struct {
	pix          []byte
	stride, w, h int
}

// source returns where pixel (x, y) of the upright image comes from in one of
// w × h (the size before turning).
func source(x, y, w, h, orientation int) (int, int) {
	switch orientation {
	case 2:
		return w - 1 - x, y
	case 3:
		return w - 1 - x, h - 1 - y
	case 4:
		return x, h - 1 - y
	case 5:
		return y, x
	case 6:
		return y, h - 1 - x
	case 7:
		return w - 1 - y, h - 1 - x
	case 8:
		return w - 1 - y, x
	}
	return x, y
}

func turnPlane(p plane, orientation int) plane {
	out := plane{w: p.w, h: p.h}
	if orientation >= 5 {
		out.w, out.h = p.h, p.w
	}
	out.stride = out.w
	out.pix = make([]byte, out.w*out.h)
	for y := range out.h {
		for x := range out.w {
			sx, sy := source(x, y, p.w, p.h, orientation)
			out.pix[y*out.stride+x] = p.pix[sy*p.stride+sx]
		}
	}
	return out
}

// turnYCbCr turns each plane. Where both axes are sampled alike the chroma stays
// as it is; otherwise, and where an odd size puts the chroma grid's short end on
// the wrong side, it is spread to full resolution first.
func turnYCbCr(m *image.YCbCr, orientation int) image.Image {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	s := m.SubsampleRatio
	even := s == image.YCbCrSubsampleRatio420 && w%2 == 0 && h%2 == 0
	if s != image.YCbCrSubsampleRatio444 && !even {
		m = spread(m)
		s = image.YCbCrSubsampleRatio444
	}
	cw, ch := w, h
	if s == image.YCbCrSubsampleRatio420 {
		cw, ch = w/2, h/2
	}
	y := turnPlane(plane{m.Y, m.YStride, w, h}, orientation)
	cb := turnPlane(plane{m.Cb, m.CStride, cw, ch}, orientation)
	cr := turnPlane(plane{m.Cr, m.CStride, cw, ch}, orientation)
	return &image.YCbCr{Y: y.pix, Cb: cb.pix, Cr: cr.pix, YStride: y.stride, CStride: cb.stride,
		SubsampleRatio: s, Rect: image.Rect(0, 0, y.w, y.h)}
}

// spread gives each pixel its own chroma.
func spread(m *image.YCbCr) *image.YCbCr {
	out := image.NewYCbCr(image.Rect(0, 0, m.Rect.Dx(), m.Rect.Dy()), image.YCbCrSubsampleRatio444)
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			from := m.COffset(m.Rect.Min.X+x, m.Rect.Min.Y+y)
			to := y*out.CStride + x
			out.Y[y*out.YStride+x] = m.Y[m.YOffset(m.Rect.Min.X+x, m.Rect.Min.Y+y)]
			out.Cb[to], out.Cr[to] = m.Cb[from], m.Cr[from]
		}
	}
	return out
}

func turnNRGBA(m *image.NRGBA, orientation int) image.Image {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	ow, oh := w, h
	if orientation >= 5 {
		ow, oh = h, w
	}
	out := image.NewNRGBA(image.Rect(0, 0, ow, oh))
	for y := range oh {
		for x := range ow {
			sx, sy := source(x, y, w, h, orientation)
			copy(out.Pix[y*out.Stride+4*x:][:4], m.Pix[sy*m.Stride+4*sx:])
		}
	}
	return out
}
