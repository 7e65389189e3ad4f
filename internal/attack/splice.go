package attack

import (
	"context"
	"slices"
	"time"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/synthface"
)

// swapped is an attacker who answers the challenge himself and then, or first,
// holds the victim's print before the camera.
func (st *Studio) swapped(ctx context.Context, a *Attempt) ([]Frame, error) {
	d := a.dice("swapped")
	s, scene := newScript(d, a.Challenge, manner{turn: 1, nod: 1}), a.scene(d)
	frames, err := shoot(ctx, s, scene, d, synthface.Subject{Person: st.person(a.Other)})
	if err != nil {
		return nil, err
	}
	print := synthface.Subject{Print: &synthface.Print{Of: st.photograph(a, d), Bend: 14}}
	still := newScript(d, nil, manner{turn: 1, nod: 1, shake: .5})
	more, err := shoot(ctx, still, scene, d, print)
	if err != nil {
		return nil, err
	}
	if len(a.Challenge) == 0 || d.chance(.3) {
		frames, more = more, frames
	}
	return joined(frames, more), nil
}

// joined is one recording after the other.
func joined(a, b []Frame) []Frame {
	offset := a[len(a)-1].At + (a[1].At-a[0].At+a[2].At-a[1].At)/2
	for i := range b {
		b[i].At += offset
	}
	return append(a, b...)
}

// spliced has the victim's own straight frames and the attacker's turns, in one
// room and one light.
func (st *Studio) spliced(ctx context.Context, a *Attempt) ([]Frame, error) {
	d := a.dice("spliced")
	s, scene := newScript(d, a.Challenge, manner{turn: 1, nod: 1}), a.scene(d)
	victim, other := st.person(a.Victim), st.person(a.Other)
	var frames []Frame
	var camera synthface.Renderer
	for i, at := range s.times(d) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		pose, e := s.at(at.Seconds())
		sub := synthface.Subject{Person: victim, Pose: pose, Expression: e}
		away := max(pose.Yaw-s.home.Yaw, s.home.Yaw-pose.Yaw, pose.Pitch-s.home.Pitch, s.home.Pitch-pose.Pitch, s.home.Distance-pose.Distance)
		if len(a.Challenge) > 0 && away > 8 || len(a.Challenge) == 0 && i%3 == 2 {
			sub.Person = other
		}
		frame := scene
		frame.Seed += int64(i) * 7919
		frames = append(frames, Frame{camera.Render(frame, sub).Image, at})
	}
	return frames, nil
}

// reshot has each step of the challenge from one of two sessions of the victim, in
// other rooms: frames that were kept and are cut together as it asks.
func (st *Studio) reshot(ctx context.Context, a *Attempt) ([]Frame, error) {
	d := a.dice("reshot")
	s := newScript(d, a.Challenge, manner{turn: 1, nod: 1})
	scenes := [2]synthface.Scene{a.scene(d), a.scene(d)}
	who := st.person(a.Victim)
	var frames []Frame
	var cameras [2]synthface.Renderer
	times := s.times(d)
	for i, at := range times {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := 0
		for k, from := range s.steps {
			if at.Seconds() >= from {
				part = k
			}
		}
		if len(a.Challenge) == 0 {
			part = 2 * i / len(times)
		}
		frame := scenes[part%2]
		frame.Seed += int64(i) * 7919
		sub := synthface.Subject{Person: who}
		sub.Pose, sub.Expression = s.at(at.Seconds())
		frames = append(frames, Frame{cameras[part%2].Render(frame, sub).Image, at})
	}
	return frames, nil
}

// looped has few live frames of the victim and plays them to and fro: straight
// ones, or one turn to each side over and over.
func (st *Studio) looped(ctx context.Context, a *Attempt) ([]Frame, error) {
	few := *a
	few.Challenge = slices.DeleteFunc(slices.Clone(a.Challenge), func(m liveness.Move) bool { return m != liveness.Left && m != liveness.Right })
	frames, err := st.live(ctx, &few, a.Victim, "looped")
	if err != nil {
		return nil, err
	}
	gap := frames[1].At
	n := len(frames)
	for i := range n {
		f := frames[n-1-i]
		f.At = frames[n-1].At + gap*time.Duration(i+1)
		frames = append(frames, f)
	}
	if len(frames) > liveness.MaxFrames {
		frames = frames[len(frames)-liveness.MaxFrames:]
	}
	return frames, nil
}
