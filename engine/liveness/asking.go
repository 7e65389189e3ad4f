package liveness

import "math"

// For how many frames that follow each other a move is shown before the next is asked
// for, so that the head goes far enough to be judged, and is known at rest.
const (
	heldStraight = 3
	held         = 2
)

// An Asking is a challenge under way: it says what to ask for next. The zero value
// asks for nothing. It says nothing about who moves, or what: that is Judge's, on all
// frames.
type Asking struct {
	asked []Move
	done  int     // of asked
	shown int     // frames in a row that show asked[done]
	early []Frame // until the first move is done: how the person looks at rest
	rest  attitude
	last  []Frame // the newest two: see attitude.nod
}

// Ask starts a challenge.
func Ask(asked []Move) Asking { return Asking{asked: asked} }

// Asked are all moves of the challenge, in their order.
func (a *Asking) Asked() []Move { return a.asked }

// Next is what to ask for now; ok is false once all is done.
func (a *Asking) Next() (m Move, ok bool) {
	if a.done == len(a.asked) {
		return "", false
	}
	return a.asked[a.done], true
}

// See takes the next frame.
func (a *Asking) See(f Frame) {
	m, ok := a.Next()
	if !ok {
		return
	}
	enough := held
	if m == Center {
		enough = heldStraight
	}
	if a.done == 0 {
		if n := len(a.early); n > 0 && !Rests(&a.early[n-1], &f) {
			a.early, a.shown = nil, 0
		}
		a.early = append(a.early, f)
		a.rest = baseline(a.early)
	}
	a.last = append(a.last[max(len(a.last)-1, 0):], f)
	if a.shown++; !a.rest.does(a.last, len(a.last)-1, m) {
		a.early, a.shown = nil, 0
	}
	if a.shown == enough {
		a.done, a.shown, a.early = a.done+1, 0, nil
	}
}

// Arriving says that the first move is not done yet, and how many of the latest frames
// show it: those before belong to how somebody came up to the camera.
func (a *Asking) Arriving() (frames int, yes bool) {
	return a.shown, a.done == 0 && len(a.asked) > 0
}

// Rests reports whether a face is about where it was in the frame before: nobody
// walks.
func Rests(before, f *Frame) bool {
	const apart, grown = .5, 1.12 // eye distances, times
	a, b := before.Face.Box.Center(), f.Face.Box.Center()
	d, e := max(size(&before.Face), 1), max(size(&f.Face), 1)
	return math.Hypot(a.X-b.X, a.Y-b.Y) < apart*d && max(d, e) < grown*min(d, e)
}

// Straight reports whether a face looks into the camera.
func Straight(f *Frame) bool { return attitude{}.does([]Frame{*f}, 0, Center) }
