package engine

import (
	"context"
	"fmt"
	"image"
	"math"
	"slices"
)

// detector is a BlazeFace: regressors 1×N×16 (box centre and size, then six
// keypoints, in input pixels relative to the anchor's centre) and logits 1×N×1.
type detector struct {
	net      Network
	side     int
	anchors  []Point // centres, in input pixels
	reg, cls int     // which output is which
	least    float64 // score
}

func newDetector(net Network, least float64) (*detector, error) {
	if net.Model == nil {
		return nil, fmt.Errorf("none given")
	}
	side, err := square(net)
	if err != nil {
		return nil, err
	}
	d := &detector{net: net, side: side, reg: -1, cls: -1, least: least}
	outs := net.Outputs()
	for i, o := range outs {
		switch {
		case len(o) == 3 && o[2] == 16:
			d.reg = i
		case len(o) == 3 && o[2] == 1:
			d.cls = i
		}
	}
	if len(outs) != 2 || d.reg < 0 || d.cls < 0 || outs[d.reg][1] != outs[d.cls][1] {
		return nil, fmt.Errorf("outputs %v, want 1×N×16 and 1×N×1", outs)
	}
	if d.anchors = anchors(side, outs[d.reg][1]); d.anchors == nil {
		return nil, fmt.Errorf("%d anchors for an input of %d: neither the full nor the short range", outs[d.reg][1], side)
	}
	return d, nil
}

// anchors returns the anchor centres of the layout that has n of them: one a
// cell of stride 4 (full range), or two a cell of stride 8 and six a cell of
// stride 16 (short range); nil for another number.
func anchors(side, n int) []Point {
	layouts := [][][2]int{{{4, 1}}, {{8, 2}, {16, 6}}}
	for _, layers := range layouts {
		var all []Point
		for _, l := range layers {
			stride, each := l[0], l[1]
			for i := range (side / stride) * (side / stride) {
				x, y := i%(side/stride), i/(side/stride)
				for range each {
					all = append(all, Point{(float64(x) + 0.5) * float64(stride), (float64(y) + 0.5) * float64(stride)})
				}
			}
		}
		if len(all) == n {
			return all
		}
	}
	return nil
}

// maxCandidates bounds what hostile weights or pictures can make the
// suppression of overlaps cost.
const maxCandidates = 512

// run returns the faces of the image, best score first, without landmarks.
func (d *detector) run(ctx context.Context, r *raster) ([]Face, error) {
	var box letterbox
	var found []Face
	err := d.net.Run(ctx,
		func(in []float32) { box = r.letterbox(in, d.side, d.net.Prep) },
		func(out [][]float32) { found = d.decode(out[d.reg], out[d.cls], box) })
	if err != nil {
		return nil, err
	}
	return suppress(found), nil
}

// decode turns raw outputs into candidates in image pixels.
func (d *detector) decode(reg, cls []float32, box letterbox) []Face {
	// The logit of the least score, so that only candidates cost an exponential.
	least := float32(math.Log(d.least / (1 - d.least)))
	var found []Face
	for i, logit := range cls {
		if !(logit >= least) { // NaN is no face either
			continue
		}
		v := reg[16*i:][:16]
		at := func(k int) Point {
			return box.toImage(Point{float64(v[k]) + d.anchors[i].X, float64(v[k+1]) + d.anchors[i].Y})
		}
		center, w, h := at(0), float64(v[2])*box.scale, float64(v[3])*box.scale
		f := Face{
			Box:   Rect{center.X - w/2, center.Y - h/2, center.X + w/2, center.Y + h/2},
			Score: 1 / (1 + math.Exp(-float64(min(max(logit, -100), 100)))),
		}
		if !(w >= 1 && h >= 1 && w < 1e6 && h < 1e6) {
			continue
		}
		for k := range f.Keypoints {
			f.Keypoints[k] = at(4 + 2*k)
		}
		found = append(found, f)
	}
	return found
}

// overlapping is from which overlap two candidates are one face.
const overlapping = 0.3

// suppress merges candidates that overlap into their mean, weighted by score
// (Bazarevsky et al., BlazeFace, 2019, section 4). The best score stays.
func suppress(found []Face) []Face {
	slices.SortStableFunc(found, func(a, b Face) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	found = found[:min(len(found), maxCandidates)]
	var faces []Face
	for len(found) > 0 {
		var same, rest []Face
		for _, f := range found {
			if len(same) == 0 || found[0].Box.Overlap(f.Box) > overlapping {
				same = append(same, f)
			} else {
				rest = append(rest, f)
			}
		}
		faces = append(faces, blend(same))
		found = rest
	}
	return faces
}

// blend is the mean of candidates, weighted by score.
func blend(same []Face) Face {
	out := Face{Score: same[0].Score}
	total := 0.0
	for _, f := range same {
		total += f.Score
	}
	for _, f := range same {
		w := f.Score / total
		out.Box.X0 += w * f.Box.X0
		out.Box.Y0 += w * f.Box.Y0
		out.Box.X1 += w * f.Box.X1
		out.Box.Y1 += w * f.Box.Y1
		for k, p := range f.Keypoints {
			out.Keypoints[k].X += w * p.X
			out.Keypoints[k].Y += w * p.Y
		}
	}
	return out
}

// Detect returns the faces of an image with landmarks, pose and quality, the
// dominant one (largest eye distance) first. No face is no error.
func (e *Engine) Detect(ctx context.Context, img image.Image) ([]Face, error) {
	b := img.Bounds()
	if b.Empty() {
		return nil, nil
	}
	r := newRaster(img)
	faces, err := e.full.run(ctx, r)
	if err == nil && len(faces) == 0 && e.short != nil {
		faces, err = e.short.run(ctx, r)
	}
	if err != nil {
		return nil, fmt.Errorf("detect faces: %w", err)
	}
	for i := range faces {
		if err := e.refine(ctx, r, &faces[i]); err != nil {
			return nil, fmt.Errorf("find landmarks: %w", err)
		}
	}
	slices.SortStableFunc(faces, func(a, b Face) int {
		switch da, db := a.EyeDistance(), b.EyeDistance(); {
		case da > db:
			return -1
		case da < db:
			return 1
		}
		return 0
	})
	origin := b.Min
	for i := range faces {
		faces[i].move(float64(origin.X), float64(origin.Y))
	}
	return faces, nil
}

// move shifts a face, from pixels of the image's upper left corner to those of
// its own coordinates.
func (f *Face) move(dx, dy float64) {
	if dx == 0 && dy == 0 {
		return
	}
	f.Box = Rect{f.Box.X0 + dx, f.Box.Y0 + dy, f.Box.X1 + dx, f.Box.Y1 + dy}
	for k, p := range f.Keypoints {
		f.Keypoints[k] = Point{p.X + dx, p.Y + dy}
	}
	for k, p := range f.Landmarks {
		f.Landmarks[k] = Point{p.X + dx, p.Y + dy}
	}
}
