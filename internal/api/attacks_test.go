//go:build cgo

package api_test

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/attack"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
)

// recognise puts real networks into the box, those of the pack for which liveness is
// calibrated.
func (b *box) recognise() {
	t := b.t
	packs, err := models.Installed("../../.deps/packs")
	at := slices.IndexFunc(packs, func(p *models.Pack) bool { return p.Name == "standard" })
	if at < 0 {
		t.Skipf("the pack standard is not installed: %v", err)
	}
	eng, networks, err := tflite.OpenEngine(packs[at], tflite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	service, err := verify.New(t.Context(), verify.Config{Store: b.store, Pack: "standard", Engine: eng, Calibration: &packs[at].Calibration})
	if err != nil {
		t.Fatal(err)
	}
	a, err := api.New(api.Config{Store: b.store, Authority: b.auth, Verifier: service, Detector: eng, Audit: b.journal, Version: "test",
		Status: func() api.Status { return b.status }, Clock: func() time.Time { return b.now }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(a.Public())
	b.url = server.URL
	t.Cleanup(func() { server.Close(); a.Close(); service.Close(); networks.Close() })
}

func photograph(t *testing.T, img image.Image) upload {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return upload{b.Bytes(), "image/jpeg"}
}

// asked begins sessions until one asks for the moves of a film: which, nobody can
// choose.
func (b *box) asked(user string, moves []liveness.Move) (session string) {
	b.t.Helper()
	mode, want := store.ModePassive, "[]"
	if len(moves) > 0 {
		mode, want = store.ModeActive, fmt.Sprint(moves)
	}
	for range 2000 { // of 18 challenges
		a := b.want(b.call("POST", "/start-liveness-session/", fmt.Sprintf(`{"userId":%q,"mode":%q}`, user, mode)), 200)
		if fmt.Sprint(a.body["challenge"]) == want {
			return a.text("sessionId")
		}
	}
	b.t.Fatalf("no session asks for %s", want)
	return ""
}

// presented is a session of a film, uploaded at the pace at which it was taken.
func (b *box) presented(user string, film []attack.Frame, moves []liveness.Move) (session string) {
	b.t.Helper()
	session = b.asked(user, moves)
	begun := b.now
	for i, f := range film {
		b.now = begun.Add(f.At)
		// Where no face is seen, that is said, and the client goes on.
		if a := b.call("POST", "/upload-frame/", sessionForm(session, photograph(b.t.(*testing.T), f.Image), i%2 == 0)); a.status != 200 && a.status != 422 {
			b.t.Fatalf("frame %d: %s", i, a.raw)
		}
	}
	return session
}

// Over HTTP, by the vendor's flows: somebody alive passes, and each species of attack
// that docs/liveness.md knows fails, some in a passive session, which is shorter, the
// others though they answer the challenge. Mode and seed of each are some at which it
// does fail: at others some pass. How often is for eval-pad to say, not for this test.
func TestAttacksFailAndLifePasses(t *testing.T) {
	if testing.Short() {
		t.Skip("renders for a minute")
	}
	b := newBox(t, store.Sandbox)
	b.recognise()
	pool := attack.Tuning(48)
	var studio attack.Studio
	user := b.register("Ada")
	b.want(b.put(b.want(b.link(user, "upload"), 200), photograph(t, studio.Portraits(pool.Victim(0))[0])), 200)
	shown := func(s attack.Species, active bool) (session string) {
		a := pool.Attempt(s, 0, active)
		if kind := s.Kind(); active && (kind == "display" || kind == "close-up") { // recordings are dear, and these share theirs
			a.Challenge = []liveness.Move{liveness.Center, liveness.Right, liveness.Left, liveness.Up}
		}
		film, err := studio.Film(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		return b.presented(user, film, a.Challenge)
	}
	check := func(session string) answer {
		return b.want(b.call("POST", "/check-liveness/", body(session)), 200)
	}
	match := func(session string) answer {
		return b.want(b.call("POST", "/match-liveness-face/", fmt.Sprintf(`{"userId":%q,"sessionId":%q}`, user, session)), 200)
	}
	if a := check(shown(attack.Live, true)); a.body["livenessSuccess"] != true || a.body["faceMatch"] != true {
		t.Errorf("somebody alive who answers: %s", a.raw)
	}
	if a := match(shown(attack.Live, false)); a.body["livenessSuccess"] != true || a.body["match"] != true {
		t.Errorf("somebody alive: %s", a.raw)
	}
	passively := []attack.Species{attack.Flat, attack.Bent14, attack.Shaken, attack.Tablet, attack.Swapped, attack.Spliced, attack.Repeated}
	flows := []func(session string) answer{check, match}
	for i, s := range attack.Attacks() {
		b.wait(10 * time.Minute) // or failures lock the person's sessions
		a := flows[i%2](shown(s, !slices.Contains(passively, s)))
		if a.body["livenessSuccess"] != false || a.body["match"] == true || a.body["faceMatch"] == true || a.body["reasons"] == nil {
			t.Errorf("%s passes: %s", s, a.raw)
		}
	}
}
