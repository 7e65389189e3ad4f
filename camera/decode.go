package camera

import (
	"bytes"
	"image"
	_ "image/jpeg" // the formats of still pictures
	_ "image/png"
)

// DecodeJPEG decodes a camera frame, into the memory of into where that fits.
func DecodeJPEG(b []byte, _ *image.YCbCr) (*image.YCbCr, error) { return decodeStill(b) }

func decodeStill(b []byte) (*image.YCbCr, error) {
	img, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return toYCbCr(img), nil
}
