package convert

import (
	"math"
	"slices"
	"testing"
)

// TestHalf compares every binary16 number with its float32 bits.
func TestHalf(t *testing.T) {
	for bits := range uint32(1 << 16) {
		sign, exponent, fraction := bits>>15<<31, bits>>10&0x1f, bits&0x3ff
		want := math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
		switch exponent {
		case 0: // without the implied one
			want = math.Float32frombits(sign|113<<23|fraction<<13) - math.Float32frombits(sign|113<<23)
		case 0x1f:
			want = math.Float32frombits(sign | 0xff<<23 | fraction<<13)
		}
		got := half(uint16(bits))
		if got != float64(want) && !(math.IsNaN(got) && math.IsNaN(float64(want))) {
			t.Fatalf("half(%#04x) = %g, want %g", bits, got, want)
		}
	}
}

func TestPadSame(t *testing.T) {
	// The examples of TensorFlow's documentation and some at the edges.
	for _, tt := range []struct{ size, kernel, stride, dilation, before, after int }{
		{13, 6, 5, 1, 1, 2}, {5, 3, 1, 1, 1, 1}, {128, 3, 2, 1, 0, 1}, {4, 1, 2, 1, 0, 0}, {2, 5, 1, 1, 2, 2}, {9, 3, 1, 2, 2, 2},
	} {
		w, err := window{kh: tt.kernel, kw: 1, sh: tt.stride, sw: 1, dh: tt.dilation, dw: 1}.padSame(extent{tt.size, 4, 1})
		if err != nil || w.top != tt.before || w.bottom != tt.after || w.left != 0 || w.right != 0 {
			t.Errorf("%+v: padded by %d and %d, error %v", tt, w.top, w.bottom, err)
		}
		out, err := w.after(extent{tt.size, 4, 1}, 1)
		if want := (tt.size + tt.stride - 1) / tt.stride; err != nil || out.h != want {
			t.Errorf("%+v: height %d, want %d, error %v", tt, out.h, want, err)
		}
	}
}

func TestTrim(t *testing.T) {
	in := extent{128, 6, 1}
	w := window{kh: 3, kw: 3, sh: 2, sw: 1, dh: 1, dw: 1, top: 1, left: 1, bottom: 1, right: 1}
	out, err := w.after(in, 1)
	if err != nil {
		t.Fatal(err)
	}
	w = w.trim(in, out)
	if got, want := []int{w.top, w.bottom, w.left, w.right}, []int{1, 0, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("trimmed to %v, want %v", got, want)
	}
	if again, err := w.after(in, 1); err != nil || again != out {
		t.Errorf("the trimmed window gives %v, want %v (%v)", again, out, err)
	}
}

// TestExtentValid keeps shapes from overflowing.
func TestExtentValid(t *testing.T) {
	for e, want := range map[extent]bool{
		{1, 1, 1}: true, {4096, 4096, 1}: true, {4096, 4096, 2}: false, {0, 1, 1}: false, {1, -1, 1}: false,
		{1 << 17, 1, 1}: false, {1 << 16, 1 << 16, 1 << 16}: false, {math.MaxInt, math.MaxInt, 4}: false,
	} {
		if e.valid() != want {
			t.Errorf("%v: valid %v", e, !want)
		}
	}
}
