package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

const minPassword = 12 // characters

// newPassword hashes a password that somebody chose. The error is a FieldError or
// auth.ErrBusy. words are his names and address, which are the first to be guessed.
func (s *Accounts) newPassword(ctx context.Context, password string, words ...string) (string, error) {
	if issue := weak(password, words); issue != "" {
		return "", &FieldError{"password", issue}
	}
	hash, err := auth.HashPassword(ctx, password)
	if errors.Is(err, auth.ErrPassword) {
		return "", &FieldError{"password", "must have 12 to 128 characters"}
	}
	return hash, err
}

// weak says what is wrong with a password; "" nothing. Length is what counts
// (NIST SP 800-63B): there are no rules about sorts of characters.
func weak(password string, words []string) string {
	lower := strings.ToLower(password)
	seen := map[rune]bool{}
	steps := map[rune]int{}
	last := rune(0)
	for _, r := range lower {
		seen[r] = true
		steps[r-last]++
		last = r
	}
	n := utf8.RuneCountInString(password)
	switch {
	case n < minPassword || n > 128:
		return fmt.Sprintf("must have %d to 128 characters", minPassword)
	case !utf8.ValidString(password):
		return "must be UTF-8"
	case len(seen) < 5:
		return "repeats too few characters"
	case steps[1] > n/2 || steps[-1] > n/2:
		return "is a sequence"
	}
	for _, word := range words {
		word = strings.ToLower(word)
		local, _, _ := strings.Cut(word, "@")
		for _, w := range []string{word, local} {
			// What is left without the word must not be next to nothing.
			if len(w) > 3 && utf8.RuneCountInString(strings.ReplaceAll(lower, w, "")) < 5 {
				return "is nearly your name or address"
			}
		}
	}
	return ""
}

// ChangePassword gives somebody who has signed in another password, for the old
// one, and ends his other logins. The error is a FieldError, LockedError or
// auth.ErrBusy.
func (s *Accounts) ChangePassword(ctx context.Context, c Caller, p auth.Principal, old, password string) error {
	account, err := s.prove(ctx, c, p.Account, old)
	if err != nil {
		return renamed(err, "currentPassword")
	}
	if password == old {
		return &FieldError{"newPassword", "is the old one"}
	}
	hash, err := s.newPassword(ctx, password, account.Email, account.Firstname, account.Lastname)
	if err != nil {
		return renamed(err, "newPassword")
	}
	err = s.store.Update(ctx, c.as(p.Account), func(tx *store.Tx) error {
		return s.setPassword(tx, c, account.ID, hash, p.Login(), "password_change", false)
	})
	s.poke()
	return err
}

// renamed is a FieldError about the field as the caller called it.
func renamed(err error, field string) error {
	var wrong *FieldError
	if errors.As(err, &wrong) {
		return &FieldError{field, wrong.Issue}
	}
	return err
}

// setPassword stores a hash, ends all logins but one, and what else could set one.
func (s *Accounts) setPassword(tx *store.Tx, c Caller, id store.AccountID, hash string, but store.KeyID, action string, verified bool) error {
	account, err := store.Get[store.Account](tx, id)
	if err != nil {
		return err
	}
	account.Password = hash
	account.Verified = account.Verified || verified
	return errors.Join(store.Put(tx, &account), s.Authority.EndLogins(tx, id, but),
		dropCodes(tx, id, store.Plain(useReset)), dropCodes(tx, id, store.Plain(useLogin)), dropCodes(tx, id, store.Plain(useEmail)),
		s.queue(tx, &account, letterPassword), c.note(tx, account.Merchant, action, store.OutcomeDone))
}

// Forgot has a link sent with which a new password can be set, where there is an
// account; nobody learns whether there is. The error is LockedError.
func (s *Accounts) Forgot(ctx context.Context, c Caller, email string) error {
	return s.send(ctx, c, "password_forgot", email, letterReset, func(*store.Account) bool { return true })
}

// Reset sets a new password by the link of Forgot, once, ends all logins of the
// account, and the locks of whoever guessed at it. The address counts as verified:
// the link was sent there. A second factor stays, and is asked for. The error is
// ErrCode, a FieldError, LockedError or auth.ErrBusy.
func (s *Accounts) Reset(ctx context.Context, c Caller, token, password string) error {
	of := tries{s.lockID(lockAddress, c.Address)}
	done := func() {}
	var account store.Account
	err := s.store.View(ctx, func(tx *store.Tx) (err error) {
		if done, err = s.admit(tx, of); err != nil {
			return err
		}
		// A password that is refused leaves the link good.
		code, err := s.find(tx, useReset, token)
		if errors.Is(err, ErrCode) {
			return nil
		} else if err != nil {
			return err
		}
		account, err = store.Get[store.Account](tx, code.Account)
		return err
	})
	if err != nil {
		return err
	}
	defer done()
	hash, err := s.newPassword(ctx, password, account.Email, account.Firstname, account.Lastname)
	if err != nil {
		return err
	}
	var answer error
	err = s.store.Update(ctx, c.cause("password_reset"), func(tx *store.Tx) error {
		code, err := s.redeem(tx, useReset, token)
		if errors.Is(err, ErrCode) {
			answer = ErrCode
			return s.refuse(tx, c, of, "", "password_reset", "code")
		} else if err != nil {
			return err
		}
		account, err := store.Get[store.Account](tx, code.Account)
		if err != nil {
			return err
		}
		return errors.Join(s.forgive(tx, &account, c.Address),
			s.setPassword(tx, c, code.Account, hash, "", "password_reset", true))
	})
	s.poke()
	return errors.Join(err, answer)
}
