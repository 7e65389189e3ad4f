//go:build cgo

package picture

/*
#cgo LDFLAGS: -ldl
#include "turbo.h"
*/
import "C"

import (
	"fmt"
	"image"
	"sync"
	"unsafe"
)

// turboThere loads libjpeg-turbo at first use.
var turboThere = sync.OnceValue(func() bool { return C.cf_turbo_open() != 0 })

// Turbo reports whether JPEG is decoded by libjpeg-turbo here.
func Turbo() bool { return turboThere() }

// TurboJPEG's numbers for subsampling (TJSAMP_*) and colour spaces (TJCS_*).
const (
	tjGray      = 3
	tjCSYCbCr   = 1
	tjCSGray    = 2
	doubtHeader = "decode JPEG: %w: the decoder reads another size from its header"
)

// tjRatios are the subsamplings that package image can hold.
var tjRatios = map[C.int]image.YCbCrSubsampleRatio{
	0: image.YCbCrSubsampleRatio444,
	1: image.YCbCrSubsampleRatio422,
	2: image.YCbCrSubsampleRatio420,
	4: image.YCbCrSubsampleRatio440,
	5: image.YCbCrSubsampleRatio411,
}

// decodeTurbo decodes with libjpeg-turbo, and fails with errDoubtful where the
// standard library should have a look.
func decodeTurbo(b []byte, h jpegHeader, into *image.YCbCr) (image.Image, error) {
	if !turboThere() {
		return nil, errDoubtful
	}
	data, size := (*C.uchar)(unsafe.Pointer(&b[0])), C.size_t(len(b))
	var width, height, sub, space C.int
	if C.cf_turbo_header(data, size, &width, &height, &sub, &space) != C.CF_OK {
		return nil, errDoubtful
	}
	if int(width) != h.width || int(height) != h.height {
		// Nothing was checked for this size.
		return nil, fmt.Errorf(doubtHeader, ErrDamaged)
	}
	if sub == tjGray && space == tjCSGray {
		g := image.NewGray(image.Rect(0, 0, h.width, h.height))
		if C.cf_turbo_planes(data, size, width, height, (*C.uchar)(unsafe.Pointer(&g.Pix[0])), nil, nil, C.int(g.Stride), 0) != C.CF_OK {
			return nil, errDoubtful
		}
		return g, nil
	}
	ratio, ok := tjRatios[sub]
	if !ok || space != tjCSYCbCr {
		return nil, errDoubtful
	}
	out := planes(into, h.width, h.height, ratio)
	if C.cf_turbo_planes(data, size, width, height, (*C.uchar)(unsafe.Pointer(&out.Y[0])),
		(*C.uchar)(unsafe.Pointer(&out.Cb[0])), (*C.uchar)(unsafe.Pointer(&out.Cr[0])),
		C.int(out.YStride), C.int(out.CStride)) != C.CF_OK {
		return nil, errDoubtful
	}
	return out, nil
}

// planes returns an image to decode into: into where it has the right form. The
// decoder writes luma for every chroma sample it has, so planes of odd size
// have a column and a row more.
func planes(into *image.YCbCr, w, h int, ratio image.YCbCrSubsampleRatio) *image.YCbCr {
	cw, ch := chromaSize(w, h, ratio)
	yw, yh := cw, ch // padded size of luma
	switch ratio {
	case image.YCbCrSubsampleRatio422:
		yw = 2 * cw
	case image.YCbCrSubsampleRatio420:
		yw, yh = 2*cw, 2*ch
	case image.YCbCrSubsampleRatio440:
		yh = 2 * ch
	case image.YCbCrSubsampleRatio411:
		yw = 4 * cw
	}
	r := image.Rect(0, 0, w, h)
	if into != nil && into.Rect == r && into.SubsampleRatio == ratio && into.YStride == yw && into.CStride == cw &&
		len(into.Y) >= yw*yh && len(into.Cb) >= cw*ch && len(into.Cr) >= cw*ch {
		return into
	}
	mem := make([]byte, yw*yh+2*cw*ch)
	return &image.YCbCr{
		Y: mem[: yw*yh : yw*yh], Cb: mem[yw*yh:][: cw*ch : cw*ch], Cr: mem[yw*yh+cw*ch:],
		YStride: yw, CStride: cw, SubsampleRatio: ratio, Rect: r,
	}
}
