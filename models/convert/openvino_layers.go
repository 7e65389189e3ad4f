package convert

import (
	"errors"
	"fmt"
	"slices"
)

// layer builds the value of a layer from those it reads.
func (r *irReader) layer(l *irLayer, in []irValue) (irValue, error) {
	count, known := irInputs[l.Type]
	if !known {
		return irValue{}, errors.New("layers of this type are not supported")
	}
	if len(in) != count {
		return irValue{}, fmt.Errorf("the layer reads %d values, not %d", len(in), count)
	}
	switch l.Type {
	case "Const":
		a, err := r.constant(l)
		return irValue{array: a}, err
	case "Convert":
		return in[0], l.toFloat(in[0])
	}
	if count > 0 && in[0].node == nil && (count < 2 || in[1].node == nil) {
		return irValue{}, errors.New("the layer reads constants only")
	}
	n, err := r.step(l, in)
	return irValue{node: n}, err
}

// irInputs is how many values each supported layer reads.
var irInputs = map[string]int{
	"Parameter": 0, "Const": 0, "Convert": 1, "Result": 1,
	"Convolution": 2, "GroupConvolution": 2,
	"Add": 2, "Multiply": 2,
	"PReLU": 2, "ReLU": 1, "Sigmoid": 1,
	"MaxPool": 1, "AvgPool": 1,
}

// step builds the node of a layer that computes.
func (r *irReader) step(l *irLayer, in []irValue) (*node, error) {
	switch l.Type {
	case "Parameter":
		return r.parameter(l)
	case "Add", "Multiply":
		return r.arithmetic(l, in[0], in[1])
	}
	first := in[0].node
	if first == nil {
		return nil, errors.New("the layer's first input is a constant")
	}
	switch l.Type {
	case "Convolution", "GroupConvolution", "PReLU":
		if in[1].array == nil {
			return nil, errors.New("the layer's second input is not a constant")
		}
	}
	switch l.Type {
	case "Convolution":
		return r.convolution(l, first, in[1].array)
	case "GroupConvolution":
		return r.groups(l, first, in[1].array)
	case "PReLU":
		slope, err := in[1].array.slopes(first.out)
		if err != nil {
			return nil, err
		}
		return r.graph.activate(prelu, l.Name, first, slope)
	case "ReLU":
		return r.graph.activate(relu, l.Name, first, nil)
	case "Sigmoid":
		return r.graph.activate(sigmoid, l.Name, first, nil)
	case "MaxPool":
		return r.pool(l, maxPool, first)
	case "AvgPool":
		return r.pool(l, avgPool, first)
	}
	return nil, errors.New("a result cannot be read from")
}

// parameter is the network's input. Its shape is the source's, 1,C,H,W, and the
// model's will be 1,H,W,C.
func (r *irReader) parameter(l *irLayer) (*node, error) {
	shape, err := l.ints("shape")
	if err != nil {
		return nil, err
	}
	if t := l.attr("element_type"); t != "f32" {
		return nil, fmt.Errorf("input of type %q is not supported", t)
	}
	if len(shape) != 4 || shape[0] != 1 {
		return nil, fmt.Errorf("input of shape %v is not supported, only 1,C,H,W", shape)
	}
	return r.graph.push(&node{kind: input, name: l.Name, out: extent{shape[2], shape[3], shape[1]}})
}

// arithmetic is an affine layer where one side is constant. Which side does not
// matter, for both operations.
func (r *irReader) arithmetic(l *irLayer, a, b irValue) (*node, error) {
	if mode := l.attr("auto_broadcast"); mode != "" && mode != "numpy" {
		return nil, fmt.Errorf("broadcasting by %q is not supported", mode)
	}
	if a.node == nil {
		a, b = b, a
	}
	switch {
	case b.node != nil && l.Type == "Add":
		return r.graph.combine(add, l.Name, a.node, b.node)
	case b.node != nil:
		return r.graph.combine(mul, l.Name, a.node, b.node)
	}
	v, err := b.array.perChannel(a.node.out)
	if err != nil {
		return nil, err
	}
	if l.Type == "Add" {
		return r.graph.scaleShift(l.Name, a.node, nil, v)
	}
	return r.graph.scaleShift(l.Name, a.node, v, nil)
}

// convolution brings weights in the order out, in, y, x to out, y, x, in.
func (r *irReader) convolution(l *irLayer, in *node, w *array) (*node, error) {
	if len(w.shape) != 4 || w.shape[1] != in.out.c {
		return nil, fmt.Errorf("weights of shape %v do not fit %d channels", w.shape, in.out.c)
	}
	win, err := l.window(in.out, w.shape[2], w.shape[3])
	if err != nil {
		return nil, err
	}
	outputs, inputs, area := w.shape[0], w.shape[1], win.kh*win.kw
	weights := make([]float64, len(w.data))
	for o := range outputs {
		for i := range inputs {
			for k := range area {
				weights[(o*area+k)*inputs+i] = w.data[(o*inputs+i)*area+k]
			}
		}
	}
	return r.graph.convolution(l.Name, in, win, outputs, weights)
}

// groups brings weights in the order group, out, in, y, x to y, x, group. Only
// one channel in and out of each group is supported.
func (r *irReader) groups(l *irLayer, in *node, w *array) (*node, error) {
	channels := in.out.c
	if len(w.shape) != 5 || w.shape[0] != channels || w.shape[1] != 1 || w.shape[2] != 1 {
		return nil, fmt.Errorf("weights of shape %v on %d channels are not supported, only %d,1,1,Y,X", w.shape, channels, channels)
	}
	win, err := l.window(in.out, w.shape[3], w.shape[4])
	if err != nil {
		return nil, err
	}
	area := win.kh * win.kw
	weights := make([]float64, len(w.data))
	for c := range channels {
		for k := range area {
			weights[k*channels+c] = w.data[c*area+k]
		}
	}
	return r.graph.perChannel(l.Name, in, win, weights)
}

// pool reads a pooling. Whether an average counts its padding needs no asking, as
// padding is refused.
func (r *irReader) pool(l *irLayer, k kind, in *node) (*node, error) {
	kh, kw, err := l.pair("kernel", 0)
	if err != nil {
		return nil, err
	}
	if mode := l.attr("rounding_type"); mode != "" && mode != "floor" {
		return nil, fmt.Errorf("rounding by %q is not supported", mode)
	}
	win, err := l.window(in.out, kh, kw)
	if err != nil {
		return nil, err
	}
	return r.graph.pool(k, l.Name, in, win)
}

// window reads strides, dilations and padding. With an automatic padding the
// numbers in the file are not valid, and the rule counts.
func (l *irLayer) window(in extent, kh, kw int) (window, error) {
	w := window{kh: kh, kw: kw}
	var errs [4]error
	w.sh, w.sw, errs[0] = l.pair("strides", 1)
	w.dh, w.dw, errs[1] = l.pair("dilations", 1)
	w.top, w.left, errs[2] = l.pair("pads_begin", 0)
	w.bottom, w.right, errs[3] = l.pair("pads_end", 0)
	if err := errors.Join(errs[:]...); err != nil {
		return window{}, err
	}
	switch mode := l.attr("auto_pad"); mode {
	case "", "explicit", "notset":
	case "valid":
		w.top, w.left, w.bottom, w.right = 0, 0, 0, 0
	case "same_upper":
		return w.padSame(in)
	default:
		return window{}, fmt.Errorf("padding by %q is not supported", mode)
	}
	return w, nil
}

// toFloat checks a Convert, which is supported between floating point types only:
// all of them are expanded when they are read.
func (l *irLayer) toFloat(v irValue) error {
	if v.array == nil {
		return errors.New("only constants can be converted")
	}
	if t := l.attr("destination_type"); !slices.Contains([]string{"f16", "f32", "f64"}, t) {
		return fmt.Errorf("conversion to %q is not supported", t)
	}
	return nil
}
