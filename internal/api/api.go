// Package api serves the REST API of one environment: thin handlers between
// internal/web, internal/auth, the store and internal/verify.
//
//	a, err := api.New(api.Config{Store: s, Authority: authority, Verifier: service, …})
//	server := a.Public()                  // for the network: credentials decide
//	control := a.Control()                // for the box's own socket: an operator calls
//	go a.Sweep(ctx)                       // removes what has expired
//
// openapi.yaml beside this file describes every operation, answer and error; it
// is served at /openapi.yaml and tested against the routes. Each operation takes
// one permission, and touches the caller's merchant only: what is another's is
// 404, as if it were not there.
//
// The two environments are two values of API over two stores. They share nothing
// but the engine, and listen on two addresses, so that a client changes only its
// base URL.
//
// What accounts are is in internal/account, TLS in internal/web.
package api

import (
	"context"
	"errors"
	"image"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/internal/events"
	"github.com/cypherface/edge/internal/join"
	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/backup"
)

// verifier is what the API wants of verify.Service.
type verifier interface {
	Enrol(context.Context, verify.EnrolRequest) (verify.Enrolment, error)
	Verify(context.Context, verify.VerifyRequest) (verify.Result, error)
	Identify(context.Context, verify.IdentifyRequest) (verify.Identification, error)
	Live(context.Context, verify.LiveRequest) (verify.LiveResult, error)
	Merge(context.Context, verify.MergeRequest) (verify.Merged, error)
}

// detector is what the API wants of engine.Engine.
type detector interface {
	Detect(context.Context, image.Image) ([]engine.Face, error)
}

// viewer gives the newest picture of the box's camera. It waits for one no
// longer than ctx lasts, and the picture is the caller's.
type viewer interface {
	Snapshot(ctx context.Context) (image.Image, error)
}

// Config is what an API is made of. Optional is said where it is.
type Config struct {
	Store     store.Store
	Authority *auth.Authority
	Accounts  *account.Accounts // nil: nobody can register, and no mail is sent
	Verifier  verifier
	Detector  detector
	Camera    viewer          // nil: the box has none
	Cameras   func() []Camera // those that can be watched; nil: none
	Audit     auditLog        // nil: none is kept
	Storage   Storage         // nil: nobody looks after the store
	Packs     packs           // nil: there is no change of the pack
	Bulk      bulkQueue       // nil: nobody is enrolled in bulk
	Exports   *bulk.Exports   // nil: none is kept

	Fleet Fleet // at a central: the boxes that join it; nil: it is a box
	Link  Link  // on a box: its central; nil: it can join none

	Version string                // of the program
	Status  func() Status         // how the box is, for pages and health; must be quick
	Metrics prometheus.Registerer // for what the API counts
	Gather  prometheus.Gatherer   // what GET /metrics shows; nil, with Metrics: the API alone
	Log     *slog.Logger          // nil discards

	// Backup makes a backup for somebody on the box; nil: none can be made.
	Backup func(ctx context.Context, by store.Actor, sameBox bool) (*backup.Backup, error)

	// Reload has the box go over to the pack that is chosen now, and names it; nil:
	// there is no daemon.
	Reload func(context.Context, store.Cause) (pack string, err error)
	// HotCopies is how many copies of the store are kept, one a day; receipts of
	// erasures say until when there may be one of before.
	HotCopies int

	// TimeSure says whether the time can be relied on for what cannot be undone, as
	// retention; nil: it can.
	TimeSure func() bool

	// BaseURL begins upload links; empty: the address that the client called.
	BaseURL    string
	UploadLife time.Duration // of an upload link; 0 means 4800 s
	Clock      func() time.Time
	Limits     Limits
}

// Limits bound what the network may ask of the API, in calls a second in the long
// run and twice as many at once; 0 bounds nothing. The control socket has none.
type Limits struct {
	Key     float64 // with one API key, its tokens counted in
	Account float64 // with all logins of one account
	Address float64 // from one address
	// Failures are credentials that are refused, from one address or, at
	// /access-token/, for one merchant.
	Failures float64
}

// Status is how a box is, without anything personal.
type Status struct {
	Ready  bool   `json:"ready"`            // it can answer
	Reason string `json:"reason,omitempty"` // why not
	Camera string `json:"camera"`           // in words: live, no camera, …
	Fault  string `json:"fault,omitempty"`  // why a camera that should deliver does not, and what to do
	Pack   string `json:"pack"`             // name of the pack that answers
	// Migration is how a change of the pack stands, in words; empty: there is none.
	Migration string `json:"migration,omitempty"`
	Rates     string `json:"rates"`  // its error rates, one line
	People    int    `json:"people"` // enrolled, all merchants together
	// PAD are the networks against presentation attacks, of a pack of their own.
	PAD PAD `json:"pad"`
	// Cameras are that of the box and those of the doors.
	Cameras []CameraState `json:"cameras,omitempty"`
	// Exposed is what the data at rest is not protected from, in words; empty:
	// nothing that the operator could better.
	Exposed string `json:"exposed,omitempty"`
	// Sync is how it stands with its central, or a central with its boxes, in words;
	// empty: it stands alone.
	Sync    string `json:"sync,omitempty"`
	Central bool   `json:"central,omitempty"` // it is one
	// Storage is what is wrong with the store although it works, in words.
	Storage []string `json:"storage,omitempty"`
}

// PAD is whether networks against presentation attacks vote on liveness.
type PAD struct {
	Votes bool   `json:"votes"`
	Fault string `json:"fault,omitempty"` // why not, although they are installed
}

// Doors are the cameras of doors.
func (s Status) Doors() []CameraState {
	return slices.DeleteFunc(slices.Clone(s.Cameras), func(c CameraState) bool { return c.Door == "" })
}

// An API serves one environment. Make one with New.
type API struct {
	Config
	store   store.Store
	info    store.Info
	now     func() time.Time
	seen    *observer
	feed    *events.Feed[notice]
	unwatch func()
	streams sync.WaitGroup // of listeners to the feed and viewers of cameras
	jobs    *storageJobs
	life    context.Context // ends with Close
	end     context.CancelFunc

	watching watching

	keys, accounts, addresses, failures *web.Limiter
	guesses                             *web.Limiter // of credentials, by who sends them

	sightings  *rights.Seen
	retention  retention
	challenges *join.Challenges

	backingUp sync.Mutex // one at a time
}

// New makes an API over c.
func New(c Config) (*API, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.UploadLife == 0 {
		c.UploadLife = 4800 * time.Second
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Accounts == nil {
		c.Accounts = account.New(account.Config{Store: c.Store, Authority: c.Authority, Clock: c.Clock, Log: c.Log})
	}
	if c.Metrics == nil || c.Gather == nil {
		r := prometheus.NewRegistry()
		c.Metrics, c.Gather = r, r
	}
	a := &API{Config: c, store: c.Store, info: c.Store.Info(), now: c.Clock, feed: events.NewFeed[notice](), jobs: newStorageJobs(c.Storage), challenges: join.NewChallenges()}
	limiter := func(rate float64) *web.Limiter { return web.NewLimiter(rate, int(2*rate), a.now) }
	a.keys, a.accounts, a.addresses = limiter(c.Limits.Key), limiter(c.Limits.Account), limiter(c.Limits.Address)
	a.guesses = web.NewLimiter(guessRate, guessesAtOnce, a.now)
	a.sightings = rights.NewSeen(a.store)
	a.failures = web.NewLimiter(c.Limits.Failures, failuresAtOnce, a.now)
	var err error
	if a.seen, err = newObserver(c.Metrics); err != nil {
		return nil, err
	}
	a.life, a.end = context.WithCancel(context.Background())
	a.unwatch = a.store.Watch(a.committed)
	return a, nil
}

// Close ends the event streams, which an http.Server no longer knows, and what is
// being done with the store, and waits for them.
func (a *API) Close() {
	a.jobs.close()
	a.unwatch()
	if err := a.sightings.Flush(context.Background(), true); err != nil && !errors.Is(err, store.ErrClosed) {
		a.Log.Warn("note who was seen", "err", err)
	}
	a.end()
	a.feed.Close()
	a.streams.Wait()
}

// An operation is one call of the API.
type operation struct {
	method, path string
	takes        auth.Permission // "" for those that anybody may call
	handle       func(*API, *call) error
}

// operations lists the API. Aliases of the reference stand beside each other.
func operations() []operation {
	return slices.Concat([]operation{
		{"POST", "/access-token", "", (*API).accessToken},
		{"POST", "/refresh-token", "", (*API).refreshToken}, // the token may have expired
		{"POST", "/login", "", (*API).signIn},
		{"POST", "/login/factor", "", (*API).secondStep},
		{"POST", "/login/passkey", "", (*API).askPasskey},
		{"GET", "/account", "", (*API).accountPage},
		{"GET", "/factors", auth.Self, (*API).listFactors},
		{"POST", "/factors/totp", auth.Self, (*API).setupTOTP},
		{"POST", "/factors/totp/confirm", auth.Self, (*API).confirmTOTP},
		{"POST", "/factors/passkeys/options", auth.Self, (*API).passkeyOptions},
		{"POST", "/factors/passkeys", auth.Self, (*API).addPasskey},
		{"POST", "/factors/recovery-codes", auth.Self, (*API).newRecovery},
		{"POST", "/factors/remove", auth.Self, (*API).removeFactor},
		{"POST", "/logout", auth.Self, (*API).signOut},
		{"POST", "/merchant/register", "", (*API).registerMerchant},
		{"POST", "/merchant/invite", auth.Invite, (*API).inviteMerchant},
		{"GET", "/merchant/me", auth.Self, (*API).showMe},
		{"PUT", "/merchant/me", auth.Self, (*API).changeMe},
		{"POST", "/email/verify", "", (*API).verifyEmail},
		{"GET", "/email/verify", "", (*API).verifyPage},
		{"POST", "/email/resend", "", (*API).resendEmail},
		{"POST", "/email/change", auth.Self, (*API).changeEmail},
		{"POST", "/email/change/confirm", auth.Self, (*API).confirmEmail},
		{"POST", "/password/forgot", "", (*API).forgotPassword},
		{"POST", "/password/reset", "", (*API).resetPassword},
		{"GET", "/password/reset", "", (*API).resetPage},
		{"POST", "/password/change", auth.Self, (*API).changePassword},
		{"GET", "/accounts", auth.AccountsRead, (*API).listAccounts},
		{"GET", "/accounts/{accountId}", auth.AccountsRead, (*API).showAccount},
		{"PUT", "/accounts/{accountId}", auth.AccountsManage, (*API).changeAccount},
		{"DELETE", "/accounts/{accountId}", auth.AccountsManage, (*API).removeAccount},
		{"GET", "/accounts/invitations", auth.AccountsRead, (*API).listInvitations},
		{"POST", "/accounts/invitations", auth.AccountsManage, (*API).inviteMember},
		{"DELETE", "/accounts/invitations/{invitationId}", auth.AccountsManage, (*API).revokeInvitation},
		{"POST", "/invitation/accept", "", (*API).acceptInvitation},
		{"GET", "/invitation/accept", "", (*API).invitationPage},
		{"POST", "/merchant-api-key", auth.Keys, (*API).createKey},
		{"GET", "/merchant-api-key", auth.Keys, (*API).listKeys},
		{"DELETE", "/merchant-api-key/{keyId}", auth.Keys, (*API).revokeKey},
		{"POST", "/register", auth.UsersWrite, (*API).register},
		{"POST", "/user/register", auth.UsersWrite, (*API).register},
		{"GET", "/users", auth.UsersRead, (*API).listUsers},
		{"GET", "/users/{userId}", auth.UsersRead, (*API).showUser},
		{"PUT", "/users/{userId}", auth.UsersWrite, (*API).changeUser},
		{"DELETE", "/users/{userId}", auth.UsersWrite, (*API).deleteUser},
		{"GET", "/erasures/{erasureId}", auth.Verifications, (*API).showErasure},
		{"GET", "/users/{userId}/export", auth.UsersExport, (*API).exportUser},
		{"POST", "/consent-texts", auth.Policy, (*API).createText},
		{"GET", "/consent-texts", auth.Consent, (*API).listTexts},
		{"GET", "/consent-texts/current", auth.Consent, (*API).currentText},
		{"GET", "/consent-texts/{textId}", auth.Consent, (*API).showText},
		{"POST", "/consent-texts/{textId}/retire", auth.Policy, (*API).retireText},
		{"DELETE", "/consent-texts/{textId}", auth.Policy, (*API).deleteText},
		{"POST", "/users/{userId}/consents", auth.Consent, (*API).giveConsent},
		{"GET", "/users/{userId}/consents", auth.Consent, (*API).listConsents},
		{"POST", "/users/{userId}/consents/withdraw", auth.Consent, (*API).withdrawConsent},
		{"POST", "/users/{userId}/credentials", auth.Credentials, (*API).giveCredential},
		{"GET", "/users/{userId}/credentials", auth.Credentials, (*API).listCredentials},
		{"DELETE", "/users/{userId}/credentials/{credentialId}", auth.Credentials, (*API).revokeCredential},
		{"POST", "/users/{userId}/credentials/{credentialId}/unlock", auth.Credentials, (*API).unlockCredential},
		{"POST", "/credential/verify", auth.CredentialVerify, (*API).verifyCredential},
		{"GET", "/merchant/retention", auth.Policy, (*API).showRetention},
		{"PUT", "/merchant/retention", auth.Policy, (*API).changeRetention},
		{"POST", "/merchant/retention/preview", auth.Policy, (*API).previewRetention},
		{"GET", "/reviews", auth.Reviews, (*API).listReviews},
		{"GET", "/reviews/statistics", auth.Reviews, (*API).reviewStatistics},
		{"GET", "/reviews/{reviewId}", auth.Reviews, (*API).showReview},
		{"GET", "/reviews/{reviewId}/candidate", auth.ImagesRead, (*API).showCandidate},
		{"POST", "/reviews/{reviewId}/settle", auth.Reviews, (*API).settleReview},
		{"POST", "/users/{userId}/merge", auth.Reviews, (*API).merge},
		{"POST", "/verifications/{verificationId}/wrong", auth.Reviews, (*API).markWrong},
		{"GET", "/merchant/policy", auth.Policy, (*API).showPolicy},
		{"PUT", "/merchant/policy", auth.Policy, (*API).changePolicy},
		{"GET", "/image/{userId}", auth.ImagesRead, (*API).showImage},
		{"DELETE", "/image/{userId}", auth.Enrol, (*API).deleteImage},
		{"POST", "/upload/generate-url", auth.Match, (*API).generateURL},
		{"PUT", "/upload/{ticket}", "", (*API).upload},
		{"POST", "/upload/{ticket}", "", (*API).upload},
		{"POST", "/face/match", auth.Match, (*API).match},
		{"POST", "/face-match", auth.Match, (*API).match},
		{"POST", "/face-scan", auth.Match, (*API).scan},
		{"POST", "/start-liveness-session", auth.Match, (*API).startLiveness},
		{"POST", "/face-liveness/start", auth.Match, (*API).startLiveness},
		{"POST", "/upload-frame", auth.Match, (*API).uploadFrame},
		{"POST", "/match-liveness-face", auth.Match, (*API).matchLiveness},
		{"POST", "/check-liveness", auth.Match, (*API).checkLiveness},
		{"GET", "/face-liveness/{sessionId}", auth.Match, (*API).showSession},
		{"GET", "/verifications", auth.Verifications, (*API).listVerifications},
		{"POST", "/capture", auth.Capture, (*API).capture},
		{"POST", "/face/detect", auth.Detect, (*API).detect},
		{"POST", "/face-detection", auth.Detect, (*API).detect},
		{"POST", "/identify", auth.Identify, (*API).identify},
		{"GET", "/camera/stream", "", (*API).cameraStream}, // may authorize by its first message
		{"GET", "/camera/snapshot", auth.CameraView, (*API).cameraSnapshot},
		{"GET", "/events", "", (*API).events}, // may authorize by its first message
		{"POST", "/bulk/enrol", auth.Bulk, (*API).bulkEnrol},
		{"GET", "/bulk", auth.Bulk, (*API).listBulk},
		{"GET", "/bulk/{bulkId}", auth.Bulk, (*API).showBulk},
		{"GET", "/bulk/{bulkId}/report", auth.Bulk, (*API).bulkReport},
		{"DELETE", "/bulk/{bulkId}", auth.Bulk, (*API).endBulk},
		{"GET", "/exchange/key", auth.Exchange, (*API).exchangeKey},
		{"POST", "/exchange/export", auth.Exchange, (*API).exportPeople},
		{"GET", "/exchange/export/{exportId}", auth.Exchange, (*API).fetchExport},
		{"DELETE", "/exchange/export/{exportId}", auth.Exchange, (*API).removeExport},
		{"POST", "/exchange/import", auth.Exchange, (*API).importPeople},
		{"GET", "/migration", auth.Models, (*API).migration},
		{"GET", "/healthz", "", (*API).health},
		{"GET", "/readyz", "", (*API).ready},
		{"GET", "/version", "", (*API).version},
		{"GET", "/metrics", "", (*API).metrics},
		{"GET", "/openapi.yaml", "", (*API).contract},
		{"GET", "/docs", "", (*API).docs},
		{"GET", "/{$}", "", (*API).landing},
	}, siteOperations(), doorOperations())
}

// Takes says which permission each operation of the public server takes, by method
// and path; "" for those that anybody may call.
func (a *API) Takes() map[string]auth.Permission {
	takes := map[string]auth.Permission{}
	for _, op := range operations() {
		takes[op.method+" "+strings.TrimSuffix(op.path, "{$}")] = op.takes
	}
	takes["GET /events"], takes["GET /camera/stream"] = auth.EventsRead, auth.CameraView // asked for by their handlers
	return takes
}

// How many credentials of people that are not good one caller may send at once, and a
// second in the long run, besides what locks a PIN.
const (
	guessesAtOnce = 30
	guessRate     = 0.5
)

// failuresAtOnce is how many credentials may be refused in a row.
const failuresAtOnce = 20

// Public is the server for the network, where credentials decide and limits hold.
func (a *API) Public() *web.Server {
	s := a.server(operations(), func(w http.ResponseWriter, r *http.Request) (auth.Principal, error) {
		p, err := a.Authority.Authenticate(r.Context(), r.Header.Values("Authorization"))
		if err != nil {
			return p, a.failed(w, web.Address(r), err)
		}
		if p.Account != "" {
			return p, a.accounts.Take(w, string(p.Account))
		}
		return p, a.keys.Take(w, p.Actor.ID)
	})
	s.Admit = func(w http.ResponseWriter, r *http.Request) error { return a.addresses.Take(w, web.Address(r)) }
	return s
}

// failed counts a credential that was refused, and passes the error on, or that
// there were too many. Good credentials from the same address work on: keys are
// too long to be guessed, and a neighbour's mistake should lock nobody out.
func (a *API) failed(w http.ResponseWriter, name string, err error) error {
	if errors.Is(err, auth.ErrUnauthorized) {
		if limit := a.failures.Take(w, name); limit != nil {
			return limit
		}
	}
	return err
}

// server makes a server of operations, whose callers identify tells.
func (a *API) server(ops []operation, identify func(http.ResponseWriter, *http.Request) (auth.Principal, error)) *web.Server {
	routes := web.NewRoutes()
	for _, op := range ops {
		routes.Handle(op.method, op.path, func(w http.ResponseWriter, r *http.Request) error {
			// Who cannot take the answer is told so before anything is done.
			if op.method != "GET" && !web.Accepts(r, "application/json") {
				return errAccept
			}
			c := &call{w: w, r: r, identify: identify}
			if op.takes != "" {
				if err := c.authorize(op.takes); err != nil {
					return problem(err)
				}
			}
			return problem(op.handle(a, c))
		})
	}
	return &web.Server{Routes: routes, Log: a.Log, Observe: a.seen.answered}
}

// A call is one request with the one who sent it.
type call struct {
	auth.Principal // zero until authorize
	w              http.ResponseWriter
	r              *http.Request
	identify       func(http.ResponseWriter, *http.Request) (auth.Principal, error)
}

// authorize finds out who calls and whether he may.
func (c *call) authorize(p auth.Permission) (err error) {
	if c.Principal, err = c.identify(c.w, c.r); err != nil {
		return err
	}
	return c.Require(p)
}

func (c *call) ctx() context.Context { return c.r.Context() }

// cause is what changes of this call are put down to.
func (c *call) cause() store.Cause {
	return store.Cause{Actor: c.Actor, Request: web.RequestID(c.ctx())}
}

var errAccept = web.Fail(http.StatusNotAcceptable, "answers are application/json")

// reply answers with v as JSON, if the caller can take that.
func (c *call) reply(status int, v any) error {
	if !web.Accepts(c.r, "application/json") {
		return errAccept
	}
	return web.Write(c.w, status, v)
}

// Sweep removes what has expired until ctx ends: upload links, images, liveness
// sessions, retired tokens, logins, codes, invitations, locks and letters, and once a
// day what merchants keep no longer.
func (a *API) Sweep(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if err := a.sweep(ctx); err != nil && !errors.Is(err, context.Canceled) {
			a.Log.Warn("remove what has expired", "err", err)
		}
		if a.Exports != nil {
			if err := a.Exports.Sweep(); err != nil {
				a.Log.Warn("remove exports that have expired", "err", err)
			}
		}
		if err := a.sightings.Flush(ctx, false); err != nil && !errors.Is(err, context.Canceled) {
			a.Log.Warn("note who was seen", "err", err)
		}
		if err := a.retain(ctx); err != nil && !errors.Is(err, context.Canceled) {
			a.Log.Warn("remove what was kept long enough", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
