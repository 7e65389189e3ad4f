//go:build !cgo

package picture

import "image"

// Turbo reports whether JPEG is decoded by libjpeg-turbo here.
func Turbo() bool { return false }

func decodeTurbo([]byte, jpegHeader, *image.YCbCr) (image.Image, error) { return nil, errDoubtful }
