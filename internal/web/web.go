// Package web is the HTTP manners of the box: JSON in and out with limits, one
// error body, request ids, security headers, and routes that answer with and
// without /api in front and a slash behind, and never redirect.
//
// A handler returns an error instead of writing one:
//
//	routes := web.NewRoutes()
//	routes.Handle("POST", "/register", func(w http.ResponseWriter, r *http.Request) error {
//		var in struct{ Email string }
//		if err := web.Decode(r, &in, 0); err != nil {
//			return err
//		}
//		return web.Write(w, http.StatusCreated, answer)
//	})
//	http.Serve(l, &web.Server{Routes: routes, Log: log})
//
// It knows nothing of faces, people or credentials, and limits no rates.
package web

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"
)

// Limits of a connection that every listener of the box uses.
const (
	HeaderTimeout  = 10 * time.Second // to send the headers
	IdleTimeout    = 2 * time.Minute  // between two requests
	MaxHeaderBytes = 32 << 10
	// DefaultDeadline is how long a request may take. The caller gets an answer
	// at its end, whatever happens.
	DefaultDeadline = 5 * time.Minute
)

// A Server answers requests by its routes. The zero values of the other fields
// are fit for use.
type Server struct {
	Routes   *Routes
	Log      *slog.Logger  // access log and the causes of errors; nil discards
	Deadline time.Duration // of a request; 0 means DefaultDeadline
	// HSTS tells browsers to come by TLS only from now on.
	HSTS bool
	// Observe, if set, is told of each answer: the route's pattern ("" if none),
	// the method, the status, and the time it took.
	Observe func(pattern, method string, status int, took time.Duration)
}

// HTTP returns the http.Server for s with the limits above; base is the context
// of its requests.
func (s *Server) HTTP(base context.Context) *http.Server {
	deadline := s.deadline()
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: HeaderTimeout,
		ReadTimeout:       deadline,
		WriteTimeout:      deadline + 10*time.Second,
		IdleTimeout:       IdleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.log().Handler(), slog.LevelDebug),
	}
}

func (s *Server) deadline() time.Duration {
	if s.Deadline > 0 {
		return s.Deadline
	}
	return DefaultDeadline
}

func (s *Server) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.New(slog.DiscardHandler)
}

// ServeHTTP answers one request: it names it, sets the headers every answer
// has, runs the handler under the deadline, and turns its error or panic into
// the error body.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	id := newRequestID()
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), requestIDKey{}, id), s.deadline())
	defer cancel()
	out := &recorder{ResponseWriter: w}
	securityHeaders(out.Header())
	out.Header().Set("X-Request-Id", id)
	if s.HSTS {
		out.Header().Set("Strict-Transport-Security", "max-age=31536000") // a year
	}

	handler, r, pattern := s.Routes.find(r.WithContext(ctx))
	if err := guard(handler, out, r); err != nil {
		e := problem(err)
		if e.Status >= http.StatusInternalServerError {
			s.log().Error("request failed", "request", id, "route", pattern, "err", e.Err)
		}
		if !out.started() {
			writeError(out, id, e)
		}
	}
	took := time.Since(start)
	// The pattern, not the path: a path may carry an id, a query a signature.
	s.log().Info("request", "request", id, "method", knownMethod(r.Method), "route", pattern, "status", out.status, "bytes", out.bytes, "took", took)
	if s.Observe != nil {
		s.Observe(pattern, knownMethod(r.Method), out.status, took)
	}
}

// knownMethod keeps invented methods out of the log and the metrics.
func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH":
		return m
	}
	return "other"
}

// guard runs a handler and makes its panic an error. http.ErrAbortHandler goes
// on, as net/http asks.
func guard(h Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); {
		case p == nil:
		case p == http.ErrAbortHandler:
			panic(p)
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return h(w, r)
}

// securityHeaders sets what every answer carries; a page may loosen its policy.
func securityHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

type requestIDKey struct{}

// RequestID returns the id of the request in whose handler ctx lives, a UUID
// v4, or "" outside of one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) started() bool { return w.status != 0 }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Hijack lets a websocket take the connection over.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("hijack connection: not supported")
	}
	w.status = http.StatusSwitchingProtocols
	return h.Hijack()
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
