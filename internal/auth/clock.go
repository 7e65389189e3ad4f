package auth

import "time"

// A Clock tells the time to what expires, on boxes too that have no battery for
// it and wake up in 1970. A wall clock that says less than is known to have
// passed is not trusted: time then goes on from there by the monotonic clock,
// until the wall clock has caught up or somebody vouches for it. What was issued
// thus never comes to life again, and nothing dies before its time.
type Clock struct {
	wall    func() time.Time
	elapsed func() time.Duration // since the clock was made, whatever the wall clock does
	vouched func() bool
	passed  time.Time
	leapt   bool // at the beginning the wall clock was far ahead of passed
}

// clockLeap is how far a wall clock may be ahead of what has passed for certain, after
// a start, until a time server has to vouch for it before anything is removed by it.
const clockLeap = 7 * 24 * time.Hour

// clockSlack is how far a wall clock may be set back without losing trust.
const clockSlack = 10 * time.Minute

// NewClock makes a clock. passed is a moment that has passed for certain: of the
// last thing that was stored, or when the program was built. vouched reports that
// a time server keeps the wall clock; it then counts whatever it says. Without it
// a box whose clock once ran ahead would distrust the right time for ever.
func NewClock(passed time.Time, vouched func() bool) *Clock {
	start := time.Now()
	return &Clock{
		leapt: start.Sub(passed) > clockLeap,
		wall:  time.Now, elapsed: func() time.Duration { return time.Since(start) },
		vouched: vouched, passed: passed,
	}
}

// Trusted reports whether the wall clock can be right.
func (c *Clock) Trusted() bool {
	return !c.wall().Round(0).Before(c.passed.Add(c.elapsed()-clockSlack)) || c.vouched()
}

// Sure reports whether the time can be relied on for what cannot be undone. A clock
// that woke up in 2090 is believed by Trusted; here it counts only where it is no more
// than a week ahead of the last that was stored, or a time server keeps it.
func (c *Clock) Sure() bool { return c.Trusted() && (!c.leapt || c.vouched()) }

// Now is the time of the wall clock if that is trusted, else the least that it
// can be.
func (c *Clock) Now() time.Time {
	if c.Trusted() {
		return c.wall()
	}
	return c.passed.Add(c.elapsed())
}
