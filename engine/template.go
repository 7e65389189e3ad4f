package engine

import "math"

// Template is a face in an embedding space: a vector of unit length.
type Template []float32

// normalise brings t to unit length; false where it has no direction.
func (t Template) normalise() bool {
	var sum float64
	for _, v := range t {
		sum += float64(v) * float64(v)
	}
	if !(sum > 1e-20) || math.IsInf(sum, 0) {
		return false
	}
	k := 1 / math.Sqrt(sum)
	for i := range t {
		t[i] = float32(float64(t[i]) * k)
	}
	return true
}

// Compare returns the score of two templates: their cosine, −1..1. Templates
// of different length belong to different spaces and score −1.
func Compare(a, b Template) float64 {
	if len(a) != len(b) || len(a) == 0 {
		return -1
	}
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return min(max(sum, -1), 1)
}

// Fuse returns the mean direction of templates of one person, nil for none.
// Templates of another length than the first's are left out.
func Fuse(ts ...Template) Template {
	if len(ts) == 0 {
		return nil
	}
	out := make(Template, len(ts[0]))
	for _, t := range ts {
		if len(t) != len(out) {
			continue
		}
		for i, v := range t {
			out[i] += v
		}
	}
	if !out.normalise() {
		return nil
	}
	return out
}
