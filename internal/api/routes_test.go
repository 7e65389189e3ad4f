package api_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// described lists the operations of openapi.yaml as "METHOD /path".
func described(t *testing.T) (all []string) {
	t.Helper()
	for _, op := range theContract(t).operations() {
		all = append(all, op[0]+" "+op[1])
	}
	slices.Sort(all)
	return all
}

func TestTheContractDescribesWhatIsServed(t *testing.T) {
	b := newBox(t, store.Sandbox)
	var served []string
	for _, r := range b.Public().Routes.All() {
		served = append(served, r.Method+" "+strings.TrimSuffix(r.Pattern, "{$}"))
	}
	slices.Sort(served)
	if want := described(t); !slices.Equal(served, want) {
		t.Errorf("served %v\ndescribed %v", served, want)
	}
	if a := b.callAs("", "GET", "/openapi.yaml", nil); a.status != 200 || !strings.HasPrefix(a.raw, "openapi: 3.1.0") {
		t.Errorf("status %d", a.status)
	}
}

func TestEveryPathInEveryForm(t *testing.T) {
	b := newBox(t, store.Sandbox)
	for _, op := range described(t) {
		method, path, _ := strings.Cut(op, " ")
		path = strings.NewReplacer("{userId}", strings.Repeat("a", 24), "{ticket}", "x", "{keyId}", "x", "{sessionId}", "x", "{textId}", "x", "{erasureId}", "x", "{credentialId}", "x", "{reviewId}", "x", "{verificationId}", "x", "{accountId}", "x", "{invitationId}", "x").Replace(path)
		statuses := map[int]bool{}
		for _, form := range []string{path, path + "/", "/api" + path, "/api" + path + "/"} {
			if form == "//" || form == "/api//" {
				continue
			}
			statuses[b.callAs("", method, form, nil).status] = true
		}
		if joins := strings.HasPrefix(path, "/join"); len(statuses) != 1 || statuses[404] && !joins { // which a box does not let others do
			t.Errorf("%s: statuses %v", op, statuses)
		}
		a := b.callAs("", "PATCH", path, nil)
		if a.status != 405 || !strings.Contains(a.header.Get("Allow"), method) {
			t.Errorf("PATCH %s: status %d, Allow %q", path, a.status, a.header.Get("Allow"))
		}
	}
}

func TestAccessToken(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ask := func(headers ...string) answer {
		t.Helper()
		req, err := http.NewRequest("POST", b.url+"/api/access-token/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Add(headers[i], headers[i+1])
		}
		return b.send(req)
	}
	m := string(b.merchant)
	a := b.want(ask("merchantId", m, "x-api-key", b.apiKey, "Cookie", "connect.sid=x"), 200)
	golden(t, b, "access-token.json", a)
	for _, header := range []string{a.text("token"), "Bearer " + a.text("accessToken"), "bearer " + a.text("token")} {
		b.want(b.callAs(header, "GET", "/users", nil), 200)
	}
	if a.header.Get("Set-Cookie") != "" {
		t.Error("a cookie was set")
	}
	b.want(ask("merchantId", m), 400)
	b.want(ask("x-api-key", b.apiKey), 400)
	b.want(ask("merchantId", "7", "x-api-key", b.apiKey), 400)
	b.want(ask("merchantId", m, "x-api-key", "7"), 401)
	b.want(ask("merchantId", m, "x-api-key", b.apiKey, "x-api-key", b.apiKey), 400)
	other, otherKey := b.newMerchant("Other", auth.Match)
	b.want(ask("merchantId", m, "x-api-key", otherKey), 401)
	b.want(ask("merchantId", string(other), "x-api-key", otherKey), 200)
}

func TestACredentialOfTheOtherEnvironmentIsWorthNothing(t *testing.T) {
	sandbox, production := newBox(t, store.Sandbox), newBox(t, store.Production)
	sandbox.want(sandbox.call("GET", "/users", nil), 200)
	production.want(production.callAs("Bearer "+sandbox.apiKey, "GET", "/users", nil), 401)
	sandbox.want(sandbox.callAs("Bearer "+production.apiKey, "GET", "/users", nil), 401)
}

func TestASuspendedMerchantIsTold(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.update(func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, b.merchant)
		if err != nil {
			return err
		}
		m.Status = store.Suspended
		return store.Put(tx, &m)
	})
	b.want(b.call("GET", "/users", nil), 403)
}

func TestAnswersAreJSONOnly(t *testing.T) {
	b := newBox(t, store.Sandbox)
	req, err := http.NewRequest("GET", b.url+"/users", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.apiKey)
	req.Header.Set("Accept", "text/html")
	b.want(b.send(req), 406)

	// A call that would change something changes nothing.
	req, err = http.NewRequest("POST", b.url+"/register", strings.NewReader(`{"firstname":"Ada","lastname":"Test","email":"ada@example.org"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.apiKey)
	req.Header.Set("Accept", "text/html")
	b.want(b.send(req), 406)
	b.register("Ada") // nobody is there yet
	b.want(b.call("POST", "/register", upload{[]byte("a=b"), "application/x-www-form-urlencoded"}), 406)
}

func TestPagesTellNothingPersonal(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.enrolled("Adalbert", red)
	b.status = (b.status)
	b.status.People, b.status.Rates = 1, "FMR 1e-4"
	for _, path := range []string{"/", "/healthz", "/readyz", "/api/version/", "/metrics", "/openapi.yaml"} {
		a := b.callAs("", "GET", path, nil)
		if a.status != 200 {
			t.Errorf("%s: status %d", path, a.status)
		}
		for _, secret := range []string{"Adalbert", "adalbert", b.apiKey, string(b.merchant)} {
			if strings.Contains(a.raw, secret) {
				t.Errorf("%s shows %s", path, secret)
			}
		}
	}
}

func TestTheLandingPageNeedsNothingFromOutside(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.status.Fault, b.status.Camera = `<script>alert(1)</script>`, "no camera"
	one, two := b.callAs("", "GET", "/", nil), b.callAs("", "GET", "/", nil)
	policy := one.header.Get("Content-Security-Policy")
	nonce := regexp.MustCompile(`'nonce-([^']+)'`).FindStringSubmatch(policy)
	if nonce == nil || !strings.Contains(one.raw, fmt.Sprintf(`nonce="%s"`, nonce[1])) || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("policy %q", policy)
	}
	if policy == two.header.Get("Content-Security-Policy") {
		t.Error("the nonce repeats")
	}
	if strings.Contains(one.raw, "<script") || regexp.MustCompile(`(?i)(src|href)="(https?:)?//`).MatchString(one.raw) {
		t.Errorf("page %s", one.raw)
	}
	if !strings.Contains(one.raw, b.url+"/api/register/") {
		t.Error("the page does not name the address it was called by")
	}
}

func TestNotReady(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.status.Ready, b.status.Reason = false, "the networks are being loaded"
	if a := b.want(b.callAs("", "GET", "/readyz", nil), 503); !strings.Contains(a.raw, "being loaded") {
		t.Error(a.raw)
	}
	b.want(b.callAs("", "GET", "/healthz", nil), 200)
}

func TestMetricsCount(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	b.want(b.put(b.link(id, "match"), jpegOf(red)), 200)
	b.want(b.call("POST", "/face/match", `{"userId":"`+id+`"}`), 200)
	b.call("GET", "/nothing/here", nil)
	raw := b.callAs("", "GET", "/metrics", nil).raw
	for _, line := range []string{
		`cypherface_decisions_total{action="verify",outcome="match"} 1`,
		`cypherface_http_requests_total{method="POST",route="/face/match",status="200"} 1`,
		`cypherface_http_requests_total{method="GET",route="none",status="404"} 1`,
		`cypherface_http_request_seconds_count{route="/upload/{ticket}"} 2`,
		`cypherface_events_total{kind="enrolment"} 1`,
	} {
		if !strings.Contains(raw, line) {
			t.Errorf("no %s", line)
		}
	}
}
