package liveness

import (
	"cmp"
	"math"
	"slices"

	"github.com/cypherface/edge/engine"
)

// Reason names what speaks against a session.
type Reason string

// The reasons. All but LowScore are rules.
const (
	FewFrames  Reason = "too_few_faces"  // too few frames with a face
	RepeatedOf Reason = "repeated_frame" // a frame is there twice, or nearly so
	Reordered  Reason = "reordered"      // the head goes to and fro more often than was asked
	Foreign    Reason = "other_face"     // the frames show two people
	CutFrames  Reason = "cut"            // the room changes between two frames
	Jumps      Reason = "implausible_motion"
	NoMovement Reason = "no_movement" // nothing moves at all
	Challenge  Reason = "challenge"   // not what was asked for, or not in its order
	LowScore   Reason = "attack"      // the cues look like a picture of a face
)

// Verdict is what Judge says.
type Verdict struct {
	Live    bool
	Score   float64 // 0..100, see Model; what a rule speaks against has at most BrokenScore
	Reasons []Reason
	// Cues are the measures, and Against those that weigh most for an attack, for an
	// operator and for reports; never for the person in front of the camera.
	Measures Measures
	Against  []Cue
}

// Judge looks at the frames of a session, in the order in which they were taken.
// asked is the challenge; empty: a passive session. same says when two templates are
// of one person.
func (m *Model) Judge(frames []Frame, asked []Move, same Likeness) Verdict {
	v := Verdict{Reasons: rules(frames, asked)}
	if len(frames) > 0 {
		v.Measures = measure(frames, same)
		v.Reasons = append(v.Reasons, v.Measures.Rules()...)
		v.Score, v.Against = m.suits(frames).score(&v.Measures, len(asked) > 0)
		if v.Score < Threshold {
			v.Reasons = append(v.Reasons, LowScore)
		}
	}
	if len(v.Reasons) > 0 {
		v.Score = min(v.Score, BrokenScore)
	}
	v.Live = len(v.Reasons) == 0
	return v
}

// rules are the reasons that hold whatever the score.
func rules(frames []Frame, asked []Move) (reasons []Reason) {
	least := MinFrames
	if len(asked) > 0 {
		least = MinActiveFrames
	}
	if len(frames) < least {
		return []Reason{FewFrames}
	}
	add := func(bad bool, r Reason) {
		if bad {
			reasons = append(reasons, r)
		}
	}
	add(still(frames), NoMovement)
	add(repeats(frames) > 1, RepeatedOf) // one may be a still moment
	add(swings(frames) > allowedSwings(asked), Reordered)
	add(jumps(frames), Jumps)
	if len(asked) > 0 {
		add(!follows(frames, asked), Challenge)
	}
	return reasons
}

// Rules are those that look at measures only: one room, one person.
func (m *Measures) Rules() (reasons []Reason) {
	if m[Continuity] < nextLeast || m[Resemblance] < 0 {
		reasons = append(reasons, Foreign)
	}
	if m[Cut] > cutLimit || m[Tint] > tintLimit {
		reasons = append(reasons, CutFrames)
	}
	return reasons
}

// still reports whether the landmarks hardly move over all frames: less than a
// detector's noise over two pictures of a camera.
func still(frames []Frame) bool {
	const least = .002 // eye distances
	most := 0.0
	for i := 1; i < len(frames); i++ {
		a, b := &frames[i-1].Face, &frames[i].Face
		da, db := max(a.EyeDistance(), 1), max(b.EyeDistance(), 1)
		for k := range a.Landmarks {
			x := (a.Landmarks[k].X-a.Landmarks[2].X)/da - (b.Landmarks[k].X-b.Landmarks[2].X)/db
			y := (a.Landmarks[k].Y-a.Landmarks[2].Y)/da - (b.Landmarks[k].Y-b.Landmarks[2].Y)/db
			most = max(most, math.Hypot(x, y))
		}
	}
	return most < least
}

// Two frames are one, sent twice, where neither the points nor the small picture
// differ by what a breath makes of them.
const (
	sameMove    = .025 // eye distances, the mean over the points
	samePicture = .8   // levels, root mean square
)

// repeats counts the frames that were there before.
func repeats(frames []Frame) (n int) {
	for i := range frames {
		for j := range i {
			if nearlySame(&frames[i], &frames[j]) {
				n++
				break
			}
		}
	}
	return n
}

func nearlySame(f, g *Frame) bool {
	if f.thumb.w != g.thumb.w || f.thumb.h != g.thumb.h {
		return false
	}
	p, q, sum := points(&f.Face), points(&g.Face), 0.
	for k := range p {
		sum += math.Hypot(p[k].X-q[k].X, p[k].Y-q[k].Y)
	}
	if sum/trackPoints > sameMove*max(f.Face.EyeDistance(), 1) {
		return false
	}
	whole := area{1, 1, f.thumb.w - 1, f.thumb.h - 1}
	return math.Sqrt(difference(f.thumb, g.thumb, whole, moveOf{a: 1})) < samePicture
}

// swings counts how often the head turns round, by more than a little.
func swings(frames []Frame) (n int) {
	const little = .16
	s := series(frames, yaw)
	low, high, way := s[0], s[0], 0
	for _, v := range s {
		low, high = min(low, v), max(high, v)
		switch {
		case way <= 0 && v > low+little:
			way, high = 1, v
			n++
		case way >= 0 && v < high-little:
			way, low = -1, v
			n++
		}
	}
	return n
}

// allowedSwings is twice for each turn, and some for mistakes.
func allowedSwings(asked []Move) int {
	n := 3
	for _, m := range asked {
		if m != Center {
			n += 2
		}
	}
	return n
}

// Likeness says what templates of one person are like, by the calibration of the
// pack. The zero value: templates are not compared.
type Likeness struct {
	Next float64 // least cosine of frames that follow each other: that of FMR 1e-4
	Any  float64 // … of any two: that of FMR 1e-2
	// Coarse says that the pack is too weak for likeness to be a cue: only frames that
	// are not one person's at all count.
	Coarse bool
}

// nextLeast is where frames that follow each other stop being of one person. They
// were taken in one light and little apart, and are far more alike than pictures of
// other days.
const nextLeast = .3

// least are the least likeness of frames that follow each other, and of a frame to
// the straightest: 0 at the limit, 1 for equal ones. A head that turns changes little
// by little.
func (s Likeness) least(frames []Frame) (next, all float64) {
	if s == (Likeness{}) {
		return math.NaN(), math.NaN()
	}
	next, all = 1, 1
	front := &frames[straightest(frames)]
	for i := range frames {
		if c, ok := alike(front, &frames[i]); ok {
			all = min(all, (c-s.Any)/(1-s.Any))
		}
		if i == 0 {
			continue
		}
		if c, ok := alike(&frames[i-1], &frames[i]); ok {
			next = min(next, (c-s.Next)/(1-s.Next))
		}
	}
	if s.Coarse {
		next = math.NaN()
		if all >= 0 {
			all = math.NaN()
		}
	}
	return next, all
}

// alike compares two frames; ok is false where one has no template.
func alike(f, g *Frame) (score float64, ok bool) {
	if len(f.Template) == 0 || len(f.Template) != len(g.Template) {
		return 0, false
	}
	return engine.Compare(f.Template, g.Template), true
}

// Jumps of the room, and of its colour, that are no lamp that was switched on.
const (
	cutLimit  = 5.0
	tintLimit = .5
)

// jumps reports whether the face leaps further between two frames than a head can
// go: more than its own size in the time of a blink, or between two sizes.
func jumps(frames []Frame) bool {
	for i := 1; i < len(frames); i++ {
		f, g := &frames[i-1], &frames[i]
		seconds := 1.0
		if g.At > f.At {
			seconds = min(max((g.At-f.At).Seconds(), .1), 2)
		}
		d := max(size(&f.Face), size(&g.Face), 1)
		a, b := f.Face.Box.Center(), g.Face.Box.Center()
		if math.Hypot(a.X-b.X, a.Y-b.Y) > d*(1+4*seconds) {
			return true
		}
		if r := size(&f.Face) / max(size(&g.Face), 1); r > 1+2.5*seconds || r < 1/(1+2.5*seconds) {
			return true
		}
	}
	return false
}

// How far a head goes in answer to a move, against where it looked before.
const (
	turned  = .16 // eye distances, of the nose tip
	lifted  = .4  // see nod
	nearer  = 1.1 // times the size
	forward = .11 // straight is less than that
)

// follows reports whether the moves are seen in their order.
func follows(frames []Frame, asked []Move) bool {
	rest := baseline(frames)
	for i := range frames {
		if len(asked) > 0 && rest.does(frames, i, asked[0]) {
			asked = asked[1:]
		}
	}
	return len(asked) == 0
}

// nod is how far the head looks up in a frame, the mean with those beside it in which
// it is not turned: a single frame's is rough.
func (a attitude) nod(frames []Frame, at int) float64 {
	sum, n := 0., 0.
	for i := max(at-1, 0); i <= min(at+1, len(frames)-1); i++ {
		if f := &frames[i].Face; math.Abs(yaw(f)-a.yaw) < 1.5*turned {
			sum, n = sum+pitch(f)-a.pitch, n+1
		}
	}
	return sum / max(n, 1)
}

// attitude is how somebody looks into the camera at rest.
type attitude struct{ yaw, pitch, size float64 }

// baseline is the attitude of the straight frames.
func baseline(frames []Frame) attitude {
	var straight []int
	for i := range frames {
		if math.Abs(yaw(&frames[i].Face)) < forward {
			straight = append(straight, i)
		}
	}
	if len(straight) == 0 {
		straight = []int{straightest(frames)}
	}
	of := func(m func(*engine.Face) float64) float64 {
		var all []float64
		for _, i := range straight {
			all = append(all, m(&frames[i].Face))
		}
		return median(all)
	}
	return attitude{of(yaw), of(pitch), of(size)}
}

// does reports whether a frame shows a move.
func (a attitude) does(frames []Frame, at int, m Move) bool {
	f := &frames[at]
	y := yaw(&f.Face) - a.yaw
	switch m {
	case Left:
		return y >= turned
	case Right:
		return y <= -turned
	case Up, Down:
		p := a.nod(frames, at)
		return math.Abs(y) < 1.5*turned && (m == Up && p >= lifted || m == Down && p <= -lifted)
	case Closer:
		return size(&f.Face) >= nearer*a.size
	}
	return math.Abs(y) <= forward
}

// most are the n largest by a measure.
func most[T any](of []T, n int, by func(T) float64) []T {
	slices.SortFunc(of, func(a, b T) int { return cmp.Compare(by(b), by(a)) })
	return of[:min(n, len(of))]
}
