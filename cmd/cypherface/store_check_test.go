package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/upkeep"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// keptBy has a daemon look after the store of a box until the test ends or stop is
// called.
func keptBy(t *testing.T, data string) (k *upkeep.Keeper, stop func()) {
	t.Helper()
	s, err := bolt.Open(bolt.Path(data, store.Sandbox), bolt.Options{
		Environment: store.Sandbox, Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: data}),
	})
	if err != nil {
		t.Fatal(err)
	}
	k = upkeep.New(upkeep.Config{Store: s, Dir: data, Copies: 3})
	authority, err := auth.Open(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := api.New(api.Config{Store: s, Authority: authority, Storage: k, Status: func() api.Status { return api.Status{} }})
	if err != nil {
		t.Fatal(err)
	}
	control := a.Control()
	standIn(t, data, func(w http.ResponseWriter, r *http.Request) {
		control.ServeHTTP(w, r.WithContext(api.AsPeer(r.Context(), uint32(os.Getuid()))))
	})
	stop = func() {
		a.Close()
		s.Close()
		os.Remove(filepath.Join(data, "control.sock"))
	}
	t.Cleanup(stop)
	return k, stop
}

// loseIndex takes an index away from a store that nobody has open.
func loseIndex(t *testing.T, data string) {
	t.Helper()
	db, err := bbolt.Open(bolt.Path(data, store.Sandbox), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("index.merchants")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestStoreCheck: what is wrong is said, mended and gone, without a daemon and
// through one.
func TestStoreCheck(t *testing.T) {
	b := newStoreBox(t)
	for _, online := range []bool{false, true} {
		if out := b.run(0, "store", "check"); !strings.Contains(out, "nothing is wrong") {
			t.Errorf("%s", out)
		}
		loseIndex(t, b.data)
		stop := func() {}
		if online {
			_, stop = keptBy(t, b.data)
		}
		var r upkeep.Report
		if err := json.Unmarshal([]byte(b.run(1, "store", "check", "--json")), &r); err != nil {
			t.Fatal(err)
		}
		if r.Whole() || r.Mended != 0 || r.Store.Faults[0].Part != store.PartIndex {
			t.Errorf("%+v", r.Store)
		}
		if out := b.run(1, "store", "check"); !strings.Contains(out, "the line is missing") || !strings.Contains(out, "--repair") {
			t.Errorf("%s", out)
		}
		if out := b.run(0, "store", "check", "--repair"); !strings.Contains(out, "mended") || !strings.Contains(out, "nothing is wrong") {
			t.Errorf("%s", out)
		}
		stop()
	}
	if err := os.Truncate(bolt.Path(b.data, store.Sandbox), 3*4096); err != nil {
		t.Fatal(err)
	}
	if out := b.run(1, "store", "check"); !strings.Contains(out, "ends at byte") || !strings.Contains(out, "store restore") {
		t.Errorf("%s", out)
	}
	if out := b.run(2, "store", "check", "--repair"); !strings.Contains(out, "store restore") {
		t.Errorf("%s", out)
	}
	for _, args := range [][]string{{"store", "check", "x"}, {"store", "check", "--env", "x"}, {"store", "compact", "x"}, {"store", "compact", "--env", "production"}} {
		b.run(2, args...)
	}
}

// TestStoreCheckOfCopies: hot copies are checked along, and a damaged one is named.
func TestStoreCheckOfCopies(t *testing.T) {
	b := newStoreBox(t)
	k, stop := keptBy(t, b.data)
	if err := k.Copy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out := b.run(0, "store", "check"); !strings.Contains(out, ", whole") {
		t.Errorf("%s", out)
	}
	stop()
	copies, err := upkeep.Copies(b.data, store.Sandbox)
	if err != nil || len(copies) != 1 {
		t.Fatal(copies, err)
	}
	if err := os.Truncate(filepath.Join(upkeep.CopyDir(b.data, store.Sandbox), copies[0].Name), 100); err != nil {
		t.Fatal(err)
	}
	if out := b.run(1, "store", "check"); !strings.Contains(out, ", damaged") || !strings.Contains(out, "remove it") {
		t.Errorf("%s", out)
	}
}

func TestStoreCompact(t *testing.T) {
	b := newStoreBox(t)
	var c compacted
	if err := json.Unmarshal([]byte(b.run(0, "store", "compact", "--json")), &c); err != nil || c.After == 0 || c.After >= c.Before {
		t.Errorf("%+v, %v", c, err)
	}
	keptBy(t, b.data)
	if out := b.run(0, "store", "compact"); !strings.Contains(out, "MiB, before") {
		t.Errorf("%s", out)
	}
}

// TestTheWayOutOfDamage: what the check says to do does help.
func TestTheWayOutOfDamage(t *testing.T) {
	b := newStoreBox(t)
	k, stop := keptBy(t, b.data)
	if err := k.Copy(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	before := b.run(0, "users", "list", "--json")
	for name, spoil := range map[string]func(path string) error{
		"cut":   func(path string) error { return os.Truncate(path, 3*4096) },
		"empty": func(path string) error { return os.Truncate(path, 0) },
		"text":  func(path string) error { return os.WriteFile(path, []byte("hello"), 0o600) },
	} {
		if err := spoil(bolt.Path(b.data, store.Sandbox)); err != nil {
			t.Fatal(err)
		}
		if out := b.run(1, "store", "check"); !strings.Contains(out, "cypherface store restore --copy latest") {
			t.Errorf("%s: %s", name, out)
		}
		b.run(0, "store", "restore", "--copy", "latest")
		if out := b.run(0, "store", "check"); !strings.Contains(out, "nothing is wrong") {
			t.Errorf("%s: %s", name, out)
		}
		if after := b.run(0, "users", "list", "--json"); after != before {
			t.Errorf("%s: %s, before %s", name, after, before)
		}
	}
}

// TestStoreBench: it measures, and leaves nothing.
func TestStoreBench(t *testing.T) {
	dir := t.TempDir()
	var r storeBench
	if err := json.Unmarshal([]byte(mustCLI(t, "store", "bench", "--dir", dir, "--time", "400ms", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Ratio) != 3 || r.Ratio[1] <= 0 || r.Ratio[64] <= 0 || r.Puts != 5 {
		t.Errorf("%+v", r)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	for _, args := range [][]string{{"store", "bench", "x"}, {"store", "bench", "--people", "-1"}, {"store", "bench", "--dir", dir + "/none"}} {
		if _, _, code := cli(t, nil, args...); code != 2 {
			t.Errorf("%v: code %d, want 2", args, code)
		}
	}
}
