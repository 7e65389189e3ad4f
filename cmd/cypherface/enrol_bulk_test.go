package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Many people from a folder and from a table, on a box without a daemon: who can
// be is enrolled, once, and the report says the rest.
func TestEnrolMany(t *testing.T) {
	data, dir := newBox(t), faceFiles(t)
	enrol := func(code int, args ...string) string {
		t.Helper()
		out, errs, got := cli(t, nil, append(append([]string{"enrol"}, args...), "--data", data, "--packs", testPacks)...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	table := filepath.Join(dir, "people.csv")
	lines := "firstname,lastname,email,externalId,images\nAda,Lovelace,ada@example.org,a1,a1.png|a2.png\nBea,B,,b2,b.png\nCy,C,,c3,grey.png\nDan,D,,d4,../d.png\n"
	if err := os.WriteFile(table, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := enrol(1, "--from", table, "--check"); !strings.Contains(out, "2 of 4 people could be enrolled") {
		t.Errorf("check: %s", out)
	}
	twice := filepath.Join(dir, "twice.csv") // two pictures of one face under two people
	if err := os.WriteFile(twice, []byte("externalId,image\nx1,a1.png\nx2,b.png\nx3,a2.png\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := enrol(0, "--from", twice, "--check"); !strings.Contains(out, "3 of 3 people could be enrolled, 1 may be somebody else") ||
		!strings.Contains(out, "line 4  looks like line 2 of this upload (numbers 3 and 1)") {
		t.Errorf("one face twice: %s", out)
	}
	report := filepath.Join(dir, "report.csv")
	out := enrol(1, "--from", table, "--report", report)
	for _, want := range []string{"2 of 4 people enrolled, 2 refused", "line 4  refused: no_face", "line 5  refused: missing"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if raw, err := os.ReadFile(report); err != nil || strings.Count(string(raw), "\n") != 5 {
		t.Errorf("%v: %s", err, raw)
	}
	var r bulkReport
	if err := json.Unmarshal([]byte(enrol(1, "--from", table, "--json")), &r); err != nil || r.Bulk.Exists != 2 || r.Bulk.Enrolled != 0 {
		t.Errorf("again: %+v, %v", r.Bulk, err)
	}
	folder := filepath.Join(dir, "staff")
	for _, name := range []string{"a1", "b2"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "b.png"))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "b2", "1.png"), raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out := enrol(0, "--from", folder, "--update"); !strings.Contains(out, "1 have a new face") {
		t.Errorf("a folder: %s", out)
	}
	for _, args := range [][]string{{"--from", filepath.Join(dir, "nothing.zip")}, {"--from", filepath.Join(dir, "a1.png")}, {"--from", table, "--name", "x"}, {"--job", "7"}} {
		if _, _, code := cli(t, nil, append(append([]string{"enrol"}, args...), "--data", data, "--packs", testPacks)...); code != 2 {
			t.Errorf("%v: code %d", args, code)
		}
	}
}
