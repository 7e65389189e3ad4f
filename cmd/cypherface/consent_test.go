package main

import (
	"archive/zip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Consent from the text to the receipt, on the command line.
func TestConsent(t *testing.T) {
	data, dir := newBox(t), faceFiles(t)
	box := func(code int, args ...string) (out string) {
		t.Helper()
		args = append(args, "--data", data)
		if args[0] == "enrol" {
			args = append(args, "--packs", testPacks)
		}
		out, errs, got := cli(t, nil, args...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	text := filepath.Join(dir, "consent.txt")
	if err := os.WriteFile(text, []byte("I agree.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ada := []string{"enrol", "--json", "--name", "Ada Lovelace", "--email", "ada@example.org", filepath.Join(dir, "a1.png")}

	if out := box(0, "consent", "require"); !strings.Contains(out, "asks for no consent") {
		t.Errorf("the sandbox: %s", out)
	}
	box(0, "consent", "require", "on")
	if out := box(2, ada...); !strings.Contains(out, "record a consent first") {
		t.Errorf("without consent: %s", out)
	}
	if out := box(2, append(ada, "--consent", "en")...); !strings.Contains(out, "consent publish") {
		t.Errorf("without a text: %s", out)
	}
	var published consentText
	if err := json.Unmarshal([]byte(box(0, "consent", "publish", "--json", "--version", "1", "--language", "en", text)), &published); err != nil {
		t.Fatal(err)
	}
	if out := box(2, "consent", "publish", "--version", "1", "--language", "en", text); !strings.Contains(out, "version is taken") {
		t.Errorf("published again: %s", out)
	}
	if out := box(0, "consent", "text", published.TextID); out != "I agree.\n\n" {
		t.Errorf("text %q", out)
	}
	var e enrolment
	if err := json.Unmarshal([]byte(box(0, append(ada, "--consent", "en")...)), &e); err != nil {
		t.Fatal(err)
	}
	if out := box(0, "consent", "list", e.UserID); !strings.Contains(out, "operator") || strings.Contains(out, "may not") {
		t.Errorf("list: %s", out)
	}
	if out := box(2, "consent", "remove", published.TextID); !strings.Contains(out, "retire it") {
		t.Errorf("remove: %s", out)
	}
	receipt := filepath.Join(dir, "ada.receipt")
	box(0, "consent", "withdraw", e.UserID, "--keep", "--receipt", receipt)
	if out := box(0, "users", "show", e.UserID); !strings.Contains(out, "suspended") {
		t.Errorf("after the withdrawal: %s", out)
	}
	if out := box(0, "consent", "list", e.UserID); !strings.Contains(out, "may not be enrolled") {
		t.Errorf("list: %s", out)
	}
	box(0, "consent", "give", e.UserID, "--version", "1", "--language", "en", "--through", "kiosk")
	if out := box(2, "consent", "give", e.UserID, "--version", "1"); !strings.Contains(out, "--language") {
		t.Errorf("a version alone: %s", out)
	}
	box(0, "consent", "retire", published.TextID)
	if out := box(0, "consent", "texts"); strings.Count(out, "\n") != 2 || strings.Contains(out, " - ") {
		t.Errorf("texts: %s", out)
	}

	// The receipt holds on any machine, with the key.
	key := strings.TrimPrefix(strings.Split(box(0, "audit", "checkpoint"), "key ")[1], "key ")
	key, _, _ = strings.Cut(key, "\n")
	verify := func(code int, path string) string {
		t.Helper()
		out, errs, got := cli(t, nil, "audit", "verify", path, "--key", key)
		if got != code {
			t.Fatalf("verify %s: code %d, want %d\n%s%s", path, got, code, out, errs)
		}
		return out
	}
	if out := verify(0, receipt); !strings.Contains(out, e.UserID) || !strings.Contains(out, "face could be recognised by") || !strings.Contains(out, "backups") {
		t.Errorf("receipt: %s", out)
	}
	raw, err := os.ReadFile(receipt)
	if err != nil {
		t.Fatal(err)
	}
	forged := filepath.Join(dir, "forged.receipt")
	if err := os.WriteFile(forged, []byte(strings.Replace(string(raw), e.UserID, strings.Repeat("a", 24), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	verify(1, forged)
	export := filepath.Join(dir, "ada.zip")
	box(0, "users", "export", e.UserID, "--out", export)
	if z, err := zip.OpenReader(export); err != nil || len(z.File) < 2 {
		t.Errorf("export: %v", err)
	}
	if out := box(0, "users", "export", e.UserID, "--json"); !strings.Contains(out, `"consents":[{`) || !strings.HasSuffix(strings.TrimSpace(out), "]}") {
		t.Errorf("export: %s", out)
	}
	if out := box(2, "users", "export", strings.Repeat("a", 24), "--out", export+"2"); !strings.Contains(out, "no such thing") {
		t.Errorf("export of nobody: %s", out)
	}
	var erased struct{ Receipts map[string]string }
	if err := json.Unmarshal([]byte(box(0, "users", "delete", "--json", e.UserID)), &erased); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(dir, "erased.receipt")
	box(0, "audit", "receipt", erased.Receipts[e.UserID], "--out", again)
	if out := verify(0, again); !strings.Contains(out, "the person with all") {
		t.Errorf("receipt: %s", out)
	}
}

func TestConsentUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"publish", "x"}, {"texts", "x"}, {"text"}, {"give"}, {"give", "x", "--text", "a", "--version", "b"},
		{"withdraw", "x"}, {"withdraw", "x", "--keep", "--erase"}, {"require", "maybe"}, {"forget"},
	} {
		if _, errs, code := cli(t, nil, append([]string{"consent"}, args...)...); code != 2 || !strings.Contains(errs, "usage") {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
	}
}
