package convert

// The numbers of schema.fbs. Field identifiers are named table, then field.

const fileIdentifier = "TFL3"

const formatVersion = 3

type tensorType int8

const (
	typeFloat32 tensorType = 0
	typeInt32   tensorType = 2
)

type padding int8

const (
	paddingSame  padding = 0
	paddingValid padding = 1
)

type activation int8

const (
	activationNone activation = 0
	activationRelu activation = 1
)

type opcode int32

const (
	opAdd             opcode = 0
	opAveragePool2D   opcode = 1
	opConv2D          opcode = 3
	opDepthwiseConv2D opcode = 4
	opLogistic        opcode = 14
	opMaxPool2D       opcode = 17
	opMul             opcode = 18
	opRelu            opcode = 19
	opReshape         opcode = 22
	opPad             opcode = 34
	opMean            opcode = 40
	opPrelu           opcode = 54
)

type optionsType byte

const (
	optionsNone            optionsType = 0
	optionsConv2D          optionsType = 1
	optionsDepthwiseConv2D optionsType = 2
	optionsPool2D          optionsType = 5
	optionsAdd             optionsType = 11
	optionsMul             optionsType = 21
	optionsPad             optionsType = 22
	optionsReducer         optionsType = 27
)

const (
	convPadding = iota
	convStrideW
	convStrideH
	convActivation
	convDilationW
	convDilationH
	convFields
)

const (
	depthwisePadding = iota
	depthwiseStrideW
	depthwiseStrideH
	depthwiseMultiplier
	depthwiseActivation
	depthwiseDilationW
	depthwiseDilationH
	depthwiseFields
)

const (
	poolPadding = iota
	poolStrideW
	poolStrideH
	poolFilterWidth
	poolFilterHeight
	poolFields
)

// Options of one field, which has the identifier 0.
const (
	onlyField  = 0
	onlyFields = 1
)

const (
	codeDeprecated = 0
	codeVersion    = 2
	codeBuiltin    = 3
	codeFields     = 4
)

const (
	operatorCode = iota
	operatorInputs
	operatorOutputs
	operatorOptionsType
	operatorOptions
	operatorFields
)

const (
	tensorShape = iota
	tensorKind
	tensorBuffer
	tensorName
	tensorFields
)

const (
	graphTensors = iota
	graphInputs
	graphOutputs
	graphOperators
	graphName
	graphFields
)

const (
	modelVersion = iota
	modelCodes
	modelGraphs
	modelDescription
	modelBuffers
	modelFields
)
