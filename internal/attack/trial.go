package attack

import (
	"context"
	"fmt"
	"image"
	"sync"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/liveness"
)

// Recogniser is what a trial wants of engine.Engine.
type Recogniser interface {
	Detect(ctx context.Context, img image.Image) ([]engine.Face, error)
	Embed(ctx context.Context, img image.Image, f engine.Face) (engine.Template, error)
	liveness.Onlooker
}

// Outcome is what became of an attempt.
type Outcome struct {
	Attempt
	Frames  int // with a face
	Verdict liveness.Verdict
}

// Judge observes the frames of an attempt as the product does, and decides.
func Judge(ctx context.Context, e Recogniser, m *liveness.Model, same liveness.Likeness, frames []Frame, asked []liveness.Move) (liveness.Verdict, int, error) {
	var seen []liveness.Frame
	for _, f := range frames {
		faces, err := e.Detect(ctx, f.Image)
		if err != nil {
			return liveness.Verdict{}, 0, err
		}
		face, ambiguous, ok := engine.Dominant(faces)
		if !ok || ambiguous {
			continue
		}
		t, err := e.Embed(ctx, f.Image, face)
		if err != nil {
			return liveness.Verdict{}, 0, err
		}
		frame := liveness.Observe(f.Image, face, t, f.At)
		var before *liveness.Frame
		if n := len(seen); n > 0 {
			before = &seen[n-1]
		}
		if err := frame.Ask(ctx, e, f.Image, face, before); err != nil {
			return liveness.Verdict{}, 0, err
		}
		seen = append(seen, frame)
	}
	return m.Judge(seen, asked, same), len(seen), nil
}

// Run stages and judges attempts with so many workers, and hands out each outcome
// when it is there, one at a time. An error of done ends the run.
func (s *Studio) Run(ctx context.Context, e Recogniser, m *liveness.Model, same liveness.Likeness, attempts []Attempt, workers int, done func(Outcome) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan Attempt)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range max(1, workers) {
		wg.Go(func() {
			for a := range next {
				o, err := s.one(ctx, e, m, same, a)
				if err != nil {
					err = fmt.Errorf("stage %s of %d: %w", a.Species, a.Victim, err)
				} else {
					mu.Lock()
					err = done(o)
					mu.Unlock()
				}
				if err != nil {
					cancel(err)
					return
				}
			}
		})
	}
feed:
	for _, a := range attempts {
		select {
		case next <- a:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

func (s *Studio) one(ctx context.Context, e Recogniser, m *liveness.Model, same liveness.Likeness, a Attempt) (Outcome, error) {
	frames, err := s.Film(ctx, a)
	if err != nil {
		return Outcome{}, err
	}
	v, n, err := Judge(ctx, e, m, same, frames, a.Challenge)
	return Outcome{Attempt: a, Frames: n, Verdict: v}, err
}
