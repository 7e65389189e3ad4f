package camera

import (
	"context"
	"errors"
	"fmt"
	"image"
	"sync"
	"time"
)

// maxDamaged is how many damaged frames in a row make a device a broken one.
const maxDamaged = 30

var errDamaged = errors.New("only damaged frames")

// Raw is a frame as a device gave it.
type Raw struct {
	Data []byte
	Time time.Time // of its arrival
}

// Pump is the part of a Source between the goroutine of a driver, which reads the
// device so that nothing queues up, and the reader, who decodes only the frames he
// asks for. The newest frame wins. Make one with NewPump.
type Pump struct {
	name   string
	decode func(b []byte, into *image.YCbCr) (*image.YCbCr, error)
	got    chan struct{} // holds a token when newest is new
	done   chan struct{} // closed by End

	reading Raw // lent to the decoder
	img     *image.YCbCr
	seq     uint64
	damaged uint64
	bad     int // damaged frames since the last good one

	mu      sync.Mutex // protects the fields below
	newest  Raw
	fresh   bool
	dropped uint64
	err     error // why it ended
}

// NewPump makes a pump that decodes with decode, which may use the memory of into
// and need not keep b.
func NewPump(name string, decode func(b []byte, into *image.YCbCr) (*image.YCbCr, error)) *Pump {
	return &Pump{name: name, decode: decode, got: make(chan struct{}, 1), done: make(chan struct{})}
}

// Put makes fill the newest frame, and hands back memory for the next one in it.
func (p *Pump) Put(fill *Raw) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fresh {
		p.dropped++
	}
	p.newest, *fill, p.fresh = *fill, p.newest, true
	select {
	case p.got <- struct{}{}:
	default:
	}
}

// End says that no more frames will be put, and why. Next gives what is there,
// unless it is ErrClosed. End is called once.
func (p *Pump) End(err error) {
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	close(p.done)
}

// Done is closed by End.
func (p *Pump) Done() <-chan struct{} { return p.done }

// String names the device.
func (p *Pump) String() string { return p.name }

// Next waits for a frame and decodes it. A device that gives only damaged frames
// is broken.
func (p *Pump) Next(ctx context.Context) (Frame, error) {
	for {
		if err := p.take(ctx); err != nil {
			return Frame{}, err
		}
		img, err := p.decode(p.reading.Data, p.img)
		if err == nil {
			p.img, p.bad = img, 0
			p.seq++
			p.mu.Lock()
			defer p.mu.Unlock()
			return Frame{Image: img, Time: p.reading.Time, Seq: p.seq, Dropped: p.dropped + p.damaged}, nil
		}
		p.damaged++
		if p.bad++; p.bad >= maxDamaged {
			return Frame{}, &Fault{Op: "read", Subject: p.name, Err: fmt.Errorf("%w: %w", errDamaged, err),
				Hint: "try another cable or port, or a smaller size"}
		}
	}
}

// take waits for a new frame and moves it to p.reading.
func (p *Pump) take(ctx context.Context) error {
	for ctx.Err() == nil {
		if ok, err := p.swap(); ok || err != nil {
			return err
		}
		select {
		case <-p.got:
		case <-ctx.Done():
		case <-p.done:
		}
	}
	return ctx.Err()
}

// swap exchanges p.reading for the newest frame, or says why none will come.
func (p *Pump) swap() (ok bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(p.err, ErrClosed) || !p.fresh {
		return false, p.err
	}
	p.fresh = false
	p.reading, p.newest = p.newest, p.reading
	return true, nil
}
