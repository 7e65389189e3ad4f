package daemon

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// A box is a running daemon: the networks, which all share, and the environments,
// which share nothing else.
type box struct {
	settings
	getenv  func(string) string
	master  seal.MasterOptions
	log     *slog.Logger
	metrics *prometheus.Registry // of what the environments share
	engines *engines
	pace    verify.Pace // of the processor, which the environments share

	enabling sync.Mutex // one environment is made, or pack taken, at a time

	mu   sync.Mutex                         // protects the fields below
	pack *models.Pack                       // that the operator chose
	hold verify.Pack                        // its networks, which stay loaded
	envs map[store.Environment]*environment // those that are there
	down map[store.Environment]*degraded    // those whose store cannot be opened
	run  func(*environment)                 // has one begin to serve; nil before the box does
}

func newBox(set settings, getenv func(string) string, log *slog.Logger) (*box, error) {
	master, err := set.masterOptions(getenv)
	return &box{
		settings: set, getenv: getenv, master: master, log: log,
		metrics: prometheus.NewRegistry(), envs: map[store.Environment]*environment{}, down: map[store.Environment]*degraded{},
	}, err
}

// environment returns an environment that is there, or nil.
func (b *box) environment(env store.Environment) *environment {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.envs[env]
}

// all returns the environments that are there, the sandbox first.
func (b *box) all() (all []*environment) {
	for _, env := range []store.Environment{store.Sandbox, store.Production} {
		if e := b.environment(env); e != nil {
			all = append(all, e)
		}
	}
	return all
}

// add takes an environment in and has it serve, if the box does.
func (b *box) add(e *environment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.envs[e.name] = e
	if b.run != nil {
		b.run(e)
	}
}

// serveBy has all environments serve by run, now and those to come.
func (b *box) serveBy(run func(*environment)) {
	for _, e := range b.all() {
		run(e)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.run = run
}

// open opens the environments that were ever made; first is there where that made
// the sandbox.
func (b *box) open(ctx context.Context) (first *bootstrapFile, err error) {
	for _, env := range []store.Environment{store.Sandbox, store.Production} {
		if !b.present(env) {
			continue
		}
		e, err := b.openEnvironment(ctx, env)
		var made *bootstrapFile
		if err == nil {
			made, err = e.bootstrap(ctx)
		}
		switch {
		case isDamage(err):
			err = b.degrade(ctx, env, errors.Join(err, e.close()))
		case errors.Is(err, errIncomplete):
			e.log.Warn("the environment is not served", "err", err)
			err = e.close()
		case err == nil:
			b.add(e)
		default:
			err = errors.Join(err, e.close())
		}
		if err != nil {
			return nil, err
		}
		if made != nil {
			first = made
		}
	}
	return first, nil
}

// close closes the environments.
func (b *box) close() (err error) {
	for _, e := range b.all() {
		err = errors.Join(err, e.close())
	}
	for _, d := range b.allDegraded() {
		d.front.listener.Close() // its server may have done so
	}
	return err
}

// timedModel measures a network.
type timedModel struct {
	engine.Model
	seconds prometheus.Observer
}

func (m *timedModel) Run(ctx context.Context, fill func([]float32), read func([][]float32)) error {
	start := time.Now()
	err := m.Model.Run(ctx, fill, read)
	m.seconds.Observe(time.Since(start).Seconds())
	return err
}

// countingEngine counts the faces that an engine finds.
type countingEngine struct {
	*engine.Engine
	faces prometheus.Counter
}

func (e *countingEngine) Detect(ctx context.Context, img image.Image) ([]engine.Face, error) {
	faces, err := e.Engine.Detect(ctx, img)
	e.faces.Add(float64(len(faces)))
	return faces, err
}

// rates puts the error rates of a pack into a line: of 1:1 at its usual policy,
// and of 1:N among as many people as there are.
func rates(c *models.Calibration, people int) string {
	if len(c.Points) == 0 {
		return "error rates not measured"
	}
	var parts []string
	if score, ok := c.Threshold(1e-4); ok {
		parts = append(parts, fmt.Sprintf("1:1 FMR 1e-4, FNMR %.1f %%", 100*c.FNMR(score)))
	} else {
		parts = append(parts, fmt.Sprintf("1:1 no better than FMR %.1g", c.MinFMR()))
	}
	if people > 0 {
		score, ok := verify.SearchThreshold(c, people)
		if ok {
			parts = append(parts, fmt.Sprintf("1:N among %d FPIR %g, FNIR %.1f %%", people, verify.DefaultFPIR, 100*c.FNMR(score)))
		} else {
			parts = append(parts, fmt.Sprintf("1:N among %d not to be guaranteed", people))
		}
	}
	return strings.Join(parts, "; ")
}

// alive tries what the box lives by: each store reads and commits, a network
// runs, and the cameras' frames are being worked off. Calls into the networks
// cannot be cut short: where one hangs, alive does not return.
func (b *box) alive(ctx context.Context) error {
	_, networks := b.wanted()
	if _, err := networks.Engine.Detect(ctx, image.NewGray(image.Rect(0, 0, 64, 64))); err != nil {
		return fmt.Errorf("run the networks: %w", err)
	}
	for _, e := range b.all() {
		if err := e.alive(ctx); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}
