package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/internal/upkeep"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/backup"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// An environment is the sandbox or production: a store, secrets, a listener, a
// camera and an API of its own. Of the box it uses the networks alone.
type environment struct {
	*box
	place
	name      store.Environment
	log       *slog.Logger
	metrics   *prometheus.Registry
	listener  net.Listener
	certs     web.Certificates // nil: plain HTTP
	own       *web.Own         // certs, where the box made them
	clock     *auth.Clock
	store     *bolt.Store
	keeper    *upkeep.Keeper
	atRest    seal.Source      // of the master key
	merchant  store.MerchantID // whose people the camera sees
	audit     *audit.Log
	authority *auth.Authority
	accounts  *account.Accounts
	service   *verify.Service
	bulk      *bulk.Queue
	exports   *bulk.Exports
	eyes      *eyes // that of the settings; nil: no camera
	doors     doors
	link      *link  // of a box
	fleet     *fleet // of a central
	api       *api.API
	control   http.Handler
	ready     atomic.Bool
	closers   []func() error // of its parts, in the order of their opening
}

// How many connections an environment has at a time, and from one address. The boxes
// of a central keep theirs, and those of a site come from one address.
const (
	maxConns        = 1024
	maxConnsEach    = 128
	centralConns    = 20_000
	centralConnEach = 5_000
)

// present reports whether an environment was ever made. The sandbox always is.
func (b *box) present(env store.Environment) bool {
	_, err := os.Stat(bolt.Path(b.data, env))
	return env == store.Sandbox || !errors.Is(err, fs.ErrNotExist)
}

// openEnvironment opens what an environment keeps and where it listens: what fails
// here fails at once. begin opens the rest.
func (b *box) openEnvironment(ctx context.Context, env store.Environment) (_ *environment, err error) {
	e := &environment{
		box: b, place: *b.of(env), name: env, log: b.log.With("environment", string(env)),
		metrics: prometheus.NewRegistry(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	st, atRest, err := b.openStore(env, e.log)
	if err != nil {
		return nil, err
	}
	e.store, e.atRest = st, atRest
	e.closers = append(e.closers, st.Close)
	if e.audit, err = audit.Open(ctx, audit.Config{Store: st, Dir: audit.Dir(b.data, env), Days: b.auditDays, Log: e.log}); err != nil {
		return nil, err
	}
	e.closers = append(e.closers, e.audit.Close)
	e.keeper = upkeep.New(upkeep.Config{Store: st, Dir: b.data, Copies: b.copies, Log: e.log})
	if err := e.keeper.Register(e.registerer()); err != nil {
		return nil, err
	}
	if e.listener, err = listen(ctx, e.listen); err != nil {
		return nil, err
	}
	e.closers = append(e.closers, func() error { e.listener.Close(); return nil }) // its server may have done so
	if b.program.central {
		e.listener = web.Crowded(e.listener, centralConns, centralConnEach)
	} else {
		e.listener = web.Crowded(e.listener, maxConns, maxConnsEach)
	}
	if e.clock, err = newClock(ctx, st); err != nil {
		return nil, err
	}
	if !e.clock.Trusted() {
		e.log.Warn("the clock says less than has passed: no tokens are issued until it is right", "hint", "timedatectl set-ntp true, or set-time")
	}
	if err := e.secure(); err != nil {
		return nil, err
	}
	if e.authority, err = auth.Open(ctx, st, e.clock.Now); err != nil {
		return nil, err
	}
	e.authority.TimeKnown = e.clock.Trusted
	e.authority.RequireFactor = e.factor == "required"
	if e.accounts, err = e.openAccounts(); err != nil {
		return nil, err
	}
	return e, nil
}

// begin opens what needs the networks.
func (e *environment) begin(ctx context.Context) (err error) {
	conf, err := e.recognition(ctx)
	if err != nil {
		return err
	}
	conf.AllowWhenFull, conf.GapFile = e.name == store.Sandbox, filepath.Join(e.data, string(e.name), "gap")
	if e.service, err = verify.New(ctx, conf); err != nil {
		return err
	}
	e.closers = append(e.closers, func() error { e.service.Close(); return nil })
	if err := e.service.Register(e.registerer()); err != nil {
		return err
	}
	if err := e.openCamera(ctx); err != nil {
		return err
	}
	e.closers = append(e.closers, e.closeCamera)
	e.bulk, err = bulk.Open(ctx, bulk.Config{
		Store: e.store, Enroller: e.service, Dir: filepath.Join(e.data, string(e.name), "bulk"), Valid: api.BulkIssue, Log: e.log})
	if err != nil {
		return err
	}
	e.exports, err = bulk.OpenExports(e.store, filepath.Join(e.data, string(e.name), "exports"), e.clock.Now)
	if err != nil {
		return err
	}
	e.closers = append(e.closers, func() error { e.exports.Close(); return nil })
	if err := e.meet(); err != nil {
		return err
	}
	if e.api, err = api.New(e.apiConfig()); err != nil {
		return err
	}
	e.control = e.api.Control()
	return nil
}

// close closes the parts that are open, the last first. There are none of nil.
func (e *environment) close() (err error) {
	if e == nil {
		return nil
	}
	for len(e.closers) > 0 {
		last := len(e.closers) - 1
		err = errors.Join(err, e.closers[last]())
		e.closers = e.closers[:last]
	}
	return err
}

// serve does all that an environment does, until live ends or a part fails.
// Requests that are under way then may go on for the drain time; base lives on
// for them.
func (e *environment) serve(g *errgroup.Group, live, base context.Context) {
	if e.eyes != nil { // a new environment has its merchant since
		e.eyes.merchant = e.merchant
	}
	if e.certs == nil && !local(e.listen) {
		e.log.Warn("the API listens on the network without TLS: keys and pictures cross it readable", "address", e.listen)
	}
	server := e.api.Public()
	server.HSTS = e.certs != nil && e.certs.Known()
	public := server.HTTP(base)
	g.Go(func() error { return serveUntil(live, public, e.listener, e.drain) })
	g.Go(func() error { return e.api.Sweep(live) })
	g.Go(func() error { return e.accounts.Run(live) })
	g.Go(func() error { return e.audit.Run(live) })
	g.Go(func() error { return e.keeper.Run(live) })
	if e.program.central {
		g.Go(func() error { return e.fleet.Run(live) })
		g.Go(func() error { return e.fleet.tend(live) })
	} else {
		g.Go(func() error { return e.link.Run(live) })
		g.Go(func() error { return e.watch(live) })
		g.Go(func() error { return e.watchDoors(live) })
	}
	g.Go(func() error { return e.service.Keep(live) })
	g.Go(func() error { return e.bulk.Run(live) })
	g.Go(func() error {
		<-live.Done()
		e.api.Close()
		return nil
	})
	e.ready.Store(true)
	pack, _ := e.service.Pack()
	e.box.log.Info("ready", "url", e.address(), "environment", string(e.name), "pack", pack, "camera", camera.RedactURL(e.camera))
}

func (e *environment) apiConfig() api.Config {
	c := api.Config{
		Store: e.store, Authority: e.authority, Accounts: e.accounts, Verifier: &held{e.service, e.store, e.may()}, Detector: e.service, Audit: e.audit, Packs: e.service, Reload: e.reload, Bulk: e.bulk, Exports: e.exports,
		Version: version(), Status: e.status, Log: e.log,
		Metrics: e.registerer(), Gather: prometheus.Gatherers{e.box.metrics, e.metrics},
		BaseURL: e.url, UploadLife: e.uploadLife, Clock: e.clock.Now, Limits: e.callLimits(), Backup: e.backup, Storage: e.keeper, HotCopies: e.copies, TimeSure: e.clock.Sure, Cameras: e.cameras,
	}
	if e.eyes != nil {
		c.Camera = e.eyes
	}
	if e.fleet != nil {
		c.Fleet = e.fleet
	}
	if e.link != nil {
		c.Link = e.link
	}
	return c
}

// backup makes a backup of the environment.
func (e *environment) backup(ctx context.Context, by store.Actor, sameBox bool) (*backup.Backup, error) {
	return backup.New(ctx, e.store, backup.Source{Dir: e.data, Actor: by, SameBox: sameBox, Program: version()})
}

// failureRate is how many refused credentials a second an address has in the long
// run, where there are limits at all.
const failureRate = 0.2

func (e *environment) callLimits() api.Limits {
	l := e.limits
	if l.Address > 0 {
		l.Failures = failureRate
	}
	return l
}

// registerer labels what an environment counts with its name.
func (e *environment) registerer() prometheus.Registerer {
	return prometheus.WrapRegistererWith(prometheus.Labels{"environment": string(e.name)}, e.metrics)
}

// status says how the environment is.
func (e *environment) status() api.Status {
	pack, calibration := e.service.Pack()
	s := api.Status{
		Ready: e.ready.Load(), Camera: "none", Pack: pack, Exposed: e.atRest.Warning(), Migration: e.service.Migration().String(),
		People: e.service.People(), Rates: rates(calibration, e.service.Gallery(e.merchant)),
		Storage: e.keeper.Warnings(), PAD: e.engines.attends(),
	}
	if !s.Ready {
		s.Reason = "starting"
	}
	if refuses, _ := e.store.Trouble(); refuses != nil {
		s.Ready, s.Reason = false, "the store takes no changes until the box starts again, as a write failed (the log says why)"
	}
	if e.eyes != nil {
		s.Camera, s.Fault, _ = e.eyes.state()
	}
	s.Cameras = e.cameraStates()
	s.Sync, s.Central = e.tie(context.Background()), e.program.central
	return s
}

// storeLimit is how long a store may take to answer before the box counts as
// stuck.
const storeLimit = 10 * time.Second

// alive tries what the environment lives by.
func (e *environment) alive(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	if _, err := firstMerchant(limit, e.store); err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	cause := systemCause
	cause.Essential = true // a full disk is no reason to start anew
	if err := e.store.Update(limit, cause, func(*store.Tx) error { return nil }); err != nil {
		return fmt.Errorf("write the store: %w", err)
	}
	for _, y := range e.allEyes() {
		if err := y.alive(); err != nil {
			return err
		}
	}
	return nil
}

var _ api.Box = (*box)(nil)

// Control is the control server of an environment.
func (b *box) Control(env store.Environment) (http.Handler, error) {
	if e := b.environment(env); e != nil {
		return e.control, nil
	}
	if d := b.degraded(env); d != nil {
		return d.control.Load(), nil
	}
	return nil, web.Fail(http.StatusNotFound, "the %s environment is not enabled (cypherface env enable %s)", env, env)
}

// Environments says which environments there are, and how they are.
func (b *box) Environments() []api.Environment {
	list := []api.Environment{{Environment: store.Sandbox}, {Environment: store.Production}}
	for i := range list {
		if e := b.environment(list[i].Environment); e != nil {
			s := e.status()
			list[i].Enabled, list[i].URL, list[i].Ready, list[i].Camera, list[i].People = true, e.address(), s.Ready, s.Camera, s.People
			list[i].MerchantID = e.merchant
			if e.own != nil {
				list[i].Fingerprint, list[i].Pin = e.own.Fingerprint(), e.own.Pin()
			}
		} else if d := b.degraded(list[i].Environment); d != nil {
			list[i].Enabled, list[i].URL, list[i].Reason = true, d.front.address(), d.status().Reason
		}
	}
	return list
}

// Enable makes an environment that is not there, with its first merchant and key,
// and has it serve at once.
func (b *box) Enable(ctx context.Context, env store.Environment) (first api.FirstKey, err error) {
	b.enabling.Lock()
	defer b.enabling.Unlock()
	if b.environment(env) != nil || b.degraded(env) != nil {
		return first, web.Fail(http.StatusConflict, "the %s environment is enabled already", env)
	}
	ctx = context.WithoutCancel(ctx) // the camera outlives the request
	e, err := b.openEnvironment(ctx, env)
	if err != nil {
		return first, enableFailed(env, err)
	}
	merchants, err := firstMerchant(ctx, e.store)
	if err == nil && len(merchants) > 0 {
		err = errors.New("it has a merchant already; start the box anew")
	}
	if err == nil {
		err = e.begin(ctx)
	}
	if err == nil {
		first, err = e.found(ctx)
	}
	if err != nil {
		return first, enableFailed(env, errors.Join(err, e.close()))
	}
	b.add(e)
	return first, nil
}

// enableFailed tells the operator, who asked from the box itself, why not.
func enableFailed(env store.Environment, err error) error {
	return web.Fail(http.StatusUnprocessableEntity, "enable %s: %v", env, err).Because(err)
}

// found makes the first merchant of an environment, with a key.
func (e *environment) found(ctx context.Context) (api.FirstKey, error) {
	m, apiKey, err := e.authority.Found(ctx, systemCause, "Production", nil)
	e.merchant = m
	return api.FirstKey{Environment: e.name, URL: e.address(), MerchantID: m, APIKey: apiKey, Fingerprint: e.fingerprint()}, err
}

// fingerprint is that of a certificate which the box made itself.
func (e *environment) fingerprint() string {
	if e.own == nil {
		return ""
	}
	return e.own.Fingerprint()
}

// address is the URL of the environment as a program on the box reaches it.
func (e *environment) address() string { return address(e.listener, e.scheme()) }
