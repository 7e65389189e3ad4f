package attack

import (
	"context"
	"math"
	"time"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/synthface"
)

// Frames a second of an attempt: what a client uploads.
const (
	activeRate  = 3
	passiveRate = 4
)

// stroke is one movement of the head: there, held, and back.
type stroke struct {
	from, rise, hold, fall   float64 // seconds
	yaw, pitch, roll, closer float64 // degrees; closer in cm
	overshoot, wrong         float64 // shares of the way
}

// strength is how far the stroke is on its way at a moment: 0..1 and a little more
// where it overshoots, below 0 where it first goes wrong.
func (s *stroke) strength(t float64) float64 {
	t -= s.from
	k := smooth(t/s.rise) * (1 - smooth((t-s.rise-s.hold)/s.fall))
	k += s.overshoot * bump((t-s.rise)/.25)
	return k - s.wrong*bump((t+.15)/.25)
}

// smooth goes from 0 to 1 with its argument, without corners.
func smooth(x float64) float64 {
	x = min(max(x, 0), 1)
	return x * x * (3 - 2*x)
}

func bump(x float64) float64 { return math.Exp(-x * x) }

// script is how a head, or what is held in its place, moves over a session.
type script struct {
	home     synthface.Pose
	strokes  []stroke
	sways    []sway
	blinks   []float64
	smile    float64
	duration float64
	steps    []float64 // where each step of the challenge begins, seconds
}

// sway is one wave of natural motion or of a shaking hand.
type sway struct {
	hertz, phase           float64
	x, y, z                float64 // cm
	yaw, pitch, roll, grin float64
}

// manner is how somebody performs.
type manner struct {
	turn, nod float64 // how far, as a share of what people do
	shake     float64 // of the hand, 0 for a head
}

// newScript draws the motion of a session.
func newScript(d dice, challenge []liveness.Move, m manner) *script {
	s := &script{home: synthface.Pose{
		Distance: d.within(46, 70), X: d.within(-4, 4), Y: d.within(-4, 1.5), Yaw: d.within(-3, 3), Pitch: d.within(-4, 4), Roll: d.within(-3, 3)},
		smile: d.within(0, .5)}
	t := d.within(.3, .9)
	for _, move := range challenge {
		s.steps = append(s.steps, t)
		if move == liveness.Center {
			t += d.within(.4, .9)
			continue
		}
		k := stroke{from: t + d.within(.15, .9), rise: d.within(.45, 1), hold: d.within(.35, .8), fall: d.within(.4, .9)}
		switch move {
		case liveness.Left:
			k.yaw = d.within(23, 36) * m.turn
		case liveness.Right:
			k.yaw = -d.within(23, 36) * m.turn
		case liveness.Up:
			k.pitch = d.within(13, 22) * m.nod
		case liveness.Down:
			k.pitch = -d.within(13, 22) * m.nod
		case liveness.Closer:
			k.closer = s.home.Distance * d.within(.22, .34)
		}
		k.pitch += d.within(-3, 3) // nobody turns about one axis alone
		k.yaw += d.within(-3, 3)
		k.roll = d.within(-5, 5)
		if d.chance(.2) {
			k.overshoot = d.within(.08, .25)
		}
		if d.chance(.1) {
			k.wrong = d.within(.1, .25)
		}
		s.strokes = append(s.strokes, k)
		t = k.from + k.rise + k.hold + .6*k.fall
	}
	s.duration = t + d.within(.4, .8)
	if len(challenge) == 0 {
		s.duration = d.within(1.6, 2.4)
	}
	s.fidget(d, m)
	return s
}

// fidget adds what nobody does on purpose.
func (s *script) fidget(d dice, m manner) {
	for range 3 {
		s.sways = append(s.sways, sway{hertz: d.within(.15, .6), phase: d.within(0, 7), x: d.within(0, .5), y: d.within(0, .25), z: d.within(0, .6),
			yaw: d.within(0, 2.2), pitch: d.within(0, 1.5), roll: d.within(0, 1), grin: d.within(0, .12)})
	}
	for range 3 {
		s.sways = append(s.sways, sway{hertz: d.within(.8, 4), phase: d.within(0, 7), x: m.shake * d.within(0, .25), y: m.shake * d.within(0, .25),
			z: m.shake * d.within(0, .3), yaw: m.shake * d.within(0, 1.5), pitch: m.shake * d.within(0, 1.5), roll: m.shake * d.within(0, .8)})
	}
	for t := d.within(.3, 3); t < s.duration; t += d.within(1.5, 5) {
		s.blinks = append(s.blinks, t)
	}
}

// at is the pose and expression at a moment.
func (s *script) at(t float64) (synthface.Pose, synthface.Expression) {
	p, e := s.home, synthface.Expression{Smile: s.smile}
	for _, w := range s.sways {
		k := math.Sin(2*math.Pi*w.hertz*t + w.phase)
		p.X += w.x * k
		p.Y += w.y * math.Sin(1.3*(2*math.Pi*w.hertz*t+w.phase)+1)
		p.Distance += w.z * k
		p.Yaw += w.yaw * k
		p.Pitch += w.pitch * math.Sin(2*math.Pi*w.hertz*t+2*w.phase)
		p.Roll += w.roll * k
		e.Smile += w.grin * k
	}
	for i := range s.strokes {
		k := s.strokes[i].strength(t)
		p.Yaw += k * s.strokes[i].yaw
		p.Pitch += k * s.strokes[i].pitch
		p.Roll += k * s.strokes[i].roll
		p.Distance -= k * s.strokes[i].closer
	}
	for _, b := range s.blinks {
		e.Blink = max(e.Blink, bump((t-b)/.09))
	}
	e.Smile = min(max(e.Smile, 0), 1)
	e.GazeX = -.3 * min(max(p.Yaw/30, -1), 1)
	return p, e
}

// times are the moments of the frames, with the jitter of a client.
func (s *script) times(d dice) []time.Duration {
	var all []time.Duration
	rate := float64(passiveRate)
	if len(s.strokes) > 0 {
		rate = activeRate
	}
	for t := 0.; t < s.duration; t += 1 / rate {
		all = append(all, time.Duration((t+d.within(0, .06))*float64(time.Second)))
	}
	return all
}

// scene draws camera, room and light. A camera that is held in a hand sees more than
// it shows: see hand.
func (a *Attempt) scene(d dice) synthface.Scene {
	s := newScene(d)
	if a.handheld() {
		s.Width, s.Height = frameWidth+2*margin, frameHeight+2*margin*frameHeight/frameWidth
		s.FOV = 360 / math.Pi * math.Atan(math.Tan(s.FOV*math.Pi/360)*float64(s.Height)/frameHeight)
	}
	return s
}

func newScene(d dice) synthface.Scene {
	return synthface.Scene{
		FOV: d.within(42, 54), Room: int64(d.IntN(1000)), Noise: d.within(.8, 2.6), Blur: max(0, d.within(-.4, .6)), Seed: int64(d.Uint32()),
		Light: synthface.Light{Azimuth: d.within(-50, 50), Elevation: d.within(8, 50), Key: d.within(.6, 1.15), Ambient: d.within(.7, 1.2), Warmth: d.within(0, .8)},
	}
}

// live is a living person who answers the challenge.
func (st *Studio) live(ctx context.Context, a *Attempt, who int64, take string) ([]Frame, error) {
	d := a.dice(take)
	s, scene := newScript(d, a.Challenge, manner{turn: 1, nod: 1}), a.scene(d)
	return shoot(ctx, s, scene, d, synthface.Subject{Person: st.person(who)})
}

// shoot renders a subject that moves by a script.
func shoot(ctx context.Context, s *script, scene synthface.Scene, d dice, sub synthface.Subject) ([]Frame, error) {
	var frames []Frame
	var camera synthface.Renderer
	for i, at := range s.times(d) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		sub.Pose, sub.Expression = s.at(at.Seconds())
		frame := scene
		frame.Seed += int64(i) * 7919
		frames = append(frames, Frame{camera.Render(frame, sub).Image, at})
	}
	return frames, nil
}
