package account

import (
	"context"
	"errors"
	"time"

	"github.com/cypherface/edge/store"
)

// A Registrant is somebody who wants a merchant of his own. The fields are well
// formed.
type Registrant struct {
	Caller
	Business, Firstname, Lastname, Email, Phone string
	Password                                    string
	InviteCode                                  string
}

// Register makes a merchant and its owner, who has to verify his address. Where the
// address has an account, it makes nothing, has the holder told, and answers as if
// it had: only he learns it. The error is ErrRegistration, ErrCode (no good
// invitation), a FieldError, LockedError or auth.ErrBusy.
func (s *Accounts) Register(ctx context.Context, r Registrant) (store.Merchant, error) {
	m := store.Merchant{ID: store.NewID[store.MerchantID](s.now()), Name: r.Business, Phone: r.Phone, Status: store.Active}
	if s.Registration != Open && s.Registration != Invite {
		return m, ErrRegistration
	}
	hash, err := s.newPassword(ctx, r.Password, r.Email, r.Firstname, r.Lastname, r.Business)
	if err != nil {
		return m, err
	}
	if err := s.asks(ctx, r.Caller, "register"); err != nil {
		return m, err
	}
	err = s.store.Update(ctx, r.cause("register"), func(tx *store.Tx) error {
		if s.Registration == Invite {
			if _, err := s.redeem(tx, useRegister, r.InviteCode); err != nil {
				return err
			}
		}
		account, taken, err := byEmail(tx, r.Email)
		switch {
		case err != nil:
			return err
		case taken && account.Verified:
			if err := s.queue(tx, &account, letterKnown); err != nil {
				return err
			}
			return r.note(tx, account.Merchant, "register", store.OutcomeDenied, "known")
		case taken:
			// Nobody has shown yet that the address is his: who came last may.
			if err := s.forget(tx, &account); err != nil {
				return err
			}
		}
		return s.found(tx, r, &m, hash)
	})
	s.poke()
	return m, err
}

// found stores a new merchant and its owner.
func (s *Accounts) found(tx *store.Tx, r Registrant, m *store.Merchant, hash string) error {
	account := store.Account{
		ID: store.NewID[store.AccountID](s.now()), Merchant: m.ID, Firstname: r.Firstname, Lastname: r.Lastname,
		Email: r.Email, Password: hash, Role: store.RoleOwner, Status: store.Active,
	}
	pending := store.Code{Merchant: m.ID, Account: account.ID, Use: usePending}
	if _, err := s.issue(tx, &pending, pendingLife); err != nil { // nobody gets its token
		return err
	}
	return errors.Join(store.Put(tx, m), store.Put(tx, &account), s.queue(tx, &account, letterVerify),
		r.note(tx, m.ID, "register", store.OutcomeDone))
}

// forget removes an account that was never verified, with its merchant where that
// is empty.
func (s *Accounts) forget(tx *store.Tx, account *store.Account) error {
	if err := s.remove(tx, account); err != nil {
		return err
	}
	for _, count := range []func() (int, error){
		func() (int, error) { return store.Count(tx, store.AccountsByMerchant, store.Plain(account.Merchant)) },
		func() (int, error) { return store.Count(tx, store.KeysByMerchant, store.Plain(account.Merchant)) },
		func() (int, error) { return store.Count(tx, store.PersonsByMerchant, store.Plain(account.Merchant)) },
		func() (int, error) { return store.Count(tx, store.SitesByMerchant, store.Plain(account.Merchant)) },
	} {
		if n, err := count(); err != nil || n > 0 {
			return err
		}
	}
	return store.Delete[store.Merchant](tx, account.Merchant)
}

// InviteMerchant makes a code with which somebody can register a merchant, once,
// within a week.
func (s *Accounts) InviteMerchant(ctx context.Context, cause store.Cause, by store.MerchantID) (code string, expires time.Time, err error) {
	err = s.store.Update(ctx, cause, func(tx *store.Tx) error {
		c := store.Code{Use: useRegister}
		if code, err = s.issue(tx, &c, registerLife); err != nil {
			return err
		}
		expires = c.Expires
		return Caller{}.note(tx, by, "invite_merchant", store.OutcomeDone)
	})
	return code, expires, err
}

// asks bounds what one network address may have done without an account: mails
// above all. It is told by a LockedError.
func (s *Accounts) asks(ctx context.Context, c Caller, what string) error {
	return s.store.Update(ctx, c.cause(what), func(tx *store.Tx) error {
		return s.often(tx, s.lockID(lockAsks, c.Address), asksAnHour)
	})
}

const (
	asksAnHour  = 20
	mailsAnHour = 5
)

// VerifyLife is how long the code lasts that verifies an address.
func (s *Accounts) VerifyLife() time.Duration { return verifyLife }

// Verify takes the six digits that were sent to an address. The error is ErrCode,
// also where there is no such account, ErrVerified where the digits are right and
// were used, or LockedError.
func (s *Accounts) Verify(ctx context.Context, c Caller, email, digits string) error {
	of := tries{s.lockID(lockAddress, c.Address)}
	return s.verify(ctx, c, of, func(tx *store.Tx) (code store.Code, err error) {
		account, ok, err := byEmail(tx, email)
		if err != nil || !ok {
			return code, errors.Join(err, ErrCode)
		}
		codes, err := codesOf(tx, account.ID, store.Plain(useVerify))
		if err != nil || len(codes) == 0 {
			return code, errors.Join(err, ErrCode)
		}
		code = codes[0]
		if code.Tries >= maxTries || !s.now().Before(code.Expires) {
			return code, ErrCode
		}
		if string(code.Digits) != string(s.digitsTag(code.ID, digits)) { // of keyed hashes, no secret is in the time it takes
			code.Tries++
			return code, errors.Join(store.Put(tx, &code), ErrCode)
		}
		return code, nil
	})
}

// VerifyLink is Verify by the link of the mail.
func (s *Accounts) VerifyLink(ctx context.Context, c Caller, token string) error {
	of := tries{s.lockID(lockAddress, c.Address)}
	return s.verify(ctx, c, of, func(tx *store.Tx) (store.Code, error) { return s.find(tx, useVerify, token) })
}

// verify marks the address of the account verified whose code find returns. A
// failure is counted and its transaction kept.
func (s *Accounts) verify(ctx context.Context, c Caller, of tries, find func(*store.Tx) (store.Code, error)) error {
	done := func() {}
	err := s.store.View(ctx, func(tx *store.Tx) (err error) { done, err = s.admit(tx, of); return err })
	if err != nil {
		return err
	}
	defer done()
	var answer error
	err = s.store.Update(ctx, c.cause("verify"), func(tx *store.Tx) error {
		code, err := find(tx)
		if errors.Is(err, ErrCode) {
			answer = ErrCode
			return s.refuse(tx, c, of, code.Merchant, "verify", "code")
		} else if err != nil {
			return err
		}
		if code.Spent {
			answer = ErrVerified
			return nil
		}
		code.Spent = true
		account, err := store.Get[store.Account](tx, code.Account)
		if err != nil {
			return err
		}
		account.Verified = true
		return errors.Join(store.Put(tx, &code), store.Put(tx, &account), dropCodes(tx, account.ID, store.Plain(usePending)),
			c.note(tx, account.Merchant, "verify", store.OutcomeDone))
	})
	return errors.Join(err, answer)
}

// Resend has another code sent, where there is an account that needs one. Nobody
// learns whether there is. The error is LockedError.
func (s *Accounts) Resend(ctx context.Context, c Caller, email string) error {
	return s.send(ctx, c, "resend", email, letterVerify, func(account *store.Account) bool { return !account.Verified })
}

// send queues a letter for an account that wants it. It takes as much work where
// there is none.
func (s *Accounts) send(ctx context.Context, c Caller, action, email, letter string, wants func(*store.Account) bool) error {
	if err := s.asks(ctx, c, action); err != nil {
		return err
	}
	err := s.store.Update(ctx, c.cause(action), func(tx *store.Tx) error {
		account, ok, err := byEmail(tx, email)
		if err != nil {
			return err
		}
		// Too many mails are not sent, and nobody is told: he would know that there
		// is somebody to send them to.
		var locked *LockedError
		err = s.often(tx, s.lockID(lockMails, fold(email)), mailsAnHour)
		switch {
		case errors.As(err, &locked):
			return c.note(tx, account.Merchant, action, store.OutcomeDenied, "too_often")
		case err != nil:
			return err
		case !ok || account.Status != store.Active || !wants(&account):
			return c.note(tx, account.Merchant, action, store.OutcomeDenied, "no_account")
		}
		return errors.Join(s.queue(tx, &account, letter), c.note(tx, account.Merchant, action, store.OutcomeDone))
	})
	s.poke()
	return err
}
