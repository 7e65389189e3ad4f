package models

import "math"

// goldenSamples is how many values of each output a golden holds.
const goldenSamples = 16

// ProbeInput fills the input tensor of a network with the picture that its
// golden answers belong to: soft waves of different length in the three
// channels, prepared as the network wants it.
func (n Network) ProbeInput(in []float32) {
	w := n.Input.Shape[2]
	for i := range in {
		c, x, y := i%3, i/3%w, i/3/w
		wave := math.Sin(float64(x)*0.11*float64(c+1)) * math.Cos(float64(y)*0.07*float64(3-c))
		in[i] = float32((127.5+127.5*wave)*n.Input.Scale + n.Input.Bias)
	}
}

// ProbeAnswer picks from the outputs the values that a golden holds: evenly
// spaced ones of each, the last among them.
func ProbeAnswer(outputs [][]float32) []float64 {
	var picked []float64
	for _, out := range outputs {
		n := min(goldenSamples, len(out))
		for i := 1; i <= n; i++ {
			picked = append(picked, float64(out[i*len(out)/n-1]))
		}
	}
	return picked
}

// Answers reports whether got is the network's golden answer, up to the last
// bits in which processors differ: within a thousandth of its largest value.
// A manifest without a golden is not comparable, and everything finite passes.
func (n Network) Answers(got []float64) bool {
	scale := 0.0
	for _, v := range n.Golden {
		scale = max(scale, math.Abs(v))
	}
	if len(n.Golden) > 0 && len(n.Golden) != len(got) {
		return false
	}
	for i, v := range got {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
		if len(n.Golden) > 0 && math.Abs(v-n.Golden[i]) > scale/1000 {
			return false
		}
	}
	return true
}
