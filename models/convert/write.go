package convert

import (
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

// bufferAlign is what TensorFlow Lite wants of constant data.
const bufferAlign = 16

// encode writes the model as a flatbuffer; see schema.fbs. The library's builder
// writes from the end to the beginning, so tables come before those that point
// at them; the order here is part of the bytes, and of the hashes of the packs.
func (m *model) encode() []byte {
	size := 4096 // a guess that spares the builder from growing
	for _, t := range m.tensors {
		size += len(t.data) + len(t.name) + 128
	}
	w := writer{flatbuffers.NewBuilder(size)}
	codes := m.codes()

	buffers := []flatbuffers.UOffsetT{w.buffer(nil)}
	tensors := make([]flatbuffers.UOffsetT, len(m.tensors))
	for i, t := range m.tensors {
		at := 0
		if t.data != nil {
			at = len(buffers)
			buffers = append(buffers, w.buffer(t.data))
		}
		tensors[i] = w.tensor(t, at)
	}
	operators := make([]flatbuffers.UOffsetT, len(m.operators))
	for i, op := range m.operators {
		operators[i] = w.operator(op, slices.Index(codes, op.code))
	}
	graph := w.graph(m, tensors, operators)
	w.FinishWithFileIdentifier(w.model(m, codes, graph, buffers), []byte(fileIdentifier))
	return w.FinishedBytes()
}

// codes lists the operators that the model uses, each once, in ascending order.
func (m *model) codes() []opcode {
	var codes []opcode
	for _, op := range m.operators {
		codes = append(codes, op.code)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// writer writes the tables of the format, children before parents.
type writer struct{ *flatbuffers.Builder }

func (w writer) model(m *model, codes []opcode, graph flatbuffers.UOffsetT, buffers []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	codeTables := make([]flatbuffers.UOffsetT, len(codes))
	for i, c := range codes {
		codeTables[i] = w.code(c)
	}
	codeVector := w.CreateVectorOfTables(codeTables)
	graphVector := w.CreateVectorOfTables([]flatbuffers.UOffsetT{graph})
	bufferVector := w.CreateVectorOfTables(buffers)
	description := w.CreateString(m.description)
	w.StartObject(modelFields)
	w.PrependUint32Slot(modelVersion, formatVersion, 0)
	w.PrependUOffsetTSlot(modelCodes, codeVector, 0)
	w.PrependUOffsetTSlot(modelGraphs, graphVector, 0)
	w.PrependUOffsetTSlot(modelDescription, description, 0)
	w.PrependUOffsetTSlot(modelBuffers, bufferVector, 0)
	return w.EndObject()
}

func (w writer) graph(m *model, tensors, operators []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	tensorVector := w.CreateVectorOfTables(tensors)
	operatorVector := w.CreateVectorOfTables(operators)
	inputs, outputs := w.ints([]int{m.input}), w.ints([]int{m.output})
	name := w.CreateString("main")
	w.StartObject(graphFields)
	w.PrependUOffsetTSlot(graphTensors, tensorVector, 0)
	w.PrependUOffsetTSlot(graphInputs, inputs, 0)
	w.PrependUOffsetTSlot(graphOutputs, outputs, 0)
	w.PrependUOffsetTSlot(graphOperators, operatorVector, 0)
	w.PrependUOffsetTSlot(graphName, name, 0)
	return w.EndObject()
}

// code says what an operator is: twice, as the format had one byte for it once
// and readers take the larger of the two.
func (w writer) code(c opcode) flatbuffers.UOffsetT {
	w.StartObject(codeFields)
	w.PrependInt8Slot(codeDeprecated, int8(c), 0)
	w.PrependInt32Slot(codeVersion, 1, 1)
	w.PrependInt32Slot(codeBuiltin, int32(c), 0)
	return w.EndObject()
}

func (w writer) tensor(t tensor, buffer int) flatbuffers.UOffsetT {
	shape, name := w.ints(t.shape), w.CreateString(t.name)
	w.StartObject(tensorFields)
	w.PrependUOffsetTSlot(tensorShape, shape, 0)
	w.PrependInt8Slot(tensorKind, int8(t.kind), 0)
	w.PrependUint32Slot(tensorBuffer, uint32(buffer), 0)
	w.PrependUOffsetTSlot(tensorName, name, 0)
	return w.EndObject()
}

// buffer holds the data of a constant. Prep moves the builder to where the vector
// will end at a multiple of bufferAlign; the builder has no such vector itself.
func (w writer) buffer(data []byte) flatbuffers.UOffsetT {
	var vector flatbuffers.UOffsetT
	if data != nil {
		w.Prep(bufferAlign, len(data))
		vector = w.CreateByteVector(data)
	}
	w.StartObject(1)
	w.PrependUOffsetTSlot(0, vector, 0)
	return w.EndObject()
}

func (w writer) operator(op operator, code int) flatbuffers.UOffsetT {
	kind, table := w.options(op)
	inputs, outputs := w.ints(op.inputs), w.ints(op.outputs)
	w.StartObject(operatorFields)
	w.PrependUint32Slot(operatorCode, uint32(code), 0)
	w.PrependUOffsetTSlot(operatorInputs, inputs, 0)
	w.PrependUOffsetTSlot(operatorOutputs, outputs, 0)
	w.PrependByteSlot(operatorOptionsType, byte(kind), 0)
	w.PrependUOffsetTSlot(operatorOptions, table, 0)
	return w.EndObject()
}

// options writes the operator's settings and says which table they are; an
// operator without settings has none.
func (w writer) options(op operator) (optionsType, flatbuffers.UOffsetT) {
	o := op.options
	switch op.code {
	case opConv2D:
		return optionsConv2D, w.conv2D(o)
	case opDepthwiseConv2D:
		return optionsDepthwiseConv2D, w.depthwise(o)
	case opMaxPool2D, opAveragePool2D:
		return optionsPool2D, w.pool(o)
	case opAdd:
		return optionsAdd, w.single(func() { w.PrependInt8Slot(onlyField, int8(o.activation), 0) })
	case opMul:
		return optionsMul, w.single(func() { w.PrependInt8Slot(onlyField, int8(o.activation), 0) })
	case opPad:
		return optionsPad, w.single(func() {})
	case opMean:
		return optionsReducer, w.single(func() { w.PrependBoolSlot(onlyField, true, false) })
	}
	return optionsNone, 0
}

func (w writer) conv2D(o options) flatbuffers.UOffsetT {
	w.StartObject(convFields)
	w.PrependInt8Slot(convPadding, int8(o.padding), 0)
	w.PrependInt32Slot(convStrideW, int32(o.window.sw), 0)
	w.PrependInt32Slot(convStrideH, int32(o.window.sh), 0)
	w.PrependInt8Slot(convActivation, int8(o.activation), 0)
	w.PrependInt32Slot(convDilationW, int32(o.window.dw), 1)
	w.PrependInt32Slot(convDilationH, int32(o.window.dh), 1)
	return w.EndObject()
}

func (w writer) depthwise(o options) flatbuffers.UOffsetT {
	w.StartObject(depthwiseFields)
	w.PrependInt8Slot(depthwisePadding, int8(o.padding), 0)
	w.PrependInt32Slot(depthwiseStrideW, int32(o.window.sw), 0)
	w.PrependInt32Slot(depthwiseStrideH, int32(o.window.sh), 0)
	w.PrependInt32Slot(depthwiseMultiplier, 1, 0)
	w.PrependInt8Slot(depthwiseActivation, int8(o.activation), 0)
	w.PrependInt32Slot(depthwiseDilationW, int32(o.window.dw), 1)
	w.PrependInt32Slot(depthwiseDilationH, int32(o.window.dh), 1)
	return w.EndObject()
}

func (w writer) pool(o options) flatbuffers.UOffsetT {
	w.StartObject(poolFields)
	w.PrependInt8Slot(poolPadding, int8(o.padding), 0)
	w.PrependInt32Slot(poolStrideW, int32(o.window.sw), 0)
	w.PrependInt32Slot(poolStrideH, int32(o.window.sh), 0)
	w.PrependInt32Slot(poolFilterWidth, int32(o.window.kw), 0)
	w.PrependInt32Slot(poolFilterHeight, int32(o.window.kh), 0)
	return w.EndObject()
}

// single is a table of settings with one field, or none.
func (w writer) single(field func()) flatbuffers.UOffsetT {
	w.StartObject(onlyFields)
	field()
	return w.EndObject()
}

// ints is a vector of 32 bit integers, written from its end.
func (w writer) ints(v []int) flatbuffers.UOffsetT {
	w.StartVector(4, len(v), 4)
	for _, x := range slices.Backward(v) {
		w.PrependInt32(int32(x))
	}
	return w.EndVector(len(v))
}
