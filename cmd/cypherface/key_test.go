package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// TestKeyLeavesTheBox: the first command seals the data of an older box, with a
// key beside it; then the key moves to a file elsewhere, and back.
func TestKeyLeavesTheBox(t *testing.T) {
	data := newBox(t)
	elsewhere, err := os.MkdirTemp("/dev/shm", "usb")
	if err != nil {
		t.Skipf("no second file system: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(elsewhere) })
	usb, near := filepath.Join(elsewhere, "usb.key"), filepath.Join(data, "near.key")
	for i, path := range []string{usb, near} {
		if err := os.WriteFile(path, bytes.Repeat([]byte{byte(7 + i)}, 32), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(code int, args ...string) string {
		t.Helper()
		out, errs, got := cli(t, nil, append(args, "--data", data)...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	states := func(out string) (all []keyState) {
		t.Helper()
		if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 || all[0].Environment != store.Sandbox {
			t.Fatalf("%s: %v", out, err)
		}
		return all
	}
	if out := run(2, "key", "show"); !strings.Contains(out, "first start") {
		t.Errorf("not sealed yet: %s", out)
	}
	if f := (checkup{data: data}).rest(store.Sandbox); f.State != note || !strings.Contains(f.Found, "not encrypted") {
		t.Errorf("%+v", f)
	}
	run(0, "users", "list")
	first := states(run(0, "key", "show", "--json"))[0]
	if first.Source != "local" || !strings.Contains(first.Warning, "theft") {
		t.Errorf("%+v", first)
	}
	if f := (checkup{data: data}).rest(store.Sandbox); f.State != note || !strings.Contains(f.Found, "theft") {
		t.Errorf("%+v", f)
	}

	if out := run(0, "key", "rotate", "--to", "file:"+usb); strings.Contains(out, "theft") {
		t.Errorf("%s", out)
	}
	if _, err := os.Stat(filepath.Join(data, "master.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the local key is still there: %v", err)
	}
	if f := (checkup{data: data}).rest(store.Sandbox); f.State != fine {
		t.Errorf("%+v", f)
	}
	if out := run(2, "users", "list"); !strings.Contains(out, "key-file") {
		t.Errorf("without the key: %s", out)
	}
	run(0, "users", "list", "--master-key", "file:"+usb)

	if out := run(0, "key", "rotate", "--master-key", "file:"+usb, "--to", "file:"+near); !strings.Contains(out, "same disk") {
		t.Errorf("%s", out)
	}
	usb = near
	last := states(run(0, "key", "rotate", "--json", "--master-key", "file:"+usb, "--to", "local"))[0]
	if last.Source != "local" || last.Key == first.Key {
		t.Errorf("%+v after %+v", last, first)
	}
	run(0, "users", "list")
}

func TestKeyNeedsAStoppedBox(t *testing.T) {
	data := newBox(t)
	lock, err := bolt.Lock(bolt.Path(data, store.Sandbox))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if out, errs, code := cli(t, nil, "key", "rotate", "--to", "local", "--data", data); code != 2 || !strings.Contains(errs, "in use") {
		t.Errorf("code %d\n%s%s", code, out, errs)
	}
	for _, args := range [][]string{{"key"}, {"key", "rotate"}, {"key", "show", "--to", "local"}, {"key", "lose"}} {
		if _, _, code := cli(t, nil, args...); code != 2 {
			t.Errorf("%v: code %d, want 2", args, code)
		}
	}
	for _, to := range []string{"nowhere", "file:" + data + "/none"} {
		if _, errs, code := cli(t, nil, "key", "rotate", "--to", to, "--data", data); code != 2 || !strings.Contains(errs, "master key") {
			t.Errorf("%s: code %d, %s", to, code, errs)
		}
	}
}
