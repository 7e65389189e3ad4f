package camera

import (
	"context"
	"fmt"
	"image"
	"io"
	"time"
)

// clip plays numbered pictures in a loop.
type clip struct {
	name  string
	pace  pace
	n     int
	load  func(i int, into *image.YCbCr) (*image.YCbCr, error)
	owner io.Closer // may be nil

	img       *image.YCbCr
	seq, lost uint64
	closed    bool
}

var _ Source = (*clip)(nil)

// Next plays the picture that is due now. Damaged pictures are dropped; a clip
// that has none left is finished.
func (c *clip) Next(ctx context.Context) (Frame, error) {
	var last error
	for range c.n {
		if c.closed {
			return Frame{}, ErrClosed
		}
		i, missed, err := c.pace.next(ctx)
		if err != nil {
			return Frame{}, err
		}
		c.lost += uint64(missed)
		img, err := c.load(i%c.n, c.img)
		if err != nil {
			c.lost++
			last = err
			continue
		}
		c.img = img
		c.seq++
		return Frame{Image: img, Time: time.Now(), Seq: c.seq, Dropped: c.lost}, nil
	}
	return Frame{}, &Fault{"read", c.name, last, ""}
}

// Close closes the file.
func (c *clip) Close() error {
	if c.closed || c.owner == nil {
		c.closed = true
		return nil
	}
	c.closed = true
	if err := c.owner.Close(); err != nil {
		return fmt.Errorf("close %s: %w", c.name, err)
	}
	return nil
}

// String names what plays.
func (c *clip) String() string { return c.name }

// period is the time between frames: what the URL asks, else what the clip says,
// else fallback frames a second.
func (p Params) period(own time.Duration, fallback int) time.Duration {
	switch {
	case p.FPS > 0:
		return time.Second / time.Duration(p.FPS)
	case own > 0:
		return own
	}
	return time.Second / time.Duration(fallback)
}
