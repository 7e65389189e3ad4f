// Package convert turns trained networks into TensorFlow Lite models that the
// XNNPACK delegate runs as a whole.
//
// It reads three formats, the ones the face networks are published in: OpenVINO
// IR, version 10 or 11 (an .xml file with its .bin), the weights of face-api's
// face recognition network (a JSON manifest with its .bin), and ncnn (a .param
// file with its .bin), as the networks against presentation attacks are. All
// become a small graph in the channels-last layout, which is folded (affine
// layers into convolutions, activations into the operators before them) and
// written as a .tflite flatbuffer:
//
//	model, err := convert.OpenVINO(xml, bin, convert.Options{})
//
// The result depends on the input bytes and the options alone: the same input
// gives the same bytes on every machine, so a manifest can pin its SHA-256.
// Weights stay float32. The model has one input and one output, both float32
// with a batch of one; an output without height and width has the shape [1, C].
//
// Pre-processing that the source network holds stays in the model. An OpenVINO
// network therefore takes what its makers documented: for the face networks
// BGR from 0 to 255. face-api subtracts the mean and divides by 255 in code
// before its network; as that network's first convolution has no padding, the
// step is folded into it exactly, and the model takes RGB from 0 to 255.
//
// Only the layers that these networks use are supported, and a network with
// any other is refused with an error that names the layer: nothing is
// approximated, and no operator is written that XNNPACK of TensorFlow Lite
// 2.9.0 would leave to the slower built-in kernels. Quantised arithmetic,
// dynamic shapes and several inputs or outputs are out of its reach.
package convert

import "fmt"

// Options adjusts a conversion. The zero value is right for every pack.
type Options struct {
	// Description is stored in the model for a person who inspects it. It is
	// part of the bytes, so it changes their hash. Empty: the name the source
	// gives its network.
	Description string
}

// OpenVINO converts an OpenVINO IR network from the contents of its .xml and
// .bin files. The network must have one Parameter of the shape 1,C,H,W and one
// Result; the model takes and gives the same values in the order N,H,W,C.
func OpenVINO(xml, bin []byte, opt Options) ([]byte, error) {
	g, err := readIR(xml, bin)
	if err != nil {
		return nil, err
	}
	return g.write(opt)
}

// FaceAPI converts face-api's face recognition network, a 29-layer residual
// network after dlib's, from the contents of its weights manifest and of the
// one weights file that the manifest names. Weights stored as 8 or 16 bit
// integers are expanded with their scale and minimum. The model takes
// [1, 150, 150, 3] RGB from 0 to 255 and gives [1, 128], which is not of
// unit length.
func FaceAPI(manifest, weights []byte, opt Options) ([]byte, error) {
	g, err := readFaceAPI(manifest, weights)
	if err != nil {
		return nil, err
	}
	return g.write(opt)
}

// NCNN converts a network of ncnn from the contents of its .param and .bin files. What
// the file says of the size of its input is a hint there, and is not read: the model
// takes [1, height, width, 3]. A softmax at the end is left out: the model gives what
// goes into it, and who reads that takes the exponentials.
func NCNN(param, bin []byte, height, width int, opt Options) ([]byte, error) {
	g, err := readNCNN(param, bin, extent{height, width, 3})
	if err != nil {
		return nil, err
	}
	return g.write(opt)
}

// write folds the graph and writes it as a .tflite file.
func (g *graph) write(opt Options) ([]byte, error) {
	g.fold()
	for _, n := range g.nodes {
		if !n.finite() {
			return nil, fmt.Errorf("convert layer %q: folded with its neighbours, it has numbers too large for float32", n.name)
		}
	}
	m, err := g.lower()
	if err != nil {
		return nil, err
	}
	if opt.Description != "" {
		m.description = opt.Description
	}
	return m.encode(), nil
}
