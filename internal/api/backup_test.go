package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/backup"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// sealedBox is an API over a sealed store, whose backups wait twice for turn where it
// is set.
func sealedBox(t *testing.T) (b *box, turn *chan struct{}) {
	t.Helper()
	dir := t.TempDir()
	s, err := bolt.Open(bolt.Path(dir, store.Sandbox), bolt.Options{
		Environment: store.Sandbox, NoSync: true, Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: dir}),
	})
	if err != nil {
		t.Fatal(err)
	}
	turn = new(chan struct{})
	b = &box{t: t, store: s}
	if b.auth, err = auth.Open(context.Background(), s, nil); err != nil {
		t.Fatal(err)
	}
	b.API, err = api.New(api.Config{
		Store: s, Authority: b.auth, Verifier: b.faces, Detector: b.faces, Status: func() api.Status { return api.Status{} },
		Backup: func(ctx context.Context, by store.Actor, sameBox bool) (*backup.Backup, error) {
			if *turn != nil {
				<-*turn
				<-*turn
			}
			return backup.New(ctx, s, backup.Source{Dir: dir, Actor: by, SameBox: sameBox})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		s.Close()
		if files, _ := filepath.Glob(filepath.Join(dir, "sandbox", "backup.db*")); len(files) > 0 {
			t.Errorf("left %v", files)
		}
	})
	return b, turn
}

func TestBackupThroughTheSocket(t *testing.T) {
	b, turn := sealedBox(t)
	client := b.control(t, uint32(os.Getuid()))
	if status, m := do(t, client, "POST", "/control/backup", `{}`); status != http.StatusConflict || !strings.Contains(m["message"].(string), "cypherface key recovery new") {
		t.Errorf("no recovery key: status %d: %v", status, m)
	}
	if status, m := do(t, client, "POST", "/control/backup", `{"to":"/etc/passwd"}`); status != http.StatusBadRequest {
		t.Errorf("an unknown field: status %d: %v", status, m)
	}
	post := func() (*http.Response, error) {
		return client.Post("http://box/control/backup", "application/json", strings.NewReader(`{"sameBox":true}`))
	}
	resp, err := post()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != 200 || resp.ContentLength != int64(len(raw)) || resp.Header.Get("Content-Type") != "application/octet-stream" {
		t.Fatalf("status %d, %d of %d bytes, %v", resp.StatusCode, len(raw), resp.ContentLength, err)
	}
	f, err := backup.Read(io.NopCloser(bytes.NewReader(raw)))
	if err != nil || f.About().Environment != store.Sandbox {
		t.Errorf("%+v, %v", f, err)
	}
	var last store.Event
	b.update(func(tx *store.Tx) error {
		events, err := store.Events(tx, 0, 1000)
		last = events[len(events)-1]
		return err
	})
	if last.Kind != store.EventAccess || last.Action != "backup" || last.Actor.Kind != store.ActorCLI {
		t.Errorf("the journal says %+v", last)
	}

	*turn = make(chan struct{})
	first := make(chan error)
	go func() {
		resp, err := post()
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			err = errors.Join(err, resp.Body.Close())
		}
		first <- err
	}()
	*turn <- struct{}{} // it has begun
	if status, m := do(t, client, "POST", "/control/backup", `{}`); status != http.StatusConflict || !strings.Contains(m["message"].(string), "already") {
		t.Errorf("a second one: status %d: %v", status, m)
	}
	*turn <- struct{}{}
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestNoBackupFromTheNetwork(t *testing.T) {
	b := newBox(t, store.Sandbox)
	if a := b.call("POST", "/control/backup", `{"sameBox":true}`); a.status != http.StatusNotFound {
		t.Errorf("status %d: %s", a.status, a.raw)
	}
	client := b.control(t, uint32(os.Getuid()))
	if status, m := do(t, client, "POST", "/control/backup", `{}`); status != http.StatusNotFound {
		t.Errorf("a box that makes none: status %d: %v", status, m)
	}
}
