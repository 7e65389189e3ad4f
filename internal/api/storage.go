package api

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cypherface/edge/internal/upkeep"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// Storage is what the operator can have done with a store, see upkeep.Keeper.
type Storage interface {
	Check(ctx context.Context, mend bool) (*upkeep.Report, error)
	Compact(ctx context.Context, progress func(done, total int64)) error
	State() upkeep.State
}

// StorageJob is a check or a compaction, under way or done.
type StorageJob struct {
	Job    string         `json:"job"` // check, compact; empty: there was none
	Ended  bool           `json:"ended"`
	Error  string         `json:"error,omitempty"` // why it did not come to its end
	Report *upkeep.Report `json:"report,omitempty"`
	State  upkeep.State   `json:"state"`
}

// storageJobs does one thing after the other with a store, for longer than a
// request lasts.
type storageJobs struct {
	storage Storage
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex // protects last
	last StorageJob
}

func newStorageJobs(s Storage) *storageJobs {
	j := &storageJobs{storage: s}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	return j
}

// close ends what is under way.
func (j *storageJobs) close() {
	j.cancel()
	j.running.Wait()
}

// job is GET /control/store: what is being done, or was done last.
func (j *storageJobs) job(w http.ResponseWriter, _ *http.Request) error {
	if j.storage == nil {
		return errNoStorage
	}
	j.mu.Lock()
	last := j.last
	j.mu.Unlock()
	last.State = j.storage.State()
	return web.Write(w, http.StatusOK, last)
}

// check is POST /control/store/check; with ?repair=true it mends what it can.
func (j *storageJobs) check(w http.ResponseWriter, r *http.Request) error {
	mend := r.URL.Query().Get("repair") == "true"
	return j.start(w, "check", func(ctx context.Context) (*upkeep.Report, error) { return j.storage.Check(ctx, mend) })
}

// compact is POST /control/store/compact.
func (j *storageJobs) compact(w http.ResponseWriter, _ *http.Request) error {
	return j.start(w, "compact", func(ctx context.Context) (*upkeep.Report, error) { return nil, j.storage.Compact(ctx, nil) })
}

var errNoStorage = web.Fail(http.StatusNotFound, "this box does not look after its store")

func (j *storageJobs) start(w http.ResponseWriter, name string, do func(context.Context) (*upkeep.Report, error)) error {
	if j.storage == nil {
		return errNoStorage
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.last.Job != "" && !j.last.Ended {
		return web.Fail(http.StatusConflict, "a %s of the store is under way; wait for its end", j.last.Job)
	}
	j.last = StorageJob{Job: name}
	j.running.Go(func() {
		report, err := do(j.ctx)
		j.mu.Lock()
		defer j.mu.Unlock()
		j.last.Ended, j.last.Report = true, report
		if err != nil {
			j.last.Error = err.Error()
		}
	})
	return web.Write(w, http.StatusAccepted, j.last)
}

// storageOperations are those of the control socket about the store. Who reaches it
// may: to find his merchant would take a store that is whole.
func storageOperations() []operation {
	return []operation{
		{"GET", "/control/store", "", func(a *API, c *call) error { return a.jobs.job(c.w, c.r) }},
		{"POST", "/control/store/check", "", func(a *API, c *call) error { return a.jobs.check(c.w, c.r) }},
		{"POST", "/control/store/compact", "", func(a *API, c *call) error { return a.jobs.compact(c.w, c.r) }},
	}
}

// Degraded stands in for an API whose store cannot be opened. It says so to
// whoever asks, and lets the operator look at the store; it decides nothing.
type Degraded struct {
	env  store.Environment
	conf Config
	jobs *storageJobs
}

// NewDegraded makes one. Of c it takes Status, Version, Gather, Storage and Log.
func NewDegraded(env store.Environment, c Config) *Degraded {
	return &Degraded{env, c, newStorageJobs(c.Storage)}
}

// Close ends what is under way.
func (d *Degraded) Close() { d.jobs.close() }

// Public is the server for the network.
func (d *Degraded) Public() *web.Server {
	return &web.Server{Routes: d.routes(), Log: d.conf.Log}
}

// Control is the server for the box's own socket.
func (d *Degraded) Control() *web.Server {
	routes := d.routes()
	routes.Handle("GET", "/control/status", func(w http.ResponseWriter, _ *http.Request) error {
		return web.Write(w, http.StatusOK, struct {
			Success bool `json:"success"`
			Status
		}{true, d.conf.Status()})
	})
	routes.Handle("GET", "/control/store", d.jobs.job)
	routes.Handle("POST", "/control/store/check", d.jobs.check)
	return &web.Server{Routes: routes, Log: d.conf.Log}
}

func (d *Degraded) routes() *web.Routes {
	routes := web.NewRoutes()
	unready := func(http.ResponseWriter, *http.Request) error {
		s := d.conf.Status()
		return web.Fail(http.StatusServiceUnavailable, "not ready: %s", s.Reason).Because(errors.New(s.Reason))
	}
	routes.Otherwise(unready)
	routes.Handle("GET", "/readyz", unready)
	routes.Handle("GET", "/healthz", func(w http.ResponseWriter, _ *http.Request) error {
		return web.Write(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	routes.Handle("GET", "/metrics", func(w http.ResponseWriter, r *http.Request) error {
		promhttp.HandlerFor(d.conf.Gather, promhttp.HandlerOpts{}).ServeHTTP(w, r)
		return nil
	})
	routes.Handle("GET", "/{$}", func(w http.ResponseWriter, r *http.Request) error {
		return writeLanding(w, d.conf.Status(), string(d.env), d.conf.Version, "http://"+r.Host)
	})
	return routes
}
