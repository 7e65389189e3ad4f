package api_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// frame is a picture of one colour, another one for each n.
func frame(c color.Color, n int) upload {
	img := image.NewNRGBA(image.Rect(0, 0, 32, 24))
	for i := range 32 * 24 {
		img.Set(i%32, i/32, c)
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, img, &jpeg.Options{Quality: 50 + n}) // into memory
	return upload{b.Bytes(), "image/jpeg"}
}

// sessionForm is the body of /upload-frame/, its parts in the order given.
func sessionForm(session string, f upload, fileFirst bool) upload {
	file := "--b\r\nContent-Disposition: form-data; name=\"frame\"; filename=\"../x [1].jpg\"\r\nContent-Type: " + f.contentType + "\r\n\r\n" + string(f.data) + "\r\n"
	field := "--b\r\nContent-Disposition: form-data; name=\"sessionId\"\r\n\r\n" + session + "\r\n"
	if fileFirst {
		field, file = file, field
	}
	return upload{[]byte(field + file + "--b--\r\n"), "multipart/form-data; boundary=b"}
}

// session begins a session and uploads frames of a colour.
func (b *box) session(user string, c color.Color, frames int) string {
	b.t.Helper()
	return b.sessionOf(user, store.ModePassive, c, frames)
}

func (b *box) sessionOf(user string, mode store.SessionMode, c color.Color, frames int) string {
	b.t.Helper()
	id := b.want(b.call("POST", "/start-liveness-session/", fmt.Sprintf(`{"userId":%q,"mode":%q}`, user, mode)), 200).text("sessionId")
	for n := range frames {
		b.want(b.call("POST", "/upload-frame/", sessionForm(id, frame(c, n), n%2 == 0)), 200)
	}
	return id
}

func body(session string) string { return `{"sessionId":"` + session + `"}` }

func TestALivenessSession(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	golden(t, b, "session.json", b.want(b.call("POST", "/start-liveness-session/", `{"userId":"`+id+`"}`), 200))
	session := b.session(id, red, 3)
	golden(t, b, "frame.json", b.want(b.call("POST", "/api/upload-frame", sessionForm(session, frame(red, 9), true)), 200))
	if a := b.want(b.call("GET", "/api/face-liveness/"+session+"/", nil), 200); a.text("status") != "IN_PROGRESS" || a.body["frames"] != 4.0 {
		t.Error(a.raw)
	}
	golden(t, b, "liveness-check.json", b.want(b.call("POST", "/check-liveness/", body(session)), 200))
	b.want(b.call("POST", "/check-liveness/", body(session)), 409)
	b.want(b.call("POST", "/upload-frame/", sessionForm(session, frame(red, 1), true)), 409)
	if a := b.want(b.call("GET", "/face-liveness/"+session, nil), 200); a.text("status") != "MATCHED" || a.body["confidence"] != 70.0 {
		t.Error(a.raw)
	}
	golden(t, b, "liveness-mismatch.json", b.want(b.call("POST", "/check-liveness/", body(b.session(id, blue, 3))), 200))

	match := func(user, session string) answer {
		return b.call("POST", "/match-liveness-face/", fmt.Sprintf(`{"userId":%q,"sessionId":%q}`, user, session))
	}
	golden(t, b, "liveness-match.json", b.want(match(id, b.session(id, red, 3)), 200))
	other := b.enrolled("Bea", blue)
	open := b.session(id, red, 3)
	b.want(match(other, open), 422) // another user's session
	b.want(match(strings.Repeat("a", 24), open), 404)
	b.want(match(id, open), 200)
}

func TestStepsOutOfOrder(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.register("Ada")
	b.want(b.call("POST", "/check-liveness/", body(b.session(id, red, 0))), 422)
	b.want(b.call("POST", "/check-liveness/", body(b.session(id, red, 2))), 422)
	b.want(b.call("POST", "/check-liveness/", body(b.session(id, red, 3))), 422) // no source image yet
	session := b.session(id, red, 1)
	b.want(b.call("POST", "/upload-frame/", sessionForm(session, jpegOf(nobody), true)), 422)
	b.want(b.call("POST", "/upload-frame/", sessionForm(session, jpegOf(crowd), true)), 422)
	b.want(b.call("POST", "/upload-frame/", sessionForm(session, upload{[]byte("x"), "image/jpeg"}, true)), 406)
	b.want(b.call("POST", "/upload-frame/", sessionForm(session, upload{jpegOf(red).data, "image/gif"}, true)), 406)
	b.want(b.call("POST", "/upload-frame/", sessionForm("7", jpegOf(red), true)), 400)
	b.want(b.call("POST", "/upload-frame/", form("frame", jpegOf(red))), 400)
	b.want(b.call("POST", "/upload-frame/", sessionForm("1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff", jpegOf(red), true)), 404)
	b.want(b.call("POST", "/start-liveness-session/", `{"userId":"7","mode":"never"}`), 400)
	b.want(b.call("POST", "/start-liveness-session/", `{"userId":"`+strings.Repeat("a", 24)+`"}`), 404)
	for n := range liveness.MaxFrames - 1 {
		b.want(b.call("POST", "/upload-frame/", sessionForm(session, frame(red, n%45), true)), 200)
	}
	b.want(b.call("POST", "/upload-frame/", sessionForm(session, frame(red, 40), true)), 422) // too many
	b.now = b.now.Add(180 * time.Second)
	b.want(b.call("POST", "/check-liveness/", body(session)), 422)
	b.want(b.call("POST", "/upload-frame/", sessionForm(session, jpegOf(red), true)), 422)
	if a := b.want(b.call("GET", "/face-liveness/"+session, nil), 200); a.text("status") != "EXPIRED" {
		t.Error(a.raw)
	}
	_, stranger := b.newMerchant("Other", auth.Scopes()...)
	b.want(b.callAs("Bearer "+stranger, "GET", "/face-liveness/"+session, nil), 404)
	b.want(b.callAs("Bearer "+stranger, "POST", "/check-liveness/", body(session)), 404)
}

func TestTheSameFrameAgainIsNoProofOfLife(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	session := b.session(id, red, 2)
	b.want(b.call("POST", "/upload-frame/", sessionForm(session, frame(red, 1), true)), 200)
	a := b.want(b.call("POST", "/check-liveness/", body(session)), 200)
	if a.body["livenessSuccess"] != false || a.body["faceMatch"] != false || !strings.Contains(a.text("hint"), "anew") || !strings.Contains(a.raw, `"Status":"FAILED"`) {
		t.Error(a.raw)
	}
}

// In production a passive session is not enough, unless the merchant says so.
func TestPassiveSessionsInProduction(t *testing.T) {
	b := newBox(t, store.Production)
	id := b.enrolled("Ada", red)
	a := b.want(b.call("POST", "/match-liveness-face/", fmt.Sprintf(`{"userId":%q,"sessionId":%q}`, id, b.session(id, red, 3))), 200)
	if a.body["match"] != false || a.body["livenessSuccess"] != false || !strings.Contains(a.text("hint"), "active") {
		t.Error(a.raw)
	}
	b.update(func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, b.merchant)
		if err != nil {
			return err
		}
		m.Policy.PassiveLiveness = true
		return store.Put(tx, &m)
	})
	if a := b.want(b.call("POST", "/check-liveness/", body(b.session(id, red, 3))), 200); a.body["faceMatch"] != true {
		t.Error(a.raw)
	}
}

func TestAnActiveSessionHasAChallenge(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	orders := map[string]bool{}
	for range 200 {
		a := b.want(b.call("POST", "/api/face-liveness/start/", `{"userId":"`+id+`","mode":"active"}`), 200)
		words := fmt.Sprint(a.body["challenge"])
		orders[words] = true
		if !strings.HasPrefix(words, "[center ") || !strings.Contains(words, "left") || !strings.Contains(words, "right") || a.body["minFrames"] != 10.0 {
			t.Fatal(a.raw)
		}
	}
	if len(orders) != 18 { // that one of them is missing has a chance of 2 in 10,000
		t.Errorf("%d challenges %v", len(orders), orders)
	}
}

// A session belongs to the credential that began it, and a camera's frames to one box.
func TestASessionBelongsToWhoBeganIt(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	session := b.session(id, red, 3)
	second, key := b.auth.NewKey(b.merchant, "second", store.RoleIntegrator, auth.Scopes()...)
	b.update(func(tx *store.Tx) error { return store.Put(tx, &key) })
	b.want(b.callAs("Bearer "+second, "POST", "/upload-frame/", sessionForm(session, frame(red, 9), true)), 403)
	b.want(b.callAs("Bearer "+second, "POST", "/check-liveness/", body(session)), 403)
	camera := b.session(id, red, 0)
	b.faces.sees = red
	b.want(b.call("POST", "/api/capture/", `{"purpose":"frame","sessionId":"`+camera+`"}`), 200)
	b.update(func(tx *store.Tx) error { // as if that had been another box of the fleet
		s, err := store.Get[store.Session](tx, store.SessionID(camera))
		if err != nil {
			return err
		}
		s.Source = "camera:elsewhere"
		return store.Put(tx, &s)
	})
	b.want(b.call("POST", "/api/capture/", `{"purpose":"frame","sessionId":"`+camera+`"}`), 422)
	token := b.want(b.accessToken(b.merchant, b.apiKey), 200).text("token")
	b.want(b.callAs(token, "POST", "/check-liveness/", body(session)), 200) // a token of the key is the key's
}

// Five failures within three minutes lock a person's sessions, open ones as well, and
// those of nobody else.
func TestFailuresLockAPersonsSessions(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id, other := b.enrolled("Ada", red), b.enrolled("Bea", blue)
	fail := func() answer {
		session := b.session(id, red, 2)
		b.want(b.call("POST", "/upload-frame/", sessionForm(session, frame(red, 1), true)), 200)
		return b.want(b.call("POST", "/check-liveness/", body(session)), 200)
	}
	open := b.session(id, red, 3)
	for range 5 {
		if a := fail(); a.body["livenessSuccess"] != false {
			t.Fatal(a.raw)
		}
	}
	a := b.want(b.call("POST", "/start-liveness-session/", fmt.Sprintf(`{"userId":%q}`, id)), 429)
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.want(b.call("POST", "/check-liveness/", body(open)), 429)
	b.session(other, blue, 3)

	// How many and for how long is the merchant's to say, and holds at once.
	owner := b.login()
	for _, bad := range []string{`{"livenessLockAfter":0}`, `{"livenessLockSeconds":0}`, `{"livenessLockSeconds":3421}`} {
		b.want(b.callAs(owner, "PUT", "/merchant/policy/", bad), 400)
	}
	b.want(b.callAs(owner, "PUT", "/merchant/policy/", `{"livenessLockAfter":6}`), 200)
	b.session(id, red, 3)
	a = b.want(b.callAs(owner, "PUT", "/merchant/policy/", `{"livenessLockAfter":2,"livenessLockSeconds":3420}`), 200)
	if p := policyOf(a); p["livenessLockAfter"] != 2. || p["livenessLockSeconds"] != 3420. {
		t.Errorf("policy %s", a.raw)
	}
	b.now = b.now.Add(50 * time.Minute)
	b.want(b.call("POST", "/start-liveness-session/", fmt.Sprintf(`{"userId":%q}`, id)), 429)
	if e := b.lastEvent(store.EventAccess); !slices.Contains(e.Reasons, "livenessLockSeconds 300 to 3420") {
		t.Errorf("on record: %q", e.Reasons)
	}
}

func TestSessionsAreSweptAway(t *testing.T) {
	b := newBox(t, store.Sandbox)
	session := b.session(b.enrolled("Ada", red), red, 3)
	gone := func() bool { return b.call("GET", "/face-liveness/"+session, nil).status == 404 }
	b.now = b.now.Add(30 * time.Minute)
	if b.sweep(200*time.Millisecond, gone) {
		t.Error("a session of half an hour ago is gone")
	}
	b.now = b.now.Add(time.Hour)
	if !b.sweep(time.Minute, gone) {
		t.Error("a session of an hour and a half ago is there")
	}
}
