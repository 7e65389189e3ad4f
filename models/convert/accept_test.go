package convert_test

import (
	"slices"
	"testing"
)

// accepted checks an operator against what the XNNPACK delegate of TensorFlow
// Lite 2.9.0 asks for before it takes one: types, constants, shapes, settings.
// What it leaves runs on slower kernels and cuts the network in two. (A test of
// engine/tflite shows the same on the packs' networks in the library itself.)
func accepted(t testing.TB, n *network, s step) {
	t.Helper()
	tensor := func(i int) value { return n.tensors[s.inputs[i]] }
	refuse := func(why string) { t.Errorf("XNNPACK leaves a %s: %s", s.code, why) }
	constant := func(i int, kind string, shape ...int) {
		if v := tensor(i); v.data == nil || v.kind != kind || !slices.Equal(v.shape, shape) {
			t.Errorf("XNNPACK leaves a %s: input %d is %s %v, not a constant %s %v", s.code, i, v.kind, v.shape, kind, shape)
		}
	}
	in, out := tensor(0), n.tensors[s.outputs[0]]
	if in.kind != "FLOAT32" || out.kind != "FLOAT32" || len(in.shape) != 4 {
		refuse("its values are not float32 of four dimensions")
	}
	channels := in.shape[3]
	switch s.code {
	case "CONV_2D":
		w := tensor(1).shape
		constant(1, "FLOAT32", out.shape[3], w[1], w[2], channels)
		constant(2, "FLOAT32", out.shape[3])
		windowed(t, s)
	case "DEPTHWISE_CONV_2D":
		w := tensor(1).shape
		constant(1, "FLOAT32", 1, w[1], w[2], channels*s.options.integer("depth_multiplier", 4))
		constant(2, "FLOAT32", out.shape[3])
		windowed(t, s)
	case "MAX_POOL_2D", "AVERAGE_POOL_2D":
		if s.options.integer("filter_width", 4)*s.options.integer("filter_height", 4) < 2 {
			refuse("its window is a single pixel")
		}
		windowed(t, s)
	case "ADD", "MUL":
		for i, d := range tensor(1).shape {
			if d != 1 && d != in.shape[i] {
				refuse("its second input cannot be spread over the first")
			}
		}
	case "PRELU":
		constant(1, "FLOAT32", 1, 1, channels)
	case "MEAN":
		constant(1, "INT32", 2)
		if axes := tensor(1).integers(); !slices.Equal(axes, []int{1, 2}) || s.options.integer("keep_dims", 1) != 1 {
			refuse("it is not over height and width, or drops them")
		}
	case "PAD":
		constant(1, "INT32", 4, 2)
		if p := tensor(1).integers(); slices.Min(p) < 0 || p[0] != 0 || p[1] != 0 {
			refuse("it pads the batch or takes away")
		}
	case "RESHAPE":
		constant(1, "INT32", len(out.shape))
	case "RELU", "LOGISTIC":
	default:
		refuse("it is not among those that the converter may write")
	}
}

func windowed(t testing.TB, s step) {
	t.Helper()
	if s.options.integer("stride_w", 4) < 1 || s.options.integer("stride_h", 4) < 1 {
		t.Errorf("XNNPACK leaves a %s: its stride is not positive", s.code)
	}
}
