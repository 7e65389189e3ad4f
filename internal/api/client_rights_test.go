package api_test

import (
	"testing"

	"github.com/cypherface/edge/docs/client"
	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/store"
)

// The Go client goes through the operations of a person's rights.
func TestTheGoClientForRights(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
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
