package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// ask puts a review about people.
func (b *box) ask(reason store.ReviewKind, people ...string) string {
	b.t.Helper()
	r := store.Review{ID: store.NewID[store.ReviewID](b.now), Merchant: b.merchant, Reason: reason, Score: 91}
	for _, p := range people {
		r.Persons = append(r.Persons, store.PersonID(p))
	}
	b.update(func(tx *store.Tx) error {
		_, err := store.AskOnce(tx, &r)
		return err
	})
	return string(r.ID)
}

func (b *box) reviews(query string) []any {
	b.t.Helper()
	return b.want(b.call("GET", "/reviews/?"+query, nil), 200).body["reviews"].([]any)
}

func TestReviews(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada, bob, eve := b.register("Ada"), b.register("Bob"), b.register("Eve")
	one, two := b.ask(store.ReviewDuplicate, ada, bob), b.ask(store.ReviewLookAlike, bob, eve)
	if b.ask(store.ReviewDuplicate, bob, ada); len(b.reviews("")) != 2 {
		t.Errorf("asked twice: %v", b.reviews(""))
	}
	if l := b.reviews("reason=look_alike"); len(l) != 1 || l[0].(map[string]any)["reviewId"] != two {
		t.Errorf("by reason: %v", l)
	}
	shown := b.want(b.call("GET", "/api/reviews/"+one+"/", nil), 200)
	if !strings.Contains(shown.raw, "Ada") || !strings.Contains(shown.raw, bob) {
		t.Errorf("shown: %s", shown.raw)
	}
	narrow, key := b.auth.NewKey(b.merchant, "narrow", store.RoleIntegrator, auth.Reviews)
	b.update(func(tx *store.Tx) error { return store.Put(tx, &key) })
	if a := b.want(b.callAs("Bearer "+narrow, "GET", "/reviews/"+one, nil), 200); strings.Contains(a.raw, "Ada") {
		t.Errorf("names without the permission: %s", a.raw)
	}
	for _, bad := range []string{"state=lost", "reason=fun", "limit=0", "page=1", "cursor=!"} {
		b.want(b.call("GET", "/reviews/?"+bad, nil), 400)
	}
	for body, status := range map[string]int{`{}`: 400, `{"outcome":"updated"}`: 404, `{"outcome":"dismissed","into":"` + ada + `"}`: 400, `{"outcome":"same_person"}`: 400, `{"outcome":"same_person","into":"` + eve + `"}`: 400} {
		b.want(b.call("POST", "/reviews/"+one+"/settle/", body), status)
	}
	settled := b.want(b.call("POST", "/reviews/"+one+"/settle/", `{"outcome":"different_people"}`), 200).body["review"].(map[string]any)
	if settled["state"] != "settled" || settled["outcome"] != "different_people" || settled["settledBy"].(map[string]any)["kind"] != "key" {
		t.Errorf("settled %v", settled)
	}
	if e := b.lastEvent(store.EventAccess); e.Action != "review_settle" || fmt.Sprint(e.Reasons) != "[duplicate different_people]" {
		t.Errorf("event %+v", e)
	}
	b.want(b.call("POST", "/reviews/"+one+"/settle/", `{"outcome":"dismissed"}`), 409)
	// Who are different are not asked about again, in either order and for either reason.
	b.ask(store.ReviewDuplicate, ada, bob)
	b.ask(store.ReviewLookAlike, bob, ada)
	if l := b.reviews("state=open"); len(l) != 1 {
		t.Errorf("asked again: %v", l)
	}
	if l := b.reviews("state=settled"); len(l) != 1 {
		t.Errorf("settled: %v", l)
	}
	// No more than some are open about one person.
	for n := range store.MaxReviews + 5 {
		b.ask(store.ReviewLookAlike, eve, b.register(fmt.Sprint("P", n)))
	}
	if n := len(b.reviews("limit=100")); n != store.MaxReviews {
		t.Errorf("%d open reviews, want %d", n, store.MaxReviews)
	}
}

func TestMerge(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.text("1", "en")
	ada, double := b.enrolled("Ada", red), b.enrolled("Adah", red)
	door := b.door(false)
	b.grant(double, door)
	b.give(double, `{"type":"card","value":"CARD1"}`)
	b.give(double, `{"type":"pin","value":"270182"}`)
	b.want(b.call("POST", "/users/"+double+"/consents/", `{"version":"1","language":"en"}`), 201)
	b.want(b.call("PUT", "/users/"+double, `{"phone":"1815","externalId":"E-2"}`), 200)
	other := b.register("Eve")
	b.ask(store.ReviewLookAlike, double, other)
	id := b.ask(store.ReviewDuplicate, ada, double)
	merge := `{"outcome":"same_person","into":"` + ada + `","fields":["email"]`

	// The dry run says what would be, and changes nothing.
	before := b.want(b.call("GET", "/users/"+ada, nil), 200).raw
	dry := b.want(b.call("POST", "/reviews/"+id+"/settle/", merge+`,"dryRun":true}`), 200)
	if dry.body["dryRun"] != true || dry.body["grants"] != 1.0 || dry.body["pinsLost"] != 1.0 || dry.body["user"].(map[string]any)["email"] != "adah@example.org" {
		t.Errorf("dry run %s", dry.raw)
	}
	if after := b.want(b.call("GET", "/users/"+ada, nil), 200).raw; after != before {
		t.Errorf("the dry run changed %s", after)
	}
	b.want(b.call("GET", "/users/"+double, nil), 200)

	done := b.want(b.call("POST", "/reviews/"+id+"/settle/", merge+`}`), 200)
	user := b.want(b.call("GET", "/users/"+ada, nil), 200).body["user"].(map[string]any)
	if user["email"] != "adah@example.org" || user["firstname"] != "Ada" || user["phone"] != "1815" || user["externalId"] != "E-2" {
		t.Errorf("user %v", user)
	}
	if h := b.held(store.PersonID(ada)); h[store.KindGrant] != 1 || h[store.KindCredential] != 1 || h[store.KindConsent] != 1 || h[store.KindReview] != 1 {
		t.Errorf("he has %v", h)
	}
	if a := b.show(`{"type":"card","value":"CARD1","doorId":"` + string(door) + `"}`); a.body["granted"] != true || a.text("userId") != ada {
		t.Errorf("the card: %s", a.raw)
	}
	// The old id says who he is now; its history and its erasure can be read.
	if a := b.want(b.call("GET", "/users/"+double, nil), 404); !strings.Contains(a.raw, "is "+ada+" now") {
		t.Errorf("the old id: %s", a.raw)
	}
	if r := b.receipt(done.text("erasureId")); string(r.Person) != double || !r.Whole {
		t.Errorf("receipt %+v", r)
	}
	if a := b.want(b.call("GET", "/verifications/?userId="+double, nil), 200); len(a.body["verifications"].([]any)) == 0 {
		t.Error("his history is gone")
	}
	b.restart()
	if l := b.reviews(""); len(l) != 1 || !strings.Contains(fmt.Sprint(l), ada) {
		t.Errorf("reviews %v", l)
	}
	// Into a third: both old ids lead to him.
	third := b.register("Third")
	b.want(b.call("POST", "/users/"+third+"/merge/", `{"from":"`+ada+`"}`), 200)
	for _, old := range []string{ada, double} {
		if a := b.want(b.call("GET", "/users/"+old, nil), 404); !strings.Contains(a.raw, third) {
			t.Errorf("%s: %s", old, a.raw)
		}
	}
	// Erased, the old ids lead nowhere.
	b.want(b.call("DELETE", "/users/"+third, nil), 200)
	if a := b.want(b.call("GET", "/users/"+double, nil), 404); strings.Contains(a.raw, third) {
		t.Errorf("after the erasure: %s", a.raw)
	}
}

func TestMergeRefuses(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada, bob, eve := b.enrolled("Ada", red), b.enrolled("Bob", blue), b.enrolled("Eve", red)
	into := func(user, body string, status int) {
		t.Helper()
		b.want(b.call("POST", "/users/"+user+"/merge/", body), status)
	}
	into(ada, `{"from":"x"}`, 400)
	into(ada, `{"from":"`+eve+`","fields":["shoes"]}`, 400)
	into(ada, `{"from":"`+strings.Repeat("a", 24)+`"}`, 404)
	into(ada, `{"from":"`+ada+`"}`, 422)
	into(ada, `{"from":"`+bob+`"}`, 422) // another face
	b.want(b.call("POST", "/users/"+eve+"/consents/withdraw/", `{"keepUser":true}`), 200)
	into(ada, `{"from":"`+eve+`"}`, 422) // by the merge he would match again
	for _, id := range []string{ada, bob, eve} {
		b.want(b.call("GET", "/users/"+id, nil), 200)
	}
}

func TestWrongMatches(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ada, bob := b.enrolled("Ada", red), b.register("Bob")
	decide := func() (event store.Event, request string) {
		b.want(b.put(b.link(ada, "match"), jpegOf(red)), 200)
		a := b.want(b.call("POST", "/face/match", `{"userId":"`+ada+`"}`), 200)
		return b.lastEvent(store.EventDecision), a.text("requestId")
	}
	one, _ := decide()
	two, request := decide()
	marked := b.want(b.call("POST", fmt.Sprintf("/api/verifications/%d-%d/wrong/", one.Epoch, one.Seq), `{"actualUserId":"`+bob+`"}`), 201).body["review"].(map[string]any)
	if marked["reason"] != "wrong_match" || marked["verificationId"] != fmt.Sprintf("%d-%d", one.Epoch, one.Seq) || len(marked["userIds"].([]any)) != 2 {
		t.Errorf("marked %v", marked)
	}
	b.want(b.call("POST", fmt.Sprintf("/verifications/%d/wrong/", one.Seq), nil), 409)
	if two.Request != request {
		t.Fatalf("request %q of the event, %q of the answer", two.Request, request)
	}
	other := b.want(b.call("POST", "/verifications/"+request+"/wrong/", nil), 201).body["review"].(map[string]any)
	b.want(b.call("POST", "/reviews/"+marked["reviewId"].(string)+"/settle", `{"outcome":"different_people"}`), 200)
	b.want(b.call("POST", "/reviews/"+other["reviewId"].(string)+"/settle", `{"outcome":"dismissed"}`), 200)
	third, _ := decide()
	b.want(b.call("POST", fmt.Sprint("/verifications/", third.Seq, "/wrong/"), nil), 201)
	if n := b.want(b.call("GET", "/reviews/statistics/", nil), 200).body["falseMatches"].(map[string]any); n["open"] != 1.0 || n["confirmed"] != 1.0 || n["dismissed"] != 1.0 {
		t.Errorf("statistics %v", n)
	}
	for word, status := range map[string]int{"x": 400, "0": 400, "1-0": 400, "1-99999": 404, "1": 404, "9-1": 404, "1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff": 404} {
		b.want(b.call("POST", "/verifications/"+word+"/wrong/", nil), status)
	}
	enrolled := b.lastEvent(store.EventEnrolment)
	b.want(b.call("POST", fmt.Sprint("/verifications/", enrolled.Seq, "/wrong/"), nil), 422)
	_, key := b.newMerchant("Other", auth.Scopes()...)
	b.want(b.callAs("Bearer "+key, "POST", fmt.Sprint("/verifications/", third.Seq, "/wrong/"), nil), 404)
}
