//go:build !cgo

package picture

import "image"

// Turbo reports whether libjpeg-turbo decodes here.
func Turbo() bool { return false }

func turboDecode([]byte, *image.YCbCr) image.Image { return nil }
