package api_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/store"
)

const day = 24 * time.Hour

// gone has a pass done, and returns the counts of what went.
func (b *box) gone() map[string]float64 {
	b.t.Helper()
	before := b.counted("retention")
	if err := b.Retain(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	after := b.counted("retention")
	for class, n := range before {
		if after[class] -= n; after[class] == 0 {
			delete(after, class)
		}
	}
	return after
}

// counted sums the counters of the system events of an action.
func (b *box) counted(action string) map[string]float64 {
	b.t.Helper()
	sum := map[string]float64{}
	err := b.store.View(context.Background(), func(tx *store.Tx) error {
		for e, err := range store.All(tx, store.EventsByMerchant, store.Plain(b.merchant), store.Plain(store.EventSystem)) {
			if err != nil {
				return err
			}
			if e.Action == action {
				for class, n := range e.Counters {
					sum[class] += n
				}
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return sum
}

func (b *box) keep(body string) answer {
	b.t.Helper()
	return b.want(b.callAs(b.login(), "PUT", "/merchant/retention/", body), 200)
}

func TestRetentionSettings(t *testing.T) {
	b := newBox(t, store.Sandbox)
	owner := b.login()
	days := func(a answer) map[string]float64 {
		out := map[string]float64{}
		for _, c := range a.body["classes"].([]any) {
			c := c.(map[string]any)
			out[c["name"].(string)] = c["days"].(float64)
			if c["reason"] == "" || c["what"] == "" {
				t.Errorf("no reason for %v", c)
			}
		}
		return out
	}
	a := b.want(b.callAs(owner, "GET", "/merchant/retention/", nil), 200)
	if d := days(a); d["crops"] != 0 || d["inactive"] != 0 || d["withdrawn"] != 30 || d["reviews"] != 90 || len(a.body["fixed"].([]any)) < 5 {
		t.Errorf("defaults %s", a.raw)
	}
	if d := days(b.keep(`{"inactive":365,"withdrawn":0}`)); d["inactive"] != 365 || d["withdrawn"] != 0 || d["reviews"] != 90 {
		t.Errorf("set: %v", d)
	}
	if e := b.lastEvent(store.EventAccess); e.Action != "policy_change" || !strings.Contains(strings.Join(e.Reasons, ";"), "inactive 0 to 365") {
		t.Errorf("event %+v", e)
	}
	if d := days(b.keep(`{"withdrawn":null}`)); d["withdrawn"] != 30 || d["inactive"] != 365 {
		t.Errorf("back to the default: %v", d)
	}
	for _, bad := range []string{`{"crops":-1}`, `{"crops":36501}`, `{"crops":1.5}`, `{"crops":"x"}`, `{"pets":1}`} {
		b.want(b.callAs(owner, "PUT", "/merchant/retention/", bad), 400)
		b.want(b.callAs(owner, "POST", "/merchant/retention/preview/", bad), 400)
	}
	b.want(b.call("PUT", "/merchant/retention/", `{"crops":1}`), 403)
}

// Every class goes when its time is over, is counted in the journal, and not before;
// the preview says so beforehand and changes nothing.
func TestRetention(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.text("1", "en")
	stays, absent, withdrawn, card, never := b.enrolled("Stays", red), b.enrolled("Absent", blue), b.register("Withdrawn"), b.register("Card"), b.register("Never")
	b.give(card, `{"type":"card","value":"1234"}`)
	for _, id := range []string{withdrawn, card} {
		b.want(b.call("POST", "/users/"+id+"/consents/withdraw/", `{"keepUser":true}`), 200)
	}
	b.keep(`{"inactive":100,"unenrolled":200,"crops":50}`)
	crop := store.Crop{ID: store.NewID[store.CropID](b.now), Merchant: b.merchant, Person: store.PersonID(stays), Image: jpegOf(red).data}
	review := store.Review{ID: store.NewID[store.ReviewID](b.now), Merchant: b.merchant, Reason: store.ReviewLookAlike, Persons: []store.PersonID{store.PersonID(stays), store.PersonID(absent)}, Score: 85, Settled: b.now, Outcome: store.SettledDismissed}
	pair := review
	pair.ID, pair.Outcome = store.NewID[store.ReviewID](b.now), store.SettledDifferent
	b.update(func(tx *store.Tx) error {
		return errors.Join(store.Put(tx, &crop), store.Put(tx, &review), store.Put(tx, &pair))
	})

	check := func(when string, want map[string]float64) {
		t.Helper()
		b.want(b.put(b.link(stays, "match"), jpegOf(red)), 200) // he comes again and again
		b.want(b.call("POST", "/face/match", `{"userId":"`+stays+`"}`), 200)
		preview := b.want(b.callAs(b.login(), "POST", "/merchant/retention/preview/", `{}`), 200).body["wouldGo"]
		if got := b.gone(); fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprint(preview) != fmt.Sprint(asAny(want)) {
			t.Errorf("%s: %v went, preview %v, want %v", when, got, preview, want)
		}
	}
	check("at once", map[string]float64{})
	b.now = b.now.Add(31 * day)
	check("after 31 days", map[string]float64{"withdrawn": 1})
	b.want(b.call("GET", "/users/"+withdrawn, nil), 404)
	b.want(b.call("GET", "/users/"+card, nil), 200) // he has another way in
	b.now = b.now.Add(20 * day)
	check("after 51 days", map[string]float64{"crops": 1})
	b.now = b.now.Add(40 * day)
	check("after 91 days", map[string]float64{"reviews": 2}) // one is deleted, the pair stays bare
	b.now = b.now.Add(10 * day)
	check("after 101 days", map[string]float64{"inactive": 3}) // Absent, Card and Never were not seen
	for _, id := range []string{absent, card, never} {
		b.want(b.call("GET", "/users/"+id, nil), 404)
	}
	b.want(b.call("GET", "/users/"+stays, nil), 200)
	b.now = b.now.Add(150 * day)
	check("after 251 days", map[string]float64{})
	state := b.want(b.callAs(b.login(), "GET", "/merchant/retention/", nil), 200)
	if state.body["lastPass"] == nil {
		t.Error(state.raw)
	}
}

func asAny(m map[string]float64) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// What was before the setting was made does not count: nobody may have noted it.
func TestAbsenceCountsFromTheSettingOn(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.enrolled("Ada", red)
	b.now = b.now.Add(1000 * day)
	p := b.want(b.callAs(b.login(), "POST", "/merchant/retention/preview/", `{"inactive":365}`), 200)
	if p.body["notSeen"] != 1.0 || len(p.body["wouldGo"].(map[string]any)) != 0 {
		t.Errorf("preview %s", p.raw)
	}
	b.keep(`{"inactive":365}`)
	if got := b.gone(); len(got) != 0 {
		t.Errorf("%v went at once", got)
	}
	b.now = b.now.Add(366 * day)
	if got := b.gone(); got["inactive"] != 1 {
		t.Errorf("%v went after a year", got)
	}
}

// A pass that is cut goes on after a restart, and nobody is lost or counted twice.
func TestRetentionIsCut(t *testing.T) {
	b := newBox(t, store.Sandbox)
	const many = 150
	b.update(func(tx *store.Tx) error {
		for n := range many {
			p := store.Person{ID: store.NewID[store.PersonID](b.now), Merchant: b.merchant, Firstname: fmt.Sprint("P", n), Status: store.PersonRegistered}
			if err := store.Put(tx, &p); err != nil {
				return err
			}
		}
		return nil
	})
	b.keep(`{"unenrolled":10}`)
	b.now = b.now.Add(11 * day)
	ctx, cut := context.WithCancel(t.Context())
	stop := b.store.Watch(func(c store.Commit) {
		for _, e := range c.Events {
			if e.Action == "retention" {
				cut() // in the middle
			}
		}
	})
	err := b.Retain(ctx)
	stop()
	first := b.counted("retention")["unenrolled"]
	if !errors.Is(err, context.Canceled) || first == 0 || first == many {
		t.Fatalf("cut after %v of %d: %v", first, many, err)
	}
	b.restart()
	if err := b.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := b.counted("retention")["unenrolled"]; all != many {
		t.Errorf("%v of %d went", all, many)
	}
	if a := b.want(b.call("GET", "/users/", nil), 200); len(a.body["users"].([]any)) != 0 {
		t.Errorf("left: %s", a.raw)
	}
}

// While the time is not certain nothing is removed.
func TestRetentionWaitsForTheTime(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.register("Ada")
	b.keep(`{"unenrolled":10}`)
	b.now = b.now.Add(1000 * day)
	b.unsure.Store(true)
	if err := b.Retain(t.Context()); !errors.Is(err, rights.ErrTime) {
		t.Errorf("error %v", err)
	}
	if a := b.want(b.callAs(b.login(), "GET", "/merchant/retention/", nil), 200); a.text("held") == "" {
		t.Error("nothing says that it is held")
	}
	if a := b.want(b.call("GET", "/users/", nil), 200); len(a.body["users"].([]any)) != 1 {
		t.Errorf("removed: %s", a.raw)
	}
	b.unsure.Store(false)
	if got := b.gone(); got["unenrolled"] != 1 {
		t.Errorf("%v went", got)
	}
}
