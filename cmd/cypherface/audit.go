package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/store"
)

func auditCommand() command {
	return command{
		name: "audit", args: "list|export|verify|prove|receipt|checkpoint [flags] [ARGUMENT]",
		summary: "the log of all that happened, and proofs of it",
		help: `The audit log is a Merkle tree (RFC 6962) whose checkpoints the box signs. Nobody
changes, removes or reorders an event unnoticed by one who has a checkpoint: keep
one elsewhere now and then, with the key.

  cypherface audit list --kind decision --from 2026-11-01
  cypherface audit export --out audit.jsonl            what can be verified anywhere
  cypherface audit export --format csv --out audit.csv for a spreadsheet
  cypherface audit checkpoint --out box.checkpoint     signs the log as it is, shows the key
  cypherface audit checkpoint --qr                     for a photograph, or paper
  cypherface audit verify                              the log of the box, against its checkpoints
  cypherface audit verify --checkpoint box.checkpoint  and against one kept elsewhere
  cypherface audit prove 4711 --out event.proof        one event, provable without the log
  cypherface audit receipt 1-4711 --out gone.receipt   that somebody was erased
  cypherface audit verify event.proof --key KEY        a proof, export or receipt, on any machine

verify exits with status 1 where the log does not hold, and says which event is
changed, missing, out of order, or where the log was forked.
`,
		run: runAudit,
	}
}

// auditFlags are the flags of all verbs.
type auditFlags struct {
	boxFlags
	asJSON                                       *bool
	out, from, to, person, format, key, notePath *string
	kinds                                        *string
	limit                                        *int
	epoch                                        *uint64
	personal, qr                                 *bool
}

func runAudit(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := auditCommand().flags(t)
	f := auditFlags{
		boxFlags: addBoxFlags(fs, t), asJSON: asJSON,
		out:      fs.String("out", "", "export, prove, receipt, checkpoint: `file` to write, in place of the terminal"),
		from:     fs.String("from", "", "list, export: from this `time` or day (UTC) on"),
		to:       fs.String("to", "", "list, export: before this `time` or day (UTC)"),
		kinds:    fs.String("kind", "", "list: `kinds` of events, separated by commas: decision, enrolment, change, erasure, access, …"),
		person:   fs.String("person", "", "list: about this `person`"),
		limit:    fs.Int("limit", 50, "list: at most so many events; 0: all"),
		format:   fs.String("format", string(audit.JSONLines), "export: jsonl or csv"),
		personal: fs.Bool("personal", false, "export: with what of the events tells about people"),
		qr:       fs.Bool("qr", false, "checkpoint: as a QR code"),
		epoch:    fs.Uint64("epoch", 0, "export, prove: of an earlier epoch, before a backup was restored"),
		notePath: fs.String("checkpoint", "", "verify: `file` with a checkpoint that was kept elsewhere"),
		key:      fs.String("key", "", "verify FILE: the `key` of the box, as checkpoint shows it"),
	}
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	verb := ""
	if len(words) > 0 {
		verb = words[0]
	}
	switch {
	case verb == "list" && len(words) == 1:
		return f.list(ctx, t)
	case verb == "export" && len(words) == 1:
		return f.export(ctx, t)
	case verb == "checkpoint" && len(words) == 1:
		return f.checkpoint(ctx, t)
	case verb == "verify" && len(words) == 1:
		return f.verify(ctx, t)
	case verb == "verify" && len(words) == 2:
		return f.verifyFile(t, words[1])
	case verb == "prove" && len(words) == 2:
		return f.prove(ctx, t, words[1])
	case verb == "receipt" && len(words) == 2:
		return f.receipt(ctx, t, words[1])
	}
	fs.Usage()
	return errUsage
}

// query puts what is given of some flags into a query.
func query(values map[string]string) url.Values {
	q := url.Values{}
	for name, v := range values {
		if v != "" {
			q.Set(name, v)
		}
	}
	return q
}

func (f auditFlags) list(ctx context.Context, t *terminal) error {
	c, err := f.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	q := query(map[string]string{"from": *f.from, "to": *f.to, "person": *f.person})
	if *f.kinds != "" {
		q["kind"] = strings.Split(*f.kinds, ",")
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	all := []json.RawMessage{}
	for left := *f.limit; ; {
		q.Set("limit", "1000")
		if *f.limit > 0 {
			q.Set("limit", strconv.Itoa(min(left, 1000)))
		}
		var page struct {
			Events     []json.RawMessage
			NextCursor string
		}
		if err := c.call(ctx, "GET", "/control/audit?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		for _, raw := range page.Events {
			if *f.asJSON {
				all = append(all, raw)
			} else if err := printEvent(w, raw); err != nil {
				return err
			}
		}
		left -= len(page.Events)
		if page.NextCursor == "" || *f.limit > 0 && left <= 0 {
			break
		}
		q.Set("cursor", page.NextCursor)
	}
	if *f.asJSON {
		return printJSON(t.out, all)
	}
	return w.Flush()
}

// printEvent writes an event as a line of words.
func printEvent(w io.Writer, raw []byte) error {
	var e store.Event
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("read the box's answer: %w", err)
	}
	about := string(e.Person)
	if e.Change != nil {
		about = fmt.Sprintf("%s %s %s", e.Change.Op, e.Change.Kind, e.Change.ID)
	}
	_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Seq, e.Time.Local().Format("2006-01-02 15:04:05"), e.Kind,
		strings.TrimSpace(e.Action+" "+string(e.Outcome)), strings.Join(e.Reasons, ","), strings.TrimSpace(string(e.Actor.Kind)+" "+e.Actor.ID), about)
	return err
}

func (f auditFlags) export(ctx context.Context, t *terminal) error {
	c, err := f.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	q := query(map[string]string{"format": *f.format, "from": *f.from, "to": *f.to})
	if *f.personal {
		q.Set("personal", "true")
	}
	if *f.epoch > 0 {
		q.Set("epoch", strconv.FormatUint(*f.epoch, 10))
	}
	answer, err := c.send(ctx, "GET", "/control/audit/export?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	return f.write(t, func(w io.Writer) error {
		if _, err := io.Copy(w, answer); err != nil {
			return fmt.Errorf("the export broke off: %w (the log of the box says why)", err)
		}
		return nil
	})
}

// write writes to the file that was named, which is there only when it is whole,
// or to the terminal.
func (f auditFlags) write(t *terminal, fn func(io.Writer) error) error {
	if *f.out == "" {
		return fn(t.out)
	}
	return writeWhole(t, *f.out, fn)
}

// writeWhole writes a file, which is there only when it is whole.
func writeWhole(t *terminal, path string, fn func(io.Writer) error) error {
	draft := path + ".new"
	file, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = fn(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(draft, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	fmt.Fprintln(t.err, "written to", path)
	return nil
}

func (f auditFlags) checkpoint(ctx context.Context, t *terminal) error {
	c, err := f.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	var out struct {
		Key        string `json:"key"`
		Checkpoint string `json:"checkpoint"`
		Size       uint64 `json:"size"`
	}
	if err := c.call(ctx, "POST", "/control/audit/checkpoint", nil, &out); err != nil {
		return err
	}
	return f.write(t, func(w io.Writer) error {
		if *f.asJSON {
			return printJSON(w, out)
		}
		if *f.out == "" {
			fmt.Fprintf(t.err, "key %s\n\n", out.Key)
		} else {
			fmt.Fprintf(t.out, "key %s\n", out.Key)
		}
		if *f.qr {
			return printQR(w, out.Checkpoint)
		}
		_, err := io.WriteString(w, out.Checkpoint)
		return err
	})
}

func (f auditFlags) prove(ctx context.Context, t *terminal, word string) error {
	seq, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not the number of an event (cypherface audit list shows them)", word)
	}
	c, err := f.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	var proof audit.Proof
	if err := c.call(ctx, "GET", fmt.Sprintf("/control/audit/proof/%d?epoch=%d", seq, *f.epoch), nil, &proof); err != nil {
		return err
	}
	return f.write(t, func(w io.Writer) error { return printJSON(w, proof) })
}

// verify has the box verify its log.
func (f auditFlags) verify(ctx context.Context, t *terminal) error {
	var body struct {
		Checkpoints []string `json:"checkpoints"`
	}
	if *f.notePath != "" {
		b, err := os.ReadFile(*f.notePath)
		if err != nil {
			return err
		}
		body.Checkpoints = []string{string(b)}
	}
	c, err := f.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := c.send(ctx, "POST", "/control/audit/verify", body)
	if err != nil {
		return err
	}
	defer answer.Close()
	p := newProgress(t.err, "events verified")
	defer p.end()
	for lines := json.NewDecoder(answer); ; {
		var line struct {
			Done, Total int
			Report      *audit.Report
		}
		if err := lines.Decode(&line); err != nil {
			return fmt.Errorf("the verification broke off: %w (the log of the box says why)", err)
		}
		if line.Report != nil {
			p.end()
			return f.report(t, *line.Report)
		}
		p.step(line.Done, line.Total)
	}
}

// verifyFile verifies an export or a proof, without a box.
func (f auditFlags) verifyFile(t *terminal, path string) error {
	if *f.key == "" {
		return errors.New("verifying a file takes the key of the box: --key KEY (cypherface audit checkpoint shows it; keep it where nobody changes it)")
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	report, err := audit.VerifyExport(file, *f.key)
	if err == nil {
		return f.report(t, report)
	}
	if b, readErr := os.ReadFile(path); readErr == nil && bytes.Contains(b[:min(len(b), 200)], []byte(`"cypherface audit proof`)) {
		return f.proven(t, b)
	} else if readErr == nil && bytes.Contains(b[:min(len(b), 200)], []byte(`"cypherface erasure receipt`)) {
		return f.received(t, b)
	}
	return no(t, err)
}

// no prints why the answer is no.
func no(t *terminal, err error) error {
	if !errors.Is(err, audit.ErrUntrue) {
		return err
	}
	fmt.Fprintln(t.out, "DOES NOT HOLD:", err)
	return errNo
}

func (f auditFlags) proven(t *terminal, b []byte) error {
	e, c, err := audit.VerifyProof(b, *f.key)
	if err != nil {
		return no(t, err)
	}
	if *f.asJSON {
		return printJSON(t.out, e)
	}
	fmt.Fprintf(t.out, "holds: event %d is among the %d that %s has signed\n", e.Seq, c.Size, c.Box)
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return printEvent(t.out, raw)
}

// receipt writes the receipt of an erasure.
func (f auditFlags) receipt(ctx context.Context, t *terminal, id string) error {
	c, err := f.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := c.receipt(ctx, id)
	if err != nil {
		return err
	}
	return f.write(t, func(w io.Writer) error { return printJSON(w, raw) })
}

func (f auditFlags) received(t *terminal, b []byte) error {
	r, c, err := audit.VerifyReceipt(b, *f.key)
	if err != nil {
		return no(t, err)
	}
	if *f.asJSON {
		return printJSON(t.out, r)
	}
	what := "the person with all that told about him"
	if !r.Whole {
		what = "what the person's face could be recognised by"
	}
	fmt.Fprintf(t.out, "holds: event %d is among the %d that %s has signed\nerased  %s  %s, on %s\n", r.Seq, c.Size, c.Box, r.Person, what, r.Time.UTC().Format("2006-01-02 15:04 UTC"))
	for _, at := range r.Copies {
		until := "for as long as it is kept"
		if !at.Until.IsZero() {
			until = "until " + at.Until.UTC().Format("2006-01-02 15:04 UTC")
		}
		if !at.Readable {
			until = "unreadable"
		}
		fmt.Fprintf(t.out, "  %s: %s; %s\n", at.Where, until, at.Note)
	}
	return nil
}

func (f auditFlags) report(t *terminal, r audit.Report) error {
	switch {
	case *f.asJSON:
		if err := printJSON(t.out, r); err != nil {
			return err
		}
	case len(r.Findings) == 0:
		fmt.Fprintf(t.out, "holds: %d events, %d checkpoints; epoch %d has %d events with the root %s\n", r.Events, r.Checkpoints, r.Epoch, r.Size, r.Root)
		if r.Dropped > 0 {
			fmt.Fprintf(t.out, "%d events before them were dropped by retention; their roots fit\n", r.Dropped)
		}
	default:
		fmt.Fprintf(t.out, "DOES NOT HOLD: %d findings\n", len(r.Findings))
		for _, finding := range r.Findings {
			fmt.Fprintf(t.out, "  epoch %d: %s\n", finding.Epoch, finding.What)
		}
	}
	if len(r.Findings) > 0 {
		return errNo
	}
	return nil
}
