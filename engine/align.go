package engine

import (
	"context"
	"fmt"
	"image"
)

// refine finds the landmarks of a face and judges it.
func (e *Engine) refine(ctx context.Context, r *raster, f *Face) error {
	k := &f.Keypoints
	if net := e.cfg.Landmarks; net.Model != nil {
		points, err := e.landmarks(ctx, r, upright(f))
		if err != nil {
			return err
		}
		f.Landmarks = points
	} else {
		if err := e.closeIn(ctx, r, f); err != nil {
			return err
		}
		// BlazeFace has the mouth's centre, not its corners: they are put where
		// the template has them, along the eye line.
		half := Point{(k[LeftEye].X - k[RightEye].X) * mouthHalf, (k[LeftEye].Y - k[RightEye].Y) * mouthHalf}
		m := k[MouthCenter]
		f.Landmarks = [5]Point{k[RightEye], k[LeftEye], k[NoseTip],
			{m.X - half.X, m.Y - half.Y}, {m.X + half.X, m.Y + half.Y}}
	}
	f.Pose = poseOf(f.Landmarks)
	f.Quality = r.assess(f)
	return nil
}

// mouthHalf is half the width of a mouth in eye distances.
const mouthHalf = 0.41

// upright frames a face's box for the landmarks network: a square turned by
// the eye line. Room at the top or around it made alignment no better.
func upright(f *Face) similarity {
	return framing(f.Box.Center(), max(f.Box.Width(), f.Box.Height()), f.eyeAngle(), landmarkSide)
}

// landmarkSide is the side of the square that framings for the landmarks
// network are stated in; the network's own input is scaled to it.
const landmarkSide = 48

// landmarks runs the landmarks network on the square that t frames.
func (e *Engine) landmarks(ctx context.Context, r *raster, t similarity) (points [5]Point, err error) {
	net := e.cfg.Landmarks
	side := net.Input()[1]
	k := landmarkSide / float64(side)
	scaled := similarity{t.a * k, t.b * k, t.tx, t.ty}
	err = net.Run(ctx,
		func(in []float32) { r.warp(in, side, scaled, net.Prep) },
		func(out [][]float32) {
			for i := range points {
				points[i] = t.apply(Point{float64(out[0][2*i]) * landmarkSide, float64(out[0][2*i+1]) * landmarkSide})
			}
		})
	return points, err
}

// aligned is the similarity from the embedder's input to the image that brings
// the landmarks onto the template. The error tells of coinciding landmarks.
func (e *Engine) aligned(landmarks [5]Point) (similarity, error) {
	to := e.cfg.Template
	for i := range to {
		to[i].X *= float64(e.size)
		to[i].Y *= float64(e.size)
	}
	s, ok := fit(landmarks[:], to[:])
	if !ok {
		return s, fmt.Errorf("align face: its landmarks coincide")
	}
	return s.inverse(), nil
}

// Embed returns the template of a face that Detect found in img. It is of unit
// length.
func (e *Engine) Embed(ctx context.Context, img image.Image, f Face) (Template, error) {
	b := img.Bounds()
	f.move(-float64(b.Min.X), -float64(b.Min.Y))
	return e.embed(ctx, newRaster(img), f.Landmarks)
}

func (e *Engine) embed(ctx context.Context, r *raster, landmarks [5]Point) (Template, error) {
	t, err := e.aligned(landmarks)
	if err != nil {
		return nil, err
	}
	var l light
	first, err := e.look(ctx, func(in []float32) {
		r.warp(in, e.size, t, e.cfg.Embedder.Prep)
		if e.cfg.SecondLook != LookOnce {
			l = e.lightOn(in)
		}
	})
	if err != nil || e.cfg.SecondLook == LookOnce || e.cfg.SecondLook == LookWhenHard && !l.bad() {
		return first, err
	}
	second, err := e.look(ctx, func(in []float32) {
		r.warp(in, e.size, t, e.cfg.Embedder.Prep)
		mirror(in, e.size)
		l.even(in, e.cfg.Embedder.Prep)
	})
	if err != nil {
		return nil, err
	}
	if both := Fuse(first, second); both != nil {
		return both, nil
	}
	return first, nil // opposite directions have no mean
}

// look runs the embedder once.
func (e *Engine) look(ctx context.Context, fill func(in []float32)) (Template, error) {
	out := make(Template, e.dim)
	err := e.cfg.Embedder.Run(ctx, fill, func(outs [][]float32) { copy(out, outs[0]) })
	if err != nil {
		return nil, fmt.Errorf("embed face: %w", err)
	}
	if !out.normalise() {
		return nil, fmt.Errorf("embed face: the network's answer has no direction")
	}
	return out, nil
}
