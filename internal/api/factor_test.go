package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/store"
)

// withTOTP gives somebody an authenticator app, and returns its secret, the recovery
// codes, and the token that it was done with.
func (b *box) withTOTP(email string) (secret string, recovery []any, token string) {
	b.t.Helper()
	token = b.want(b.signIn(email, password), 200).text("token")
	setup := b.want(b.callAs(token, "POST", "/factors/totp/", asJSON(map[string]string{"password": password})), 200)
	secret = setup.text("secret")
	added := b.want(b.callAs(token, "POST", "/factors/totp/confirm", asJSON(map[string]string{"code": b.totp(secret)})), 200)
	recovery, _ = added.body["recoveryCodes"].([]any)
	return secret, recovery, token
}

// totp is the code that an authenticator app shows now.
func (b *box) totp(secret string) string {
	b.t.Helper()
	code, err := totp.GenerateCode(secret, b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	return code
}

// wrong is a code that is another.
func wrong(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

// ticket signs in as far as the second step.
func (b *box) ticket(email string) string {
	b.t.Helper()
	a := b.want(b.signIn(email, password), 200)
	if a.body["mfaRequired"] != true || a.body["token"] != nil || a.body["refreshToken"] != nil || a.body["user"] != nil {
		b.t.Errorf("the first step tells %s", a.raw)
	}
	return a.text("ticket")
}

func (b *box) second(ticket, name string, proof any) answer {
	b.t.Helper()
	return b.callAs("", "POST", "/login/factor/", asJSON(map[string]any{"ticket": ticket, name: proof}))
}

func TestTOTP(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.person("ada@example.org", store.RoleOwner)
	other := b.want(b.signIn("ada@example.org", password), 200)
	mine := b.want(b.signIn("ada@example.org", password), 200).text("token")
	b.want(b.callAs(mine, "POST", "/factors/totp", asJSON(map[string]string{"password": "wrong"})), 400)
	b.want(b.callAs(mine, "POST", "/factors/totp/confirm", `{"code":"123456"}`), 409)
	setup := b.want(b.callAs(mine, "POST", "/factors/totp", asJSON(map[string]string{"password": password})), 200)
	if u := setup.text("otpauthUrl"); !strings.HasPrefix(u, "otpauth://totp/CypherFace%20sandbox:ada@example.org?") || !strings.Contains(u, "secret="+setup.text("secret")) {
		t.Errorf("URL %s", u)
	}
	b.want(b.callAs(mine, "POST", "/factors/totp/confirm", asJSON(map[string]string{"code": wrong(b.totp(setup.text("secret")))})), 422)
	if b.want(b.signIn("ada@example.org", password), 200).body["mfaRequired"] != nil {
		t.Error("it counts before it is confirmed")
	}
	secret, recovery, token := b.withTOTP("ada@example.org")
	if len(recovery) != 10 {
		t.Errorf("recovery codes %v", recovery)
	}
	b.want(b.callAs(token, "GET", "/merchant/me", nil), 200)
	b.want(b.callAs(other.text("token"), "GET", "/merchant/me", nil), 401) // it was made by a password alone
	b.want(b.callAs(token, "POST", "/factors/totp", asJSON(map[string]string{"password": password})), 409)
	golden(t, b, "factors.json", b.want(b.callAs(token, "GET", "/factors/", nil), 200))

	// The code that confirmed it is not good again; that of the next step is, once.
	b.want(b.second(b.ticket("ada@example.org"), "code", b.totp(secret)), 401)
	b.now = b.now.Add(30 * time.Second)
	used, ticket := b.totp(secret), b.ticket("ada@example.org")
	b.want(b.second(ticket, "code", wrong(used)), 401)
	b.want(b.second(ticket, "code", used[:3]+" "+used[3:]), 200)
	b.want(b.second(ticket, "code", used), 401)
	b.want(b.second(b.ticket("ada@example.org"), "code", used), 401)
	// A clock may be off by one step, not by two.
	b.now = b.now.Add(10 * time.Minute)
	at := b.now
	code := func(d time.Duration) string { b.now = at.Add(d); defer func() { b.now = at }(); return b.totp(secret) }
	b.want(b.second(b.ticket("ada@example.org"), "code", code(-time.Minute)), 401)
	b.want(b.second(b.ticket("ada@example.org"), "code", code(time.Minute)), 401)
	b.want(b.second(b.ticket("ada@example.org"), "code", code(-30*time.Second)), 200)
	b.want(b.second(b.ticket("ada@example.org"), "code", code(30*time.Second)), 200)
	b.want(b.second(b.ticket("ada@example.org"), "code", code(0)), 401) // it is before one that was used

	// Recovery codes: each once, however it is typed.
	one := recovery[3].(string)
	b.want(b.second(b.ticket("ada@example.org"), "recoveryCode", strings.ToUpper(strings.ReplaceAll(one, "-", " "))), 200)
	b.want(b.second(b.ticket("ada@example.org"), "recoveryCode", one), 401)
	next := b.want(b.callAs(token, "POST", "/factors/recovery-codes/", asJSON(map[string]string{"password": password})), 200)
	b.want(b.second(b.ticket("ada@example.org"), "recoveryCode", recovery[4]), 401)
	in := b.want(b.second(b.ticket("ada@example.org"), "recoveryCode", next.body["recoveryCodes"].([]any)[0]), 200)
	for _, bad := range []string{`{}`, `{"ticket":"x"}`, `{"ticket":"x","code":"1","recoveryCode":"2"}`} {
		b.want(b.callAs("", "POST", "/login/factor", bad), 400)
	}
	b.want(b.second("x", "code", "123456"), 401)
	late := b.ticket("ada@example.org")
	b.now = b.now.Add(5 * time.Minute)
	b.want(b.second(late, "code", b.totp(secret)), 401)
	// Without it a password is enough again.
	b.want(b.callAs(in.text("token"), "POST", "/factors/remove", asJSON(map[string]string{"password": password, "factor": "x"})), 409)
	b.want(b.callAs(in.text("token"), "POST", "/factors/remove/", asJSON(map[string]string{"password": password, "factor": "totp"})), 200)
	b.want(b.callAs(in.text("token"), "POST", "/factors/recovery-codes/", asJSON(map[string]string{"password": password})), 409)
	b.want(b.callAs(b.want(b.signIn("ada@example.org", password), 200).text("token"), "GET", "/users", nil), 200)
}

// Who knows the password cannot try one code after the other.
func TestGuessingAtTheSecondFactor(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.person("ada@example.org", store.RoleOwner)
	secret, recovery, _ := b.withTOTP("ada@example.org")
	b.now = b.now.Add(time.Hour)
	ticket := b.ticket("ada@example.org")
	for range 5 {
		b.want(b.second(ticket, "code", "abcdef"), 401)
	}
	b.want(b.second(ticket, "code", b.totp(secret)), 401) // the ticket is used up
	ticket = b.ticket("ada@example.org")
	for range 5 {
		b.want(b.second(ticket, "recoveryCode", "aaaa-aaaa-aaaa-aaaa"), 401)
	}
	ticket = b.ticket("ada@example.org")
	if a := b.want(b.second(ticket, "code", b.totp(secret)), 429); a.header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After %s", a.header.Get("Retry-After"))
	}
	b.now = b.now.Add(time.Minute)
	b.want(b.second(ticket, "recoveryCode", recovery[0]), 200)
}

// Only hashes of what is secret are in the store, the secret of the app apart, which
// cannot be one.
func TestTheStoreHasOnlyHashes(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.person("ada@example.org", store.RoleOwner)
	_, recovery, _ := b.withTOTP("ada@example.org")
	ticket := b.ticket("ada@example.org")
	b.want(b.callAs("", "POST", "/password/forgot", `{"email":"ada@example.org"}`), 200)
	reset := ""
	for _, w := range b.codes() {
		reset += tokenIn(w.Text)
	}
	b.update(func(tx *store.Tx) error {
		a, err := store.Get[store.Account](tx, ada.ID)
		if err != nil {
			return err
		}
		raw, err := json.Marshal(a)
		for c, listErr := range store.All(tx, store.CodesByExpiry) {
			more, marshalErr := json.Marshal(c)
			if listErr != nil || marshalErr != nil {
				return fmt.Errorf("%v, %v", listErr, marshalErr)
			}
			raw = append(raw, more...)
		}
		for _, secret := range []string{password, ticket, reset, recovery[0].(string), strings.ReplaceAll(recovery[0].(string), "-", "")} {
			if secret == "" || strings.Contains(string(raw), secret) || strings.Contains(string(raw), base64.StdEncoding.EncodeToString([]byte(secret))) {
				t.Errorf("%q is in the store: %s", secret, raw)
			}
		}
		return err
	})
}

// Where a second factor is required, an owner sets one up before anything else.
func TestARequiredFactor(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.auth.RequireFactor = true
	b.person("ada@example.org", store.RoleOwner)
	b.person("grace@example.org", store.RoleOperator)
	in := b.want(b.signIn("ada@example.org", password), 200)
	if in.body["mfaSetupRequired"] != true {
		t.Error(in.raw)
	}
	b.want(b.callAs(in.text("token"), "GET", "/users", nil), 403)
	b.want(b.callAs(in.text("token"), "GET", "/accounts", nil), 403)
	if me := b.want(b.callAs(in.text("token"), "GET", "/merchant/me", nil), 200); me.body["mfaSetupRequired"] != true {
		t.Error(me.raw)
	}
	_, _, token := b.withTOTP("ada@example.org")
	b.want(b.callAs(token, "GET", "/users", nil), 200) // it is the same login
	if f := b.want(b.callAs(token, "GET", "/factors", nil), 200); f.body["required"] != true {
		t.Error(f.raw)
	}
	b.want(b.callAs(b.want(b.signIn("grace@example.org", password), 200).text("token"), "GET", "/users", nil), 200)
	// He who loses it all is let in by the box's operator, and starts again.
	b.want(b.callAs(token, "POST", "/factors/remove", asJSON(map[string]string{"password": password, "factor": "totp"})), 200)
	b.want(b.callAs(token, "GET", "/users", nil), 403)
}

func TestTheOperatorResetsAFactor(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.person("ada@example.org", store.RoleOwner)
	_, _, token := b.withTOTP("ada@example.org")
	ticket := b.ticket("ada@example.org")
	if err := b.Accounts.ResetFactor(t.Context(), setup, b.merchant, ada.ID); err != nil {
		t.Fatal(err)
	}
	b.want(b.callAs(token, "GET", "/merchant/me", nil), 401)
	b.want(b.second(ticket, "code", "123456"), 401)
	if b.want(b.signIn("ada@example.org", password), 200).text("token") == "" {
		t.Error("a factor is asked for")
	}
}

// authenticator is one in software: it makes the CBOR, the COSE key and the
// signatures that a security key does (WebAuthn level 2, sections 6.1 and 6.5).
type authenticator struct {
	key    *ecdsa.PrivateKey
	id     []byte
	count  uint32
	host   string // of the relying party
	origin string
}

func newAuthenticator(t *testing.T) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &authenticator{key: key, id: []byte(rand.Text()), host: "box.example", origin: "https://box.example"}
}

var b64 = base64.RawURLEncoding.EncodeToString

// challenge takes it from the options that the box gave.
func challenge(t *testing.T, a answer) string {
	t.Helper()
	options, _ := a.body["options"].(map[string]any)
	public, _ := options["publicKey"].(map[string]any)
	c, _ := public["challenge"].(string)
	if c == "" {
		t.Fatalf("no challenge in %s", a.raw)
	}
	return c
}

func (k *authenticator) clientData(kind, challenge string) []byte {
	raw, _ := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": k.origin, "crossOrigin": false})
	return raw
}

// data is the authenticator data: somebody was there and was verified.
func (k *authenticator) data(flags byte) []byte {
	host := sha256.Sum256([]byte(k.host))
	k.count++
	return binary.BigEndian.AppendUint32(append(host[:], flags|0x05), k.count)
}

// create makes the answer to navigator.credentials.create.
func (k *authenticator) create(challenge string) map[string]any {
	point, _ := k.key.PublicKey.Bytes() // 04 ‖ x ‖ y
	cose := append([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}, point[1:33]...)
	cose = append(append(cose, 0x22, 0x58, 0x20), point[33:]...)
	data := append(k.data(0x40), make([]byte, 16)...)
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(k.id))), k.id...)
	data = append(data, cose...)
	object := append([]byte{0xa3, 0x63}, "fmt"...)
	object = append(append(object, 0x64), "none"...)
	object = append(append(append(object, 0x67), "attStmt"...), 0xa0)
	object = append(append(append(object, 0x68), "authData"...), 0x59)
	object = append(binary.BigEndian.AppendUint16(object, uint16(len(data))), data...)
	return map[string]any{
		"id": b64(k.id), "rawId": b64(k.id), "type": "public-key", "clientExtensionResults": map[string]any{},
		"response": map[string]any{"clientDataJSON": b64(k.clientData("webauthn.create", challenge)), "attestationObject": b64(object), "transports": []string{"usb"}},
	}
}

// get makes the answer to navigator.credentials.get.
func (k *authenticator) get(challenge string) map[string]any {
	client, data := k.clientData("webauthn.get", challenge), k.data(0)
	digest := sha256.Sum256(client)
	sum := sha256.Sum256(append(data[:len(data):len(data)], digest[:]...))
	signature, _ := ecdsa.SignASN1(rand.Reader, k.key, sum[:]) // never fails
	return map[string]any{
		"id": b64(k.id), "rawId": b64(k.id), "type": "public-key", "clientExtensionResults": map[string]any{},
		"response": map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)},
	}
}

func TestPasskeys(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.person("ada@example.org", store.RoleOwner)
	without := b.want(b.signIn("ada@example.org", password), 200).text("token")
	b.want(b.callAs(without, "POST", "/factors/passkeys/options", asJSON(map[string]string{"password": password})), 422)
	b.accounts(t, account.Config{BaseURL: "https://box.example"})
	token := b.want(b.signIn("ada@example.org", password), 200).text("token")
	begin := func() (challengeText, ticket string) {
		a := b.want(b.callAs(token, "POST", "/factors/passkeys/options/", asJSON(map[string]string{"password": password})), 200)
		return challenge(t, a), a.text("ticket")
	}
	add := func(ticket string, credential any) answer {
		return b.callAs(token, "POST", "/factors/passkeys/", asJSON(map[string]any{"ticket": ticket, "name": "blue stick", "credential": credential}))
	}
	stick := newAuthenticator(t)
	b.want(b.callAs(token, "POST", "/factors/passkeys/options/", asJSON(map[string]string{"password": "wrong"})), 400)
	for name, spoil := range map[string]func(*authenticator){
		"another origin": func(k *authenticator) { k.origin = "https://box.example.evil.test" },
		"another host":   func(k *authenticator) { k.host = "evil.test" },
	} {
		bad := newAuthenticator(t)
		spoil(bad)
		c, ticket := begin()
		if a := add(ticket, bad.create(c)); a.status != 422 {
			t.Errorf("%s: status %d", name, a.status)
		}
	}
	c, ticket := begin()
	credential := stick.create(c)
	b.want(add("x", credential), 422)
	b.want(add(ticket, map[string]any{"id": "x"}), 422)
	made := b.want(add(ticket, credential), 201)
	if len(made.body["recoveryCodes"].([]any)) != 10 {
		t.Error(made.raw)
	}
	b.want(add(ticket, credential), 422) // the ticket was good once
	b.want(b.callAs(without, "GET", "/merchant/me", nil), 401)
	if f := b.want(b.callAs(token, "GET", "/factors", nil), 200); !strings.Contains(f.raw, `"name":"blue stick"`) || !strings.Contains(f.raw, `"relyingParty":"box.example"`) {
		t.Error(f.raw)
	}

	ask := func(ticket string) string {
		return challenge(t, b.want(b.callAs("", "POST", "/login/passkey/", asJSON(map[string]string{"ticket": ticket})), 200))
	}
	login := b.ticket("ada@example.org")
	b.want(b.second(login, "passkey", stick.get("bm8gY2hhbGxlbmdl")), 401) // before it was asked
	signed := stick.get(ask(login))
	in := b.want(b.second(login, "passkey", signed), 200)
	b.want(b.callAs(in.text("token"), "GET", "/users", nil), 200)
	login = b.ticket("ada@example.org")
	fresh := ask(login)
	b.want(b.second(login, "passkey", signed), 401) // of another login
	for name, spoil := range map[string]func(*authenticator){
		"another origin":     func(k *authenticator) { k.origin = "https://evil.test" },
		"another host":       func(k *authenticator) { k.host = "evil.test" },
		"another key":        func(k *authenticator) { k.key = newAuthenticator(t).key },
		"another credential": func(k *authenticator) { k.id = []byte(rand.Text()) },
		"a copy of it":       func(k *authenticator) { k.count = 0 },
	} {
		login := b.ticket("ada@example.org")
		bad := *stick
		spoil(&bad)
		if a := b.second(login, "passkey", bad.get(ask(login))); a.status != 401 {
			t.Errorf("%s: status %d", name, a.status)
		}
	}
	b.want(b.second(login, "passkey", stick.get(fresh)), 200)
	b.want(b.callAs("", "POST", "/login/passkey", `{"ticket":"x"}`), 401)
	b.want(b.callAs("", "POST", "/login/passkey", `{}`), 400)

	// A passkey is good for the host that it was made for.
	b.accounts(t, account.Config{BaseURL: "https://other.example"})
	b.want(b.callAs("", "POST", "/login/passkey/", asJSON(map[string]string{"ticket": b.ticket("ada@example.org")})), 409)
	id := made.body["passkey"].(map[string]any)["passkeyId"]
	b.want(b.callAs(token, "POST", "/factors/remove", asJSON(map[string]any{"password": password, "factor": id})), 200)
	if b.want(b.signIn("ada@example.org", password), 200).text("token") == "" {
		t.Error("a factor is asked for")
	}
}
