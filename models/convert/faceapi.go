package convert

import (
	"errors"
	"fmt"
)

// The network of face-api's FaceRecognitionNet, in the order of its forward pass.
// A down block halves the image and has the channels that its weights say.
var faceAPIBlocks = []struct {
	name string
	down bool
}{
	{"conv32_1", false}, {"conv32_2", false}, {"conv32_3", false},
	{"conv64_down", true}, {"conv64_1", false}, {"conv64_2", false}, {"conv64_3", false},
	{"conv128_down", true}, {"conv128_1", false}, {"conv128_2", false},
	{"conv256_down", true}, {"conv256_1", false}, {"conv256_2", false},
	{"conv256_down_out", true},
}

const faceAPISize = 150 // pixels a side of the input

// What face-api does to each pixel, red, green and blue, before the network: it
// subtracts the mean and divides by the range. (dlib, where the weights come
// from, divides by 256; the published weights are used with 255, and so here.)
var faceAPIMean = [3]float64{122.782, 117.001, 104.298}

const faceAPIRange = 255

// readFaceAPI builds the graph of the network.
func readFaceAPI(manifest, weights []byte) (*graph, error) {
	store, err := readWeights(manifest, weights)
	if err != nil {
		return nil, err
	}
	f := &faceAPI{graph: &graph{name: "face_recognition_model"}, weights: store}
	x := f.input()
	x = f.conv(x, "conv32_down", 2, valid)
	x = f.activate(x, "conv32_down/relu")
	x = f.try(x, "pool", func(x *node) (*node, error) {
		return f.pool(maxPool, "pool", x, square(3, 2))
	})
	for _, b := range faceAPIBlocks {
		x = f.block(x, b.name, b.down)
	}
	x = f.try(x, "mean", func(x *node) (*node, error) { return f.average("mean", x) })
	f.fullyConnected(x)
	return f.graph, f.err
}

// faceAPI builds the network layer by layer; after the first error the steps do
// nothing, and err says which layer it was.
type faceAPI struct {
	*graph
	weights map[string]*array
	err     error
}

// edge says how a convolution treats the image's edge, in TensorFlow's words.
type edge bool

const (
	valid edge = false // it stays inside
	same  edge = true  // zeros around keep the size
)

// try runs one step.
func (f *faceAPI) try(x *node, name string, step func(x *node) (*node, error)) *node {
	if f.err != nil {
		return x
	}
	y, err := step(x)
	if err != nil {
		f.err = fmt.Errorf("convert layer %q: %w", name, err)
		return x
	}
	return y
}

// input is the picture and what is done to it. The two steps become part of the
// first convolution, which reads no padding.
func (f *faceAPI) input() *node {
	x := f.try(nil, "input", func(*node) (*node, error) {
		return f.push(&node{kind: input, name: "input", out: extent{faceAPISize, faceAPISize, 3}})
	})
	shift := make([]float64, 3)
	for c, mean := range faceAPIMean {
		shift[c] = -mean / faceAPIRange
	}
	return f.try(x, "input/normalize", func(x *node) (*node, error) {
		return f.scaleShift("input/normalize", x, repeat(1./faceAPIRange, 3), shift)
	})
}

// block is a residual block: two convolutions, added to the block's input. In a
// down block the first has a stride of two and the input is averaged two by
// two; whichever of the two is smaller is filled up with zeros, as dlib does.
func (f *faceAPI) block(x *node, name string, down bool) *node {
	stride, around, short := 1, same, x
	if down {
		stride, around = 2, valid
		short = f.try(x, name+"/pool", func(x *node) (*node, error) {
			return f.pool(avgPool, name+"/pool", x, square(2, 2))
		})
	}
	y := f.conv(x, name+"/conv1", stride, around)
	y = f.activate(y, name+"/conv1/relu")
	y = f.conv(y, name+"/conv2", 1, same)
	y = f.try(y, name, func(y *node) (*node, error) {
		both := extent{max(y.out.h, short.out.h), max(y.out.w, short.out.w), max(y.out.c, short.out.c)}
		long, err := f.grow(name+"/padded", y, both)
		if err != nil {
			return nil, err
		}
		if short, err = f.grow(name+"/pool/padded", short, both); err != nil {
			return nil, err
		}
		return f.combine(add, name, long, short)
	})
	return f.activate(y, name+"/relu")
}

func (f *faceAPI) activate(x *node, name string) *node {
	return f.try(x, name, func(x *node) (*node, error) { return f.graph.activate(relu, name, x, nil) })
}

// conv is a convolution with a bias and then a factor and an offset a channel.
func (f *faceAPI) conv(x *node, name string, stride int, around edge) *node {
	return f.try(x, name, func(x *node) (*node, error) {
		filters, err := f.get(name+"/conv/filters", 4)
		if err != nil {
			return nil, err
		}
		w := square(filters.shape[0], stride)
		if w.kw = filters.shape[1]; around == same {
			if w, err = w.padSame(x.out); err != nil {
				return nil, err
			}
		}
		if filters.shape[2] != x.out.c {
			return nil, fmt.Errorf("filters of shape %v do not fit %d channels", filters.shape, x.out.c)
		}
		y, err := f.convolution(name, x, w, filters.shape[3], outputFirst(filters))
		if err != nil {
			return nil, err
		}
		return f.scale(y, name)
	})
}

// scale adds the bias, then applies the factor and the offset: the batch
// normalisation of the training, and folded away here.
func (f *faceAPI) scale(x *node, name string) (*node, error) {
	bias, err0 := f.get(name+"/conv/bias", 1)
	factor, err1 := f.get(name+"/scale/weights", 1)
	offset, err2 := f.get(name+"/scale/biases", 1)
	if err := errors.Join(err0, err1, err2); err != nil {
		return nil, err
	}
	x, err := f.scaleShift(name+"/bias", x, nil, bias.data)
	if err != nil {
		return nil, err
	}
	return f.scaleShift(name+"/scale", x, factor.data, offset.data)
}

// fullyConnected is a matrix product without bias: on one pixel, a convolution.
func (f *faceAPI) fullyConnected(x *node) {
	f.try(x, "fc", func(x *node) (*node, error) {
		m, err := f.get("fc", 2)
		if err != nil {
			return nil, err
		}
		return f.convolution("fc", x, square(1, 1), m.shape[1], outputFirst(m))
	})
}

// outputFirst brings weights whose last dimension is the output to the order in
// which it is the first.
func outputFirst(a *array) []float64 {
	outputs := a.shape[len(a.shape)-1]
	rest := len(a.data) / outputs
	data := make([]float64, len(a.data))
	for i, v := range a.data {
		data[i%outputs*rest+i/outputs] = v
	}
	return data
}

// square is a window without padding and dilation.
func square(kernel, stride int) window {
	return window{kh: kernel, kw: kernel, sh: stride, sw: stride, dh: 1, dw: 1}
}

// get returns a weight by its name; it must have that many dimensions.
func (f *faceAPI) get(name string, rank int) (*array, error) {
	a := f.weights[name]
	switch {
	case a == nil:
		return nil, fmt.Errorf("the manifest has no weight %q; is it that of face_recognition_model?", name)
	case len(a.shape) != rank:
		return nil, fmt.Errorf("weight %q has the shape %v, not %d dimensions", name, a.shape, rank)
	}
	return a, nil
}
