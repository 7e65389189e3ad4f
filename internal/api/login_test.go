package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

const (
	password = "an engine that weaves"
	another  = "algebraical patterns"
)

// accounts has the box know accounts as c says, and returns its log. It can be
// called again, as if the box had been started anew.
func (b *box) accounts(t *testing.T, c account.Config) *bytes.Buffer {
	t.Helper()
	log := &bytes.Buffer{}
	c.Store, c.Authority, c.Clock = b.store, b.auth, func() time.Time { return b.now }
	c.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a, err := api.New(api.Config{
		Store: b.store, Authority: b.auth, Accounts: account.New(c), Verifier: b.faces, Detector: b.faces, Audit: b.Config.Audit,
		Status: func() api.Status { return b.status }, Clock: c.Clock, Log: c.Log, BaseURL: c.BaseURL,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.API.Close()
	b.API = a
	ts := httptest.NewServer(a.Public())
	b.url = ts.URL
	t.Cleanup(ts.Close)
	return log
}

// person makes an account with a password.
func (b *box) person(email string, role store.Role) store.Account {
	b.t.Helper()
	a, err := b.Accounts.Create(context.Background(), setup, b.merchant, store.Account{Email: email, Firstname: "Ada", Lastname: "Lovelace", Role: role}, password)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func asJSON(v any) string {
	raw, _ := json.Marshal(v) // of maps of strings
	return string(raw)
}

// signIn tries a password.
func (b *box) signIn(email, password string) answer {
	b.t.Helper()
	return b.callAs("", "POST", "/login/", asJSON(map[string]string{"email": email, "password": password}))
}

// from sends a request from a network address.
func (b *box) from(address, method, path, body string) answer {
	b.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = address + ":1234"
	w := httptest.NewRecorder()
	b.Public().ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if err := theContract(b.t).check(method, r.URL.Path, w.Code, w.Header(), w.Body.Bytes()); err != nil {
		b.t.Errorf("%v\n%s", err, a.raw)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a.body); err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *box) signInFrom(address, email, password string) answer {
	b.t.Helper()
	return b.from(address, "POST", "/login", asJSON(map[string]string{"email": email, "password": password}))
}

func TestLogin(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.person("Ada@Example.org", store.RoleOwner)
	in := b.want(b.signIn(" ada@example.ORG ", password), 200)
	golden(t, b, "login.json", in)
	me := b.want(b.callAs("Bearer "+in.text("token"), "GET", "/merchant/me/", nil), 200)
	golden(t, b, "me.json", me)
	changed := b.want(b.callAs(in.text("accessToken"), "PUT", "/api/merchant/me", `{"firstname":" Augusta ","businessName":"Engines"}`), 200)
	if !strings.Contains(changed.raw, `"firstname":"Augusta"`) || !strings.Contains(changed.raw, `"businessName":"Engines"`) || !strings.Contains(changed.raw, `"lastname":"Lovelace"`) {
		t.Error(changed.raw)
	}
	for _, bad := range []string{`{"firstname":""}`, `{"email":"x@example.org"}`, `{"phone":"x"}`, `{"businessName":"` + strings.Repeat("a", 201) + `"}`} {
		b.want(b.callAs(in.text("token"), "PUT", "/merchant/me", bad), 400)
	}
	// What an owner may do, he does, and the journal says who.
	b.want(b.callAs(in.text("token"), "POST", "/merchant-api-key/", nil), 201)
	keys := b.want(b.callAs(in.text("token"), "GET", "/merchant-api-key/", nil), 200)
	if n := len(keys.body["keys"].([]any)); n != 2 {
		t.Errorf("%d keys are listed: logins are none", n)
	}
	var by store.Actor
	b.update(func(tx *store.Tx) error {
		events, err := store.Events(tx, 0, 1000)
		by = events[len(events)-1].Actor
		return err
	})
	if by != (store.Actor{Kind: store.ActorAccount, ID: string(ada.ID)}) {
		t.Errorf("the journal says %+v did it", by)
	}
	// A key is nobody.
	b.want(b.call("GET", "/merchant/me/", nil), 403)
	// An operator has an account and no business.
	b.person("grace@example.org", store.RoleOperator)
	grace := b.want(b.signIn("grace@example.org", password), 200).text("token")
	b.want(b.callAs(grace, "GET", "/users", nil), 200)
	b.want(b.callAs(grace, "PUT", "/merchant/me", `{"businessName":"Relays"}`), 403)
	b.want(b.callAs(grace, "GET", "/accounts", nil), 403)

	b.want(b.callAs(in.text("token"), "POST", "/logout/", nil), 200)
	b.want(b.callAs(in.text("token"), "GET", "/merchant/me/", nil), 401)
	b.want(b.callAs(in.text("refreshToken"), "POST", "/refresh-token/", nil), 401)
	for _, bad := range []string{`{}`, `{"email":"ada@example.org"}`, `{"password":"x"}`, `{"email":7,"password":"x"}`, `[]`} {
		b.want(b.callAs("", "POST", "/login", bad), 400)
	}
}

// Whatever is wrong with a login, the answer is the same and the work too: one
// password is hashed. Why an account may not sign in hears who has its password.
func TestFailingLoginsAreAlike(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.person("ada@example.org", store.RoleOwner)
	suspended, unverified, later := b.person("s@example.org", store.RoleOperator), b.person("u@example.org", store.RoleOperator), b.person("m@example.org", store.RoleOwner)
	other, _ := b.newMerchant("Other")
	b.update(func(tx *store.Tx) error {
		suspended.Status, unverified.Verified = store.Suspended, false
		m, err := store.Get[store.Merchant](tx, other)
		if err != nil {
			return err
		}
		m.Status = store.Suspended
		if err := store.Delete[store.Account](tx, later.ID); err != nil {
			return err
		}
		later.Meta, later.ID, later.Merchant = store.Meta{}, store.NewID[store.AccountID](b.now), other
		for _, err := range []error{store.Put(tx, &suspended), store.Put(tx, &unverified), store.Put(tx, &later), store.Put(tx, &m)} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	requestID := regexp.MustCompile(`"requestId":"[^"]*"`)
	first := ""
	for _, tt := range []struct{ name, email, password string }{
		{"wrong password", "ada@example.org", "not the password"},
		{"unknown", "nobody@example.org", password},
		{"no address at all", "nobody", password},
		{"suspended", "s@example.org", "x"},
		{"not verified", "u@example.org", "x"},
		{"merchant suspended", "m@example.org", "x"},
		{"much too long", "ada@example.org", strings.Repeat("a", 5000)},
	} {
		before := auth.Hashed()
		a := b.want(b.signIn(tt.email, tt.password), 401)
		if n := auth.Hashed() - before; n != 1 {
			t.Errorf("%s: %d passwords were hashed", tt.name, n)
		}
		said := requestID.ReplaceAllString(a.raw, "")
		if first == "" {
			first = said
		}
		if said != first || a.header.Get("Retry-After") != "" {
			t.Errorf("%s: answered %s\nthe others %s", tt.name, said, first)
		}
	}
	for email, why := range map[string]string{"s@example.org": "suspended", "u@example.org": "not verified", "m@example.org": "suspended"} {
		before := auth.Hashed()
		if a := b.want(b.signIn(email, password), 403); !strings.Contains(a.raw, why) || auth.Hashed() != before+1 {
			t.Errorf("%s: answered %s, %d passwords were hashed", email, a.raw, auth.Hashed()-before)
		}
	}
	before := auth.Hashed()
	b.want(b.signIn("ada@example.org", password), 200)
	if n := auth.Hashed() - before; n != 1 {
		t.Errorf("a good login hashed %d passwords", n)
	}
}

func TestLockOut(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.accounts(t, account.Config{})
	b.person("ada@example.org", store.RoleOwner)
	b.want(b.signInFrom("192.0.2.1", "ada@example.org", password), 200) // she is known there
	wait := func(a answer) string { return b.want(a, 429).header.Get("Retry-After") }
	for _, email := range []string{"ada@example.org", "nobody@example.org"} {
		from := func(n int) string {
			return []string{"198.51.100.", "203.0.113."}[len(email)%2] + string(rune('0'+n%10))
		}
		for n := range 10 { // from ten addresses
			b.want(b.signInFrom(from(n), email, "wrong"), 401)
		}
		hashed := auth.Hashed()
		if got := wait(b.signInFrom("203.0.113.77", strings.ToUpper(email), password)); got != "60" {
			t.Errorf("%s: Retry-After %s", email, got)
		}
		if auth.Hashed() != hashed {
			t.Errorf("%s: who is locked is hashed for", email)
		}
		// It lasts over a restart, and longer each time.
		b.accounts(t, account.Config{})
		b.now = b.now.Add(59 * time.Second)
		wait(b.signInFrom("203.0.113.77", email, password))
		b.now = b.now.Add(time.Second)
		b.want(b.signInFrom("203.0.113.77", email, "wrong"), 401)
		if got := wait(b.signInFrom("203.0.113.78", email, password)); got != "120" {
			t.Errorf("%s: the second time %s", email, got)
		}
	}
	// Where she signed in before, she still can; and elsewhere no more failures are
	// held against her then.
	b.want(b.signInFrom("192.0.2.1", "ada@example.org", password), 200)
	b.want(b.signInFrom("203.0.113.80", "ada@example.org", "wrong"), 401)
	// There too only ten guesses are free.
	for range 10 {
		b.want(b.signInFrom("192.0.2.1", "ada@example.org", "wrong"), 401)
	}
	if got := wait(b.signInFrom("192.0.2.1", "ada@example.org", password)); got != "60" {
		t.Errorf("at a known place %s", got)
	}
	// The box's own operator lets in again.
	if _, err := b.Accounts.Unlock(t.Context(), setup); err != nil {
		t.Fatal(err)
	}
	b.want(b.signInFrom("192.0.2.1", "ada@example.org", password), 200)
}

// Somebody who tries one password on many addresses is locked by his own.
func TestLockOutOfAnAddress(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.person("ada@example.org", store.RoleOwner)
	b.person("own@example.org", store.RoleOperator)
	for n := range 10 {
		b.want(b.signInFrom("192.0.2.9", string(rune('a'+n))+"@example.org", "spring 1843 rain"), 401)
		if n == 5 { // an account of his own helps him nothing
			b.want(b.signInFrom("192.0.2.9", "own@example.org", password), 200)
		}
	}
	b.want(b.signInFrom("192.0.2.9", "ada@example.org", password), 429)
	b.want(b.signInFrom("192.0.2.10", "ada@example.org", password), 200)
	b.now = b.now.Add(25 * time.Hour)
	b.want(b.signInFrom("192.0.2.9", "k@example.org", "x"), 401)
	b.want(b.signInFrom("192.0.2.9", "ada@example.org", password), 200)
}

// Many at once have no more guesses than one after the other.
func TestLockOutOfMany(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.person("ada@example.org", store.RoleOwner)
	statuses := make(chan int, 24)
	for range cap(statuses) {
		go func() {
			r := httptest.NewRequest("POST", "/login", strings.NewReader(`{"email":"ada@example.org","password":"wrong"}`))
			w := httptest.NewRecorder()
			b.Public().ServeHTTP(w, r)
			statuses <- w.Code
		}()
	}
	seen := map[int]int{}
	for range cap(statuses) {
		seen[<-statuses]++
	}
	if seen[401] > 11 || seen[401]+seen[429]+seen[503] != cap(statuses) {
		t.Errorf("statuses %v", seen)
	}
}

func TestRefreshOfALogin(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.person("ada@example.org", store.RoleOwner)
	in := b.want(b.signIn("ada@example.org", password), 200)
	me := func(token string) int { return b.callAs("Bearer "+token, "GET", "/merchant/me", nil).status }
	if me(in.text("refreshToken")) != 401 {
		t.Error("the refresh token is good for calls")
	}
	b.want(b.callAs(in.text("token"), "POST", "/refresh-token", nil), 401) // the access token is not for that
	b.now = b.now.Add(2 * time.Hour)
	if me(in.text("token")) != 401 {
		t.Error("the access token lasts too long")
	}
	second := b.want(b.callAs("", "POST", "/api/refresh-token/", asJSON(map[string]string{"refreshToken": in.text("refreshToken")})), 200)
	if me(second.text("token")) != 200 {
		t.Error("the new token is worth nothing")
	}
	third := b.want(b.callAs(second.text("refreshToken"), "POST", "/refresh-token", nil), 200)
	// Somebody comes with the second one again: the login ends.
	b.want(b.callAs(second.text("refreshToken"), "POST", "/refresh-token", nil), 401)
	if me(third.text("token")) != 401 || me(second.text("token")) != 401 {
		t.Error("after a reuse the login goes on")
	}
	b.want(b.callAs(third.text("refreshToken"), "POST", "/refresh-token", nil), 401)
	b.want(b.callAs("", "POST", "/refresh-token", `{}`), 400)

	// It ends after 30 days however often it is refreshed, and after 7 if it is not.
	in = b.want(b.signIn("ada@example.org", password), 200)
	lasted := time.Duration(0)
	for step := 6 * 24 * time.Hour; ; lasted += step {
		b.now = b.now.Add(step)
		next := b.callAs(in.text("refreshToken"), "POST", "/refresh-token", nil)
		if next.status != 200 {
			break
		}
		in = next
	}
	if lasted != 24*24*time.Hour {
		t.Errorf("it could be refreshed for %v", lasted)
	}
	in = b.want(b.signIn("ada@example.org", password), 200)
	b.now = b.now.Add(7 * 24 * time.Hour)
	b.want(b.callAs(in.text("refreshToken"), "POST", "/refresh-token", nil), 401)
}

// An account is limited by all its logins together.
func TestAnAccountHasItsLimit(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada, grace := b.member("ada@example.org", store.RoleOwner), b.member("grace@example.org", store.RoleOperator)
	b.limited(t, api.Limits{Account: 2})
	one, two := b.open(&ada), b.open(&ada)
	for _, token := range []string{one, two, one, two} {
		b.want(b.callAs(token, "GET", "/users", nil), 200)
	}
	b.want(b.callAs(two, "GET", "/users", nil), 429)
	b.want(b.callAs(b.open(&grace), "GET", "/users", nil), 200)
	b.want(b.call("GET", "/users", nil), 200)
}

func TestNoLoginsWhileTheClockIsWrong(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.person("ada@example.org", store.RoleOwner)
	token := b.want(b.signIn("ada@example.org", password), 200).text("token")
	b.auth.TimeKnown = func() bool { return false }
	b.want(b.signIn("ada@example.org", password), 503)
	b.want(b.second("x", "code", "123456"), 503)
	b.want(b.callAs(token, "POST", "/factors/totp/confirm", `{"code":"123456"}`), 503)
	b.want(b.callAs(token, "GET", "/merchant/me", nil), 200)
}

// Logins that are over are swept away.
func TestLoginsAreSweptAway(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.member("ada@example.org", store.RoleOwner)
	for range 25 { // of which the oldest end
		b.open(&ada)
	}
	count := func() (n int) {
		b.update(func(tx *store.Tx) (err error) { n, err = store.Count(tx, store.LoginsByExpiry); return err })
		return n
	}
	if !b.sweep(time.Minute, func() bool { return count() == auth.MaxLogins }) {
		t.Errorf("%d logins", count())
	}
	b.now = b.now.Add(auth.MaxLogin + time.Second)
	if !b.sweep(time.Minute, func() bool { return count() == 0 }) {
		t.Errorf("%d logins that are over", count())
	}
}

func TestChangePassword(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.person("ada@example.org", store.RoleOwner)
	mine := b.want(b.signIn("ada@example.org", password), 200).text("token")
	other := b.want(b.signIn("ada@example.org", password), 200)
	change := func(old, new string) answer {
		return b.callAs(mine, "POST", "/password/change/", asJSON(map[string]string{"currentPassword": old, "newPassword": new}))
	}
	for _, bad := range []string{"short", strings.Repeat("a", 129), "aaaaaaaaaaaaaaa", "abcdefghijklmn", "ada@example.org", "Lovelace1843", password} {
		if a := b.want(change(password, bad), 400); !strings.Contains(a.raw, `"newPassword"`) || strings.Contains(a.raw, bad) {
			t.Errorf("%s: %s", bad, a.raw)
		}
	}
	if a := b.want(change("wrong", another), 400); !strings.Contains(a.raw, "currentPassword") {
		t.Error(a.raw)
	}
	b.want(change(password, another), 200)
	b.want(b.callAs(mine, "GET", "/merchant/me", nil), 200)
	b.want(b.callAs(other.text("token"), "GET", "/merchant/me", nil), 401)
	b.want(b.callAs(other.text("refreshToken"), "POST", "/refresh-token", nil), 401)
	b.want(b.signIn("ada@example.org", password), 401)
	b.want(b.signIn("ada@example.org", another), 200)
	// Who has a token and guesses at the password does not go on for ever.
	for range 10 {
		b.want(change("wrong", password), 400)
	}
	b.want(change(another, password), 429)
}
