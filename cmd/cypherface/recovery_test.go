package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// TestRecoveryKey: the private half is given out once, to the terminal or a file,
// and stays nowhere on the box.
func TestRecoveryKey(t *testing.T) {
	data := newBox(t)
	run := func(code int, args ...string) string {
		t.Helper()
		out, errs, got := cli(t, nil, append(append([]string{"key", "recovery"}, args...), "--data", data)...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	if out := run(2, "new"); !strings.Contains(out, "first start") {
		t.Errorf("no keyring yet: %s", out)
	}
	if _, errs, code := cli(t, nil, "users", "list", "--data", data); code != 0 { // seals the data
		t.Fatal(errs)
	}
	if f := (checkup{data: data}).recovery(); f.State != note || !strings.Contains(f.Found, "lost data") {
		t.Errorf("%+v", f)
	}
	if out := run(2, "show"); !strings.Contains(out, "lost data") {
		t.Errorf("none yet: %s", out)
	}
	if out := run(2, "new", "--json"); !strings.Contains(out, "--out") || strings.Contains(out, "CFR1") {
		t.Errorf("as JSON: %s", out)
	}
	shown := run(0, "new")
	at := strings.Index(shown, "CFR1-")
	if at < 0 || strings.Count(shown, "CFR1") != 1 {
		t.Fatalf("shown: %s", shown)
	}
	k, err := seal.ParseRecoveryKey([]byte(strings.Fields(shown[at:])[0]))
	if err != nil || !strings.Contains(shown, k.Public().Fingerprint()) {
		t.Fatalf("%v: %s", err, shown)
	}
	if out := run(0, "show"); !strings.Contains(out, k.Public().Fingerprint()) || strings.Contains(out, "CFR1") {
		t.Errorf("show: %s", out)
	}
	if f := (checkup{data: data}).recovery(); f.State != fine || !strings.Contains(f.Found, k.Public().Fingerprint()) {
		t.Errorf("%+v", f)
	}
	if out := run(2, "new"); !strings.Contains(out, "--replace") {
		t.Errorf("a second one: %s", out)
	}

	file := filepath.Join(t.TempDir(), "recovery.key")
	var state recoveryState
	if err := json.Unmarshal([]byte(run(0, "new", "--replace", "--out", file, "--json")), &state); err != nil || state.File != file {
		t.Fatalf("%+v, %v", state, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	next, err := seal.ParseRecoveryKey(text)
	if err != nil || next.Public().Fingerprint() != state.Fingerprint || state.Fingerprint == k.Public().Fingerprint() {
		t.Errorf("%s: %v", text, err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	before := run(0, "show")
	if out := run(2, "new", "--replace", "--out", file); !strings.Contains(out, "exists") {
		t.Errorf("a file that is there: %s", out)
	}
	if run(0, "show") != before {
		t.Error("the recovery key changed although the new one was not handed over")
	}
	for _, args := range [][]string{{"show", "--replace"}, {"show", "--out", file}, {"lose"}, {"new", "--to", "local"}, {"new", "x"}} {
		run(2, args...)
	}
}

func TestRecoveryKeyNeedsAStoppedBox(t *testing.T) {
	data := newBox(t)
	if _, errs, code := cli(t, nil, "users", "list", "--data", data); code != 0 {
		t.Fatal(errs)
	}
	lock, err := bolt.Lock(bolt.Path(data, store.Sandbox))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	out, errs, code := cli(t, nil, "key", "recovery", "new", "--data", data)
	if code != 2 || !strings.Contains(errs, "in use") || strings.Contains(out, "CFR1") {
		t.Errorf("code %d\n%s%s", code, out, errs)
	}
}

// TestNoKeyIntoPipes: a pipe may lead anywhere, into a log too.
func TestNoKeyIntoPipes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if forEyes(w) {
		t.Error("a pipe is taken for a terminal")
	}
}
