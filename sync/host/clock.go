package host

import (
	"time"

	"golang.org/x/sys/unix"
)

// boottime is the time since the machine was started, sleep included: the clock of
// the step functions, which nobody can set.
func boottime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Since(started)
	}
	return time.Duration(t.Nano())
}

var started = time.Now()
