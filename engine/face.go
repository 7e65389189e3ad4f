package engine

import "math"

// Keypoints of a Face, by index, seen from the person: the right eye is on the
// left in an image that is not mirrored.
const (
	RightEye = iota
	LeftEye
	NoseTip
	MouthCenter
	RightEar
	LeftEar
)

// Face is a detected face.
type Face struct {
	Box       Rect     // in pixels of the image; may reach over its edge
	Score     float64  // of the detector, 0..1
	Keypoints [6]Point // see RightEye and the following
	// Landmarks are five points for alignment: eye, eye, nose tip, mouth
	// corner, mouth corner, from left to right in the upright image.
	Landmarks [5]Point
	Pose      Pose
	Quality   Quality
}

// EyeDistance is the distance between the eyes, in pixels.
func (f Face) EyeDistance() float64 { return distance(f.Landmarks[0], f.Landmarks[1]) }

// Pose is where a face looks, in degrees, estimated from few points: good for
// a hint to the person, not for a measurement.
type Pose struct {
	Roll  float64 // head tilted to the right shoulder of the image: positive
	Yaw   float64 // turned to the right of the image: positive
	Pitch float64 // looking down: positive
}

// ambiguousShare is the eye distance, as a share of the dominant face's, from
// which a second face makes it doubtful who is meant.
const ambiguousShare = 0.6

// Dominant returns the face that is meant: the largest by eye distance, which
// Detect returns first. ambiguous says that a second one is nearly as large
// (eye distance at least 60 % of the first's); ok is false where there is none.
func Dominant(faces []Face) (f Face, ambiguous, ok bool) {
	if len(faces) == 0 {
		return Face{}, false, false
	}
	f = faces[0]
	if len(faces) > 1 {
		ambiguous = faces[1].EyeDistance() >= ambiguousShare*f.EyeDistance()
	}
	return f, ambiguous, true
}

// Constants of poseOf: a face seen straight on has its nose tip this far below
// the eye line, as a share of the distance from eyes to mouth, and a head's
// nose tip stands this far before the eyes' plane in eye distances.
const (
	noseDrop  = 0.56
	noseDepth = 0.55
)

// poseOf estimates a pose from the five landmarks: roll from the eye line, yaw
// and pitch from where the nose tip, which stands out from the face, lies
// against the eyes and the mouth.
func poseOf(l [5]Point) Pose {
	roll := math.Atan2(l[1].Y-l[0].Y, l[1].X-l[0].X)
	sin, cos := math.Sincos(-roll)
	turn := func(p Point) Point { return Point{cos*p.X - sin*p.Y, sin*p.X + cos*p.Y} }
	eyes, mouth, nose := turn(middle(l[0], l[1])), turn(middle(l[3], l[4])), turn(l[2])
	gap := distance(l[0], l[1])
	drop := mouth.Y - eyes.Y
	p := Pose{Roll: degrees(roll)}
	if !(gap > 0) || !(math.Abs(drop) > 1e-9) {
		return p
	}
	axis := eyes.X + (mouth.X-eyes.X)*(nose.Y-eyes.Y)/drop
	// The eye distance shrinks with the cosine of the yaw; the nose's offset
	// grows with its sine, so their ratio is the tangent.
	p.Yaw = degrees(math.Atan((nose.X - axis) / (noseDepth * gap)))
	p.Pitch = degrees(math.Atan(((nose.Y-eyes.Y)/drop - noseDrop) * drop / (noseDepth * gap)))
	return p
}

func degrees(rad float64) float64 { return rad * 180 / math.Pi }
