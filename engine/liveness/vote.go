package liveness

import (
	"context"
	"image"
	"math"

	"github.com/cypherface/edge/engine"
)

// Onlooker is a network for single pictures: it says how probable it holds it that a
// face in a picture is a picture of one, 0..1; NaN where there is no such network.
type Onlooker interface {
	Attack(ctx context.Context, img image.Image, f engine.Face) (float64, error)
}

var _ Onlooker = (*engine.Engine)(nil)

// askEvery is how many frames share an answer: an onlooker costs more than all that is
// measured on a frame, and says nearly the same of the next.
const askEvery = 4

// Ask has an onlooker look at the picture that a frame was observed in, if the face
// looks into the camera, as such networks want it, and the frames before are not those
// that were asked about last. before is the one that precedes it, nil for the first.
func (f *Frame) Ask(ctx context.Context, o Onlooker, img image.Image, face engine.Face, before *Frame) (err error) {
	f.unasked = askEvery
	if before != nil {
		f.unasked = before.unasked + 1
	}
	if f.unasked >= askEvery && Straight(f) {
		f.unasked = 0
		f.Spoof, err = o.Attack(ctx, img, face)
	}
	return err
}

// onlooker is what the onlooker says of a session: more than it says of most frames.
func onlooker(frames []Frame) float64 {
	var all []float64
	for i := range frames {
		if p := frames[i].Spoof; !math.IsNaN(p) {
			all = append(all, min(max(p, 0), 1))
		}
	}
	if len(all) == 0 {
		return math.NaN()
	}
	return quantile(all, .6)
}

// vote is what an onlooker adds to a regression that has no term for it. The
// regressions are fitted to rendered people, and MiniFASNet was trained on real ones and
// on real attacks: its weight is taken from photographs of living people instead. Of
// 820 of LFW that look into the camera a fifth has 0.19 or more, a tenth 0.46, a
// twentieth 0.72 and one in a hundred 0.99 (eval-pad --live); a line from 0 at 0.2 to
// -2.5 at 1 follows the logarithm of how much rarer such an answer is than 0.2, which
// is all that it tells if every attack gives it. So it only ever speaks for an attack,
// and no more than such photographs allow: they are pictures of the press, where its
// makers ask for those of a camera.
var vote = Term{Mid: .2, Scale: .8, High: -2.5}
