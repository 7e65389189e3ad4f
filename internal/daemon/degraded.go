package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/upkeep"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// degraded is an environment whose store cannot be opened for damage. It says so,
// lets the operator check the store, and decides nothing: ending instead would
// have the box start over and over, and nobody could ask it why. Once the store
// can be opened again, as after a restore, the environment takes its place.
type degraded struct {
	*box
	name    store.Environment
	front   *environment // what of it there is: where it listens
	api     *api.Degraded
	control atomic.Pointer[web.Server]

	mu     sync.Mutex // protects the fields below
	reason error
	state  upkeep.State
}

// retryTime is how often it is seen whether a damaged store has been replaced.
const retryTime = 2 * time.Second

// isDamage says whether an error is one of the store's bytes or of its disk.
func isDamage(err error) bool {
	return errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrForeign) || errors.Is(err, syscall.EIO)
}

// degrade has an environment stand by.
func (b *box) degrade(ctx context.Context, env store.Environment, reason error) error {
	d := &degraded{box: b, name: env}
	if err := d.listen(ctx, reason); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.envs, env)
	b.down[env] = d
	return nil
}

// listen opens what serves, and says why it is that.
func (d *degraded) listen(ctx context.Context, reason error) (err error) {
	d.log.Error("the store cannot be opened; the environment stands by and decides nothing", "environment", string(d.name), "err", reason)
	d.front = &environment{box: d.box, place: *d.of(d.name), name: d.name, log: d.log, clock: auth.NewClock(builtAt(), timeIsKept)}
	if d.front.listener, err = listen(ctx, d.front.listen); err == nil {
		err = d.front.secure()
	}
	if err != nil {
		return errors.Join(reason, err)
	}
	metrics := prometheus.NewRegistry()
	damaged := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cypherface_store_damaged", Help: "1 where damage was met or found since the store was opened or last found whole.",
		ConstLabels: prometheus.Labels{"environment": string(d.name)},
	})
	damaged.Set(1)
	if err := metrics.Register(damaged); err != nil {
		return err
	}
	d.mu.Lock()
	d.reason = reason
	d.mu.Unlock()
	d.api = api.NewDegraded(d.name, api.Config{
		Status: d.status, Version: version(), Gather: prometheus.Gatherers{d.metrics, metrics}, Storage: d, Log: d.log,
	})
	d.control.Store(d.api.Control())
	d.log.Warn("the environment stands by", "url", d.front.address(), "environment", string(d.name))
	return nil
}

// degraded returns an environment that stands by, or nil.
func (b *box) degraded(env store.Environment) *degraded {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.down[env]
}

func (b *box) allDegraded() (all []*degraded) {
	for _, env := range []store.Environment{store.Sandbox, store.Production} {
		if d := b.degraded(env); d != nil {
			all = append(all, d)
		}
	}
	return all
}

// serve answers until ctx ends or the environment can be opened, and takes its
// place.
func (d *degraded) serve(ctx, base context.Context) error {
	for {
		if err := d.standBy(ctx, base); err != nil || ctx.Err() != nil {
			return err
		}
		err := d.makeWay(ctx)
		if !isDamage(err) {
			return err
		}
		if err := d.listen(ctx, err); err != nil {
			return err
		}
	}
}

// standBy answers until ctx ends or the store can be opened.
func (d *degraded) standBy(ctx, base context.Context) error {
	up, done := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- serveUntil(up, d.api.Public().HTTP(base), d.front.listener, d.drain) }()
	end := func() error {
		done()
		d.api.Close()
		return <-served
	}
	path := bolt.Path(d.data, d.name)
	seen := fileState(path)
	tick := time.NewTicker(retryTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return end()
		case err := <-served:
			done()
			return err
		case <-tick.C:
		}
		now := fileState(path)
		if now == seen {
			continue
		}
		if d.tryStore() == nil {
			return end()
		}
		seen = now
	}
}

// fileState tells whether a file is another than before.
func fileState(path string) string {
	st, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(st.Size(), st.ModTime().UnixNano(), st.Sys().(*syscall.Stat_t).Ino)
}

// tryStore opens and closes the store.
func (d *degraded) tryStore() error {
	s, _, err := d.openStore(d.name, d.log)
	if err != nil {
		d.log.Warn("the store still cannot be opened", "environment", string(d.name), "err", err)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.reason = err
		return err
	}
	return s.Close()
}

// makeWay opens the environment itself.
func (d *degraded) makeWay(ctx context.Context) error {
	e, err := d.openEnvironment(ctx, d.name)
	if err != nil {
		return err
	}
	if _, err = e.bootstrap(ctx); err == nil {
		err = e.begin(ctx)
	}
	if err != nil {
		return errors.Join(err, e.close())
	}
	d.box.mu.Lock()
	delete(d.down, d.name)
	d.box.mu.Unlock()
	d.log.Info("the store is open again", "environment", string(d.name))
	d.add(e)
	return nil
}

func (d *degraded) status() api.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return api.Status{Camera: "none", Reason: fmt.Sprintf("the store cannot be used, and nothing is decided: %s; cypherface store check says what is wrong, and %s", plainly(d.reason, d.data), store.RemedyRestore)}
}

// plainly is why a store cannot be opened, for everybody to read: without folders,
// and without records that were being read.
func plainly(err error, dir string) string {
	words, opening := strings.CutPrefix(err.Error(), "open store ")
	if !opening {
		return "what is in it cannot be read"
	}
	return strings.ReplaceAll(words, dir+string(os.PathSeparator), "")
}

var _ api.Storage = (*degraded)(nil)

// State says whether the store is being checked.
func (d *degraded) State() upkeep.State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

// Check checks the store, its keyring and its copies as they lie there.
func (d *degraded) Check(ctx context.Context, mend bool) (*upkeep.Report, error) {
	d.mu.Lock()
	d.state.Doing = "check"
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.state.Doing = ""
	}()
	return upkeep.CheckFiles(ctx, d.data, bolt.Options{
		Environment: d.name, MustExist: true, Log: d.log, Keyring: seal.Opener(d.name, d.master),
	}, mend)
}

// Compact is not for a store that cannot be opened.
func (d *degraded) Compact(context.Context, func(done, total int64)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reason
}
