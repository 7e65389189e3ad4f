package api

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// exchangeKey is GET /exchange/key/: what another box seals people to for this one,
// and what this one signs with.
func (a *API) exchangeKey(c *call) error {
	k, err := bulk.ExchangeKeys(c.ctx(), a.store)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success     bool   `json:"success"`
		Recipient   string `json:"recipient"`   // the key, as text
		Fingerprint string `json:"fingerprint"` // of it
		Signer      string `json:"signer"`      // fingerprint of the key that exports are signed with
	}{true, k.Receive.Public().Recipient(), k.Receive.Public().Fingerprint(), seal.SignerFingerprint(k.Sign.Public().(ed25519.PublicKey))})
}

// exportPeople is POST /exchange/export/: it answers with all people of the merchant,
// sealed to the box whose key the body has.
func (a *API) exportPeople(c *call) error {
	var in struct {
		Recipient string `json:"recipient"`
	}
	if err := web.DecodeStrict(c.r, &in, 64<<10); err != nil {
		return err
	}
	to, err := seal.ParseRecipient([]byte(in.Recipient))
	if err != nil {
		return web.Fail(http.StatusBadRequest, "the key of the other box is not well formed").Field("recipient", "must be the text that the other box shows").Because(err)
	}
	ctx := c.ctx()
	if c.Actor.Kind == store.ActorCLI {
		var cancel context.CancelFunc
		ctx, cancel = c.unlimited()
		defer cancel()
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Disposition", `attachment; filename="people.cfx"`)
	started := &countingWriter{w: c.w}
	_, err = bulk.Export(ctx, a.store, c.cause(), c.Merchant, to, started)
	if err != nil && started.n > 0 {
		// The file ends without its signature, and whoever reads it notices.
		a.Log.Error("an export was cut off", "err", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// countingWriter counts what was written.
type countingWriter struct {
	w io.Writer
	n int64
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	w.n += int64(n)
	return n, err
}

// importPeople is POST /exchange/import/: what another box exported is taken in, and
// worked off as a bulk enrolment.
func (a *API) importPeople(c *call) error {
	if a.Bulk == nil {
		return errNoBulk
	}
	q := c.r.URL.Query()
	r := bulk.Request{Merchant: c.Merchant, Import: true, From: q.Get("from"), New: q.Get("existing") == "new"}
	q.Del("from")
	if r.New {
		q.Del("existing")
	}
	known, err := bulkRequest(q)
	if err != nil {
		return err
	}
	r.Check, r.Update = known.Check, known.Update
	ctx := c.ctx()
	if c.Actor.Kind == store.ActorCLI {
		var cancel context.CancelFunc
		ctx, cancel = c.unlimited()
		defer cancel()
	}
	job, err := a.Bulk.Add(ctx, c.cause(), r, c.r.Body)
	if errors.Is(err, bulk.ErrParcel) {
		return web.Fail(http.StatusUnprocessableEntity, "%s", strings.TrimPrefix(err.Error(), "take upload: ")).Because(err)
	}
	if err != nil {
		return bulkProblem(err)
	}
	return c.reply(http.StatusAccepted, struct {
		Success bool    `json:"success"`
		Bulk    BulkJob `json:"bulk"`
	}{true, toBulkJob(bulk.Progress{Bulk: job})})
}
