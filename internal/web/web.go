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
// It knows nothing of faces, people or credentials.
package web

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
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
	Patience time.Duration // for the headers of a request; 0 means HeaderTimeout
	// Admit, if set, is asked before a request is handled; its error is the answer.
	Admit Handler
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
		ReadHeaderTimeout: cmp.Or(s.Patience, HeaderTimeout),
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
	out := &recorder{ResponseWriter: w, header: http.Header{}}
	securityHeaders(out.Header())
	out.Header().Set("X-Request-Id", id)
	if s.HSTS {
		out.Header().Set("Strict-Transport-Security", "max-age=31536000") // a year
	}

	handler, r, pattern := s.Routes.find(r.WithContext(ctx))
	defer s.late(out, id, pattern)()
	var err error
	if s.Admit != nil {
		err = s.Admit(out, r)
	}
	if err == nil {
		err = guard(handler, out, r)
	}
	if err != nil {
		e := problem(err)
		if e.Status >= http.StatusInternalServerError {
			s.log().Error("request failed", "request", id, "route", pattern, "err", e.Err)
		}
		if !out.started() {
			writeError(out, id, e)
		}
	}
	took := time.Since(start)
	status, bytes := out.answer()
	// The pattern, not the path: a path may carry an id, a query a signature.
	s.log().Info("request", "request", id, "method", knownMethod(r.Method), "route", pattern, "status", status, "bytes", bytes, "took", took)
	if s.Observe != nil {
		s.Observe(pattern, knownMethod(r.Method), status, took)
	}
}

// late answers in the place of a handler that does not hear the end of its
// deadline, as one that waits for a call into C; what the handler says afterwards
// is dropped. The returned function is for when it has ended in time.
func (s *Server) late(out *recorder, id, pattern string) (inTime func()) {
	limit := s.deadline()
	t := time.AfterFunc(limit+limit/50, func() {
		if out.takeOver(id) {
			s.log().Error("a handler is stuck", "request", id, "route", pattern)
		}
	})
	return func() { t.Stop() }
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

// recorder remembers what was answered. The header is its own until the answer
// begins, so that another answer can take its place.
type recorder struct {
	http.ResponseWriter
	header http.Header

	mu     sync.Mutex // protects the fields below, and what is written
	status int
	bytes  int64
	over   bool // somebody else has answered
	free   bool // the handler has lifted its deadline
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) started() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status != 0
}

func (w *recorder) answer() (status int, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status, w.bytes
}

func (w *recorder) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin(status)
}

// begin sends the header; w.mu is held.
func (w *recorder) begin(status int) {
	if w.over || w.status != 0 {
		return
	}
	w.status = status
	maps.Copy(w.ResponseWriter.Header(), w.header)
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin(http.StatusOK)
	if w.over {
		return 0, context.DeadlineExceeded
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// takeOver answers that the deadline is over, unless the answer has begun, and
// ends what the handler can say.
func (w *recorder) takeOver(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status != 0 || w.free {
		return false
	}
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(problem(context.DeadlineExceeded).body(id)); err != nil {
		return false
	}
	h := w.ResponseWriter.Header()
	securityHeaders(h)
	h.Set("Content-Type", jsonType)
	h.Set("Content-Length", strconv.Itoa(b.Len())) // it is whole although the handler goes on
	h.Set("X-Request-Id", id)
	w.status, w.over, w.bytes = http.StatusInternalServerError, true, int64(b.Len())
	w.ResponseWriter.WriteHeader(w.status)
	_, _ = w.ResponseWriter.Write(b.Bytes()) // the caller is gone if this fails
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	return true
}

// SetWriteDeadline is for http.ResponseController; a zero time lifts the deadline
// of the request too.
func (w *recorder) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	w.free = t.IsZero()
	w.mu.Unlock()
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

// FlushError is for http.ResponseController.
func (w *recorder) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack lets a websocket take the connection over.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("hijack connection: not supported")
	}
	w.mu.Lock()
	w.status = http.StatusSwitchingProtocols
	w.mu.Unlock()
	return h.Hijack()
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
