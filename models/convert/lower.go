package convert

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// model is what is written: tensors and the operators between them, as
// TensorFlow Lite knows them.
type model struct {
	description string
	tensors     []tensor
	operators   []operator
	input       int
	output      int
}

// tensor is a value; it is a constant if it has data.
type tensor struct {
	name  string
	kind  tensorType
	shape []int
	data  []byte // little-endian
}

// operator names its tensors by their place in model.tensors.
type operator struct {
	code    opcode
	inputs  []int
	outputs []int
	options options
}

// options are the settings of an operator; which of them are written depends on
// its code. The zero values are TensorFlow Lite's.
type options struct {
	padding    padding
	window     window
	activation activation
}

// lower chooses an operator, or two, for each node. Only such are written that
// XNNPACK of TensorFlow Lite 2.9.0 takes: constants where it wants constants,
// slopes one a channel, means that keep their dimensions. (Measured on the
// networks of the packs: prelu with one slope for all channels as LEAKY_RELU
// takes the same time, and SAME in place of an explicit padding too.)
func (g *graph) lower() (*model, error) {
	l := lowering{model: &model{description: g.name}, at: map[*node]int{}}
	for _, n := range g.nodes {
		if err := l.node(n); err != nil {
			return nil, fmt.Errorf("convert layer %q: %w", n.name, err)
		}
	}
	last := len(g.nodes) - 1
	l.input, l.output = l.at[g.nodes[0]], l.flat(g.nodes[last])
	return l.model, nil
}

// flat drops the height and width of a result that is a vector.
func (l *lowering) flat(n *node) int {
	if n.out.h != 1 || n.out.w != 1 {
		return l.at[n]
	}
	shape := []int{1, n.out.c}
	out := l.tensor(tensor{name: n.name + "/vector", kind: typeFloat32, shape: shape})
	to := l.ints(n.name+"/shape", []int{2}, []int32{1, int32(n.out.c)})
	l.operators = append(l.operators, operator{code: opReshape, inputs: []int{l.at[n], to}, outputs: []int{out}})
	return out
}

// lowering is a model under construction.
type lowering struct {
	*model
	at map[*node]int // tensor of each node's result
}

// node writes the operators of one node; what it reads has been written.
func (l *lowering) node(n *node) error {
	switch n.kind {
	case input:
		l.at[n] = l.value(n.name, n.out)
	case conv, depthwise:
		return l.convolution(n)
	case affine:
		l.affine(n)
	case prelu:
		slope := l.floats(n.name+"/slope", []int{1, 1, n.out.c}, n.slope)
		l.emit(n, opPrelu, options{}, l.at[n.in[0]], slope)
	case relu:
		l.emit(n, opRelu, options{}, l.at[n.in[0]])
	case sigmoid:
		l.emit(n, opLogistic, options{}, l.at[n.in[0]])
	case add:
		l.emit(n, opAdd, options{activation: n.activation()}, l.at[n.in[0]], l.at[n.in[1]])
	case mul:
		l.emit(n, opMul, options{activation: n.activation()}, l.at[n.in[0]], l.at[n.in[1]])
	case weigh:
		c := l.floats(n.name+"/weights", []int{1, n.out.h, n.out.w, n.out.c}, n.weights)
		l.emit(n, opMul, options{}, l.at[n.in[0]], c)
	case maxPool:
		l.emit(n, opMaxPool2D, options{padding: paddingValid, window: n.window}, l.at[n.in[0]])
	case avgPool:
		l.emit(n, opAveragePool2D, options{padding: paddingValid, window: n.window}, l.at[n.in[0]])
	case mean:
		l.emit(n, opMean, options{}, l.at[n.in[0]], l.ints(n.name+"/axes", []int{2}, []int32{1, 2}))
	case pad:
		from := n.in[0].out
		l.emit(n, opPad, options{}, l.at[n.in[0]], l.padding(n.name, 0, n.out.h-from.h, 0, n.out.w-from.w, n.out.c-from.c))
	default:
		return fmt.Errorf("no operator for kind %d", n.kind)
	}
	return nil
}

// convolution writes the padding as the operator's own where SAME says it. Where
// it does not, zeros are added by an operator before, which XNNPACK merges with
// the convolution when it plans its run, so it costs no time.
func (l *lowering) convolution(n *node) error {
	in, opt := l.at[n.in[0]], options{padding: paddingValid, window: n.window, activation: n.activation()}
	switch w := n.window; {
	case !w.padded():
	case w.same(n.in[0].out):
		opt.padding = paddingSame
	default:
		from := n.in[0].out
		grown := extent{from.h + w.top + w.bottom, from.w + w.left + w.right, from.c}
		if !grown.valid() {
			return errTooLarge
		}
		p := &node{name: n.name + "/padded", out: grown}
		l.emit(p, opPad, options{}, in, l.padding(p.name, w.top, w.bottom, w.left, w.right, 0))
		in = l.at[p]
	}
	code, shape := opConv2D, []int{n.out.c, n.window.kh, n.window.kw, n.in[0].out.c}
	if n.kind == depthwise {
		code, shape = opDepthwiseConv2D, []int{1, n.window.kh, n.window.kw, n.out.c}
	}
	weights := l.floats(n.name+"/weights", shape, n.weights)
	bias := l.floats(n.name+"/bias", []int{n.out.c}, n.bias)
	l.emit(n, code, opt, in, weights, bias)
	return nil
}

// affine writes the multiplication and the addition that are left of a layer
// that no convolution took.
func (l *lowering) affine(n *node) {
	in := l.at[n.in[0]]
	if !all(n.scale, 1) {
		p := &node{name: n.name + "/scaled", out: n.out}
		if all(n.shift, 0) {
			p = n
		}
		l.emit(p, opMul, options{}, in, l.channels(n.name+"/scale", n.out, n.scale))
		in = l.at[p]
	}
	if !all(n.shift, 0) || in == l.at[n.in[0]] {
		l.emit(n, opAdd, options{}, in, l.channels(n.name+"/shift", n.out, n.shift))
	}
}

func (n *node) activation() activation {
	if n.relu {
		return activationRelu
	}
	return activationNone
}

// same reports whether TensorFlow's SAME padding of the input is this padding.
func (w window) same(in extent) bool {
	want, err := w.padSame(in)
	return err == nil && want == w
}

// emit appends the operator whose result is the node's.
func (l *lowering) emit(n *node, code opcode, opt options, inputs ...int) {
	out := l.value(n.name, n.out)
	l.operators = append(l.operators, operator{code: code, inputs: inputs, outputs: []int{out}, options: opt})
	l.at[n] = out
}

func (l *lowering) value(name string, e extent) int {
	return l.tensor(tensor{name: name, kind: typeFloat32, shape: []int{1, e.h, e.w, e.c}})
}

func (l *lowering) tensor(t tensor) int {
	l.tensors = append(l.tensors, t)
	return len(l.tensors) - 1
}

// channels is a constant to combine with a value of the extent, one number a
// channel. Few channels are repeated along a row: XNNPACK's inner loop then runs
// over the row and not over three numbers at a time.
func (l *lowering) channels(name string, e extent, v []float64) int {
	const few, long = 16, 4096
	width := 1
	if e.c < few && e.c*e.w <= long {
		width = e.w
	}
	return l.floats(name, []int{1, 1, width, e.c}, slices.Repeat(v, width))
}

func (l *lowering) floats(name string, shape []int, v []float64) int {
	data := make([]byte, 0, 4*len(v))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(x)))
	}
	return l.tensor(tensor{name: name, kind: typeFloat32, shape: shape, data: data})
}

func (l *lowering) ints(name string, shape []int, v []int32) int {
	data := make([]byte, 0, 4*len(v))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, uint32(x))
	}
	return l.tensor(tensor{name: name, kind: typeInt32, shape: shape, data: data})
}

// padding is the table of a PAD: zeros before and after each of the dimensions.
func (l *lowering) padding(name string, top, bottom, left, right, channels int) int {
	v := []int32{0, 0, int32(top), int32(bottom), int32(left), int32(right), 0, int32(channels)}
	return l.ints(name+"/padding", []int{4, 2}, v)
}
