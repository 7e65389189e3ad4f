package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// People go from one box to another, and are recognised there.
func TestExportImport(t *testing.T) {
	here, there, dir := newBox(t), newBox(t), faceFiles(t)
	on := func(data string, code int, args ...string) string {
		t.Helper()
		if args[0] != "export" {
			args = append(args, "--packs", testPacks)
		}
		out, errs, got := cli(t, nil, append(args, "--data", data)...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	on(here, 0, "enrol", "--name", "Ada Lovelace", "--email", "ada@example.org", file("a1.png"))
	if err := os.WriteFile(file("there.key"), []byte(on(there, 0, "import", "--key")), 0o600); err != nil {
		t.Fatal(err)
	}
	var e struct{ Signer string }
	if err := json.Unmarshal([]byte(on(here, 0, "export", "--to", file("there.key"), "--out", file("people.cfx"), "--json")), &e); err != nil || e.Signer == "" {
		t.Fatalf("%+v, %v", e, err)
	}
	on(here, 2, "export", "--to", file("there.key"), "--out", file("people.cfx"))
	on(here, 2, "export", "--to", file("a1.png"), "--out", file("x.cfx"))
	on(here, 2, "import", file("people.cfx")) // it is sealed to the other one
	on(there, 2, "import", file("people.cfx"), "--from", "0000")
	if out := on(there, 0, "import", file("people.cfx"), "--check"); !strings.Contains(out, "1 of 1 people could be enrolled") {
		t.Errorf("check: %s", out)
	}
	if out := on(there, 0, "import", file("people.cfx"), "--from", e.Signer); !strings.Contains(out, "1 of 1 people enrolled") {
		t.Errorf("%s", out)
	}
	if out := on(there, 0, "identify", file("a2.png")); !strings.Contains(out, "Ada Lovelace") {
		t.Errorf("%s", out)
	}
	if out := on(there, 0, "import", file("people.cfx")); !strings.Contains(out, "1 were known already") {
		t.Errorf("again: %s", out)
	}
}
