package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// A face that two people have: asked about, looked at, merged.
func TestReviewCommand(t *testing.T) {
	data, dir := newBox(t), faceFiles(t)
	box := func(code int, args ...string) string {
		t.Helper()
		args = append(args, "--data", data)
		if args[0] == "enrol" || args[0] == "review" {
			args = append(args, "--packs", testPacks)
		}
		out, errs, got := cli(t, nil, args...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	enrol := func(name, file string) (e enrolment) {
		t.Helper()
		if err := json.Unmarshal([]byte(box(0, "enrol", "--json", "--name", name+" Lovelace", "--email", name+"@example.org", filepath.Join(dir, file))), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	if out := box(0, "review", "list"); !strings.Contains(out, "nothing to look at") {
		t.Errorf("list: %s", out)
	}
	ada, double := enrol("Ada", "a1.png"), enrol("Adah", "a2.png")
	var open []review
	if err := json.Unmarshal([]byte(box(0, "review", "list", "--json")), &open); err != nil || len(open) != 1 || open[0].Reason != "duplicate" {
		t.Fatalf("%+v, %v", open, err)
	}
	if out := box(0, "review", "show", open[0].ReviewID); !strings.Contains(out, "Adah Lovelace") {
		t.Errorf("show: %s", out)
	}
	if out := box(0, "review", "merge", ada.UserID, double.UserID); !strings.Contains(out, "--yes") || !strings.Contains(out, "2 crops") {
		t.Errorf("dry run: %s", out)
	}
	box(0, "users", "show", double.UserID)
	if out := box(0, "review", "merge", ada.UserID, double.UserID, "--fields", "email", "--yes"); !strings.Contains(out, "Adah@example.org") || !strings.Contains(out, "is no more") {
		t.Errorf("merge: %s", out)
	}
	if out := box(2, "users", "show", double.UserID); !strings.Contains(out, "is "+ada.UserID+" now") {
		t.Errorf("who is no more: %s", out)
	}
	if out := box(0, "review", "statistics"); !strings.Contains(out, "0 confirmed") {
		t.Errorf("statistics: %s", out)
	}
	for _, args := range []string{"", "settle x", "merge x", "show", "list x", "list --state lost", "wrong x"} {
		box(2, append([]string{"review"}, strings.Fields(args)...)...)
	}
}
