package convert

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ncnnMagic is the first line of a .param file.
const ncnnMagic = "7767517"

// ncnnReader turns the lines of a .param file into nodes, in their order: a layer
// reads what layers before it wrote. The numbers stand in the .bin file in the order
// of the layers, without names.
type ncnnReader struct {
	graph *graph
	input extent
	bin   []byte
	blobs map[string]*node
	ended bool // by a softmax, which nothing may follow
}

// ncnnLayer is one line: what the layer is, what it reads and writes, and its
// settings by number.
type ncnnLayer struct {
	kind, name string
	in, out    []string
	set        map[int]float64
}

// readNCNN builds the graph of a network that looks at pictures of an extent.
func readNCNN(param, bin []byte, in extent) (*graph, error) {
	if len(param) > maxText {
		return nil, fmt.Errorf("read network: %d bytes of text, more than %d", len(param), maxText)
	}
	lines := strings.Split(strings.TrimSpace(string(param)), "\n")
	if strings.TrimSpace(lines[0]) != ncnnMagic || len(lines) < 3 {
		return nil, errors.New("read network: it is no .param file of ncnn")
	}
	if len(lines) > maxLayers {
		return nil, fmt.Errorf("read network: %d lines are more than a face network has", len(lines))
	}
	if !in.valid() {
		return nil, fmt.Errorf("read network: an input of %d×%d×%d", in.h, in.w, in.c)
	}
	r := &ncnnReader{graph: &graph{name: "ncnn"}, input: in, bin: bin, blobs: map[string]*node{}}
	var last *node
	for _, line := range lines[2:] { // the second counts layers and blobs
		l, err := parseNCNN(line)
		if err != nil {
			return nil, fmt.Errorf("read network: %w", err)
		}
		if last, err = r.layer(l); err != nil {
			return nil, fmt.Errorf("convert layer %q (%s): %w", l.name, l.kind, err)
		}
	}
	nodes := r.graph.nodes
	switch {
	case len(r.bin) > 0:
		return nil, fmt.Errorf("read weights: %d bytes are left over; do the two files belong together?", len(r.bin))
	case len(nodes) < 2 || last != nodes[len(nodes)-1]:
		return nil, errors.New("read network: its last layer is not its result")
	}
	return r.graph, nil
}

// parseNCNN reads a line: type, name, how many it reads and writes, their names, and
// settings as 0=32 or, lists, -23301=2,1,1.
func parseNCNN(line string) (*ncnnLayer, error) {
	f := strings.Fields(line)
	if len(f) < 4 {
		return nil, fmt.Errorf("line %.40q is no layer", line)
	}
	reads, err := strconv.Atoi(f[2])
	writes, err2 := strconv.Atoi(f[3])
	if err != nil || err2 != nil || reads < 0 || writes < 0 || reads > len(f) || writes > len(f) || 4+reads+writes > len(f) {
		return nil, fmt.Errorf("line %.40q does not say what it reads and writes", line)
	}
	l := &ncnnLayer{kind: f[0], name: f[1], in: f[4 : 4+reads], out: f[4+reads : 4+reads+writes], set: map[int]float64{}}
	for _, s := range f[4+reads+writes:] {
		key, value, _ := strings.Cut(s, "=")
		k, err := strconv.Atoi(key)
		if err != nil {
			return nil, fmt.Errorf("layer %q: setting %q", l.name, s)
		}
		if k <= -23300 { // a list: only empty ones mean nothing here
			if value != "0" {
				return nil, fmt.Errorf("layer %q: lists such as %q are not supported", l.name, s)
			}
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil || !finite(v) {
			return nil, fmt.Errorf("layer %q: setting %q", l.name, s)
		}
		l.set[k] = v
	}
	return l, nil
}

// whole is a setting that is a whole number.
func (l *ncnnLayer) whole(key, absent int) int {
	v, ok := l.set[key]
	if !ok {
		return absent
	}
	if v != math.Trunc(v) || math.Abs(v) > maxElements {
		return -1 // which no setting here may be
	}
	return int(v)
}

// ncnnKnown are the settings that each supported layer may have; any other might
// change what it computes.
var ncnnKnown = map[string][]int{
	"Input": {0, 1, 2}, "Split": {}, "Flatten": {}, "Dropout": {}, "ReLU": {}, "Sigmoid": {},
	"Convolution": {0, 1, 2, 3, 4, 5, 6}, "ConvolutionDepthWise": {0, 1, 2, 3, 4, 5, 6, 7},
	"BatchNorm": {0, 1}, "Scale": {0, 1}, "PReLU": {0}, "Eltwise": {0}, "Pooling": {0, 1, 2, 3, 4},
	"InnerProduct": {0, 1, 2}, "Softmax": {0, 1},
}

// layer adds the node of a layer, under the names that it writes.
func (r *ncnnReader) layer(l *ncnnLayer) (*node, error) {
	known, ok := ncnnKnown[l.kind]
	if !ok {
		return nil, errors.New("layers of this type are not supported")
	}
	if r.ended {
		return nil, errors.New("something follows a softmax")
	}
settings:
	for k := range l.set {
		for _, s := range known {
			if k == s {
				continue settings
			}
		}
		return nil, fmt.Errorf("setting %d is not supported", k)
	}
	var in []*node
	for _, name := range l.in {
		n := r.blobs[name]
		if n == nil {
			return nil, fmt.Errorf("it reads %q, which nothing has written", name)
		}
		in = append(in, n)
	}
	if want := ncnnReads(l); len(in) != want || len(l.out) == 0 || len(l.out) > 1 && l.kind != "Split" {
		return nil, fmt.Errorf("it reads %d and writes %d values", len(in), len(l.out))
	}
	n, err := r.step(l, in)
	if err != nil {
		return nil, err
	}
	for _, name := range l.out {
		if r.blobs[name] != nil {
			return nil, fmt.Errorf("it writes %q a second time", name)
		}
		r.blobs[name] = n
	}
	return n, nil
}

// ncnnReads is how many values a layer reads.
func ncnnReads(l *ncnnLayer) int {
	switch {
	case l.kind == "Input":
		return 0
	case l.kind == "Eltwise", l.kind == "Scale" && l.set[0] == -233: // whose factor is another layer's
		return 2
	}
	return 1
}

func (r *ncnnReader) step(l *ncnnLayer, in []*node) (*node, error) {
	g := r.graph
	switch l.kind {
	case "Input":
		if len(g.nodes) > 0 {
			return nil, errors.New("a network with several inputs is not supported")
		}
		return g.push(&node{kind: input, name: l.name, out: r.input})
	case "Split", "Dropout":
		return in[0], nil
	case "Flatten":
		if in[0].out.h != 1 || in[0].out.w != 1 {
			return nil, errors.New("only single pixels can be flattened")
		}
		return in[0], nil
	case "Softmax": // left to whoever reads the result: XNNPACK need not
		r.ended = true
		return in[0], nil
	case "Convolution", "ConvolutionDepthWise":
		return r.convolution(l, in[0])
	case "InnerProduct":
		return r.product(l, in[0])
	case "BatchNorm":
		return r.norm(l, in[0])
	case "Scale":
		return r.scale(l, in)
	case "PReLU":
		if l.whole(0, 0) != in[0].out.c {
			return nil, fmt.Errorf("%d slopes for %d channels", l.whole(0, 0), in[0].out.c)
		}
		slope, err := r.floats(in[0].out.c)
		if err != nil {
			return nil, err
		}
		return g.activate(prelu, l.name, in[0], slope)
	case "ReLU":
		return g.activate(relu, l.name, in[0], nil)
	case "Sigmoid":
		return g.activate(sigmoid, l.name, in[0], nil)
	case "Eltwise":
		if l.whole(0, 0) != 1 {
			return nil, errors.New("only sums are supported")
		}
		return g.combine(add, l.name, in[0], in[1])
	}
	return r.pool(l, in[0])
}

func (r *ncnnReader) pool(l *ncnnLayer, in *node) (*node, error) {
	k := map[int]kind{0: maxPool, 1: avgPool}
	kernel, stride := l.whole(1, 0), l.whole(2, 1)
	kd, ok := k[l.whole(0, 0)]
	if !ok || l.whole(3, 0) != 0 || l.whole(4, 0) != 0 {
		return nil, errors.New("this kind of pooling is not supported")
	}
	if kernel == in.out.h && kernel == in.out.w {
		stride = 1 // a single step
	} else if stride < 1 || kernel < 1 || (in.out.h-kernel)%stride != 0 || (in.out.w-kernel)%stride != 0 {
		return nil, errors.New("pooling that does not end at the border is not supported") // ncnn pads it
	}
	return r.graph.pool(kd, l.name, in, window{kh: kernel, kw: kernel, sh: stride, sw: stride, dh: 1, dw: 1})
}

// convolution reads weights in the order out, in, y, x, and the bias.
func (r *ncnnReader) convolution(l *ncnnLayer, in *node) (*node, error) {
	outputs, kernel, dilation, stride, pad := l.whole(0, 0), l.whole(1, 0), l.whole(2, 1), l.whole(3, 1), l.whole(4, 0)
	w := window{kh: kernel, kw: kernel, sh: stride, sw: stride, dh: dilation, dw: dilation, top: pad, left: pad, bottom: pad, right: pad}
	inputs := in.out.c
	if l.kind == "ConvolutionDepthWise" {
		if l.whole(7, 1) != inputs || outputs != inputs {
			return nil, errors.New("only groups of one channel in and out are supported")
		}
		inputs = 1
	}
	size, err := count([]int{outputs, kernel, kernel, inputs})
	if err != nil || l.whole(6, 0) != size {
		return nil, fmt.Errorf("%d weights for %d×%d kernels from %d to %d channels", l.whole(6, 0), kernel, kernel, inputs, outputs)
	}
	raw, err := r.weights(size)
	if err != nil {
		return nil, err
	}
	weights, area := make([]float64, size), kernel*kernel
	var n *node
	if l.kind == "ConvolutionDepthWise" {
		for c := range outputs {
			for k := range area {
				weights[k*outputs+c] = raw[c*area+k]
			}
		}
		n, err = r.graph.perChannel(l.name, in, w, weights)
	} else {
		for o := range outputs {
			for i := range inputs {
				for k := range area {
					weights[(o*area+k)*inputs+i] = raw[(o*inputs+i)*area+k]
				}
			}
		}
		n, err = r.graph.convolution(l.name, in, w, outputs, weights)
	}
	if err != nil || l.whole(5, 0) == 0 {
		return n, err
	}
	n.bias, err = r.floats(outputs)
	return n, err
}

// product is a convolution of a single pixel.
func (r *ncnnReader) product(l *ncnnLayer, in *node) (*node, error) {
	outputs := l.whole(0, 0)
	size, err := count([]int{outputs, in.out.c})
	if err != nil || in.out.h != 1 || in.out.w != 1 || l.whole(2, 0) != size {
		return nil, fmt.Errorf("%d weights from %v to %d channels", l.whole(2, 0), in.out, outputs)
	}
	weights, err := r.weights(size)
	if err != nil {
		return nil, err
	}
	n, err := r.graph.convolution(l.name, in, window{kh: 1, kw: 1, sh: 1, sw: 1, dh: 1, dw: 1}, outputs, weights)
	if err != nil || l.whole(1, 0) == 0 {
		return n, err
	}
	n.bias, err = r.floats(outputs)
	return n, err
}

// norm reads slope, mean, variance and bias of each channel.
func (r *ncnnReader) norm(l *ncnnLayer, in *node) (*node, error) {
	c := in.out.c
	if l.whole(0, 0) != c {
		return nil, fmt.Errorf("it is for %d channels, not %d", l.whole(0, 0), c)
	}
	all, err := r.floats(4 * c)
	if err != nil {
		return nil, err
	}
	scale, shift := make([]float64, c), make([]float64, c)
	for i := range scale {
		slope, mean, variance, bias := all[i], all[c+i], all[2*c+i], all[3*c+i]
		d := math.Sqrt(variance + l.set[1])
		if !(d > 0) {
			return nil, fmt.Errorf("channel %d has the variance %g", i, variance)
		}
		scale[i] = slope / d
		shift[i] = bias - float64(scale[i]*mean)
	}
	return r.graph.scaleShift(l.name, in, scale, shift)
}

// scale reads a factor and an offset of each channel, or multiplies by another layer.
func (r *ncnnReader) scale(l *ncnnLayer, in []*node) (*node, error) {
	if len(in) == 2 {
		if l.whole(1, 0) != 0 {
			return nil, errors.New("an offset beside another layer's factor is not supported")
		}
		return r.graph.combine(mul, l.name, in[0], in[1])
	}
	c := in[0].out.c
	if l.whole(0, 0) != c {
		return nil, fmt.Errorf("it is for %d channels, not %d", l.whole(0, 0), c)
	}
	scale, err := r.floats(c)
	if err != nil {
		return nil, err
	}
	var shift []float64
	if l.whole(1, 0) != 0 {
		if shift, err = r.floats(c); err != nil {
			return nil, err
		}
	}
	return r.graph.scaleShift(l.name, in[0], scale, shift)
}

// weights reads n numbers behind a word that says how they are stored: 0 is float32.
func (r *ncnnReader) weights(n int) ([]float64, error) {
	if len(r.bin) < 4 {
		return nil, errors.New("the weights end before it")
	}
	if how := binary.LittleEndian.Uint32(r.bin); how != 0 {
		return nil, fmt.Errorf("weights stored as %#x are not supported, only float32", how)
	}
	r.bin = r.bin[4:]
	return r.floats(n)
}

// floats takes n numbers from the .bin file.
func (r *ncnnReader) floats(n int) ([]float64, error) {
	if n < 0 || n > maxElements || len(r.bin) < 4*n {
		return nil, fmt.Errorf("the weights end before it: %d bytes for %d numbers", len(r.bin), n)
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(r.bin[4*i:])))
		if !finite(out[i]) {
			return nil, fmt.Errorf("number %d of its weights is not finite", i)
		}
	}
	r.bin = r.bin[4*n:]
	return out, nil
}
