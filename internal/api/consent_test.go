package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// text makes a consent text and returns its id.
func (b *box) text(version, language string) string {
	b.t.Helper()
	a := b.want(b.callAs(b.login(), "POST", "/consent-texts/", fmt.Sprintf(`{"version":%q,"language":%q,"text":"I agree (%s)."}`, version, language, version)), 201)
	return a.body["consentText"].(map[string]any)["textId"].(string)
}

func TestConsentTexts(t *testing.T) {
	b := newBox(t, store.Sandbox)
	owner := b.login()
	one, two, german := b.text("2026-1", "en"), b.text("2026-2", "en"), b.text("2026-2", "de")
	current := func(query string, status int) string {
		t.Helper()
		text, _ := b.want(b.call("GET", "/consent-texts/current/"+query, nil), status).body["consentText"].(map[string]any)
		id, _ := text["textId"].(string)
		return id
	}
	if current("?language=en", 200) != two || current("?language=DE", 200) != german {
		t.Error("the newest of a language is not the current one")
	}
	current("?language=fr", 404)
	shown := b.want(b.call("GET", "/consent-texts/"+one, nil), 200).body["consentText"].(map[string]any)
	if shown["text"] != "I agree (2026-1)." || shown["sha256"] != store.HashText("I agree (2026-1).") {
		t.Errorf("text %v", shown)
	}
	for body, field := range map[string]string{
		`{"version":"2026-1","language":"en","text":"other words"}`: "version", // it is never changed
		`{"version":"","language":"en","text":"x"}`:                 "version",
		`{"version":"3","language":"e n","text":"x"}`:               "language",
		`{"version":"3","language":"en","text":"  "}`:               "text",
		`{"version":"3","language":"en","text":"x","by":"me"}`:      "by",
	} {
		a := b.callAs(owner, "POST", "/consent-texts/", body)
		if a.status != 400 && a.status != 409 || !strings.Contains(a.raw, fmt.Sprintf(`"field":%q`, field)) {
			t.Errorf("%s: %d %s", body, a.status, a.raw)
		}
	}
	b.want(b.call("POST", "/consent-texts/", `{"version":"3","language":"en","text":"x"}`), 403) // a key may not

	// What nobody agreed to may go; what somebody agreed to is retired.
	ada := b.register("Ada")
	b.want(b.call("POST", "/users/"+ada+"/consents/", `{"textId":"`+two+`"}`), 201)
	b.want(b.callAs(owner, "DELETE", "/consent-texts/"+one, nil), 200)
	b.want(b.callAs(owner, "DELETE", "/consent-texts/"+two, nil), 409)
	b.want(b.callAs(owner, "POST", "/consent-texts/"+two+"/retire/", nil), 200)
	current("?language=en", 404)
	if a := b.want(b.call("POST", "/users/"+ada+"/consents/", `{"textId":"`+two+`"}`), 422); !strings.Contains(a.raw, "retired") {
		t.Error(a.raw)
	}
	if a := b.want(b.call("GET", "/consent-texts/?current=true", nil), 200); strings.Contains(a.raw, two) || !strings.Contains(a.raw, german) || strings.Contains(a.raw, "I agree") {
		t.Errorf("current texts: %s", a.raw)
	}
	if a := b.want(b.call("GET", "/users/"+ada+"/consents/", nil), 200); a.body["mayEnrol"] != true {
		t.Errorf("who agreed to a text that is retired since: %s", a.raw)
	}
}

// In production nobody is enrolled who has not agreed; the sandbox asks only where
// the merchant says so.
func TestEnrolmentWantsConsent(t *testing.T) {
	for _, tt := range []struct {
		name   string
		env    store.Environment
		policy string
		want   int
	}{
		{"production", store.Production, "", 422},
		{"production without", store.Production, `{"requireConsent":false}`, 200},
		{"sandbox", store.Sandbox, "", 200},
		{"sandbox with", store.Sandbox, `{"requireConsent":true}`, 422},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t, tt.env)
			if tt.policy != "" {
				b.want(b.callAs(b.login(), "PUT", "/merchant/policy/", tt.policy), 200)
			}
			ada := b.register("Ada")
			a := b.want(b.put(b.link(ada, "upload"), jpegOf(red)), tt.want)
			if tt.want != 422 {
				return
			}
			if !strings.Contains(a.raw, `"field":"consent"`) || !strings.Contains(a.raw, "/consents/") {
				t.Errorf("no hint: %s", a.raw)
			}
			text := b.text("1", "en")
			given := b.want(b.call("POST", "/users/"+ada+"/consents/", `{"version":"1","language":"en","through":"kiosk","givenAt":"2026-05-01T10:00:00Z"}`), 201)
			c := given.body["consent"].(map[string]any)
			if c["textId"] != text || c["through"] != "kiosk" || c["givenAt"] != "2026-05-01T10:00:00Z" || c["sha256"] != store.HashText("I agree (1).") ||
				c["recordedBy"].(map[string]any)["kind"] != "key" {
				t.Errorf("consent %v", c)
			}
			b.want(b.put(b.link(ada, "upload"), jpegOf(red)), 200)
			if e := b.lastEvent(store.EventConsent); e.Action != store.ActionGiven || string(e.Person) != ada || !strings.Contains(strings.Join(e.Reasons, " "), c["sha256"].(string)) {
				t.Errorf("event %+v", e)
			}
		})
	}
}

// lastEvent is the newest of a kind.
func (b *box) lastEvent(k store.EventKind) (e store.Event) {
	b.t.Helper()
	err := b.store.View(context.Background(), func(tx *store.Tx) error {
		page, err := store.List(tx, store.EventsByMerchant, store.Query[store.Event]{Prefix: []store.Term{store.Plain(b.merchant), store.Plain(k)}, Reverse: true, Limit: 1})
		if err == nil && len(page.Items) == 0 {
			err = errors.New("no such event")
		}
		if err == nil {
			e = page.Items[0]
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

func TestConsentRefuses(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.register("Ada")
	text := b.text("1", "en")
	for body, status := range map[string]int{
		`{}`:                              400,
		`{"textId":"x"}`:                  400,
		`{"textId":"` + ada + `"}`:        404,
		`{"version":"1"}`:                 400,
		`{"version":"2","language":"en"}`: 404,
		`{"textId":"` + text + `","version":"1","language":"en"}`:    400,
		`{"textId":"` + text + `","through":"rumour"}`:               400,
		`{"textId":"` + text + `","givenAt":"2090-01-01T00:00:00Z"}`: 400,
		`{"textId":"` + text + `","givenAt":"1970-01-01T00:00:00Z"}`: 400,
		`{"textId":"` + text + `","givenAt":"yesterday"}`:            400,
	} {
		if a := b.call("POST", "/users/"+ada+"/consents/", body); a.status != status {
			t.Errorf("%s: %d %s", body, a.status, a.raw)
		}
	}
	b.want(b.call("POST", "/users/"+ada+"/consents/withdraw", `{}`), 400)
	b.want(b.call("POST", "/users/"+ada+"/consents/withdraw", `{"keepUser":true,"through":"x"}`), 400)
	b.want(b.call("POST", "/users/"+strings.Repeat("a", 24)+"/consents/withdraw", `{"keepUser":true}`), 404)
}

// receipt fetches a receipt and verifies it without the box.
func (b *box) receipt(id string) audit.Receipt {
	b.t.Helper()
	a := b.want(b.call("GET", "/api/erasures/"+id+"/", nil), 200)
	var out struct{ Receipt json.RawMessage }
	if err := json.Unmarshal([]byte(a.raw), &out); err != nil {
		b.t.Fatal(err)
	}
	r, c, err := audit.VerifyReceipt(out.Receipt, b.journal.Key())
	if err != nil || c.Size < r.Seq {
		b.t.Fatalf("receipt: %v\n%s", err, out.Receipt)
	}
	return r
}

func TestWithdrawal(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.text("1", "en")
	agree := func(id string) {
		t.Helper()
		b.want(b.call("POST", "/users/"+id+"/consents/", `{"version":"1","language":"en"}`), 201)
	}
	ada := b.register("Ada")
	agree(ada)
	b.want(b.put(b.link(ada, "upload"), jpegOf(red)), 200)
	b.furnish(store.PersonID(ada))
	session := b.session(ada, red, 3)

	// The face goes, the person stays.
	a := b.want(b.call("POST", "/users/"+ada+"/consents/withdraw/", `{"keepUser":true,"through":"kiosk"}`), 200)
	if u := b.want(b.call("GET", "/users/"+ada, nil), 200).body["user"].(map[string]any); u["status"] != "suspended" || u["enrolledAt"] != nil {
		t.Errorf("user %v", u)
	}
	b.want(b.call("POST", "/check-liveness", body(session)), 404)
	b.want(b.call("GET", "/image/"+ada, nil), 404)
	r := b.receipt(a.text("erasureId"))
	if r.Whole || string(r.Person) != ada || r.Erased["crop"] != 1 || r.Erased["template"] != 1 || r.Erased["session"] != 2 || r.Erased["person"] != 0 || len(r.Copies) == 0 {
		t.Errorf("receipt %+v", r)
	}
	if left := b.held(store.PersonID(ada)); left[store.KindCrop]+left[store.KindTemplate]+left[store.KindImage]+left[store.KindSession]+left[store.KindTicket] != 0 || left[store.KindConsent] != 2 || left[store.KindGrant] != 1 {
		t.Errorf("left: %v", left)
	}
	c := b.want(b.call("GET", "/users/"+ada+"/consents/", nil), 200)
	if one := c.body["consents"].([]any)[0].(map[string]any); c.body["mayEnrol"] != false || one["valid"] != false || one["withdrawnThrough"] != "kiosk" || one["withdrawnAt"] == nil {
		t.Errorf("consents %s", c.raw)
	}
	// The sandbox asks for no consent, and still he took his back.
	b.want(b.put(b.link(ada, "upload"), jpegOf(red)), 422)
	b.want(b.call("POST", "/users/"+ada+"/consents/withdraw/", `{"keepUser":true}`), 200) // again
	agree(ada)
	b.want(b.put(b.link(ada, "upload"), jpegOf(red)), 200)

	// The whole person.
	a = b.want(b.call("POST", "/users/"+ada+"/consents/withdraw/", `{"keepUser":false}`), 200)
	b.want(b.call("GET", "/users/"+ada, nil), 404)
	if r := b.receipt(a.text("erasureId")); !r.Whole || string(r.Person) != ada || r.Erased["person"] != 1 || r.Erased["consent"] != 3 {
		t.Errorf("receipt %+v", r)
	}

	// Nobody recorded that he ever agreed: it is his right all the same.
	bob := b.enrolled("Bob", blue)
	b.want(b.call("POST", "/users/"+bob+"/consents/withdraw/", `{"keepUser":true}`), 200)
	b.want(b.put(b.link(bob, "upload"), jpegOf(blue)), 422)
}

func TestReceipts(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.enrolled("Adalbertine", red)
	b.furnish(store.PersonID(ada))
	id := b.want(b.call("DELETE", "/users/"+ada, nil), 200).text("erasureId")
	r := b.receipt(id)
	if !r.Whole || r.Erased["person"] != 1 || r.Erased["grant"] != 1 || r.Box == "" {
		t.Errorf("receipt %+v", r)
	}
	raw := b.want(b.call("GET", "/erasures/"+id, nil), 200).raw
	if strings.Contains(raw, "Adalbertine") || strings.Contains(raw, "ada@") {
		t.Errorf("it tells more than the id: %s", raw)
	}
	b.register("Later") // the log goes on, and the receipt is still given
	if again := b.receipt(id); again.Seq != r.Seq {
		t.Errorf("again: %+v", again)
	}
	// Whatever is changed in it shows.
	for what, change := range map[string]func(*audit.Receipt){
		"nothing": func(*audit.Receipt) {},
		"person":  func(r *audit.Receipt) { r.Person = store.PersonID(strings.Repeat("a", 24)) },
		"counts":  func(r *audit.Receipt) { r.Erased["crop"] = 7 },
		"copies":  func(r *audit.Receipt) { r.Copies = r.Copies[:0] },
		"note":    func(r *audit.Receipt) { r.Note = "x" },
		"event":   func(r *audit.Receipt) { r.Proof.Event = json.RawMessage(`{"seq":1}`) },
	} {
		one := b.receipt(id)
		change(&one)
		forged, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := audit.VerifyReceipt(forged, b.journal.Key()); (err == nil) != (what == "nothing") {
			t.Errorf("%s changed: %v", what, err)
		}
	}
	for _, bad := range []string{"x", "1", "1-", "-1", "1-0", "0-1", "1-99999999999999999999"} {
		b.want(b.call("GET", "/erasures/"+bad, nil), 400)
	}
	b.want(b.call("GET", "/erasures/1-1", nil), 404) // an event of another kind
	b.want(b.call("GET", "/erasures/1-100000", nil), 404)
	_, other := b.newMerchant("Other", auth.Scopes()...)
	b.want(b.callAs("Bearer "+other, "GET", "/erasures/"+id, nil), 404)
}

func TestPolicy(t *testing.T) {
	b := newBox(t, store.Production)
	owner := b.login()
	p := b.want(b.callAs(owner, "GET", "/api/merchant/policy/", nil), 200).body["policy"].(map[string]any)
	if p["requireConsent"] != true || p["fmr"] != 1e-4 {
		t.Errorf("defaults %v", p)
	}
	p = b.want(b.callAs(owner, "PUT", "/merchant/policy", `{"requireConsent":false,"fmr":1e-5}`), 200).body["policy"].(map[string]any)
	if p["requireConsent"] != false || p["fmr"] != 1e-5 {
		t.Errorf("changed %v", p)
	}
	if e := b.lastEvent(store.EventAccess); e.Action != "policy_change" || !strings.Contains(strings.Join(e.Reasons, ";"), "requireConsent true to false") {
		t.Errorf("event %+v", e)
	}
	for _, bad := range []string{`{"fmr":0.5}`, `{"fmr":"x"}`, `{"requireConsent":1}`, `{"colour":"red"}`} {
		b.want(b.callAs(owner, "PUT", "/merchant/policy", bad), 400)
	}
	b.want(b.call("PUT", "/merchant/policy", `{"requireConsent":false}`), 403)
}
