package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// A door is made, asks for less, lets somebody through, and goes.
func TestDoorCommand(t *testing.T) {
	data := newBox(t)
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
	box(0, "door", "remove", d.DoorID)
	if out := box(0, "door", "list"); !strings.Contains(out, "no doors") {
		t.Errorf("afterwards: %s", out)
	}
}
