package verify

import (
	"context"
	"sync"
	"time"
)

// Pace has work in the background give way to whoever waits for an answer. The
// zero value is ready.
type Pace struct {
	mu    sync.Mutex // protects the fields below
	busy  int        // calls that somebody waits for
	quiet chan struct{}
}

// leastPace is how long the background waits at most: a box that is asked without
// a pause still comes to an end.
const leastPace = 250 * time.Millisecond

func (p *Pace) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy++; p.busy == 1 {
		p.quiet = make(chan struct{})
	}
}

func (p *Pace) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy--; p.busy == 0 {
		close(p.quiet)
	}
}

// wait returns when nobody waits for an answer, or after leastPace, or with ctx.
func (p *Pace) wait(ctx context.Context) {
	p.mu.Lock()
	busy, quiet := p.busy > 0, p.quiet
	p.mu.Unlock()
	if !busy {
		return
	}
	late := time.NewTimer(leastPace)
	defer late.Stop()
	select {
	case <-quiet:
	case <-late.C:
	case <-ctx.Done():
	}
}
