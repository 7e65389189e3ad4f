package convert_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cypherface/edge/models/convert"
)

// faceNet is a network with the shape of face-api's and as many channels as one
// likes: its two files and, beside them, the weights as face-api would use them.
type faceNet struct {
	rng      *rand.Rand
	manifest []map[string]any
	bin      []byte
	weights  map[string][]float64
	shapes   map[string][]int
}

// newFaceNet makes a network of four widths; weights are stored in the three
// formats in turn.
func newFaceNet(seed uint64, widths [4]int, outputs int) *faceNet {
	f := &faceNet{rng: rand.New(rand.NewPCG(seed, 2)), weights: map[string][]float64{}, shapes: map[string][]int{}}
	f.conv("conv32_down", 7, 3, widths[0])
	in := widths[0]
	for i, name := range []string{"32", "64", "128", "256"} {
		for _, part := range [][]string{{"1", "2", "3"}, {"down", "1", "2", "3"}, {"down", "1", "2"}, {"down", "1", "2", "down_out"}}[i] {
			block := "conv" + name + "_" + part
			f.conv(block+"/conv1", 3, in, widths[i])
			f.conv(block+"/conv2", 3, widths[i], widths[i])
			in = widths[i]
		}
	}
	f.weight("fc", 1, in, outputs)
	return f
}

func (f *faceNet) conv(name string, kernel, in, out int) {
	f.weight(name+"/conv/filters", 1.7/math.Sqrt(float64(kernel*kernel*in)), kernel, kernel, in, out)
	f.weight(name+"/conv/bias", 0.1, out)
	f.weight(name+"/scale/weights", 1.2, out)
	f.weight(name+"/scale/biases", 0.3, out)
}

func (f *faceNet) weight(name string, limit float64, shape ...int) {
	n := 1
	for _, d := range shape {
		n *= d
	}
	entry := map[string]any{"name": name, "shape": shape, "dtype": "float32"}
	values := make([]float64, n)
	format, levels := [3]string{"uint8", "uint16", ""}[len(f.manifest)%3], [3]int{256, 65536, 0}[len(f.manifest)%3]
	scale, least := 2*limit/float64(max(levels, 2)-1), -limit
	if format != "" {
		entry["quantization"] = map[string]any{"dtype": format, "scale": scale, "min": least}
	}
	for i := range values {
		switch format {
		case "uint8":
			q := f.rng.IntN(levels)
			f.bin, values[i] = append(f.bin, byte(q)), float64(q)*scale+least
		case "uint16":
			q := f.rng.IntN(levels)
			f.bin, values[i] = binary.LittleEndian.AppendUint16(f.bin, uint16(q)), float64(q)*scale+least
		default:
			v := float32((f.rng.Float64()*2 - 1) * limit)
			f.bin, values[i] = binary.LittleEndian.AppendUint32(f.bin, math.Float32bits(v)), float64(v)
		}
	}
	f.manifest = append(f.manifest, entry)
	f.weights[name], f.shapes[name] = values, shape
}

func (f *faceNet) files(t testing.TB) (manifest, bin []byte) {
	t.Helper()
	manifest, err := json.Marshal([]any{map[string]any{"paths": []string{"face_recognition_model.bin"}, "weights": f.manifest}})
	if err != nil {
		t.Fatal(err)
	}
	return manifest, f.bin
}

// forward is the forward pass as face-api's source states it.
func (f *faceNet) forward(pixels *image) []float64 {
	x := newImage(150, 150, 3)
	mean := []float64{122.782, 117.001, 104.298}
	x.each(func(y, col, c int, v *float64) { *v = (*pixels.at(y, col, c) - mean[c]) / 255 })
	x = rectify(f.apply(x, "conv32_down", 2, false))
	x = pool(x, 3, math.Inf(-1), func(sum, v float64) float64 { return max(sum, v) })
	for _, name := range []string{
		"conv32_1", "conv32_2", "conv32_3", "conv64_down", "conv64_1", "conv64_2", "conv64_3",
		"conv128_down", "conv128_1", "conv128_2", "conv256_down", "conv256_1", "conv256_2", "conv256_down_out",
	} {
		x = f.residual(x, name, strings.Contains(name, "down"))
	}
	fc := f.weights["fc"]
	out := make([]float64, len(fc)/x.c)
	x.each(func(_, _, c int, v *float64) {
		for o := range out {
			out[o] += *v / float64(x.h*x.w) * fc[c*len(out)+o]
		}
	})
	return out
}

func (f *faceNet) residual(x *image, name string, down bool) *image {
	stride, short := 1, x
	if down {
		stride = 2
		short = pool(x, 2, 0, func(sum, v float64) float64 { return sum + v/4 })
	}
	y := f.apply(rectify(f.apply(x, name+"/conv1", stride, !down)), name+"/conv2", 1, true)
	out := newImage(max(y.h, short.h), max(y.w, short.w), max(y.c, short.c))
	y.each(func(row, col, c int, v *float64) { *out.at(row, col, c) += *v })
	short.each(func(row, col, c int, v *float64) { *out.at(row, col, c) += *v })
	return rectify(out)
}

func (f *faceNet) apply(x *image, name string, stride int, same bool) *image {
	filters, shape := f.weights[name+"/conv/filters"], f.shapes[name+"/conv/filters"]
	kernel, outputs, border := shape[0], shape[3], 0
	if same {
		border = kernel / 2 // with a stride of one
	}
	out := newImage((x.h+2*border-kernel)/stride+1, (x.w+2*border-kernel)/stride+1, outputs)
	out.each(func(row, col, o int, v *float64) {
		for k := range kernel * kernel {
			iy, ix := row*stride+k/kernel-border, col*stride+k%kernel-border
			if iy < 0 || iy >= x.h || ix < 0 || ix >= x.w {
				continue
			}
			for c := range x.c {
				*v += *x.at(iy, ix, c) * filters[(k*x.c+c)*outputs+o]
			}
		}
		*v = (*v+f.weights[name+"/conv/bias"][o])*f.weights[name+"/scale/weights"][o] + f.weights[name+"/scale/biases"][o]
	})
	return out
}

func rectify(x *image) *image {
	x.each(func(_, _, _ int, v *float64) { *v = max(*v, 0) })
	return x
}

// pool combines windows that are two apart.
func pool(x *image, kernel int, first float64, f func(sum, v float64) float64) *image {
	out := newImage((x.h-kernel)/2+1, (x.w-kernel)/2+1, x.c)
	out.each(func(row, col, c int, v *float64) {
		*v = first
		for k := range kernel * kernel {
			*v = f(*v, *x.at(row*2+k/kernel, col*2+k%kernel, c))
		}
	})
	return out
}

func testPixels(seed uint64) *image {
	rng := rand.New(rand.NewPCG(seed, 3))
	m := newImage(150, 150, 3)
	m.each(func(y, x, c int, v *float64) {
		*v = math.Round(min(255, max(0, 128+90*math.Sin(float64(x*(c+1))/17)*math.Cos(float64(y)/23)+20*rng.Float64())))
	})
	return m
}

func TestFaceAPI(t *testing.T) {
	f := newFaceNet(1, [4]int{4, 6, 9, 11}, 7)
	manifest, bin := f.files(t)
	m, err := convert.FaceAPI(manifest, bin, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := readModel(t, m)
	wellFormed(t, n)
	if in, out := n.tensors[n.input].shape, n.tensors[n.output].shape; !slices.Equal(in, []int{1, 150, 150, 3}) || !slices.Equal(out, []int{1, 7}) {
		t.Errorf("input %v and output %v", in, out)
	}
	for _, s := range n.steps {
		if s.code == "RELU" || s.code == "MUL" {
			t.Errorf("a %s was not folded away", s.code)
		}
	}
	pixels := testPixels(1)
	near(t, interpret(t, n, pixels.data), f.forward(pixels))
}

// near compares to 1e-4 of the largest number.
func near(t testing.TB, got, want []float64) {
	t.Helper()
	scale := 1.
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	if len(got) != len(want) {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-4*scale) {
			t.Fatalf("number %d is %g, want %g (the largest is %g)", i, got[i], want[i], scale)
		}
	}
}

// TestFaceAPIPublished converts the weights that the basic pack is made of.
func TestFaceAPIPublished(t *testing.T) {
	m := publishedFaceAPI(t)
	n := readModel(t, m)
	if in, out := n.tensors[n.input].shape, n.tensors[n.output].shape; !slices.Equal(in, []int{1, 150, 150, 3}) || !slices.Equal(out, []int{1, 128}) {
		t.Errorf("input %v and output %v", in, out)
	}
	wellFormed(t, n)
}

func publishedFaceAPI(t testing.TB) []byte {
	t.Helper()
	const folder = "../../.deps/npm/node_modules/@vladmandic/face-api/model/"
	manifest, err := os.ReadFile(folder + "face_recognition_model-weights_manifest.json")
	if err != nil {
		t.Fatalf("run make setup: %v", err)
	}
	bin, err := os.ReadFile(folder + "face_recognition_model.bin")
	if err != nil {
		t.Fatal(err)
	}
	m, err := convert.FaceAPI(manifest, bin, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFaceAPIRefuses(t *testing.T) {
	good, bin := newFaceNet(1, [4]int{2, 2, 2, 2}, 2).files(t)
	tests := []struct{ name, old, new, want string }{
		{"no json", `[`, `<`, "read weights manifest: invalid character"},
		{"two files", `"face_recognition_model.bin"`, `"a","b"`, "only one group in one file"},
		{"another network", `conv32_1/conv1/conv/bias`, `dense/bias`, `convert layer "conv32_1/conv1": the manifest has no weight "conv32_1/conv1/conv/bias"`},
		{"other channels", `"shape":[7,7,3,2]`, `"shape":[7,7,1,6]`, "filters of shape [7 7 1 6] do not fit 3 channels"},
		{"other rank", `"shape":[7,7,3,2]`, `"shape":[294]`, "not 4 dimensions"},
		{"negative shape", `"shape":[7,7,3,2]`, `"shape":[-7,7,3,2]`, "is not supported"},
		{"huge shape", `"shape":[7,7,3,2]`, `"shape":[70000,70000,70000,70000]`, "is not supported"},
		{"large kernel", `"shape":[7,7,3,2]`, `"shape":[1,147,2,1]`, "do not fit 3 channels"},
		{"longer shape", `"shape":[2,2]`, `"shape":[2,3]`, "bytes are missing"},
		{"shorter shape", `"shape":[2,2]`, `"shape":[2,1]`, "bytes are left over"},
		{"integers", `"dtype":"float32"`, `"dtype":"int32"`, `weights of type "int32"`},
		{"unknown quantisation", `"dtype":"uint8"`, `"dtype":"int4"`, `quantisation to "int4"`},
		{"infinite", `"min":-`, `"min":-1e300,"x":-`, "is not finite"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bad := strings.Replace(string(good), tt.old, tt.new, 1)
			if bad == string(good) {
				t.Fatalf("nothing to replace: %q in %.300s", tt.old, good)
			}
			_, err := convert.FaceAPI([]byte(bad), bin, convert.Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want one with %q", fmt.Sprint(err), tt.want)
			}
		})
	}
}
