package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/web"
)

// serve answers one request over handlers by "METHOD /pattern".
func serve(t *testing.T, handlers map[string]web.Handler, r *http.Request) *http.Response {
	t.Helper()
	routes := web.NewRoutes()
	for name, h := range handlers {
		method, pattern, _ := strings.Cut(name, " ")
		routes.Handle(method, pattern, h)
	}
	w := httptest.NewRecorder()
	(&web.Server{Routes: routes}).ServeHTTP(w, r)
	return w.Result()
}

func errorBody(t *testing.T, resp *http.Response) web.ErrorBody {
	t.Helper()
	var body web.ErrorBody
	dec := json.NewDecoder(resp.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil {
		t.Fatalf("error body: %v", err)
	}
	return body
}

func TestEveryFormOfAPathAnswersDirectly(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) error {
		return web.Write(w, 200, map[string]string{"id": r.PathValue("id"), "pattern": r.Pattern})
	}
	handlers := map[string]web.Handler{"GET /users/{id}": echo, "POST /users/{id}": echo, "PUT /users/{id}": echo}
	for _, method := range []string{"GET", "POST", "PUT"} {
		for _, path := range []string{"/users/7", "/users/7/", "/api/users/7", "/api/users/7/"} {
			resp := serve(t, handlers, httptest.NewRequest(method, path, nil))
			var got map[string]string
			if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != 200 {
				t.Fatalf("%s %s: status %d, %v", method, path, resp.StatusCode, err)
			}
			if got["id"] != "7" || got["pattern"] != "/users/{id}" {
				t.Errorf("%s %s: got %v", method, path, got)
			}
		}
	}
}

func TestPathsThatNobodyServes(t *testing.T) {
	ok := func(w http.ResponseWriter, r *http.Request) error { return web.Write(w, 200, r.PathValue("id")) }
	handlers := map[string]web.Handler{"GET /users": ok, "GET /users/{id}": ok}
	for _, path := range []string{
		"/nothing", "/users/7/more", "/apiusers", "//users", "/users//", "/users/../users", "/./users",
		"/api/api/users", "/users/%2e%2e/users", "/users/%2e%2e",
	} {
		resp := serve(t, handlers, httptest.NewRequest("GET", path, nil))
		if resp.StatusCode != 404 || resp.Header.Get("Location") != "" {
			t.Errorf("%s: status %d, location %q", path, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	if resp := serve(t, handlers, httptest.NewRequest("GET", "/users/a%2Fb", nil)); resp.StatusCode != 200 {
		t.Errorf("an escaped slash stays inside its segment: status %d", resp.StatusCode)
	}
}

func TestAnotherMethodIsToldWhichOnesThereAre(t *testing.T) {
	ok := func(w http.ResponseWriter, _ *http.Request) error { return web.Write(w, 200, 1) }
	handlers := map[string]web.Handler{"GET /users": ok, "PUT /users": ok}
	resp := serve(t, handlers, httptest.NewRequest("DELETE", "/users/", nil))
	if got := resp.Header.Get("Allow"); resp.StatusCode != 405 || got != "GET, HEAD, PUT" {
		t.Errorf("status %d, Allow %q", resp.StatusCode, got)
	}
	if body := errorBody(t, resp); body.Code != "METHOD_NOT_ALLOWED" {
		t.Errorf("code %q", body.Code)
	}
	if resp := serve(t, handlers, httptest.NewRequest("HEAD", "/users/", nil)); resp.StatusCode != 200 {
		t.Errorf("HEAD: status %d", resp.StatusCode)
	}
}

func TestTwoHandlersForOneRoutePanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	routes := web.NewRoutes()
	for range 2 {
		routes.Handle("GET", "/x", func(http.ResponseWriter, *http.Request) error { return nil })
	}
}

func TestErrorsBecomeTheOneBody(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	tests := []struct {
		name    string
		err     error
		status  int
		code    string
		message string
	}{
		{"ours", web.Fail(409, "taken"), 409, "CONFLICT", "taken"},
		{"wrapped", errors.Join(errors.New("x"), web.Fail(422, "no face")), 422, "UNPROCESSABLE_ENTITY", "no face"},
		{"foreign", errors.New("disk /dev/sda1 on fire"), 500, "INTERNAL_SERVER_ERROR", "internal error"},
		{"deadline", context.DeadlineExceeded, 500, "INTERNAL_SERVER_ERROR", "the request took too long"},
		{"status nobody knows", web.Fail(299, "secret"), 500, "INTERNAL_SERVER_ERROR", "internal error"},
		{"too large", &http.MaxBytesError{Limit: 9}, 413, "PAYLOAD_TOO_LARGE", "the body is larger than 9 bytes"},
		{"not ready", web.Fail(503, "starting"), 503, "SERVICE_UNAVAILABLE", "starting"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := func(http.ResponseWriter, *http.Request) error { return tt.err }
			resp := serve(t, map[string]web.Handler{"GET /x": h}, httptest.NewRequest("GET", "/x", nil))
			body := errorBody(t, resp)
			if resp.StatusCode != tt.status || body.Status != tt.status || body.Code != tt.code || body.Message != tt.message || body.Error != tt.message || body.Success {
				t.Errorf("status %d, body %+v", resp.StatusCode, body)
			}
			if !uuid.MatchString(body.RequestID) || resp.Header.Get("X-Request-Id") != body.RequestID {
				t.Errorf("request id %q, header %q", body.RequestID, resp.Header.Get("X-Request-Id"))
			}
		})
	}
}

func TestAPanicIsA500AndTheServerLives(t *testing.T) {
	var log bytes.Buffer
	routes := web.NewRoutes()
	routes.Handle("GET", "/x", func(http.ResponseWriter, *http.Request) error { panic("Ada Lovelace") })
	s := &web.Server{Routes: routes, Log: slog.New(slog.NewTextHandler(&log, nil))}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/x?token=secret", nil))
	if w.Code != 500 || strings.Contains(w.Body.String(), "Ada") {
		t.Errorf("status %d, body %s", w.Code, w.Body)
	}
	if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "route=/x") {
		t.Errorf("log: %s", &log)
	}
}

func TestTheDeadlineReachesTheHandler(t *testing.T) {
	routes := web.NewRoutes()
	routes.Handle("GET", "/slow", func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		return r.Context().Err()
	})
	w := httptest.NewRecorder()
	(&web.Server{Routes: routes, Deadline: time.Millisecond}).ServeHTTP(w, httptest.NewRequest("GET", "/slow", nil))
	if w.Code != 500 {
		t.Errorf("status %d", w.Code)
	}
}

func TestAnswersCarryTheSecurityHeaders(t *testing.T) {
	ok := func(w http.ResponseWriter, _ *http.Request) error { return web.Write(w, 200, 1) }
	for _, path := range []string{"/x", "/missing"} {
		h := serve(t, map[string]web.Handler{"GET /x": ok}, httptest.NewRequest("GET", path, nil)).Header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"Content-Type": "application/json; charset=utf-8",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: policy %q", path, h.Get("Content-Security-Policy"))
		}
	}
}

func TestObserveHearsOfEveryAnswer(t *testing.T) {
	var got []string
	routes := web.NewRoutes()
	routes.Handle("GET", "/x/{id}", func(http.ResponseWriter, *http.Request) error { return web.Fail(404, "no") })
	s := &web.Server{Routes: routes, Observe: func(p, m string, status int, _ time.Duration) {
		got = append(got, m+" "+p+" "+http.StatusText(status))
	}}
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x/1", nil))
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("BREW", "/pot", nil))
	if want := "GET /x/{id} Not Found|other  Not Found"; strings.Join(got, "|") != want {
		t.Errorf("got %q", got)
	}
}

// A real listener: the limits of web.Server.HTTP hold on the wire.
func TestOversizedHeadersAreRefused(t *testing.T) {
	routes := web.NewRoutes()
	srv := (&web.Server{Routes: routes}).HTTP(t.Context())
	ts := httptest.NewUnstartedServer(nil)
	ts.Config = srv
	ts.Start()
	defer ts.Close()
	req, err := http.NewRequest("GET", ts.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Big", strings.Repeat("a", 2*web.MaxHeaderBytes))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// A handler that hears nothing of its deadline does not keep the caller waiting,
// and what it says too late goes nowhere.
func TestAHandlerThatIsStuck(t *testing.T) {
	released, ended := make(chan bool), make(chan error, 1)
	routes := web.NewRoutes()
	routes.Handle("GET", "/stuck", func(w http.ResponseWriter, _ *http.Request) error {
		<-released
		w.Header().Set("X-Late", "1")
		err := web.Write(w, 200, "too late")
		ended <- err
		return err
	})
	ts := httptest.NewServer(&web.Server{Routes: routes, Deadline: 50 * time.Millisecond})
	defer ts.Close()
	resp, err := http.Get(ts.URL + "/stuck")
	if err != nil {
		t.Fatal(err)
	}
	var body web.ErrorBody
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != 500 || body.Code != "INTERNAL_SERVER_ERROR" ||
		body.RequestID == "" || body.RequestID != resp.Header.Get("X-Request-Id") || resp.Header.Get("X-Content-Type-Options") == "" {
		t.Errorf("status %d, %+v, %v", resp.StatusCode, body, err)
	}
	close(released)
	if err := <-ended; err == nil || resp.Header.Get("X-Late") != "" {
		t.Errorf("the late answer went somewhere: %v", err)
	}
	resp.Body.Close()
}

// Who has lifted the deadline takes the time it needs.
func TestAHandlerThatTakesItsTime(t *testing.T) {
	routes := web.NewRoutes()
	routes.Handle("GET", "/long", func(w http.ResponseWriter, _ *http.Request) error {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
			return err
		}
		time.Sleep(750 * time.Millisecond) // three deadlines
		return web.Write(w, 200, "done")
	})
	ts := httptest.NewServer(&web.Server{Routes: routes, Deadline: 250 * time.Millisecond})
	defer ts.Close()
	resp, err := http.Get(ts.URL + "/long")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%+v, %v", resp, err)
	}
	resp.Body.Close()
}
