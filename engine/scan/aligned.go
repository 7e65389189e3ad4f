package scan

import "unsafe"

// aligned returns n zeroed numbers that begin on a cache line.
func aligned(n int) []float32 {
	const words = 64 / 4
	if n == 0 {
		return nil
	}
	raw := make([]float32, n+words-1)
	skip := 0
	if off := uintptr(unsafe.Pointer(&raw[0])) % 64; off != 0 {
		skip = int(64-off) / 4
	}
	return raw[skip:][:n:n]
}
