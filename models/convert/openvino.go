package convert

import (
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits of what is read: far above the networks this is for (the largest has
// 686 layers), low enough that no file makes the converter work for long.
const (
	maxLayers = 4096
	maxText   = 16 << 20 // bytes of XML or JSON
)

// irNet is the .xml file of an OpenVINO IR network: layers with attributes, and
// edges between their ports. The numbers of the constants are in the .bin file.
// What is not listed here, names and precisions of ports above all, does not
// change what the network computes.
type irNet struct {
	Name    string    `xml:"name,attr"`
	Version int       `xml:"version,attr"`
	Layers  []irLayer `xml:"layers>layer"`
	Edges   []irEdge  `xml:"edges>edge"`
}

// irLayer is one layer. Its inputs are not read: the edges say the same.
type irLayer struct {
	ID      int      `xml:"id,attr"`
	Name    string   `xml:"name,attr"`
	Type    string   `xml:"type,attr"`
	Data    irData   `xml:"data"`
	Outputs []irPort `xml:"output>port"`
}

// irData holds the attributes of every supported layer, as text.
type irData struct {
	Attrs []xml.Attr `xml:",any,attr"`
}

// irPort is an output with the shape that the file states for it.
type irPort struct {
	ID   int   `xml:"id,attr"`
	Dims []int `xml:"dim"`
}

// irEdge leads from a layer to a port of another. Layers here have one output,
// so the port that it comes from does not matter.
type irEdge struct {
	FromLayer int `xml:"from-layer,attr"`
	ToLayer   int `xml:"to-layer,attr"`
	ToPort    int `xml:"to-port,attr"`
}

// fail names the layer in an error.
func (l *irLayer) fail(err error) error {
	return fmt.Errorf("convert layer %d %q (%s): %w", l.ID, l.Name, l.Type, err)
}

// attr returns an attribute of the layer's data, "" if it has none.
func (l *irLayer) attr(name string) string {
	for _, a := range l.Data.Attrs {
		if a.Name.Local == name {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

// ints returns an attribute that is a list such as "1, 3, 48, 48".
func (l *irLayer) ints(name string) ([]int, error) {
	text := l.attr(name)
	if text == "" {
		return nil, nil
	}
	var list []int
	for field := range strings.SplitSeq(text, ",") {
		v, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil {
			return nil, fmt.Errorf("read attribute %s=%q: %w", name, text, err)
		}
		list = append(list, v)
	}
	return list, nil
}

// pair returns a list of two numbers, height and width.
func (l *irLayer) pair(name string, absent int) (h, w int, err error) {
	switch list, err := l.ints(name); {
	case err != nil:
		return 0, 0, err
	case list == nil:
		return absent, absent, nil
	case len(list) == 2:
		return list[0], list[1], nil
	default:
		return 0, 0, fmt.Errorf("attribute %s has %d numbers, not height and width", name, len(list))
	}
}

// irReader turns layers into nodes, each once, after those it reads. It begins at
// the result, so layers that do not count towards it are never looked at, and
// the order of the file does not matter.
type irReader struct {
	graph  *graph
	bin    []byte
	layers map[int]*irLayer
	inputs map[int][]int    // layers that a layer reads, by port
	values map[int]*irValue // nil while a layer is being read
	budget int              // how many more numbers may be taken from bin
}

// irValue is what a layer gives: a node or a constant.
type irValue struct {
	node  *node
	array *array
}

// shape is the value's shape in the order of the source, batch and channels first.
func (v irValue) shape() []int {
	if v.array != nil {
		return v.array.shape
	}
	return []int{1, v.node.out.c, v.node.out.h, v.node.out.w}
}

// readIR builds the graph of a network.
func readIR(text, bin []byte) (*graph, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("read network: %d bytes of xml, more than %d", len(text), maxText)
	}
	var net irNet
	if err := xml.Unmarshal(text, &net); err != nil {
		return nil, fmt.Errorf("read network: %w", err)
	}
	if net.Version != 10 && net.Version != 11 {
		return nil, fmt.Errorf("read network: IR version %d is not supported, only 10 and 11 are", net.Version)
	}
	r := &irReader{graph: &graph{name: net.Name}, bin: bin, layers: map[int]*irLayer{}, inputs: map[int][]int{}, values: map[int]*irValue{}, budget: maxElements}
	result, err := r.index(&net)
	if err != nil {
		return nil, fmt.Errorf("read network: %w", err)
	}
	v, err := r.read(r.inputs[result.ID][0])
	switch {
	case err != nil:
		return nil, err
	case v.node == nil:
		return nil, result.fail(errors.New("the result is a constant"))
	case v.node.kind == input:
		return nil, result.fail(errors.New("the network computes nothing"))
	}
	return r.graph, nil
}

// index notes the layers and who reads whom, and returns the one Result.
func (r *irReader) index(net *irNet) (*irLayer, error) {
	if len(net.Layers) > maxLayers || len(net.Edges) > 4*maxLayers {
		return nil, fmt.Errorf("%d layers and %d edges are more than a face network has", len(net.Layers), len(net.Edges))
	}
	var result *irLayer
	parameters := 0
	for i := range net.Layers {
		l := &net.Layers[i]
		if r.layers[l.ID] != nil {
			return nil, l.fail(errors.New("another layer has the same id"))
		}
		r.layers[l.ID] = l
		switch l.Type {
		case "Parameter":
			parameters++
		case "Result":
			if result != nil {
				return nil, l.fail(errors.New("a network with several results is not supported"))
			}
			result = l
		}
	}
	if result == nil || parameters != 1 {
		return nil, errors.New("the network needs one Parameter and one Result")
	}
	return result, r.connect(net.Edges, result)
}

// connect notes the edges. A layer's input ports count from 0 without a gap, so
// the first port without an edge ends the list; whether the list is as long as
// the type of the layer wants is checked when the layer is read.
func (r *irReader) connect(edges []irEdge, result *irLayer) error {
	from := map[[2]int]int{} // layer and port that are read into
	for _, e := range edges {
		if r.layers[e.FromLayer] == nil || r.layers[e.ToLayer] == nil {
			return fmt.Errorf("an edge goes from layer %d to layer %d, and one of them is missing", e.FromLayer, e.ToLayer)
		}
		port := [2]int{e.ToLayer, e.ToPort}
		if _, ok := from[port]; ok {
			return r.layers[e.ToLayer].fail(fmt.Errorf("two edges lead to port %d", e.ToPort))
		}
		from[port] = e.FromLayer
	}
	for id := range r.layers {
		for port := 0; ; port++ {
			source, ok := from[[2]int{id, port}]
			if !ok {
				break
			}
			r.inputs[id] = append(r.inputs[id], source)
		}
	}
	if len(r.inputs[result.ID]) != 1 {
		return result.fail(errors.New("nothing leads to the result"))
	}
	return nil
}

// read returns the value of a layer, reading what it depends on first. It calls
// itself no deeper than there are layers; a layer that is met while it is being
// read closes a circle.
func (r *irReader) read(id int) (irValue, error) {
	l := r.layers[id]
	if v, ok := r.values[id]; ok {
		if v == nil {
			return irValue{}, l.fail(errors.New("the layer depends on itself"))
		}
		return *v, nil
	}
	r.values[id] = nil
	inputs := make([]irValue, len(r.inputs[id]))
	for port, source := range r.inputs[id] {
		v, err := r.read(source)
		if err != nil {
			return irValue{}, err
		}
		inputs[port] = v
	}
	v, err := r.layer(l, inputs)
	if err == nil {
		err = l.declared(v)
	}
	if err != nil {
		return irValue{}, l.fail(err)
	}
	r.values[id] = &v
	return v, nil
}

// declared compares the value with the shape the file states for it. They differ
// only if the file is damaged or has an attribute that is misunderstood here, and
// then the error is better found now than by a face that is not recognised.
func (l *irLayer) declared(v irValue) error {
	if len(l.Outputs) != 1 {
		return fmt.Errorf("%d outputs, not one", len(l.Outputs))
	}
	dims, got := l.Outputs[0].Dims, v.shape()
	if !slices.Equal(dims, got) {
		return fmt.Errorf("the file states the shape %v, but the layer gives %v", dims, got)
	}
	return nil
}
