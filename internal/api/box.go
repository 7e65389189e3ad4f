package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// Box is what the control socket wants of the daemon behind it.
type Box interface {
	// Control is the control server of an environment, see API.Control. The error
	// says why there is none.
	Control(store.Environment) (http.Handler, error)
	// Environments says which there are, and how they are.
	Environments() []Environment
	// Enable makes an environment that is not there, and serves it.
	Enable(context.Context, store.Environment) (FirstKey, error)
}

// An Environment is one half of a box, as the operator sees it.
type Environment struct {
	Environment store.Environment `json:"environment"`
	Enabled     bool              `json:"enabled"`
	URL         string            `json:"url,omitempty"`
	Fingerprint string            `json:"fingerprint,omitempty"` // SHA-256 of the certificate that the box made, to compare
	Pin         string            `json:"pin,omitempty"`         // of its key, for curl --pinnedpubkey
	MerchantID  store.MerchantID  `json:"merchantId,omitempty"`  // the first one
	Ready       bool              `json:"ready"`
	Reason      string            `json:"reason,omitempty"` // why not
	Camera      string            `json:"camera,omitempty"`
	People      int               `json:"people"`
}

// FirstKey is what an environment begins with. The key is shown this once.
type FirstKey struct {
	Environment store.Environment `json:"environment"`
	URL         string            `json:"url,omitempty"`
	Fingerprint string            `json:"fingerprint,omitempty"` // of the certificate that the box made
	MerchantID  store.MerchantID  `json:"merchantId"`
	APIKey      string            `json:"apiKey"`
}

// ControlServer is the server of a box's own socket. The host of a request names
// the environment it is for: http://sandbox/users/, http://production/users/; as
// http://box/ or http://localhost/ it is the sandbox. Besides what API.Control
// serves there are, for any host,
//
//	GET  /control/environments                  which there are
//	POST /control/environments/{environment}    make one, answers with its first key
//
// base is the context of the requests.
func ControlServer(base context.Context, b Box, log *slog.Logger) *http.Server {
	own := &web.Server{Routes: boxRoutes(b), Log: log}
	s := own.HTTP(base)
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/control/environments") {
			if h, err := control(b, r.Host); err == nil {
				h.ServeHTTP(w, r)
				return
			}
		}
		own.ServeHTTP(w, r)
	})
	return s
}

// control is the control server of the environment that a host names.
func control(b Box, host string) (http.Handler, error) {
	switch env := store.Environment(host); env {
	case "box", "localhost":
		return b.Control(store.Sandbox)
	case store.Sandbox, store.Production:
		return b.Control(env)
	}
	return nil, web.Fail(http.StatusNotFound, "there is no such environment").Field("host", "must be sandbox or production")
}

// boxRoutes are the operations of the box as a whole; whatever else comes is told
// why its environment does not take it.
func boxRoutes(b Box) *web.Routes {
	routes := web.NewRoutes()
	routes.Handle("GET", "/control/environments", func(w http.ResponseWriter, _ *http.Request) error {
		return web.Write(w, http.StatusOK, struct {
			Success      bool          `json:"success"`
			Environments []Environment `json:"environments"`
		}{true, b.Environments()})
	})
	routes.Handle("POST", "/control/environments/{environment}", func(w http.ResponseWriter, r *http.Request) error {
		env := store.Environment(r.PathValue("environment"))
		if !env.Valid() {
			return web.Fail(http.StatusNotFound, "there is no such environment").Field("environment", "must be sandbox or production")
		}
		first, err := b.Enable(r.Context(), env)
		if err != nil {
			return err
		}
		return web.Write(w, http.StatusCreated, struct {
			Success bool `json:"success"`
			FirstKey
		}{true, first})
	})
	routes.Otherwise(func(_ http.ResponseWriter, r *http.Request) error {
		_, err := control(b, r.Host)
		return err
	})
	return routes
}
