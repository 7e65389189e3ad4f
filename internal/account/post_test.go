package account_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/account"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/mail"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

var setup = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}

// post is a relay that takes what it is told to.
type post struct {
	mu    sync.Mutex // protects the fields below
	fail  error
	tried int
	taken []mail.Message
}

func (p *post) Send(_ context.Context, m mail.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried++
	if p.fail == nil {
		p.taken = append(p.taken, m)
	}
	return p.fail
}

func (p *post) set(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

func (p *post) counts() (tried, taken int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tried, len(p.taken)
}

// office is accounts over a real store, with a relay and a clock to turn.
type office struct {
	*account.Accounts
	t        *testing.T
	relay    *post
	store    store.Store
	auth     *auth.Authority
	merchant store.MerchantID

	mu  sync.Mutex // protects the field below
	now time.Time
}

func (o *office) clock() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now
}

func (o *office) turn(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(d)
}

func newOffice(t *testing.T) *office {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	o := &office{t: t, store: s, relay: &post{}, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	if o.auth, err = auth.Open(t.Context(), s, o.clock); err != nil {
		t.Fatal(err)
	}
	m := store.Merchant{ID: store.NewID[store.MerchantID](o.now), Name: "Test", Status: store.Active}
	o.merchant = m.ID
	o.update(func(tx *store.Tx) error { return store.Put(tx, &m) })
	o.Accounts = account.New(account.Config{Store: s, Authority: o.auth, Relay: o.relay, Clock: o.clock, BaseURL: "https://box.example"})
	return o
}

func (o *office) update(fn func(*store.Tx) error) {
	o.t.Helper()
	if err := o.store.Update(context.Background(), setup, fn); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) member(email string) store.Account {
	a := store.Account{ID: store.NewID[store.AccountID](o.now), Merchant: o.merchant, Email: email, Verified: true, Role: store.RoleOwner, Status: store.Active}
	o.update(func(tx *store.Tx) error { return store.Put(tx, &a) })
	return a
}

func (o *office) forgot(email string) {
	o.t.Helper()
	if err := o.Forgot(o.t.Context(), account.Caller{Address: "192.0.2.1"}, email); err != nil {
		o.t.Fatal(err)
	}
}

// run has letters sent until the condition holds.
func (o *office) run(until func() bool) {
	o.t.Helper()
	ctx, stop := context.WithCancel(o.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); !until(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			o.t.Fatal("the letters are not sent")
		}
	}
	stop()
	if err := <-ended; err != nil {
		o.t.Error(err)
	}
}

func (o *office) waiting() int {
	o.t.Helper()
	n, err := o.Waiting(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	return n
}

func TestLettersWaitForTheRelay(t *testing.T) {
	o := newOffice(t)
	o.member("ada@example.org")
	o.relay.set(mail.ErrRelay)
	o.forgot("ada@example.org")
	o.forgot("nobody@example.org")
	tried := func(n int) func() bool {
		return func() bool { got, _ := o.relay.counts(); return got >= n }
	}
	o.run(tried(1))
	// When it starts it tries what waits, due or not; while it runs, what is due.
	o.run(tried(2))
	if o.waiting() != 1 {
		t.Fatalf("%d wait", o.waiting())
	}
	var next []time.Duration
	for range 4 {
		o.update(func(tx *store.Tx) error {
			page, err := store.List(tx, store.LettersByTurn, store.Query[store.Letter]{})
			next = append(next, page.Items[0].Next.Sub(o.clock()))
			return err
		})
		got, _ := o.relay.counts()
		o.run(tried(got + 1))
	}
	if want := []time.Duration{2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute}; !slices.Equal(next, want) {
		t.Errorf("tried again after %v, want %v", next, want)
	}
	o.relay.set(nil)
	o.run(func() bool { _, taken := o.relay.counts(); return taken == 1 && o.waiting() == 0 })
	m := o.relay.taken[0]
	if m.To != "ada@example.org" || !strings.Contains(m.Text, "https://box.example/password/reset/?token=") {
		t.Errorf("%+v", m)
	}
}

func TestLettersThatAreRefusedAreDropped(t *testing.T) {
	o := newOffice(t)
	o.member("ada@example.org")
	o.relay.set(mail.ErrRefused)
	o.forgot("ada@example.org")
	o.run(func() bool { tried, _ := o.relay.counts(); return tried == 1 && o.waiting() == 0 })
	// What has waited for a day is no news any more.
	o.relay.set(mail.ErrRelay)
	o.forgot("ada@example.org")
	o.run(func() bool { tried, _ := o.relay.counts(); return tried == 2 })
	o.turn(25 * time.Hour)
	o.run(func() bool { return o.waiting() == 0 })
	if tried, taken := o.relay.counts(); tried != 2 || taken != 0 {
		t.Errorf("tried %d, taken %d", tried, taken)
	}
}

// Who invites waits for the relay, and is told; the invitation stands, and its mail
// is tried again.
func TestInvitationsWaitForTheRelay(t *testing.T) {
	o := newOffice(t)
	p := auth.Operator(o.merchant, store.Sandbox, 0)
	invite := func() error {
		_, _, err := o.Invite(t.Context(), setup, p, account.Invitation{Email: "bea@example.org", Role: store.RoleOperator})
		return err
	}
	o.relay.set(mail.ErrRelay)
	if err := invite(); !errors.Is(err, account.ErrRelay) {
		t.Errorf("got %v", err)
	}
	if all, err := o.Invitations(t.Context(), o.merchant); err != nil || len(all) != 1 || o.waiting() != 1 {
		t.Errorf("%d invitations, %d letters, %v", len(all), o.waiting(), err)
	}
	o.relay.set(nil)
	if err := invite(); err != nil || o.waiting() != 0 {
		t.Errorf("%d letters, %v", o.waiting(), err)
	}
}

// The names of people are theirs to choose, and go into no header.
func TestLettersWithOddNames(t *testing.T) {
	o := newOffice(t)
	o.update(func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, o.merchant)
		if err != nil {
			return err
		}
		m.Name = "Evil\r\nBcc: eve@example.org\u2028x"
		return store.Put(tx, &m)
	})
	_, _, err := o.Invite(t.Context(), setup, auth.Operator(o.merchant, store.Sandbox, 0), account.Invitation{Email: "bea@example.org", Role: store.RoleOperator})
	if err != nil {
		t.Fatal(err)
	}
	if m := o.relay.taken[0]; strings.Contains(m.Text, "\r") || strings.Contains(m.Text, "\nBcc") || m.Subject != "You are invited" {
		t.Errorf("%+v", m)
	}
}

// The journal says what was tried and how it ended, and by its public part not
// whose name or address it was.
func TestTheJournalOfAccounts(t *testing.T) {
	o := newOffice(t)
	ctx, from := t.Context(), account.Caller{Address: "192.0.2.77", Request: "r"}
	if _, err := o.Create(ctx, setup, o.merchant, store.Account{Email: "ada@example.org", Firstname: "Adalbertine", Role: store.RoleOwner}, "an engine that weaves"); err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"wrong", "an engine that weaves"} {
		if _, err := o.Login(ctx, account.Attempt{Caller: from, Email: "ada@example.org", Password: password}); (err == nil) != (password != "wrong") {
			t.Error(err)
		}
	}
	_, _ = o.Login(ctx, account.Attempt{Caller: from, Email: "eve@example.org", Password: "x"})
	o.forgot("ada@example.org")
	seen := map[string]bool{}
	o.update(func(tx *store.Tx) error {
		events, err := store.Events(tx, 0, 1000)
		for _, e := range events {
			if e.Kind == store.EventAccess {
				seen[e.Action+" "+string(e.Outcome)+" "+strings.Join(e.Reasons, ",")] = true
			}
			for _, secret := range []string{"example.org", "dalbertine", "192.0.2", "weaves"} {
				for _, text := range append(slices.Clone(e.Reasons), e.Action, e.Actor.ID, e.Request) {
					if strings.Contains(text, secret) {
						t.Errorf("event %+v tells %s", e, secret)
					}
				}
			}
		}
		return err
	})
	for _, want := range []string{"account_create done owner", "login denied password", "login done password", "login denied unknown", "password_forgot done "} {
		if !seen[want] {
			t.Errorf("no %q in %v", want, seen)
		}
	}
}
