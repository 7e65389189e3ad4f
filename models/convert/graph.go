package convert

import (
	"errors"
	"fmt"
	"slices"
)

// maxElements bounds every tensor, and all weights of a network together: a
// hostile file cannot ask for more memory than a face network could ever use.
// The largest of them has 6 million weights.
const maxElements = 16 << 20

// kind says what a node computes.
type kind int

const (
	input     kind = iota
	conv           // weights in the order out, y, x, in
	depthwise      // one filter a channel: weights in the order y, x, channel
	affine         // x*scale + shift, a channel at a time
	prelu          // x < 0 ? x*slope : x, a channel at a time
	relu
	sigmoid
	add     // of two nodes of one shape
	mul     // of two nodes; the second may be 1×1 and is then spread over the first
	maxPool // never padded
	avgPool // never padded
	mean    // over height and width
	weigh   // x times a constant of its own shape, in weights
	pad     // zeros around the image and after the last channel
)

// extent is the shape of a value: height, width, channels. The batch is one.
type extent struct{ h, w, c int }

// valid reports whether the extent is positive and within maxElements.
func (e extent) valid() bool {
	const most = 1 << 16 // keeps the products below within 64 bits
	if min(e.h, e.w, e.c) < 1 || max(e.h, e.w, e.c) > most {
		return false
	}
	return e.h*e.w <= maxElements && e.h*e.w*e.c <= maxElements
}

// window is how a convolution or a pooling walks over its input.
type window struct {
	kh, kw                   int // kernel
	sh, sw                   int // stride
	dh, dw                   int // dilation
	top, left, bottom, right int // zeros around the input
}

func (w window) padded() bool { return w.top|w.left|w.bottom|w.right != 0 }

// after is the extent of the result of the window on in, with c channels.
func (w window) after(in extent, c int) (extent, error) {
	const most = 1 << 16
	for _, v := range []int{w.kh, w.kw, w.sh, w.sw, w.dh, w.dw} {
		if v < 1 || v > most {
			return extent{}, fmt.Errorf("kernel, stride or dilation of %d", v)
		}
	}
	for _, v := range []int{w.top, w.left, w.bottom, w.right} {
		if v < 0 || v > most {
			return extent{}, fmt.Errorf("padding of %d", v)
		}
	}
	h := in.h + w.top + w.bottom - (w.kh-1)*w.dh - 1
	v := in.w + w.left + w.right - (w.kw-1)*w.dw - 1
	if h < 0 || v < 0 {
		return extent{}, fmt.Errorf("kernel %d×%d is larger than its input %d×%d", w.kh, w.kw, in.h, in.w)
	}
	return extent{h/w.sh + 1, v/w.sw + 1, c}, nil
}

// trim drops the zeros at the end that no step of the window reaches.
func (w window) trim(in, out extent) window {
	w.bottom = max(0, (out.h-1)*w.sh+(w.kh-1)*w.dh+1-in.h-w.top)
	w.right = max(0, (out.w-1)*w.sw+(w.kw-1)*w.dw+1-in.w-w.left)
	return w
}

// padSame sets the padding that makes the result ceil(input/stride), with the
// odd zero at the end; TensorFlow and OpenVINO call it SAME and same_upper.
func (w window) padSame(in extent) (window, error) {
	if min(w.kh, w.kw, w.sh, w.sw, w.dh, w.dw) < 1 || max(w.kh, w.kw, w.sh, w.sw, w.dh, w.dw) > 1<<16 {
		return w, errors.New("kernel, stride or dilation out of range")
	}
	ends := func(size, kernel, stride, dilation int) (before, after int) {
		out := (size + stride - 1) / stride
		total := max(0, (out-1)*stride+(kernel-1)*dilation+1-size)
		return total / 2, total - total/2
	}
	w.top, w.bottom = ends(in.h, w.kh, w.sh, w.dh)
	w.left, w.right = ends(in.w, w.kw, w.sw, w.dw)
	return w, nil
}

// node is one step of a network. Which fields count depends on its kind.
// Weights stay in float64 until they are written, so that however many layers
// fold into one, the result is rounded to float32 once.
type node struct {
	kind    kind
	name    string // of the source layer, for messages and for the tensor
	in      []*node
	out     extent
	window  window
	weights []float64
	bias    []float64 // one a channel of the result
	scale   []float64 // affine
	shift   []float64 // affine
	slope   []float64 // prelu
	relu    bool      // the result is clamped below at zero (conv, depthwise, add, mul)
}

// graph is a network in the channels-last layout; a node stands after those it
// reads, the first is the input and the last the output.
type graph struct {
	name  string
	nodes []*node
	size  int // numbers held by the nodes
}

var errTooLarge = errors.New("the tensor, or all weights together, are larger than a face network needs")

// push appends a node that is complete.
func (g *graph) push(n *node) (*node, error) {
	g.size += len(n.weights) + len(n.bias) + len(n.scale) + len(n.shift) + len(n.slope)
	if !n.out.valid() || g.size > maxElements {
		return nil, errTooLarge
	}
	g.nodes = append(g.nodes, n)
	return n, nil
}

// users returns the nodes that read each node.
func (g *graph) users() map[*node][]*node {
	users := make(map[*node][]*node, len(g.nodes))
	for _, n := range g.nodes {
		for _, in := range n.in {
			users[in] = append(users[in], n)
		}
	}
	return users
}

// replace lets every reader of old read by instead and drops old.
func (g *graph) replace(old, by *node) {
	for _, n := range g.nodes {
		for i, in := range n.in {
			if in == old {
				n.in[i] = by
			}
		}
	}
	g.nodes = slices.DeleteFunc(g.nodes, func(n *node) bool { return n == old })
}

// convolution adds a convolution of the weights in the order out, y, x, in.
func (g *graph) convolution(name string, in *node, w window, outputs int, weights []float64) (*node, error) {
	if len(weights) != outputs*w.kh*w.kw*in.out.c {
		return nil, fmt.Errorf("%d weights do not fit %d×%d kernels from %d to %d channels", len(weights), w.kh, w.kw, in.out.c, outputs)
	}
	out, err := w.after(in.out, outputs)
	if err != nil {
		return nil, err
	}
	w = w.trim(in.out, out)
	return g.push(&node{kind: conv, name: name, in: []*node{in}, out: out, window: w, weights: weights, bias: make([]float64, outputs)})
}

// perChannel adds a convolution that filters each channel by itself; weights in
// the order y, x, channel.
func (g *graph) perChannel(name string, in *node, w window, weights []float64) (*node, error) {
	if len(weights) != w.kh*w.kw*in.out.c {
		return nil, fmt.Errorf("%d weights do not fit %d×%d kernels on %d channels", len(weights), w.kh, w.kw, in.out.c)
	}
	out, err := w.after(in.out, in.out.c)
	if err != nil {
		return nil, err
	}
	w = w.trim(in.out, out)
	return g.push(&node{kind: depthwise, name: name, in: []*node{in}, out: out, window: w, weights: weights, bias: make([]float64, in.out.c)})
}

// scaleShift adds x*scale + shift; either may be nil.
func (g *graph) scaleShift(name string, in *node, scale, shift []float64) (*node, error) {
	if scale == nil {
		scale = repeat(1, in.out.c)
	}
	if shift == nil {
		shift = make([]float64, in.out.c)
	}
	if len(scale) != in.out.c || len(shift) != in.out.c {
		return nil, fmt.Errorf("%d factors and %d offsets for %d channels", len(scale), len(shift), in.out.c)
	}
	return g.push(&node{kind: affine, name: name, in: []*node{in}, out: in.out, scale: slices.Clone(scale), shift: slices.Clone(shift)})
}

// activate adds a relu, a sigmoid or, with slopes, a prelu.
func (g *graph) activate(k kind, name string, in *node, slope []float64) (*node, error) {
	if k == prelu && len(slope) != in.out.c {
		return nil, fmt.Errorf("%d slopes for %d channels", len(slope), in.out.c)
	}
	return g.push(&node{kind: k, name: name, in: []*node{in}, out: in.out, slope: slope})
}

// combine adds the sum or product of two nodes. A product may have a 1×1 factor.
func (g *graph) combine(k kind, name string, a, b *node) (*node, error) {
	if k == mul && a.out.h == 1 && a.out.w == 1 {
		a, b = b, a
	}
	spread := k == mul && b.out == extent{1, 1, a.out.c}
	if a.out != b.out && !spread {
		return nil, fmt.Errorf("cannot combine %v with %v (height, width, channels)", a.out, b.out)
	}
	return g.push(&node{kind: k, name: name, in: []*node{a, b}, out: a.out})
}

// pool adds a maxPool or avgPool; a pooling of the whole image becomes a mean,
// which XNNPACK has a faster operator for.
func (g *graph) pool(k kind, name string, in *node, w window) (*node, error) {
	switch {
	case w.padded() || w.dh != 1 || w.dw != 1:
		return nil, errors.New("padded and dilated pooling are not supported")
	case w.kh == 1 && w.kw == 1:
		return nil, errors.New("pooling of single pixels is not supported")
	}
	out, err := w.after(in.out, in.out.c)
	if err != nil {
		return nil, err
	}
	if k == avgPool && w.kh == in.out.h && w.kw == in.out.w {
		k = mean
	}
	return g.push(&node{kind: k, name: name, in: []*node{in}, out: out, window: w})
}

// average adds the mean over height and width.
func (g *graph) average(name string, in *node) (*node, error) {
	return g.push(&node{kind: mean, name: name, in: []*node{in}, out: extent{1, 1, in.out.c}})
}

// grow pads the end of each dimension with zeros up to the extent.
func (g *graph) grow(name string, in *node, to extent) (*node, error) {
	if to.h < in.out.h || to.w < in.out.w || to.c < in.out.c {
		return nil, fmt.Errorf("cannot pad %v to %v", in.out, to)
	}
	if to == in.out {
		return in, nil
	}
	return g.push(&node{kind: pad, name: name, in: []*node{in}, out: to})
}

func repeat(v float64, n int) []float64 { return slices.Repeat([]float64{v}, n) }
