//go:build !cgo

package scan

func dot(out, rows, probe []float32) { dotGo(out, rows, probe) }

func sum(v []float32) float32 {
	var a, b, c, d float32
	for ; len(v) >= 4; v = v[4:] {
		a, b, c, d = a+v[0], b+v[1], c+v[2], d+v[3]
	}
	return a + b + c + d
}
