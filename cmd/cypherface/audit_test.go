package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/store"
)

// TestAudit lists, exports, proves and verifies the log of a box without a daemon,
// and verifies what was exported without a box.
func TestAudit(t *testing.T) {
	data, dir := newBox(t), t.TempDir()
	box := func(code int, args ...string) (out string) {
		t.Helper()
		out, errs, got := cli(t, map[string]string{"CYPHERFACE_DATA": data}, append([]string{"audit"}, args...)...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	says := func(out string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("it should say %q:\n%s", w, out)
			}
		}
	}

	says(box(0, "list"), "change", "put merchant", "audit_list granted", "cli 0")
	says(box(0, "list", "--kind", "access", "--limit", "1"), "audit_list")
	var events []store.Event
	if err := json.Unmarshal([]byte(box(0, "list", "--json", "--kind", "change,access", "--limit", "0")), &events); err != nil || len(events) < 4 {
		t.Errorf("%d events, %v", len(events), err)
	}
	says(box(2, "list", "--from", "yesterday"), "2026-11-26T08:00:00Z")

	out := box(0, "checkpoint", "--out", file("box.checkpoint"))
	key := strings.Fields(out)[1]
	box(0, "export", "--out", file("audit.jsonl"))
	says(box(0, "verify", file("audit.jsonl"), "--key", key), "holds:")
	box(0, "prove", "2", "--out", file("event.proof"))
	says(box(0, "verify", file("event.proof"), "--key", key), "holds: event 2", "change")
	says(box(0, "verify", "--checkpoint", file("box.checkpoint")), "holds:", "checkpoints")
	var r audit.Report
	if err := json.Unmarshal([]byte(box(0, "verify", "--json")), &r); err != nil || r.Key != key || r.Size == 0 {
		t.Errorf("report %+v, %v", r, err)
	}
	if table := box(0, "export", "--format", "csv"); !strings.HasPrefix(table, "seq,time,kind") || strings.Count(table, "\n") < 5 {
		t.Errorf("table %s", table)
	}

	box(0, "checkpoint", "--qr", "--out", file("code"))
	drawn, err := os.ReadFile(file("code"))
	if rows := bytes.Count(drawn, []byte("\n")); err != nil || rows < 30 || !bytes.Contains(drawn, []byte("▀")) {
		t.Errorf("a QR code of %d lines, %v", rows, err)
	}

	// What does not hold is said, with status 1.
	for name, old := range map[string]string{"audit.jsonl": `"kind":"change"`, "event.proof": `"kind": "change"`} {
		b, err := os.ReadFile(file(name))
		if err != nil || !bytes.Contains(b, []byte(old)) {
			t.Fatalf("%s: %v", b, err)
		}
		if err := os.WriteFile(file("forged"), bytes.Replace(b, []byte(old), []byte(`"kind":"changed"`), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		says(box(1, "verify", file("forged"), "--key", key), "DOES NOT HOLD")
	}
	says(box(2, "verify", file("audit.jsonl")), "takes the key")
	says(box(2, "prove", "4711"), "no such event")
	says(box(2, "export", "--format", "xml"), "must be jsonl or csv")
	says(box(2), "usage")
	if _, err := os.Stat(file("audit.jsonl.new")); err == nil {
		t.Error("a draft is left")
	}
}
