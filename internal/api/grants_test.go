package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// grantsOf are those in an answer.
func grantsOf(a answer) (all []map[string]any) {
	list, _ := a.body["grants"].([]any)
	for _, g := range list {
		all = append(all, g.(map[string]any))
	}
	return all
}

// mayPass is why somebody may not pass a door now, "" where he may.
func (b *box) mayPass(door, user string) (why string) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		d, err := store.Get[store.Door](tx, store.DoorID(door))
		if err == nil {
			why, err = verify.Admission(tx, d, store.PersonID(user))
		}
		return err
	})
	return why
}

// A grant has a schedule and dates if it is told so, shows them as they were sent, and
// is changed in its place.
func TestTheScheduleOfAGrant(t *testing.T) {
	b := newBox(t, store.Sandbox)
	owner, door, ada := b.login(), b.newDoor(`{"name":"Front"}`), b.register("Ada")
	path := "/doors/" + door + "/grants/" + ada
	put := func(body any) map[string]any {
		t.Helper()
		g, _ := b.want(b.callAs(owner, "PUT", path, body), 200).body["grant"].(map[string]any)
		return g
	}
	first := put(nil)
	if first["schedule"] != nil || first["from"] != nil || first["timeZone"] != "UTC" || b.mayPass(door, ada) != "" {
		t.Errorf("at any time: %v", first)
	}
	const body = `{"schedule":[{"days":["monday","friday"],"start":"08:00","end":"17:30"},{"days":["saturday"],"start":"22:00","end":"06:00"},{"days":["sunday"],"start":"00:00","end":"24:00"}],"from":"2026-05-01T08:00:00+02:00","until":"2027-01-01T00:00:00Z"}`
	g := put(body)
	if g["grantId"] != first["grantId"] || g["from"] != "2026-05-01T06:00:00Z" || g["until"] != "2027-01-01T00:00:00Z" ||
		fmt.Sprint(g["schedule"]) != "[map[days:[monday friday] end:17:30 start:08:00] map[days:[saturday] end:06:00 start:22:00] map[days:[sunday] end:24:00 start:00:00]]" {
		t.Errorf("as it was sent: %v", g)
	}
	b.update(func(tx *store.Tx) error {
		held, err := store.Get[store.Grant](tx, store.GrantID(g["grantId"].(string)))
		if len(held.Schedule) != 3 || held.Schedule[0].Start != 480 || held.Schedule[0].End != 1050 || held.Schedule[2].End != 0 || held.Schedule[1].Days[0] != time.Saturday || held.Rev != 2 {
			t.Errorf("held as %+v", held)
		}
		return err
	})
	put(body) // again changes nothing
	for _, list := range []string{"/doors/" + door + "/grants/", "/users/" + ada + "/grants/"} {
		all := grantsOf(b.want(b.call("GET", list, nil), 200))
		if len(all) != 1 || fmt.Sprint(all[0]) != fmt.Sprint(g) {
			t.Errorf("%s: %v", list, all)
		}
	}
	b.update(func(tx *store.Tx) error {
		if held, err := store.Get[store.Grant](tx, store.GrantID(g["grantId"].(string))); err != nil || held.Rev != 2 {
			t.Errorf("the same again is revision %d, %v", held.Rev, err)
		}
		return nil
	})
	put(`{"until":"2000-01-01T00:00:00Z"}`)
	if why := b.mayPass(door, ada); why != verify.ReasonNotNow {
		t.Errorf("it is over: %q", why)
	}
	if g := put(`{"schedule":null}`); g["schedule"] != nil || g["until"] != nil || b.mayPass(door, ada) != "" {
		t.Errorf("at any time again: %v", g)
	}
	b.want(b.callAs(owner, "DELETE", path, nil), 200)
	if all := grantsOf(b.want(b.call("GET", "/users/"+ada+"/grants", nil), 200)); len(all) != 0 {
		t.Errorf("taken away: %v", all)
	}
}

// What is wrong with a schedule is said, by the name of what it is, and nothing changes.
func TestAScheduleThatIsNone(t *testing.T) {
	b := newBox(t, store.Sandbox)
	owner, door, ada := b.login(), b.newDoor(`{"name":"Front"}`), b.register("Ada")
	path := "/doors/" + door + "/grants/" + ada
	window := func(s string) string {
		return `{"schedule":[{"days":["monday"],"start":"08:00","end":"17:00"},` + s + `]}`
	}
	for body, want := range map[string]string{
		`{"schedule":[]}`: "schedule", `{"schedule":"always"}`: "schedule",
		`{"schedule":[` + strings.Repeat(`{"days":["monday"],"start":"08:00","end":"17:00"},`, 28) + `{"days":["monday"],"start":"08:00","end":"17:00"}]}`: "schedule",
		window(`{}`): "schedule[1].days", window(`{"days":[],"start":"08:00","end":"17:00"}`): "schedule[1].days",
		window(`{"days":["Monday"],"start":"08:00","end":"17:00"}`):          "schedule[1].days",
		window(`{"days":["monday","monday"],"start":"08:00","end":"17:00"}`): "schedule[1].days",
		window(`{"days":["monday"],"start":"8:00","end":"17:00"}`):           "schedule[1].start",
		window(`{"days":["monday"],"start":"24:00","end":"17:00"}`):          "schedule[1].start",
		window(`{"days":["monday"],"start":"08:00","end":"17:60"}`):          "schedule[1].end",
		window(`{"days":["monday"],"start":"08:00","end":"24:01"}`):          "schedule[1].end",
		window(`{"days":["monday"],"start":"08:00","end":"08:00"}`):          "schedule[1].end",
		`{"from":"tomorrow"}`: "from", `{"until":"2026-05-01"}`: "until", `{"until":""}`: "until",
		`{"from":"2026-05-01T08:00:00Z","until":"2026-05-01T08:00:00Z"}`: "until", `{"schedul":null}`: "schedul",
	} {
		if a := b.want(b.callAs(owner, "PUT", path, body), 400); !strings.Contains(a.raw, `"field":"`+want+`"`) {
			t.Errorf("%s: %s", body, a.raw)
		}
	}
	if why := b.mayPass(door, ada); why != verify.ReasonNoGrant {
		t.Errorf("granted all the same: %q", why)
	}
}

// The grants of a door come in pages; of somebody they are at once, with those that a
// merge or an older program left him besides.
func TestListsOfGrants(t *testing.T) {
	b := newBox(t, store.Sandbox)
	owner, front, back := b.login(), b.newDoor(`{"name":"Front"}`), b.newDoor(`{"name":"Back"}`)
	var ids []string
	for _, name := range []string{"Ada", "Bea", "Cleo"} {
		ids = append(ids, b.register(name))
		b.want(b.callAs(owner, "PUT", "/doors/"+front+"/grants/"+ids[len(ids)-1], nil), 200)
	}
	b.want(b.callAs(owner, "PUT", "/doors/"+back+"/grants/"+ids[0], nil), 200)
	one := b.want(b.call("GET", "/doors/"+front+"/grants/?limit=2", nil), 200)
	two := b.want(b.call("GET", "/doors/"+front+"/grants/?limit=2&cursor="+one.text("nextCursor"), nil), 200)
	if len(grantsOf(one)) != 2 || len(grantsOf(two)) != 1 || two.body["nextCursor"] != nil {
		t.Errorf("pages %s and %s", one.raw, two.raw)
	}
	for _, id := range ids {
		if !strings.Contains(one.raw+two.raw, id) {
			t.Errorf("%s is on no page", id)
		}
	}
	b.update(func(tx *store.Tx) error {
		return store.Put(tx, &store.Grant{ID: store.NewID[store.GrantID](b.now), Merchant: b.merchant, Person: store.PersonID(ids[0]), Door: store.DoorID(back), Until: b.now})
	})
	if all := grantsOf(b.want(b.call("GET", "/users/"+ids[0]+"/grants", nil), 200)); len(all) != 3 {
		t.Errorf("of a person: %v", all)
	}
	b.want(b.callAs(owner, "PUT", "/doors/"+back+"/grants/"+ids[0], `{"from":"2026-05-01T08:00:00Z"}`), 200)
	if all := grantsOf(b.want(b.call("GET", "/doors/"+back+"/grants", nil), 200)); len(all) != 1 || all[0]["from"] != "2026-05-01T08:00:00Z" {
		t.Errorf("one takes the place of all: %v", all)
	}
	b.want(b.call("GET", "/doors/"+front+"/grants?limit=0", nil), 400)
	b.want(b.call("GET", "/doors/"+front+"/grants?page=2", nil), 400)
	b.want(b.call("GET", "/doors/"+ids[0]+"/grants", nil), 404)
	b.want(b.call("GET", "/users/"+front+"/grants", nil), 404)
	b.want(b.call("GET", "/users/x/grants", nil), 400)
}

// joined is a link to a central that does nothing.
type joined struct{ api.Link }

func (joined) Sync() api.SyncState { return api.SyncState{Joined: true} }

// Schedules are read in the time zone of the site, which a box sets by itself until it
// joins a central.
func TestTheTimeZoneOfSchedules(t *testing.T) {
	b := newBox(t, store.Sandbox)
	owner, ada := b.login(), b.register("Ada")
	made := b.want(b.callAs(owner, "POST", "/doors", `{"name":"Front"}`), 201)
	site, path := "/sites/"+made.text("siteId"), "/doors/"+made.text("doorId")+"/grants/"+ada
	if a := b.want(b.callAs(owner, "GET", "/sites", nil), 200); !strings.Contains(a.raw, made.text("siteId")) {
		t.Errorf("the box has no site: %s", a.raw)
	}
	if a := b.want(b.callAs(owner, "PUT", site, `{"timeZone":"Asia/Tokyo"}`), 200); a.body["timeZone"] != "Asia/Tokyo" || a.body["name"] != "Here" {
		t.Errorf("changed to %s", a.raw)
	}
	// An hour around now by the clocks of Tokyo, and the same by those of Greenwich.
	for zone, want := range map[string]string{"Asia/Tokyo": "", "Europe/London": verify.ReasonNotNow} {
		in, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		now := b.now.In(in)
		g, _ := b.want(b.callAs(owner, "PUT", path, fmt.Sprintf(`{"schedule":[{"days":[%q],"start":%q,"end":%q}]}`,
			strings.ToLower(now.Weekday().String()), now.Add(-time.Hour).Format("15:04"), now.Add(time.Hour).Format("15:04"))), 200).body["grant"].(map[string]any)
		if why := b.mayPass(made.text("doorId"), ada); why != want || g["timeZone"] != "Asia/Tokyo" {
			t.Errorf("in %s: %q, %v", zone, why, g)
		}
	}
	b.want(b.callAs(owner, "PUT", site, `{"people":"granted"}`), 400)
	b.want(b.callAs(owner, "PUT", site, `{"timeZone":"Middle/Earth"}`), 400)
	b.want(b.callAs(owner, "POST", "/sites", `{"name":"north"}`), 404)
	b.Config.Link = joined{}
	b.want(b.callAs(owner, "PUT", site, `{"timeZone":"Europe/Berlin"}`), 409)
	b.want(b.callAs(owner, "GET", site, nil), 200)
}
