package convert

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// array is a constant of a source network, in the source's order. float64 holds
// every number of the formats exactly.
type array struct {
	shape []int
	data  []float64
}

// constant reads a Const layer's numbers from the .bin file. Several layers may
// name the same bytes, so what is taken is counted against a budget and not only
// against the file's size.
func (r *irReader) constant(l *irLayer) (*array, error) {
	shape, err := l.ints("shape")
	if err != nil {
		return nil, err
	}
	n, err := count(shape)
	if err != nil {
		return nil, err
	}
	if r.budget -= n; r.budget < 0 {
		return nil, errors.New("the network's constants are larger than any face network's")
	}
	raw, err := r.bytes(l)
	if err != nil {
		return nil, err
	}
	width, decode := numberFormat(l.attr("element_type"))
	if decode == nil {
		return nil, fmt.Errorf("constants of type %q are not supported", l.attr("element_type"))
	}
	if len(raw) != n*width {
		return nil, fmt.Errorf("%d bytes for a constant of shape %v", len(raw), shape)
	}
	a := &array{shape: shape, data: make([]float64, n)}
	for i := range a.data {
		if a.data[i] = decode(raw[i*width:]); !finite(a.data[i]) {
			return nil, fmt.Errorf("number %d of the constant is not finite", i)
		}
	}
	return a, nil
}

// bytes returns the part of the .bin file that a Const layer names.
func (r *irReader) bytes(l *irLayer) ([]byte, error) {
	var at [2]uint64
	for i, name := range []string{"offset", "size"} {
		v, err := strconv.ParseUint(l.attr(name), 10, 62)
		if err != nil {
			return nil, fmt.Errorf("read attribute %s: %w", name, err)
		}
		at[i] = v
	}
	if at[0]+at[1] > uint64(len(r.bin)) {
		return nil, fmt.Errorf("bytes %d to %d are not in the .bin file of %d bytes; are the two files of one download?", at[0], at[0]+at[1], len(r.bin))
	}
	return r.bin[at[0] : at[0]+at[1]], nil
}

// count is the number of values in a shape; the empty shape is a single number.
func count(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 1 || d > maxElements || n*d > maxElements {
			return 0, fmt.Errorf("shape %v is not supported", shape)
		}
		n *= d
	}
	return n, nil
}

// numberFormat returns the width in bytes and the decoder of a number format,
// nil for an unknown one.
func numberFormat(name string) (int, func([]byte) float64) {
	switch name {
	case "uint8":
		return 1, func(b []byte) float64 { return float64(b[0]) }
	case "uint16":
		return 2, func(b []byte) float64 { return float64(binary.LittleEndian.Uint16(b)) }
	case "f16":
		return 2, func(b []byte) float64 { return half(binary.LittleEndian.Uint16(b)) }
	case "f32":
		return 4, func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }
	case "f64":
		return 8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
	}
	return 0, nil
}

// finite also refuses what would overflow when it is written as float32.
func finite(v float64) bool { return math.Abs(v) <= math.MaxFloat32 }

// half expands an IEEE 754 binary16 number.
func half(bits uint16) float64 {
	exponent, fraction := int(bits>>10&0x1f), float64(bits&0x3ff)
	var v float64
	switch exponent {
	case 0:
		v = math.Ldexp(fraction, -24)
	case 0x1f:
		if v = math.Inf(1); fraction != 0 {
			return math.NaN()
		}
	default:
		v = math.Ldexp(fraction+1024, exponent-25)
	}
	if bits&0x8000 != 0 {
		return -v
	}
	return v
}

// perChannel spreads a constant over the channels of a value, as numpy would in
// the order batch, channels, height, width. A constant that differs within a
// channel is refused.
func (a *array) perChannel(e extent) ([]float64, error) {
	if len(a.data) == 1 && len(a.shape) <= 4 {
		return repeat(a.data[0], e.c), nil
	}
	axis := len(a.shape) - 3 // of the channels
	if axis != 0 && axis != 1 || a.shape[axis] != e.c || len(a.data) != e.c {
		return nil, fmt.Errorf("a constant of shape %v does not go with %d channels of %d×%d", a.shape, e.c, e.h, e.w)
	}
	return a.data, nil
}

// slopes spreads a PReLU's slopes over the channels: one, or one a channel.
func (a *array) slopes(e extent) ([]float64, error) {
	if len(a.shape) == 1 && len(a.data) == e.c {
		return a.data, nil
	}
	return a.perChannel(e)
}
