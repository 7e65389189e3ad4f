package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// manifestGroup is one element of a weights manifest, as TensorFlow.js writes it.
type manifestGroup struct {
	Paths   []string         `json:"paths"`
	Weights []manifestWeight `json:"weights"`
}

// manifestWeight says where an array ends in the weights file and how its
// numbers are stored: as float32, or as integers q that stand for q*scale + min.
type manifestWeight struct {
	Name         string `json:"name"`
	Shape        []int  `json:"shape"`
	Type         string `json:"dtype"`
	Quantization *struct {
		Type  string  `json:"dtype"`
		Scale float64 `json:"scale"`
		Min   float64 `json:"min"`
	} `json:"quantization"`
}

// readWeights reads the weights file as the manifest describes it: one array
// after the other, without gaps.
func readWeights(manifest, data []byte) (map[string]*array, error) {
	if len(manifest) > maxText {
		return nil, fmt.Errorf("read weights manifest: %d bytes, more than %d", len(manifest), maxText)
	}
	var groups []manifestGroup
	if err := json.Unmarshal(manifest, &groups); err != nil {
		return nil, fmt.Errorf("read weights manifest: %w", err)
	}
	if len(groups) != 1 || len(groups[0].Paths) != 1 {
		return nil, errors.New("read weights manifest: only one group in one file is supported")
	}
	if len(data) > 4*maxElements {
		return nil, fmt.Errorf("read weights: %d bytes are more than a face network has", len(data))
	}
	arrays := make(map[string]*array, len(groups[0].Weights))
	for _, w := range groups[0].Weights {
		a, size, err := w.read(data)
		if err != nil {
			return nil, fmt.Errorf("read weight %q: %w", w.Name, err)
		}
		arrays[w.Name], data = a, data[size:]
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("read weights: %d bytes are left over; do the two files belong together?", len(data))
	}
	return arrays, nil
}

// read expands the weight that data begins with and returns its size in bytes.
func (w *manifestWeight) read(data []byte) (*array, int, error) {
	n, err := count(w.Shape)
	if err != nil {
		return nil, 0, err
	}
	if w.Type != "float32" {
		return nil, 0, fmt.Errorf("weights of type %q are not supported", w.Type)
	}
	format, scale, least := "f32", 1., 0.
	if q := w.Quantization; q != nil {
		format, scale, least = q.Type, q.Scale, q.Min
	}
	width, decode := numberFormat(format)
	if decode == nil {
		return nil, 0, fmt.Errorf("quantisation to %q is not supported", format)
	}
	if n*width > len(data) {
		return nil, 0, fmt.Errorf("%d bytes are missing at the end of the weights file", n*width-len(data))
	}
	a := &array{shape: slices.Clone(w.Shape), data: make([]float64, n)}
	for i := range a.data {
		// TensorFlow.js keeps the expanded weights in float32.
		v := float64(float32(float64(decode(data[i*width:])*scale) + least))
		if !finite(v) {
			return nil, 0, fmt.Errorf("number %d is not finite", i)
		}
		a.data[i] = v
	}
	return a, n * width, nil
}
