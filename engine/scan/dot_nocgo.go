//go:build !cgo

package scan

func dot(out, rows, probe []float32) { dotGo(out, rows, probe) }

func sum(v []float32) float32 { return sumGo(v) }
