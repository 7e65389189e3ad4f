package main

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// typed runs a command line whose standard input answers with what is typed, once it
// has seen what the command has written to standard error.
func typed(t *testing.T, answer func(errs string) string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	in := readerFunc(func(p []byte) (int, error) { return copy(p, answer(e.String())), io.EOF })
	code = run(t.Context(), args, &terminal{in: in, out: &o, err: &e, getenv: func(string) string { return "" }})
	return o.String(), e.String(), code
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAccounts(t *testing.T) {
	data := newBox(t)
	box := func(code int, args ...string) string {
		t.Helper()
		out, errs, got := cli(t, nil, append(args, "--data", data)...)
		if got != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, got, code, out, errs)
		}
		return out + errs
	}
	if out := box(0, "accounts", "list"); !strings.Contains(out, "accounts create") {
		t.Errorf("nobody: %s", out)
	}
	made := box(0, "accounts", "create", "ada@example.org", "--name", "Ada Augusta Lovelace", "--role", "owner")
	if !regexp.MustCompile(`password  [a-z2-7]{6}-[a-z2-7]{6}-[a-z2-7]{6}-[a-z2-7]{8}\n`).MatchString(made) {
		t.Errorf("made: %s", made)
	}
	password := func(string) string { return "a moth in relay 70\n" }
	if out, errs, code := typed(t, password, "accounts", "create", "grace@example.org", "--role", "operator", "--ask", "--data", data); code != 0 || strings.Contains(out+errs, "moth") {
		t.Errorf("with a password: %d %s%s", code, out, errs)
	}
	if out, errs, code := typed(t, func(string) string { return "short\n" }, "accounts", "password", "grace@example.org", "--ask", "--data", data); code != 2 || !strings.Contains(errs, "12 to 128") {
		t.Errorf("a short one: %d %s%s", code, out, errs)
	}
	if out := box(0, "accounts", "password", "Grace@example.org"); !strings.Contains(out, "shown this once") {
		t.Errorf("a new password: %s", out)
	}
	for _, args := range [][]string{{"role", "grace@example.org", "auditor"}, {"suspend", "grace@example.org"}, {"resume", "grace@example.org"}} {
		box(0, append([]string{"accounts"}, args...)...)
	}
	if out := box(0, "accounts", "list"); !strings.Contains(out, "Ada Augusta Lovelace") || !strings.Contains(out, "auditor") || strings.Contains(out, "suspended") {
		t.Errorf("list: %s", out)
	}
	var all []accountOf
	if err := json.Unmarshal([]byte(box(0, "accounts", "list", "--json")), &all); err != nil || len(all) != 2 || all[0].Firstname != "Ada Augusta" || all[0].Lastname != "Lovelace" {
		t.Errorf("%+v, %v", all, err)
	}
	// Nobody is left to own it.
	for _, args := range [][]string{{"role", "ada@example.org", "auditor"}, {"suspend", all[0].AccountID}, {"remove", "ada@example.org"}} {
		if out := box(2, append([]string{"accounts"}, args...)...); !strings.Contains(out, "needs an owner") {
			t.Errorf("%v: %s", args, out)
		}
	}
	// An authenticator app, by its QR code.
	secret := regexp.MustCompile(`secret  ([A-Z2-7]{32})`)
	app := func(errs string) string {
		code, err := totp.GenerateCode(secret.FindStringSubmatch(errs)[1], time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return code + "\n"
	}
	if out, errs, code := typed(t, func(string) string { return "000000x\n" }, "accounts", "totp", "ada@example.org", "--data", data); code != 2 || !strings.Contains(errs, "wrong") {
		t.Errorf("a wrong code: %d %s%s", code, out, errs)
	}
	out, errs, code := typed(t, app, "accounts", "totp", "ada@example.org", "--data", data)
	if code != 0 || strings.Count(out, "-") != 30 || !strings.Contains(errs, "▀") || !strings.Contains(errs, "otpauth://") {
		t.Errorf("totp: %d %s%s", code, out, errs)
	}
	box(2, "accounts", "totp", "ada@example.org")
	box(0, "accounts", "reset-factor", "ada@example.org")
	if out := box(0, "accounts", "list", "--json"); strings.Contains(out, `"secondFactor": true`) {
		t.Errorf("after the reset: %s", out)
	}
	box(0, "accounts", "remove", "grace@example.org")

	// Invitations, and what would be mailed.
	if out := box(0, "accounts", "invite", "bea@example.org", "--role", "operator"); !strings.Contains(out, "cypherface mail codes") {
		t.Errorf("invite: %s", out)
	}
	if out := box(0, "mail", "status"); !strings.Contains(out, "2 waiting") { // that her factor was changed, and the invitation
		t.Errorf("mail status: %s", out)
	}
	if out := box(0, "mail", "codes"); !strings.Contains(out, "To: bea@example.org") || !strings.Contains(out, "invites you") {
		t.Errorf("codes: %s", out)
	}
	if out := box(0, "mail", "codes"); !strings.Contains(out, "nothing waits") {
		t.Errorf("codes again: %s", out)
	}
	if out := box(0, "accounts", "invite", "carl@example.org", "--role", "auditor", "--show"); !regexp.MustCompile(`token  [\w-]{43}`).MatchString(out) {
		t.Errorf("shown: %s", out)
	}
	var invited []invitationOf
	if err := json.Unmarshal([]byte(box(0, "accounts", "invitations", "--json")), &invited); err != nil || len(invited) != 2 {
		t.Errorf("%+v, %v", invited, err)
	}
	box(0, "accounts", "revoke", invited[0].InvitationID)
	if out := box(0, "accounts", "invitations"); strings.Contains(out, "bea@") || !strings.Contains(out, "carl@") {
		t.Errorf("invitations: %s", out)
	}
	if out := box(0, "accounts", "invite", "--merchant"); !strings.Contains(out, "inviteCode  ") {
		t.Errorf("a merchant: %s", out)
	}
	box(0, "accounts", "unlock")
	for says, args := range map[string][]string{
		"usage": {"accounts"}, "usage: ": {"accounts", "create"}, "role must be": {"accounts", "create", "x@example.org", "--role", "king"}, "nobody with": {"accounts", "suspend", "x@example.org"},
		"24 lower-case": {"accounts", "suspend", "x"}, "not well formed": {"accounts", "create", "x", "--role", "owner"}, "already": {"accounts", "create", "ada@example.org", "--role", "owner"},
		"no mail relay": {"mail", "test", "--to", "ada@example.org"}, "usage: cypherface mail": {"mail", "test"}, "it is empty": {"mail", "password"},
	} {
		if out := box(2, args...); !strings.Contains(out, says) {
			t.Errorf("%v: %s", args, out)
		}
	}
	if out, errs, code := typed(t, func(string) string { return "geheim\n" }, "mail", "password", "--data", data); code != 0 || strings.Contains(out+errs, "geheim") {
		t.Errorf("mail password: %d %s%s", code, out, errs)
	}
	box(0, "mail", "password", "--forget")
	var merchants []struct{ MerchantID, Status string }
	if err := json.Unmarshal([]byte(box(0, "accounts", "merchants", "--json")), &merchants); err != nil || len(merchants) != 1 {
		t.Fatalf("%+v, %v", merchants, err)
	}
	id := merchants[0].MerchantID
	box(0, "accounts", "merchant", id, "suspended")
	if out := box(0, "accounts", "merchants"); !strings.Contains(out, "suspended") {
		t.Errorf("merchants: %s", out)
	}
	box(0, "accounts", "merchant", id, "active")
	box(0, "accounts", "list", "--merchant-id", id)
	if out := box(2, "accounts", "list", "--merchant-id", strings.Repeat("a", 24)); !strings.Contains(out, "no such thing") {
		t.Errorf("another merchant: %s", out)
	}
}
