package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestKeys(t *testing.T) {
	data := newBox(t)
	box := func(code int, args ...string) string {
		t.Helper()
		out, errs, got := cli(t, nil, append(args, "--data", data)...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	var made newKey
	if err := json.Unmarshal([]byte(box(0, "keys", "create", "--name", "kiosk", "--scopes", "match,detect", "--json")), &made); err != nil || made.APIKey == "" || len(made.Scopes) != 2 {
		t.Fatalf("%+v, %v", made, err)
	}
	if out := box(0, "keys", "rotate", made.KeyID); !strings.Contains(out, "24 hours") || !strings.Contains(out, "apiKey") {
		t.Errorf("rotate: %s", out)
	}
	if out := box(0, "keys", "list"); !strings.Contains(out, "expiring") || !strings.Contains(out, "kiosk") || strings.Contains(out, made.APIKey) {
		t.Errorf("list: %s", out)
	}
	box(0, "keys", "revoke", made.KeyID)
	var all []apiKey
	if err := json.Unmarshal([]byte(box(0, "keys", "list", "--json")), &all); err != nil || len(all) != 2 || all[0].Status != "revoked" {
		t.Errorf("%+v, %v", all, err)
	}
	if out := box(0, "keys", "login"); strings.Count(out, ".") != 2 {
		t.Errorf("login: %s", out)
	}
	for says, args := range map[string][]string{
		"usage": {"keys"}, "usage: ": {"keys", "rotate"}, "scopes": {"keys", "create", "--scopes", "fly"}, "UUID": {"keys", "revoke", "7"},
	} {
		if out := box(2, args...); !strings.Contains(out, says) {
			t.Errorf("%v: %s", args, out)
		}
	}
}
