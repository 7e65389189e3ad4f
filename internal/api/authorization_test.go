package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// objects are ids of what a merchant has.
type objects struct{ user, session, key, image, account, invitation, text, erasure, credential, review, decision, bulk, door, site, export string }

// strangers are ids that nobody has.
var strangers = objects{
	"5f0c0ffee0c0ffee0c0ffee0", "1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff", "1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff", "x", "5f0c0ffee0c0ffee0c0ffee0", "5f0c0ffee0c0ffee0c0ffee0",
	"5f0c0ffee0c0ffee0c0ffee1", "1-999999", "5f0c0ffee0c0ffee0c0ffee2", "5f0c0ffee0c0ffee0c0ffee3", "1-999998", "1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff", "5f0c0ffee0c0ffee0c0ffee4", "5f0c0ffee0c0ffee0c0ffee5",
	"1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff",
}

// belongings makes one of each object for the box's merchant.
func (b *box) belongings() objects {
	b.t.Helper()
	o := objects{user: b.enrolled("Ada", red)}
	o.image = b.want(b.put(b.link(o.user, "match"), jpegOf(red)), 200).text("imageKey")
	o.session = b.session(o.user, red, 3)
	o.key = b.want(b.callAs(b.login(), "POST", "/merchant-api-key/", nil), 201).text("keyId")
	o.account = string(b.member("ada@login.example", store.RoleOperator).ID)
	invited := b.want(b.callAs(b.login(), "POST", "/accounts/invitations", `{"email":"grace@example.org","role":"auditor"}`), 201)
	o.invitation = invited.body["invitation"].(map[string]any)["invitationId"].(string)
	o.text = b.text("1", "en")
	o.erasure = b.want(b.call("DELETE", "/users/"+b.register("Gone"), nil), 200).text("erasureId")
	given := b.want(b.call("POST", "/users/"+o.user+"/credentials/", `{"type":"card","value":"0420 1815"}`), 201)
	o.review = b.ask(store.ReviewDuplicate, o.user, b.register("Double"))
	e := b.lastEvent(store.EventEnrolment)
	o.decision = fmt.Sprintf("%d-%d", e.Epoch, e.Seq)
	o.credential = given.body["credential"].(map[string]any)["credentialId"].(string)
	o.bulk = b.bulk(zipOf("bea.jpg", jpegOf(red).data))
	o.door = b.newDoor(`{"name":"Front"}`)
	o.site = b.want(b.callAs(b.login(), "GET", "/doors/"+o.door, nil), 200).text("siteId")
	o.export = b.keptExport().text("exportId")
	return o
}

// request is a call of an operation about objects, well formed in all else.
func (o *objects) request(op [2]string) (path string, sent any) {
	path = strings.NewReplacer("{userId}", o.user, "{sessionId}", o.session, "{keyId}", o.key, "{textId}", o.text, "{erasureId}", o.erasure, "{credentialId}", o.credential, "{reviewId}", o.review, "{verificationId}", o.decision, "{accountId}", o.account, "{invitationId}", o.invitation, "{bulkId}", o.bulk, "{doorId}", o.door, "{siteId}", o.site, "{exportId}", o.export).Replace(op[1])
	bodies := map[string]any{
		"/register": `{"firstname":"A","lastname":"B","email":"a@example.org"}`, "/merchant-api-key": `{"rotate":"` + o.key + `"}`,
		"/users/{userId}":         `{"phone":"1"}`,
		"/upload/generate-url":    `{"userId":"` + o.user + `","imageName":"a.jpg","contentType":"image/jpeg","type":"match"}`,
		"/face/match":             `{"userId":"` + o.user + `"}`,
		"/face-scan":              `{"userId":"` + o.user + `","imageData":"` + base64Of(jpegOf(red)) + `"}`,
		"/start-liveness-session": `{"userId":"` + o.user + `"}`, "/upload-frame": sessionForm(o.session, jpegOf(red), true),
		"/match-liveness-face": `{"userId":"` + o.user + `","sessionId":"` + o.session + `"}`, "/check-liveness": body(o.session),
		"/face/detect": `{"imageKey":"` + o.image + `"}`, "/identify": form("image", jpegOf(red)),
		"/accounts/{accountId}": `{"status":"suspended"}`, "/accounts/invitations": `{"email":"b@example.org","role":"auditor"}`,
		"/factors/totp": `{"password":"x"}`, "/factors/totp/confirm": `{"code":"1"}`, "/factors/passkeys/options": `{"password":"x"}`,
		"/factors/passkeys": `{"ticket":"x","credential":{}}`, "/factors/recovery-codes": `{"password":"x"}`, "/factors/remove": `{"password":"x","factor":"totp"}`,
		"/merchant/me": `{"phone":"1"}`, "/password/change": `{"currentPassword":"x","newPassword":"y"}`, "/email/change": `{"email":"c@example.org","password":"x"}`, "/email/change/confirm": `{"code":"1"}`,
		"/capture":         `{"purpose":"match","userId":"` + o.user + `"}`,
		"/exchange/export": `{"recipient":"x"}`, "/exchange/import": upload{[]byte("x"), "application/octet-stream"}, "/bulk/enrol": upload{zipOf("a.jpg", jpegOf(red).data), "application/zip"},
		"/consent-texts": `{"version":"1","language":"en","text":"I agree."}`, "/users/{userId}/consents": `{"textId":"` + o.text + `"}`,
		"/users/{userId}/consents/withdraw": `{"keepUser":true}`, "/merchant/policy": `{"refuseDuplicates":false}`,
		"/users/{userId}/credentials": `{"type":"qr"}`, "/credential/verify": `{"type":"card","value":"0420-1815","doorId":"5f0c0ffee0c0ffee0c0ffee0"}`,
		"/reviews/{reviewId}/settle": `{"outcome":"dismissed"}`, "/users/{userId}/merge": `{"from":"5f0c0ffee0c0ffee0c0ffee0"}`, "/verifications/{verificationId}/wrong": `{}`,
		"/doors": `{"name":"Front"}`, "/doors/{doorId}": `{"policy":{"liveness":"off"}}`, "/doors/{doorId}/grants/{userId}": `{"from":"2026-05-01T08:00:00Z"}`, "/sites/{siteId}": `{"name":"Here"}`,
		"/merchant/retention": `{"crops":0}`, "/merchant/retention/preview": `{"crops":1}`,
	}
	for alias, of := range map[string]string{"/user/register": "/register", "/face-match": "/face/match", "/face-detection": "/face/detect", "/face-liveness/start": "/start-liveness-session"} {
		bodies[alias] = bodies[of]
	}
	if op[0] == "POST" || op[0] == "PUT" {
		sent = bodies[op[1]]
	}
	return path, sent
}

// protected lists the operations that take a permission, with it.
func protected(t *testing.T, b *box) map[[2]string]auth.Permission {
	t.Helper()
	takes := map[[2]string]auth.Permission{}
	for _, op := range theContract(t).operations() {
		if p := b.Takes()[op[0]+" "+op[1]]; p != "" {
			takes[op] = p
		}
	}
	if len(takes) < 25 {
		t.Fatalf("only %d operations take a permission", len(takes))
	}
	return takes
}

// Every operation × every role: who holds its permission gets past it, nobody else
// does, and without a credential it is 401.
func TestEveryOperationForEveryRole(t *testing.T) {
	b := newBox(t, store.Sandbox)
	people := []auth.Permission{auth.UsersRead, auth.UsersWrite, auth.Enrol, auth.ImagesRead, auth.Match, auth.Detect, auth.Identify, auth.Capture, auth.CameraView, auth.EventsRead, auth.Verifications, auth.Models, auth.Consent, auth.Credentials, auth.CredentialVerify, auth.Reviews}
	administrators := append(slices.Clone(people), auth.Bulk, auth.Exchange, auth.UsersExport, auth.Policy, auth.Keys, auth.AccountsRead, auth.AccountsManage, auth.Sites)
	type holder struct {
		role   store.Role
		scopes []auth.Permission
		may    []auth.Permission
	}
	roles := []holder{
		{store.RoleOwner, nil, append(slices.Clone(administrators), auth.MerchantWrite, auth.Invite)},
		{store.RoleAdministrator, nil, administrators},
		{store.RoleOperator, nil, people},
		{store.RoleAuditor, nil, []auth.Permission{auth.EventsRead, auth.Verifications}},
		{store.RoleDevice, nil, []auth.Permission{auth.Match, auth.Detect, auth.Identify, auth.Capture, auth.CredentialVerify}},
		{store.RoleBox, nil, []auth.Permission{auth.Sync}},
		{store.RoleIntegrator, nil, nil},
	}
	for _, p := range auth.Scopes() { // each scope alone opens what takes it, and nothing else
		roles = append(roles, holder{store.RoleIntegrator, []auth.Permission{p}, []auth.Permission{p}})
	}
	takes := protected(t, b)
	for op := range takes {
		if op[1] == "/events" || op[1] == "/camera/stream" {
			continue // may authorize by a first message
		}
		path, body := strangers.request(op)
		b.want(b.callAs("", op[0], path, body), 401)
	}
	try := func(r holder, credential string, op [2]string, p auth.Permission, may bool) {
		path, body := strangers.request(op)
		a := b.callAs(credential, op[0], path, body)
		if op[1] == "/capture" && r.role == store.RoleIntegrator && may {
			return // takes another permission besides, and is tested with it elsewhere
		}
		if (a.status != 403) != may || a.status == 401 {
			t.Errorf("%s %v: %s %s answers %d, it takes %s", r.role, r.scopes, op[0], op[1], a.status, p)
		}
	}
	for _, r := range roles {
		apiKey, key := b.auth.NewKey(b.merchant, "role", r.role, r.scopes...)
		b.update(func(tx *store.Tx) error { return store.Put(tx, &key) })
		for op, p := range takes {
			try(r, "Bearer "+apiKey, op, p, slices.Contains(r.may, p))
		}
	}
	// Whoever has signed in has his account besides, and one who has to set up a
	// second factor first has nothing else.
	for _, r := range roles[:4] {
		account := b.member(string(r.role)+"@login.example", r.role)
		for op, p := range takes {
			try(r, b.open(&account), op, p, p == auth.Self || slices.Contains(r.may, p))
		}
		b.auth.RequireFactor = true
		for op, p := range takes {
			try(r, b.open(&account), op, p, p == auth.Self || !auth.NeedsFactor(r.role) && slices.Contains(r.may, p))
		}
		b.auth.RequireFactor = false
	}
}

// member makes an account of the box's merchant, without a password.
func (b *box) member(email string, role store.Role) store.Account {
	b.t.Helper()
	a := store.Account{ID: store.NewID[store.AccountID](b.now), Merchant: b.merchant, Email: email, Firstname: "Ada", Lastname: "Test", Verified: true, Role: role, Status: store.Active}
	b.update(func(tx *store.Tx) error { return store.Put(tx, &a) })
	return a
}

// open is a token of a new login of an account.
func (b *box) open(a *store.Account) (token string) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		t, err := b.auth.OpenLogin(tx, a)
		token = t.Value
		return err
	})
	return token
}

// Every operation × another merchant's objects: 404, as if they were not there,
// and they stay as they were.
func TestEveryOperationOnAnotherMerchantsObjects(t *testing.T) {
	b := newBox(t, store.Sandbox)
	theirs := b.belongings()
	before := b.want(b.call("GET", "/users/"+theirs.user, nil), 200).raw
	b.faces.sees = red
	m, _ := b.newMerchant("Other")
	apiKey, key := b.auth.NewKey(m, "owner", store.RoleOwner)
	b.update(func(tx *store.Tx) error { return store.Put(tx, &key) })
	own := []string{"/register", "/user/register", "/users", "/verifications", "/identify", "/events", "/camera/stream", "/camera/snapshot", "/accounts/invitations", "/merchant/invite", "/sync/status", "/sync/now", "/sync/adopt",
		"/consent-texts", "/consent-texts/current", "/merchant/policy", "/merchant/retention", "/merchant/retention/preview", "/reviews", "/reviews/statistics", "/bulk", "/bulk/enrol", "/exchange/key", "/exchange/export", "/exchange/import", "/doors"} // about the caller's own
	takes := protected(t, b)
	for op := range takes {
		path, body := theirs.request(op)
		want := 404
		switch {
		case op == [2]string{"GET", "/merchant-api-key"} || op[0] == "GET" && (op[1] == "/accounts" || op[1] == "/accounts/invitations" || op[1] == "/sites"):
			want = 200
		case takes[op] == auth.Self:
			want = 403 // a key has no account
		case slices.Contains(own, op[1]), takes[op] == auth.Sync: // about the box that calls
			continue
		}
		if a := b.callAs("Bearer "+apiKey, op[0], path, body); a.status != want {
			t.Errorf("%s %s answers %d: %s", op[0], op[1], a.status, a.raw)
		}
	}
	for _, q := range []string{"/verifications?userId=" + theirs.user, "/users", "/accounts", "/accounts/invitations", "/sites"} {
		if a := b.want(b.callAs("Bearer "+apiKey, "GET", q, nil), 200); strings.Contains(a.raw, theirs.user) || strings.Contains(a.raw, theirs.site) || strings.Contains(a.raw, theirs.account) || strings.Contains(a.raw, theirs.invitation) {
			t.Errorf("%s shows it: %s", q, a.raw)
		}
	}
	if a := b.want(b.callAs("Bearer "+apiKey, "POST", "/identify", form("image", jpegOf(nobodyKnown))), 200); a.body["match"] != false {
		t.Error(a.raw)
	}
	if a := b.want(b.call("GET", "/users/"+theirs.user, nil), 200); a.raw[:200] != before[:200] {
		t.Errorf("it was changed: %s", a.raw)
	}
	b.want(b.call("POST", "/check-liveness", body(theirs.session)), 200)
	b.want(b.call("POST", "/face/match", `{"userId":"`+theirs.user+`"}`), 200)
}

// nobodyKnown is a face that nobody has.
var nobodyKnown = blue

// Each of the ten statuses of the reference is reached, in the one body of errors.
func TestEveryStatusOfTheReference(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	_, weak := b.newMerchant("Weak", auth.Detect)
	cases := []struct {
		status int
		code   string
		ask    func() answer
	}{
		{400, "BAD_REQUEST", func() answer { return b.call("POST", "/face/match", `{`) }},
		{401, "UNAUTHORIZED", func() answer { return b.callAs("", "GET", "/users", nil) }},
		{402, "UPSTREAM_PROCESSOR_ERROR", func() answer {
			b.faces.fail = fmt.Errorf("invoke network: %w", engine.ErrNetwork)
			defer func() { b.faces.fail = nil }()
			return b.call("POST", "/face/detect", form("image", jpegOf(red)))
		}},
		{403, "FORBIDDEN", func() answer { return b.callAs("Bearer "+weak, "GET", "/users", nil) }},
		{404, "NOT_FOUND", func() answer { return b.call("GET", "/users/"+strings.Repeat("a", 24), nil) }},
		{405, "METHOD_NOT_ALLOWED", func() answer { return b.call("PATCH", "/users", nil) }},
		{406, "NOT_ACCEPTABLE", func() answer {
			return b.call("POST", "/face/detect", form("image", upload{[]byte("GIF89a"), "image/gif"}))
		}},
		{409, "CONFLICT", func() answer { return b.link(id, "upload") }},
		{422, "UNPROCESSABLE_ENTITY", func() answer { return b.call("POST", "/face/match", `{"userId":"`+id+`"}`) }},
		{500, "INTERNAL_SERVER_ERROR", func() answer {
			b.faces.fail = store.ErrDamaged
			defer func() { b.faces.fail = nil }()
			return b.call("POST", "/face/detect", form("image", jpegOf(red)))
		}},
	}
	for _, c := range cases {
		if a := b.want(c.ask(), c.status); a.text("code") != c.code || http.StatusText(c.status) == "" {
			t.Errorf("%d: %s", c.status, a.raw)
		}
	}
}
