// Package picture turns bytes from outside into images and back.
//
// Decode reads a JPEG or PNG whole and turns it upright by its EXIF
// orientation; DecodeJPEG reads a camera's JPEG frames into one image again and
// again. Both look at the header first and refuse what is larger than the
// limits before any memory is spent on pixels.
//
// JPEG goes through libjpeg-turbo where that library is found when the program
// runs (beside the program in lib/, or installed), and through Go's own decoder
// where not; Turbo says which. Colour management, animation and other formats
// are left alone.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
)

// What callers branch on.
var (
	// ErrFormat: neither a JPEG nor a PNG.
	ErrFormat = errors.New("not a JPEG or PNG image")
	// ErrTooLarge: more bytes or pixels than the limits allow.
	ErrTooLarge = errors.New("image too large")
	// ErrDamaged: the format is right, the content is not.
	ErrDamaged = errors.New("image damaged or cut off")
)

// Limits on what is decoded. A zero field stands for its default.
type Limits struct {
	Bytes  int // of the encoded image; 10 MiB
	Pixels int // width × height; 25,000,000
}

const (
	defaultBytes  = 10 << 20
	defaultPixels = 25_000_000
)

// Picture is a decoded image, upright.
type Picture struct {
	// Image is an *image.YCbCr, *image.Gray or *image.NRGBA whose bounds begin
	// at (0, 0).
	Image  image.Image
	Format string // "jpeg" or "png"
}

var (
	jpegMagic = []byte{0xff, 0xd8, 0xff}
	pngMagic  = []byte("\x89PNG\r\n\x1a\n")
)

// Decode reads a JPEG or PNG.
func Decode(b []byte, lim Limits) (*Picture, error) {
	switch {
	case bytes.HasPrefix(b, jpegMagic):
		if err := check(b, lim, jpeg.DecodeConfig); err != nil {
			return nil, fmt.Errorf("decode JPEG: %w", err)
		}
		img, err := decodeJPEG(b, nil)
		if err != nil {
			return nil, fmt.Errorf("decode JPEG: %w", err)
		}
		return &Picture{turn(img, orientation(b)), "jpeg"}, nil
	case bytes.HasPrefix(b, pngMagic):
		if err := check(b, lim, png.DecodeConfig); err != nil {
			return nil, fmt.Errorf("decode PNG: %w", err)
		}
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("decode PNG: %w: %w", ErrDamaged, err)
		}
		return &Picture{plain(img), "png"}, nil
	}
	return nil, fmt.Errorf("decode image: %w", ErrFormat)
}

// DecodeJPEG reads a camera's JPEG frame. It decodes into the image given if
// that has the frame's size and sampling, else into a new one; grey frames
// become colour ones without colour. What follows the frame is ignored.
func DecodeJPEG(b []byte, into *image.YCbCr, lim Limits) (*image.YCbCr, error) {
	if !bytes.HasPrefix(b, jpegMagic) {
		return nil, fmt.Errorf("decode frame: %w", ErrFormat)
	}
	if err := check(b, lim, jpeg.DecodeConfig); err != nil {
		return nil, fmt.Errorf("decode frame: %w", err)
	}
	img, err := decodeJPEG(b, into)
	if err != nil {
		return nil, fmt.Errorf("decode frame: %w", err)
	}
	switch m := img.(type) {
	case *image.YCbCr:
		return m, nil
	case *image.Gray:
		return colourless(m, into), nil
	}
	return nil, fmt.Errorf("decode frame: %w: a camera's JPEG is YCbCr or grey, not %T", ErrFormat, img)
}

// check compares an image's header with the limits.
func check(b []byte, lim Limits, config func(io.Reader) (image.Config, error)) error {
	if lim.Bytes == 0 {
		lim.Bytes = defaultBytes
	}
	if lim.Pixels == 0 {
		lim.Pixels = defaultPixels
	}
	if len(b) > lim.Bytes {
		return fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, len(b), lim.Bytes)
	}
	c, err := config(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if c.Width < 1 || c.Height < 1 {
		return fmt.Errorf("%w: %d×%d pixels", ErrDamaged, c.Width, c.Height)
	}
	if c.Height > lim.Pixels/c.Width {
		return fmt.Errorf("%w: %d×%d pixels, at most %d are decoded", ErrTooLarge, c.Width, c.Height, lim.Pixels)
	}
	return nil
}

// decodeJPEG decodes with libjpeg-turbo what that can give as planes, and the
// rest with Go's decoder, which also has the last word on what is damaged.
func decodeJPEG(b []byte, into *image.YCbCr) (image.Image, error) {
	if img := turboDecode(b, into); img != nil {
		return img, nil
	}
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return plain(img), nil
}

// plain brings an image to one of the three types of a Picture.
func plain(img image.Image) image.Image {
	switch m := img.(type) {
	case *image.YCbCr:
		if m.Rect.Min == (image.Point{}) {
			return m
		}
	case *image.Gray:
		return m
	case *image.NRGBA:
		return m
	case *image.Gray16:
		g := image.NewGray(m.Rect)
		for y := range m.Rect.Dy() {
			for x := range m.Rect.Dx() {
				g.Pix[y*g.Stride+x] = m.Pix[y*m.Stride+2*x] // the high byte
			}
		}
		return g
	}
	r := img.Bounds()
	out := image.NewNRGBA(image.Rect(0, 0, r.Dx(), r.Dy()))
	draw.Draw(out, out.Rect, img, r.Min, draw.Src)
	return out
}

// colourless gives a grey frame neutral colour.
func colourless(g *image.Gray, into *image.YCbCr) *image.YCbCr {
	if !fits(into, g.Rect.Dx(), g.Rect.Dy(), image.YCbCrSubsampleRatio420) {
		into = image.NewYCbCr(image.Rect(0, 0, g.Rect.Dx(), g.Rect.Dy()), image.YCbCrSubsampleRatio420)
	}
	for y := range g.Rect.Dy() {
		copy(into.Y[y*into.YStride:][:g.Rect.Dx()], g.Pix[y*g.Stride:])
	}
	for i := range into.Cb {
		into.Cb[i], into.Cr[i] = 128, 128
	}
	return into
}

// fits reports whether m can be decoded into.
func fits(m *image.YCbCr, w, h int, s image.YCbCrSubsampleRatio) bool {
	return m != nil && m.Rect == image.Rect(0, 0, w, h) && m.SubsampleRatio == s
}

// EncodeJPEG encodes img with a quality of 1..100.
func EncodeJPEG(img image.Image, quality int) ([]byte, error) {
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("encode JPEG: %w", err)
	}
	return buf.Bytes(), nil
}

// EncodePNG encodes img without loss.
func EncodePNG(img image.Image) ([]byte, error) {
	var buf bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&buf, img); err != nil {
		return nil, fmt.Errorf("encode PNG: %w", err)
	}
	return buf.Bytes(), nil
}
