package v4l2

import (
	"encoding/binary"
	"fmt"
	"image"

	"github.com/cypherface/edge/camera"
)

// common sizes are tried when the length of a raw frame fits neither what was
// asked for nor what the device lists.
var common = []size{{160, 120}, {176, 144}, {320, 180}, {320, 240}, {352, 288}, {424, 240}, {640, 360}, {640, 480},
	{800, 448}, {800, 600}, {848, 480}, {960, 540}, {1024, 576}, {1024, 768}, {1280, 720}, {1280, 800}, {1280, 960},
	{1280, 1024}, {1600, 1200}, {1920, 1080}, {2560, 1440}, {3840, 2160}}

// page is what drivers round the length of a frame up to.
const page = 4096

// rawSize tells the size of a raw frame of n bytes, two a pixel. The driver may
// have chosen another size than asked for, and its answer to that is lost, so
// the length decides; a shorter frame than any is damaged.
func (m mode) rawSize(n int) (size, error) {
	asked := size{m.w, m.h}
	for _, sizes := range [][]size{{asked}, m.listed, common} {
		for _, s := range sizes {
			if 2*s.w*s.h == n && s.w%2 == 0 {
				return s, nil
			}
		}
	}
	if extra := n - 2*m.w*m.h; extra > 0 && extra < page && m.w%2 == 0 {
		return asked, nil
	}
	return size{}, fmt.Errorf("raw frame of %d bytes is no %s", n, m)
}

// fromYUYV sorts packed Y0 Cb Y1 Cr into planes. b holds 2·w·h bytes, w is even.
func fromYUYV(b []byte, s size, into *image.YCbCr) *image.YCbCr {
	img := camera.Reuse(into, s.w, s.h, image.YCbCrSubsampleRatio422)
	for y := range s.h {
		row := b[2*s.w*y:][:2*s.w]
		luma := img.Y[y*img.YStride:][:s.w]
		cb, cr := img.Cb[y*img.CStride:][:s.w/2], img.Cr[y*img.CStride:][:s.w/2]
		for len(cb) >= 4 {
			l0, b0, r0 := apart(binary.LittleEndian.Uint64(row))
			l1, b1, r1 := apart(binary.LittleEndian.Uint64(row[8:]))
			binary.LittleEndian.PutUint64(luma, l0|l1<<32)
			binary.LittleEndian.PutUint32(cb, uint32(b0|b1<<16))
			binary.LittleEndian.PutUint32(cr, uint32(r0|r1<<16))
			row, luma, cb, cr = row[16:], luma[8:], cb[4:], cr[4:]
		}
		for x := range cb {
			p := row[4*x:][:4]
			luma[2*x], cb[x], luma[2*x+1], cr[x] = p[0], p[1], p[2], p[3]
		}
	}
	return img
}

// apart sorts eight bytes at once, four pixels: every frame passes through here.
func apart(v uint64) (luma, cb, cr uint64) {
	const even = 0x00ff00ff00ff00ff
	y, c := v&even, v>>8&even
	y = (y | y>>8) & 0x0000ffff0000ffff
	return uint64(uint32(y | y>>16)), c&0xff | c>>24&0xff00, c>>16&0xff | c>>40&0xff00
}

// Unpack sorts a raw YUYV frame into planes, as a camera's frames are; into may
// be nil, and its memory is used again where it fits.
func Unpack(b []byte, width, height int, into *image.YCbCr) (*image.YCbCr, error) {
	if width < 2 || height < 1 || width%2 != 0 || len(b) < 2*width*height {
		return nil, fmt.Errorf("unpack frame: %d bytes for %d×%d pixels", len(b), width, height)
	}
	return fromYUYV(b, size{width, height}, into), nil
}
