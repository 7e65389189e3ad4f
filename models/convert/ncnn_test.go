package convert_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/cypherface/edge/models/convert"
)

// TestNCNNReference compares MiniFASNet, as its makers publish it for ncnn, with
// independent conversions.
func TestNCNNReference(t *testing.T) {
	const shared = "../../../shared/models/"
	for source, reference := range map[string]string{"minifasnet_ncnn_1": "minifasnet_live1_f32", "minifasnet_ncnn_2": "minifasnet_live2_f32"} {
		t.Run(source, func(t *testing.T) {
			param, err := os.ReadFile(shared + "sources/" + source + ".param")
			if errors.Is(err, os.ErrNotExist) {
				t.Skip("the sources are not there")
			}
			if err != nil {
				t.Fatal(err)
			}
			bin, err := os.ReadFile(shared + "sources/" + source + ".bin")
			if err != nil {
				t.Fatal(err)
			}
			m, err := convert.NCNN(param, bin, 80, 80, convert.Options{})
			if err != nil {
				t.Fatal(err)
			}
			n := readModel(t, m)
			for _, s := range n.steps {
				accepted(t, n, s)
			}
			for seed := range 5 {
				picture, pixels := testPixels(uint64(seed)), newImage(80, 80, 3)
				pixels.each(func(y, x, c int, v *float64) { *v = *picture.at(y, x, c) })
				got, want := softmax(invoke(t, m, pixels.data)), invokeFile(t, shared+"reference/"+reference+".tflite", pixels.data)
				near(t, got, want)
			}
		})
	}
}

func softmax(v []float64) []float64 {
	out, sum := make([]float64, len(v)), 0.
	for i := range v {
		out[i] = math.Exp(v[i] - v[0])
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// blobs is a network of ncnn under construction: its two files, and beside each layer
// the plain arithmetic that defines it.
type blobs struct {
	rng    *rand.Rand
	param  strings.Builder
	bin    []byte
	layers int
}

// numbers appends n numbers to the weights, the way of storing them before if tagged.
func (b *blobs) numbers(n int, lo, hi float64, tagged bool) []float64 {
	if tagged {
		b.bin = append(b.bin, 0, 0, 0, 0)
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(float32(lo + (hi-lo)*b.rng.Float64()))
		b.bin = binary.LittleEndian.AppendUint32(b.bin, math.Float32bits(float32(v[i])))
	}
	return v
}

// line adds a layer; from are the blobs it reads.
func (b *blobs) line(kind string, from []string, out, settings string) {
	b.layers++
	fmt.Fprintf(&b.param, "%-16s %s_%d %d 1 %s %s %s\n", kind, strings.ToLower(kind), b.layers, len(from), strings.Join(from, " "), out, settings)
}

// miniature is a network with each layer that the converter knows, and its result for
// a picture of 6×6.
func miniature(seed uint64) (param, bin []byte, picture *image, want []float64) {
	b := &blobs{rng: rand.New(rand.NewPCG(seed, 9))}
	picture = newImage(6, 6, 3)
	for i := range picture.data {
		picture.data[i] = math.Round(255 * b.rng.Float64())
	}
	x := newPlanes(3, 6, 6)
	x.each(func(c, y, at int, v *float64) { *v = *picture.at(y, at, c) })

	b.line("Input", nil, "data", "0=60 1=60 2=3")
	b.line("Convolution", []string{"data"}, "conv", "0=4 1=3 2=1 3=1 4=1 5=1 6=108")
	w, bias := b.numbers(108, -.02, .02, true), b.numbers(4, -1, 1, false)
	a := newPlanes(4, 6, 6)
	a.each(func(c, y, at int, v *float64) {
		*v = bias[c]
		for i := range 3 {
			for k := range 9 {
				if py, px := y+k/3-1, at+k%3-1; py >= 0 && px >= 0 && py < 6 && px < 6 {
					*v += w[(c*3+i)*9+k] * *x.at(i, py, px)
				}
			}
		}
	})
	b.line("BatchNorm", []string{"conv"}, "norm", "0=4 1=0.001")
	slope, mean, variance, offset := b.numbers(4, .5, 2, false), b.numbers(4, -1, 1, false), b.numbers(4, .2, 3, false), b.numbers(4, -1, 1, false)
	b.line("Scale", []string{"norm"}, "scaled", "0=4 1=1")
	scale, shift := b.numbers(4, .5, 2, false), b.numbers(4, -1, 1, false)
	b.line("PReLU", []string{"scaled"}, "bent", "0=4")
	leak := b.numbers(4, -.3, .3, false)
	a.each(func(c, _, _ int, v *float64) {
		*v = slope[c]*(*v-mean[c])/math.Sqrt(variance[c]+.001) + offset[c]
		if *v = *v*scale[c] + shift[c]; *v < 0 {
			*v *= leak[c]
		}
	})
	b.layers++
	b.param.WriteString("Split split_a 1 2 bent bent_0 bent_1\n")
	b.line("ConvolutionDepthWise", []string{"bent_0"}, "each", "0=4 1=3 2=1 3=1 4=1 5=0 6=36 7=4")
	w = b.numbers(36, -.5, .5, true)
	d := newPlanes(4, 6, 6)
	d.each(func(c, y, at int, v *float64) {
		for k := range 9 {
			if py, px := y+k/3-1, at+k%3-1; py >= 0 && px >= 0 && py < 6 && px < 6 {
				*v += w[c*9+k] * *a.at(c, py, px)
			}
		}
	})
	b.line("Eltwise", []string{"bent_1", "each"}, "sum", "0=1 -23301=0")
	d.each(func(c, y, at int, v *float64) { *v += *a.at(c, y, at) })
	b.layers++
	b.param.WriteString("Split split_b 1 2 sum sum_0 sum_1\n")
	b.line("Pooling", []string{"sum_0"}, "mean", "0=1 1=6 2=6 3=0 4=0")
	b.line("ReLU", []string{"mean"}, "clamped", "")
	b.line("Sigmoid", []string{"clamped"}, "gate", "")
	b.line("Flatten", []string{"gate"}, "flat", "")
	b.line("Scale", []string{"sum_1", "flat"}, "gated", "0=-233 1=0")
	b.line("Pooling", []string{"gated"}, "pixel", "0=1 1=6 2=1 3=0 4=0")
	b.line("InnerProduct", []string{"pixel"}, "product", "0=3 1=1 2=12")
	w, bias = b.numbers(12, -1, 1, true), b.numbers(3, -1, 1, false)
	b.line("Dropout", []string{"product"}, "kept", "")
	b.line("Softmax", []string{"kept"}, "prob", "0=0")
	want = append(want, bias...)
	for c := range 4 {
		m := 0.
		for y := range 6 {
			for at := range 6 {
				m += *d.at(c, y, at) / 36
			}
		}
		m *= 1 / (1 + math.Exp(-max(m, 0)))
		for o := range want {
			want[o] += w[o*4+c] * m
		}
	}
	text := fmt.Sprintf("7767517\n%d %d\n%s", b.layers, b.layers+2, b.param.String())
	return []byte(text), b.bin, picture, want
}

func TestNCNN(t *testing.T) {
	for seed := range uint64(8) {
		param, bin, picture, want := miniature(seed)
		m, err := convert.NCNN(param, bin, 6, 6, convert.Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := readModel(t, m)
		wellFormed(t, n)
		for _, s := range n.steps {
			accepted(t, n, s)
		}
		near(t, interpret(t, n, picture.data), want)
	}
}

// Whatever is not understood is refused, and by the name of the layer.
func TestNCNNRefuses(t *testing.T) {
	param, bin, _, _ := miniature(1)
	for _, tt := range []struct {
		name, old, new, says string
		bin                  []byte
	}{
		{"another file", "7767517", "7767518", "no .param", bin},
		{"a layer nobody knows", "Sigmoid ", "Swish ", "swish", bin},
		{"a setting nobody knows", "0=4 1=3 2=1 3=1 4=1 5=1 6=108", "0=4 1=3 2=1 3=1 4=1 5=1 6=108 9=1", "setting 9", bin},
		{"a list", "-23301=0", "-23301=2,1.0,0.5", "lists", bin},
		{"a product of two", "0=1 -23301", "0=0 -23301", "sums", bin},
		{"another size", "6=108", "6=107", "weights", bin},
		{"a blob from nowhere", "1 1 conv norm", "1 1 conw norm", "nothing has written", bin},
		{"one name twice", "scaled bent ", "scaled conv ", "a second time", bin},
		{"a pooling beyond the border", "0=1 1=6 2=6", "0=1 1=4 2=4", "border", bin},
		{"weights that end", "", "", "end before", bin[:len(bin)-4]},
		{"weights left over", "", "", "left over", append(append([]byte{}, bin...), 0, 0, 0, 0)},
		{"half floats", "", "", "0x1306b47", append([]byte{0x47, 0x6b, 0x30, 1}, bin[4:]...)},
		{"counts of blobs", "1 1 data conv", "9 9 data conv", "reads and writes", bin},
	} {
		text := strings.Replace(string(param), tt.old, tt.new, 1)
		if tt.old != "" && text == string(param) {
			t.Fatalf("%s: nothing is changed", tt.name)
		}
		if strings.Contains(tt.name, "nobody knows") && strings.Contains(tt.old, "Sigmoid") {
			text = strings.Replace(text, "sigmoid_", "swish_", 1)
		}
		if _, err := convert.NCNN([]byte(text), tt.bin, 6, 6, convert.Options{}); err == nil || !strings.Contains(strings.ToLower(err.Error()), tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := convert.NCNN(param, bin, 0, 6, convert.Options{}); err == nil {
		t.Error("a picture without height is taken")
	}
}
