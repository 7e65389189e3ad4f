package daemon

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/cypherface/edge/internal/mail/mailtest"
)

// asks sends a request with a token, or none, from an address of loopback, and
// wants a status.
func (d *daemonRun) asks(from, token, method, path string, body any, status int) map[string]any {
	d.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequest(method, d.url+path, strings.NewReader(string(raw)))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext}}
	return d.answered(client.Do(req))(status)
}

// operates sends a request through the control socket.
func (d *daemonRun) operates(method, path string, body any, status int) map[string]any {
	d.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequest(method, "http://sandbox"+path, strings.NewReader(string(raw)))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("merchantId", string(d.boot.MerchantID))
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(d.dir, socketName))
	}}}
	return d.answered(client.Do(req))(status)
}

func (d *daemonRun) answered(resp *http.Response, err error) func(status int) map[string]any {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	var m map[string]any
	err = json.NewDecoder(resp.Body).Decode(&m)
	return func(status int) map[string]any {
		d.t.Helper()
		if err != nil || resp.StatusCode != status {
			d.t.Fatalf("%s %s: status %d, want %d: %v %v", resp.Request.Method, resp.Request.URL.Path, resp.StatusCode, status, m, err)
		}
		return m
	}
}

type fields map[string]string

// An account's life over HTTP and SMTP, with the box started anew in the middle of
// each step: what was mailed before works after it, and what waited is sent.
func TestAccountsFromInvitationToLockOut(t *testing.T) {
	const here, elsewhere = "127.0.0.1", "127.0.0.9"
	const first, second, third = "an engine that weaves", "algebraical patterns", "just as the loom"
	relay := mailtest.New(t, mailtest.Options{User: "box", Password: "geheim"})
	relay.Refuse(mailtest.Later)
	dir := shortDir(t)
	begin := func() *daemonRun {
		return start(t, dir, "--camera", "none:", "--registration", "invite", "--url", "https://box.example",
			"--smtp", relay.Addr, "--smtp-ca", relay.CAFile, "--smtp-user", "box", "--smtp-from", "box@example.org")
	}
	d := begin()
	again := func() {
		t.Helper()
		if err := d.end(); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"example.org", first, second, third, "geheim"} {
			if strings.Contains(d.log.String(), secret) {
				t.Errorf("the log tells %q:\n%s", secret, d.log)
			}
		}
		d = begin()
	}
	str := func(m map[string]any, name string) string { s, _ := m[name].(string); return s }
	mail := func(to, subject string) string {
		t.Helper()
		m := relay.Next(t)
		if m.To != to || m.Header.Get("Subject") != subject || !m.Encrypted || m.User != "box" {
			t.Fatalf("a mail to %s: %v", m.To, m.Header)
		}
		return m.Text
	}
	tokenIn := func(text string) string {
		u, err := url.Parse(regexp.MustCompile(`https://box\.example/\S+`).FindString(text))
		if err != nil || u.Query().Get("token") == "" {
			t.Fatalf("no link in %s", text)
		}
		return u.Query().Get("token")
	}
	login := func(from, password string, status int) map[string]any {
		t.Helper()
		return d.asks(from, "", "POST", "/login/", fields{"email": "ada@example.org", "password": password}, status)
	}

	// By invitation. The relay does not take mails yet, and does after the restart.
	d.operates("PUT", "/control/mail/password", fields{"password": "geheim"}, 200)
	invited := func() string { return str(d.operates("POST", "/merchant/invite/", nil, 201), "inviteCode") }
	ada := fields{"businessName": "Engines", "firstname": "Ada", "lastname": "Lovelace", "email": "ada@example.org", "password": first, "inviteCode": invited()}
	d.asks(here, "", "POST", "/merchant/register/", ada, 201)
	for deadline := time.Now().Add(time.Minute); relay.Tried() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no mail is tried:\n%s", d.log)
		}
	}
	relay.Refuse(nil)
	again()
	code := regexp.MustCompile(`\b[0-9]{6}\b`).FindString(mail("ada@example.org", "Verify your e-mail address"))
	login(here, first, 403) // not verified
	again()
	d.asks(here, "", "POST", "/email/verify/", fields{"email": "Ada@Example.org", "code": code}, 200)
	bea := fields{"businessName": "Looms", "firstname": "Bea", "lastname": "Jacquard", "email": "bea@example.org", "password": first, "inviteCode": invited()}
	d.asks(here, "", "POST", "/merchant/register/", bea, 201)
	link := tokenIn(mail("bea@example.org", "Verify your e-mail address"))
	in := login(here, first, 200)
	setup := d.asks(here, str(in, "token"), "POST", "/factors/totp/", fields{"password": first}, 200)
	again()
	// By link, though it was sent before the restart; so were tokens and secrets made.
	d.asks(here, "", "POST", "/email/verify/", fields{"token": link}, 200)
	d.asks(here, "", "POST", "/login/", fields{"email": "bea@example.org", "password": first}, 200)
	in = d.asks(here, "", "POST", "/refresh-token/", fields{"refreshToken": str(in, "refreshToken")}, 200)
	app, err := totp.GenerateCode(str(setup, "secret"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other := login(here, first, 200)
	added := d.asks(here, str(in, "token"), "POST", "/factors/totp/confirm/", fields{"code": app}, 200)
	recovery := added["recoveryCodes"].([]any)
	d.asks(here, str(other, "token"), "GET", "/merchant/me/", nil, 401)
	mail("ada@example.org", "Your second factor was changed")
	ticket := str(login(here, first, 200), "ticket")
	again()
	// The second step of a login that began before.
	d.asks(here, "", "POST", "/login/factor/", fields{"ticket": ticket, "code": app}, 401) // it was used to confirm
	in = d.asks(here, "", "POST", "/login/factor/", fields{"ticket": ticket, "recoveryCode": recovery[0].(string)}, 200)
	second2 := d.asks(here, "", "POST", "/login/factor/", fields{"ticket": str(login(here, first, 200), "ticket"), "recoveryCode": recovery[1].(string)}, 200)
	d.asks(here, str(in, "token"), "POST", "/password/change/", fields{"currentPassword": first, "newPassword": second}, 200)
	mail("ada@example.org", "Your password was changed")
	d.asks(here, str(in, "token"), "GET", "/merchant/me/", nil, 200)
	d.asks(here, str(second2, "token"), "GET", "/merchant/me/", nil, 401)
	d.asks(here, "", "POST", "/refresh-token/", fields{"refreshToken": str(second2, "refreshToken")}, 401)
	d.asks(here, "", "POST", "/password/forgot/", fields{"email": "ada@example.org"}, 200)
	reset := tokenIn(mail("ada@example.org", "Set a new password"))
	again()
	d.asks(here, "", "POST", "/password/reset/", fields{"token": reset, "password": third}, 200)
	mail("ada@example.org", "Your password was changed")
	d.asks(here, str(in, "token"), "GET", "/merchant/me/", nil, 401)
	login(here, second, 401)
	// Somebody guesses from elsewhere, and is locked out, after a restart too; she is
	// not, where she signed in before.
	for range 10 {
		login(elsewhere, "wrong", 401)
	}
	login(elsewhere, third, 429)
	again()
	login(elsewhere, third, 429)
	ticket = str(login(here, third, 200), "ticket")
	d.asks(here, "", "POST", "/login/factor/", fields{"ticket": ticket, "recoveryCode": recovery[2].(string)}, 200)
	for range 10 {
		login(elsewhere, third, 429)
	}
	d.operates("POST", "/control/accounts/unlock", nil, 200)
	login(elsewhere, third, 200)
	// Another address, by a code that goes there, across a restart.
	mover := str(d.asks(here, "", "POST", "/login/", fields{"email": "bea@example.org", "password": first}, 200), "token")
	d.asks(here, mover, "POST", "/email/change/", fields{"email": "bea@example.net", "password": first}, 200)
	got := map[string]string{}
	for range 2 { // in the order that the relay gets them
		m := relay.Next(t)
		got[m.To+": "+m.Header.Get("Subject")] = m.Text
	}
	if _, told := got["bea@example.org: Your e-mail address is about to change"]; !told {
		t.Fatalf("the old address is not told: %v", got)
	}
	again()
	d.asks(here, mover, "POST", "/email/change/confirm/", fields{"code": regexp.MustCompile(`\b[0-9]{6}\b`).FindString(got["bea@example.net: Confirm your new e-mail address"])}, 200)
	mail("bea@example.org", "Your e-mail address was changed")
	d.asks(here, "", "POST", "/login/", fields{"email": "bea@example.org", "password": first}, 401)
	d.asks(here, "", "POST", "/login/", fields{"email": "bea@example.net", "password": first}, 200)
	d.operates("POST", "/control/mail/test", fields{"to": "ada@example.org"}, 200)
	mail("ada@example.org", "A test of CypherFace Edge")
	relay.Refuse(mailtest.Refusal)
	d.operates("POST", "/control/mail/test", fields{"to": "ada@example.org"}, 402)
}
