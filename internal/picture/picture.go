// Package picture turns bytes from outside into images, and images into bytes.
//
//	p, err := picture.Decode(upload, picture.Limits{})      // JPEG or PNG, upright
//	frame, err = picture.DecodeJPEG(mjpeg, frame, limits)   // camera frames, same memory again
//
// What an image would cost is read from its header and checked before any of it
// is decoded, so a small file that unpacks to gigabytes is refused for nothing.
// Damaged input is an error, never a half-grey picture.
//
// JPEG is decoded by libjpeg-turbo where libturbojpeg.so.0 is found at run time
// (beside the program in lib/, or in the system) and by the standard library
// elsewhere, several times slower; both take the same kinds of files, and what
// the first has doubts about the second decides. The planes are left as they
// are coded, luma and subsampled chroma.
//
// The package does not scale pictures and knows no other format.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
)

var (
	// ErrFormat: neither JPEG nor PNG, or a rare kind of them.
	ErrFormat = errors.New("unknown image format")
	// ErrTooLarge: more bytes, pixels or passes than the limits allow.
	ErrTooLarge = errors.New("image too large")
	// ErrDamaged: it begins as an image and does not go on as one.
	ErrDamaged = errors.New("image damaged")
)

// Limits bound what a picture may cost. The zero value means the defaults.
type Limits struct {
	Bytes  int // of the encoded file; 10 MiB
	Pixels int // width × height; 25 million
}

const (
	defaultBytes  = 10 << 20
	defaultPixels = 25_000_000
)

// Picture is a decoded image, upright.
type Picture struct {
	Image  image.Image // *image.YCbCr, *image.Gray or *image.NRGBA
	Format string      // "jpeg" or "png"
}

// Decode decodes a JPEG or PNG and turns it upright as its EXIF orientation
// says. Bytes after the image are ignored. Errors wrap ErrFormat, ErrTooLarge
// or ErrDamaged.
func Decode(b []byte, lim Limits) (*Picture, error) {
	if err := lim.bytes(b); err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(b, jpegMagic):
		h, err := readHeader(b)
		if err != nil {
			return nil, err
		}
		img, err := decodeJPEG(b, h, nil, lim)
		if err != nil {
			return nil, err
		}
		return &Picture{turn(img, h.orientation), "jpeg"}, nil
	case bytes.HasPrefix(b, pngMagic):
		img, err := decodePNG(b, lim)
		if err != nil {
			return nil, err
		}
		return &Picture{img, "png"}, nil
	}
	return nil, fmt.Errorf("decode image: %w: neither JPEG nor PNG", ErrFormat)
}

// bytes checks the size of the file.
func (l Limits) bytes(b []byte) error {
	limit := l.Bytes
	if limit == 0 {
		limit = defaultBytes
	}
	if len(b) > limit {
		return fmt.Errorf("decode image: %w: %d bytes, at most %d", ErrTooLarge, len(b), limit)
	}
	return nil
}

// pixels checks the size of the image. weight is how many times the usual
// memory its kind takes while it is decoded.
func (l Limits) pixels(w, h, weight int) error {
	limit := l.Pixels
	if limit == 0 {
		limit = defaultPixels
	}
	if w < 1 || h < 1 {
		return fmt.Errorf("decode image: %w: %d×%d pixels", ErrDamaged, w, h)
	}
	if w > limit/weight/h {
		return fmt.Errorf("decode image: %w: %d×%d pixels, at most %d of its kind", ErrTooLarge, w, h, limit/weight)
	}
	return nil
}

// damaged wraps the cause that a decoder gives.
func damaged(format string, cause error) error {
	return fmt.Errorf("decode %s: %w: %w", format, ErrDamaged, cause)
}

// EncodePNG encodes img without loss.
func EncodePNG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img); err != nil {
		return nil, fmt.Errorf("encode PNG: %w", err)
	}
	return b.Bytes(), nil
}
