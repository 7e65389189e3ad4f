package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// coder writes or reads the fields of a body. Messages have one walk for both, so
// that the two cannot part.
type coder struct {
	read bool
	b    []byte // written so far, or left to read, which belongs to the message
	err  error  // the first
}

func (c *coder) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *coder) bad(what string) { c.fail(fmt.Errorf("%w: %s", ErrMalformed, what)) }

func (c *coder) number(v *uint64) {
	if !c.read {
		c.b = binary.AppendUvarint(c.b, *v)
		return
	}
	if c.err != nil {
		return
	}
	n, used := binary.Uvarint(c.b)
	if used <= 0 || used > 1 && n>>(7*(used-1)) == 0 {
		c.bad("number")
		return
	}
	*v, c.b = n, c.b[used:]
}

// signed is a number that may be negative.
func (c *coder) signed(v *int64) {
	n := uint64(*v)<<1 ^ uint64(*v>>63)
	c.number(&n)
	*v = int64(n>>1) ^ -int64(n&1)
}

func (c *coder) float(v *float64) {
	b := binary.BigEndian.AppendUint64(nil, math.Float64bits(*v))
	c.fixed(b)
	*v = math.Float64frombits(binary.BigEndian.Uint64(b))
}

func (c *coder) small(v *uint8, most uint8) {
	n := uint64(*v)
	c.number(&n)
	if n > uint64(most) {
		c.bad("word")
		return
	}
	*v = uint8(n)
}

func (c *coder) flag(v *bool) {
	var n uint8
	if *v {
		n = 1
	}
	c.small(&n, 1)
	*v = n == 1
}

// fixed is bytes whose number is known.
func (c *coder) fixed(v []byte) {
	if !c.read {
		c.b = append(c.b, v...)
		return
	}
	if c.err == nil && len(c.b) < len(v) {
		c.bad("cut")
	}
	if c.err == nil {
		c.b = c.b[copy(v, c.b):]
	}
}

// length is how long something is, which is over a limit or longer than what is
// left of the body otherwise.
func (c *coder) length(have, most int) int {
	n := uint64(have)
	c.number(&n)
	switch {
	case c.err != nil:
		return 0
	case n > uint64(most):
		c.fail(fmt.Errorf("%w: %d where at most %d are allowed", ErrTooLarge, n, most))
		return 0
	case c.read && n > uint64(len(c.b)):
		c.bad("cut")
		return 0
	}
	return int(n)
}

// bytes is bytes of any number; none and nil are the same and read as nil.
func (c *coder) bytes(v *[]byte, most int) {
	n := c.length(len(*v), most)
	if !c.read {
		c.b = append(c.b, *v...)
		return
	}
	if *v = nil; c.err == nil && n > 0 {
		*v, c.b = c.b[:n:n], c.b[n:]
	}
}

func (c *coder) text(v *string) {
	n := c.length(len(*v), MaxText)
	if !c.read {
		c.b = append(c.b, *v...)
		return
	}
	if c.err == nil {
		*v, c.b = string(c.b[:n]), c.b[n:]
	}
}

// list is items of any number, each at least one byte long.
func list[T any](c *coder, v *[]T, most int, item func(*T)) {
	n := c.length(len(*v), most)
	if !c.read {
		for i := range *v {
			item(&(*v)[i])
		}
		return
	}
	*v = nil
	for ; n > 0 && c.err == nil; n-- {
		var x T
		item(&x)
		*v = append(*v, x)
	}
}
