package convert_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// planes is a value in the order of the source: channels, height, width.
type planes struct {
	c, h, w int
	data    []float64
}

func newPlanes(c, h, w int) *planes { return &planes{c, h, w, make([]float64, c*h*w)} }

func (p *planes) at(c, y, x int) *float64 { return &p.data[(c*p.h+y)*p.w+x] }

func (p *planes) each(f func(c, y, x int, v *float64)) {
	for i := range p.data {
		f(i/p.w/p.h, i/p.w%p.h, i%p.w, &p.data[i])
	}
}

// source is an OpenVINO network under construction: its two files, and beside
// each layer the plain arithmetic that defines it.
type source struct {
	rng    *rand.Rand
	half   bool // store constants as f16 with a Convert behind
	layers strings.Builder
	edges  strings.Builder
	bin    []byte
	count  int
	eval   []func() *planes // of each layer
	input  *planes
}

// ref is a layer of a source and the shape of its result.
type ref struct{ id, c, h, w int }

func newSource(seed uint64) *source {
	return &source{rng: rand.New(rand.NewPCG(seed, 1)), bin: []byte{}}
}

// layer adds a layer that reads others and has a result of that shape.
func (s *source) layer(kind, data string, dims []int, in ...int) int {
	id := s.count
	s.count++
	fmt.Fprintf(&s.layers, "<layer id=%q name=%q type=%q version=\"opset1\"><data %s/>", fmt.Sprint(id), fmt.Sprint(kind, "_", id), kind, data)
	if kind != "Result" {
		s.layers.WriteString("<output><port id=\"9\">")
		for _, d := range dims {
			fmt.Fprintf(&s.layers, "<dim>%d</dim>", d)
		}
		s.layers.WriteString("</port></output>")
	}
	s.layers.WriteString("</layer>\n")
	for port, from := range in {
		fmt.Fprintf(&s.edges, "<edge from-layer=\"%d\" from-port=\"9\" to-layer=\"%d\" to-port=\"%d\"/>\n", from, id, port)
	}
	s.eval = append(s.eval, nil)
	return id
}

// step adds a layer that computes.
func (s *source) step(kind, data string, c, h, w int, f func() *planes, in ...int) ref {
	id := s.layer(kind, data, []int{1, c, h, w}, in...)
	var once *planes
	s.eval[id] = func() *planes {
		if once == nil {
			once = f()
		}
		return once
	}
	return ref{id, c, h, w}
}

// constant adds a constant of the given values, and returns its layer.
func (s *source) constant(v []float64, shape ...int) int {
	kind, offset := "f32", len(s.bin)
	for _, x := range v {
		if s.half {
			kind, s.bin = "f16", binary.LittleEndian.AppendUint16(s.bin, toHalf(x))
		} else {
			s.bin = binary.LittleEndian.AppendUint32(s.bin, math.Float32bits(float32(x)))
		}
	}
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", ", "), "[]")
	data := fmt.Sprintf("element_type=%q shape=%q offset=\"%d\" size=\"%d\"", kind, list, offset, len(s.bin)-offset)
	id := s.layer("Const", data, shape)
	if s.half {
		id = s.layer("Convert", `destination_type="f32"`, shape, id)
	}
	return id
}

// toHalf encodes a number that binary16 holds exactly.
func toHalf(v float64) uint16 {
	if v == 0 {
		return 0
	}
	sign := uint16(0)
	if v < 0 {
		sign, v = 0x8000, -v
	}
	fraction, exponent := math.Frexp(v)
	return sign | uint16(exponent+14)<<10 | uint16(fraction*2048)&0x3ff
}

// numbers are multiples of 1/256 up to about the limit, either way.
func (s *source) numbers(n int, limit float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.Round((s.rng.Float64()*2-1)*limit*256) / 256
	}
	return v
}

func (s *source) parameter(c, h, w int) ref {
	s.input = newPlanes(c, h, w)
	for i := range s.input.data {
		s.input.data[i] = float64(s.rng.IntN(256)) / 64
	}
	return s.step("Parameter", fmt.Sprintf("shape=\"1,%d,%d,%d\" element_type=\"f32\"", c, h, w), c, h, w, func() *planes { return s.input })
}

// walk holds the attributes of a convolution or pooling, the same for both
// directions but for extra, which makes the kernel wider and its steps longer.
type walk struct{ stride, dilation, before, after, extra int }

func (w walk) String() string {
	return fmt.Sprintf(`strides="%d, %d" dilations="%d, %d" pads_begin="%d, %d" pads_end="%d, %d" auto_pad="explicit"`,
		w.stride, w.stride+w.extra, w.dilation, w.dilation, w.before, w.before, w.after, w.after)
}

// every is a walk without padding.
func every(pixels int) walk { return walk{stride: pixels, dilation: 1} }

// result is the height and width after the walk.
func (w walk) result(in ref, kernel int) (h, wide int) {
	steps := func(size, kernel, stride int) int {
		return (size+w.before+w.after-(kernel-1)*w.dilation-1)/stride + 1
	}
	return steps(in.h, kernel, w.stride), steps(in.w, kernel+w.extra, w.stride+w.extra)
}

// slide calls f for each place of the result and each place of the input that
// the kernel meets there, with the kernel's own place.
func (w walk) slide(in ref, kernel int, f func(y, x, iy, ix, k int)) {
	h, wide := w.result(in, kernel)
	for y := range h {
		for x := range wide {
			for k := range kernel * (kernel + w.extra) {
				row, column := k/(kernel+w.extra), k%(kernel+w.extra)
				iy, ix := y*w.stride+row*w.dilation-w.before, x*(w.stride+w.extra)+column*w.dilation-w.before
				if iy >= 0 && iy < in.h && ix >= 0 && ix < in.w {
					f(y, x, iy, ix, k)
				}
			}
		}
	}
}

func (s *source) convolution(in ref, outputs, kernel int, w walk) ref {
	area := kernel * (kernel + w.extra)
	weights := s.numbers(outputs*in.c*area, 1.7/math.Sqrt(float64(in.c*area)))
	h, wide := w.result(in, kernel)
	return s.step("Convolution", w.String(), outputs, h, wide, func() *planes {
		a, out := s.eval[in.id](), newPlanes(outputs, h, wide)
		w.slide(in, kernel, func(y, x, iy, ix, k int) {
			for o := range outputs {
				for c := range in.c {
					*out.at(o, y, x) += *a.at(c, iy, ix) * weights[(o*in.c+c)*area+k]
				}
			}
		})
		return out
	}, in.id, s.constant(weights, outputs, in.c, kernel, kernel+w.extra))
}

func (s *source) groups(in ref, kernel int, w walk) ref {
	area := kernel * (kernel + w.extra)
	weights := s.numbers(in.c*area, 1.7/float64(kernel))
	h, wide := w.result(in, kernel)
	return s.step("GroupConvolution", w.String(), in.c, h, wide, func() *planes {
		a, out := s.eval[in.id](), newPlanes(in.c, h, wide)
		w.slide(in, kernel, func(y, x, iy, ix, k int) {
			for c := range in.c {
				*out.at(c, y, x) += *a.at(c, iy, ix) * weights[c*area+k]
			}
		})
		return out
	}, in.id, s.constant(weights, in.c, 1, 1, kernel, kernel+w.extra))
}

// channelwise adds a layer whose second input is a constant, one number a
// channel or, where n is 1, one for all.
func (s *source) channelwise(kind string, in ref, v []float64, shape []int, f func(x, k float64) float64) ref {
	return s.step(kind, `auto_broadcast="numpy"`, in.c, in.h, in.w, func() *planes {
		a, out := s.eval[in.id](), newPlanes(in.c, in.h, in.w)
		out.each(func(c, y, x int, o *float64) { *o = f(*a.at(c, y, x), v[c%len(v)]) })
		return out
	}, in.id, s.constant(v, shape...))
}

func plus(x, k float64) float64      { return x + k }
func times(x, k float64) float64     { return x * k }
func sloped(x, k float64) float64    { return max(x, 0) + k*min(x, 0) }
func rectified(x, _ float64) float64 { return max(x, 0) }
func logistic(x, _ float64) float64  { return 1 / (1 + math.Exp(-x)) }

func (s *source) add(in ref) ref {
	return s.channelwise("Add", in, s.numbers(in.c, 1), []int{1, in.c, 1, 1}, plus)
}

func (s *source) multiply(in ref) ref {
	v := s.numbers(in.c, 1)
	for c := range v {
		v[c] += math.Copysign(0.5, v[c])
	}
	return s.channelwise("Multiply", in, v, []int{in.c, 1, 1}, times)
}

func (s *source) prelu(in ref) ref {
	if s.rng.IntN(2) == 0 {
		return s.channelwise("PReLU", in, s.numbers(1, 2), []int{1}, sloped)
	}
	return s.channelwise("PReLU", in, s.numbers(in.c, 2), []int{in.c}, sloped)
}

func (s *source) pointwise(kind string, in ref, f func(x, _ float64) float64) ref {
	return s.step(kind, "", in.c, in.h, in.w, func() *planes {
		a, out := s.eval[in.id](), newPlanes(in.c, in.h, in.w)
		out.each(func(c, y, x int, o *float64) { *o = f(*a.at(c, y, x), 0) })
		return out
	}, in.id)
}

// combine adds or multiplies two values; the second may be one pixel.
func (s *source) combine(kind string, a, b ref, f func(x, y float64) float64) ref {
	return s.step(kind, "", a.c, a.h, a.w, func() *planes {
		p, q, out := s.eval[a.id](), s.eval[b.id](), newPlanes(a.c, a.h, a.w)
		out.each(func(c, y, x int, o *float64) { *o = f(*p.at(c, y, x), *q.at(c, y%b.h, x%b.w)) })
		return out
	}, a.id, b.id)
}

func (s *source) pool(kind string, in ref, kernel int, w walk) ref {
	data := fmt.Sprintf(`%s kernel="%d, %d" rounding_type="floor" exclude-pad="true"`, w, kernel, kernel+w.extra)
	h, wide := w.result(in, kernel)
	return s.step(kind, data, in.c, h, wide, func() *planes {
		a, out := s.eval[in.id](), newPlanes(in.c, h, wide)
		w.slide(in, kernel, func(y, x, iy, ix, k int) {
			for c := range in.c {
				switch o, v := out.at(c, y, x), *a.at(c, iy, ix); {
				case kind == "AvgPool":
					*o += v / float64(kernel*(kernel+w.extra))
				case k == 0:
					*o = v
				default:
					*o = max(*o, v)
				}
			}
		})
		return out
	}, in.id)
}

// finish adds the Result and returns the two files.
func (s *source) finish(out ref) (xml, bin []byte) {
	s.layer("Result", "", nil, out.id)
	text := "<?xml version=\"1.0\"?>\n<net name=\"test\" version=\"11\">\n<layers>\n" + s.layers.String() + "</layers>\n<edges>\n" + s.edges.String() + "</edges>\n</net>\n"
	return []byte(text), s.bin
}

// channelsLast gives the numbers in the order of the converted model.
func (p *planes) channelsLast() []float64 {
	m := newImage(p.h, p.w, p.c)
	m.each(func(y, x, c int, v *float64) { *v = *p.at(c, y, x) })
	return m.data
}
