package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/join"
	"github.com/cypherface/edge/store"
)

// fakeFleet is a central's part for boxes that nobody is connected to.
type fakeFleet struct{ online map[store.DeviceID]time.Time }

func (f *fakeFleet) Serve(w http.ResponseWriter, r *http.Request, d store.DeviceID) error { return nil }
func (f *fakeFleet) Online() map[store.DeviceID]time.Time                                 { return f.online }
func (f *fakeFleet) Readings(store.DeviceID) []api.Reading                                { return nil }
func (f *fakeFleet) Identity() ([]byte, string, error) {
	return []byte(strings.Repeat("k", 32)), "127.0.0.1:9080", nil
}

// newCentral is a box of the tests as a central.
func newCentral(t *testing.T) *box {
	t.Helper()
	b := newBox(t, store.Sandbox)
	b.Fleet = &fakeFleet{}
	return b
}

// Sites, claims and boxes are there for the owner of the central, in his merchant
// alone.
func TestSitesClaimsAndDevices(t *testing.T) {
	b := newCentral(t)
	owner := b.login()
	site := b.want(b.callAs(owner, "POST", "/sites/", `{"name":"north","timeZone":"Europe/Berlin"}`), 201)
	id := site.text("siteId")
	if site.body["people"] != "all" || site.body["revision"] != 2.0 {
		t.Errorf("a new site: %s", site.raw)
	}
	for _, bad := range []string{`{}`, `{"name":""}`, `{"name":"x","people":"some"}`, `{"name":"x","timeZone":"Nowhere/Land"}`} {
		b.want(b.callAs(owner, "POST", "/sites/", bad), 400)
	}
	if a := b.want(b.callAs(owner, "PUT", "/sites/"+id, `{"people":"granted"}`), 200); a.body["people"] != "granted" || a.body["name"] != "north" {
		t.Errorf("changed to %s", a.raw)
	}
	made := b.want(b.callAs(owner, "POST", "/claims/", `{"siteId":"`+id+`","name":"gate","lifeSeconds":60}`), 201)
	code, err := join.ParseCode(made.text("code"))
	if err != nil || code.Address != "127.0.0.1:9080" || string(code.Claim()) != made.text("claimId") {
		t.Errorf("code %+v, %v", code, err)
	}
	for _, bad := range []string{`{"siteId":"x"}`, `{"siteId":"` + id + `","lifeSeconds":1}`} {
		b.want(b.callAs(owner, "POST", "/claims/", bad), 400)
	}
	b.want(b.callAs(owner, "POST", "/claims/", `{"siteId":"5f0c0ffee0c0ffee0c0ffee0"}`), 404)
	if a := b.want(b.callAs(owner, "GET", "/claims/", nil), 200); !strings.Contains(a.raw, made.text("claimId")) || strings.Contains(a.raw, "CFJ1") {
		t.Errorf("claims: %s", a.raw)
	}
	box := store.Device{ID: store.NewUUID[store.DeviceID](), Merchant: b.merchant, Site: store.SiteID(id), Name: "gate", Status: store.Active}
	b.update(func(tx *store.Tx) error { return store.Put(tx, &box) })
	if a := b.want(b.callAs(owner, "GET", "/devices/"+string(box.ID), nil), 200); a.body["online"] != false || a.body["status"] != "active" || a.body["behind"] == 0.0 {
		t.Errorf("a box that was never heard of: %s", a.raw)
	}
	b.want(b.callAs(owner, "GET", "/sync/status/", nil), 200)
	_, other := b.newMerchant("Other")
	_ = other
	m, _ := b.newMerchant("Third")
	theirs, key := b.auth.NewKey(m, "owner", store.RoleOwner)
	b.update(func(tx *store.Tx) error { return store.Put(tx, &key) })
	for _, call := range [][2]string{
		{"GET", "/sites/" + id}, {"GET", "/devices/" + string(box.ID)}, {"DELETE", "/devices/" + string(box.ID)}, {"DELETE", "/claims/" + made.text("claimId")},
	} {
		b.want(b.callAs("Bearer "+theirs, call[0], call[1], nil), 404)
	}
	b.want(b.callAs(owner, "DELETE", "/devices/"+string(box.ID), nil), 200)
	if a := b.want(b.callAs(owner, "GET", "/devices/", nil), 200); !strings.Contains(a.raw, `"revoked"`) {
		t.Errorf("devices: %s", a.raw)
	}
	b.want(b.callAs(owner, "DELETE", "/claims/"+made.text("claimId"), nil), 200)
	b.want(b.callAs(owner, "DELETE", "/claims/"+made.text("claimId"), nil), 404)
}

// What boxes sent is listed among what the central decided, newest first, whole, and
// each once, whatever the pages; or that of one box.
func TestTrailOfBoxes(t *testing.T) {
	b := newCentral(t)
	owner := b.login()
	site := store.SiteID(b.want(b.callAs(owner, "POST", "/sites/", `{"name":"north"}`), 201).text("siteId"))
	start := time.Now().Add(-time.Hour)
	p := store.NewID[store.PersonID](start)
	made := map[store.DeviceID]int{}
	sent := 0
	for n := range 2 {
		d := store.Device{ID: store.NewUUID[store.DeviceID](), Merchant: b.merchant, Site: site, Name: "gate", Status: store.Active}
		b.update(func(tx *store.Tx) error { return store.Put(tx, &d) })
		part := store.IngestPart{Device: d.ID, Epoch: 1}
		for i := range 30 {
			e := store.Event{
				Device: d.ID, Epoch: 1, Seq: uint64(i + 1), Time: start.Add(time.Duration(i/2) * time.Minute), Merchant: "5f0c0ffee0c0ffee0c0ffee0",
				Kind: []store.EventKind{store.EventDecision, store.EventEncounter, store.EventSystem}[i%3], Outcome: store.OutcomeNoMatch, Actor: store.Actor{Kind: store.ActorSystem, ID: "door"},
			}
			if i%10 == 0 {
				e.Person = p
			}
			if e.Kind != store.EventSystem {
				made[d.ID]++
				sent++
			}
			raw, err := json.Marshal(&e)
			if err != nil {
				t.Fatal(err)
			}
			part.Events = append(part.Events, store.Outgoing{Seq: e.Seq, Raw: raw})
		}
		b.update(func(tx *store.Tx) error { _, _, err := store.Ingest(tx, part); return err })
		for range 3 * n {
			b.update(func(tx *store.Tx) error {
				_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: b.merchant, Outcome: store.OutcomeMatch}, nil)
				return err
			})
			sent++
			made[b.store.Info().Device]++
		}
	}
	list := func(query string) (all []map[string]any) {
		t.Helper()
		for cursor := ""; ; {
			a := b.want(b.callAs(owner, "GET", "/verifications/?"+query+"&cursor="+cursor, nil), 200)
			for _, v := range a.body["verifications"].([]any) {
				all = append(all, v.(map[string]any))
			}
			if cursor, _ = a.body["nextCursor"].(string); cursor == "" {
				return all
			}
		}
	}
	for _, limit := range []string{"1", "7", "100"} {
		all := list("limit=" + limit)
		seen, by, last := map[string]bool{}, map[store.DeviceID]int{}, ""
		for _, v := range all {
			id := fmt.Sprint(v["deviceId"], v["epoch"], "-", v["seq"])
			at := v["time"].(string)
			if seen[id] {
				t.Errorf("limit %s: %s comes twice", limit, id)
			}
			if own := v["deviceId"] == string(b.store.Info().Device); !own {
				if last != "" && at > last {
					t.Errorf("limit %s: %s after %s", limit, at, last)
				}
				last = at
			}
			seen[id] = true
			by[store.DeviceID(v["deviceId"].(string))]++
		}
		if len(all) != sent || !maps.Equal(by, made) {
			t.Errorf("limit %s: %d of %d, by %v, want %v", limit, len(all), sent, by, made)
		}
	}
	for d, want := range made {
		if got := list("limit=5&deviceId=" + string(d)); len(got) != want || got[0]["deviceId"] != string(d) {
			t.Errorf("%d of %d of one device", len(got), want)
		}
	}
	if got := list("limit=1&userId=" + string(p)); len(got) != 4 { // of 6, two of which are system events
		t.Errorf("%d of a person", len(got))
	}
	if got := list("from=" + start.Add(10*time.Minute).UTC().Format(time.RFC3339)); len(got) == 0 || len(got) >= sent {
		t.Errorf("%d of the later", len(got))
	}
	for _, bad := range []string{"cursor=AAAA", "cursor=W10", "deviceId=x"} {
		b.want(b.callAs(owner, "GET", "/verifications/?"+bad, nil), 400)
	}
	box := newBox(t, store.Sandbox)
	box.want(box.callAs(box.login(), "GET", "/verifications/?deviceId="+string(box.store.Info().Device), nil), 400)
}

// Without a good code and a proof nobody gets in, and tries are limited.
func TestJoinRefuses(t *testing.T) {
	b := newCentral(t)
	challenge := b.want(b.callAs("", "POST", "/join/challenge/", nil), 200).text("challenge")
	body := `{"secret":"0000000000000000","deviceId":"1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff","environment":"sandbox","epoch":1,"publicKey":"AA==","challenge":"` + challenge + `","signature":"AA=="}`
	for range 3 {
		b.want(b.callAs("", "POST", "/join/", body), 403)
	}
	b.want(b.callAs("", "POST", "/join/", `{"secret":`), 400)
	b.want(b.callAs("", "GET", "/sync/", nil), 401)
}
