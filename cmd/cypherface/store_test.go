package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/backup"
	"github.com/cypherface/edge/store/seal"
)

// a storeBox is the data of a box without a daemon, and its recovery key.
type storeBox struct {
	*testing.T
	data, key string // folder, file
}

func newStoreBox(t *testing.T) *storeBox {
	t.Helper()
	b := &storeBox{t, newBox(t), filepath.Join(t.TempDir(), "recovery.key")}
	b.run(0, "users", "list") // seals the data
	b.run(0, "key", "recovery", "new", "--out", b.key)
	return b
}

func (b *storeBox) run(code int, args ...string) string {
	b.Helper()
	out, errs, got := cli(b.T, nil, append(args, "--data", b.data)...)
	if got != code {
		b.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
	}
	return out + errs
}

func TestStoreBackup(t *testing.T) {
	b := newStoreBox(t)
	file := filepath.Join(t.TempDir(), "box.backup")
	var s backupState
	if err := json.Unmarshal([]byte(b.run(0, "store", "backup", "--to", file, "--json")), &s); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(file)
	if err != nil || st.Size() != s.Bytes || st.Mode().Perm() != 0o600 || s.Environment != store.Sandbox || s.Warning != "" {
		t.Errorf("%+v, %v, %v", s, st, err)
	}
	if out := b.run(0, "key", "recovery", "show"); !strings.Contains(out, s.Recovery) {
		t.Errorf("sealed to %s, and the key is %s", s.Recovery, out)
	}
	text, err := os.ReadFile(b.key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := seal.ParseRecoveryKey(text)
	if err != nil {
		t.Fatal(err)
	}
	f, err := backup.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Unlock(k, nil); err != nil || f.Manifest.Device != s.Device {
		t.Errorf("%+v, %v", f.Manifest, err)
	}
	if out := b.run(2, "store", "backup", "--to", file); !strings.Contains(out, "--force") {
		t.Errorf("a file that is there: %s", out)
	}
	if out := b.run(0, "store", "backup", "--to", file, "--force", "--same-box"); !strings.Contains(out, "lost disk") {
		t.Errorf("for the same box: %s", out)
	}
	if out := b.run(2, "store", "backup", "--to", filepath.Join(b.data, "none", "x")); !strings.Contains(out, "no such file") {
		t.Errorf("no such folder: %s", out)
	}
	if files, _ := filepath.Glob(filepath.Join(b.data, "sandbox", "backup.db*")); len(files) > 0 {
		t.Errorf("left %v", files)
	}
}

func TestStoreBackupNeedsAKey(t *testing.T) {
	b := &storeBox{t, newBox(t), ""}
	b.run(0, "users", "list")
	file := filepath.Join(t.TempDir(), "box.backup")
	if out := b.run(2, "store", "backup", "--to", file); !strings.Contains(out, "cypherface key recovery new") || !strings.Contains(out, "--same-box") {
		t.Errorf("no recovery key: %s", out)
	}
	// Somebody slips his own public key in.
	if err := os.WriteFile(seal.RecoveryPath(b.data), foreignRecovery(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := b.run(2, "store", "backup", "--to", file); !strings.Contains(out, "was not told of the recovery key") {
		t.Errorf("another's recovery key: %s", out)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("there is a file")
	}
	for _, args := range [][]string{{"store"}, {"store", "lose"}, {"store", "backup"}, {"store", "backup", "--to", file, "x"}, {"store", "erasures"}} {
		b.run(2, args...)
	}
	if out := b.run(2, "store", "backup", "--to", file, "--env", "staging"); !strings.Contains(out, "staging") {
		t.Errorf("no such environment: %s", out)
	}
}

// foreignRecovery is the public half of another box's recovery key.
func foreignRecovery(t *testing.T) []byte {
	t.Helper()
	other := newStoreBox(t)
	raw, err := os.ReadFile(seal.RecoveryPath(other.data))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestStoreErasures(t *testing.T) {
	b := newStoreBox(t)
	out := filepath.Join(t.TempDir(), "erasures")
	if got := b.run(0, "store", "erasures", "--out", out); !strings.Contains(got, "0 people") {
		t.Errorf("%s", got)
	}
	lines, err := seal.Erasures(out)
	if err != nil || len(lines) != 1 {
		t.Errorf("%d lines, %v, want that of the keyring", len(lines), err)
	}
	if _, errs, code := cli(t, nil, "store", "erasures", "--out", out, "--data", t.TempDir()); code != 2 || !strings.Contains(errs, "first start") {
		t.Errorf("no box: code %d, %s", code, errs)
	}
}
