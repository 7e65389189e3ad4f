package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// formatJSON begins every value: a JSON header and raw bytes after it.
const formatJSON = 1

// bulky is a record with bytes that have no place in JSON.
type bulky interface {
	blob() []byte
	setBlob([]byte) error
}

func encode(rec any) ([]byte, error) {
	header, err := json.Marshal(rec)
	if err != nil {
		return nil, err
	}
	var blob []byte
	if r, ok := rec.(bulky); ok {
		blob = r.blob()
	}
	return join(header, blob), nil
}

// join undoes split.
func join(header, blob []byte) []byte {
	b := make([]byte, 0, 1+binary.MaxVarintLen32+len(header)+len(blob))
	b = binary.AppendUvarint(append(b, formatJSON), uint64(len(header)))
	return append(append(b, header...), blob...)
}

func decode(b []byte, rec any) error {
	header, blob, err := split(b)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(header, rec); err != nil {
		return fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	r, ok := rec.(bulky)
	if !ok {
		if len(blob) > 0 {
			return fmt.Errorf("%w: %d bytes too many", ErrDamaged, len(blob))
		}
		return nil
	}
	// The bytes belong to the backend, and only while the transaction lasts.
	if err := r.setBlob(bytes.Clone(blob)); err != nil {
		return fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	return nil
}

func split(b []byte) (header, blob []byte, err error) {
	if len(b) == 0 || b[0] != formatJSON {
		return nil, nil, fmt.Errorf("%w: unknown format of value", ErrDamaged)
	}
	n, used := binary.Uvarint(b[1:])
	if used <= 0 || n > uint64(len(b)-1-used) {
		return nil, nil, fmt.Errorf("%w: value is cut", ErrDamaged)
	}
	rest := b[1+used:]
	return rest[:n], rest[n:], nil
}

// changedFields names the fields of two encoded values of one kind that differ,
// besides those of Meta.
func changedFields(old, new []byte) ([]string, error) {
	var fields [2][]field
	var room [2][16]field
	var blobs [2][]byte
	for i, b := range [][]byte{old, new} {
		header, blob, err := split(b)
		if err != nil {
			return nil, err
		}
		if fields[i], err = appendFields(room[i][:0], header); err != nil {
			return nil, err
		}
		blobs[i] = blob
	}
	var differ []string
	for i, fs := range fields {
		for _, f := range fs {
			j := slices.IndexFunc(fields[1-i], func(g field) bool { return bytes.Equal(g.name, f.name) })
			known := i == 1 && j >= 0 // it was compared the other way round
			if !known && (j < 0 || !bytes.Equal(f.value, fields[1-i][j].value)) {
				differ = append(differ, string(f.name))
			}
		}
	}
	if !bytes.Equal(blobs[0], blobs[1]) {
		differ = append(differ, "data")
	}
	differ = slices.DeleteFunc(differ, func(name string) bool { return name == "rev" || name == "created" || name == "updated" })
	if len(differ) == 0 {
		return nil, nil
	}
	slices.Sort(differ)
	return differ, nil
}

// field is one of a JSON object, as it stands there.
type field struct {
	name, value []byte
}

var errFields = fmt.Errorf("%w: not a record", ErrDamaged)

// appendFields takes an object of JSON apart, as json.Marshal writes it. It is on the
// way of each change, and json.Unmarshal takes many times as long.
func appendFields(fields []field, object []byte) ([]field, error) {
	n := len(object)
	if n < 2 || object[0] != '{' || object[n-1] != '}' {
		return nil, errFields
	}
	for rest := object[1 : n-1]; len(rest) > 0; {
		end := valueEnd(rest)
		if end < 2 || rest[0] != '"' || rest[end-1] != '"' || end >= len(rest) || rest[end] != ':' {
			return nil, errFields
		}
		name := rest[1 : end-1]
		rest = rest[end+1:]
		if end = valueEnd(rest); end == 0 || end < len(rest) && rest[end] != ',' || end+1 == len(rest) {
			return nil, errFields
		}
		fields = append(fields, field{name, rest[:end]})
		rest = rest[min(end+1, len(rest)):]
	}
	return fields, nil
}

// valueEnd returns where the value ends that b begins with.
func valueEnd(b []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
			if !quoted && depth == 0 {
				return i + 1
			}
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			} else if depth < 0 {
				return i
			}
		case (c == ',' || c == ':') && depth == 0:
			return i
		}
	}
	if quoted || depth != 0 {
		return 0
	}
	return len(b)
}

func appendFloats(b []byte, v []float32) []byte {
	b = slices.Grow(b, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func parseFloats(b []byte) ([]float32, error) {
	if len(b)%4 != 0 {
		return nil, errVector
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v, nil
}
