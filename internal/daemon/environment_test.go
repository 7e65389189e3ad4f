package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// control sends a request through the control socket; host names the
// environment.
func (d *daemonRun) control(method, host, path string, status int, out any) {
	d.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(d.dir, socketName))
	}}}
	req, err := http.NewRequest(method, "http://"+host+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != status {
		d.t.Fatalf("%s %s%s: status %d, want %d", method, host, path, resp.StatusCode, status)
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		d.t.Fatal(err)
	}
}

// production enables the other environment and returns the same daemon as its
// clients see it.
func (d *daemonRun) production() *daemonRun {
	d.t.Helper()
	var first api.FirstKey
	d.control("POST", "box", "/control/environments/production", 201, &first)
	p := *d
	p.http = trusting(d.t, d.dir, "production")
	p.url, p.boot = first.URL, bootstrapFile{URL: first.URL, MerchantID: first.MerchantID, APIKey: first.APIKey}
	// Nobody in these tests was asked: the merchant says that he need not be.
	var login struct{ Token string }
	d.control("POST", "production", "/control/login", 200, &login)
	owner := p
	owner.boot.APIKey = login.Token
	if m := owner.call("PUT", "/merchant/policy/", `{"requireConsent":false}`, 200); m["success"] != true {
		d.t.Error(m)
	}
	return &p
}

// trusting is a client that knows the own certificate of an environment.
func trusting(t *testing.T, dir, env string) http.Client {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, env, "tls", "tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	return http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

func TestTwoEnvironmentsInOneBox(t *testing.T) {
	dir := shortDir(t)
	d := start(t, dir, "--camera", "none:", "--production-camera", "none:")
	var refused map[string]any
	d.control("GET", "production", "/users/", 404, &refused)
	if !strings.Contains(refused["message"].(string), "env enable production") {
		t.Errorf("no hint: %v", refused)
	}
	d.control("GET", "prod", "/users/", 404, &refused)
	d.control("POST", "box", "/control/environments/staging", 404, &refused)
	d.control("POST", "box", "/control/environments/sandbox", 409, &refused)

	p := d.production()
	d.control("POST", "box", "/control/environments/production", 409, &refused)
	if p.url == d.url || p.boot.APIKey == d.boot.APIKey || p.boot.MerchantID == d.boot.MerchantID {
		t.Errorf("production is %+v, the sandbox %+v", p.boot, d.boot)
	}
	ada, eve := d.enrol("ada", mate), p.enrol("eve", stranger)
	for _, crossed := range []*daemonRun{{t: t, http: p.http, url: p.url, boot: d.boot}, {t: t, url: d.url, boot: p.boot}} {
		crossed.call("GET", "/users/", "", 401)
	}
	d.call("GET", "/users/"+eve, "", 404)
	p.call("GET", "/users/"+ada, "", 404)
	if m := p.call("POST", "/identify", mate, 200); m["match"] != false || m["gallery"] != 1.0 {
		t.Errorf("production knows whom the sandbox knows: %v", m)
	}
	plain := &daemonRun{t: t, url: strings.Replace(p.url, "https", "http", 1), boot: p.boot}
	if m := plain.call("GET", "/users/", "", 400); !strings.Contains(m["message"].(string), "https://") {
		t.Errorf("plain HTTP in production: %v", m)
	}
	// A link of one is worth nothing in the other.
	link := d.call("POST", "/upload/generate-url/", `{"userId":"`+ada+`","imageName":"a.png","contentType":"image/png","type":"match"}`, 200)["url"].(string)
	p.call("PUT", strings.Replace(link, d.url, p.url, 1), mate, 403)
	if v := p.call("GET", "/version/", "", 200); v["environment"] != "production" {
		t.Errorf("version %v", v)
	}
	for env, body := range map[string]string{"sandbox": d.get("/metrics"), "production": p.get("/metrics")} {
		if !strings.Contains(body, `cypherface_http_requests_total{environment="`+env+`"`) || strings.Count(body, "environment=") != strings.Count(body, `environment="`+env+`"`) {
			t.Errorf("metrics of %s:\n%s", env, body)
		}
	}
	var list struct{ Environments []api.Environment }
	d.control("GET", "localhost", "/control/environments", 200, &list)
	if n := len(list.Environments); n != 2 || list.Environments[1].URL != p.url || list.Environments[1].People != 1 || len(list.Environments[1].Fingerprint) != 95 || !list.Environments[1].Ready {
		t.Errorf("environments %+v", list.Environments)
	}
	var own struct{ Environment string }
	p.control("GET", "production", "/control/status", 200, &own)
	if own.Environment != "production" {
		t.Errorf("status of %+v", own)
	}
	raw, err := os.ReadFile(filepath.Join(dir, bootstrapName))
	if err != nil || strings.Contains(string(raw), p.boot.APIKey) || strings.Contains(d.log.String(), p.boot.APIKey) {
		t.Errorf("production's key is kept in %s, %v, or logged", raw, err)
	}
	if err := d.end(); err != nil {
		t.Fatal(err)
	}

	again := start(t, dir, "--camera", "none:", "--production-camera", "none:")
	again.control("GET", "box", "/control/environments", 200, &list)
	later := &daemonRun{t: t, http: p.http, url: list.Environments[1].URL, boot: p.boot}
	if m := later.call("POST", "/identify", stranger, 200); m["userId"] != eve {
		t.Errorf("after the restart: %v", m)
	}
	again.call("GET", "/users/"+ada, "", 200)
}

// There are no demo people in production: what the sandbox shows as one is a
// fault there.
func TestProductionHasNoDemoPeople(t *testing.T) {
	webcams, _ := filepath.Glob("/dev/video[0-9]*") // the pattern is well formed
	if len(webcams) > 0 {
		t.Skip("this machine has a webcam, which production would use")
	}
	d := start(t, shortDir(t), "--camera", "none:", "--production-camera", "auto:")
	d.production()
	var s api.Status
	d.control("GET", "production", "/control/status", 200, &s)
	if strings.Contains(s.Camera, "demo") || s.Fault == "" {
		t.Errorf("camera %q, fault %q", s.Camera, s.Fault)
	}

	demo := start(t, shortDir(t), "--camera", "none:", "--production-camera", "demo:")
	var refused map[string]any
	demo.control("POST", "box", "/control/environments/production", 422, &refused)
	if !strings.Contains(refused["message"].(string), "demo") {
		t.Errorf("refused with %v", refused)
	}
}

// A box that was cut while it made production serves the sandbox, and the same
// command completes the other.
func TestAnEnvironmentThatWasCut(t *testing.T) {
	dir := shortDir(t)
	s, err := bolt.Open(bolt.Path(dir, store.Production), bolt.Options{Environment: store.Production})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d := start(t, dir, "--camera", "none:", "--production-camera", "none:")
	if !strings.Contains(d.log.String(), "env enable production") {
		t.Errorf("the log does not say so:\n%s", d.log)
	}
	p := d.production()
	p.call("GET", "/users/", "", 200)
}

// The sandbox too can show a certificate, its own or that of somebody else.
func TestTheSandboxWithTLS(t *testing.T) {
	dir := shortDir(t)
	d := start(t, dir, "--camera", "none:", "--tls", "own")
	d.http = trusting(t, dir, "sandbox")
	if !strings.HasPrefix(d.url, "https://") || d.boot.URL != d.url || !strings.Contains(d.out.String(), "SHA-256") {
		t.Errorf("at %s, bootstrap %s, printed:\n%s", d.url, d.boot.URL, d.out)
	}
	d.enrol("ada", mate) // by a link that is https too
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "sandbox", "tls")
	files := start(t, dir, "--camera", "none:", "--tls", "files:"+filepath.Join(own, "tls.crt")+","+filepath.Join(own, "tls.key"))
	files.http = d.http
	files.call("GET", "/users/", "", 200)
	resp, err := files.http.Get(files.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Header.Get("Strict-Transport-Security") == "" {
		t.Error("browsers are not told to come by TLS")
	}
}
