package convert_test

import (
	"fmt"
	"math"
	"testing"
)

// image is a value in the channels-last layout: height, width, channels.
type image struct {
	h, w, c int
	data    []float64
}

func newImage(h, w, c int) *image { return &image{h, w, c, make([]float64, h*w*c)} }

func (m *image) at(y, x, c int) *float64 { return &m.data[(y*m.w+x)*m.c+c] }

// each calls f for every place of the image.
func (m *image) each(f func(y, x, c int, v *float64)) {
	for i := range m.data {
		f(i/m.c/m.w, i/m.c%m.w, i%m.c, &m.data[i])
	}
}

// interpret runs a converted model slowly, one operator after the other, as the
// format documents them. It shares no code with the converter.
func interpret(t testing.TB, n *network, in []float64) []float64 {
	t.Helper()
	values := make([]*image, len(n.tensors))
	for i, v := range n.tensors {
		if v.data != nil && v.kind == "FLOAT32" {
			s := append([]int{1, 1, 1, 1}, v.shape...)
			s = s[len(s)-4:]
			values[i] = &image{s[0] * s[1], s[2], s[3], v.floats()} // weights keep their own order
		}
	}
	shape := n.tensors[n.input].shape
	values[n.input] = &image{shape[1], shape[2], shape[3], in}
	for i, s := range n.steps {
		out := n.tensors[s.outputs[0]].shape
		got := run(t, n, s, values)
		if want := 1; len(out) == 4 {
			for _, d := range out {
				want *= d
			}
			if want != len(got.data) || out[1] != got.h || out[3] != got.c {
				t.Fatalf("operator %d, %s, gives %d×%d×%d, its tensor says %v", i, s.code, got.h, got.w, got.c, out)
			}
		}
		values[s.outputs[0]] = got
	}
	return values[n.output].data
}

func run(t testing.TB, n *network, s step, values []*image) *image {
	a := values[s.inputs[0]]
	if a == nil {
		t.Fatalf("operator %s reads a tensor before it is computed", s.code)
	}
	switch s.code {
	case "CONV_2D", "DEPTHWISE_CONV_2D":
		return convolve(s, a, n.tensors[s.inputs[1]], values[s.inputs[2]].data)
	case "ADD":
		return clamp(s, pairwise(a, values[s.inputs[1]], func(x, y float64) float64 { return x + y }))
	case "MUL":
		return clamp(s, pairwise(a, values[s.inputs[1]], func(x, y float64) float64 { return x * y }))
	case "PRELU":
		return pairwise(a, values[s.inputs[1]], func(x, slope float64) float64 { return max(x, 0) + slope*min(x, 0) })
	case "RELU":
		return pairwise(a, a, func(x, _ float64) float64 { return max(x, 0) })
	case "LOGISTIC":
		return pairwise(a, a, func(x, _ float64) float64 { return 1 / (1 + math.Exp(-x)) })
	case "MAX_POOL_2D", "AVERAGE_POOL_2D":
		return poolImage(s, a)
	case "MEAN":
		out := newImage(1, 1, a.c)
		a.each(func(_, _, c int, v *float64) { out.data[c] += *v / float64(a.h*a.w) })
		return out
	case "PAD":
		p := n.tensors[s.inputs[1]].integers()
		out := newImage(a.h+p[2]+p[3], a.w+p[4]+p[5], a.c+p[6]+p[7])
		a.each(func(y, x, c int, v *float64) { *out.at(y+p[2], x+p[4], c+p[6]) = *v })
		return out
	case "RESHAPE":
		return a
	}
	t.Fatalf("no slow version of operator %q", s.code)
	return nil
}

// pairwise combines two images; the second may be one pixel, or one row.
func pairwise(a, b *image, f func(x, y float64) float64) *image {
	out := newImage(a.h, a.w, a.c)
	out.each(func(y, x, c int, v *float64) { *v = f(*a.at(y, x, c), *b.at(y%b.h, x%b.w, c)) })
	return out
}

func clamp(s step, m *image) *image {
	if s.options.integer("fused_activation_function", 1) == 1 {
		m.each(func(_, _, _ int, v *float64) { *v = max(*v, 0) })
	}
	return m
}

// start is where a window begins, and how many steps it takes, by the format's
// rule for SAME (0) and VALID (1).
func start(s step, size, kernel, dilation int, stride string) (before, steps, by int) {
	by = s.options.integer(stride, 4)
	reach := (kernel-1)*dilation + 1
	if s.options.integer("padding", 1) == 1 {
		return 0, (size-reach)/by + 1, by
	}
	steps = (size + by - 1) / by
	return max(0, (steps-1)*by+reach-size) / 2, steps, by
}

func convolve(s step, a *image, w value, bias []float64) *image {
	weights, kh, kw, outputs := w.floats(), w.shape[1], w.shape[2], w.shape[0]
	if s.code == "DEPTHWISE_CONV_2D" {
		outputs = w.shape[3]
	}
	dh, dw := s.options.integer("dilation_h_factor", 4), s.options.integer("dilation_w_factor", 4)
	top, h, sh := start(s, a.h, kh, dh, "stride_h")
	left, wide, sw := start(s, a.w, kw, dw, "stride_w")
	out := newImage(h, wide, outputs)
	out.each(func(y, x, o int, v *float64) {
		*v = bias[o]
		for ky := range kh {
			for kx := range kw {
				iy, ix := y*sh+ky*dh-top, x*sw+kx*dw-left
				switch {
				case iy < 0 || iy >= a.h || ix < 0 || ix >= a.w:
				case s.code == "DEPTHWISE_CONV_2D":
					*v += *a.at(iy, ix, o) * weights[(ky*kw+kx)*outputs+o]
				default:
					for c := range a.c {
						*v += *a.at(iy, ix, c) * weights[((o*kh+ky)*kw+kx)*a.c+c]
					}
				}
			}
		}
	})
	return clamp(s, out)
}

func poolImage(s step, a *image) *image {
	kh, kw := s.options.integer("filter_height", 4), s.options.integer("filter_width", 4)
	if p := s.options.integer("padding", 1); p != 1 {
		panic(fmt.Sprintf("pooling with padding %d", p))
	}
	_, h, sh := start(s, a.h, kh, 1, "stride_h")
	_, w, sw := start(s, a.w, kw, 1, "stride_w")
	out := newImage(h, w, a.c)
	out.each(func(y, x, c int, v *float64) {
		sum, most := 0., math.Inf(-1)
		for ky := range kh {
			for kx := range kw {
				p := *a.at(y*sh+ky, x*sw+kx, c)
				sum, most = sum+p, max(most, p)
			}
		}
		if *v = most; s.code == "AVERAGE_POOL_2D" {
			*v = sum / float64(kh*kw)
		}
	})
	return out
}
