package convert_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
)

// schema is schema.fbs: the reader of the tests goes by its names, so that every
// number the writer has in Go code is compared with the text.
type schema struct {
	fields map[string]map[string]field // of a table, by name
	values map[string]map[int]string   // of an enum, by number
}

type field struct {
	id     int
	absent int // value of a field that is not stored
}

var (
	blocks  = regexp.MustCompile(`(?s)(table|enum)\s+(\w+)[^{]*\{(.*?)\}`)
	fields  = regexp.MustCompile(`(\w+)\s*:\s*\[?\w+\]?\s*(?:=\s*(\d+)\s*)?\(id:\s*(\d+)`)
	members = regexp.MustCompile(`(\w+)\s*=\s*(\d+)`)
	remarks = regexp.MustCompile(`//.*`)
)

func readSchema(t testing.TB) *schema {
	t.Helper()
	text, err := os.ReadFile("schema.fbs")
	if err != nil {
		t.Fatal(err)
	}
	s := &schema{map[string]map[string]field{}, map[string]map[int]string{}}
	number := func(text string) int {
		v, _ := strconv.Atoi(text) // no digits: 0, the format's own default
		return v
	}
	for _, block := range blocks.FindAllStringSubmatch(remarks.ReplaceAllString(string(text), ""), -1) {
		name, body := block[2], block[3]
		if block[1] == "enum" {
			s.values[name] = map[int]string{}
			for _, m := range members.FindAllStringSubmatch(body, -1) {
				s.values[name][number(m[2])] = m[1]
			}
			continue
		}
		s.fields[name] = map[string]field{}
		for _, m := range fields.FindAllStringSubmatch(body, -1) {
			s.fields[name][m[1]] = field{id: number(m[3]), absent: number(m[2])}
		}
	}
	return s
}

// record is a table of a flatbuffer.
type record struct {
	schema *schema
	name   string
	table  flatbuffers.Table
}

func (r record) field(name string) (field, flatbuffers.UOffsetT) {
	f, ok := r.schema.fields[r.name][name]
	if !ok {
		panic(fmt.Sprintf("schema.fbs has no field %s.%s", r.name, name))
	}
	return f, flatbuffers.UOffsetT(r.table.Offset(flatbuffers.VOffsetT(4 + 2*f.id)))
}

// integer reads a scalar of 1 or 4 bytes.
func (r record) integer(name string, width int) int {
	f, at := r.field(name)
	switch {
	case at == 0:
		return f.absent
	case width == 1:
		return int(r.table.GetInt8(r.table.Pos + at))
	}
	return int(r.table.GetInt32(r.table.Pos + at))
}

func (r record) text(name string) string {
	if _, at := r.field(name); at != 0 {
		return string(r.table.ByteVector(r.table.Pos + at))
	}
	return ""
}

func (r record) bytes(name string) []byte {
	if _, at := r.field(name); at != 0 {
		return r.table.ByteVector(r.table.Pos + at)
	}
	return nil
}

func (r record) integers(name string) []int {
	_, at := r.field(name)
	if at == 0 {
		return nil
	}
	list := make([]int, r.table.VectorLen(at))
	for i := range list {
		list[i] = int(r.table.GetInt32(r.table.Vector(at) + flatbuffers.UOffsetT(4*i)))
	}
	return list
}

func (r record) records(name, of string) []record {
	_, at := r.field(name)
	if at == 0 {
		return nil
	}
	list := make([]record, r.table.VectorLen(at))
	for i := range list {
		pos := r.table.Indirect(r.table.Vector(at) + flatbuffers.UOffsetT(4*i))
		list[i] = record{r.schema, of, flatbuffers.Table{Bytes: r.table.Bytes, Pos: pos}}
	}
	return list
}

func (r record) record(name, of string) record {
	_, at := r.field(name)
	if at == 0 {
		return record{r.schema, of, flatbuffers.Table{}}
	}
	return record{r.schema, of, flatbuffers.Table{Bytes: r.table.Bytes, Pos: r.table.Indirect(r.table.Pos + at)}}
}

// network is a .tflite file as its reader sees it.
type network struct {
	description string
	tensors     []value
	steps       []step
	input       int
	output      int
}

type value struct {
	name  string
	kind  string
	shape []int
	data  []byte
}

type step struct {
	code    string
	inputs  []int
	outputs []int
	options record
}

// readModel reads a model; names that schema.fbs does not have become "".
func readModel(t testing.TB, b []byte) *network {
	t.Helper()
	if len(b) < 8 || string(b[4:8]) != "TFL3" {
		t.Fatal("the file has no TFL3 mark")
	}
	s := readSchema(t)
	root := flatbuffers.Table{Bytes: b, Pos: flatbuffers.GetUOffsetT(b)}
	m := record{s, "Model", root}
	if v := m.integer("version", 4); v != 3 {
		t.Fatalf("format version %d", v)
	}
	graphs := m.records("subgraphs", "SubGraph")
	if len(graphs) != 1 {
		t.Fatalf("%d subgraphs", len(graphs))
	}
	g := graphs[0]
	n := &network{description: m.text("description")}
	n.input, n.output = g.integers("inputs")[0], g.integers("outputs")[0]
	buffers := m.records("buffers", "Buffer")
	for _, r := range g.records("tensors", "Tensor") {
		v := value{name: r.text("name"), shape: r.integers("shape"), kind: s.values["TensorType"][r.integer("type", 1)]}
		v.data = buffers[r.integer("buffer", 4)].bytes("data")
		n.tensors = append(n.tensors, v)
	}
	codes := m.records("operator_codes", "OperatorCode")
	for _, r := range g.records("operators", "Operator") {
		code := codes[r.integer("opcode_index", 4)]
		st := step{inputs: r.integers("inputs"), outputs: r.integers("outputs")}
		st.code = s.values["BuiltinOperator"][max(code.integer("builtin_code", 4), code.integer("deprecated_builtin_code", 1))]
		st.options = r.record("builtin_options", s.values["BuiltinOptions"][r.integer("builtin_options_type", 1)])
		n.steps = append(n.steps, st)
	}
	return n
}

func (v value) floats() []float64 {
	list := make([]float64, len(v.data)/4)
	for i := range list {
		list[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(v.data[4*i:])))
	}
	return list
}

func (v value) integers() []int {
	list := make([]int, len(v.data)/4)
	for i := range list {
		list[i] = int(int32(binary.LittleEndian.Uint32(v.data[4*i:])))
	}
	return list
}

func (n *network) codes() string {
	var list []string
	for _, s := range n.steps {
		list = append(list, s.code)
	}
	return strings.Join(list, " ")
}

// TestSchemaReadsOtherModels reads a model that others wrote with our schema: a
// number wrong in both schema.fbs and schema.go would show.
func TestSchemaReadsOtherModels(t *testing.T) {
	b, err := os.ReadFile("../../.deps/npm/node_modules/@mediapipe/face_detection/face_detection_short_range.tflite")
	if err != nil {
		t.Fatalf("run make setup: %v", err)
	}
	n := readModel(t, b)
	if in := n.tensors[n.input]; fmt.Sprint(in.shape) != "[1 128 128 3]" || in.kind != "FLOAT32" {
		t.Errorf("input %v of type %q", in.shape, in.kind)
	}
	seen := map[string]int{}
	for _, s := range n.steps {
		seen[s.code+"/"+s.options.name]++
	}
	for _, want := range []string{
		"CONV_2D/Conv2DOptions", "DEPTHWISE_CONV_2D/DepthwiseConv2DOptions", "ADD/AddOptions", "MAX_POOL_2D/Pool2DOptions", "PAD/NONE",
	} {
		if seen[want] == 0 {
			t.Errorf("no operator %s among %v", want, seen)
		}
	}
	var first record
	for _, s := range slices.Backward(n.steps) {
		if s.code == "CONV_2D" {
			first = s.options
		}
	}
	if w, h := first.integer("stride_w", 4), first.integer("stride_h", 4); w != 2 || h != 2 {
		t.Errorf("stride of the first convolution %d×%d, want 2×2", w, h)
	}
}
