package synthface

import (
	"fmt"
	"iter"
	"math"
	"time"
)

// Act is something that a person does in front of the camera. Apart from
// Enter, Leave and Empty every act begins and ends with the person looking
// straight into the camera at the same place, so that they can follow each
// other in any order.
type Act int

// The acts. Enter, Look, Turn and Leave make a visit; the others answer
// challenges.
const (
	Empty     Act = iota // nobody is there
	Enter                // walks in from the side and up to the camera
	Look                 // looks into the camera, blinks, smiles a little
	Turn                 // turns the head to one side and to the other
	Leave                // turns and walks away
	TurnLeft             // to the subject's own left
	TurnRight            //
	Nod                  // looks down, then up
	Blink                // shuts the eyes twice
	OpenMouth            //
	LookUp               // lifts the chin
	LookDown             // lowers it
	Closer               // leans towards the camera
)

var actNames = [...]string{"empty", "enter", "look", "turn", "leave", "turn-left", "turn-right", "nod", "blink", "open-mouth", "look-up", "look-down", "closer"}

// String is the name that ParseAct knows.
func (a Act) String() string {
	if a < 0 || int(a) >= len(actNames) {
		return fmt.Sprintf("act %d", int(a))
	}
	return actNames[a]
}

// ParseAct finds an act by its name.
func ParseAct(name string) (Act, error) {
	for i, n := range actNames {
		if n == name {
			return Act(i), nil
		}
	}
	return 0, fmt.Errorf("parse act: no act is called %q", name)
}

// Duration is how long the act takes.
func (a Act) Duration() time.Duration {
	switch a {
	case Empty:
		return 1200 * time.Millisecond
	case Enter:
		return 2800 * time.Millisecond
	case Turn:
		return 3600 * time.Millisecond
	case Leave:
		return 2 * time.Second
	}
	return 2400 * time.Millisecond
}

// Perform renders an act frame by frame: who's Person or Print, moved as the
// act asks for (a print cannot blink). fps is frames per second.
func Perform(who Subject, a Act, s Scene, fps int) iter.Seq[Shot] {
	return func(yield func(Shot) bool) {
		n := a.frames(fps)
		for i := range n {
			frame := s
			frame.Seed = s.Seed*1e6 + int64(a)*1e4 + int64(i)
			var shot Shot
			if a == Empty {
				shot = Render(frame)
			} else {
				sub := who
				sub.Pose, sub.Expression = a.at(float64(i)/float64(n), who.side())
				shot = Render(frame, sub)
			}
			if !yield(shot) {
				return
			}
		}
	}
}

// frames is how many frames the act has.
func (a Act) frames(fps int) int {
	return max(1, int(math.Round(a.Duration().Seconds()*float64(fps))))
}

// side is where the subject comes from: -1 the left of the image, 1 the right.
func (s *Subject) side() float64 {
	if s.Person != nil && s.Person.Seed%2 == 0 {
		return 1
	}
	return -1
}

// home is where people stand while they look into the camera.
var home = Pose{Distance: 60, Y: -1.5}

// at is the pose and expression at a moment of the act, 0 ≤ t < 1.
func (a Act) at(t, side float64) (Pose, Expression) {
	p := home
	e := Expression{Smile: .3}
	sway := math.Sin(math.Pi * t) // no sway where acts meet
	p.X = .5 * sway * math.Sin(2*math.Pi*t)
	p.Roll = 1.2 * sway * math.Sin(2*math.Pi*t+1)
	once := func(from, to float64) float64 { // rises, holds and falls
		return smooth(from, from+.22, t) * smooth(to, to-.22, t)
	}
	switch a {
	case Enter:
		return enter(t, side)
	case Leave:
		return leave(t, side)
	case Look:
		e.Smile += .5 * sway
		e.Blink = bump(t-.3, .035)
		e.GazeX = .25 * bump(t-.62, .1)
		p.Pitch = 1.5 * sway
	case Turn:
		p.Yaw = 30 * (once(.04, .52) - once(.48, .97))
		e.GazeX = -.5 * p.Yaw / 30
		e.Blink = bump(t-.5, .03)
	case TurnLeft:
		p.Yaw = 30 * once(.15, .85)
	case TurnRight:
		p.Yaw = -30 * once(.15, .85)
	case Nod:
		p.Pitch = -16*once(.1, .55) + 12*once(.45, .9)
	case LookUp:
		p.Pitch = 17 * once(.15, .85)
	case LookDown:
		p.Pitch = -17 * once(.15, .85)
	case Closer:
		p.Distance -= 15 * once(.15, .85)
	case Blink:
		e.Blink = max(once(.12, .56), once(.46, .9))
		e.Blink = smooth(.25, .75, e.Blink)
	case OpenMouth:
		e.Mouth = once(.15, .85)
		e.Smile *= 1 - e.Mouth
	}
	return p, e
}

// enter walks from beside the picture to the camera.
func enter(t, side float64) (Pose, Expression) {
	k := 1 - (1-t)*(1-t)*(1+.5*t) // brisk, then slowing down
	p := home
	p.Distance = mix(205, home.Distance, k)
	p.X = side * 165 * sq(1-k) * (1 - .2*k)
	p.Y = home.Y + 1.6*math.Abs(math.Sin(t*math.Pi*5))*(1-k)
	p.Body = -side * 42 * smooth(1, .55, k)
	p.Yaw = .7 * p.Body
	p.Roll = 1.5 * math.Sin(t*math.Pi*5) * (1 - k)
	return p, Expression{Smile: .3 * k, GazeX: -side * -.4 * (1 - k), Blink: bump(t-.7, .03)}
}

// leave turns to the side away from where they came and walks out.
func leave(t, side float64) (Pose, Expression) {
	k := smooth(.1, 1, t) * (.4 + .6*t)
	p := home
	p.Distance = mix(home.Distance, 105, k)
	p.X = -side * 130 * k * k
	p.Body = -side * 62 * smooth(.1, .5, t)
	p.Yaw = -side * 58 * smooth(0, .4, t)
	p.Y = home.Y + 1.5*math.Abs(math.Sin(t*math.Pi*4))*smooth(.2, .5, t)
	return p, Expression{Smile: .3 * (1 - t), Blink: bump(t-.15, .05)}
}
