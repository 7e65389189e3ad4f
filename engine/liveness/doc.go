// Package liveness tells a living person before a camera from a picture of one:
// presentation attack detection, in the words of ISO/IEC 30107.
//
//	var frames []liveness.Frame
//	frames = append(frames, liveness.Observe(img, face, template, at)) // each frame, in order
//	v := liveness.Default().Judge(frames, challenge)                  // nil: a passive session
//	// v.Live, v.Score 0..100, v.Reasons
//
// A Frame keeps small windows of luma and what was measured on them, never the
// picture. Judge looks at all of them: rules that no living person breaks by
// standing before a camera (the frames are new, follow each other, show one person
// who does what was asked) give reasons by name; a logistic model over the cues
// gives the score. Its coefficients are data (calibration.json, which says where it
// comes from).
//
// It opens no file, uses no network and knows no time but what it is told. It does
// not know who the person is: that the templates fit the enrolled one is the
// caller's to see. What it was measured on are rendered people and attacks; what it
// does not know is in docs/liveness.md.
package liveness
