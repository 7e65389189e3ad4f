package api_test

import (
	"context"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// change is a change of the pack that stands still.
type change struct {
	state verify.Migration
	left  []verify.Left
	err   error
	by    store.Actor
}

func (c *change) Migration() verify.Migration { return c.state }
func (c *change) Left() []verify.Left         { return c.left }
func (c *change) Finish(_ context.Context, cause store.Cause) (int, error) {
	c.by = cause.Actor
	return len(c.left), c.err
}

// changingPack is a box whose pack is being changed.
func changingPack(t *testing.T) (*box, *change) {
	b := newBox(t, store.Sandbox)
	c := &change{state: verify.Migration{Stage: verify.StageWaiting, Pack: "basic", Space: "basic-1", To: "standard", ToSpace: "standard-1",
		People: 10, Done: 7, Left: 3, Rate: 31.4159, Remaining: 1500 * time.Millisecond, Begun: b.now}}
	b.API.Packs = c
	b.API.Reload = func(_ context.Context, cause store.Cause) (string, error) { c.by = cause.Actor; return "standard", nil }
	return b, c
}

func TestMigrationIsShown(t *testing.T) {
	b, c := changingPack(t)
	other, _ := b.newMerchant("Other")
	mine := []string{"0000000000000000000000a1", "0000000000000000000000a2"}
	for _, id := range mine {
		c.left = append(c.left, verify.Left{Person: store.PersonID(id), Merchant: b.merchant, Reason: verify.LeftNoCrop})
	}
	c.left = append(c.left, verify.Left{Person: "0000000000000000000000a3", Merchant: other, Reason: verify.LeftCrop})
	a := b.want(b.call("GET", "/migration/", nil), 200)
	m, users := a.body["migration"].(map[string]any), a.body["users"].([]any)
	if m["stage"] != "waiting" || m["pack"] != "basic" || m["toPack"] != "standard" || m["rate"] != 31.42 || m["left"] != 3.0 {
		t.Errorf("%v", m)
	}
	if len(users) != 2 || users[0].(map[string]any)["userId"] != mine[0] {
		t.Errorf("users %v, want those of the merchant alone", users)
	}
	a = b.want(b.call("GET", "/migration/?limit=1", nil), 200)
	if a.text("nextCursor") != mine[0] {
		t.Errorf("cursor %q", a.text("nextCursor"))
	}
	a = b.want(b.call("GET", "/migration/?limit=1&cursor="+mine[0], nil), 200)
	if users := a.body["users"].([]any); len(users) != 1 || users[0].(map[string]any)["userId"] != mine[1] || a.text("nextCursor") != "" {
		t.Errorf("second page %v", a.body)
	}
	for _, query := range []string{"?limit=0", "?limit=x", "?cursor=7", "?page=1"} {
		b.want(b.call("GET", "/migration/"+query, nil), 400)
	}
	b.status.Migration = c.state.String()
	if a := b.want(b.call("GET", "/readyz", nil), 200); a.body["warnings"].([]any)[0] != c.state.String() {
		t.Errorf("readyz says %v", a.body)
	}
	apiKey, key := b.auth.NewKey(b.merchant, "", store.RoleIntegrator, auth.Match)
	b.update(func(tx *store.Tx) error { return store.Put(tx, &key) })
	b.want(b.callAs("Bearer "+apiKey, "GET", "/migration/", nil), 403)
}

func TestMigrationThroughTheControlSocket(t *testing.T) {
	b, c := changingPack(t)
	c.left = []verify.Left{{Person: "0000000000000000000000a1", Merchant: b.merchant, Reason: verify.LeftNoCrop}}
	client := b.control(t, uint32(os.Getuid()))
	post := func(path string, status int) map[string]any {
		t.Helper()
		got, m := do(t, client, "POST", path, nil)
		if got != status {
			t.Errorf("%s: %d %v, want %d", path, got, m, status)
		}
		return m
	}
	if m := post("/control/models/reload", 200); m["pack"] != "standard" || c.by.Kind != store.ActorCLI {
		t.Errorf("%v by %v", m, c.by)
	}
	if m := post("/control/models/finish", 200); m["left"] != 1.0 {
		t.Errorf("%v", m)
	}
	c.err = verify.ErrUnfinished
	post("/control/models/finish", http.StatusConflict)
	c.err = verify.ErrNoMigration
	post("/control/models/finish", http.StatusConflict)
	b.API.Packs, b.API.Reload = nil, nil
	post("/control/models/finish", 404)
	post("/control/models/reload", 404)
	b.want(b.call("GET", "/migration/", nil), 404)
}
