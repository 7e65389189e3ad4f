package convert_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/models/convert"
)

// invoke runs a model in TensorFlow Lite with XNNPACK.
func invoke(t testing.TB, model []byte, in []float64) []float64 {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.tflite")
	if err := os.WriteFile(path, model, 0o600); err != nil {
		t.Fatal(err)
	}
	return invokeFile(t, path, in)
}

func invokeFile(t testing.TB, path string, in []float64) []float64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := tflite.Load(f, tflite.Options{Interpreters: 1})
	if errors.Is(err, tflite.ErrNoRuntime) {
		t.Skip("TensorFlow Lite needs cgo")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var result []float64
	fill := func(to []float32) {
		if len(to) != len(in) {
			t.Fatalf("the model takes %d numbers, not %d", len(to), len(in))
		}
		for i, v := range in {
			to[i] = float32(v)
		}
	}
	read := func(from [][]float32) {
		for _, v := range from[0] {
			result = append(result, float64(v))
		}
	}
	if err := m.Run(t.Context(), fill, read); err != nil {
		t.Fatal(err)
	}
	return result
}

// TestTFLite runs the networks of TestOpenVINO in TensorFlow Lite.
func TestTFLite(t *testing.T) {
	for i, tt := range sources {
		t.Run(tt.name, func(t *testing.T) {
			s := newSource(uint64(i))
			out := tt.build(s, s.parameter(3, 12, 12))
			compare(t, s, out, invoke(t, convertSource(t, s, out), s.input.channelsLast()))
		})
	}
}

func TestTFLiteRandom(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s, out := randomSource(seed)
			compare(t, s, out, invoke(t, convertSource(t, s, out), s.input.channelsLast()))
		})
	}
}

func TestTFLiteFaceAPI(t *testing.T) {
	f := newFaceNet(1, [4]int{4, 6, 9, 11}, 7)
	manifest, bin := f.files(t)
	m, err := convert.FaceAPI(manifest, bin, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pixels := testPixels(1)
	near(t, invoke(t, m, pixels.data), f.forward(pixels))
}

// TestReference compares with independent conversions of the same networks.
func TestReference(t *testing.T) {
	for network, reference := range map[string]string{
		"face-reidentification-retail-0095": "face_reid_retail_0095_f32",
		"landmarks-regression-retail-0009":  "landmarks_regression_retail_0009_f32",
	} {
		t.Run(network, func(t *testing.T) {
			m := sharedOpenVINO(t, network)
			in := readModel(t, m).tensors[0].shape
			pixels := newImage(in[1], in[2], in[3])
			for seed := range 5 {
				picture := testPixels(uint64(seed))
				pixels.each(func(y, x, c int, v *float64) { *v = *picture.at(y, x, c) })
				got, want := invoke(t, m, pixels.data), invokeFile(t, "../../../shared/models/reference/"+reference+".tflite", pixels.data)
				if c := cosine(got, want); c < 0.9999 {
					t.Errorf("cosine %.6f with the reference, want 0.9999", c)
				}
				near(t, got, want)
			}
		})
	}
}

// sharedOpenVINO converts a network whose files are not part of the repository.
func sharedOpenVINO(t testing.TB, name string) []byte {
	t.Helper()
	const folder = "../../../shared/models/sources/"
	xml, err := os.ReadFile(folder + name + ".xml")
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("%s is not there", folder)
	}
	if err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile(folder + name + ".bin")
	if err != nil {
		t.Fatal(err)
	}
	m, err := convert.OpenVINO(xml, bin, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func cosine(a, b []float64) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab, aa, bb = ab+a[i]*b[i], aa+a[i]*a[i], bb+b[i]*b[i]
	}
	return ab / math.Sqrt(aa*bb)
}
