package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/cypherface/edge/internal/api"
)

// run is a program from its settings to its end: parts are opened bottom-up and
// closed top-down, the store last. out gets what a person should read, logOut
// the log.
func run(ctx context.Context, p Program, args []string, getenv func(string) string, out, logOut io.Writer) (err error) {
	set, err := parseSettings(p, args, out)
	if errors.Is(err, errHelp) {
		return nil
	} else if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(logOut, &slog.HandlerOptions{Level: set.logLevel}))
	// A box has time and little memory: the heap is collected at half its growth.
	if getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(50))
	}

	b, err := newBox(set, getenv, log)
	if err != nil {
		return err
	}
	defer closing(&err, b.close)
	first, err := b.open(ctx)
	if err != nil {
		return err
	}
	control, err := listenControl(ctx, set.data)
	if err != nil {
		return err
	}
	defer control.Close() // its server may have done so
	if err := b.openEngines(ctx); err != nil {
		return err
	}
	defer closing(&err, b.letGo)
	// Production goes first, so that of two cameras auto: it has the webcam.
	for _, e := range slices.Backward(b.all()) {
		err := e.begin(ctx)
		if isDamage(err) {
			err = b.degrade(ctx, e.name, errors.Join(err, e.close()))
		}
		if err != nil {
			return err
		}
	}
	b.welcome(out, first)
	debug.FreeOSMemory() // what loading left behind is not needed again
	return b.serve(ctx, control)
}

// closing calls a Close on the way out and keeps its error, if there is no
// other.
func closing(err *error, close func() error) {
	if closeErr := close(); *err == nil {
		*err = closeErr
	}
}

// serve runs everything until ctx ends or a part fails, and then lets requests
// end within the drain time.
func (b *box) serve(ctx context.Context, control net.Listener) error {
	// Requests under way live on after the signal; what must end then gets live.
	base, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	g, live := errgroup.WithContext(ctx)
	operator := api.ControlServer(base, b, b.log)
	operator.ConnContext = api.Peer(uint32(os.Getuid()))
	g.Go(func() error { return serveUntil(live, operator, control, b.drain) })
	b.serveBy(func(e *environment) { e.serve(g, live, base) })
	for _, d := range b.allDegraded() {
		g.Go(func() error { return d.serve(live, base) })
	}
	g.Go(func() error { return feedWatchdog(live, b.log, b.alive) })
	g.Go(func() error {
		<-live.Done()
		notify(b.log, daemon.SdNotifyStopping)
		b.log.Info("stopping")
		return nil
	})
	notify(b.log, daemon.SdNotifyReady)
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// notify tells systemd, where it listens.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("notify systemd", "err", err)
	}
}

// feedWatchdog tells systemd that the box lives, each time that alive says so.
// When alive does not return, or says no, it stays silent, and systemd starts
// the box anew.
func feedWatchdog(ctx context.Context, log *slog.Logger, alive func(context.Context) error) error {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil || limit == 0 {
		return nil // nobody watches
	}
	tick := time.NewTicker(limit / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := alive(ctx); err == nil {
			notify(log, daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			log.Error("the box does not work", "err", err)
		}
	}
}

// version is that of the program as it was built.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return info.Main.Version
}
