package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// auditLog is what the API wants of audit.Log.
type auditLog interface {
	List(context.Context, audit.Query) (store.Page[store.Envelope], error)
	Verify(context.Context, audit.VerifyOptions) (audit.Report, error)
	Prove(ctx context.Context, epoch, seq uint64) (audit.Proof, error)
	Export(context.Context, io.Writer, audit.ExportOptions) error
	Checkpoint(context.Context) (audit.Checkpoint, error)
	Key() string
	Event(ctx context.Context, epoch, seq uint64) (store.Event, error)
	Receipt(ctx context.Context, m store.MerchantID, epoch, seq uint64, copies func(*store.Event) []audit.Copy) (audit.Receipt, error)
}

// maxCheckpoints bounds the checkpoints that a verification is given, in bytes.
const maxCheckpoints = 4 << 20

// auditOperations are those of the control socket about the audit log, of all
// merchants:
//
//	GET  /control/audit               a page of events, the newest first: kind, person, merchant, from, to, limit, cursor
//	GET  /control/audit/export        format, epoch, from, to, personal; streams
//	POST /control/audit/verify        {"checkpoints":["…"]}; streams {"done","total"} and then {"report"}, a line each
//	GET  /control/audit/proof/{seq}   epoch
//	POST /control/audit/checkpoint    signs the log as it is
func auditOperations() []operation {
	audited := func(action string, handle func(*API, *call) error) func(*API, *call) error {
		return func(a *API, c *call) error {
			if a.Audit == nil {
				return web.Fail(http.StatusNotFound, "this box keeps no audit log")
			}
			// Who reads the log is in it; pages that follow are of the same reading.
			if c.r.URL.Query().Get("cursor") == "" {
				if err := a.noteAccess(c, action); err != nil {
					return err
				}
			}
			return handle(a, c)
		}
	}
	return []operation{
		{"GET", "/control/audit", "", audited("audit_list", (*API).listAudit)},
		{"GET", "/control/audit/export", "", audited("audit_export", (*API).exportAudit)},
		{"POST", "/control/audit/verify", "", audited("audit_verify", (*API).verifyAudit)},
		{"GET", "/control/audit/proof/{seq}", "", audited("audit_prove", (*API).proveAudit)},
		{"POST", "/control/audit/checkpoint", "", audited("audit_checkpoint", (*API).checkpointAudit)},
	}
}

// noteAccess puts into the log that an operator looks at it.
func (a *API) noteAccess(c *call, action string) error {
	by := store.Cause{Actor: operator(c.r), Request: web.RequestID(c.ctx()), Essential: true}
	return a.store.Update(c.ctx(), by, func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventAccess, Action: action, Outcome: store.OutcomeGranted}, nil)
		return err
	})
}

// moment reads a time or a day (UTC) of a query; it is zero where there is none.
func moment(q url.Values, name string) (time.Time, error) {
	s := q.Get(name)
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, web.Fail(http.StatusBadRequest, "%s is not a time", name).Field(name, "must be like 2026-11-26 or 2026-11-26T08:00:00Z")
}

func natural(q url.Values, name string) (n uint64, err error) {
	if s := q.Get(name); s != "" {
		if n, err = strconv.ParseUint(s, 10, 62); err != nil {
			return 0, web.Fail(http.StatusBadRequest, "%s is not a number", name).Field(name, "must be a natural number")
		}
	}
	return n, nil
}

// listAudit is GET /control/audit.
func (a *API) listAudit(c *call) error {
	v := c.r.URL.Query()
	q := audit.Query{Merchant: store.MerchantID(v.Get("merchant")), Person: store.PersonID(v.Get("person")), Cursor: store.Cursor(v.Get("cursor"))}
	for _, k := range v["kind"] {
		q.Kinds = append(q.Kinds, store.EventKind(k))
	}
	limit, err1 := natural(v, "limit")
	from, err2 := moment(v, "from")
	to, err3 := moment(v, "to")
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return err
		}
	}
	q.Limit, q.From, q.To = int(min(limit, 1000)), from, to
	page, err := a.Audit.List(c.ctx(), q)
	if err != nil {
		return err
	}
	events := make([]json.RawMessage, len(page.Items))
	for i, e := range page.Items {
		events[i] = e.Raw
	}
	return c.reply(http.StatusOK, struct {
		Success    bool              `json:"success"`
		Events     []json.RawMessage `json:"events"`
		NextCursor store.Cursor      `json:"nextCursor,omitempty"`
	}{true, events, page.Next})
}

// exportAudit is GET /control/audit/export.
func (a *API) exportAudit(c *call) error {
	v := c.r.URL.Query()
	epoch, err1 := natural(v, "epoch")
	from, err2 := moment(v, "from")
	to, err3 := moment(v, "to")
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return err
		}
	}
	opt := audit.ExportOptions{Format: audit.Format(v.Get("format")), Epoch: epoch, From: from, To: to, Personal: v.Get("personal") == "true"}
	contentType := "application/jsonl"
	switch opt.Format {
	case "", audit.JSONLines:
	case audit.CSV:
		contentType = "text/csv"
	default:
		return web.Fail(http.StatusBadRequest, "there is no format %q", web.Clip(v.Get("format"), 20)).Field("format", "must be jsonl or csv")
	}
	ctx, done := c.unlimited()
	defer done()
	c.w.Header().Set("Content-Type", contentType)
	return auditProblem(a.Audit.Export(ctx, c.w, opt))
}

// verifyAudit is POST /control/audit/verify.
func (a *API) verifyAudit(c *call) error {
	var body struct {
		Checkpoints []string `json:"checkpoints"`
	}
	if err := web.Decode(c.r, &body, maxCheckpoints); err != nil {
		return err
	}
	ctx, done := c.unlimited()
	defer done()
	out, control := json.NewEncoder(c.w), http.NewResponseController(c.w)
	c.w.Header().Set("Content-Type", "application/jsonl")
	told := time.Now()
	report, err := a.Audit.Verify(ctx, audit.VerifyOptions{Checkpoints: body.Checkpoints, Progress: func(done, total uint64) {
		if time.Since(told) < 200*time.Millisecond {
			return
		}
		told = time.Now()
		_ = out.Encode(map[string]uint64{"done": done, "total": total}) // the end tells whether anybody listens
		_ = control.Flush()
	}})
	if err != nil {
		return auditProblem(err)
	}
	return out.Encode(map[string]audit.Report{"report": report})
}

// proveAudit is GET /control/audit/proof/{seq}.
func (a *API) proveAudit(c *call) error {
	seq, err := strconv.ParseUint(c.r.PathValue("seq"), 10, 62)
	if err != nil {
		return web.Fail(http.StatusBadRequest, "the number of an event is a natural number").Field("seq", "must be a natural number")
	}
	epoch, err := natural(c.r.URL.Query(), "epoch")
	if err != nil {
		return err
	}
	ctx, done := c.unlimited()
	defer done()
	proof, err := a.Audit.Prove(ctx, epoch, seq)
	if err != nil {
		return auditProblem(err)
	}
	return c.reply(http.StatusOK, proof)
}

// checkpointAudit is POST /control/audit/checkpoint.
func (a *API) checkpointAudit(c *call) error {
	cp, err := a.Audit.Checkpoint(c.ctx())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success    bool   `json:"success"`
		Key        string `json:"key"`
		Checkpoint string `json:"checkpoint"`
		Size       uint64 `json:"size"`
	}{true, a.Audit.Key(), cp.Note, cp.Size})
}

// auditProblem tells the operator, who asks from the box itself, what is wrong.
func auditProblem(err error) error {
	switch {
	case errors.Is(err, audit.ErrNoEvent):
		return web.Fail(http.StatusNotFound, "%v", err).Because(err)
	case errors.Is(err, audit.ErrDropped), errors.Is(err, audit.ErrUntrue), errors.Is(err, store.ErrDamaged):
		return web.Fail(http.StatusUnprocessableEntity, "%v", err).Because(err)
	}
	return err
}

var _ auditLog = (*audit.Log)(nil)
