package account

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// An Attempt is somebody who wants to sign in.
type Attempt struct {
	Caller
	Email    string
	Password string
}

// A Login is how far somebody came: in (Token), or to the second step (Ticket).
type Login struct {
	Account store.Account
	Token   auth.Token
	// Ticket is for Second, for five minutes; Factors says by what.
	Ticket  string
	Factors []string
	// Setup says that the account must set up a second factor before it may do
	// anything else.
	Setup bool
}

// fold is the form of an e-mail address under which it is unique.
func fold(address string) string { return strings.ToLower(strings.TrimSpace(address)) }

// Login checks a password. It takes one hash, whatever is wrong, and one
// transaction. The error is ErrRefused, ErrUnverified, ErrSuspended, LockedError,
// auth.ErrBusy or auth.ErrClock.
func (s *Accounts) Login(ctx context.Context, a Attempt) (in Login, err error) {
	if err := s.clockKnown(); err != nil {
		return in, err
	}
	var account store.Account
	var of tries
	done := func() {}
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		if account, _, err = byEmail(tx, a.Email); err != nil {
			return err
		}
		of = s.triesOf(&account, a.Email, a.Address)
		done, err = s.admit(tx, of)
		return err
	})
	if err != nil {
		return in, err
	}
	defer done()
	ok, stale, err := auth.CheckPassword(ctx, account.Password, a.Password)
	if err != nil {
		return in, err
	}
	fresh := ""
	if ok && stale {
		if fresh, err = auth.HashPassword(ctx, a.Password); err != nil {
			return in, err
		}
	}
	cause := a.cause("login")
	if account.ID != "" {
		cause = a.as(account.ID)
	}
	var refused error
	err = s.store.Update(ctx, cause, func(tx *store.Tx) error {
		reason, now, err := s.judge(tx, account, ok)
		if err != nil {
			return err
		}
		if reason != "" {
			refused = ErrRefused
			return s.refuse(tx, a.Caller, of, account.Merchant, "login", reason)
		}
		if reason, refused, err = acts(tx, &now); refused != nil {
			return a.note(tx, now.Merchant, "login", store.OutcomeDenied, reason)
		} else if err != nil {
			return err
		}
		if fresh != "" {
			now.Password = fresh
		}
		in, err = s.firstStep(tx, a.Caller, &now)
		return err
	})
	return in, cmp.Or(err, refused)
}

// judge says why somebody is not whom he says he is, and returns the account as it is now.
func (s *Accounts) judge(tx *store.Tx, seen store.Account, ok bool) (reason string, now store.Account, err error) {
	if seen.ID == "" {
		return "unknown", now, nil
	}
	now, err = store.Get[store.Account](tx, seen.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "unknown", now, nil
	case err != nil:
		return "", now, err
	case !ok || now.Password != seen.Password: // or it was changed meanwhile
		return "password", now, nil
	}
	return "", now, nil
}

// refuse counts a failure and notes it.
func (s *Accounts) refuse(tx *store.Tx, c Caller, of tries, m store.MerchantID, action, reason string) error {
	locked, err := s.fail(tx, of)
	if err != nil {
		return err
	}
	reasons := []string{reason}
	if locked {
		reasons = append(reasons, "locked")
	}
	return c.note(tx, m, action, store.OutcomeDenied, reasons...)
}

// firstStep lets somebody in whose password was right, or to the second step.
func (s *Accounts) firstStep(tx *store.Tx, c Caller, account *store.Account) (in Login, err error) {
	if !account.Factor() {
		return s.letIn(tx, c, account, "password")
	}
	in.Account, in.Factors = *account, factorsOf(account)
	in.Ticket, err = s.issue(tx, &store.Code{Merchant: account.Merchant, Account: account.ID, Use: useLogin}, TicketLife)
	if err != nil {
		return in, err
	}
	return in, c.note(tx, account.Merchant, "login", store.OutcomeDone, "password", "factor_due")
}

// letIn makes a login.
func (s *Accounts) letIn(tx *store.Tx, c Caller, account *store.Account, reasons ...string) (in Login, err error) {
	if err := s.forgive(tx, account, c.Address); err != nil {
		return in, err
	}
	s.remember(account, c.Address)
	account.LastLogin = s.now()
	if err := store.Put(tx, account); err != nil {
		return in, err
	}
	if in.Token, err = s.Authority.OpenLogin(tx, account); err != nil {
		return in, err
	}
	in.Account, in.Setup = *account, s.SetupDue(account)
	return in, c.note(tx, account.Merchant, "login", store.OutcomeDone, reasons...)
}

// SetupDue reports whether an account may do nothing before it has a second factor.
func (s *Accounts) SetupDue(account *store.Account) bool {
	return s.Required(account.Role) && !account.Factor()
}

// Required reports whether a role must have a second factor here.
func (s *Accounts) Required(role store.Role) bool {
	return s.Authority.RequireFactor && auth.NeedsFactor(role)
}

// Logout ends the login that somebody came by.
func (s *Accounts) Logout(ctx context.Context, c Caller, p auth.Principal) error {
	return s.store.Update(ctx, c.as(p.Account), func(tx *store.Tx) error {
		if err := s.Authority.EndLogin(tx, p); err != nil {
			return err
		}
		return c.note(tx, p.Merchant, "logout", store.OutcomeDone)
	})
}

// prove checks the password of somebody who has signed in, before what he could
// regret. It counts as a login does.
func (s *Accounts) prove(ctx context.Context, c Caller, id store.AccountID, password string) (account store.Account, err error) {
	var of tries
	done := func() {}
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		if account, err = store.Get[store.Account](tx, id); err != nil {
			return err
		}
		of = tries{s.lockID(lockPlace, string(id), cmp.Or(c.Address, "-"))}
		done, err = s.admit(tx, of)
		return err
	})
	if err != nil {
		return account, err
	}
	defer done()
	ok, _, err := auth.CheckPassword(ctx, account.Password, password)
	if err != nil || ok {
		return account, err
	}
	err = s.store.Update(ctx, c.as(id), func(tx *store.Tx) error {
		return s.refuse(tx, c, of, account.Merchant, "prove", "password")
	})
	return account, errors.Join(err, &FieldError{"password", "is wrong"})
}
