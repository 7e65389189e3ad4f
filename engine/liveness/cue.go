package liveness

import (
	"math"
	"slices"
)

// Cue is one measure over the frames of a session.
type Cue int

// The cues. Those before Carried show depth, the others what a picture of a person
// has that a person has not.
const (
	Span        Cue = iota // of the nose tip along the eye line over a turn, in eye distances
	Protrusion             // … of the nose tip against the mouth: paper that is bent around an axis has none
	Ridge                  // … by the points for alignment, which err less on what is no head
	Third                  // third singular value of the tracks
	Bend                   // what an affine map leaves of the tracks
	Plane                  // of the turned face, what a turned plane does not explain
	Cylinder               // … what bent paper does not
	Parallax               // of the nose against the rest of the face over a turn, see surface
	Carried                // what is beside the face moves with it
	Drift                  // … moves against the room
	Sides                  // straight lines left and right of the face
	Banding                // waves down the picture
	PeakFace               // regular fine patterns on the face
	Lattice                // … in all of the picture
	Fringe                 // … in its colour
	Continuity             // least likeness of neighbours, see Likeness
	Resemblance            // … of any frame to the straight one
	Cut                    // the room changes between two frames, in levels
	Tint                   // … its colour
	Picture                // what a network for single pictures says
	cues
)

var cueNames = [cues]string{"span", "protrusion", "ridge", "third", "bend", "plane", "cylinder", "parallax", "carried", "drift", "sides",
	"banding", "peak_face", "lattice", "fringe", "continuity", "likeness", "cut", "tint", "picture"}

// String is the cue's name in calibrations and reports.
func (c Cue) String() string {
	if c < 0 || c >= cues {
		return "none"
	}
	return cueNames[c]
}

// Cues lists all cues.
func Cues() []Cue {
	out := make([]Cue, cues)
	for i := range out {
		out[i] = Cue(i)
	}
	return out
}

// Measures are the values of the cues for one session, by cue. NaN is one that
// could not be taken.
type Measures [cues]float64

// measure takes all cues. There is at least one frame.
func measure(frames []Frame, same Likeness) (m Measures) {
	all := pairs(frames)
	m[Continuity], m[Resemblance] = same.least(frames)
	m[Span] = span(series(frames, yaw))
	m[Protrusion] = span(series(frames, protrusion))
	m[Ridge] = span(series(frames, ridge))
	m[Third], m[Bend] = third(frames), bend(frames)
	m[Plane], m[Cylinder], m[Parallax] = surface(frames)
	m[Carried], m[Drift], m[Banding] = carried(all), drift(all), banding(all)
	m[Cut], m[Tint] = cut(all)
	over := func(q float64, of func(*Frame) float64) float64 {
		all := make([]float64, len(frames))
		for i := range frames {
			all[i] = of(&frames[i])
		}
		return quantile(all, q)
	}
	var sides []float64
	for _, i := range spread(len(frames), 12) {
		sides = append(sides, frames[i].sides())
	}
	m[Sides] = quantile(sides, .6)
	m[PeakFace] = over(.7, func(f *Frame) float64 { return f.fine.face })
	m[Lattice] = over(.5, func(f *Frame) float64 { return f.fine.lattice })
	m[Fringe] = over(.7, func(f *Frame) float64 { return f.fine.fringe })
	if len(frames) < MinFrames { // single pictures show neither depth nor motion
		for _, c := range []Cue{Span, Protrusion, Ridge, Third, Bend, Plane, Cylinder, Parallax, Carried, Drift, Banding, Continuity, Resemblance, Cut, Tint} {
			m[c] = math.NaN()
		}
	}
	m[Picture] = onlooker(frames)
	return m
}

// spread picks n of the indices below all, evenly.
func spread(all, n int) []int {
	n = min(n, all)
	out := make([]int, n)
	for i := range out {
		out[i] = i * all / n
	}
	return out
}

// turnedMost is how many frames to each side are laid over the straight one.
const turnedMost = 4

// surface lays the straight frame over those that are turned most to either side. The
// parallax is ln(1+x), x how far the nose moves towards the turn, in hundredths of the
// distance between the eyes, in most of them: paper has less than 1, a nose some 7.
func surface(frames []Frame) (plane, cylinder, parallax float64) {
	at := straightest(frames)
	straight := &frames[at]
	from := yaw(&straight.Face)
	var left, right []int
	for i := range frames {
		switch turn := yaw(&frames[i].Face) - from; {
		case i == at:
		case turn > 0:
			left = append(left, i)
		default:
			right = append(right, i)
		}
	}
	turn := func(i int) float64 { return math.Abs(yaw(&frames[i].Face) - from) }
	nose, eyes := straight.nose()
	cheeks := oval.around(nose)
	var planes, cylinders, shifts []float64
	for _, i := range slices.Concat(most(left, turnedMost, turn), most(right, turnedMost, turn)) {
		turned := frames[i].window
		w := lay(straight.window, turned, flat, oval)
		planes = append(planes, w.unexplained(straight.window, turned))
		w = lay(straight.window, turned, bent, oval)
		cylinders = append(cylinders, w.unexplained(straight.window, turned))
		w = lay(straight.window, turned, bent, cheeks)
		if d, ok := w.parallax(straight.window, turned, nose); ok {
			shifts = append(shifts, math.Copysign(1, yaw(&frames[i].Face)-from)*d/(eyes*windowSide/2))
		}
	}
	if len(planes) == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	parallax = math.NaN()
	if len(shifts) > 0 {
		parallax = math.Log1p(100 * max(0, median(shifts)))
	}
	return quantile(planes, .4), quantile(cylinders, .4), parallax
}
