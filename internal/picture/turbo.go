//go:build cgo

package picture

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "turbo.h"
*/
import "C"

import (
	"image"
	"sync"
	"unsafe"
)

// loaded opens the library once.
var loaded = sync.OnceValue(func() bool { return C.cf_turbo_load() != 0 })

// Turbo reports whether libjpeg-turbo decodes here.
func Turbo() bool { return loaded() }

// decoders are libjpeg-turbo handles: making one costs more than a small
// picture, and each serves one goroutine at a time.
var decoders = sync.Pool{New: func() any { return &decoder{C.cf_turbo_open()} }}

type decoder struct{ handle C.cf_turbo }

// samplings are TurboJPEG's TJSAMP numbers.
var samplings = map[C.int]image.YCbCrSubsampleRatio{
	0: image.YCbCrSubsampleRatio444,
	1: image.YCbCrSubsampleRatio422,
	2: image.YCbCrSubsampleRatio420,
	4: image.YCbCrSubsampleRatio440,
	5: image.YCbCrSubsampleRatio411,
}

const (
	sampleGray = 3 // TJSAMP_GRAY
	spaceYCbCr = 1 // TJCS_YCbCr
	spaceGray  = 2 // TJCS_GRAY
)

// turboDecode decodes a JPEG into planes. nil means that this library is not
// there, does not take the picture, or finds it damaged: Go's decoder decides.
func turboDecode(b []byte, into *image.YCbCr) image.Image {
	if !loaded() || len(b) == 0 {
		return nil
	}
	d := decoders.Get().(*decoder)
	if d.handle == nil {
		return nil
	}
	defer decoders.Put(d)
	src, n := (*C.uchar)(unsafe.Pointer(&b[0])), C.ulong(len(b))
	var w, h, sampling, space C.int
	if C.cf_turbo_header(d.handle, src, n, &w, &h, &sampling, &space) != 0 {
		return nil
	}
	if sampling == sampleGray && space == spaceGray {
		g := image.NewGray(image.Rect(0, 0, int(w), int(h)))
		if C.cf_turbo_planes(d.handle, src, n, first(g.Pix), nil, nil, w, 0) != 0 {
			return nil
		}
		return g
	}
	ratio, ok := samplings[sampling]
	if !ok || space != spaceYCbCr {
		return nil
	}
	if !fits(into, int(w), int(h), ratio) {
		into = image.NewYCbCr(image.Rect(0, 0, int(w), int(h)), ratio)
	}
	// The library writes whole planes whose size it rounds up to the chroma
	// grid: only an image whose planes are as large takes them.
	if !roomy(into, C.int(sampling)) {
		return nil
	}
	if C.cf_turbo_planes(d.handle, src, n, first(into.Y), first(into.Cb), first(into.Cr),
		C.int(into.YStride), C.int(into.CStride)) != 0 {
		return nil
	}
	return into
}

// roomy reports whether the planes of m hold what the library writes.
func roomy(m *image.YCbCr, sampling C.int) bool {
	w, h := C.int(m.Rect.Dx()), C.int(m.Rect.Dy())
	for i, p := range []struct {
		pix    []byte
		stride int
	}{{m.Y, m.YStride}, {m.Cb, m.CStride}, {m.Cr, m.CStride}} {
		pw, ph := int(C.cf_turbo_width(C.int(i), w, sampling)), int(C.cf_turbo_height(C.int(i), h, sampling))
		if pw < 1 || ph < 1 || p.stride < pw || len(p.pix) < (ph-1)*p.stride+pw {
			return false
		}
	}
	return true
}

func first(b []byte) *C.uchar { return (*C.uchar)(unsafe.Pointer(&b[0])) }
