package api_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/cypherface/edge/docs/client"
	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/store"
)

// The Go client goes through the operations of a person's rights.
func TestTheGoClientForRights(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ctx := t.Context()
	must := b.must
	c, owner := client.New(b.url, b.apiKey), client.New(b.url, b.login())
	yes := true
	policy, err := owner.ChangePolicy(ctx, client.PolicyRequest{RequireConsent: &yes})
	must(err)
	again, err := owner.Policy(ctx)
	must(err)
	if !policy.RequireConsent || policy != again {
		t.Errorf("policy %+v, %+v", policy, again)
	}
	text, err := owner.CreateConsentText(ctx, "1", "en", "I agree.")
	must(err)
	draft, err := owner.CreateConsentText(ctx, "2", "en", "I do.")
	must(err)
	must(owner.DeleteConsentText(ctx, draft.TextID))
	current, err := c.CurrentConsentText(ctx, "en")
	must(err)
	shown, err := c.ConsentText(ctx, text.TextID)
	must(err)
	if current != text || shown != text || text.Text != "I agree." {
		t.Errorf("texts %+v, %+v, %+v", text, current, shown)
	}
	user, err := c.Register(ctx, client.UserFields{Firstname: "Ada", Lastname: "Lovelace", Email: "ada@example.org"})
	must(err)
	given, err := c.GiveConsent(ctx, user.UserID, client.ConsentRequest{TextID: text.TextID, Through: "kiosk"})
	must(err)
	retired, err := owner.RetireConsentText(ctx, text.TextID)
	must(err)
	page, err := c.ConsentTexts(ctx, "")
	must(err)
	list, err := c.Consents(ctx, user.UserID)
	must(err)
	if !given.Valid || given.RecordedBy.Kind != "key" || retired.RetiredAt.IsZero() || len(page.ConsentTexts) != 1 || !list.MayEnrol || len(list.Consents) != 1 {
		t.Errorf("given %+v, retired %+v, page %+v, list %+v", given, retired, page, list)
	}
	gone, err := c.WithdrawConsent(ctx, user.UserID, true, "")
	must(err)
	erasure, err := c.EraseUser(ctx, user.UserID)
	must(err)
	for _, id := range []string{gone.ErasureID, erasure} {
		receipt, err := c.Receipt(ctx, id)
		must(err)
		if _, _, err := audit.VerifyReceipt(receipt, b.journal.Key()); err != nil {
			t.Error(err)
		}
	}
}

// The Go client goes through the operations of doors, and of who may pass them by what.
func TestTheGoClientForDoors(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ctx := t.Context()
	must := b.must
	c, owner := client.New(b.url, b.apiKey), client.New(b.url, b.login())
	camera, frames := "demo:", 5
	door, err := owner.CreateDoor(ctx, client.DoorRequest{Name: "Front", Camera: &camera, Policy: &client.DoorPolicyRequest{Liveness: "off"}})
	must(err)
	changed, err := owner.ChangeDoor(ctx, door.DoorID, client.DoorRequest{Policy: &client.DoorPolicyRequest{Frames: &frames}})
	must(err)
	shown, err := c.Door(ctx, door.DoorID)
	must(err)
	doors, err := c.Doors(ctx)
	must(err)
	if changed.Policy.Frames != 5 || changed.Policy.Liveness != "off" || changed.Name != "Front" || shown != changed || len(doors) != 1 || doors[0] != shown {
		t.Errorf("door %+v, changed %+v, shown %+v, all %+v", door, changed, shown, doors)
	}
	user := b.register("Ada")
	open, err := owner.GrantDoor(ctx, door.DoorID, user, client.GrantRequest{})
	must(err)
	from, schedule := b.now.Add(-time.Hour), []client.ScheduleWindow{{Days: []string{"saturday", "sunday"}, Start: "22:00", End: "06:00"}}
	bound, err := owner.GrantDoor(ctx, door.DoorID, user, client.GrantRequest{Schedule: schedule, From: &from})
	must(err)
	page, err := c.Grants(ctx, door.DoorID, "")
	must(err)
	own, err := c.UserGrants(ctx, user)
	must(err)
	if open.Schedule != nil || bound.GrantID != open.GrantID || !reflect.DeepEqual(bound.Schedule, schedule) || !bound.From.Equal(from) || bound.TimeZone != "UTC" ||
		!reflect.DeepEqual(page.Grants, []client.Grant{bound}) || !reflect.DeepEqual(own, page.Grants) {
		t.Errorf("open %+v, bound %+v, page %+v, own %+v", open, bound, page, own)
	}
	var e *client.Error
	if _, err := owner.GrantDoor(ctx, door.DoorID, user, client.GrantRequest{Schedule: []client.ScheduleWindow{}}); !errors.As(err, &e) || e.Status != 400 {
		t.Errorf("a schedule without a window: %v", err)
	}

	badge, err := c.GiveCredential(ctx, user, client.CredentialRequest{Type: "qr", Label: "badge"})
	must(err)
	_, err = owner.GrantDoor(ctx, door.DoorID, user, client.GrantRequest{})
	must(err)
	passes := func() bool {
		t.Helper()
		v, err := c.VerifyCredential(ctx, client.CredentialShown{Type: "qr", Value: badge.Value, DoorID: door.DoorID})
		must(err)
		return v.Granted != nil && *v.Granted
	}
	if !passes() {
		t.Error("granted, and may not pass")
	}
	must(owner.UngrantDoor(ctx, door.DoorID, user))
	if passes() {
		t.Error("the grant is gone, and he may pass")
	}
	must(c.UnlockCredential(ctx, user, badge.Credential.CredentialID))
	must(c.RevokeCredential(ctx, user, badge.Credential.CredentialID))
	left, err := c.Credentials(ctx, user)
	must(err)
	must(owner.DeleteDoor(ctx, door.DoorID))
	if _, err := c.Door(ctx, door.DoorID); !errors.As(err, &e) || e.Status != 404 || len(left) != 0 {
		t.Errorf("the door stays: %v, credentials %+v", err, left)
	}
}
