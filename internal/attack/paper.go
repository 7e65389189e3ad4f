package attack

import (
	"context"

	"github.com/cypherface/edge/internal/synthface"
)

// photograph is a picture of the victim in good light, as one finds it.
func (st *Studio) photograph(a *Attempt, d dice) synthface.Shot {
	return synthface.Render(synthface.Scene{Width: 800, Height: 600, Room: int64(d.IntN(1000)), Noise: .7, FOV: 46, Seed: int64(d.Uint32()),
		Light: synthface.Light{Azimuth: d.within(-35, 35), Elevation: d.within(15, 45), Ambient: d.within(.8, 1.2), Warmth: d.within(0, .5)}},
		synthface.Subject{Person: st.person(a.Victim), Pose: synthface.Pose{Distance: d.within(40, 48), Y: -1, Yaw: d.within(-4, 4), Pitch: d.within(-3, 3)},
			Expression: synthface.Expression{Smile: d.within(0, .5)}})
}

// paper is a print that is moved as the head was told to move.
func (st *Studio) paper(ctx context.Context, a *Attempt) ([]Frame, error) {
	d := a.dice("paper")
	print := &synthface.Print{Of: st.photograph(a, d)}
	m := manner{turn: d.within(1, 1.35), nod: d.within(1, 1.5), shake: d.within(.2, 1)}
	sub := synthface.Subject{Print: print}
	switch a.Species {
	case Bent14:
		print.Bend = 14
	case Bent9:
		print.Bend = 9
	case Mask:
		print.Bend, print.Cut = d.within(9, 13), true
		sub.Person = st.person(a.Other)
		m = manner{turn: 1, nod: 1}
	case Shaken:
		print.Bend = d.within(0, 40)
		if print.Bend < 15 {
			print.Bend = 0
		}
		m.shake = d.within(2, 5)
	}
	return shoot(ctx, newScript(d, a.Challenge, m), a.scene(d), d, sub)
}
