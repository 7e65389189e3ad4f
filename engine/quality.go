package engine

import "math"

// Reason names what speaks against a face image.
type Reason string

// The reasons, in the order in which a person is best told of them.
const (
	TooSmall   Reason = "too_small"    // step closer
	CutByFrame Reason = "cut_by_frame" // move into the picture
	TurnedAway Reason = "turned_away"  // look at the camera
	TooDark    Reason = "too_dark"     // more light
	TooBright  Reason = "too_bright"   // less light
	SideLit    Reason = "side_lit"     // turn towards the light
	BackLit    Reason = "back_lit"     // the light is behind you
	LowDetail  Reason = "low_contrast" // haze, or a dirty lens
	Blurred    Reason = "blurred"      // hold still
)

// hints say what to do about each reason.
var hints = map[Reason]string{
	TooSmall:   "step closer to the camera",
	CutByFrame: "move so that the whole face is in the picture",
	TurnedAway: "look straight at the camera",
	TooDark:    "more light on the face is needed",
	TooBright:  "there is too much light on the face",
	SideLit:    "the light comes from the side: turn towards it",
	BackLit:    "the light is behind the face: turn around or shade it",
	LowDetail:  "the picture is hazy: clean the lens",
	Blurred:    "hold still, or let the camera focus",
}

// Hint says what the person can do about it.
func (r Reason) Hint() string { return hints[r] }

// Quality is what can be said about a face image besides who it shows. Light is
// measured on the face, not on the frame.
type Quality struct {
	EyeDistance float64 // pixels
	Brightness  float64 // mean luma of the face, 0..1
	Contrast    float64 // standard deviation of the face's luma, 0..0.5
	SideLight   float64 // brighter half against darker half: (a−b)/(a+b), 0..1
	BackLight   float64 // surroundings against face: (s−f)/(s+f), −1..1
	Sharpness   float64 // 0..1, from the fine detail of the face
	Inside      float64 // share of the face's area inside the image, 0..1
	Reasons     []Reason
}

// Good reports whether nothing speaks against the image.
func (q Quality) Good() bool { return len(q.Reasons) == 0 }

// Limits of quality. They are where the error rates of docs/accuracy.md begin
// to rise, not where matching becomes impossible.
const (
	minEyeDistance = 24.0 // pixels; below, the embedder sees an enlarged face
	minInside      = 0.85
	maxYaw         = 35.0 // degrees
	maxPitch       = 30.0
	minBrightness  = 0.16
	maxBrightness  = 0.86
	minContrast    = 0.045
	maxSideLight   = 0.45
	maxBackLight   = 0.62
	minSharpness   = 0.12
)

// judge names the reasons.
func (q *Quality) judge(p Pose) {
	q.Reasons = nil
	add := func(bad bool, r Reason) {
		if bad {
			q.Reasons = append(q.Reasons, r)
		}
	}
	add(q.EyeDistance < minEyeDistance, TooSmall)
	add(q.Inside < minInside, CutByFrame)
	add(math.Abs(p.Yaw) > maxYaw || math.Abs(p.Pitch) > maxPitch, TurnedAway)
	add(q.Brightness < minBrightness, TooDark)
	add(q.Brightness > maxBrightness, TooBright)
	add(q.SideLight > maxSideLight, SideLit)
	add(q.BackLight > maxBackLight && q.Brightness < 0.35, BackLit)
	add(q.Contrast < minContrast, LowDetail)
	add(q.Sharpness < minSharpness, Blurred)
}

// patch is the grid that quality is measured on: the face from brow to chin,
// upright, a quarter of the embedder's pixels so that it costs little.
const patch = 32

// assess measures and judges a face. r is the image that f was found in.
func (r *raster) assess(f *Face) Quality {
	l := f.Landmarks
	q := Quality{EyeDistance: f.EyeDistance(), Inside: r.inside(f.Box)}
	eyes, mouth := middle(l[0], l[1]), middle(l[3], l[4])
	center := middle(eyes, mouth)
	angle := math.Atan2(l[1].Y-l[0].Y, l[1].X-l[0].X)
	side := 2 * max(q.EyeDistance, distance(eyes, mouth))
	if !(side > 1) {
		q.judge(f.Pose)
		return q
	}
	q.measure(r.grey(), framing(center, side, angle, patch))
	around := r.surroundings(center, side)
	q.BackLight = (around - q.Brightness) / max(around+q.Brightness, 1e-6)
	q.judge(f.Pose)
	return q
}

// measure looks at the patch of a grey image that t frames.
//
// Sharpness compares the steps between neighbouring samples, taken at the
// embedder's resolution, with the face's contrast: blur takes the fine steps
// first. It is about 0.12 where details of an eye are lost.
func (q *Quality) measure(r *raster, t similarity) {
	const fine = 0.25 // of a patch pixel: a 128-pixel face
	var before, here, after [patch]pixel
	var left, right, squares, steps float64
	for v := range patch {
		p := t.apply(Point{0.5, float64(v) + 0.5})
		r.line(here[:], p, t.a, t.b)
		r.line(before[:], Point{p.X - fine*t.a, p.Y - fine*t.b}, t.a, t.b)
		r.line(after[:], Point{p.X + fine*t.a, p.Y + fine*t.b}, t.a, t.b)
		for u, px := range here {
			x := float64(px.luma) / (255 * one)
			if u < patch/2 {
				left += x
			} else {
				right += x
			}
			squares += x * x
			steps += math.Abs(float64(before[u].luma+after[u].luma-2*px.luma)) / (255 * one)
		}
	}
	const n = patch * patch
	q.Brightness = (left + right) / n
	q.Contrast = math.Sqrt(max(squares/n-q.Brightness*q.Brightness, 0))
	q.SideLight = math.Abs(left-right) / max(left+right, 1e-6)
	if q.Contrast >= 1e-3 {
		q.Sharpness = min(1, 4*steps/n/q.Contrast)
	}
}

// inside is the share of a box that lies in the image.
func (r *raster) inside(b Rect) float64 {
	w := min(b.X1, float64(r.w)) - max(b.X0, 0)
	h := min(b.Y1, float64(r.h)) - max(b.Y0, 0)
	if w <= 0 || h <= 0 || b.Width() <= 0 || b.Height() <= 0 {
		return 0
	}
	return w * h / (b.Width() * b.Height())
}

// surroundings is the mean luma of a ring around the face, 0..1.
func (r *raster) surroundings(c Point, side float64) float64 {
	const spokes = 32
	sum, n := 0.0, 0
	for i := range spokes {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / spokes)
		p := Point{c.X + cos*side*1.4, c.Y + sin*side*1.4}
		if p.X < 0 || p.Y < 0 || p.X >= float64(r.w) || p.Y >= float64(r.h) {
			continue
		}
		v := r.luma(float32(p.X), float32(p.Y))
		sum += float64(v) / 255
		n++
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}
