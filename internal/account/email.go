package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/mail"
	"github.com/cypherface/edge/store"
)

// ChangeEmail has a code sent to the address that somebody who has signed in wants in
// the place of his own, and tells the present one. Nothing changes before ConfirmEmail;
// an earlier code for it is worth nothing. Where the address is another account's, its
// holder is told instead, and who asks does not learn it. The error is a FieldError,
// LockedError or auth.ErrBusy.
func (s *Accounts) ChangeEmail(ctx context.Context, c Caller, p auth.Principal, email, password string) error {
	account, err := s.prove(ctx, c, p.Account, password)
	if err != nil {
		return err
	}
	if email == account.Email {
		return &FieldError{"email", "is the present one"}
	}
	if err := s.asks(ctx, c, "email_change"); err != nil {
		return err
	}
	err = s.store.Update(ctx, c.as(p.Account), func(tx *store.Tx) error {
		account, err := store.Get[store.Account](tx, p.Account)
		if err != nil {
			return err
		}
		if err := s.often(tx, s.lockID(lockMails, fold(email)), mailsAnHour); err != nil {
			return err
		}
		if err := dropCodes(tx, account.ID, store.Plain(useEmail)); err != nil {
			return err
		}
		if err := errors.Join(s.queue(tx, &account, letterMoving), c.note(tx, account.Merchant, "email_change", store.OutcomeDone, "asked")); err != nil {
			return err
		}
		other, taken, err := byEmail(tx, email)
		if err != nil {
			return err
		}
		if taken && other.Verified && other.ID != account.ID {
			return s.queue(tx, &other, letterKnown)
		}
		code := store.Code{Merchant: account.Merchant, Account: account.ID, Use: useEmail, Email: email}
		if _, err := s.issue(tx, &code, letterLife); err != nil { // the digits are made when the mail is handed over
			return err
		}
		_, err = s.queueLetter(tx, store.Letter{Merchant: account.Merchant, Account: account.ID, Code: code.ID, Use: letterEmail})
		return err
	})
	s.poke()
	return err
}

// ConfirmEmail takes the six digits that ChangeEmail had sent, from somebody who has
// signed in: who reads the mail of an address that was mistyped can do nothing with
// them. What was sent to the old address is worth nothing from then on, and it is told.
// The error is ErrCode, ErrMember where the address has become another account's
// meanwhile, or LockedError.
func (s *Accounts) ConfirmEmail(ctx context.Context, c Caller, p auth.Principal, digits string) error {
	of := tries{s.lockID(lockAddress, c.Address)}
	done := func() {}
	err := s.store.View(ctx, func(tx *store.Tx) (err error) { done, err = s.admit(tx, of); return err })
	if err != nil {
		return err
	}
	defer done()
	var answer error // of a transaction that is kept
	err = s.store.Update(ctx, c.as(p.Account), func(tx *store.Tx) error {
		account, err := store.Get[store.Account](tx, p.Account)
		if err != nil {
			return err
		}
		codes, err := codesOf(tx, account.ID, store.Plain(useEmail))
		if err != nil {
			return err
		}
		if len(codes) == 0 || codes[0].Tries >= maxTries || !s.now().Before(codes[0].Expires) {
			answer = ErrCode
			return s.refuse(tx, c, of, account.Merchant, "email_change", "code")
		}
		code := codes[0]
		if string(code.Digits) != string(s.digitsTag(code.ID, digits)) { // of keyed hashes, no secret is in the time it takes
			code.Tries++
			answer = ErrCode
			return errors.Join(store.Put(tx, &code), s.refuse(tx, c, of, account.Merchant, "email_change", "code"))
		}
		other, taken, err := byEmail(tx, code.Email)
		switch {
		case err != nil:
			return err
		case taken && other.ID != account.ID && other.Verified:
			answer = ErrMember
			return errors.Join(store.Delete[store.Code](tx, code.ID), c.note(tx, account.Merchant, "email_change", store.OutcomeDenied, "known"))
		case taken && other.ID != account.ID:
			// Whoever registered with it has not shown that it is his.
			if err := s.forget(tx, &other); err != nil {
				return err
			}
		}
		return s.moveTo(tx, c, &account, code.Email)
	})
	s.poke()
	return errors.Join(err, answer)
}

// moveTo gives an account another address and has the old one told.
func (s *Accounts) moveTo(tx *store.Tx, c Caller, account *store.Account, email string) error {
	for _, use := range []string{useEmail, useReset, useVerify} { // what was sent to the old one
		if err := dropCodes(tx, account.ID, store.Plain(use)); err != nil {
			return err
		}
	}
	// The letter has no address of its own, and the account has the new one.
	was := store.Code{Merchant: account.Merchant, Use: useMoved, Email: account.Email}
	if _, err := s.issue(tx, &was, letterLife); err != nil { // nobody gets its token
		return err
	}
	_, err := s.queueLetter(tx, store.Letter{Merchant: account.Merchant, Code: was.ID, Use: letterMoved})
	account.Email, account.Verified = email, true
	return errors.Join(err, store.Put(tx, account), c.note(tx, account.Merchant, "email_change", store.OutcomeDone))
}

// composeToAddress writes a letter to the address of its code, which is not, or not
// yet, that of the account.
func (s *Accounts) composeToAddress(tx *store.Tx, l *store.Letter) (m mail.Message, err error) {
	c, err := store.Get[store.Code](tx, l.Code)
	if errors.Is(err, store.ErrNotFound) || err == nil && !s.now().Before(c.Expires) {
		return m, errNobody
	} else if err != nil {
		return m, err
	}
	m.To = c.Email
	if l.Use == letterMoved {
		m.Subject = "Your e-mail address was changed"
		m.Text = "Your account has another e-mail address now; this one does not sign in any more.\nIf that was not you, tell your administrator at once.\n"
		return m, nil
	}
	digits := newDigits()
	c.Digits, c.Tries = s.digitsTag(c.ID, digits), 0
	_, err = s.issue(tx, &c, verifyLife)
	m.Subject = "Confirm your new e-mail address"
	m.Text = fmt.Sprintf("Your code is %s. It is good for %.0f minutes, where you asked for it.\nUntil then your account has the old address.\n\nIf you have not asked for it, there is nothing to do: do not pass it on.\n", digits, verifyLife.Minutes())
	return m, err
}
