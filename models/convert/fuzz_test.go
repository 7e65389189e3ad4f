package convert_test

import (
	"bytes"
	"testing"

	"github.com/cypherface/edge/models/convert"
)

// FuzzOpenVINO feeds damaged networks: whatever they are, the converter answers
// with an error or with a model that holds together.
func FuzzOpenVINO(f *testing.F) {
	for i, tt := range sources {
		s := newSource(uint64(i))
		xml, bin := s.finish(tt.build(s, s.parameter(3, 12, 12)))
		f.Add(xml, bin)
	}
	f.Fuzz(func(t *testing.T, xml, bin []byte) {
		m, err := convert.OpenVINO(xml, bin, convert.Options{})
		if err != nil {
			return
		}
		wellFormed(t, readModel(t, m))
		again, err := convert.OpenVINO(xml, bin, convert.Options{})
		if err != nil || !bytes.Equal(m, again) {
			t.Errorf("the same network converts to other bytes (%v)", err)
		}
	})
}

// FuzzFaceAPI does the same for weights manifests.
func FuzzFaceAPI(f *testing.F) {
	for seed := range uint64(3) {
		n := int(seed) + 1
		manifest, bin := newFaceNet(seed, [4]int{n, n, n, n}, n).files(f)
		f.Add(manifest, bin)
	}
	f.Fuzz(func(t *testing.T, manifest, bin []byte) {
		m, err := convert.FaceAPI(manifest, bin, convert.Options{})
		if err == nil {
			wellFormed(t, readModel(t, m))
		}
	})
}

// FuzzNCNN does the same for networks of ncnn.
func FuzzNCNN(f *testing.F) {
	for seed := range uint64(3) {
		param, bin, _, _ := miniature(seed)
		f.Add(param, bin)
	}
	f.Fuzz(func(t *testing.T, param, bin []byte) {
		m, err := convert.NCNN(param, bin, 6, 6, convert.Options{})
		if err == nil {
			wellFormed(t, readModel(t, m))
		}
	})
}
