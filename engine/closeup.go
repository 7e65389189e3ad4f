package engine

import (
	"context"
	"math"
)

// closeUp is the side of the square that a face is looked at again in, in
// sides of its box: the short-range detector is made for faces that fill about
// half of the picture.
const closeUp = 2.0

// closeIn finds the keypoints of a face again, on the upright close-up of it:
// BlazeFace errs on heads that lean, and less the larger the face. It serves
// packs without a landmarks network, at the cost of one short-range detection.
// A face that is not found again keeps its keypoints.
func (e *Engine) closeIn(ctx context.Context, r *raster, f *Face) error {
	d := e.short
	if d == nil {
		return nil
	}
	side := float64(d.side)
	t := framing(f.Box.Center(), closeUp*max(f.Box.Width(), f.Box.Height()), f.eyeAngle(), side)
	var found []Face
	err := d.net.Run(ctx,
		func(in []float32) { r.warp(in, d.side, t, d.net.Prep) },
		func(out [][]float32) { found = d.decode(out[d.reg], out[d.cls], letterbox{scale: 1}) })
	if err != nil {
		return err
	}
	// Only the face in the middle is the one that was framed.
	nearest := side / 8
	for _, g := range suppress(found) {
		c := g.Box.Center()
		if off := math.Hypot(c.X-side/2, c.Y-side/2); off < nearest {
			nearest = off
			for k, p := range g.Keypoints {
				f.Keypoints[k] = t.apply(p)
			}
		}
	}
	return nil
}

// eyeAngle is the angle of the line from the right eye to the left, radians.
func (f *Face) eyeAngle() float64 {
	a, b := f.Keypoints[RightEye], f.Keypoints[LeftEye]
	return math.Atan2(b.Y-a.Y, b.X-a.X)
}
