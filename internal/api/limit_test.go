package api_test

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// limited is the box with limits, and what it writes to its log.
func (b *box) limited(t *testing.T, l api.Limits) *bytes.Buffer {
	t.Helper()
	log := &bytes.Buffer{}
	a, err := api.New(api.Config{
		Store: b.store, Authority: b.auth, Verifier: b.faces, Detector: b.faces, Camera: b.faces, Audit: b.Config.Audit,
		Status: func() api.Status { return b.status }, Clock: func() time.Time { return b.now }, Limits: l,
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(a.Public())
	b.url = ts.URL
	t.Cleanup(func() {
		a.Close()
		ts.Close()
	})
	return log
}

func TestAKeyHasItsLimit(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.limited(t, api.Limits{Key: 2})
	_, other := b.newMerchant("Other", auth.Scopes()...)
	for range 4 {
		b.want(b.call("GET", "/users", nil), 200)
	}
	token := b.want(b.accessToken(b.merchant, b.apiKey), 200).text("token") // not itself a call with the key
	a := b.want(b.callAs(token, "GET", "/users", nil), 429)
	if a.header.Get("Retry-After") != "1" || a.text("code") != "TOO_MANY_REQUESTS" {
		t.Errorf("Retry-After %q, %s", a.header.Get("Retry-After"), a.raw)
	}
	b.want(b.callAs("Bearer "+other, "GET", "/users", nil), 200)
	b.now = b.now.Add(time.Second)
	b.want(b.call("GET", "/users", nil), 200)
}

func TestAnAddressHasItsLimit(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.limited(t, api.Limits{Address: 2})
	for range 4 {
		b.want(b.callAs("", "GET", "/healthz", nil), 200)
	}
	b.want(b.callAs("", "GET", "/healthz", nil), 429)
}

func TestGuessing(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.limited(t, api.Limits{Failures: 0.2})
	for range 10 {
		b.want(b.callAs("Bearer 1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff", "GET", "/users", nil), 401)
		b.want(b.accessToken("5f0c0ffee0c0ffee0c0ffee0", "1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff"), 401)
	}
	guess := func() answer { return b.callAs("Bearer 1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff", "GET", "/users", nil) }
	if a := b.want(guess(), 429); a.header.Get("Retry-After") != "5" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	b.want(b.call("GET", "/users", nil), 200) // a good key works all the same
	b.now = b.now.Add(5 * time.Second)
	b.want(guess(), 401)
}

// The log tells what happened, to which request, and nothing about whom.
func TestTheLogTellsNothingPersonal(t *testing.T) {
	b := newBox(t, store.Sandbox)
	log := b.limited(t, api.Limits{})
	id := b.enrolled("Adalbertine", red)
	token := b.want(b.accessToken(b.merchant, b.apiKey), 200).text("token")
	link := b.want(b.link(id, "match"), 200)
	b.want(b.put(link, jpegOf(red)), 200)
	b.want(b.callAs(token, "POST", "/face/match", `{"userId":"`+id+`"}`), 200)
	b.want(b.callAs(token, "GET", "/users?search=adalbertine", nil), 200)
	b.want(b.callAs(token, "GET", "/adalbertine@example.org", nil), 404)
	b.want(b.callAs(token, "POST", "/register", `{"firstname":"Adalbertine"`), 400)
	session := b.session(id, red, 3)
	last := b.want(b.call("POST", "/check-liveness", body(session)), 200)
	b.faces.fail = store.ErrDamaged
	b.strange = true
	failed := b.want(b.call("POST", "/face/detect", form("image", jpegOf(red))), 500)
	for _, secret := range []string{"adalbertine", "example.org", id, token, b.apiKey, session, "signature", string(b.merchant)} {
		if strings.Contains(strings.ToLower(log.String()), secret) {
			t.Errorf("the log has %s:\n%s", secret, log)
		}
	}
	for _, a := range []answer{link, last, failed} {
		if requestID := a.header.Get("X-Request-Id"); requestID == "" || !strings.Contains(log.String(), requestID) {
			t.Errorf("the log has no line for request %q", requestID)
		}
	}
	for line := range strings.SplitSeq(strings.TrimSpace(log.String()), "\n") {
		if !strings.Contains(line, "request=") {
			t.Errorf("a line without its request: %s", line)
		}
	}
}
