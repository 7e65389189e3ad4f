package v4l2

import (
	"math"
	"time"
)

// Steering finds the exposure at which a face, not the frame, is well lit: a
// camera's own automatic serves the window behind a person. It is a pure step
// function, told the time and how bright the face is, and leaves the camera to
// its automatic as long as that does well or nobody is there.
//
//	set, change := s.Step(now, luma)
type Steering struct {
	Time Range // of the exposure time, in 100 µs
	Gain Range // zero: the camera has none
	// At is what the camera is set to. While At.Auto, whoever can read what the
	// automatic has found puts it here before each Step.
	At Setting

	seen     time.Time // the last face
	settled  time.Time // when the last change shows in the frames
	outside  int       // faces in a row that were too dark or too bright
	pull     float64   // share of the error that a step takes away
	last     float64   // stops of the last change
	reversed time.Time // when a change last undid another
}

// Range is what a control takes.
type Range struct{ Least, Most, Step int32 }

func (r Range) empty() bool { return r.Most <= r.Least }

// clamp is the value of the range nearest to x.
func (r Range) clamp(x float64) int32 {
	step := float64(max(r.Step, 1))
	x = math.Round((x-float64(r.Least))/step)*step + float64(r.Least)
	return int32(min(max(x, float64(r.Least)), float64(r.Most)))
}

// Setting is an exposure.
type Setting struct {
	Auto       bool // the camera's own; Time and Gain are then what it found, if it tells
	Time, Gain int32
}

// Where a face should be, and how it is brought there.
const (
	aim        = 0.45                   // mean luma of the face, 0..1: that of everyday portraits (engine's evenMean)
	band       = 0.08                   // around it in which nothing is done
	wideBand   = 0.13                   // … soon after a change had to be undone
	patienceIn = 3                      // faces in a row outside before anything is done
	settle     = 400 * time.Millisecond // until frames show a change: drivers queue some
	calm       = 10 * time.Second       // how long an undone change makes careful
	faceless   = 4 * time.Second        // without a face, the automatic has it again
	mostStops  = 1.5                    // of a change: what is white or black tells no more
	firstPull  = 0.8
	gamma      = 2.2 // of the luma: light is its power
	longest    = 333 // 1/30 s: longer blurs who walks and slows the camera, and is tried last
	gainStops  = 4.0 // what the range of a gain is taken for, since no camera tells
)

// Step is told how bright the face of a frame is (mean luma, 0..1; 0 where there
// is no face), and returns what to set when that is to change.
func (s *Steering) Step(now time.Time, luma float64) (set Setting, change bool) {
	if luma <= 0 {
		s.outside = 0
		if s.At.Auto || now.Sub(s.seen) < faceless {
			return s.At, false
		}
		*s = Steering{Time: s.Time, Gain: s.Gain, At: Setting{Auto: true, Time: s.At.Time, Gain: s.At.Gain}}
		return s.At, true
	}
	s.seen = now
	if now.Before(s.settled) {
		return s.At, false
	}
	allowed := band
	if !s.reversed.IsZero() && now.Sub(s.reversed) < calm {
		allowed = wideBand
	} else {
		s.pull = firstPull
	}
	if math.Abs(luma-aim) <= allowed {
		s.outside = 0
		return s.At, false
	}
	if s.outside++; s.outside < patienceIn {
		return s.At, false
	}
	return s.turn(now, gamma*math.Log2(aim/max(luma, 0.01)))
}

// turn changes the exposure by a part of the error, in stops.
func (s *Steering) turn(now time.Time, stops float64) (Setting, bool) {
	if s.last*stops < 0 && now.Sub(s.settled) < calm {
		s.reversed, s.pull = now, s.pull/2
	}
	stops = min(max(s.pull*stops, -mostStops), mostStops)
	to := s.move(stops)
	if to == s.At { // at its end: there is no more to be had
		return s.At, false
	}
	s.At, s.last, s.outside, s.settled = to, stops, 0, now.Add(settle)
	return to, true
}

// move is the setting with 2^stops times the light: more time first, up to what
// blurs nobody, then gain, then more time; less in the same order.
func (s *Steering) move(stops float64) Setting {
	to := Setting{Time: s.At.Time, Gain: s.At.Gain}
	expose := func(limit float64) { // by the time, not beyond limit
		if s.Time.empty() {
			return
		}
		was := max(float64(to.Time), 1)
		if stops > 0 {
			to.Time = s.Time.clamp(min(was*math.Exp2(stops), max(was, limit)))
		} else {
			to.Time = s.Time.clamp(max(was*math.Exp2(stops), min(was, limit)))
		}
		stops -= math.Log2(max(float64(to.Time), 1) / was)
	}
	end := 0.0
	if stops > 0 {
		end = math.Inf(1)
	}
	expose(longest)
	if span := float64(s.Gain.Most - s.Gain.Least); !s.Gain.empty() {
		was := float64(to.Gain)
		to.Gain = s.Gain.clamp(was + stops/gainStops*span)
		stops -= (float64(to.Gain) - was) / span * gainStops
	}
	expose(end)
	return to
}
