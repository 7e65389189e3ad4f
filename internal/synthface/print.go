package synthface

// Print is a photograph or a screen held up to the camera in place of a face:
// a presentation attack.
type Print struct {
	Of     Shot    // what it shows; the first face of it is taken life size
	Bend   float64 // radius in cm of the cylinder it is bent around; zero: flat
	Screen bool    // a glowing display with pixels and a bezel instead of paper
}
