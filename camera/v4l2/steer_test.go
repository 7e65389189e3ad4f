package v4l2

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// plant is a camera before a face: light comes through time and gain, late, and
// beyond white there is nothing.
type plant struct {
	light float64 // of the face at a time of 100 and no gain
	stops float64 // what the gain's range really brings
	noise float64 // of the measured luma
	delay int     // frames
	line  []Setting
	rng   *rand.Rand
}

func (p *plant) luma(at Setting) float64 {
	p.line = append(p.line, at)
	at = p.line[max(0, len(p.line)-1-p.delay)]
	x := p.light * float64(at.Time) / 100 * math.Exp2(float64(at.Gain)/100*p.stops)
	return min(1, max(.004, math.Pow(x, 1/gamma)+p.noise*p.rng.NormFloat64()))
}

// follow runs a face before a camera for a while, at 10 frames a second, and
// returns the last luma and how often the setting changed and turned back.
func follow(s *Steering, p *plant, begin time.Time, frames int) (luma float64, changes, turns int) {
	last := 0
	for i := range frames {
		luma = p.luma(s.At)
		was := s.At
		set, change := s.Step(begin.Add(time.Duration(i)*100*time.Millisecond), luma)
		if !change {
			continue
		}
		changes++
		way := 1
		if set.Time < was.Time || set.Time == was.Time && set.Gain < was.Gain {
			way = -1
		}
		if last*way < 0 {
			turns++
		}
		last = way
	}
	return luma, changes, turns
}

var morning = time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)

func webcamSteering() *Steering {
	return &Steering{Time: Range{3, 2047, 1}, Gain: Range{0, 100, 1}, At: Setting{Auto: true, Time: 160}}
}

// From any light, and however the gain works, the face comes to the middle and
// the setting to rest.
func TestSteeringSettles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		p := &plant{light: math.Exp2(-7 + 8*rng.Float64()), stops: 2 + 4*rng.Float64(), noise: .02 * rng.Float64(), delay: rng.IntN(4), rng: rng}
		s := webcamSteering()
		name := fmt.Sprintf("run %d: light %.4f, gain of %.1f stops, %d frames late", i, p.light, p.stops, p.delay)
		luma, _, turns := follow(s, p, morning, 150)
		if math.Abs(luma-aim) > wideBand+.06 {
			t.Errorf("%s: the face is at %.2f with %+v", name, luma, s.At)
		}
		if turns > 3 {
			t.Errorf("%s: turned back %d times", name, turns)
		}
		if _, changes, _ := follow(s, p, morning.Add(15*time.Second), 100); changes > 1 {
			t.Errorf("%s: %d changes after it had settled", name, changes)
		}
	}
}

func TestSteeringLeavesWellAlone(t *testing.T) {
	s := webcamSteering()
	for i := range 50 {
		if set, change := s.Step(morning.Add(time.Duration(i)*100*time.Millisecond), aim+.05*math.Sin(float64(i))); change {
			t.Fatalf("a face in good light: %+v", set)
		}
	}
	// One odd frame is no reason either.
	for i, luma := range []float64{.1, .45, .1, .1, .45} {
		if set, change := s.Step(morning.Add(time.Duration(60+i)*100*time.Millisecond), luma); change {
			t.Fatalf("two odd frames: %+v", set)
		}
	}
}

func TestSteeringGivesBack(t *testing.T) {
	s := webcamSteering()
	p := &plant{light: .01, stops: 4, rng: rand.New(rand.NewPCG(1, 2))}
	if follow(s, p, morning, 60); s.At.Auto {
		t.Fatal("a dark face was left to the automatic")
	}
	gone := morning.Add(6 * time.Second)
	for i := range 60 {
		set, change := s.Step(gone.Add(time.Duration(i)*100*time.Millisecond), 0)
		if change {
			if !set.Auto || i < 35 || i > 45 {
				t.Errorf("frame %d without a face: %+v", i, set)
			}
			return
		}
	}
	t.Error("the automatic never got the camera back")
}

// Time comes before gain, but not longer than what blurs; then gain, and what is
// left of the time only when there is no more gain.
func TestMove(t *testing.T) {
	for _, c := range []struct {
		from  Setting
		stops float64
		want  Setting
	}{
		{Setting{Time: 100}, 1, Setting{Time: 200}},
		{Setting{Time: 100}, -2, Setting{Time: 25}},
		{Setting{Time: 333}, 2, Setting{Time: 333, Gain: 50}},
		{Setting{Time: 333, Gain: 50}, -1, Setting{Time: 333, Gain: 25}},
		{Setting{Time: 333, Gain: 25}, -2, Setting{Time: 167}},
		{Setting{Time: 333, Gain: 100}, 1, Setting{Time: 666, Gain: 100}},
		{Setting{Time: 666, Gain: 100}, -1, Setting{Time: 333, Gain: 100}},
		{Setting{Time: 3}, -1, Setting{Time: 3}},
		{Setting{Time: 2047, Gain: 100}, 1, Setting{Time: 2047, Gain: 100}},
	} {
		s := webcamSteering()
		s.At = c.from
		got := s.move(c.stops)
		if d := got.Time - c.want.Time; d > 1 || d < -1 || got.Gain != c.want.Gain {
			t.Errorf("%+v by %g stops: %+v, want %+v", c.from, c.stops, got, c.want)
		}
	}
	only := &Steering{Gain: Range{0, 255, 1}, At: Setting{Gain: 10}}
	if got := only.move(1); got.Gain < 60 || got.Time != 0 {
		t.Errorf("a camera with gain alone: %+v", got)
	}
}
