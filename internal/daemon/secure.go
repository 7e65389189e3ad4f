package daemon

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// secure has the listener speak TLS, if the settings say so.
func (e *environment) secure() (err error) {
	kind, err := e.certificate()
	if err != nil || kind.word == "off" {
		return err
	}
	dir := filepath.Join(e.data, string(e.name), "tls")
	switch kind.word {
	case "own":
		e.own, err = web.OpenOwn(dir, e.names(), func() (time.Time, bool) { return e.clock.Now(), e.clock.Trusted() })
		e.certs = e.own
	case "files":
		e.certs, err = web.OpenFiles(kind.args[0], kind.args[1])
	case "acme":
		opt := e.acme
		opt.Names, opt.Cache = kind.args, dir
		e.certs, err = web.OpenACME(opt)
	}
	if err != nil {
		return err
	}
	e.listener = web.TLSOnly(e.listener, web.TLS(e.certs))
	return nil
}

// names are what the certificate that the box makes is for.
func (e *environment) names() []string {
	names := web.Names()
	if u, err := url.Parse(e.url); err == nil && u.Hostname() != "" {
		names = append(names, u.Hostname())
	}
	return names
}

// scheme is how the environment is spoken to.
func (e *environment) scheme() string {
	if e.certs != nil {
		return "https"
	}
	return "http"
}

// newClock makes the clock of an environment: what has passed for certain is the
// making of the program and the last event that was kept.
func newClock(ctx context.Context, s store.Store) (*auth.Clock, error) {
	passed := builtAt()
	err := s.View(ctx, func(tx *store.Tx) error {
		head, err := store.Head(tx)
		if err != nil || head == 0 {
			return err
		}
		last, err := store.Events(tx, head-1, 1)
		if err == nil && len(last) > 0 && last[0].Time.After(passed) {
			passed = last[0].Time
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read when the last event was: %w", err)
	}
	return auth.NewClock(passed, timeIsKept), nil
}

// builtAt is when the program's sources were committed, or a day that is over.
func builtAt() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if t, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				return t
			}
		}
	}
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
}

// timeIsKept reports whether a time server keeps the clock. In the unit's sandbox
// the kernel may not be asked; systemd leaves a file.
func timeIsKept() bool {
	if _, err := os.Stat("/run/systemd/timesync/synchronized"); err == nil {
		return true
	}
	var tx unix.Timex
	status, err := unix.Adjtimex(&tx)
	return err == nil && status != unix.TIME_ERROR
}
