package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/upkeep"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/backup"
	"github.com/cypherface/edge/store/bolt"
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
	if got := b.run(0, "store", "erasures", "--out", out); !strings.Contains(got, "0 so far") {
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

// TestStoreRestore: a box is lost, and comes back on another machine without him who
// was erased meanwhile; then hot copies, on the same box.
func TestStoreRestore(t *testing.T) {
	b := newStoreBox(t)
	put := func(names ...string) {
		t.Helper()
		b.update(func(tx *store.Tx) (err error) {
			for _, name := range names {
				err = errors.Join(err, store.Put(tx, &store.Person{ID: store.PersonID(name + "00000000000000000000"), Merchant: b.merchant(tx), Firstname: name, Lastname: "L"}))
			}
			return err
		})
	}
	put("ada0", "bea0")
	dir := t.TempDir()
	file, log := filepath.Join(dir, "box.backup"), filepath.Join(dir, "box.erasures")
	b.run(0, "store", "backup", "--to", file)
	b.run(0, "users", "delete", "ada000000000000000000000")
	b.run(0, "store", "erasures", "--out", log)

	c := &storeBox{t, filepath.Join(dir, "other"), b.key}
	restore := []string{"store", "restore", "--from", file}
	if out := c.run(2, restore...); !strings.Contains(out, "--recovery-key") {
		t.Errorf("no key: %s", out)
	}
	restore = append(restore, "--recovery-key", b.key)
	if out := c.run(2, restore...); !strings.Contains(out, "not known who was erased") || !strings.Contains(out, "--accept-unknown-erasures") {
		t.Errorf("unknown erasures: %s", out)
	}
	if out := c.run(0, append(restore, "--dry-run", "--accept-unknown-erasures")...); !strings.Contains(out, "is right") {
		t.Errorf("tried: %s", out)
	}
	c.run(2, "users", "list")
	var done backup.Done
	if err := json.Unmarshal([]byte(c.run(0, append(restore, "--erasures", log, "--json")...)), &done); err != nil || done.Erased != 1 || done.Unknown {
		t.Errorf("%+v, %v", done, err)
	}
	if out := c.run(0, "users", "list"); strings.Contains(out, "ada") || !strings.Contains(out, "bea") {
		t.Errorf("restored: %s", out)
	}

	// The key as a person types it.
	text, err := os.ReadFile(b.key)
	if err != nil {
		t.Fatal(err)
	}
	typed := &terminal{in: bytes.NewReader(bytes.ToLower(text)), out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }}
	if code := run(t.Context(), []string{"store", "restore", "--from", file, "--recovery-key", "-", "--data", b.data}, typed); code != 0 {
		t.Errorf("typed: code %d", code)
	}
	if out := b.run(0, "users", "list"); strings.Contains(out, "ada") || !strings.Contains(out, "bea") {
		t.Errorf("in place: %s", out)
	}
	if aside, _ := filepath.Glob(filepath.Join(b.data, "sandbox.before-*")); len(aside) != 1 {
		t.Errorf("aside lies %v", aside)
	}
	if f, ok := (checkup{data: b.data}).aside(); !ok || f.State != note || !strings.Contains(f.Found, "sandbox.before-") {
		t.Errorf("doctor says %+v", f)
	}
}

func TestStoreRestoreCopy(t *testing.T) {
	b := newStoreBox(t)
	if out := b.run(2, "store", "restore", "--latest"); !strings.Contains(out, "no hot copy") {
		t.Errorf("none: %s", out)
	}
	dir := upkeep.CopyDir(b.data, store.Sandbox)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.with(func(s *bolt.Store) error { return s.Copy(t.Context(), filepath.Join(dir, "2026-11-26T080000.000Z.db")) })
	b.update(func(tx *store.Tx) error {
		return store.Put(tx, &store.Person{ID: "ada000000000000000000000", Merchant: b.merchant(tx), Firstname: "Ada", Lastname: "L"})
	})
	if out := b.run(2, "store", "restore", "--copy", "x"); !strings.Contains(out, "2026-11-26T080000.000Z.db") {
		t.Errorf("another: %s", out)
	}
	if out := b.run(0, "store", "restore", "--copy", "latest"); !strings.Contains(out, "26 November 2026, 08:00 UTC") || !strings.Contains(out, "sandbox.before-") {
		t.Errorf("restored: %s", out)
	}
	if out := b.run(0, "users", "list"); strings.Contains(out, "Ada") {
		t.Errorf("users: %s", out)
	}
	b.run(0, "store", "restore", "--latest") // copies are there still
}

func TestStoreRestoreRefuses(t *testing.T) {
	b := newStoreBox(t)
	file := filepath.Join(t.TempDir(), "box.backup")
	b.run(0, "store", "backup", "--to", file)
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"nothing", nil, "usage"},
		{"both", []string{"--from", file, "--latest"}, "usage"},
		{"a key for a copy", []string{"--latest", "--recovery-key", b.key}, "usage"},
		{"no such file", []string{"--from", file + "x"}, "no such file"},
		{"no backup", []string{"--from", b.key}, "not a backup"},
		{"no such key", []string{"--from", file, "--recovery-key", file + "x"}, "read the recovery key"},
		{"no key", []string{"--from", file, "--recovery-key", file}, "begins with CFR1"},
		{"other environment", []string{"--from", file, "--env", "production"}, "--env sandbox"},
		{"no environment", []string{"--from", file, "--env", "staging"}, "staging"},
	} {
		if out := b.run(2, append([]string{"store", "restore"}, tt.args...)...); !strings.Contains(out, tt.says) {
			t.Errorf("%s: %s", tt.name, out)
		}
	}
	standIn(t, b.data, func(http.ResponseWriter, *http.Request) {})
	if out := b.run(2, "store", "restore", "--from", file, "--recovery-key", b.key); !strings.Contains(out, "stop it first") {
		t.Errorf("the box runs: %s", out)
	}
}

// TestStoreBackupAsksTheDaemon: what a daemon sends is kept whole or not at all.
func TestStoreBackupAsksTheDaemon(t *testing.T) {
	b := newStoreBox(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "box.backup")
	b.run(0, "store", "backup", "--to", file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	length, code := len(whole), http.StatusOK
	standIn(t, b.data, func(w http.ResponseWriter, r *http.Request) {
		if code != http.StatusOK {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(`{"message":"a backup is being made already"}`))
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
		_, _ = w.Write(whole[:length])
	})
	b.run(0, "store", "backup", "--to", filepath.Join(dir, "asked"))
	if got, err := os.ReadFile(filepath.Join(dir, "asked")); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	length /= 2
	if out := b.run(2, "store", "backup", "--to", filepath.Join(dir, "half")); !strings.Contains(out, "broke off") {
		t.Errorf("half of it: %s", out)
	}
	code = http.StatusConflict
	if out := b.run(2, "store", "backup", "--to", filepath.Join(dir, "half")); !strings.Contains(out, "already") {
		t.Errorf("refused: %s", out)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("left %v, %v", files, err)
	}
}

// with opens the store.
func (b *storeBox) with(fn func(*bolt.Store) error) {
	b.Helper()
	s, err := bolt.Open(bolt.Path(b.data, store.Sandbox), bolt.Options{
		Environment: store.Sandbox, Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: b.data}),
	})
	if err == nil {
		err = errors.Join(fn(s), s.Close())
	}
	if err != nil {
		b.Fatal(err)
	}
}

func (b *storeBox) update(fn func(*store.Tx) error) {
	b.Helper()
	b.with(func(s *bolt.Store) error {
		return s.Update(b.Context(), store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}, fn)
	})
}

func (b *storeBox) merchant(tx *store.Tx) store.MerchantID {
	b.Helper()
	page, err := store.List(tx, store.Merchants, store.Query[store.Merchant]{})
	if err != nil || len(page.Items) != 1 {
		b.Fatalf("%d merchants, %v", len(page.Items), err)
	}
	return page.Items[0].ID
}
