package engine

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
)

// Patch is a network against presentation attacks, and how much of the picture it
// looks at: a rectangle around a face. It answers with the logits of three classes,
// of which the second is a living person; the others are kinds of attack.
type Patch struct {
	Network
	Scale float64 // sides of the rectangle in those of the face's box
}

const (
	patchClasses = 3
	patchLiving  = 1
)

func (p Patch) check() error {
	if p.Model == nil {
		return errors.New("none given")
	}
	if _, err := square(p); err != nil {
		return err
	}
	if outs := p.Outputs(); len(outs) != 1 || volume(outs[0]) != patchClasses {
		return fmt.Errorf("outputs %v, want three classes", outs)
	}
	if !(p.Scale >= 1 && p.Scale <= 16) {
		return fmt.Errorf("scale %v, want 1 to 16", p.Scale)
	}
	return nil
}

// Attack is how probable the networks against presentation attacks hold it that a
// face, which Detect found in img, is a picture of one: 0..1, the mean over the
// networks. NaN: there are none. They were trained on faces that look into the camera.
func (e *Engine) Attack(ctx context.Context, img image.Image, f Face) (float64, error) {
	b := img.Bounds()
	if len(e.cfg.Patches) == 0 || b.Empty() {
		return math.NaN(), nil
	}
	f.move(-float64(b.Min.X), -float64(b.Min.Y))
	r, sum := newRaster(img), 0.
	for _, p := range e.cfg.Patches {
		living, err := p.living(ctx, r, f.tight())
		if err != nil {
			return 0, fmt.Errorf("look for an attack: %w", err)
		}
		sum += living
	}
	return 1 - sum/float64(len(e.cfg.Patches)), nil
}

// living is the probability of the class of living people.
func (p Patch) living(ctx context.Context, r *raster, box Rect) (living float64, err error) {
	side := p.Input()[1]
	cut := r.patch(box, p.Scale)
	err = p.Run(ctx,
		func(in []float32) { r.stretch(in, side, cut, p.Prep) },
		func(out [][]float32) {
			top := max(out[0][0], out[0][1], out[0][2])
			sum := 0.
			for _, v := range out[0][:patchClasses] {
				sum += math.Exp(float64(v - top))
			}
			living = math.Exp(float64(out[0][patchLiving]-top)) / sum
		})
	if err == nil && math.IsNaN(living) {
		err = errors.New("the network's answer is no number")
	}
	return living, err
}

// patch is the rectangle of whole pixels around a face's box: scaled around its middle,
// less where the image is too small, and pushed inside where it reaches over an edge.
func (r *raster) patch(box Rect, scale float64) image.Rectangle {
	w, h := max(box.Width(), 1), max(box.Height(), 1)
	scale = min(scale, float64(r.w-1)/w, float64(r.h-1)/h)
	along := func(middle, size float64, pixels int) (from, to int) {
		last := float64(pixels - 1)
		a := min(max(middle-size*scale/2, 0), last-size*scale)
		return max(int(a), 0), min(int(a+size*scale), pixels-1) + 1
	}
	c := box.Center()
	var cut image.Rectangle
	cut.Min.X, cut.Max.X = along(c.X, w, r.w)
	cut.Min.Y, cut.Max.Y = along(c.Y, h, r.h)
	return cut
}

// stretch fills in, a side×side tensor, with a rectangle of the image. It reads between
// the pixels and averages none, however many there are: so the networks against attacks
// were trained, and fine patterns are what they look for.
func (r *raster) stretch(in []float32, side int, cut image.Rectangle, prep Prep) {
	ink := prep.ink()
	row := make([]pixel, side)
	dx, dy := float64(cut.Dx())/float64(side), float64(cut.Dy())/float64(side)
	for v := range side {
		r.line(row, Point{float64(cut.Min.X) + dx/2, float64(cut.Min.Y) + (float64(v)+.5)*dy}, dx, 0)
		ink.write(in[3*v*side:][:3*side], row)
	}
}

// The box that the networks against attacks know, in distances between eyes and mouth
// or the eyes, whichever is more: that of a detector of the WIDER FACE kind
// (RetinaFace), upright, from the hair line to the chin and from cheek to cheek, where
// BlazeFace's is a square. Two answers of such detectors that are published with their
// landmarks (the examples of retina-face and RetinaFaceJS) are 1.9 and 2.1 of these
// distances wide, 2.7 and 3.1 high, their middle 0.1 and 0.2 above that of eyes and
// mouth. Photographs of living people (300 of LFW) agree: they are taken for attacks
// least often with a box 2.1 to 2.4 wide, and twice as often with one that is a square
// of 2.8; its height and place matter little there, since the pictures are too narrow.
const (
	tightWidth, tightHeight = 2.1, 2.8
	tightLift               = .15
)

// tight is the face's box as the networks against attacks know it.
func (f *Face) tight() Rect {
	l := f.Landmarks
	eyes, mouth := middle(l[0], l[1]), middle(l[3], l[4])
	s := max(distance(l[0], l[1]), distance(eyes, mouth), 1)
	c := middle(eyes, mouth)
	c.Y -= tightLift * s
	return Rect{c.X - tightWidth*s/2, c.Y - tightHeight*s/2, c.X + tightWidth*s/2, c.Y + tightHeight*s/2}
}
