package synthface

import "image"

// Scene is the camera and the room. The zero value is a friendly one:
// 640×480, a daylit hallway, a camera of ordinary webcam quality.
type Scene struct {
	Width, Height int     // pixels; zero: 640×480; the larger side at most 4096
	FOV           float64 // vertical field of view in degrees; zero: 46
	Light         Light
	Room          int64   // which hallway (colours, furniture)
	Noise         float64 // sensor noise, standard deviation in 8-bit levels; zero: 1.5; negative: none
	Blur          float64 // lens blur, standard deviation in pixels; zero: none
	Seed          int64   // of the sensor noise
}

// Light is a key light and the brightness of the room. The zero value comes
// from the upper right with a bright room; a Light with any field set is taken
// as it stands, except that zero Key and Ambient both mean 1.
type Light struct {
	Azimuth, Elevation float64 // degrees from the camera's axis: 90 is from the image's right, elevation up
	Key                float64 // strength of the key light; 1 is normal, negative: none
	Ambient            float64 // strength of the room's light; 1 is normal, negative: none
	Warmth             float64 // 0 neutral … 1 a tungsten lamp
}

// Pose is where a head is and how it is turned. Angles are in degrees: Yaw is
// positive where the nose points to the right of the image, Pitch where it
// points up, Roll where the head leans to the left of the image. Lengths are
// in cm from the camera's axis; Distance is from camera to head.
type Pose struct {
	Yaw, Pitch, Roll float64
	X, Y             float64 // Y upwards
	Distance         float64 // zero: 60
	Body             float64 // yaw of the shoulders
}

// Expression is what the face does. All but Gaze are in 0..1.
type Expression struct {
	Blink        float64 // 1: eyes shut
	Mouth        float64 // 1: mouth wide open
	Smile        float64
	GazeX, GazeY float64 // -1..1, image right and up
}

// Subject is one person, or one print, in front of the camera. At least one of
// Person and Print is set; with both, the person wears the print before the face.
type Subject struct {
	Person     *Person
	Print      *Print // a presentation attack instead of a person
	Pose       Pose
	Expression Expression // of a Person
}

// Point is a position in the image in pixels, the origin at the top left.
type Point struct{ X, Y float64 }

// Keypoints are the true positions of a face's features in the order of
// BlazeFace: seen from the subject, right eye, left eye, nose tip, mouth
// centre, right and left ear. They may lie outside the image.
type Keypoints [6]Point

// Indices into Keypoints.
const (
	RightEye = iota
	LeftEye
	NoseTip
	Mouth
	RightEar
	LeftEar
)

// Shot is a rendered frame and the truth about it.
type Shot struct {
	Image *image.YCbCr // 4:2:0
	Faces []Keypoints  // one for each subject, in their order
}
