package verify_test

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/verify"
)

// following is a reel that wants to know where the face is.
type following struct {
	*reel
	told []camera.Subject
}

func (f *following) Follow(s camera.Subject) { f.told = append(f.told, s) }

// Who stands in bad light is asked to turn to it, and is recognised all the same;
// once he is, nothing is asked of him. The camera is told where he is.
func TestRunAsksRatherThanRefuses(t *testing.T) {
	b := newBox(t)
	ada := b.person(1)
	var asked []string
	r := &following{reel: new(reel).shoot(2).shoot(6, look{who: 1, reason: tooDark}).shoot(10, look{who: 1, reason: sideLit}).shoot(2)}
	err := b.Service.Run(t.Context(), r, verify.DoorConfig{Merchant: b.merchant, Saw: func(v verify.View) {
		ask := ""
		if len(v.Faces) > 0 {
			ask = v.Faces[0].Ask
		}
		asked = append(asked, ask)
	}})
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	want := slices.Concat(make([]string, 2), slices.Repeat([]string{engine.TooDark.Hint()}, 6),
		slices.Repeat([]string{engine.SideLit.Hint()}, 3), make([]string, 9))
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if d := b.events("decision"); len(d) != 1 || d[0].Person != ada {
		t.Errorf("decisions %+v", d)
	}
	for i, s := range r.told {
		if there := i >= 2 && i < 18; s.Box.Empty() == there {
			t.Errorf("frame %d: the camera is told of a face at %v", i, s.Box)
		}
	}
}
