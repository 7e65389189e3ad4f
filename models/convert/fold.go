package convert

import (
	"math"
	"slices"
)

// fold rewrites the graph so that it computes the same with fewer and cheaper
// operators. Every rule is exact in real arithmetic. Where a product is added
// to something, it is converted to float64 first: without that, the compiler of
// some architectures rounds both at once, and the bytes would differ.
func (g *graph) fold() {
	for _, r := range []rule{g.simplify, g.merge, g.foldBack, g.splitWhole, g.foldAhead, g.simplify, g.fuseReLU} {
		for g.apply(r) {
		}
	}
}

// A rule rewrites the graph around n and reports whether it did.
type rule func(n *node, users map[*node][]*node) bool

// apply applies the rule to the first node where it fits.
func (g *graph) apply(r rule) bool {
	users := g.users()
	return slices.ContainsFunc(g.nodes, func(n *node) bool { return r(n, users) })
}

// simplify drops an affine layer or prelu that changes nothing, and calls a
// prelu without negative side a relu.
func (g *graph) simplify(n *node, _ map[*node][]*node) bool {
	switch {
	case n.kind == affine && all(n.scale, 1) && all(n.shift, 0), n.kind == prelu && all(n.slope, 1):
		if n.in[0].kind == input && n == g.nodes[len(g.nodes)-1] {
			return false // the output cannot be the input
		}
		g.replace(n, n.in[0])
		return true
	case n.kind == prelu && all(n.slope, 0):
		n.kind, n.slope = relu, nil
		return true
	}
	return false
}

// merge makes one affine layer of two. It runs before those that touch weights,
// so that a long chain of layers passes over the weights once.
func (g *graph) merge(n *node, users map[*node][]*node) bool {
	if n.kind != affine || n.in[0].kind != affine || len(users[n.in[0]]) != 1 {
		return false
	}
	before := n.in[0]
	for c, scale := range n.scale {
		before.scale[c] *= scale
		before.shift[c] = float64(before.shift[c]*scale) + n.shift[c]
	}
	g.replace(n, before)
	return true
}

// foldBack folds an affine layer into the convolution before it.
func (g *graph) foldBack(n *node, users map[*node][]*node) bool {
	if n.kind != affine || len(users[n.in[0]]) != 1 {
		return false
	}
	before := n.in[0]
	if before.kind != conv && before.kind != depthwise {
		return false
	}
	for i := range before.weights {
		before.weights[i] *= n.scale[before.outputOf(i)]
	}
	for c, scale := range n.scale {
		before.bias[c] = float64(before.bias[c]*scale) + n.shift[c]
	}
	g.replace(n, before)
	return true
}

// foldAhead folds an affine layer into the convolutions that read it. A shift
// cannot pass zero padding, which is zero after the shift and not before it: it
// is then kept, alone and divided by the scale, as one addition.
func (g *graph) foldAhead(n *node, users map[*node][]*node) bool {
	readers := users[n]
	if n.kind != affine || len(readers) == 0 {
		return false
	}
	padded := false
	for _, r := range readers {
		if r.kind != conv && r.kind != depthwise {
			return false
		}
		padded = padded || r.window.padded()
	}
	if padded && !all(n.shift, 0) {
		return keepShift(n, readers)
	}
	for _, r := range readers {
		for i, w := range r.weights {
			r.bias[r.outputOf(i)] += float64(w * n.shift[r.inputOf(i)])
		}
	}
	scaleReaders(readers, n.scale)
	g.replace(n, n.in[0])
	return true
}

// keepShift moves only the scale of an affine layer to its readers.
func keepShift(n *node, readers []*node) bool {
	if all(n.scale, 1) {
		return false
	}
	shift := make([]float64, len(n.shift))
	for c := range shift {
		shift[c] = n.shift[c] / n.scale[c]
		if !(math.Abs(shift[c]) < 1e30) { // a scale of zero, or next to it
			return false
		}
	}
	scaleReaders(readers, n.scale)
	n.shift = shift
	n.scale = repeat(1, len(shift))
	return true
}

func scaleReaders(readers []*node, scale []float64) {
	for _, r := range readers {
		for i := range r.weights {
			r.weights[i] *= scale[r.inputOf(i)]
		}
	}
}

// splitWhole turns a depthwise convolution over the whole image into a product
// and a mean. XNNPACK has no depthwise kernel of that size and would run it as
// one matrix product a channel (which takes 3 to 4 % more time for the whole of
// either face network).
func (g *graph) splitWhole(n *node, _ map[*node][]*node) bool {
	const largestKernel = 25
	w := n.window
	whole := n.kind == depthwise && !w.padded() && n.in[0].out == extent{w.kh, w.kw, n.out.c} && w.dh == 1 && w.dw == 1
	if !whole || w.kh*w.kw <= largestKernel {
		return false
	}
	product := &node{kind: weigh, name: n.name + "/product", in: n.in, out: n.in[0].out, weights: n.weights}
	for i := range product.weights {
		product.weights[i] *= float64(w.kh * w.kw)
	}
	sum := &node{kind: mean, name: n.name + "/sum", in: []*node{product}, out: n.out}
	n.kind, n.in, n.weights, n.window = affine, []*node{sum}, nil, window{}
	n.scale, n.shift, n.bias = repeat(1, n.out.c), n.bias, nil
	g.nodes = slices.Insert(g.nodes, slices.Index(g.nodes, n), product, sum)
	return true
}

// fuseReLU lets the operator before a relu clamp its own result.
func (g *graph) fuseReLU(n *node, users map[*node][]*node) bool {
	if n.kind != relu || len(users[n.in[0]]) != 1 {
		return false
	}
	switch before := n.in[0]; before.kind {
	case conv, depthwise, add, mul:
		before.relu = true
		g.replace(n, before)
		return true
	}
	return false
}

// outputOf and inputOf give the channel of the result and of the input that
// weight i of a convolution belongs to.
func (n *node) outputOf(i int) int {
	if n.kind == depthwise {
		return i % n.out.c
	}
	return i / (len(n.weights) / n.out.c)
}

func (n *node) inputOf(i int) int { return i % n.in[0].out.c }

// finite reports whether all numbers of the node can be written.
func (n *node) finite() bool {
	for _, numbers := range [][]float64{n.weights, n.bias, n.scale, n.shift, n.slope} {
		if slices.ContainsFunc(numbers, func(v float64) bool { return !finite(v) }) {
			return false
		}
	}
	return true
}

func all(v []float64, want float64) bool {
	return !slices.ContainsFunc(v, func(x float64) bool { return x != want })
}
