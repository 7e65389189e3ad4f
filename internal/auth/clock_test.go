package auth

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	passed := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var wall time.Time
	var elapsed time.Duration
	vouched := false
	c := &Clock{wall: func() time.Time { return wall }, elapsed: func() time.Duration { return elapsed }, vouched: func() bool { return vouched }, passed: passed}
	for _, tt := range []struct {
		name    string
		wall    time.Time
		elapsed time.Duration
		vouched bool
		trusted bool
		now     time.Time
	}{
		{"right", passed.Add(time.Hour), 0, false, true, passed.Add(time.Hour)},
		{"a little back", passed.Add(-5 * time.Minute), 0, false, true, passed.Add(-5 * time.Minute)},
		{"no battery", time.Unix(7, 0), 0, false, false, passed},
		{"no battery, running", time.Unix(67, 0), time.Minute, false, false, passed.Add(time.Minute)},
		{"set by hand", passed.Add(48 * time.Hour), 2 * time.Minute, false, true, passed.Add(48 * time.Hour)},
		{"set back while running", passed, time.Hour, false, false, passed.Add(time.Hour)},
		{"ran ahead once, a server keeps it now", passed.Add(-24 * time.Hour), time.Hour, true, true, passed.Add(-24 * time.Hour)},
	} {
		wall, elapsed, vouched = tt.wall, tt.elapsed, tt.vouched
		if got := c.Trusted(); got != tt.trusted || !c.Now().Equal(tt.now) {
			t.Errorf("%s: trusted %v, now %v", tt.name, got, c.Now())
		}
	}
	// What cannot be undone waits where the clock leapt, until somebody vouches for it.
	for _, tt := range []struct {
		passed        time.Time
		vouched, sure bool
	}{{time.Now().Add(-time.Hour), false, true}, {time.Now().Add(-1000 * time.Hour), false, false}, {time.Now().Add(-1000 * time.Hour), true, true}, {time.Now().Add(time.Hour), false, false}} {
		if c := NewClock(tt.passed, func() bool { return tt.vouched }); c.Sure() != tt.sure {
			t.Errorf("passed %v, vouched %v: sure %v", tt.passed, tt.vouched, !tt.sure)
		}
	}
	if real := NewClock(passed, func() bool { return false }); !real.Trusted() || time.Since(real.Now()) > time.Minute {
		t.Error("the clock of this machine is not trusted")
	}
}
