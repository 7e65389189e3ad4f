package api_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// login is a token of the owner, as the control socket issues it.
func (b *box) login() string {
	b.t.Helper()
	token, err := b.auth.IssueLogin(context.Background(), setup, b.merchant, store.RoleOwner)
	if err != nil {
		b.t.Fatal(err)
	}
	return token.Value
}

func TestAPIKeys(t *testing.T) {
	b := newBox(t, store.Sandbox)
	owner := b.login()
	as := func(method, path string, body any) answer {
		b.t.Helper()
		return b.callAs(owner, method, path, body)
	}
	b.want(b.call("POST", "/merchant-api-key/", nil), 403) // keys do not make keys
	made := b.want(as("POST", "/merchant-api-key/", `{"name":"kiosk","scopes":["match","detect"]}`), 201)
	golden(t, b, "key.json", made)
	b.want(b.callAs("Bearer "+made.text("apiKey"), "GET", "/users", nil), 403)
	b.want(b.callAs("Bearer "+made.text("apiKey"), "POST", "/face/detect", form("image", jpegOf(red))), 200)
	b.want(as("POST", "/merchant-api-key/", nil), 201)
	golden(t, b, "keys.json", b.want(as("GET", "/api/merchant-api-key", nil), 200))

	// Rotation: both work for a day, then one.
	next := b.want(as("POST", "/merchant-api-key", `{"rotate":"`+made.text("keyId")+`","scopes":["detect"]}`), 201)
	detect := func(key string) int {
		return b.callAs("Bearer "+key, "POST", "/face/detect", form("image", jpegOf(red))).status
	}
	if detect(made.text("apiKey")) != 200 || detect(next.text("apiKey")) != 200 {
		t.Error("within the overlap one of the keys does not work")
	}
	b.now = b.now.Add(24 * time.Hour)
	if detect(made.text("apiKey")) != 401 || detect(next.text("apiKey")) != 200 {
		t.Error("after the overlap")
	}
	owner = b.login() // it lasted an hour

	// Revocation: at once, with its tokens.
	token := b.want(b.accessToken(b.merchant, next.text("apiKey")), 200).text("token")
	b.want(as("DELETE", "/merchant-api-key/"+next.text("keyId")+"/", nil), 200)
	b.want(as("DELETE", "/merchant-api-key/"+next.text("keyId"), nil), 200)
	b.want(b.callAs(token, "POST", "/face/detect", form("image", jpegOf(red))), 401)
	b.want(b.accessToken(b.merchant, next.text("apiKey")), 401)
	if detect(next.text("apiKey")) != 401 {
		t.Error("a revoked key works")
	}
	b.want(as("POST", "/merchant-api-key", `{"rotate":true}`), 201)
	b.want(b.call("GET", "/users", nil), 200) // for another day
	for body, status := range map[string]int{
		`{"rotate":"7"}`: 400, `{"rotate":7}`: 400, `{"role":"owner"}`: 400, `{"scopes":["keys:manage"]}`: 400, `{"nmae":"x"}`: 400,
		`{"rotate":"1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff"}`: 404, `{"name":"` + strings.Repeat("a", 101) + `"}`: 400,
	} {
		b.want(as("POST", "/merchant-api-key/", body), status)
	}
	b.want(as("DELETE", "/merchant-api-key/7", nil), 400)
	b.want(as("DELETE", "/merchant-api-key/1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff", nil), 404)
}

// accessToken asks for a token.
func (b *box) accessToken(m store.MerchantID, key string) answer {
	b.t.Helper()
	req, err := http.NewRequest("POST", b.url+"/api/access-token/", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("merchantId", string(m))
	req.Header.Set("x-api-key", key)
	return b.send(req)
}

func TestRefreshToken(t *testing.T) {
	b := newBox(t, store.Sandbox)
	first := b.want(b.accessToken(b.merchant, b.apiKey), 200).text("token")
	b.now = b.now.Add(auth.TokenLife)
	b.want(b.callAs(first, "GET", "/users", nil), 401)
	golden(t, b, "refresh-token.json", b.want(b.callAs(first, "POST", "/api/refresh-token/", nil), 200))
	if a := b.want(b.callAs("Bearer "+first, "POST", "/refresh-token", nil), 401); !strings.Contains(a.text("message"), "exchanged") {
		t.Error(a.raw)
	}
	b.want(b.callAs("", "POST", "/refresh-token", nil), 401)
	b.want(b.callAs("Bearer "+b.apiKey, "POST", "/refresh-token", nil), 401)
}

func TestNoTokensWhileTheClockIsWrong(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.auth.TimeKnown = func() bool { return false }
	b.want(b.accessToken(b.merchant, b.apiKey), 503)
	b.want(b.call("GET", "/users", nil), 200)
}

func TestLoginAtTheControlSocket(t *testing.T) {
	b := newBox(t, store.Sandbox)
	client := b.control(t, uint32(os.Getuid()))
	status, m := do(t, client, "POST", "/control/login", nil)
	if status != 200 || m["expiresIn"] != 3600.0 {
		t.Fatalf("status %d: %v", status, m)
	}
	b.want(b.callAs(m["token"].(string), "POST", "/merchant-api-key/", nil), 201)
	b.want(b.call("POST", "/control/login", nil), 404)
}

func TestVerifications(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada, bea := b.enrolled("Ada", red), b.enrolled("Bea", blue)
	for _, id := range []string{ada, bea, ada} {
		b.now = b.now.Add(time.Minute)
		b.want(b.put(b.link(id, "match"), jpegOf(red)), 200)
		b.want(b.call("POST", "/face/match", `{"userId":"`+id+`"}`), 200)
	}
	list := func(query string) []any {
		b.t.Helper()
		all, _ := b.want(b.call("GET", "/api/verifications/"+query, nil), 200).body["verifications"].([]any)
		return all
	}
	all := list("")
	if len(all) != 5 { // two enrolments, three decisions
		t.Fatalf("%d: %v", len(all), all)
	}
	newest := all[0].(map[string]any)
	if newest["userId"] != ada || newest["outcome"] != "match" || newest["action"] != "verify" {
		t.Errorf("newest %v", newest)
	}
	if got := list("?userId=" + bea); len(got) != 2 {
		t.Errorf("of one: %v", got)
	}
	page := b.want(b.call("GET", "/verifications?limit=2", nil), 200)
	second := b.want(b.call("GET", "/verifications?limit=2&cursor="+page.text("nextCursor"), nil), 200)
	if got := list("?limit=2&page=2"); len(got) != 2 || got[0].(map[string]any)["seq"] != second.body["verifications"].([]any)[0].(map[string]any)["seq"] {
		t.Errorf("page 2 is %v, by cursor %s", got, second.raw)
	}
	if got := list("?limit=3&page=9"); len(got) != 0 {
		t.Errorf("beyond the end: %v", got)
	}
	if strings.Contains(page.raw, "Ada") {
		t.Error("names are told")
	}
	for _, q := range []string{"?limit=0", "?limit=101", "?page=0", "?page=2&cursor=x", "?cursor=x", "?userId=7", "?from=yesterday", "?to=", "?who=x", "?page=10000&limit=100"} {
		b.want(b.call("GET", "/verifications/"+q, nil), 400)
	}
	_, other := b.newMerchant("Other", auth.Scopes()...)
	if a := b.want(b.callAs("Bearer "+other, "GET", "/verifications", nil), 200); len(a.body["verifications"].([]any)) != 0 {
		t.Error(a.raw)
	}
}

func TestExport(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	b.session(id, red, 3)
	a := b.want(b.call("GET", "/users/"+id+"/export/", nil), 200)
	for _, part := range []string{"ada@example.org", `"type":"frame"`, `"type":"enrolment"`, `"IN_PROGRESS"`} {
		if !strings.Contains(a.raw, part) {
			t.Errorf("no %s in %s", part, a.raw)
		}
	}
}

func TestImages(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	b.want(b.call("GET", "/image/"+id, nil), 404) // the fake keeps no crops
	b.update(func(tx *store.Tx) error {
		return store.Put(tx, &store.Crop{ID: store.NewID[store.CropID](b.now), Merchant: b.merchant, Person: store.PersonID(id), Image: jpegOf(red).data})
	})
	a := b.want(b.call("GET", "/image/"+id+"/", nil), 200)
	if a.raw != string(jpegOf(red).data) || a.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("%d bytes of %s", len(a.raw), a.header.Get("Content-Type"))
	}
	b.want(b.link(id, "upload"), 409)
	b.want(b.call("DELETE", "/image/"+id+"/", nil), 200)
	b.want(b.call("DELETE", "/image/"+id, nil), 404)
	if a := b.call("GET", "/users/"+id, nil); !strings.Contains(a.raw, `"registered"`) {
		t.Error(a.raw)
	}
	b.want(b.put(b.link(id, "upload"), jpegOf(blue)), 200)
}

func TestScanAndCapture(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	scan := func(user, image string) answer {
		return b.call("POST", "/face-scan/", `{"userId":"`+user+`","imageData":"`+image+`"}`)
	}
	golden(t, b, "scan.json", b.want(scan(id, base64Of(jpegOf(red))), 200))
	b.want(scan(id, ""), 400)
	b.want(scan("7", base64Of(jpegOf(red))), 400)
	b.want(scan(id, base64Of(jpegOf(nobody))), 422)

	capture := func(body string) answer { return b.call("POST", "/api/capture/", body) }
	b.want(capture(`{"purpose":"match","userId":"`+id+`"}`), 422) // the camera gives nothing
	b.faces.sees = red
	b.want(capture(`{"purpose":"match","userId":"`+id+`"}`), 200)
	if a := b.want(b.call("POST", "/face/match", `{"userId":"`+id+`"}`), 200); a.body["match"] != true {
		t.Error(a.raw)
	}
	b.want(capture(`{"purpose":"upload","userId":"`+id+`"}`), 409)
	bea := b.register("Bea")
	b.want(capture(`{"purpose":"upload","userId":"`+bea+`"}`), 200)
	session := b.session(id, red, 0)
	b.want(capture(`{"purpose":"frame","sessionId":"`+session+`"}`), 200)
	for _, body := range []string{`{}`, `{"purpose":"frame"}`, `{"purpose":"match"}`, `{"purpose":"selfie","userId":"` + id + `"}`} {
		b.want(capture(body), 400)
	}
	_, weak := b.newMerchant("Other", auth.Capture)
	b.want(b.callAs("Bearer "+weak, "POST", "/capture", `{"purpose":"match","userId":"`+id+`"}`), 403)
}

func TestDocsNeedNothingFromOutside(t *testing.T) {
	b := newBox(t, store.Sandbox)
	a := b.callAs("", "GET", "/docs/", nil)
	for _, op := range theContract(t).operations() {
		if !strings.Contains(a.raw, "<code>"+op[1]+"</code>") {
			t.Errorf("the page does not show %s", op[1])
		}
	}
	if a.status != 200 || strings.Contains(a.raw, "<script") || strings.Contains(a.raw, `src="`) || strings.Contains(a.raw, `href="http`) {
		t.Errorf("status %d, or it needs something", a.status)
	}
	for _, p := range auth.Scopes() {
		if !strings.Contains(a.raw, "<code>"+string(p)+"</code>") {
			t.Errorf("the page does not name %s", p)
		}
	}
}
