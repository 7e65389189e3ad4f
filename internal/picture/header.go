package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

var jpegMagic = []byte{0xFF, 0xD8, 0xFF}

// Markers of JPEG (ITU-T T.81, table B.1).
const (
	markerSOF0 = 0xC0 // baseline; 1 extended, 2 progressive, others are rare
	markerDHT  = 0xC4
	markerJPG  = 0xC8
	markerDAC  = 0xCC
	markerRST0 = 0xD0
	markerRST7 = 0xD7
	markerSOI  = 0xD8
	markerEOI  = 0xD9
	markerSOS  = 0xDA
	markerAPP1 = 0xE1
	markerTEM  = 0x01
)

// maxScans is how many passes over the image a file may ask for. Encoders write
// about ten; each costs a walk over all pixels, however few bytes it has.
const maxScans = 64

// jpegHeader is what is known of a JPEG before it is decoded.
type jpegHeader struct {
	width, height int
	components    int
	progressive   bool
	scans         int
	orientation   int // EXIF, 1..8
}

// readHeader walks the markers of a JPEG to its end without decoding anything.
func readHeader(b []byte) (jpegHeader, error) {
	h := jpegHeader{orientation: 1}
	fail := func(format string, args ...any) (jpegHeader, error) {
		return h, fmt.Errorf("decode JPEG: %w: %s", ErrDamaged, fmt.Sprintf(format, args...))
	}
	for pos := 2; ; {
		marker, next := nextMarker(b, pos)
		if next < 0 || marker == markerEOI {
			break
		}
		pos = next
		if marker >= markerRST0 && marker <= markerSOI || marker == markerTEM {
			continue // these have no body
		}
		if pos+2 > len(b) {
			return fail("cut in a marker")
		}
		length := int(binary.BigEndian.Uint16(b[pos:]))
		if length < 2 || pos+length > len(b) {
			return fail("cut in a segment")
		}
		body := b[pos+2 : pos+length]
		pos += length
		switch {
		case isFrame(marker):
			if h.width != 0 {
				return fail("two frames")
			}
			if err := h.frame(marker, body); err != nil {
				return h, err
			}
		case marker == markerSOS:
			h.scans++
		case marker == markerAPP1 && bytes.HasPrefix(body, exifMagic):
			h.orientation = orientation(body[len(exifMagic):])
		}
	}
	switch {
	case h.width == 0 || h.scans == 0:
		return fail("no picture in it")
	case h.scans > maxScans:
		return h, fmt.Errorf("decode JPEG: %w: %d passes, at most %d", ErrTooLarge, h.scans, maxScans)
	}
	return h, nil
}

// nextMarker returns the next marker at or after pos, other than a stuffed zero
// byte, and where its body begins; −1 at the end. Skipping what is no marker
// passes over coded data, and over garbage as all decoders do.
func nextMarker(b []byte, pos int) (marker byte, next int) {
	for pos < len(b) {
		i := bytes.IndexByte(b[pos:], 0xFF)
		if i < 0 {
			return 0, -1
		}
		pos += i + 1
		for pos < len(b) && b[pos] == 0xFF { // fill bytes
			pos++
		}
		if pos < len(b) && b[pos] != 0 {
			return b[pos], pos + 1
		}
	}
	return 0, -1
}

func isFrame(marker byte) bool {
	return marker >= markerSOF0 && marker <= markerSOF0+15 &&
		marker != markerDHT && marker != markerJPG && marker != markerDAC
}

// frame reads a frame header (T.81, B.2.2).
func (h *jpegHeader) frame(marker byte, body []byte) error {
	if marker > markerSOF0+2 {
		return fmt.Errorf("decode JPEG: %w: coding process %d; baseline and progressive are read", ErrFormat, marker-markerSOF0)
	}
	if len(body) < 6 {
		return fmt.Errorf("decode JPEG: %w: short frame header", ErrDamaged)
	}
	if body[0] != 8 {
		return fmt.Errorf("decode JPEG: %w: %d bits a sample; 8 are read", ErrFormat, body[0])
	}
	h.height = int(binary.BigEndian.Uint16(body[1:]))
	h.width = int(binary.BigEndian.Uint16(body[3:]))
	h.components = int(body[5])
	h.progressive = marker == markerSOF0+2
	if h.width == 0 || h.height == 0 {
		return fmt.Errorf("decode JPEG: %w: %d×%d pixels", ErrDamaged, h.width, h.height)
	}
	if h.components != 1 && h.components != 3 && h.components != 4 {
		return fmt.Errorf("decode JPEG: %w: %d components", ErrFormat, h.components)
	}
	return nil
}
