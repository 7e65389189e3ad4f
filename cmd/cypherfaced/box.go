package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// A box is the parts of a running daemon. There is one environment for now, the
// sandbox; the other is a second store, listener, API and camera of its own.
type box struct {
	settings
	log       *slog.Logger
	metrics   *prometheus.Registry
	store     store.Store
	atRest    seal.Source      // of the master key
	merchant  store.MerchantID // whose people the camera sees
	authority *auth.Authority
	pack      *models.Pack
	engine    *countingEngine
	service   *verify.Service
	eyes      *eyes // nil: no camera
	api       *api.API
	ready     atomic.Bool
}

func (b *box) now() time.Time { return time.Now() }

// openEngine opens the pack in use, tries it if it is not known, loads it, and
// has it recognise the golden faces.
func (b *box) openEngine(ctx context.Context, getenv func(string) string) (io.Closer, error) {
	root := models.Root(b.packs, getenv)
	pack, err := models.Default(root)
	if errors.Is(err, models.ErrNoPack) {
		return nil, fmt.Errorf("find a pack in %s: %w (cypherface models list shows what there is, cypherface models pull NAME or import FOLDER installs one)", root, models.ErrNoPack)
	} else if err != nil {
		return nil, err
	}
	if err := tflite.ProbeOnce(ctx, "", pack); err != nil {
		return nil, err
	}
	inference := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "cypherface_inference_seconds", Help: "Time of one run of a network, waiting for a free interpreter included.",
		Buckets: []float64{.002, .005, .01, .02, .05, .1, .25, 1},
	}, []string{"network"})
	faces := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "cypherface_faces_total", Help: "Faces found in pictures and frames.",
	})
	if err := errors.Join(b.metrics.Register(inference), b.metrics.Register(faces)); err != nil {
		return nil, err
	}
	e, networks, err := tflite.OpenEngine(pack, tflite.Options{Wrap: func(role models.Role, m engine.Model) engine.Model {
		return &timedModel{m, inference.WithLabelValues(string(role))}
	}})
	if err != nil {
		return nil, err
	}
	if err := tflite.SelfTest(ctx, e, pack); err != nil {
		networks.Close()
		return nil, err
	}
	b.pack, b.engine = pack, &countingEngine{e, faces}
	return networks, nil
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

func (b *box) apiConfig() api.Config {
	c := api.Config{
		Store: b.store, Authority: b.authority, Verifier: b.service, Detector: b.engine,
		Version: version(), Status: b.status, Metrics: b.metrics, Log: b.log,
		BaseURL: b.url, UploadLife: b.uploadLife,
	}
	if b.eyes != nil {
		c.Camera = b.eyes
	}
	return c
}

// status says how the box is.
func (b *box) status() api.Status {
	s := api.Status{
		Ready: b.ready.Load(), Camera: "none", Pack: b.pack.Name, Exposed: b.atRest.Warning(),
		People: b.service.People(), Rates: rates(&b.pack.Calibration, b.service.Gallery(b.merchant)),
	}
	if !s.Ready {
		s.Reason = "starting"
	}
	if b.eyes != nil {
		s.Camera, s.Fault = b.eyes.state()
	}
	return s
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

// reembed gives everybody a template of the pack in use: after a change of the
// pack people come back one by one, from the crops of their enrolment. Who fails
// is logged and stays away; the box goes on.
func (b *box) reembed(ctx context.Context) error {
	told := time.Now()
	err := b.service.Reembed(ctx, func(done, total int) {
		if done == total || time.Since(told) > 10*time.Second {
			b.log.Info("people are being embedded anew for the pack in use", "done", done, "of", total)
			told = time.Now()
		}
	})
	if err != nil && ctx.Err() == nil {
		b.log.Warn("not everybody can be recognised with the pack in use", "err", err)
	}
	return nil
}

// storeLimit is how long the store may take to answer before the box counts as
// stuck.
const storeLimit = 10 * time.Second

// alive tries what the box lives by: the store reads and commits, a network
// runs, and the camera's frames are being worked off. Calls into the networks
// cannot be cut short: where one hangs, alive does not return.
func (b *box) alive(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	if _, err := firstMerchant(limit, b.store); err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	if err := b.store.Update(limit, systemCause, func(*store.Tx) error { return nil }); err != nil {
		return fmt.Errorf("write the store: %w", err)
	}
	if _, err := b.engine.Engine.Detect(ctx, image.NewGray(image.Rect(0, 0, 64, 64))); err != nil {
		return fmt.Errorf("run the networks: %w", err)
	}
	if b.eyes != nil {
		return b.eyes.alive()
	}
	return nil
}
