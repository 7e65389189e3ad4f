package api

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

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

var errNoExports = web.Fail(http.StatusNotFound, "this box keeps no exports")

// exportPeople is POST /exchange/export/: it answers with all people of the merchant,
// sealed to the box whose key the body has; or with keep = true where they are to be
// fetched.
func (a *API) exportPeople(c *call) error {
	var in struct {
		Recipient string `json:"recipient"`
		Keep      bool   `json:"keep"`
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
	if in.Keep {
		return a.keepExport(ctx, c, to)
	}
	exportHeaders(c.w.Header())
	started := &countingWriter{w: c.w}
	_, err = bulk.Export(ctx, a.store, c.cause(), c.Merchant, to, started)
	if err != nil && started.n > 0 {
		// The file ends without its signature, and whoever reads it notices.
		a.Log.Error("an export was cut off", "err", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

func exportHeaders(h http.Header) {
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="people.cfx"`)
}

// keepExport makes an export that can be fetched in parts.
func (a *API) keepExport(ctx context.Context, c *call, to *seal.Recovery) error {
	if a.Exports == nil {
		return errNoExports
	}
	k, err := a.Exports.Make(ctx, c.cause(), c.Merchant, to)
	switch {
	case errors.Is(err, bulk.ErrBusy):
		return web.Fail(http.StatusConflict, "too many exports are kept; remove one, or come again when one has expired").Because(err)
	case errors.Is(err, bulk.ErrErased):
		return web.Fail(http.StatusConflict, "somebody was erased while the export was made; ask again").Because(err)
	case errors.Is(err, bulk.ErrNoRoom):
		return web.Fail(http.StatusServiceUnavailable, "there is no room for the export on the disk of the box; without keep it needs none").Because(err)
	case err != nil:
		return err
	}
	return c.reply(http.StatusCreated, struct {
		Success   bool           `json:"success"`
		ID        store.ExportID `json:"exportId"`
		People    int            `json:"people"`
		Bytes     int64          `json:"bytes"`
		ExpiresAt time.Time      `json:"expiresAt"`
	}{true, k.ID, k.People, k.Size, k.Expires.UTC()})
}

func (c *call) exportID() (store.ExportID, error) {
	id, err := store.ParseUUID[store.ExportID](c.r.PathValue("exportId"))
	if err != nil {
		return "", web.Fail(http.StatusBadRequest, "the id is not well formed").Field("exportId", "must be a UUID")
	}
	return id, nil
}

// fetchExport is GET /exchange/export/{exportId}/: the file, or the part of it that the
// header Range asks for. It is never changed, so that parts of several answers fit.
func (a *API) fetchExport(c *call) error {
	id, err := c.exportID()
	if err != nil {
		return err
	}
	if a.Exports == nil {
		return errNoExports
	}
	f, k, err := a.Exports.Open(c.Merchant, id)
	if err != nil {
		return err
	}
	defer f.Close()
	if c.Actor.Kind == store.ActorCLI {
		_, cancel := c.unlimited()
		defer cancel()
	}
	h := c.r.Header
	if !oneRange(h.Get("Range"), k.Size) {
		h.Del("Range") // the whole is an answer too
	}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
		h.Del(name) // of the conditions If-Range alone means something here
	}
	exportHeaders(c.w.Header())
	c.w.Header().Set("ETag", `"`+string(id)+`"`)
	http.ServeContent(c.w, c.r, "", time.Time{}, f)
	return nil
}

// oneRange reports whether a header Range asks for one part, from a place that a file
// of this size has.
func oneRange(header string, size int64) bool {
	from, to, ok := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	n, err := strconv.ParseUint(from, 10, 63)
	if ok = ok && err == nil && int64(n) < size && strings.HasPrefix(header, "bytes="); !ok || to == "" {
		return ok
	}
	last, err := strconv.ParseUint(to, 10, 63)
	return err == nil && last >= n
}

// removeExport is DELETE /exchange/export/{exportId}/: whoever has it whole need not
// wait until it goes by itself.
func (a *API) removeExport(c *call) error {
	id, err := c.exportID()
	if err != nil {
		return err
	}
	if a.Exports == nil {
		return errNoExports
	}
	if err := a.Exports.Remove(c.Merchant, id); err != nil {
		return err
	}
	return c.done("The export was removed.")
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
