// Package attack stages presentations to a camera, of living people and of
// attacks on them, to measure how well liveness tells them apart.
//
//	a := attack.Attempt{Species: attack.Tablet, Victim: 2001, Other: 2002, Seed: 7, Challenge: moves}
//	frames := a.Film(ctx)
//
// Everything is drawn from the seeds: people, motion, light, room, lens, noise, and
// the artefact with its flaws. A live session, and what a display shows, are
// renders of synthface; paper is posed, bent, lit and rendered with them; a display
// is a warp of the rendered frames of a living person, with its bezel, its pixel
// grid sampled by the camera's, its refresh seen through a rolling shutter, glare
// and the shaking hand.
//
// The attacker is strong: he plays the right answer to each challenge in time, which
// random challenges are there to prevent. What he does not do: wear a mask of
// silicone, inject frames behind the camera, or make frames by a generator.
//
// It is for measurements: the daemon does not link it.
package attack

import (
	"context"
	"fmt"
	"image"
	"math/rand/v2"
	"time"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/synthface"
)

// Species is a kind of presentation.
type Species string

// The species: a living person, and the attacks.
const (
	Live     Species = "live"
	Flat     Species = "flat-print"       // a photograph on paper, moved as the head was told to
	Bent14   Species = "bent-print-14"    // … bent around 14 cm
	Bent9    Species = "bent-print-9"     // … around 9 cm, as a face is
	Mask     Species = "cut-out-mask"     // … cut out, worn, with holes for the eyes
	Shaken   Species = "shaken-print"     // a photograph shaken to look alive
	Phone    Species = "phone-replay"     // a telephone that plays a live session
	Tablet   Species = "tablet-replay"    // a tablet that does
	CloseUp  Species = "screen-close-up"  // a tablet so close that its edges are not seen
	Swapped  Species = "swapped-person"   // somebody else answers the challenge, then a print is shown
	Spliced  Species = "spliced-frames"   // frames of another person's turns among the victim's own
	Reshot   Species = "spliced-sessions" // frames of two sessions of the victim, cut together
	Repeated Species = "looped-frames"    // few frames of the victim, sent forwards and backwards
)

// Attacks lists the species of attack, in the order of reports.
func Attacks() []Species {
	return []Species{Flat, Bent14, Bent9, Mask, Shaken, Phone, Tablet, CloseUp, Swapped, Spliced, Reshot, Repeated}
}

// Kind is what a species of attack shows the camera, as a calibration knows it.
func (s Species) Kind() string {
	switch s {
	case Live:
		return ""
	case Flat, Bent14, Bent9, Mask, Shaken:
		return "paper"
	case Phone, Tablet:
		return "display"
	case CloseUp:
		return "close-up" // it has no edges to be told by
	}
	return "recording"
}

// Attempt is one presentation.
type Attempt struct {
	Species Species
	Victim  int64 // seed of the person who is enrolled, and who is alive in Live
	Other   int64 // … of the attacker, where he is seen
	Seed    uint64
	// Challenge is what the attempt answers; empty: it only looks into the camera.
	Challenge []liveness.Move
}

// Frame is one frame of an attempt.
type Frame struct {
	Image image.Image
	At    time.Duration // since the first
}

// The seeds of identities. Tuning and reporting share none, nor do the people who
// are enrolled and those who attack.
const (
	tuningFrom, reportingFrom = 10_000, 20_000
	attackersFrom             = 5_000 // further
)

// MaxPool is how many identities there are of either kind.
const MaxPool = attackersFrom

// Pool are identities: N who are enrolled and who attack them.
type Pool struct {
	from int64
	n    int
}

// Tuning are n identities to develop with.
func Tuning(n int) Pool { return Pool{tuningFrom, n} }

// Reporting are n identities to report with, and for nothing else.
func Reporting(n int) Pool { return Pool{reportingFrom, n} }

// Skip are as many identities, without the first n of the pool: those that somebody
// has looked at already.
func (p Pool) Skip(n int) Pool { return Pool{p.from + int64(n), p.n} }

// Size is the number of people enrolled.
func (p Pool) Size() int { return p.n }

// Victim is the i-th identity that is enrolled, counted round.
func (p Pool) Victim(i int) int64 { return p.from + int64(i%p.n) }

// Other is the i-th attacker, counted round.
func (p Pool) Other(i int) int64 { return p.from + attackersFrom + int64(i%p.n) }

// Attempt is the i-th attempt of a species in this pool. active says that it has a
// challenge to answer.
func (p Pool) Attempt(s Species, i int, active bool) Attempt {
	a := Attempt{Species: s, Victim: p.Victim(i), Other: p.Other(i + i/p.n), Seed: uint64(p.from)<<20 + uint64(i)}
	if active {
		a.Challenge = liveness.NewChallenge(a.dice("challenge").IntN)
	}
	return a
}

// dice are the random numbers of one aspect of an attempt.
func (a *Attempt) dice(what string) dice {
	h := uint64(14695981039346656037) // FNV-1a
	for _, b := range []byte(string(a.Species) + "/" + what) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return dice{rand.New(rand.NewPCG(a.Seed, h))}
}

// dice draw from ranges.
type dice struct{ *rand.Rand }

func (d dice) within(lo, hi float64) float64 { return lo + (hi-lo)*d.Float64() }
func (d dice) chance(p float64) bool         { return d.Float64() < p }

// A Studio films attempts, and keeps what several of them need: the reels that
// displays play. It is safe for concurrent use; the zero value is ready.
type Studio struct {
	// Cache is a folder that keeps the frames, some 1 MB an attempt; empty: none does.
	Cache string

	reels kept[*reel]
	cast  kept[*synthface.Person]
}

// Portraits are two pictures of a person, to enrol.
func (s *Studio) Portraits(seed int64) []*image.YCbCr {
	var out []*image.YCbCr
	p := s.person(seed)
	for i, yaw := range []float64{-4, 7} {
		shot := synthface.Render(synthface.Scene{Room: seed % 7, Seed: seed + int64(i)}, synthface.Subject{Person: p, Pose: synthface.Pose{Yaw: yaw, Y: -1, Distance: 55}, Expression: synthface.Expression{Smile: .3}})
		out = append(out, shot.Image)
	}
	return out
}

// Film stages an attempt, at four frames a second of 640×480.
func (s *Studio) Film(ctx context.Context, a Attempt) ([]Frame, error) {
	if frames, err := s.load(&a); err == nil {
		return frames, nil
	}
	frames, err := s.stage(ctx, a)
	if err != nil {
		return nil, err
	}
	raw, err := a.developed(frames)
	if err != nil {
		return nil, err
	}
	if err := s.keep(&a, frames, raw); err != nil {
		return nil, err
	}
	return decoded(frames, raw)
}

// stage renders what is before the camera.
func (s *Studio) stage(ctx context.Context, a Attempt) ([]Frame, error) {
	switch a.Species {
	case Live:
		return s.live(ctx, &a, a.Victim, "live")
	case Flat, Bent14, Bent9, Mask, Shaken:
		return s.paper(ctx, &a)
	case Phone, Tablet, CloseUp:
		return s.display(ctx, a)
	case Swapped:
		return s.swapped(ctx, &a)
	case Spliced:
		return s.spliced(ctx, &a)
	case Reshot:
		return s.reshot(ctx, &a)
	case Repeated:
		return s.looped(ctx, &a)
	}
	return nil, fmt.Errorf("stage attempt: species %q is not known", a.Species)
}
