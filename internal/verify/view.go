package verify

import (
	"image"
	"math"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/store"
)

// View is what Run saw in a frame: for a preview, and to tell the person what
// would help. It is told and kept nowhere.
type View struct {
	Time  time.Time
	Frame image.Rectangle // bounds of the frame
	Faces []Sight         // the dominant one first
	// Liveness is the proof of life that the door asks for; empty: it is no door.
	Liveness store.DoorLiveness
}

// Sight is a face in a View.
type Sight struct {
	Box     engine.Rect // in the coordinates of the frame
	Reasons []string    // what speaks against it, in the engine's words
	// Ask is what the person could do to be recognised, in words for a screen;
	// empty: nothing, or it is not this one who counts.
	Ask string
	// Move is what Ask asks for, where that is part of a challenge.
	Move liveness.Move
}

// movesAsked are the moves of a challenge in words.
var movesAsked = map[liveness.Move]string{
	liveness.Center: "look straight into the camera",
	liveness.Left:   "turn your head to the left",
	liveness.Right:  "turn your head to the right",
	liveness.Up:     "lift your chin",
	liveness.Down:   "lower your chin",
	liveness.Closer: "come closer",
}

// ask puts what a door asks of a face into its sight. What was wrong with a proof is
// for the journal alone.
func (tr *track) ask(s *Sight) {
	switch {
	case tr.waiting == nil && tr.refused:
		s.Ask = "step back, and come again"
	case tr.waiting != nil && tr.waiting.active():
		move, ok := tr.waiting.challenge.Next()
		if !ok {
			move = liveness.Center // until it is decided
		}
		s.Move, s.Ask = move, movesAsked[move]
	}
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
