// Package account is who may sign in to a merchant, and how: registration, login
// in one step or two, the mails that belong to it, invitations, roles.
//
//	accounts, err := account.New(account.Config{Store: s, Authority: authority, …})
//	go accounts.Run(ctx) // sends mail
//	in, err := accounts.Login(ctx, account.Attempt{Email: …, Password: …, Address: …})
//
// What it promises to somebody who guesses: the same answer after the same work,
// whether there is an account or not, and less and less often. Of codes, links and
// recovery codes the store has keyed hashes alone; a mail that waits has no code in
// it, the code is made when the mail is handed over.
//
// It knows no HTTP; what comes in are fields that are well formed or refused here.
package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/mail"
	"github.com/cypherface/edge/store"
)

// What callers branch on.
var (
	// ErrRefused is a login that was not one: unknown address, wrong password or code.
	ErrRefused = errors.New("login refused")
	// ErrUnverified and ErrSuspended are for who gave the right password, and nobody
	// else: the address of the account was never verified; it, or its merchant, may not act.
	ErrUnverified = errors.New("e-mail address is not verified")
	ErrSuspended  = errors.New("account or merchant is suspended")
	// ErrRegistration says that nobody may register, or only with an invitation.
	ErrRegistration = errors.New("registration is closed")
	ErrCode         = errors.New("code is wrong, was used or has expired")
	ErrVerified     = errors.New("e-mail address is verified already")
	ErrLastOwner    = errors.New("a merchant needs an owner")
	ErrRank         = errors.New("not more than one's own role") // to grant, change or take away
	ErrMember       = errors.New("has an account here already")
	ErrRelay        = mail.ErrRelay
	ErrNoRelay      = errors.New("no mail relay is set")
	ErrNoURL        = errors.New("the URL of the box is not set")
	ErrFactor       = errors.New("no such second factor, or it is set up already")
)

// A FieldError says what is wrong with a field, in words for who sent it.
type FieldError struct{ Field, Issue string }

func (e *FieldError) Error() string { return e.Field + " " + e.Issue }

// A LockedError says that there were too many failures, and when to come again.
type LockedError struct{ Wait time.Duration }

func (e *LockedError) Error() string { return fmt.Sprintf("locked for %v", e.Wait) }

// Registration says who may register a merchant.
type Registration string

// The ways to register. Empty is Closed.
const (
	Closed Registration = "closed" // nobody
	Invite Registration = "invite" // who has a code of an owner, or of the box's operator
	Open   Registration = "open"   // everybody
)

// relay is what sends mail.
type relay interface {
	Send(context.Context, mail.Message) error
}

// Config is what Accounts are made of. Optional is said where it is.
type Config struct {
	Store        store.Store
	Authority    *auth.Authority
	Registration Registration
	BaseURL      string // begins links in mails, and is where passkeys are good for; empty: there are neither
	Relay        relay  // nil: the box's operator sees what would be sent (Codes)
	Clock        func() time.Time
	Log          *slog.Logger // nil discards
}

// Accounts are those of one environment. Make them with New.
type Accounts struct {
	Config
	store store.Store
	now   func() time.Time
	wake  chan struct{} // there is something to send

	mu     sync.Mutex           // protects the fields below
	trying map[store.LockID]int // who is being let in or refused now
}

// New makes Accounts over c.
func New(c Config) *Accounts {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return &Accounts{Config: c, store: c.Store, now: c.Clock, wake: make(chan struct{}, 1), trying: map[store.LockID]int{}}
}

// clockKnown is auth.ErrClock where the time is not known: then nobody is let in, and
// no code of an authenticator app means anything.
func (s *Accounts) clockKnown() error {
	if s.Authority.TimeKnown != nil && !s.Authority.TimeKnown() {
		return auth.ErrClock
	}
	return nil
}

// A Caller is who asks, and from where.
type Caller struct {
	Address string // of the network; see web.Address
	Request string // id of the request
}

// cause is what changes are put down to that nobody who has signed in makes.
func (c Caller) cause(part string) store.Cause {
	return store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: part}, Request: c.Request}
}

// as is what changes of an account's holder are put down to.
func (c Caller) as(id store.AccountID) store.Cause {
	return store.Cause{Actor: store.Actor{Kind: store.ActorAccount, ID: string(id)}, Request: c.Request}
}

// from is the personal part of an event: where somebody came from.
type from struct {
	Address string `json:"address"`
}

// note appends what somebody tried and how it ended.
func (c Caller) note(tx *store.Tx, m store.MerchantID, action string, outcome store.Outcome, reasons ...string) error {
	var personal any
	if c.Address != "" {
		personal = from{c.Address}
	}
	_, err := store.Append(tx, store.Event{Kind: store.EventAccess, Merchant: m, Action: action, Outcome: outcome, Reasons: reasons}, personal)
	return err
}

// byEmail is the account of an address; ok is false where there is none.
func byEmail(tx *store.Tx, address string) (account store.Account, ok bool, err error) {
	account, err = store.Find(tx, store.AccountByEmail, store.Email(address))
	if errors.Is(err, store.ErrNotFound) {
		return account, false, nil
	}
	return account, err == nil, err
}

// acts reports why an account may not sign in, for the journal and as ErrUnverified or
// ErrSuspended; "" that it may.
func acts(tx *store.Tx, account *store.Account) (reason string, why, err error) {
	m, err := store.Get[store.Merchant](tx, account.Merchant)
	switch {
	case err != nil:
		return "", nil, err
	case account.Status != store.Active:
		return "suspended", ErrSuspended, nil
	case m.Status != store.Active:
		return "merchant", ErrSuspended, nil
	case !account.Verified:
		return "unverified", ErrUnverified, nil
	}
	return "", nil, nil
}
