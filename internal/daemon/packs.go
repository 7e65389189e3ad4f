package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
)

// engines are the packs whose networks are loaded: the one in use, and while
// people are embedded anew the one before it. The environments share them.
type engines struct {
	inference *prometheus.HistogramVec
	faces     prometheus.Counter
	log       *slog.Logger

	loading sync.Mutex // one pack is loaded at a time
	mu      sync.Mutex // protects the field below
	all     map[string]*loaded
	pad     api.PAD // see beside
}

// loaded is a pack with its networks, for as long as somebody uses them.
type loaded struct {
	pack     *models.Pack
	engine   *countingEngine
	networks io.Closer
	users    int
}

func newEngines(reg prometheus.Registerer, log *slog.Logger) (*engines, error) {
	e := &engines{
		all: map[string]*loaded{}, log: log,
		inference: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cypherface_inference_seconds", Help: "Time of one run of a network, waiting for a free interpreter included.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .25, 1},
		}, []string{"network"}),
		faces: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cypherface_faces_total", Help: "Faces found in pictures and frames.",
		}),
	}
	return e, errors.Join(reg.Register(e.inference), reg.Register(e.faces))
}

// take has the networks of a pack loaded, for one more user who is to release it.
func (e *engines) take(ctx context.Context, pack *models.Pack) (verify.Pack, error) {
	e.loading.Lock()
	defer e.loading.Unlock()
	if p, ok := e.loaded(pack.Space); ok {
		return p, nil
	}
	l, err := e.load(ctx, pack)
	if err != nil {
		return verify.Pack{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all[pack.Space] = l
	return e.use(l), nil
}

// loaded is take of a pack that is there already.
func (e *engines) loaded(space string) (p verify.Pack, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.all[space]
	if l == nil {
		return p, false
	}
	return e.use(l), true
}

// use must be called with mu held.
func (e *engines) use(l *loaded) verify.Pack {
	l.users++
	return verify.Pack{Name: l.pack.Name, Engine: l.engine, Calibration: &l.pack.Calibration, Release: sync.OnceFunc(func() { e.release(l) })}
}

func (e *engines) release(l *loaded) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(e.all, l.pack.Space)
		l.networks.Close() // frees memory, and never fails
	}
}

// load tries a pack if it is not known, loads it, and has it recognise the golden
// faces.
func (e *engines) load(ctx context.Context, pack *models.Pack) (*loaded, error) {
	if err := tflite.ProbeOnce(ctx, "", pack); err != nil {
		return nil, err
	}
	opt := tflite.Options{Beside: e.beside(ctx, filepath.Dir(pack.Dir)), Wrap: func(role models.Role, m engine.Model) engine.Model {
		return &timedModel{m, e.inference.WithLabelValues(string(role))}
	}}
	eng, networks, err := tflite.OpenEngine(pack, opt)
	if err != nil {
		return nil, err
	}
	if err := tflite.SelfTest(ctx, eng, pack); err != nil {
		networks.Close()
		return nil, err
	}
	return &loaded{pack: pack, engine: &countingEngine{eng, e.faces}, networks: networks}, nil
}

// beside is the pack against presentation attacks, where there is one. A box whose own
// is damaged does without, as one that has none, and says so.
func (e *engines) beside(ctx context.Context, root string) *models.Pack {
	p, err := models.Beside(root)
	if err == nil && p != nil {
		if err = p.Verify(); err == nil {
			err = tflite.ProbeOnce(ctx, "", p)
		}
	}
	state := api.PAD{Votes: err == nil && p != nil}
	if err != nil {
		e.log.Error("the pack against presentation attacks does not vote on liveness", "err", err)
		p, state.Fault = nil, "its networks are damaged or were refused (cypherface models verify --try pad)"
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pad = state
	return p
}

// attends says whether networks against presentation attacks vote on liveness.
func (e *engines) attends() api.PAD {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pad
}

// openEngines loads the pack in use.
func (b *box) openEngines(ctx context.Context) error {
	pack, err := b.choose()
	if err != nil {
		return err
	}
	if b.engines, err = newEngines(b.metrics, b.log); err != nil {
		return err
	}
	p, err := b.engines.take(ctx, pack)
	if err != nil {
		return err
	}
	b.pack, b.hold = pack, p
	return nil
}

// choose finds the pack that the operator chose.
func (b *box) choose() (*models.Pack, error) {
	root := b.packRoot()
	pack, err := models.Default(root)
	if errors.Is(err, models.ErrNoPack) {
		return nil, fmt.Errorf("find a pack in %s: %w (cypherface models list shows what there is, cypherface models pull NAME or import FOLDER installs one)", root, models.ErrNoPack)
	}
	return pack, err
}

func (b *box) packRoot() string { return models.Root(b.packs, b.getenv) }

// wanted is the pack that the operator chose, as it was last looked up.
func (b *box) wanted() (*models.Pack, verify.Pack) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pack, b.hold
}

// letGo lets go of the networks that no environment uses.
func (b *box) letGo() error {
	if _, p := b.wanted(); p.Release != nil {
		p.Release()
	}
	return nil
}

// recognition is what an environment recognises people with: the pack in use, and
// where its people still answer in the space of another, that one beside it.
func (e *environment) recognition(ctx context.Context) (c verify.Config, err error) {
	pack, _ := e.box.wanted()
	want, err := e.engines.take(ctx, pack)
	if err != nil {
		return c, err
	}
	c = verify.Config{Store: e.store, Pack: want.Name, Engine: want.Engine, Calibration: want.Calibration, Release: want.Release, Log: e.log, Pace: &e.pace}
	answers, err := verify.Serving(ctx, e.store, pack.Space)
	if err != nil || answers == pack.Space {
		return c, err
	}
	before, err := models.OfSpace(e.packRoot(), answers)
	var old verify.Pack
	if err == nil {
		old, err = e.engines.take(ctx, before)
	}
	if err != nil {
		// The pack in use embeds everybody anew; until his turn nobody is found.
		e.log.Error("the pack that people were embedded with cannot be loaded", "space", answers, "err", err)
		return c, nil
	}
	c.Old = &old
	return c, nil
}

// reload has all environments go over to the pack that is chosen now. It answers
// with its name.
func (b *box) reload(ctx context.Context, cause store.Cause) (string, error) {
	b.enabling.Lock()
	defer b.enabling.Unlock()
	pack, err := b.choose()
	if err != nil {
		return "", web.Fail(422, "%v", err).Because(err)
	}
	p, err := b.engines.take(ctx, pack)
	if err != nil {
		return "", web.Fail(422, "the box stays on the pack it has: %v", err).Because(err)
	}
	b.mu.Lock()
	before := b.hold
	b.pack, b.hold = pack, p
	b.mu.Unlock()
	defer before.Release()
	for _, e := range b.all() {
		each, err := b.engines.take(ctx, pack)
		if err == nil {
			err = e.service.Use(ctx, cause, each)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return pack.Name, nil
}
