//go:build !cgo

package scan

func dot(out, rows, probe []float32) { dotGo(out, rows, probe) }
