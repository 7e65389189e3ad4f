package camera

import (
	"context"
	"time"
)

// pace turns the clock into frame numbers, for sources that have their frames
// lying ready. A reader that is late gets the frame that is due now and a count
// of those it missed.
type pace struct {
	every time.Duration
	start time.Time // when frame 0 was handed out
	index int       // of the last frame handed out
}

// next waits until a frame is due and returns its number, counted from 0
// without end, and how many were missed before it.
func (p *pace) next(ctx context.Context) (index, missed int, err error) {
	if p.start.IsZero() {
		p.start = time.Now()
		return 0, 0, ctx.Err()
	}
	due := max(p.index+1, int(time.Since(p.start)/p.every))
	if err := sleep(ctx, time.Until(p.start.Add(time.Duration(due)*p.every))); err != nil {
		return 0, 0, err
	}
	missed, p.index = due-p.index-1, due
	return due, missed, nil
}
