// Package synthface draws people who do not exist, as a webcam would see them.
//
// A Person is some fifty numbers drawn from a seed. Their head is described
// once as a distance field, meshed, and from then on rasterised: a 640×480
// frame costs tens of milliseconds, not seconds. Scene is the room and the
// camera, Subject is who or what stands in it: a person with a pose and an
// expression, or a print of a photograph held up to the camera.
//
//	ada := synthface.Cast()[0]
//	shot := synthface.Render(synthface.Scene{}, synthface.Subject{Person: ada, Pose: synthface.Pose{Yaw: 10}})
//	// shot.Image is 640×480 YCbCr, shot.Faces[0] the true keypoints.
//
// OpenDemo is a camera on top of it: the cast walks up one after another,
// turns and leaves, from clips that are rendered once and kept on disk.
//
// One seed gives the same picture on every run of one architecture. Between
// architectures fused multiply-add and the mathematical library may move a
// value by a few levels where an edge falls on a pixel boundary.
//
// The faces are for tests and for showing the product without a camera. They
// all resemble each other more than real people do: never calibrate a
// threshold on them, and never conclude from them how well a network does on
// real people.
package synthface
