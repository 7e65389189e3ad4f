package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

func peer(own uint32) func(context.Context, net.Conn) context.Context { return api.Peer(own) }

// do sends a request over the control socket.
func do(t *testing.T, client *http.Client, method, path string, body any, header ...string) (int, map[string]any) {
	t.Helper()
	var r io.Reader
	contentType := "application/json"
	switch body := body.(type) {
	case string:
		r = strings.NewReader(body)
	case upload:
		r, contentType = bytes.NewReader(body.data), body.contentType
	}
	req, err := http.NewRequest(method, "http://box"+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, m
}

func TestTheControlSocketNeedsNoKey(t *testing.T) {
	b := newBox(t, store.Sandbox)
	client := b.control(t, uint32(os.Getuid()))
	status, m := do(t, client, "POST", "/register/", `{"firstname":"Ada","lastname":"Test","email":"ada@example.org"}`)
	if status != 201 {
		t.Fatalf("status %d: %v", status, m)
	}
	id := m["userId"].(string)
	if status, m = do(t, client, "POST", "/control/enrol/"+id, form("image", jpegOf(red), jpegOf(red))); status != 200 || m["images"] != 2.0 {
		t.Errorf("enrol: status %d: %v", status, m)
	}
	b.faces.sees = blue
	if status, m = do(t, client, "POST", "/control/enrol/"+id, `{"source":"camera"}`); status != 200 {
		t.Errorf("enrol by camera: status %d: %v", status, m)
	}
	if status, m = do(t, client, "GET", "/control/status", nil); status != 200 || m["camera"] != "live" {
		t.Errorf("status %d: %v", status, m)
	}
	var by store.Actor
	b.update(func(tx *store.Tx) error {
		events, err := store.Events(tx, 0, 1000)
		by = events[len(events)-1].Actor
		return err
	})
	if want := (store.Actor{Kind: store.ActorCLI, ID: strconv.Itoa(os.Getuid())}); by != want {
		t.Errorf("the journal says %+v did it, want %+v", by, want)
	}
}

func TestControlEnrolRefuses(t *testing.T) {
	b := newBox(t, store.Sandbox)
	client := b.control(t, uint32(os.Getuid()))
	id := b.register("Ada")
	for _, tt := range []struct {
		id     string
		body   any
		status int
	}{
		{"7", form("image", jpegOf(red)), 400},
		{strings.Repeat("a", 24), form("image", jpegOf(red)), 404},
		{id, form("image", jpegOf(red), jpegOf(nobody)), 422},
		{id, form("image", jpegOf(red), upload{[]byte("x"), "image/jpeg"}), 406},
		{id, `{"source":"camera"}`, 422},
		{id, `{}`, 400},
	} {
		if status, m := do(t, client, "POST", "/control/enrol/"+tt.id, tt.body); status != tt.status {
			t.Errorf("%s %v: status %d: %v", tt.id, tt.body, status, m)
		}
	}
}

func TestTheControlSocketServesOneMerchantAtATime(t *testing.T) {
	b := newBox(t, store.Sandbox)
	other, _ := b.newMerchant("Other", auth.Match)
	b.register("Ada")
	client := b.control(t, uint32(os.Getuid()))
	if status, m := do(t, client, "GET", "/users", nil); status != 400 {
		t.Errorf("which one? status %d: %v", status, m)
	}
	status, m := do(t, client, "GET", "/users", nil, "merchantId", string(other))
	if status != 200 || len(m["users"].([]any)) != 0 {
		t.Errorf("status %d: %v", status, m)
	}
	if status, _ := do(t, client, "GET", "/users", nil, "merchantId", strings.Repeat("a", 24)); status != 404 {
		t.Errorf("unknown merchant: status %d", status)
	}
}

func TestThePublicServerHasNoControl(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.want(b.call("GET", "/control/status", nil), 404)
	b.want(b.call("POST", "/control/enrol/"+strings.Repeat("a", 24), nil), 404)
}

func TestStrangersAreTurnedAwayFromTheSocket(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may reach every socket, so there is no stranger to play")
	}
	b := newBox(t, store.Sandbox)
	client := b.control(t, uint32(os.Getuid())+1)
	if _, err := client.Get("http://box/users"); err == nil {
		t.Error("let in")
	}
}
