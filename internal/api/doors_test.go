package api_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// newDoor makes a door over the API, as its administrator.
func (b *box) newDoor(body string) string {
	b.t.Helper()
	return b.want(b.callAs(b.login(), "POST", "/doors/", body), 201).text("doorId")
}

// policyOf is the policy in an answer about a door.
func policyOf(a answer) map[string]any { p, _ := a.body["policy"].(map[string]any); return p }

// A door asks for a proof of life unless somebody who may says otherwise, and that is
// on record.
func TestTheLivenessOfADoor(t *testing.T) {
	b := newBox(t, store.Sandbox)
	owner := b.login()
	a := b.want(b.callAs(owner, "POST", "/doors/", `{"name":"Front","camera":"demo:"}`), 201)
	id := a.text("doorId")
	if p := policyOf(a); p["liveness"] != "active" || p["frames"] != 3. || p["coolDownSeconds"] != 5. || p["fpir"] != 1e-3 {
		t.Errorf("a new door: %s", a.raw)
	}
	for _, word := range []string{"off", "passive", "active"} {
		b.want(b.callAs(owner, "PUT", "/doors/"+id, `{"policy":{"liveness":"`+word+`"}}`), 200)
		a := b.want(b.callAs(owner, "GET", "/doors/"+id, nil), 200)
		if policyOf(a)["liveness"] != word || a.text("name") != "Front" {
			t.Errorf("%s: %s", word, a.raw)
		}
	}
	e := b.lastEvent(store.EventAccess)
	if e.Action != "policy_change" || string(e.Door) != id || !slices.Equal(e.Reasons, []string{"liveness passive to active"}) {
		t.Errorf("on record: %+v", e)
	}
	for body, field := range map[string]string{
		`{"policy":{"liveness":"maybe"}}`: "policy.liveness", `{"policy":{"frames":0}}`: "policy.frames", `{"policy":{"fpir":0.5}}`: "policy.fpir",
		`{"policy":{"coolDownSeconds":0.1}}`: "policy.coolDownSeconds", `{"name":""}`: "name", `{"siteId":"` + id + `"}`: "siteId",
	} {
		if a := b.want(b.callAs(owner, "PUT", "/doors/"+id, body), 400); !strings.Contains(a.raw, `"`+field+`"`) {
			t.Errorf("%s: %s", body, a.raw)
		}
	}
	b.want(b.callAs(owner, "PUT", "/doors/"+id, `{"policy":{"livenes":"off"}}`), 400)
	second := b.want(b.callAs(owner, "POST", "/doors", `{"name":"Back"}`), 201)
	if second.text("siteId") != a.text("siteId") {
		t.Errorf("two doors have two sites: %s", second.raw)
	}
	b.want(b.callAs(owner, "POST", "/doors", `{"name":"Side","siteId":"`+strings.Repeat("a", 24)+`"}`), 404)
	if all := b.want(b.callAs(owner, "GET", "/doors", nil), 200).body["doors"].([]any); len(all) != 2 {
		t.Errorf("%d doors", len(all))
	}
}

// Who may pass is granted, and taken away, one person and door at a time.
func TestGrantsOfADoor(t *testing.T) {
	b := newBox(t, store.Sandbox)
	owner, door, ada, bea := b.login(), b.newDoor(`{"name":"Front"}`), b.register("Ada"), b.register("Bea")
	refusal := func(user string) string { t.Helper(); return b.mayPass(door, user) }
	path := "/doors/" + door + "/grants/"
	for range 2 { // again changes nothing
		b.want(b.callAs(owner, "PUT", path+ada, nil), 200)
	}
	if refusal(ada) != "" || refusal(bea) != verify.ReasonNoGrant {
		t.Errorf("granted to one: %q, %q", refusal(ada), refusal(bea))
	}
	b.want(b.callAs(owner, "DELETE", path+ada, nil), 200)
	if refusal(ada) != verify.ReasonNoGrant {
		t.Errorf("taken away: %q", refusal(ada))
	}
	b.want(b.callAs(owner, "PUT", path+strings.Repeat("a", 24), nil), 404)
	b.want(b.callAs(owner, "PUT", path+"x", nil), 400)
	b.want(b.callAs(owner, "PUT", path+bea, nil), 200)
	b.want(b.callAs(owner, "DELETE", "/doors/"+door, nil), 200)
	b.want(b.callAs(owner, "GET", "/doors/"+door, nil), 404)
	b.update(func(tx *store.Tx) error {
		for g, err := range store.All(tx, store.GrantsByDoor, store.Plain(door)) {
			t.Errorf("left of the door: %+v, %v", g, err)
		}
		return nil
	})
}

// A screen at a door learns what is asked of the person there, move by move, and
// never how sure the box is.
func TestAScreenLearnsTheMoves(t *testing.T) {
	b := newBox(t, store.Sandbox)
	owner, door := b.login(), b.newDoor(`{"name":"Front"}`)
	asks := func(move liveness.Move, text string) {
		t.Helper()
		b.Saw(b.merchant, store.DoorID(door), verify.View{Time: time.Now(), Faces: []verify.Sight{{Move: move, Ask: text}}})
		if a := b.want(b.callAs(owner, "GET", "/doors/"+door, nil), 200); a.text("move") != string(move) || a.text("ask") != text {
			t.Errorf("asked for %s: %s", move, a.raw)
		}
	}
	asks(liveness.Center, "look straight into the camera")
	asks(liveness.Left, "turn your head to the left")
	for range 5 {
		b.Saw(b.merchant, store.DoorID(door), verify.View{Time: time.Now()})
	}
	if a := b.want(b.callAs(owner, "GET", "/doors/"+door, nil), 200); a.body["move"] != nil || a.body["ask"] != nil {
		t.Errorf("nobody is there: %s", a.raw)
	}
}

// The page of the box shows what a door asks for, and how it stands, to the person
// before its screen.
func TestThePageShowsWhatADoorAsks(t *testing.T) {
	b := newBox(t, store.Sandbox)
	if a := b.callAs("", "GET", "/", nil); strings.Contains(a.raw, "refresh") {
		t.Error("without a door the page is fetched again and again")
	}
	b.status.Cameras = []api.CameraState{{Camera: "live"}, {Door: "d", Name: "Front <b>", Camera: "live, demo", Liveness: store.LivenessActive, Ask: "turn your head to the left"}}
	a := b.callAs("", "GET", "/", nil)
	if !strings.Contains(a.raw, "turn your head to the left") || !strings.Contains(a.raw, "liveness active") || !strings.Contains(a.raw, "Door · Front &lt;b&gt;") || !strings.Contains(a.raw, `http-equiv="refresh"`) {
		t.Errorf("page %s", a.raw)
	}
}
