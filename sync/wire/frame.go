package wire

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

const (
	flagDeflated = 1
	// worthwhile is the least size of a body that is deflated.
	worthwhile = 512
)

// Encode returns the frame of a message. The error is ErrTooLarge where something
// in it is over its limit.
func Encode(m Message) ([]byte, error) {
	c := &coder{b: []byte{byte(m.Type()), 0}}
	m.walk(c)
	if c.err == nil && len(c.b)-2 > MaxBody {
		c.err = fmt.Errorf("%w: a body of %d bytes", ErrTooLarge, len(c.b)-2)
	}
	if c.err != nil {
		return nil, fmt.Errorf("encode message %d: %w", m.Type(), c.err)
	}
	frame := c.b
	if len(frame) > worthwhile {
		if short := deflate(frame); len(short) < len(frame) {
			frame = short
		}
	}
	if len(frame) > MaxFrame {
		return nil, fmt.Errorf("encode message %d: %w: a frame of %d bytes", m.Type(), ErrTooLarge, len(frame))
	}
	return frame, nil
}

// Decode returns the message of a frame, which it does not keep. The error matches
// ErrMalformed, ErrTooLarge, or ErrSkip where the message may be passed over.
func Decode(frame []byte) (Message, error) {
	switch {
	case len(frame) < 2:
		return nil, fmt.Errorf("%w: a frame of %d bytes", ErrMalformed, len(frame))
	case len(frame) > MaxFrame:
		return nil, fmt.Errorf("%w: a frame of %d bytes", ErrTooLarge, len(frame))
	}
	t, flags, body := Type(frame[0]), frame[1], frame[2:]
	m := newMessage(t)
	switch {
	case m == nil && t >= Optional:
		return nil, fmt.Errorf("message %d: %w", t, ErrSkip)
	case m == nil || flags > flagDeflated:
		return nil, fmt.Errorf("%w: type %d with flags %#x", ErrMalformed, t, flags)
	case flags == flagDeflated:
		var err error
		if body, err = inflate(body); err != nil {
			return nil, fmt.Errorf("inflate message %d: %w", t, err)
		}
	default:
		body = bytes.Clone(body)
	}
	c := &coder{read: true, b: body}
	m.walk(c)
	if c.err == nil && len(c.b) > 0 {
		c.bad("bytes behind it")
	}
	if c.err != nil {
		return nil, fmt.Errorf("decode message %d: %w", t, c.err)
	}
	return m, nil
}

// A writer and a reader of flate are large to make.
var (
	writers = sync.Pool{New: func() any { w, _ := flate.NewWriter(nil, flate.BestSpeed); return w }}
	readers = sync.Pool{New: func() any { return flate.NewReader(nil) }}
)

func deflate(frame []byte) []byte {
	var out bytes.Buffer
	out.Write([]byte{frame[0], flagDeflated})
	out.Write(binary.AppendUvarint(nil, uint64(len(frame)-2)))
	w := writers.Get().(*flate.Writer)
	defer writers.Put(w)
	w.Reset(&out)
	w.Write(frame[2:]) // a Buffer takes everything
	w.Close()
	return out.Bytes()
}

// mostDeflated is how many times as long a stream of deflate can become.
const mostDeflated = 1032

func inflate(b []byte) ([]byte, error) {
	n, used := binary.Uvarint(b)
	switch {
	case used <= 0 || n > mostDeflated*uint64(len(b)):
		return nil, fmt.Errorf("%w: length", ErrMalformed)
	case n > MaxBody:
		return nil, fmt.Errorf("%w: a body of %d bytes", ErrTooLarge, n)
	}
	in := bytes.NewReader(b[used:])
	r := readers.Get().(io.ReadCloser)
	defer readers.Put(r)
	if err := r.(flate.Resetter).Reset(in, nil); err != nil {
		return nil, err
	}
	body := make([]byte, n)
	var more [1]byte
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("%w: a stream that is cut", ErrMalformed)
	}
	if k, err := r.Read(more[:]); k != 0 || err != io.EOF || in.Len() > 0 {
		return nil, fmt.Errorf("%w: a stream that is too long", ErrMalformed)
	}
	return body, nil
}
