package api_test

import (
	"fmt"
	"testing"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/store"
)

// proposals lists the open reviews of ageing.
func (b *box) proposals() []any {
	b.t.Helper()
	return b.reviews("reason=ageing")
}

// matched appends decisions with a similarity, as they come in over weeks.
func (b *box) matched(user string, n int, similarity float64) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		for range n {
			_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: b.merchant, Person: store.PersonID(user), Action: "verify",
				Outcome: store.OutcomeMatch, Counters: map[string]float64{"similarity": similarity}}, nil)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// A face that grows away from its template is noticed by its matches, and an old
// template by its age; an operator decides, and is asked once an enrolment.
func TestAgeing(t *testing.T) {
	b := newBox(t, store.Sandbox)
	steady, drifts, old := b.enrolled("Steady", red), b.enrolled("Drifts", blue), b.enrolled("Old", red)
	b.matched(steady, 100, 95)
	b.matched(drifts, rights.BaseMatches, 96)
	b.gone()
	if len(b.proposals()) != 0 {
		t.Fatalf("proposed at once: %v", b.proposals())
	}
	b.restart() // what was seen lies in the store
	b.matched(drifts, 60, 85)
	b.matched(steady, 60, 93)
	b.gone()
	l := b.proposals()
	if len(l) != 1 || fmt.Sprint(l[0].(map[string]any)["userIds"]) != "["+drifts+"]" || l[0].(map[string]any)["cause"] != "drift" {
		t.Fatalf("proposals %v", l)
	}
	id := l[0].(map[string]any)["reviewId"].(string)
	b.want(b.call("POST", "/reviews/"+id+"/settle/", `{"outcome":"different_people"}`), 422)
	b.want(b.call("POST", "/reviews/"+id+"/settle/", `{"outcome":"dismissed"}`), 200)
	b.matched(drifts, 60, 80)
	b.gone()
	if len(b.proposals()) != 0 {
		t.Error("asked again")
	}

	b.want(b.callAs(b.login(), "PUT", "/merchant/policy/", `{"templateYears":2}`), 200)
	b.now = b.now.AddDate(1, 0, 0)
	b.gone()
	if len(b.proposals()) != 0 {
		t.Errorf("after a year: %v", b.proposals())
	}
	b.now = b.now.AddDate(1, 0, 1)
	b.gone()
	if l := b.proposals(); len(l) < 2 || l[0].(map[string]any)["cause"] != "age" {
		t.Errorf("after two years: %v", l)
	}
	_ = old
}

// A crop is kept only where the merchant wants it, from a live and sure match, until
// an operator takes it or not; nothing is updated by itself.
func TestProposedCrops(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada := b.enrolled("Ada", red)
	propose := func() string {
		b.update(func(tx *store.Tx) error {
			p, err := store.Get[store.Person](tx, store.PersonID(ada))
			if err != nil {
				return err
			}
			return rights.ProposeUpdate(tx, &p, store.CauseDrift)
		})
		return b.proposals()[0].(map[string]any)["reviewId"].(string)
	}
	live := func(mode string) {
		t.Helper()
		id := b.want(b.call("POST", "/start-liveness-session/", fmt.Sprintf(`{"userId":%q,"mode":%q}`, ada, mode)), 200).text("sessionId")
		for n := range liveness.MinActiveFrames {
			b.want(b.call("POST", "/upload-frame/", sessionForm(id, frame(red, n), true)), 200)
		}
		if a := b.want(b.call("POST", "/check-liveness", body(id)), 200); a.body["faceMatch"] != true {
			t.Fatal(a.raw)
		}
	}
	kept := func() int { return b.held(store.PersonID(ada))[store.KindCandidate] }
	id := propose()
	live("active")
	b.want(b.call("GET", "/reviews/"+id+"/candidate/", nil), 404) // the merchant keeps none
	b.want(b.callAs(b.login(), "PUT", "/merchant/policy/", `{"proposeCrops":true}`), 200)
	live("passive")
	if kept() != 0 {
		t.Error("kept from a passive session")
	}
	live("active")
	live("active")
	if kept() != 1 {
		t.Fatalf("%d crops kept, want 1", kept())
	}
	if a := b.want(b.call("GET", "/reviews/"+id+"/candidate/", nil), 200); a.header.Get("Content-Type") != "image/jpeg" || len(a.raw) < 100 {
		t.Errorf("crop of %d bytes", len(a.raw))
	}
	if a := b.want(b.call("POST", "/reviews/"+id+"/settle/", `{"outcome":"updated"}`), 200); a.body["review"].(map[string]any)["outcome"] != "updated" {
		t.Error(a.raw)
	}
	if kept() != 0 {
		t.Error("it is kept on")
	}
	if e := b.lastEvent(store.EventAccess); e.Action != "review_settle" {
		t.Errorf("event %+v", e)
	}
	b.now = b.now.AddDate(0, 0, 1)
	id = propose()
	live("active")
	b.want(b.call("POST", "/reviews/"+id+"/settle/", `{"outcome":"dismissed"}`), 200)
	if kept() != 0 {
		t.Error("a refused one is kept on")
	}
}
