package convert_test

import (
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cypherface/edge/models/convert"
)

// same is a walk that keeps the size with a 3×3 kernel.
var same = walk{stride: 1, dilation: 1, before: 1, after: 1}

var plain = every(1)

// sources are networks that use every supported layer, each in the surroundings
// that matter for how it is converted.
var sources = []struct {
	name  string
	build func(s *source, x ref) ref
	codes string // operators expected in the model
}{
	{"convolution", func(s *source, x ref) ref { return s.convolution(x, 5, 3, plain) }, "CONV_2D"},
	{"convolution, same", func(s *source, x ref) ref { return s.convolution(x, 5, 3, same) }, "CONV_2D"},
	{"convolution, padded to one side", func(s *source, x ref) ref {
		return s.convolution(x, 5, 3, walk{stride: 2, dilation: 1, before: 1, after: 1})
	}, "PAD CONV_2D"},
	{"convolution, dilated", func(s *source, x ref) ref {
		return s.convolution(x, 5, 3, walk{stride: 1, dilation: 2, before: 2, after: 2})
	}, "CONV_2D"},
	{"convolution, wide", func(s *source, x ref) ref { return s.convolution(x, 5, 2, walk{stride: 1, dilation: 1, extra: 2}) }, "CONV_2D"},
	{"depthwise, wide", func(s *source, x ref) ref { return s.groups(x, 2, walk{stride: 1, dilation: 1, extra: 1}) }, "DEPTHWISE_CONV_2D"},
	{"bias", func(s *source, x ref) ref { return s.add(s.convolution(x, 5, 3, same)) }, "CONV_2D"},
	{"batch normalisation", func(s *source, x ref) ref {
		return s.add(s.multiply(s.add(s.convolution(x, 5, 3, same))))
	}, "CONV_2D"},
	{"depthwise", func(s *source, x ref) ref { return s.add(s.groups(x, 3, same)) }, "DEPTHWISE_CONV_2D"},
	{"depthwise, strided", func(s *source, x ref) ref { return s.groups(x, 3, walk{stride: 2, dilation: 1, before: 1, after: 1}) }, "PAD DEPTHWISE_CONV_2D"},
	{"depthwise over the image", func(s *source, x ref) ref {
		return s.prelu(s.add(s.groups(x, 12, plain)))
	}, "MUL MEAN ADD PRELU RESHAPE"},
	{"depthwise over the image, then linear", func(s *source, x ref) ref {
		return s.add(s.convolution(s.add(s.groups(x, 12, plain)), 7, 1, plain))
	}, "MUL MEAN CONV_2D RESHAPE"},
	{"affine first", func(s *source, x ref) ref {
		return s.convolution(s.add(s.multiply(x)), 4, 3, plain)
	}, "CONV_2D"},
	{"affine first, then zeros", func(s *source, x ref) ref {
		return s.convolution(s.add(s.multiply(x)), 4, 3, same)
	}, "ADD CONV_2D"},
	{"affine first, then depthwise", func(s *source, x ref) ref {
		return s.groups(s.add(s.multiply(x)), 3, plain)
	}, "DEPTHWISE_CONV_2D"},
	{"affine read twice", func(s *source, x ref) ref {
		a := s.add(s.multiply(s.convolution(x, 4, 1, plain)))
		return s.combine("Add", s.convolution(a, 6, 1, plain), s.convolution(a, 6, 1, plain), plus)
	}, "CONV_2D CONV_2D CONV_2D ADD"},
	{"affine last", func(s *source, x ref) ref { return s.add(s.multiply(s.pointwise("Sigmoid", x, logistic))) }, "LOGISTIC MUL ADD"},
	{"affine with a zero, then zeros", func(s *source, x ref) ref {
		x = s.channelwise("Multiply", x, []float64{0.5, 0, 2}, []int{1, 3, 1, 1}, times)
		return s.convolution(s.add(x), 4, 3, same)
	}, "MUL ADD CONV_2D"},
	{"one number for all", func(s *source, x ref) ref {
		x = s.channelwise("Multiply", x, []float64{1. / 64}, []int{1, 1, 1, 1}, times)
		return s.channelwise("Add", x, []float64{-0.5}, []int{1}, plus)
	}, "MUL ADD"},
	{"affine that does nothing", func(s *source, x ref) ref {
		x = s.channelwise("Multiply", s.prelu(x), []float64{1, 1, 1}, []int{3, 1, 1}, times)
		return s.channelwise("Add", x, []float64{0}, []int{1}, plus)
	}, "PRELU"},
	{"nothing at all", func(s *source, x ref) ref {
		return s.channelwise("Add", x, []float64{0}, []int{1}, plus)
	}, "ADD"},
	{"prelu of slope one", func(s *source, x ref) ref {
		return s.channelwise("PReLU", s.convolution(x, 4, 3, same), []float64{1}, []int{1}, sloped)
	}, "CONV_2D"},
	{"prelu of slope zero", func(s *source, x ref) ref {
		return s.channelwise("PReLU", s.convolution(x, 4, 3, same), []float64{0}, []int{1}, sloped)
	}, "CONV_2D"},
	{"prelu as numpy would", func(s *source, x ref) ref {
		return s.channelwise("PReLU", x, []float64{-1, 0.25, 2}, []int{1, 3, 1, 1}, sloped)
	}, "PRELU"},
	{"relu", func(s *source, x ref) ref {
		return s.pointwise("ReLU", s.convolution(x, 4, 3, same), rectified)
	}, "CONV_2D"},
	{"relu of a sum", func(s *source, x ref) ref {
		return s.pointwise("ReLU", s.combine("Add", s.convolution(x, x.c, 3, same), x, plus), rectified)
	}, "CONV_2D ADD"},
	{"relu of a pool", func(s *source, x ref) ref { return s.pointwise("ReLU", s.pool("MaxPool", x, 2, every(2)), rectified) }, "MAX_POOL_2D RELU"},
	{"prelu", func(s *source, x ref) ref { return s.prelu(s.add(x)) }, "ADD PRELU"},
	{"max pool", func(s *source, x ref) ref { return s.pool("MaxPool", x, 3, every(2)) }, "MAX_POOL_2D"},
	{"average pool", func(s *source, x ref) ref { return s.pool("AvgPool", x, 2, every(2)) }, "AVERAGE_POOL_2D"},
	{"average of the image", func(s *source, x ref) ref { return s.pool("AvgPool", x, 12, every(12)) }, "MEAN RESHAPE"},
	{"product", func(s *source, x ref) ref {
		return s.combine("Multiply", x, s.convolution(x, x.c, 1, plain), times)
	}, "CONV_2D MUL"},
	{"squeeze and excite", func(s *source, x ref) ref {
		y := s.pool("AvgPool", x, 12, every(12))
		y = s.add(s.convolution(s.prelu(s.add(s.convolution(y, 2, 1, plain))), x.c, 1, plain))
		return s.combine("Multiply", x, s.pointwise("Sigmoid", y, logistic), times)
	}, "MEAN CONV_2D PRELU CONV_2D LOGISTIC MUL"},
}

// TestOpenVINO compares the converted model, run slowly, with the arithmetic of
// the source.
func TestOpenVINO(t *testing.T) {
	for i, tt := range sources {
		for _, half := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/half=%v", tt.name, half), func(t *testing.T) {
				s := newSource(uint64(i))
				s.half = half
				x := s.parameter(3, 12, 12)
				out := tt.build(s, x)
				n := readModel(t, convertSource(t, s, out))
				compare(t, s, out, interpret(t, n, s.input.channelsLast()))
				if got := n.codes(); got != tt.codes {
					t.Errorf("operators %q, want %q", got, tt.codes)
				}
				wellFormed(t, n)
			})
		}
	}
}

// TestOpenVINORandom builds networks layer by layer at random.
func TestOpenVINORandom(t *testing.T) {
	for seed := range uint64(60) {
		s, out := randomSource(seed)
		n := readModel(t, convertSource(t, s, out))
		compare(t, s, out, interpret(t, n, s.input.channelsLast()))
		wellFormed(t, n)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// randomSource is a network of up to 14 layers.
func randomSource(seed uint64) (*source, ref) {
	s := newSource(seed)
	s.half = seed%2 == 1
	size := 6 + s.rng.IntN(12)
	x := s.parameter(1+s.rng.IntN(4), size, size+s.rng.IntN(3))
	for range 4 + s.rng.IntN(10) {
		x = s.randomLayer(x)
	}
	return s, s.convolution(x, 1+s.rng.IntN(8), 1, plain)
}

func (s *source) randomLayer(x ref) ref {
	w := walk{stride: 1 + s.rng.IntN(2), dilation: 1 + s.rng.IntN(2), before: s.rng.IntN(3), after: s.rng.IntN(3), extra: s.rng.IntN(2)}
	fits := min(x.h, x.w) > 3*w.dilation
	switch kind := s.rng.IntN(12); {
	case kind < 2 && fits:
		return s.convolution(x, 1+s.rng.IntN(8), 3, w)
	case kind == 2 && fits:
		return s.groups(x, 3, w)
	case kind == 3:
		return s.convolution(x, 1+s.rng.IntN(8), 1, plain)
	case kind == 4 && min(x.h, x.w) > 5:
		return s.pool("MaxPool", x, 2+s.rng.IntN(2), walk{stride: w.stride, dilation: 1, extra: w.extra})
	case kind == 5 && min(x.h, x.w) > 5:
		return s.pool("AvgPool", x, 2, walk{stride: w.stride, dilation: 1, extra: w.extra})
	case kind == 6:
		return s.prelu(x)
	case kind == 7:
		return s.pointwise("ReLU", x, rectified)
	case kind == 8:
		return s.combine("Add", s.convolution(x, x.c, 1, plain), x, plus)
	case kind == 9:
		return s.combine("Multiply", x, s.pointwise("Sigmoid", x, logistic), times)
	case kind == 10:
		return s.multiply(x)
	}
	return s.add(x)
}

func convertSource(t testing.TB, s *source, out ref) []byte {
	t.Helper()
	xml, bin := s.finish(out)
	m, err := convert.OpenVINO(xml, bin, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// compare checks a result in the model's order against the source's arithmetic.
func compare(t testing.TB, s *source, out ref, got []float64) {
	t.Helper()
	want := s.eval[out.id]().channelsLast()
	if len(got) != len(want) {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	scale := 1.
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-4*scale) {
			t.Fatalf("number %d is %g, want %g (the largest is %g)", i, got[i], want[i], scale)
		}
	}
}

// wellFormed checks what the runtime relies on: tensors are computed once and
// before they are read, constants have the size of their shape, and XNNPACK takes
// every operator.
func wellFormed(t testing.TB, n *network) {
	t.Helper()
	known := map[int]bool{n.input: true}
	for i, v := range n.tensors {
		size := 4
		for _, d := range v.shape {
			size *= d
		}
		if known[i] = known[i] || v.data != nil; v.data != nil && len(v.data) != size {
			t.Errorf("tensor %q of shape %v has %d bytes", v.name, v.shape, len(v.data))
		}
	}
	for _, s := range n.steps {
		accepted(t, n, s)
		for _, in := range s.inputs {
			if !known[in] {
				t.Errorf("operator %s reads tensor %d before it is computed", s.code, in)
			}
		}
		if len(s.outputs) != 1 || known[s.outputs[0]] {
			t.Errorf("operator %s writes %v", s.code, s.outputs)
		}
		known[s.outputs[0]] = true
	}
	if !known[n.output] {
		t.Error("the output is never computed")
	}
}

// TestSameBytesEverywhere pins a model's hash: it must not depend on the machine.
func TestSameBytesEverywhere(t *testing.T) {
	s, out := randomSource(7)
	m := convertSource(t, s, out)
	if got, want := fmt.Sprintf("%x", sha256.Sum256(m)), "46febbe5c51d9fd5792db4f6a46952f33b9377b5fb237d2a4be04f817765c9df"; got != want {
		t.Errorf("the model's SHA-256 is %s, want %s", got, want)
	}
}

func TestDescription(t *testing.T) {
	s := newSource(1)
	xml, bin := s.finish(s.convolution(s.parameter(3, 6, 6), 2, 3, plain))
	for want, opt := range map[string]convert.Options{"test": {}, "a face": {Description: "a face"}} {
		m, err := convert.OpenVINO(xml, bin, opt)
		if err != nil {
			t.Fatal(err)
		}
		if got := readModel(t, m).description; got != want {
			t.Errorf("description %q, want %q", got, want)
		}
	}
}

// TestOpenVINORefuses changes one thing of a good network.
func TestOpenVINORefuses(t *testing.T) {
	s := newSource(3)
	x := s.parameter(3, 8, 8)
	y := s.prelu(s.add(s.convolution(x, 4, 3, same)))
	good, bin := s.finish(s.pool("MaxPool", s.pointwise("ReLU", y, rectified), 2, every(2)))
	tests := []struct{ name, old, new, want string }{
		{"no xml", "<net", "<<net", "read network: XML syntax error"},
		{"old version", `version="11"`, `version="7"`, "IR version 7"},
		{"unknown layer", `type="MaxPool"`, `type="NonMaxSuppression"`, `(NonMaxSuppression): layers of this type are not supported`},
		{"no parameter", `type="Parameter"`, `type="Const"`, "one Parameter and one Result"},
		{"no result", `type="Result"`, `type="MaxPool"`, "one Parameter and one Result"},
		{"dynamic shape", `shape="1,3,8,8"`, `shape="?,3,8,8"`, "convert layer 0 \"Parameter_0\" (Parameter): read attribute shape"},
		{"batch", `shape="1,3,8,8"`, `shape="2,3,8,8"`, "only 1,C,H,W"},
		{"huge input", `shape="1,3,8,8"`, `shape="1,3,60000,60000"`, "larger than a face network needs"},
		{"overflowing input", `shape="1,3,8,8"`, `shape="1,4611686018427387904,4,4"`, "larger than a face network needs"},
		{"wrong channels", `shape="1,3,8,8"`, `shape="1,5,8,8"`, "the file states the shape"},
		{"integers", `element_type="f32" shape="4, 3`, `element_type="i64" shape="4, 3`, `constants of type "i64"`},
		{"beyond the bin", `offset="0"`, `offset="99999"`, "not in the .bin file"},
		{"overflowing offset", `offset="0"`, `offset="4611686018427387903"`, "not in the .bin file"},
		{"negative offset", `offset="0"`, `offset="-1"`, "read attribute offset"},
		{"short constant", `size="432"`, `size="428"`, "428 bytes for a constant of shape [4 3 3 3]"},
		{"huge constant", `shape="4, 3, 3, 3"`, `shape="65536, 65536, 65536, 65536"`, "is not supported"},
		{"no stride", `strides="1, 1"`, `strides="0, 1"`, "stride or dilation of 0"},
		{"three strides", `strides="1, 1"`, `strides="1, 1, 1"`, "not height and width"},
		{"negative padding", `pads_begin="1, 1"`, `pads_begin="-1, 1"`, "padding of -1"},
		{"unknown padding", `auto_pad="explicit"`, `auto_pad="guess"`, `padding by "guess"`},
		{"large kernel", `kernel="2, `, `kernel="9, `, "larger than its input"},
		{"pool of pixels", `kernel="2, 2"`, `kernel="1, 1"`, "pooling of single pixels"},
		{"no kernel", `kernel="2, 2"`, ``, "kernel, stride or dilation of 0"},
		{"two results", `type="ReLU"`, `type="Result"`, "several results"},
		{"same id", `id="1" name`, `id="2" name`, "another layer has the same id"},
		{"weights", `shape="4, 3, 3, 3"`, `shape="4, 9, 3"`, "the file states the shape"},
		{"grouped", `type="Convolution"`, `type="GroupConvolution"`, "weights of shape [4 3 3 3] on 3 channels are not supported"},
		{"rounding up", `rounding_type="floor"`, `rounding_type="ceil"`, `rounding by "ceil"`},
		{"loop", `from-layer="0"`, `from-layer="8"`, "the layer depends on itself"},
		{"missing layer", `from-layer="0"`, `from-layer="77"`, "one of them is missing"},
		{"missing edge", `to-port="1"`, `to-port="5"`, "the layer reads 1 values, not 2"},
		{"two edges", `to-port="1"`, `to-port="0"`, "two edges lead to port 0"},
		{"broadcast", `auto_broadcast="numpy"`, `auto_broadcast="pdpd"`, `broadcasting by "pdpd"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bad := strings.Replace(string(good), tt.old, tt.new, 1)
			if bad == string(good) {
				t.Fatalf("nothing to replace: %q", tt.old)
			}
			_, err := convert.OpenVINO([]byte(bad), bin, convert.Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want one with %q", err, tt.want)
			}
		})
	}
	for _, misfit := range []func(s *source, x ref) ref{
		func(s *source, x ref) ref {
			return s.channelwise("Add", x, make([]float64, 8), []int{1, 1, 1, 8}, plus)
		},
		func(s *source, x ref) ref { return s.channelwise("Multiply", x, make([]float64, 2), []int{2}, times) },
		func(s *source, x ref) ref { return s.channelwise("PReLU", x, make([]float64, 8), []int{8, 1}, sloped) },
		func(s *source, x ref) ref {
			return s.channelwise("PReLU", x, make([]float64, 4), []int{1, 1, 1, 1, 4}, sloped)
		},
	} {
		s := newSource(4)
		xml, bin := s.finish(misfit(s, s.parameter(4, 8, 8)))
		if _, err := convert.OpenVINO(xml, bin, convert.Options{}); err == nil || !strings.Contains(err.Error(), "does not go with 4 channels of 8×8") {
			t.Errorf("a constant that does not fit: error %v", err)
		}
	}
	s = newSource(5)
	y = s.parameter(1, 8, 8)
	for range 2 {
		y = s.channelwise("Multiply", y, []float64{1e30}, []int{1}, times)
	}
	xml, numbers := s.finish(y)
	if _, err := convert.OpenVINO(xml, numbers, convert.Options{}); err == nil || !strings.Contains(err.Error(), "too large for float32") {
		t.Errorf("factors that overflow: error %v", err)
	}
	if _, err := convert.OpenVINO(good, bin[:20], convert.Options{}); err == nil {
		t.Error("a truncated .bin file was taken")
	}
	notFinite := slices.Concat([]byte{0, 0, 0xc0, 0x7f}, bin[4:])
	if _, err := convert.OpenVINO(good, notFinite, convert.Options{}); err == nil || !strings.Contains(err.Error(), "not finite") {
		t.Errorf("weights with a NaN: error %v", err)
	}
}
