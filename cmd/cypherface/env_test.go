package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/store"
)

func TestEnableProductionWithoutADaemon(t *testing.T) {
	data := newBox(t)
	box := func(code int, args ...string) string {
		t.Helper()
		out, errs, got := cli(t, nil, append(args, "--data", data)...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	if out := box(0, "env", "list"); !strings.Contains(out, "not enabled") {
		t.Errorf("list: %s", out)
	}
	if out := box(2, "users", "list", "--env", "production"); !strings.Contains(out, "env enable production") {
		t.Errorf("before: %s", out)
	}
	var first api.FirstKey
	if err := json.Unmarshal([]byte(box(0, "env", "enable", "production", "--json")), &first); err != nil || first.APIKey == "" || first.MerchantID == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	if out := box(2, "env", "enable", "production"); !strings.Contains(out, "enabled already") {
		t.Errorf("again: %s", out)
	}
	if out := box(2, "env", "enable", "staging"); !strings.Contains(out, "only other environment") {
		t.Errorf("another: %s", out)
	}
	box(2, "env", "enable")
	box(2, "users", "list", "--env", "staging")
	if out := box(0, "users", "list", "--env", "production"); !strings.Contains(out, "nobody") {
		t.Errorf("users: %s", out)
	}
	var list []api.Environment
	if err := json.Unmarshal([]byte(box(0, "env", "list", "--json")), &list); err != nil || len(list) != 2 || !list[1].Enabled {
		t.Errorf("%+v, %v", list, err)
	}
	if _, errs, code := cli(t, nil, "env", "enable", "production", "--data", t.TempDir()); code != 2 || !strings.Contains(errs, "no box") {
		t.Errorf("no box: code %d, %s", code, errs)
	}
}

func TestCommandsNameTheirEnvironment(t *testing.T) {
	data := newBox(t)
	var hosts []string
	standIn(t, data, func(w http.ResponseWriter, r *http.Request) {
		hosts = append(hosts, r.Host+r.URL.Path)
		switch r.URL.Path {
		case "/control/environments":
			_ = json.NewEncoder(w).Encode(map[string]any{"environments": []api.Environment{{Environment: store.Sandbox, Enabled: true, Ready: true, URL: "http://x"}}})
		case "/control/environments/production":
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(api.FirstKey{Environment: store.Production, URL: "https://y", APIKey: "the-key"})
		default:
			_, _ = w.Write([]byte(`{"users":[]}`))
		}
	})
	for _, args := range [][]string{{"users", "list", "--env", "production"}, {"users", "list"}, {"env", "list"}, {"env", "enable", "production"}} {
		out, errs, code := cli(t, nil, append(args, "--data", data)...)
		if code != 0 {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
		if args[1] == "enable" && (!strings.Contains(out, "the-key") || !strings.Contains(out, "https://y")) {
			t.Errorf("enable: %s", out)
		}
	}
	if got := strings.Join(hosts, " "); got != "production/users/ sandbox/users/ sandbox/control/environments sandbox/control/environments/production" {
		t.Errorf("asked %s", got)
	}
}
