package web

import (
	"net/http"
	"path"
	"slices"
	"strings"
)

// A Handler answers a request or returns why not; an *Error says what the
// caller is told.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Routes finds the handler of a request. Each path answers under /x, /x/,
// /api/x and /api/x/ alike. A path that is not clean (//, /../) is 404, an
// unknown method 405 with Allow. Nothing ever redirects.
type Routes struct {
	mux   *http.ServeMux
	paths map[string]methods
	other Handler
}

// methods are the handlers of one path.
type methods map[string]Handler

// NewRoutes returns routes without any.
func NewRoutes() *Routes {
	return &Routes{mux: http.NewServeMux(), paths: map[string]methods{}, other: notFound}
}

// Otherwise sets the handler of all paths that no other one serves, in the place
// of 404.
func (rt *Routes) Otherwise(h Handler) { rt.other = h }

// Handle adds a handler for a method ("GET" answers HEAD too) and a pattern of
// http.ServeMux without method, host, /api in front and slash behind, such as
// "/users/{userId}". It panics when the two are taken already.
func (rt *Routes) Handle(method, pattern string, h Handler) {
	m := rt.paths[pattern]
	if m == nil {
		m = methods{}
		rt.paths[pattern] = m
		rt.mux.Handle(pattern, m)
	}
	if m[method] != nil {
		panic("web: two handlers for " + method + " " + pattern)
	}
	m[method] = h
}

// A Route is one operation that is served.
type Route struct{ Method, Pattern string }

// All lists the routes in the order of their patterns.
func (rt *Routes) All() []Route {
	var all []Route
	for pattern, m := range rt.paths {
		for method := range m {
			all = append(all, Route{method, pattern})
		}
	}
	slices.SortFunc(all, func(a, b Route) int {
		return strings.Compare(a.Pattern+" "+a.Method, b.Pattern+" "+b.Method)
	})
	return all
}

// find returns the handler of r, r with its path values set, and the pattern.
func (rt *Routes) find(r *http.Request) (Handler, *http.Request, string) {
	escaped, clean := canonical(r.URL.EscapedPath())
	plain, ok := canonical(r.URL.Path)
	if !clean || !ok {
		return rt.other, r, ""
	}
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = plain, escaped
	m := &match{handler: rt.other, r: r}
	rt.mux.ServeHTTP(m, r)
	return m.handler, m.r, m.r.Pattern
}

// A match goes through the ServeMux in the place of a ResponseWriter and brings
// back what was found.
type match struct {
	handler Handler
	r       *http.Request
}

func (*match) Header() http.Header         { return http.Header{} }
func (*match) Write(b []byte) (int, error) { return len(b), nil }
func (*match) WriteHeader(int)             {}

// ServeHTTP notes the handler for r; w is the match.
func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found := w.(*match)
	found.handler, found.r = m.handler(r.Method), r
}

// handler chooses by method; HEAD is GET, of which net/http drops the body.
func (m methods) handler(method string) Handler {
	if h := m[method]; h != nil {
		return h
	}
	if h := m[http.MethodGet]; h != nil && method == http.MethodHead {
		return h
	}
	var allow []string
	for name := range m {
		allow = append(allow, name)
		if name == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	slices.Sort(allow)
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return Fail(http.StatusMethodNotAllowed, "this path does not take that method")
	}
}

func notFound(http.ResponseWriter, *http.Request) error {
	return Fail(http.StatusNotFound, "there is nothing at this path")
}

// canonical takes one /api from the front and one slash from the back. It is
// false for a path that path.Clean would change further.
func canonical(p string) (string, bool) {
	if rest, ok := strings.CutPrefix(p, "/api"); ok && (rest == "" || rest[0] == '/') {
		p = rest
	}
	p = strings.TrimSuffix(p, "/")
	if p == "" {
		return "/", true
	}
	return p, p[0] == '/' && path.Clean(p) == p
}
