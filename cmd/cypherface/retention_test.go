package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// somebody registers a person in the data of a box without a daemon.
func somebody(t *testing.T, data string) string {
	t.Helper()
	s, err := bolt.Open(bolt.Path(data, store.Sandbox), bolt.Options{Environment: store.Sandbox})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := store.Person{ID: store.NewID[store.PersonID](time.Now()), Firstname: "Ada", Lastname: "Lovelace", Status: store.PersonRegistered}
	err = s.Update(t.Context(), store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}, func(tx *store.Tx) error {
		page, err := store.List(tx, store.Merchants, store.Query[store.Merchant]{Limit: 1})
		if err != nil {
			return err
		}
		p.Merchant = page.Items[0].ID
		return store.Put(tx, &p)
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(p.ID)
}

func TestRetentionCommand(t *testing.T) {
	data := newBox(t)
	box := func(code int, args ...string) string {
		t.Helper()
		out, errs, got := cli(t, nil, append(append([]string{"retention"}, args...), "--data", data)...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	if out := box(0, "show"); !strings.Contains(out, "withdrawn") || !strings.Contains(out, "30 days") || !strings.Contains(out, "frames of sessions") {
		t.Errorf("show: %s", out)
	}
	if out := box(0, "set", "inactive=730"); !strings.Contains(out, "--yes") || !strings.Contains(out, "not seen for 730 days  0 people") {
		t.Errorf("set without --yes: %s", out)
	}
	if out := box(0, "show", "--json"); strings.Contains(out, `"days": 730`) {
		t.Errorf("it was set: %s", out)
	}
	if out := box(0, "set", "inactive=730", "crops=10", "--yes"); !strings.Contains(out, "730 days") || !strings.Contains(out, "enrolled again") {
		t.Errorf("set: %s", out)
	}
	if out := box(0, "set", "crops=default", "--yes", "--json"); strings.Contains(out, `"days": 10,`) {
		t.Errorf("default: %s", out)
	}
	for args, says := range map[string]string{
		"set pets=3": "no class", "set inactive=soon": "inactive=730", "set": "usage", "forget": "usage", "show inactive=1": "usage", "preview inactive=-1": "must be from 0",
	} {
		if out := box(2, strings.Fields(args)...); !strings.Contains(out, says) {
			t.Errorf("%s: %s", args, out)
		}
	}
}

func TestCredentialsCommand(t *testing.T) {
	data := newBox(t)
	ada := somebody(t, data)
	box := func(code int, in string, args ...string) string {
		t.Helper()
		out, errs, got := typedCLI(t, in, append(append([]string{"credentials"}, args...), "--data", data)...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	if out := box(0, "", "give", ada, "--type", "qr", "--label", "badge", "--expires", "2090-01-01"); !strings.Contains(out, "CFQ1.") || !strings.Contains(out, "█") {
		t.Errorf("code: %s", out)
	}
	box(0, "270182\n", "give", ada, "--type", "pin")
	if out := box(2, "111111\n", "give", ada, "--type", "pin"); !strings.Contains(out, "first that anybody would try") {
		t.Errorf("a simple PIN: %s", out)
	}
	if out := box(2, "\n", "give", ada, "--type", "card"); !strings.Contains(out, "nothing was typed") {
		t.Errorf("nothing: %s", out)
	}
	out := box(0, "", "list", ada)
	if !strings.Contains(out, "badge") || strings.Contains(out, "270182") {
		t.Errorf("list: %s", out)
	}
	id, _, _ := strings.Cut(strings.Split(out, "\n")[2], " ") // the PIN
	box(0, "", "unlock", ada, id)
	box(0, "", "revoke", ada, id)
	if out := box(2, "", "revoke", ada, id); !strings.Contains(out, "no such thing") {
		t.Errorf("revoked again: %s", out)
	}
	for _, args := range []string{"give " + ada, "list", "revoke " + ada, "give " + ada + " --type qr --expires soon"} {
		box(2, "", strings.Fields(args)...)
	}
}

// typedCLI is cli for a command that reads what is typed.
func typedCLI(t *testing.T, in string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, &terminal{in: strings.NewReader(in), out: &o, err: &e, getenv: func(string) string { return "" }})
	return o.String(), e.String(), code
}
