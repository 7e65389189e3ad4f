package api_test

import (
	"context"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/mail"
	"github.com/cypherface/edge/store"
)

// codes are the letters that wait, as the box's operator sees them.
func (b *box) codes() []account.Letter {
	b.t.Helper()
	all, err := b.Accounts.Codes(b.t.Context(), setup)
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// letter is the only one that waits.
func (b *box) letter(to, subject string) string {
	b.t.Helper()
	all := b.codes()
	if len(all) != 1 || all[0].To != to || all[0].Subject != subject {
		b.t.Fatalf("waiting: %+v, want %q to %s", all, subject, to)
	}
	return all[0].Text
}

var (
	sixDigits = regexp.MustCompile(`\b[0-9]{6}\b`)
	longCode  = regexp.MustCompile(`(?m)(?:^|[^\w-])([\w-]{43})(?:$|[^\w-])`)
)

// tokenIn is the long form of a code in a letter.
func tokenIn(text string) string {
	if m := longCode.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

const toVerify, toReset = "Verify your e-mail address", "Set a new password"

func registration(email string, more ...string) string {
	fields := map[string]string{"businessName": "Analytical Engines", "firstname": "Ada", "lastname": "Lovelace", "email": email, "password": password}
	for i := 0; i < len(more); i += 2 {
		fields[more[i]] = more[i+1]
	}
	return asJSON(fields)
}

func (b *box) registerMerchant(email string, more ...string) answer {
	b.t.Helper()
	return b.callAs("", "POST", "/merchant/register/", registration(email, more...))
}

func TestRegistrationIsClosedUnlessSaid(t *testing.T) {
	b := newBox(t, store.Sandbox)
	hashed := auth.Hashed()
	b.want(b.registerMerchant("ada@example.org"), 403)
	if auth.Hashed() != hashed {
		t.Error("a password was hashed for nothing")
	}
	b.accounts(t, account.Config{Registration: account.Invite})
	b.want(b.registerMerchant("ada@example.org"), 422)
	b.want(b.registerMerchant("ada@example.org", "inviteCode", "x"), 422)
	owner, operator := b.member("o@example.org", store.RoleOwner), b.member("p@example.org", store.RoleAdministrator)
	b.want(b.callAs(b.open(&operator), "POST", "/merchant/invite", nil), 403)
	code := b.want(b.callAs(b.open(&owner), "POST", "/merchant/invite/", nil), 201).text("inviteCode")
	b.want(b.registerMerchant("ada@example.org", "inviteCode", code), 201)
	b.want(b.registerMerchant("bea@example.org", "inviteCode", code), 422) // it was good once
	late := b.want(b.callAs(b.open(&owner), "POST", "/merchant/invite/", nil), 201).text("inviteCode")
	b.now = b.now.Add(8 * 24 * time.Hour)
	b.want(b.registerMerchant("bea@example.org", "inviteCode", late), 422)
}

func TestRegisterVerifyLogin(t *testing.T) {
	b := newBox(t, store.Sandbox)
	log := b.accounts(t, account.Config{Registration: account.Open, BaseURL: "https://box.example"})
	golden(t, b, "register-merchant.json", b.want(b.registerMerchant(" Ada@Example.org "), 201))
	b.want(b.signIn("ada@example.org", password), 403)
	if strings.Contains(log.String(), "example.org") || !strings.Contains(log.String(), "cypherface mail codes") {
		t.Errorf("the log tells too much or too little: %s", log)
	}
	text := b.letter("Ada@Example.org", toVerify)
	code := sixDigits.FindString(text)
	if strings.Contains(log.String(), code) || !strings.Contains(text, "https://box.example/email/verify/?token=") {
		t.Errorf("letter %s", text)
	}
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	verify := func(email, code string) answer {
		return b.callAs("", "POST", "/email/verify/", asJSON(map[string]string{"email": email, "code": code}))
	}
	b.want(verify("ada@example.org", wrong), 422)
	b.want(verify("nobody@example.org", code), 422)
	b.want(verify("ada@example.org", ""), 400)
	b.want(verify("ada@example.org", " "+code+" "), 200)
	b.want(verify("ada@example.org", code), 409)
	b.want(verify("ada@example.org", wrong), 422) // who does not know the code learns nothing
	in := b.want(b.signIn("ada@example.org", password), 200)
	if role := in.body["user"].(map[string]any)["role"]; role != "owner" {
		t.Errorf("role %v", role)
	}
	b.want(b.callAs(in.text("token"), "GET", "/users", nil), 200)

	for body, field := range map[string]string{
		registration("x@example.org", "password", "short"): "password", registration("x@example.org", "password", "x@example.org"): "password",
		registration("x"): "email", registration(""): "email", registration("x@example.org", "firstname", ""): "firstname",
		registration("x@example.org", "businessName", "a\nb"): "businessName", registration("x@example.org", "phone", "call me"): "phone",
		registration("x@example.org\r\nBcc: y@example.org"): "email", registration("x@example.org", "password", "Analytical Engines"): "password",
	} {
		if a := b.want(b.callAs("", "POST", "/merchant/register", body), 400); !strings.Contains(a.raw, `"field":"`+field+`"`) {
			t.Errorf("%s: %s", body, a.raw)
		}
	}
}

// Nobody learns from a registration, a forgotten password or another code whether
// an address has an account: the answers are the same after the same work.
func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.accounts(t, account.Config{Registration: account.Open})
	b.person("ada@example.org", store.RoleOwner)
	changing := regexp.MustCompile(`"requestId":"[^"]*"|[0-9a-f]{24}|(ada|new)@`)
	seen := map[string]string{}
	for _, email := range []string{"ada@example.org", "new@example.org"} {
		for path, body := range map[string]string{
			"/merchant/register": registration(email), "/password/forgot": asJSON(map[string]string{"email": email}),
			"/email/resend": asJSON(map[string]string{"email": email}), "/email/verify": asJSON(map[string]string{"email": email, "code": "123456"}),
		} {
			if path == "/email/verify" && email == "new@example.org" {
				b.codes() // its code could be that one
			}
			hashed, before := auth.Hashed(), b.events()
			a := b.callAs("", "POST", path, body)
			got := changing.ReplaceAllString(a.raw, "")
			if first, known := seen[path]; known && got != first {
				t.Errorf("%s: %s\nand %s", path, got, first)
			}
			seen[path] = got
			work := auth.Hashed() - hashed
			if path == "/merchant/register" && work != 1 || path != "/merchant/register" && work != 0 || b.events() == before {
				t.Errorf("%s: %d hashes, %d events", path, work, b.events()-before)
			}
		}
	}
	// The holder is told that somebody wanted to register.
	b.want(b.registerMerchant("ADA@example.org"), 201)
	told := false
	for _, w := range b.codes() {
		told = told || w.To == "ada@example.org" && w.Subject == "You have an account already" && !sixDigits.MatchString(w.Text)
	}
	if !told {
		t.Error("the holder of the address is not told")
	}
	b.want(b.signIn("ada@example.org", password), 200)
}

// events counts those of the journal.
func (b *box) events() (n int) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		events, err := store.Events(tx, 0, 10000)
		n = len(events)
		return err
	})
	return n
}

func TestACodeHasFiveTries(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.accounts(t, account.Config{Registration: account.Open})
	b.want(b.registerMerchant("ada@example.org"), 201)
	try := func(address, code string) answer {
		return b.from(address, "POST", "/email/verify", asJSON(map[string]string{"email": "ada@example.org", "code": code}))
	}
	code := sixDigits.FindString(b.letter("ada@example.org", toVerify))
	for n := range 5 {
		b.want(try("192.0.2.1", "wrong"+string(rune('0'+n))), 422)
	}
	b.want(try("192.0.2.2", code), 422)
	b.want(b.callAs("", "POST", "/email/resend/", `{"email":"Ada@example.org"}`), 200)
	next := sixDigits.FindString(b.letter("ada@example.org", toVerify))
	b.now = b.now.Add(15 * time.Minute)
	b.want(try("192.0.2.2", next), 422) // too late
	b.want(b.callAs("", "POST", "/email/resend/", `{"email":"Ada@example.org"}`), 200)
	b.want(try("192.0.2.2", sixDigits.FindString(b.letter("ada@example.org", toVerify))), 200)
	b.want(b.callAs("", "POST", "/email/resend/", `{"email":"ada@example.org"}`), 200)
	if all := b.codes(); len(all) != 0 {
		t.Errorf("who is verified gets mail: %+v", all)
	}
	// Whoever guesses at many is locked by his network address.
	for n := range 8 {
		try("192.0.2.9", string(rune('0'+n)))
	}
	for range 2 {
		try("192.0.2.9", "x")
	}
	b.want(try("192.0.2.9", code), 429)
}

func TestMailsAreNotSentWithoutAnEnd(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.person("ada@example.org", store.RoleOwner)
	sent := 0
	for n := range 19 {
		b.want(b.from("192.0.2.1", "POST", "/password/forgot", `{"email":"ada@example.org"}`), 200)
		if n%2 == 0 {
			sent += len(b.codes())
		}
	}
	if sent != 3 { // of five, two took the place of one that waited
		t.Errorf("%d were sent", sent)
	}
	b.want(b.from("192.0.2.1", "POST", "/password/forgot", `{"email":"bea@example.org"}`), 200)
	b.want(b.from("192.0.2.1", "POST", "/password/forgot", `{"email":"bea@example.org"}`), 429)
	b.want(b.from("192.0.2.2", "POST", "/password/forgot", `{"email":"bea@example.org"}`), 200)
}

// A program that reads mails ahead of people opens links, and presses no buttons.
func TestVerifyByLink(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.accounts(t, account.Config{Registration: account.Open, BaseURL: "https://box.example"})
	b.want(b.registerMerchant("ada@example.org"), 201)
	token := tokenIn(b.letter("ada@example.org", toVerify))
	for range 3 {
		page := b.want(b.callAs("", "GET", "/email/verify/?token="+url.QueryEscape(token), nil), 200)
		if !strings.Contains(page.raw, `value="`+token+`"`) || strings.Contains(page.raw, "<script") || !strings.Contains(page.header.Get("Content-Security-Policy"), "form-action 'self'") {
			t.Errorf("page %s, %v", page.raw, page.header)
		}
	}
	if a := b.want(b.callAs("", "GET", `/email/verify/?token="><script>`, nil), 200); strings.Contains(a.raw, "><script>") {
		t.Errorf("the page repeats what it is told: %s", a.raw)
	}
	press := func(token string) answer {
		return b.callAs("", "POST", "/email/verify/", upload{[]byte("token=" + url.QueryEscape(token)), "application/x-www-form-urlencoded"})
	}
	if a := press("x"); a.status != 422 || !strings.Contains(a.raw, "<h1>That did not work</h1>") {
		t.Errorf("a wrong one: %d %s", a.status, a.raw)
	}
	if a := press(token); a.status != 200 || !strings.Contains(a.raw, "<h1>Done</h1>") {
		t.Errorf("the button: %d %s", a.status, a.raw)
	}
	if a := press(token); a.status != 409 {
		t.Errorf("the button once more: %d %s", a.status, a.raw)
	}
	b.want(b.callAs("", "POST", "/email/verify/", asJSON(map[string]string{"token": token})), 409)
	b.want(b.signIn("ada@example.org", password), 200)
	if a := b.callAs("", "POST", "/email/verify/", upload{[]byte(strings.Repeat("a", 5000)), "application/x-www-form-urlencoded"}); a.status != 400 {
		t.Errorf("much too long: %d", a.status)
	}
}

func TestForgotReset(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.person("ada@example.org", store.RoleOwner)
	in := b.want(b.signIn("ada@example.org", password), 200)
	forgot := func() string {
		b.t.Helper()
		b.want(b.callAs("", "POST", "/password/forgot/", `{"email":"ADA@example.org"}`), 200)
		return tokenIn(b.letter("ada@example.org", toReset))
	}
	reset := func(token, password string) answer {
		return b.callAs("", "POST", "/password/reset/", asJSON(map[string]string{"token": token, "password": password}))
	}
	first := forgot()
	second := forgot()
	b.want(reset(first, another), 422) // the newest is good
	b.want(reset(second, "short"), 400)
	b.want(reset("", another), 400)
	b.want(reset(second, another), 200)
	b.want(reset(second, another), 422)
	b.want(b.callAs(in.text("token"), "GET", "/merchant/me", nil), 401)
	b.want(b.callAs(in.text("refreshToken"), "POST", "/refresh-token", nil), 401)
	b.letter("ada@example.org", "Your password was changed")
	b.want(b.signIn("ada@example.org", password), 401)
	b.want(b.signIn("ada@example.org", another), 200)
	late := forgot()
	b.now = b.now.Add(time.Hour)
	b.want(reset(late, password), 422)
	// It opens what others have locked by guessing.
	for n := range 10 {
		b.want(b.signInFrom("198.51.100."+string(rune('0'+n)), "ada@example.org", "wrong"), 401)
	}
	b.want(b.signInFrom("203.0.113.1", "ada@example.org", another), 429)
	b.want(reset(forgot(), password), 200)
	b.want(b.signInFrom("203.0.113.1", "ada@example.org", password), 200)
	page := b.want(b.callAs("", "GET", "/password/reset/?token=x", nil), 200)
	if !strings.Contains(page.raw, `name="password"`) {
		t.Error(page.raw)
	}
}

// Who registered and never verified goes, with the merchant that is empty.
func TestWhoNeverVerifiesGoes(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.accounts(t, account.Config{Registration: account.Open})
	b.want(b.registerMerchant("ada@example.org"), 201)
	// The address was somebody else's: the one who holds it registers too, and only
	// that password counts.
	b.want(b.registerMerchant("ada@example.org", "password", another), 201)
	code := sixDigits.FindString(b.letter("ada@example.org", toVerify))
	b.want(b.callAs("", "POST", "/email/verify", asJSON(map[string]string{"email": "ada@example.org", "code": code})), 200)
	b.want(b.signIn("ada@example.org", password), 401)
	b.want(b.signIn("ada@example.org", another), 200)
	b.want(b.registerMerchant("bea@example.org"), 201)
	if n := b.merchants(); n != 3 {
		t.Errorf("%d merchants", n)
	}
	b.now = b.now.Add(8 * 24 * time.Hour)
	left := func() (n int) {
		b.update(func(tx *store.Tx) error {
			for _, count := range []func() (int, error){
				func() (int, error) { return store.Count(tx, store.CodesByExpiry) },
				func() (int, error) { return store.Count(tx, store.LocksByExpiry) },
				func() (int, error) { return store.Count(tx, store.LettersByTurn) },
			} {
				k, err := count()
				if err != nil {
					return err
				}
				n += k
			}
			return nil
		})
		return n
	}
	if !b.sweep(time.Minute, func() bool { return b.merchants() == 2 && left() == 0 }) {
		t.Errorf("%d merchants after a week, and %d codes, locks and letters", b.merchants(), left())
	}
	b.want(b.signIn("ada@example.org", another), 200)
}

func (b *box) merchants() (n int) {
	b.t.Helper()
	b.update(func(tx *store.Tx) (err error) { n, err = store.Count(tx, store.Merchants); return err })
	return n
}

func TestInvitations(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.accounts(t, account.Config{BaseURL: "https://box.example"})
	owner, administrator := b.member("o@example.org", store.RoleOwner), b.member("a@example.org", store.RoleAdministrator)
	invite := func(by *store.Account, email, role string, more ...string) answer {
		fields := map[string]any{"email": email, "role": role}
		if len(more) > 0 {
			fields["show"] = true
		}
		return b.callAs(b.open(by), "POST", "/accounts/invitations/", asJSON(fields))
	}
	accept := func(token, password string) answer {
		return b.callAs("", "POST", "/invitation/accept/", asJSON(map[string]string{"token": token, "firstname": "Grace", "lastname": "Hopper", "password": password}))
	}
	invited := b.want(invite(&administrator, "grace@example.org", "operator"), 201)
	if invited.body["sent"] != false || invited.text("token") != "" {
		t.Error(invited.raw)
	}
	text := b.letter("grace@example.org", "You are invited")
	if !strings.Contains(text, "https://box.example/invitation/accept/?token=") || !strings.Contains(text, "as operator") {
		t.Error(text)
	}
	token := tokenIn(text)
	b.want(accept(token, "short"), 400)
	b.want(accept("x", password), 422)
	b.want(accept(token, password), 200)
	b.want(accept(token, password), 422)
	in := b.want(b.signIn("grace@example.org", password), 200)
	b.want(b.callAs(in.text("token"), "POST", "/accounts/invitations", `{"email":"x@example.org","role":"auditor"}`), 403)

	b.want(invite(&administrator, "x@example.org", "owner"), 403) // more than he is
	b.want(invite(&administrator, "x@example.org", "administrator"), 201)
	b.want(invite(&owner, "x@example.org", "owner"), 201)
	if list := b.want(b.callAs(b.open(&owner), "GET", "/accounts/invitations/", nil), 200); len(list.body["invitations"].([]any)) != 1 {
		t.Errorf("an address has several: %s", list.raw)
	}
	b.want(invite(&owner, "Grace@example.org", "auditor"), 409)
	for _, bad := range [][2]string{{"x", "auditor"}, {"y@example.org", "integrator"}, {"y@example.org", ""}, {"y@example.org", "device"}} {
		b.want(invite(&owner, bad[0], bad[1]), 400)
	}
	b.codes()
	// Shown, it needs no mail; revoked or old, it is worth nothing.
	shown := b.want(invite(&owner, "b@example.org", "auditor", "show"), 201)
	if len(b.codes()) != 0 {
		t.Error("there is a mail all the same")
	}
	id := shown.body["invitation"].(map[string]any)["invitationId"].(string)
	b.want(b.callAs(b.open(&administrator), "DELETE", "/accounts/invitations/"+id, nil), 200)
	b.want(b.callAs(b.open(&administrator), "DELETE", "/accounts/invitations/"+id, nil), 404)
	b.want(accept(shown.text("token"), password), 422)
	late := b.want(invite(&owner, "b@example.org", "auditor", "show"), 201).text("token")
	b.now = b.now.Add(8 * 24 * time.Hour)
	b.want(accept(late, password), 422)
	ownersOnly := b.want(invite(&owner, "c@example.org", "owner", "show"), 201)
	id = ownersOnly.body["invitation"].(map[string]any)["invitationId"].(string)
	b.want(b.callAs(b.open(&administrator), "DELETE", "/accounts/invitations/"+id, nil), 403)
	// By the page of the link.
	if page := b.want(b.callAs("", "GET", "/invitation/accept/?token=x", nil), 200); !strings.Contains(page.raw, `name="firstname"`) {
		t.Error(page.raw)
	}
	form := url.Values{"token": {ownersOnly.text("token")}, "firstname": {"Charles"}, "lastname": {"Babbage"}, "password": {another}}
	if a := b.callAs("", "POST", "/invitation/accept/", upload{[]byte(form.Encode()), "application/x-www-form-urlencoded"}); a.status != 200 || !strings.Contains(a.raw, "<h1>Done</h1>") {
		t.Errorf("%d %s", a.status, a.raw)
	}
	b.want(b.signIn("c@example.org", another), 200)
}

// deaf is a relay that takes nothing.
type deaf struct{}

func (deaf) Send(context.Context, mail.Message) error { return mail.ErrRelay }

// Who invites waits for the relay, and is told when it fails; who must not learn
// whether there is somebody to write to does not wait.
func TestARelayThatFails(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.accounts(t, account.Config{Relay: deaf{}})
	owner := b.member("o@example.org", store.RoleOwner)
	a := b.want(b.callAs(b.open(&owner), "POST", "/accounts/invitations", `{"email":"x@example.org","role":"auditor"}`), 402)
	if a.text("code") != "UPSTREAM_PROCESSOR_ERROR" {
		t.Error(a.raw)
	}
	if list := b.want(b.callAs(b.open(&owner), "GET", "/accounts/invitations", nil), 200); len(list.body["invitations"].([]any)) != 1 {
		t.Errorf("it does not stand: %s", list.raw)
	}
	b.want(b.callAs("", "POST", "/password/forgot", `{"email":"o@example.org"}`), 200)
}

// Roles over accounts: who may do what to whom, and what happens to their logins.
func TestRolesOverAccounts(t *testing.T) {
	b := newBox(t, store.Sandbox)
	owner, administrator, operator, auditor := b.member("o@example.org", store.RoleOwner), b.member("a@example.org", store.RoleAdministrator),
		b.member("p@example.org", store.RoleOperator), b.member("u@example.org", store.RoleAuditor)
	change := func(by, of *store.Account, body string) answer {
		return b.callAs(b.open(by), "PUT", "/accounts/"+string(of.ID), body)
	}
	remove := func(by, of *store.Account) answer {
		return b.callAs(b.open(by), "DELETE", "/accounts/"+string(of.ID), nil)
	}
	for _, tt := range []struct {
		by, of *store.Account
		body   string
		status int
	}{
		{&owner, &operator, `{"role":"auditor"}`, 200},
		{&owner, &operator, `{"role":"operator"}`, 200},
		{&administrator, &operator, `{"status":"suspended"}`, 200},
		{&administrator, &operator, `{"status":"active"}`, 200},
		{&administrator, &operator, `{"role":"owner"}`, 403},
		{&administrator, &administrator, `{"role":"owner"}`, 403},
		{&administrator, &owner, `{"role":"auditor"}`, 403},
		{&administrator, &owner, `{"status":"suspended"}`, 403},
		{&operator, &auditor, `{"status":"suspended"}`, 403},
		{&auditor, &operator, `{"role":"auditor"}`, 403},
		{&owner, &owner, `{"role":"administrator"}`, 409}, // the last one
		{&owner, &owner, `{"status":"suspended"}`, 409},
		{&owner, &operator, `{"role":"device"}`, 400},
		{&owner, &operator, `{"status":"revoked"}`, 400},
		{&owner, &operator, `{"password":"x"}`, 400},
		{&owner, &operator, `{}`, 200},
	} {
		if a := change(tt.by, tt.of, tt.body); a.status != tt.status {
			t.Errorf("%s to %s: %s: status %d: %s", tt.by.Role, tt.of.Role, tt.body, a.status, a.raw)
		}
	}
	b.want(remove(&administrator, &owner), 403)
	b.want(remove(&owner, &owner), 409)
	b.want(b.callAs(b.open(&owner), "GET", "/accounts/"+string(operator.ID), nil), 200)
	b.want(b.callAs(b.open(&owner), "GET", "/accounts/7", nil), 400)
	golden(t, b, "accounts.json", b.want(b.callAs(b.open(&administrator), "GET", "/api/accounts/", nil), 200))

	// Every change ends the logins at once, and what they did is refused.
	for _, end := range []func() answer{
		func() answer { return change(&owner, &operator, `{"role":"auditor"}`) },
		func() answer { return change(&owner, &operator, `{"status":"suspended"}`) },
		func() answer { return remove(&owner, &operator) },
	} {
		b.want(change(&owner, &operator, `{"status":"active"}`), 200)
		token := b.open(&operator)
		b.want(end(), 200)
		b.want(b.callAs(token, "GET", "/merchant/me", nil), 401)
	}
	b.want(b.callAs(b.open(&owner), "GET", "/accounts/"+string(operator.ID), nil), 404)
	// With a second owner the first may go; one who is suspended is none.
	second := b.member("o2@example.org", store.RoleOwner)
	b.want(change(&owner, &second, `{"status":"suspended"}`), 200)
	b.want(remove(&owner, &owner), 409)
	b.want(change(&owner, &second, `{"status":"active"}`), 200)
	b.want(remove(&second, &owner), 200)
	b.want(remove(&second, &second), 409)
}
