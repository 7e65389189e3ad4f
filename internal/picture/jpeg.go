package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
)

// DecodeJPEG decodes a camera's frame as it is coded, without turning it. The
// memory of into is used where it fits; into may be nil. A grey frame gets
// neutral chroma. Bytes after the image are ignored.
func DecodeJPEG(b []byte, into *image.YCbCr, lim Limits) (*image.YCbCr, error) {
	if err := lim.bytes(b); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(b, jpegMagic) {
		return nil, fmt.Errorf("decode JPEG: %w: it does not begin as one", ErrFormat)
	}
	h, err := readHeader(b)
	if err != nil {
		return nil, err
	}
	img, err := decodeJPEG(b, h, into, lim)
	if err != nil {
		return nil, err
	}
	if g, ok := img.(*image.Gray); ok {
		return grayFrame(g), nil
	}
	return img.(*image.YCbCr), nil
}

// decodeJPEG returns *image.YCbCr or *image.Gray.
func decodeJPEG(b []byte, h jpegHeader, into *image.YCbCr, lim Limits) (image.Image, error) {
	weight := 1
	if h.progressive {
		weight = 2 // all coefficients are kept until the last pass
	}
	if err := lim.pixels(h.width, h.height, weight); err != nil {
		return nil, err
	}
	img, err := decodeTurbo(b, h, into)
	if errors.Is(err, errDoubtful) {
		return decodeStandard(b, h)
	}
	return img, err
}

// errDoubtful is libjpeg-turbo's answer to what it cannot do or has misgivings
// about: the standard library decides then, so that every box reads the same
// files.
var errDoubtful = errors.New("not by libjpeg-turbo")

// decodeStandard decodes with the standard library.
func decodeStandard(b []byte, h jpegHeader) (image.Image, error) {
	cfg, err := jpeg.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, standardError(err)
	}
	if cfg.Width != h.width || cfg.Height != h.height {
		return nil, fmt.Errorf("decode JPEG: %w: two sizes", ErrDamaged)
	}
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, standardError(err)
	}
	switch m := img.(type) {
	case *image.YCbCr, *image.Gray:
		return m, nil
	}
	return opaque(img), nil // RGB and CMYK
}

func standardError(err error) error {
	if _, ok := errors.AsType[jpeg.UnsupportedError](err); ok {
		return fmt.Errorf("decode JPEG: %w: %w", ErrFormat, err)
	}
	return damaged("JPEG", err)
}

// opaque converts an image without transparency to YCbCr.
func opaque(img image.Image) *image.YCbCr {
	b := img.Bounds()
	out := image.NewYCbCr(image.Rect(0, 0, b.Dx(), b.Dy()), image.YCbCrSubsampleRatio444)
	at := func(x, y int) (r, g, b byte) {
		c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
		return c.R, c.G, c.B
	}
	if m, ok := img.(*image.CMYK); ok {
		at = func(x, y int) (r, g, b byte) {
			p := m.Pix[m.PixOffset(x, y):][:4]
			return color.CMYKToRGB(p[0], p[1], p[2], p[3])
		}
	}
	for y := range b.Dy() {
		for x := range b.Dx() {
			o := y*out.YStride + x
			out.Y[o], out.Cb[o], out.Cr[o] = color.RGBToYCbCr(at(b.Min.X+x, b.Min.Y+y))
		}
	}
	return out
}

// grayFrame is a grey image with neutral chroma.
func grayFrame(g *image.Gray) *image.YCbCr {
	out := image.NewYCbCr(image.Rect(0, 0, g.Rect.Dx(), g.Rect.Dy()), image.YCbCrSubsampleRatio420)
	out.Y, out.YStride = g.Pix, g.Stride
	for i := range out.Cb {
		out.Cb[i], out.Cr[i] = 128, 128
	}
	return out
}

// EncodeJPEG encodes img; quality is 1..100.
func EncodeJPEG(img image.Image, quality int) ([]byte, error) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("encode JPEG: %w", err)
	}
	return b.Bytes(), nil
}
