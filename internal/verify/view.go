package verify

import (
	"image"
	"math"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/engine"
)

// View is what Run saw in a frame: for a preview, and to tell the person what
// would help. It is told and kept nowhere.
type View struct {
	Time  time.Time
	Frame image.Rectangle // bounds of the frame
	Faces []Sight         // the dominant one first
}

// Sight is a face in a View.
type Sight struct {
	Box     engine.Rect // in the coordinates of the frame
	Reasons []string    // what speaks against it, in the engine's words
	// Ask is what the person could do to be recognised, in words for a screen;
	// empty: nothing, or it is not this one who counts.
	Ask string
}

// asking are the reasons that the person can do something about, whether they
// bar a comparison or only make it worse. A face is asked for better light, not
// refused for it.
var asking = append([]engine.Reason{engine.SideLit, engine.BackLit}, barringFrame...)

// sightsOf puts the faces of a frame into a view. open says that the dominant
// one is not decided about.
func sightsOf(faces []engine.Face, open bool) []Sight {
	all := make([]Sight, len(faces))
	for i, f := range faces {
		all[i] = Sight{Box: f.Box, Reasons: words(f.Quality.Reasons)}
		if asks, _ := judge(f, asking); i == 0 && open && len(asks) > 0 {
			all[i].Ask = asks[0].Hint()
		}
	}
	return all
}

// subjectOf is the dominant face as a camera wants to know it.
func subjectOf(faces []engine.Face) camera.Subject {
	if len(faces) == 0 {
		return camera.Subject{}
	}
	b := faces[0].Box
	return camera.Subject{
		Box:  image.Rect(int(math.Floor(b.X0)), int(math.Floor(b.Y0)), int(math.Ceil(b.X1)), int(math.Ceil(b.Y1))),
		Luma: faces[0].Quality.Brightness,
	}
}
