package api_test

import (
	"fmt"
	"image/color"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/store"
)

// door makes a door, with or without a second factor, and returns its id.
func (b *box) door(second bool) store.DoorID {
	b.t.Helper()
	site := store.Site{ID: store.NewID[store.SiteID](b.now), Merchant: b.merchant, Name: "House"}
	d := store.Door{ID: store.NewID[store.DoorID](b.now), Merchant: b.merchant, Site: site.ID, Name: "Front", Policy: store.DoorPolicy{SecondFactor: second}}
	b.update(func(tx *store.Tx) error {
		if err := store.Put(tx, &site); err != nil {
			return err
		}
		return store.Put(tx, &d)
	})
	return d.ID
}

func (b *box) grant(user string, d store.DoorID) {
	b.t.Helper()
	g := store.Grant{ID: store.NewID[store.GrantID](b.now), Merchant: b.merchant, Person: store.PersonID(user), Door: d}
	b.update(func(tx *store.Tx) error { return store.Put(tx, &g) })
}

// give gives a credential and returns its id, and what a code says.
func (b *box) give(user, body string) (id, value string) {
	b.t.Helper()
	a := b.want(b.call("POST", "/users/"+user+"/credentials/", body), 201)
	return a.body["credential"].(map[string]any)["credentialId"].(string), a.text("value")
}

// show shows a credential.
func (b *box) show(body string) answer {
	b.t.Helper()
	return b.want(b.call("POST", "/api/credential/verify/", body), 200)
}

func TestCredentials(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.register("Ada")
	_, code := b.give(ada, `{"type":"qr","label":"badge","expiresAt":"2026-05-02T12:00:00Z"}`)
	card, _ := b.give(ada, `{"type":"card","value":"04:a2-1815 77"}`)
	pin, _ := b.give(ada, `{"type":"pin","value":"270182"}`)
	if !strings.HasPrefix(code, "CFQ1.") || len(code) < 30 {
		t.Errorf("code %q", code)
	}
	byPIN := func(value string) string { return `{"type":"pin","value":"` + value + `","userId":"` + ada + `"}` }
	for name, tt := range map[string]struct {
		body string
		good bool
	}{
		"code": {`{"type":"qr","value":"` + code + `"}`, true}, "another code": {`{"type":"qr","value":"` + code + `x"}`, false},
		"card": {`{"type":"card","value":"04A2181577"}`, true}, "another card": {`{"type":"card","value":"04A2181578"}`, false},
		"a card as a code": {`{"type":"qr","value":"04A2181577"}`, false},
		"PIN":              {byPIN("270182"), true}, "wrong PIN": {byPIN("270183"), false},
		"PIN of nobody":          {`{"type":"pin","value":"270182","userId":"` + strings.Repeat("a", 24) + `"}`, false},
		"PIN by an unknown name": {`{"type":"pin","value":"270182","externalId":"nobody"}`, false},
	} {
		a := b.show(tt.body)
		if a.body["verified"] != tt.good || (a.text("userId") == ada) != tt.good {
			t.Errorf("%s: %s", name, a.raw)
		}
	}
	if e := b.lastEvent(store.EventDecision); e.Action != "credential" {
		t.Errorf("event %+v", e)
	}
	// Nothing that opens is shown again or kept.
	list := b.want(b.call("GET", "/users/"+ada+"/credentials/", nil), 200)
	for _, secret := range []string{code, "181577", "270182", "hash"} {
		if strings.Contains(list.raw, secret) {
			t.Errorf("the list shows %s: %s", secret, list.raw)
		}
	}
	// A new PIN takes the place of the old one; a revoked card opens nothing; a code expires.
	b.give(ada, `{"type":"pin","value":"314159"}`)
	b.want(b.call("DELETE", "/users/"+ada+"/credentials/"+card, nil), 200)
	b.want(b.call("DELETE", "/users/"+ada+"/credentials/"+pin, nil), 404)
	b.now = b.now.Add(25 * time.Hour)
	for _, body := range []string{byPIN("270182"), `{"type":"card","value":"04A2181577"}`} {
		if a := b.show(body); a.body["verified"] != false {
			t.Errorf("%s: %s", body, a.raw)
		}
	}
	b.give(ada, `{"type":"card","value":"04A2181577"}`) // free again
	bob := b.register("Bob")
	if a := b.want(b.call("POST", "/users/"+bob+"/credentials/", `{"type":"card","value":"04a2 1815 77"}`), 409); !strings.Contains(a.raw, "value") {
		t.Errorf("a card of two: %s", a.raw)
	}
}

func TestCredentialsRefuse(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.register("Ada")
	for body, field := range map[string]string{
		`{"type":"pin","value":"12345"}`: "value", `{"type":"pin","value":"12345678901"}`: "value", `{"type":"pin","value":"12345a"}`: "value",
		`{"type":"pin","value":"111111"}`: "value", `{"type":"pin","value":"345678"}`: "value", `{"type":"pin","value":"876543"}`: "value", `{"type":"pin","value":"890123"}`: "value",
		`{"type":"card","value":"1"}`: "value", `{"type":"card","value":"1234\u0007"}`: "value", `{"type":"qr","value":"mine"}`: "value",
		`{"type":"voice","value":"1234"}`: "type", `{"type":"qr","expiresAt":"2020-01-01T00:00:00Z"}`: "expiresAt", `{"type":"qr","label":"` + strings.Repeat("x", 101) + `"}`: "label",
	} {
		if a := b.want(b.call("POST", "/users/"+ada+"/credentials/", body), 400); !strings.Contains(a.raw, fmt.Sprintf(`"field":%q`, field)) {
			t.Errorf("%s: %s", body, a.raw)
		}
	}
	for _, body := range []string{
		`{}`, `{"type":"pin","value":"270182"}`, `{"type":"pin","value":"270182","userId":"x"}`, `{"type":"pin","value":"270182","userId":"` + ada + `","externalId":"x"}`,
		`{"type":"card","value":"1234","userId":"` + ada + `"}`, `{"type":"card","value":"1234","doorId":"x"}`, `{"type":"card","value":"1234","imageData":"%"}`,
		`{"type":"card","value":"1234","sessionId":"x"}`, `{"type":"card","value":"1234","sessionId":"` + string(store.NewUUID[store.SessionID]()) + `","imageData":"` + base64Of(jpegOf(red)) + `"}`,
		`{"type":"card","value":"` + strings.Repeat("1", 201) + `"}`,
	} {
		b.want(b.call("POST", "/credential/verify/", body), 400)
	}
	b.want(b.call("POST", "/credential/verify/", `{"type":"card","value":"1234","doorId":"`+strings.Repeat("a", 24)+`"}`), 404)
	for range 20 {
		b.give(ada, `{"type":"qr"}`)
	}
	b.want(b.call("POST", "/users/"+ada+"/credentials/", `{"type":"qr"}`), 409)
}

// A PIN is locked after five wrong ones in a row, for longer each time, and a
// restart changes nothing. Whoever tries is told the same throughout.
func TestPINsLock(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.register("Ada")
	pin, _ := b.give(ada, `{"type":"pin","value":"270182"}`)
	shown := func(value string) bool {
		t.Helper()
		a := b.show(`{"type":"pin","value":"` + value + `","userId":"` + ada + `"}`)
		if a.body["verified"] == false && a.text("message") != "Credential not accepted." {
			t.Errorf("tells too much: %s", a.raw)
		}
		return a.body["verified"] == true
	}
	locked := func() bool {
		list := b.want(b.call("GET", "/users/"+ada+"/credentials/", nil), 200).body["credentials"].([]any)
		until, _ := list[0].(map[string]any)["lockedUntil"].(string)
		at, _ := time.Parse(time.RFC3339, until)
		return at.After(b.now)
	}
	for range 4 {
		shown("000001")
	}
	if !shown("270182") || locked() {
		t.Fatal("four wrong ones and a right one lock")
	}
	for range 5 {
		shown("000001")
	}
	if !locked() || shown("270182") {
		t.Fatal("five wrong ones in a row do not lock")
	}
	b.restart()
	if shown("270182") {
		t.Error("a restart unlocks")
	}
	b.wait(16 * time.Minute)
	for range 5 {
		shown("000001")
	}
	b.wait(16 * time.Minute)
	if !locked() || shown("270182") {
		t.Error("the second lock is no longer than the first")
	}
	b.want(b.call("POST", "/users/"+ada+"/credentials/"+pin+"/unlock/", nil), 200)
	if !shown("270182") {
		t.Error("an operator cannot unlock it")
	}
}

// One caller who guesses is stopped, whatever he guesses.
func TestGuessingCredentials(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.register("Ada")
	b.give(ada, `{"type":"card","value":"04A2181577"}`)
	for n := range 30 {
		b.show(fmt.Sprintf(`{"type":"card","value":"%06d"}`, n))
	}
	a := b.want(b.call("POST", "/credential/verify/", `{"type":"card","value":"04A2181577"}`), 429)
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.now = b.now.Add(3 * time.Second)
	b.show(`{"type":"card","value":"04A2181577"}`)
}

// At a door the grants decide, as for a face; who declined passes by the credential
// alone, and where the door wants the face besides, the others do not.
func TestCredentialsAtDoors(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada, bob := b.enrolled("Ada", red), b.register("Bob") // Bob declined
	b.give(ada, `{"type":"card","value":"ADA1"}`)
	b.give(bob, `{"type":"card","value":"BOB1"}`)
	plain, alive, strict := b.door(false), b.door(true), b.door(true)
	passive, owner := b.door(true), b.login()
	for d, asked := range map[store.DoorID]string{strict: "off", passive: "passive"} {
		b.want(b.callAs(owner, "PUT", "/doors/"+string(d)+"/", `{"policy":{"liveness":"`+asked+`"}}`), 200)
	}
	picture := func(c color.Color) string { return `,"imageData":"` + base64Of(jpegOf(c)) + `"` }
	session := func(mode store.SessionMode, c color.Color) string {
		return `,"sessionId":"` + b.sessionOf(ada, mode, c, liveness.MinActiveFrames) + `"`
	}
	at := func(card string, d store.DoorID, face string) answer {
		t.Helper()
		return b.show(`{"type":"card","value":"` + card + `","doorId":"` + string(d) + `"` + face + `}`)
	}
	for _, tt := range []struct {
		name    string
		card    string
		door    store.DoorID
		face    string
		granted any
		reason  string
		outcome store.Outcome
	}{
		{"no grant yet", "ADA1", plain, "", false, "no_grant", store.OutcomeDenied},
		{"granted", "ADA1", plain, "", true, "", store.OutcomeGranted},
		{"granted, who declined", "BOB1", plain, "", true, "", store.OutcomeGranted},
		{"the face is wanted", "ADA1", strict, "", false, "face_wanted", store.OutcomeDenied},
		{"the right face", "ADA1", strict, picture(red), true, "", store.OutcomeGranted},
		{"another face", "ADA1", strict, picture(blue), false, "unknown_face", store.OutcomeDenied},
		{"a picture is no proof of life", "ADA1", alive, picture(red), false, "no_liveness", store.OutcomeDenied},
		{"a passive session is too little", "ADA1", alive, session(store.ModePassive, red), false, "no_liveness", store.OutcomeDenied},
		{"an active session", "ADA1", alive, session(store.ModeActive, red), true, "", store.OutcomeGranted},
		{"a passive session", "ADA1", passive, session(store.ModePassive, red), true, "", store.OutcomeGranted},
		{"a session of another face", "ADA1", passive, session(store.ModePassive, blue), false, "unknown_face", store.OutcomeDenied},
		{"who declined has none", "BOB1", strict, "", true, "", store.OutcomeGranted},
		{"an unknown card", "EVE1", plain, "", nil, "", store.OutcomeNoMatch},
	} {
		a := at(tt.card, tt.door, tt.face)
		if a.body["granted"] != tt.granted || tt.reason != "" && !strings.Contains(a.raw, tt.reason) {
			t.Errorf("%s: %s", tt.name, a.raw)
		}
		if e := b.lastEvent(store.EventDecision); e.Door != tt.door || e.Outcome != tt.outcome || e.Action != "credential" {
			t.Errorf("%s: event %+v", tt.name, e)
		}
		if tt.name == "no grant yet" {
			for _, u := range []string{ada, bob} {
				b.grant(u, plain)
				b.grant(u, strict)
				b.grant(u, alive)
				b.grant(u, passive)
			}
		}
	}
	if left := b.held(store.PersonID(bob)); left[store.KindCrop]+left[store.KindTemplate]+left[store.KindImage] != 0 {
		t.Errorf("biometrics of who declined: %v", left)
	}
}
