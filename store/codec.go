package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
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
	b := make([]byte, 0, 1+binary.MaxVarintLen32+len(header)+len(blob))
	b = binary.AppendUvarint(append(b, formatJSON), uint64(len(header)))
	return append(append(b, header...), blob...), nil
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
	var fields [2]map[string]json.RawMessage
	var blobs [2][]byte
	for i, b := range [][]byte{old, new} {
		header, blob, err := split(b)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(header, &fields[i]); err != nil {
			return nil, fmt.Errorf("%w: %v", ErrDamaged, err)
		}
		blobs[i] = blob
	}
	differ := map[string]bool{}
	for i, fs := range fields {
		for name, v := range fs {
			if !bytes.Equal(v, fields[1-i][name]) {
				differ[name] = true
			}
		}
	}
	if !bytes.Equal(blobs[0], blobs[1]) {
		differ["data"] = true
	}
	for _, name := range []string{"rev", "created", "updated"} {
		delete(differ, name)
	}
	return slices.Sorted(maps.Keys(differ)), nil
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
