package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/daemon"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// programs are the daemons that this test's program can be, by its first argument.
var programs = map[string]daemon.Program{"be-a-box": daemon.Box, "be-a-central": daemon.Central}

// startProgram starts a daemon in a process of its own, which ends with the test, and
// returns a client of its control socket.
func startProgram(t *testing.T, word, data string, args ...string) *client {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{word, "--data", data, "--listen", "127.0.0.1:0", "--packs", testPacks, "--copies", "0"}, args...)...)
	pipe, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer // whole once read is closed
	ready, read := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewReader(io.TeeReader(pipe, &log))
		for told := false; ; {
			line, err := lines.ReadString('\n')
			if !told && (err != nil || strings.Contains(line, "msg=ready")) {
				told = true
				close(ready)
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		err := cmd.Process.Signal(syscall.SIGTERM)
		<-read
		if err = errors.Join(err, cmd.Wait()); err != nil {
			t.Errorf("%s ended with %v\n%s", word, err, log.String())
		}
	})
	<-ready
	return socketClient(filepath.Join(data, "control.sock"), store.Sandbox)
}

// TestSyncAdopt: a box whose people are held when it joins adopts one by his id, then
// the others, by command lines against real processes.
func TestSyncAdopt(t *testing.T) {
	if testing.Short() {
		t.Skip("starts two daemons")
	}
	if _, err := tflite.Load(nil, tflite.Options{}); errors.Is(err, tflite.ErrNoRuntime) {
		t.Skip("built without TensorFlow Lite")
	}
	data, home := newBox(t), newBox(t)
	ids := addPeople(t, data, "ada", "bea", "cora")
	central := startProgram(t, "be-a-central", home)
	box := startProgram(t, "be-a-box", data, "--camera", "none:")
	atCentral := func() []string { return usersOf(t, central) }

	adopt := func(code int, says string, args ...string) {
		t.Helper()
		out, errs, got := cli(t, nil, slices.Concat([]string{"sync", "adopt"}, args, []string{"--data", data})...)
		if got != code || !strings.Contains(out+errs, says) {
			t.Errorf("sync adopt %v: status %d, want %d with %q; it says %s%s", args, got, code, says, out, errs)
		}
	}
	adopt(2, "joined no central")

	var site struct{ SiteID string }
	if err := central.call(t.Context(), "POST", "/sites/", map[string]string{"name": "north"}, &site); err != nil {
		t.Fatal(err)
	}
	var claim struct{ Code string }
	if err := central.call(t.Context(), "POST", "/claims/", map[string]string{"siteId": site.SiteID}, &claim); err != nil {
		t.Fatal(err)
	}
	mustCLI(t, "join", claim.Code, "--hold", "--name", "gate", "--data", data)
	await(t, "the box has everything", func() bool {
		var s syncState
		out := mustCLI(t, "sync", "status", "--json", "--data", data)
		return json.Unmarshal([]byte(out), &s) == nil && s.Joined && s.Synced
	})
	if list := atCentral(); len(list) > 0 {
		t.Errorf("held people went up: %v", list)
	}
	adopt(2, "nobody was adopted", ids[0], "0123456789abcdef01234567")
	adopt(0, `"adopted": 1`, "--json", ids[0])
	await(t, "ada is at the central", func() bool { return slices.Equal(atCentral(), ids[:1]) })
	adopt(2, "nobody was adopted", ids[0])
	adopt(0, "2 people go up to the central")
	await(t, "all are at the central", func() bool { return slices.Equal(atCentral(), ids) })
	adopt(0, "0 people go up to the central")
	if list := usersOf(t, box); !slices.Equal(list, ids) {
		t.Errorf("on the box are %v, want %v", list, ids)
	}
	if _, errs, code := cli(t, nil, "sync", "now", ids[0], "--data", data); code != 2 || !strings.Contains(errs, "usage") {
		t.Errorf("sync now with an id: status %d, %s", code, errs)
	}
}

// addPeople puts people into the store of a box without a daemon, and returns their
// ids, sorted.
func addPeople(t *testing.T, data string, names ...string) (ids []string) {
	t.Helper()
	s, err := bolt.Open(bolt.Path(data, store.Sandbox), bolt.Options{Environment: store.Sandbox})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cause := store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}
	err = s.Update(t.Context(), cause, func(tx *store.Tx) error {
		merchants, err := store.List(tx, store.Merchants, store.Query[store.Merchant]{})
		if err != nil {
			return err
		}
		for _, name := range names {
			p := store.Person{ID: store.NewID[store.PersonID](tx.Time()), Merchant: merchants.Items[0].ID, Firstname: name, Email: name + "@example.org", Status: store.PersonRegistered}
			if err := store.Put(tx, &p); err != nil {
				return err
			}
			ids = append(ids, string(p.ID))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ids)
	return ids
}

// usersOf lists who is somewhere, sorted.
func usersOf(t *testing.T, c *client) (ids []string) {
	t.Helper()
	var list struct{ Users []struct{ UserID string } }
	if err := c.call(t.Context(), http.MethodGet, "/users/", nil, &list); err != nil {
		t.Fatal(err)
	}
	for _, u := range list.Users {
		ids = append(ids, u.UserID)
	}
	slices.Sort(ids)
	return ids
}

// await waits until something is true.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
