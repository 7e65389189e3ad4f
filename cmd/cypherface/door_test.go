package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// A door is made, asks for less, lets somebody through, and goes.
func TestDoorCommand(t *testing.T) {
	data := newBox(t)
	ada := somebody(t, data)
	box := func(code int, args ...string) string {
		t.Helper()
		out, errs, got := cli(t, nil, append(args, "--data", data)...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	if out := box(0, "door", "list"); !strings.Contains(out, "no doors") {
		t.Errorf("none yet: %s", out)
	}
	var d door
	if err := json.Unmarshal([]byte(box(0, "door", "add", "Front", "--camera", "demo:", "--json")), &d); err != nil || d.Policy["liveness"] != "active" {
		t.Fatalf("%+v, %v", d, err)
	}
	if out := box(0, "door", "set", d.DoorID, "--liveness", "passive", "--frames", "5"); !strings.Contains(out, "liveness passive") || !strings.Contains(out, "demo:") {
		t.Errorf("set: %s", out)
	}
	if out := box(2, "door", "set", d.DoorID, "--liveness", "maybe"); !strings.Contains(out, "policy.liveness must be off, passive or active") {
		t.Errorf("a word that is none: %s", out)
	}
	for word, want := range map[string]bool{"--second-factor": true, "--second-factor=false": false} {
		if err := json.Unmarshal([]byte(box(0, "door", "set", d.DoorID, word, "--json")), &d); err != nil || d.Policy["secondFactor"] != want || d.Policy["liveness"] != "passive" {
			t.Errorf("%s: %+v, %v", word, d, err)
		}
	}
	if out := box(0, "door", "list"); !strings.Contains(out, "Front") || !strings.Contains(out, "liveness passive") {
		t.Errorf("list: %s", out)
	}
	box(2, "door", "grant", d.DoorID)
	if out := box(2, "door", "grant", d.DoorID, "5f0c0ffee0c0ffee0c0ffee1"); !strings.Contains(out, "no such thing") {
		t.Errorf("nobody: %s", out)
	}
	testGrants(t, d.DoorID, ada, box)
	box(0, "door", "remove", d.DoorID)
	if out := box(0, "door", "list"); !strings.Contains(out, "no doors") {
		t.Errorf("afterwards: %s", out)
	}
}

// testGrants lets somebody through a door at some times, and shows who may pass.
func testGrants(t *testing.T, door, ada string, box func(code int, args ...string) string) {
	t.Helper()
	if out := box(0, "door", "grants", door); !strings.Contains(out, "nobody may pass") {
		t.Errorf("nobody yet: %s", out)
	}
	box(0, "door", "grant", door, ada)
	if out := box(0, "door", "grants", door); !strings.Contains(out, ada) || !strings.Contains(out, "at any time") {
		t.Errorf("at any time: %s", out)
	}
	if out := box(0, "door", "zone", "Europe/Berlin"); !strings.Contains(out, "read in Europe/Berlin") {
		t.Errorf("zone: %s", out)
	}
	box(0, "door", "grant", door, ada, "--when", "fri-mon:08:00-17:30", "--when", "Wed,thursday:22:00-06:00", "--until", "2099-01-01T00:00:00Z")
	if out := box(0, "door", "grants", door); !strings.Contains(out, "fri,sat,sun,mon:08:00-17:30 wed,thu:22:00-06:00 Europe/Berlin until 2099-01-01T00:00:00Z") {
		t.Errorf("at some times: %s", out)
	}
	for span, want := range map[string]string{"mon": "is not as", "mon-fri:08:00": "is not as", "mo:08:00-09:00": "no day", "mon-:08:00-09:00": "no day", ":08:00-09:00": "no day"} {
		if out := box(2, "door", "grant", door, ada, "--when", span); !strings.Contains(out, want) {
			t.Errorf("%s: %s", span, out)
		}
	}
	if out := box(2, "door", "grant", door, ada, "--when", "mon:08:00-25:00"); !strings.Contains(out, "schedule[0].end must be a time") {
		t.Errorf("an hour that is none: %s", out)
	}
	if out := box(2, "door", "zone", "Middle/Earth"); !strings.Contains(out, "timeZone must be the name of a time zone") {
		t.Errorf("a zone that is none: %s", out)
	}
	box(2, "door", "zone", "--site", ada)
	if out := box(0, "door", "zone"); !strings.Contains(out, "read in Europe/Berlin") {
		t.Errorf("the zone stays: %s", out)
	}
	var list struct{ Grants []grant }
	if err := json.Unmarshal([]byte(box(0, "door", "grants", door, "--json")), &list); err != nil || len(list.Grants) != 1 || len(list.Grants[0].Schedule) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}
