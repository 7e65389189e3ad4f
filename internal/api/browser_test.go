package api_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/store"
)

// browser is a page in a real one, driven by its DevTools protocol.
type browser struct {
	t       *testing.T
	conn    *websocket.Conn
	session string
	last    int
	// asked are the URLs that the page loaded or called, and told what its console
	// says: policies that were broken, exceptions.
	asked, told []string
}

// newBrowser starts a browser without a window. It skips the test where there is none.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no Chromium or Chrome to try the page in (apt-get install chromium)")
	}
	profile, err := os.MkdirTemp("", "cypherface-browser-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(profile) })
	cmd := exec.Command(path, "--headless=new", "--remote-debugging-port=0", "--user-data-dir="+profile, "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=720,1000", "about:blank")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "HOME="+profile, "http_proxy=", "https_proxy=", "HTTP_PROXY=", "HTTPS_PROXY=", "no_proxy=*")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with the processes of its pages
		cmd.Wait()
	})
	var said []string
	url := ""
	for lines := bufio.NewScanner(stderr); url == "" && lines.Scan(); {
		said = append(said, lines.Text())
		url, _ = strings.CutPrefix(lines.Text(), "DevTools listening on ")
		if !strings.HasPrefix(url, "ws://") {
			url = ""
		}
	}
	if url == "" {
		t.Fatalf("the browser does not start: %s", strings.Join(said, "\n"))
	}
	go func() { // it would wait for who reads
		for buf := make([]byte, 4096); ; {
			if _, err := stderr.Read(buf); err != nil {
				return
			}
		}
	}()
	b := &browser{t: t}
	if b.conn, _, err = websocket.DefaultDialer.Dial(url, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.conn.Close() })
	target := b.do("Target.createTarget", map[string]any{"url": "about:blank"})["targetId"]
	b.session = b.do("Target.attachToTarget", map[string]any{"targetId": target, "flatten": true})["sessionId"].(string)
	for _, domain := range []string{"Page", "Network", "Runtime", "Log"} {
		b.do(domain+".enable", nil)
	}
	return b
}

// do has the browser do something, and returns its answer.
func (b *browser) do(method string, params map[string]any) map[string]any {
	b.t.Helper()
	b.last++
	send := map[string]any{"id": b.last, "method": method, "params": params}
	if params == nil {
		delete(send, "params")
	}
	if b.session != "" {
		send["sessionId"] = b.session
	}
	if err := b.conn.WriteJSON(send); err != nil {
		b.t.Fatal(err)
	}
	b.conn.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		var m struct {
			ID     int
			Method string
			Params json.RawMessage
			Result map[string]any
			Error  *struct{ Message string }
		}
		if err := b.conn.ReadJSON(&m); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		switch {
		case m.Method == "Network.requestWillBeSent":
			var p struct{ Request struct{ URL string } }
			_ = json.Unmarshal(m.Params, &p)
			b.asked = append(b.asked, p.Request.URL)
		case m.Method == "Log.entryAdded" || m.Method == "Runtime.exceptionThrown":
			b.told = append(b.told, string(m.Params))
		case m.ID == b.last && m.Error != nil:
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		case m.ID == b.last:
			return m.Result
		}
	}
}

// run runs a script in the page, and returns what it comes to.
func (b *browser) run(script string) any {
	b.t.Helper()
	r := b.do("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true})
	if e, failed := r["exceptionDetails"]; failed {
		b.t.Fatalf("%s: %v", script, e)
	}
	return r["result"].(map[string]any)["value"]
}

// until waits for a condition in the page.
func (b *browser) until(condition string) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); b.run("!!("+condition+")") != true; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("the page does not come to %s: %v\n%s", condition, b.run("document.body.innerText"), strings.Join(b.told, "\n"))
		}
	}
}

func quoted(s string) string { raw, _ := json.Marshal(s); return string(raw) }

// fill types into fields, named by selectors and values by turns, and sends the form
// of the last one.
func (b *browser) fill(pairs ...string) {
	b.t.Helper()
	script := "(() => { let e; "
	for i := 0; i < len(pairs); i += 2 {
		script += fmt.Sprintf("e = document.querySelector(%s); e.value = %s; ", quoted(pairs[i]), quoted(pairs[i+1]))
	}
	b.run(script + "e.form.requestSubmit() })()")
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.run(fmt.Sprintf("document.querySelector(%s).click()", quoted(selector)))
}

// says waits until the page has ended its work and says this.
func (b *browser) says(part string) {
	b.t.Helper()
	b.until("!document.querySelector('main').ariaBusy && document.getElementById('said').innerText.includes(" + quoted(part) + ")")
}

// shot keeps a picture of the page where somebody asks for it with CYPHERFACE_SHOTS.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("CYPHERFACE_SHOTS")
	if dir == "" {
		return
	}
	raw, err := base64.StdEncoding.DecodeString(b.do("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true})["data"].(string))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), raw, 0o600)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// authenticator gives the browser a security key in software, and returns its id.
func (b *browser) authenticator() string {
	b.t.Helper()
	return b.do("WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{
		"protocol": "ctap2", "transport": "usb", "hasUserVerification": true, "isUserVerified": true, "automaticPresenceSimulation": true,
	}})["authenticatorId"].(string)
}

// The page at /account/ in a real browser: a passkey and an authenticator app are
// added, listed, used as the second step of a login, and removed; what goes wrong is
// said in words.
func TestFactorsInABrowser(t *testing.T) {
	page := newBrowser(t)
	b := newBox(t, store.Sandbox)
	ada := b.person("ada@example.org", store.RoleOwner)
	var served atomic.Value
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served.Load().(http.Handler).ServeHTTP(w, r) }))
	defer ts.Close()
	home := strings.Replace(ts.URL, "127.0.0.1", "localhost", 1) // passkeys are for names
	serve := func(url string) {
		b.accounts(t, account.Config{BaseURL: url})
		served.Store(b.Public())
	}
	open := func(url string) {
		page.do("Page.navigate", map[string]any{"url": url + "/account/"})
		page.until("location.href.startsWith(" + quoted(url) + ") && document.readyState == 'complete' && !document.getElementById('in').hidden")
	}
	signIn := func() {
		page.fill("#in [name=email]", "ada@example.org", "#in [name=password]", password)
	}
	add := func(name string) { page.fill("#add [name=name]", name, "#add [name=password]", password) }
	serve(home)
	page.do("WebAuthn.enable", nil)
	first := page.authenticator()

	open(home)
	page.shot("1-sign-in")
	page.fill("#in [name=email]", "ada@example.org", "#in [name=password]", "wrong")
	page.says("The address or the password is wrong")
	signIn()
	page.until("!document.getElementById('mine').hidden && !document.getElementById('none').hidden")
	page.fill("#add [name=name]", "blue stick", "#add [name=password]", "wrong")
	page.says("The password is wrong.")
	add("blue stick <b>")
	page.says("blue stick <b> counts from now on")
	if n := page.run("document.querySelectorAll('#codes li').length"); n != 10.0 {
		t.Errorf("%v recovery codes", n)
	}
	recovery := page.run("document.querySelector('#codes li').textContent").(string)
	if got := page.run("document.querySelector('#keys li').innerText").(string); !strings.Contains(got, "blue stick <b>") || !strings.Contains(got, "Made on 1 May 2026, not used yet") {
		t.Errorf("the list shows %q", got)
	}
	page.shot("2-added")
	page.click("#kept")
	add("the same")
	page.says("has a passkey of this account already")
	page.do("WebAuthn.removeVirtualAuthenticator", map[string]any{"authenticatorId": first})
	second := page.authenticator()
	add("spare")
	page.says("spare counts from now on")
	if page.run("document.getElementById('codes').hidden") != true {
		t.Error("recovery codes are shown again")
	}

	// With it comes the second step; another page has no login.
	open(home)
	signIn()
	page.until("!document.getElementById('second').hidden && !document.getElementById('by-passkey').hidden && document.getElementById('by-code').hidden")
	page.shot("3-second-step")
	page.click("#use")
	page.until("!document.getElementById('mine').hidden")
	if got := page.run("document.getElementById('keys').innerText").(string); strings.Count(got, "last used on 1 May 2026") != 1 || strings.Count(got, "not used yet") != 1 {
		t.Errorf("the list shows %q", got)
	}
	page.shot("4-list")

	// Without the passkey: what the browser says, then a recovery code.
	page.do("WebAuthn.removeVirtualAuthenticator", map[string]any{"authenticatorId": second})
	page.click("#out")
	page.says("You are signed out.")
	signIn()
	page.until("!document.getElementById('second').hidden")
	stranger := page.authenticator() // it has no passkey of hers
	page.click("#use")
	page.says("No passkey was used")
	page.do("WebAuthn.removeVirtualAuthenticator", map[string]any{"authenticatorId": stranger})
	page.fill("#by-recovery [name=recoveryCode]", "aaaa-aaaa-aaaa-aaaa")
	page.says("The recovery code is wrong")
	page.shot("5-fault")
	page.fill("#by-recovery [name=recoveryCode]", recovery)
	page.until("!document.getElementById('mine').hidden && document.getElementById('left').textContent.includes('9')")

	// Removed by the password, one after the other; then there is no second step.
	for _, name := range []string{"blue stick <b>", "spare"} {
		page.click("#keys li .remove")
		page.fill("#keys li [name=password]", "wrong")
		page.says("The password is wrong.")
		page.click("#keys li .keep")
		page.click("#keys li .remove")
		page.fill("#keys li [name=password]", password)
		page.says("The passkey " + name + " was removed")
	}
	page.until("!document.getElementById('none').hidden")

	// An authenticator app, from its secret to the second step by its codes; other
	// recovery codes.
	page.fill("#app-begin [name=password]", "wrong")
	page.says("The password is wrong.")
	page.fill("#app-begin [name=password]", password)
	page.until("!document.getElementById('app-scan').hidden && document.getElementById('qr').naturalWidth > 100")
	page.shot("6-app")
	page.click("#app-leave")
	page.fill("#app-begin [name=password]", password)
	page.until("!document.getElementById('app-scan').hidden")
	secret := strings.ReplaceAll(page.run("document.getElementById('secret').textContent").(string), " ", "")
	page.fill("#app-confirm [name=code]", wrong(b.totp(secret)))
	page.says("The code is wrong.")
	page.fill("#app-confirm [name=code]", b.totp(secret))
	page.says("The authenticator app counts from now on.")
	page.until("document.getElementById('app-scan').hidden && document.getElementById('app-begin').hidden && document.getElementById('secret').textContent == ''")
	page.click("#kept")
	page.click("#recovery summary")
	page.fill("#recovery [name=password]", password)
	page.says("The codes from before are good no more.")
	if n := page.run("document.querySelectorAll('#codes li').length"); n != 10.0 {
		t.Errorf("%v recovery codes", n)
	}
	b.now = b.now.Add(time.Minute) // a code is good once
	open(home)
	signIn()
	page.until("!document.getElementById('second').hidden && !document.getElementById('by-code').hidden && document.getElementById('by-passkey').hidden")
	page.fill("#by-code [name=code]", b.totp(secret))
	page.until("!document.getElementById('mine').hidden && !document.getElementById('app-remove').hidden")
	page.shot("7-app-set-up")
	page.click("#app-remove summary")
	page.fill("#app-remove [name=password]", password)
	page.says("The authenticator app counts no more.")
	page.until("document.getElementById('recovery').hidden && !document.getElementById('app-begin').hidden")

	open(home)
	signIn()
	page.until("!document.getElementById('mine').hidden")
	if now, err := b.Accounts.Get(t.Context(), b.merchant, ada.ID); err != nil || now.Factor() {
		t.Errorf("%+v, %v", now, err)
	}

	// A login that has ended, and places where there are no passkeys.
	if err := b.Accounts.ResetFactor(t.Context(), setup, b.merchant, ada.ID); err != nil {
		t.Fatal(err)
	}
	add("too late")
	page.says("The login has ended. Sign in again.")
	open(ts.URL)
	signIn()
	page.says("Passkeys of this box are good at " + home + " alone")
	if page.run("document.querySelector('#add button').disabled") != true {
		t.Error("a passkey can be begun at another address")
	}
	serve("")
	open(home)
	signIn()
	page.says("Passkeys need the URL of the box")
	page.shot("8-no-url")

	for _, url := range page.asked {
		if !strings.HasPrefix(url, home+"/") && !strings.HasPrefix(url, ts.URL+"/") && !strings.HasPrefix(url, "about:") && !strings.HasPrefix(url, "data:image/png;") {
			t.Errorf("the page asks %.200s", url)
		}
	}
	for _, line := range page.told {
		if strings.Contains(line, "Content Security Policy") || strings.Contains(line, "exceptionDetails") {
			t.Errorf("the browser says %s", line)
		}
	}
}

// Where there is no browser: the page has no script but its own, loads nothing, and
// keeps nothing.
func TestTheAccountPage(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.status = api.Status{Ready: true}
	b.accounts(t, account.Config{BaseURL: `https://box.example/"><script>`})
	one, two := b.callAs("", "GET", "/account/", nil), b.callAs("", "GET", "/api/account", nil)
	policy := one.header.Get("Content-Security-Policy")
	nonce := regexp.MustCompile(`script-src 'nonce-([^']+)'`).FindStringSubmatch(policy)
	if nonce == nil || !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "connect-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Fatalf("policy %q", policy)
	}
	if policy == two.header.Get("Content-Security-Policy") {
		t.Error("the nonce repeats")
	}
	if strings.Count(one.raw, "<script") != 1 || !strings.Contains(one.raw, `<script nonce="`+nonce[1]+`">`) {
		t.Error("there is another script than the page's own")
	}
	if found := regexp.MustCompile(`(?i:src|href|action)="|url\(|@import|\son[a-z]+="|localStorage|sessionStorage|document\.cookie|innerHTML`).FindString(one.raw); found != "" {
		t.Errorf("the page has %s", found)
	}
	if one.header.Get("Cache-Control") != "no-store" || one.header.Get("Set-Cookie") != "" {
		t.Errorf("headers %v", one.header)
	}
}
