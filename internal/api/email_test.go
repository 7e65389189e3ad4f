package api_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/store"
)

const toConfirm, isMoving, hasMoved = "Confirm your new e-mail address", "Your e-mail address is about to change", "Your e-mail address was changed"

// newAddressCode is the code in the letter to a new address; the other letters that
// wait are gone.
func (b *box) newAddressCode(to string) string {
	b.t.Helper()
	for _, l := range b.codes() {
		if l.To == to && l.Subject == toConfirm {
			return sixDigits.FindString(l.Text)
		}
	}
	b.t.Fatalf("no code for %s", to)
	return ""
}

// readers are to whom letters wait, with their subjects.
func (b *box) readers() (all []string) {
	b.t.Helper()
	for _, l := range b.codes() {
		all = append(all, l.To+": "+l.Subject)
	}
	slices.Sort(all)
	return all
}

// otherThan is six digits that are not these.
func otherThan(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

// mover is an account that wants another address.
type mover struct {
	*box
	token string
}

func newMover(t *testing.T) mover {
	t.Helper()
	b := newBox(t, store.Sandbox)
	b.accounts(t, account.Config{Registration: account.Open})
	b.person("ada@example.org", store.RoleOwner)
	return mover{b, b.want(b.signIn("ada@example.org", password), 200).text("token")}
}

func (m mover) ask(email, password string) answer {
	return m.callAs(m.token, "POST", "/email/change/", asJSON(map[string]string{"email": email, "password": password}))
}

func (m mover) confirm(code string) answer {
	return m.callAs(m.token, "POST", "/email/change/confirm/", asJSON(map[string]string{"code": code}))
}

func (m mover) email() string {
	m.t.Helper()
	me := m.want(m.callAs(m.token, "GET", "/merchant/me", nil), 200)
	return me.body["user"].(map[string]any)["email"].(string)
}

// An account gets another address by its password and a code that goes there; the old
// one is told before and after, and until then all is as it was.
func TestChangeOfAddress(t *testing.T) {
	m := newMover(t)
	for _, bad := range [][2]string{{"x", password}, {"", password}, {"ada@example.net", ""}, {"ada@example.net", "wrong"}, {"ada@example.org", password}, {"a@example.net\r\nBcc: b@example.net", password}} {
		m.want(m.ask(bad[0], bad[1]), 400)
	}
	if all := m.readers(); all != nil {
		t.Errorf("nothing was asked for, and there are mails: %v", all)
	}
	if a := m.want(m.ask(" Ada@example.net ", password), 200); a.body["emailVerification"].(map[string]any)["sent"] != false {
		t.Errorf("without a relay: %s", a.raw)
	}
	first := m.newAddressCode("Ada@example.net")
	m.want(m.ask("ada@example.com", password), 200)
	letters := m.codes()
	if len(letters) != 2 {
		t.Fatalf("letters %+v", letters)
	}
	var code string
	for _, l := range letters {
		switch l.To + ": " + l.Subject {
		case "ada@example.com: " + toConfirm:
			code = sixDigits.FindString(l.Text)
		case "ada@example.org: " + isMoving:
			if sixDigits.MatchString(l.Text) || strings.Contains(l.Text, "example.com") {
				t.Errorf("the old address is told %s", l.Text)
			}
		default:
			t.Errorf("a letter %+v", l)
		}
	}
	if first != code {
		m.want(m.confirm(first), 422) // the newest is good
	}
	m.want(m.confirm(otherThan(code)), 422)
	m.want(m.confirm(""), 400)
	m.want(m.signIn("ada@example.com", password), 401)
	if m.email() != "ada@example.org" {
		t.Errorf("changed before it was confirmed: %s", m.email())
	}
	// What waits at the old address, as for who has its mails and not the password.
	m.want(m.callAs("", "POST", "/password/forgot", `{"email":"ada@example.org"}`), 200)
	reset := tokenIn(m.letter("ada@example.org", toReset))
	if a := m.want(m.confirm(" "+code+" "), 200); a.body["user"].(map[string]any)["email"] != "ada@example.com" {
		t.Errorf("confirmed: %s", a.raw)
	}
	if all := m.readers(); !slices.Equal(all, []string{"ada@example.org: " + hasMoved}) {
		t.Errorf("told %v", all)
	}
	m.want(m.confirm(code), 422)
	m.want(m.callAs("", "POST", "/password/reset/", asJSON(map[string]string{"token": reset, "password": another})), 422)
	m.want(m.signIn("ada@example.org", password), 401)
	m.want(m.signIn("ADA@example.com", password), 200)
	if e := m.lastEvent(store.EventAccess); e.Action != "login" {
		t.Errorf("the last event is %+v", e)
	}
	// The same in other letters is a change too.
	m.want(m.ask("Ada@Example.com", password), 200)
	m.want(m.confirm(m.newAddressCode("Ada@Example.com")), 200)
	if m.email() != "Ada@Example.com" {
		t.Errorf("the case stays: %s", m.email())
	}
}

// Who asks does not learn that an address is another account's; its holder does.
func TestChangeToAnAddressThatIsTaken(t *testing.T) {
	m := newMover(t)
	m.person("bea@example.org", store.RoleOwner)
	free, taken := m.want(m.ask("free@example.org", password), 200), m.readers()
	if want := []string{"ada@example.org: " + isMoving, "free@example.org: " + toConfirm}; !slices.Equal(taken, want) {
		t.Errorf("letters %v", taken)
	}
	known := m.want(m.ask("Bea@example.org", password), 200)
	if strings.ReplaceAll(known.raw, known.text("requestId"), "") != strings.ReplaceAll(free.raw, free.text("requestId"), "") {
		t.Errorf("%s\nand %s", known.raw, free.raw)
	}
	if got, want := m.readers(), []string{"ada@example.org: " + isMoving, "bea@example.org: You have an account already"}; !slices.Equal(got, want) {
		t.Errorf("letters %v", got)
	}
	m.want(m.confirm("123456"), 422)

	// Somebody takes it between the code and its confirmation: he who has verified it
	// keeps it, he who has not makes room.
	m.want(m.ask("cleo@example.org", password), 200)
	code := m.newAddressCode("cleo@example.org")
	m.person("cleo@example.org", store.RoleOwner)
	m.want(m.confirm(code), 409)
	m.want(m.confirm(code), 422)
	m.want(m.ask("dora@example.org", password), 200)
	code = m.newAddressCode("dora@example.org")
	m.want(m.registerMerchant("dora@example.org"), 201)
	m.want(m.confirm(code), 200)
	m.want(m.signIn("dora@example.org", password), 200)
}

// A code has its time and its tries, and another password ends it.
func TestACodeForAnAddressEnds(t *testing.T) {
	m := newMover(t)
	pending := func() string {
		t.Helper()
		m.want(m.ask("new@example.org", password), 200)
		return m.newAddressCode("new@example.org")
	}
	code := pending()
	for range 5 {
		m.want(m.confirm(otherThan(code)), 422)
	}
	m.want(m.confirm(code), 422)
	code = pending()
	m.now = m.now.Add(15 * time.Minute)
	m.want(m.confirm(code), 422)
	code = pending()
	m.want(m.callAs(m.token, "POST", "/password/change/", asJSON(map[string]string{"currentPassword": password, "newPassword": another})), 200)
	m.want(m.confirm(code), 422)
	m.want(m.ask("new@example.org", password), 400) // the password is another one now
	// Another account cannot confirm it, and a mail with a link does not exist.
	m.want(m.ask("new@example.org", another), 200)
	code = m.newAddressCode("new@example.org")
	m.person("bea@example.org", store.RoleOwner)
	bea := m.want(m.signIn("bea@example.org", password), 200).text("token")
	m.want(m.callAs(bea, "POST", "/email/change/confirm", asJSON(map[string]string{"code": code})), 422)
	m.want(m.callAs("", "POST", "/email/change/confirm", asJSON(map[string]string{"code": code})), 401)
	m.want(m.callAs("", "POST", "/email/verify", asJSON(map[string]string{"email": "new@example.org", "code": code})), 422)
	m.want(m.callAs("", "POST", "/email/verify", asJSON(map[string]string{"token": code})), 422)
	m.want(m.confirm(code), 200)

	// Mails to one address have an end, and so have guesses at the password.
	m.want(m.ask("other@example.org", another), 200)
	for range 4 {
		m.want(m.ask("other@example.org", another), 200)
	}
	m.want(m.ask("other@example.org", another), 429)
	for range 9 { // and the one above
		m.want(m.ask("third@example.org", "wrong"), 400)
	}
	m.want(m.ask("third@example.org", another), 429)
}

// What a change leaves behind goes by itself.
func TestACodeForAnAddressIsSwept(t *testing.T) {
	m := newMover(t)
	m.want(m.ask("new@example.org", password), 200)
	m.want(m.confirm(m.newAddressCode("new@example.org")), 200)
	m.want(m.ask("newer@example.org", password), 200)
	codes := func() (n int) {
		m.update(func(tx *store.Tx) (err error) { n, err = store.Count(tx, store.CodesByExpiry); return err })
		return n
	}
	if codes() != 2 { // the old address, and the code that was asked for
		t.Errorf("%d codes", codes())
	}
	m.now = m.now.Add(24*time.Hour + time.Second)
	if !m.sweep(time.Minute, func() bool { return codes() == 0 }) {
		t.Errorf("%d codes are left", codes())
	}
}
