package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// An Invitation is what somebody is invited to.
type Invitation struct {
	Email string
	Role  store.Role
	// Show has the invitation returned instead of mailed: who invites hands it on.
	Show bool
}

// Invite invites somebody to an account of the inviter's merchant; an earlier
// invitation of the address is worth nothing from then on. token is the invitation
// where it is to be shown. The error is ErrRank, ErrMember, or ErrRelay where the
// mail could not be sent: it is tried again all the same.
func (s *Accounts) Invite(ctx context.Context, cause store.Cause, p auth.Principal, in Invitation) (code store.Code, token string, err error) {
	if !p.MayGrant(in.Role) {
		return code, "", ErrRank
	}
	var letter store.LetterID
	err = s.store.Update(ctx, cause, func(tx *store.Tx) error {
		account, taken, err := byEmail(tx, in.Email)
		if err != nil {
			return err
		}
		if taken && account.Merchant == p.Merchant { // of another merchant's he learns nothing
			return ErrMember
		}
		for old, err := range store.All(tx, store.CodesByMerchant, store.Plain(p.Merchant), store.Plain(useInvite)) {
			if err != nil {
				return err
			}
			if fold(old.Email) == fold(in.Email) {
				code = old
			}
		}
		code = store.Code{Meta: code.Meta, ID: code.ID, Merchant: p.Merchant, Use: useInvite, Email: in.Email, Role: in.Role}
		if token, err = s.issue(tx, &code, inviteLife); err != nil {
			return err
		}
		if !in.Show {
			token = ""
			if letter, err = s.queueLetter(tx, store.Letter{Merchant: p.Merchant, Code: code.ID, Use: letterInvite}); err != nil {
				return err
			}
		}
		return Caller{}.note(tx, p.Merchant, "invite", store.OutcomeDone, string(in.Role))
	})
	if err != nil || letter == "" || s.Relay == nil {
		return code, token, err
	}
	return code, "", s.deliver(ctx, letter)
}

// Invitations lists those of a merchant that can be accepted, the oldest first.
func (s *Accounts) Invitations(ctx context.Context, m store.MerchantID) (all []store.Code, err error) {
	err = s.store.View(ctx, func(tx *store.Tx) error {
		for c, err := range store.All(tx, store.CodesByMerchant, store.Plain(m), store.Plain(useInvite)) {
			if err != nil {
				return err
			}
			if s.now().Before(c.Expires) {
				all = append(all, c)
			}
		}
		return nil
	})
	return all, err
}

// Revoke takes an invitation back. The error is store.ErrNotFound or ErrRank.
func (s *Accounts) Revoke(ctx context.Context, cause store.Cause, p auth.Principal, id store.CodeID) error {
	return s.store.Update(ctx, cause, func(tx *store.Tx) error {
		c, err := store.GetOf[store.Code](tx, p.Merchant, id)
		if err == nil && c.Use != useInvite {
			err = fmt.Errorf("revoke invitation: %w", store.ErrNotFound)
		}
		if err != nil {
			return err
		}
		if !p.MayGrant(c.Role) {
			return ErrRank
		}
		return errors.Join(store.Delete[store.Code](tx, id), dropLetters(tx, string(id), ""), Caller{}.note(tx, p.Merchant, "invite_revoke", store.OutcomeDone, string(c.Role)))
	})
}

// A Member is somebody who accepts an invitation. The fields are well formed.
type Member struct {
	Caller
	Token, Firstname, Lastname, Password string
}

// Accept makes the account that somebody was invited to. The error is ErrCode,
// a FieldError, a store.ConflictError where the address has an account, LockedError
// or auth.ErrBusy.
func (s *Accounts) Accept(ctx context.Context, m Member) (account store.Account, err error) {
	of := tries{s.lockID(lockAddress, m.Address)}
	done := func() {}
	var invited store.Code
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		if done, err = s.admit(tx, of); err != nil {
			return err
		}
		if invited, err = s.find(tx, useInvite, m.Token); errors.Is(err, ErrCode) {
			err = nil // told after the same work
		}
		return err
	})
	if err != nil {
		return account, err
	}
	defer done()
	hash, err := s.newPassword(ctx, m.Password, m.Firstname, m.Lastname, invited.Email)
	if err != nil {
		return account, err
	}
	var answer error
	err = s.store.Update(ctx, m.cause("invitation"), func(tx *store.Tx) error {
		c, err := s.redeem(tx, useInvite, m.Token)
		if errors.Is(err, ErrCode) {
			answer = ErrCode
			return s.refuse(tx, m.Caller, of, "", "invite_accept", "code")
		} else if err != nil {
			return err
		}
		account = store.Account{
			ID: store.NewID[store.AccountID](s.now()), Merchant: c.Merchant, Firstname: m.Firstname, Lastname: m.Lastname,
			Email: c.Email, Verified: true, Password: hash, Role: c.Role, Status: store.Active,
		}
		if err := s.makeWay(tx, c.Email); err != nil {
			return err
		}
		return errors.Join(store.Put(tx, &account), m.note(tx, c.Merchant, "invite_accept", store.OutcomeDone, string(c.Role)))
	})
	return account, errors.Join(err, answer)
}

// makeWay removes an account with an address that nobody has verified.
func (s *Accounts) makeWay(tx *store.Tx, email string) error {
	old, taken, err := byEmail(tx, email)
	if err != nil || !taken || old.Verified {
		return err
	}
	return s.forget(tx, &old)
}

// Create makes an account at once, for the box's operator: it needs no mail. The
// error is a FieldError or a store.ConflictError.
func (s *Accounts) Create(ctx context.Context, cause store.Cause, m store.MerchantID, account store.Account, password string) (store.Account, error) {
	hash, err := s.newPassword(ctx, password, account.Email, account.Firstname, account.Lastname)
	if err != nil {
		return account, err
	}
	account.ID, account.Merchant, account.Password = store.NewID[store.AccountID](s.now()), m, hash
	account.Verified, account.Status = true, store.Active
	err = s.store.Update(ctx, cause, func(tx *store.Tx) error {
		if err := s.makeWay(tx, account.Email); err != nil {
			return err
		}
		return errors.Join(store.Put(tx, &account), Caller{}.note(tx, m, "account_create", store.OutcomeDone, string(account.Role)))
	})
	return account, err
}

// SetPassword gives an account a password, ends its logins, and what keeps its
// holder out: for the box's operator. The error is store.ErrNotFound or a
// FieldError.
func (s *Accounts) SetPassword(ctx context.Context, cause store.Cause, m store.MerchantID, id store.AccountID, password string) error {
	account, err := s.Get(ctx, m, id)
	if err != nil {
		return err
	}
	hash, err := s.newPassword(ctx, password, account.Email, account.Firstname, account.Lastname)
	if err != nil {
		return err
	}
	err = s.store.Update(ctx, cause, func(tx *store.Tx) error {
		return errors.Join(s.forgive(tx, &account, ""), s.setPassword(tx, Caller{}, id, hash, "", "password_set", true))
	})
	s.poke()
	return err
}

// Unlock forgets all failures of everybody: for the box's operator.
func (s *Accounts) Unlock(ctx context.Context, cause store.Cause) (n int, err error) {
	err = s.store.Update(ctx, cause, func(tx *store.Tx) error {
		var ids []store.LockID
		for l, err := range store.All(tx, store.LocksByExpiry) {
			if err != nil {
				return err
			}
			ids = append(ids, l.ID)
		}
		n = len(ids)
		for _, id := range ids {
			if err := store.Delete[store.Lock](tx, id); err != nil {
				return err
			}
		}
		return Caller{}.note(tx, "", "unlock", store.OutcomeDone)
	})
	return n, err
}

// Get returns an account of a merchant, or store.ErrNotFound.
func (s *Accounts) Get(ctx context.Context, m store.MerchantID, id store.AccountID) (account store.Account, err error) {
	err = s.store.View(ctx, func(tx *store.Tx) error {
		account, err = store.GetOf[store.Account](tx, m, id)
		return err
	})
	return account, err
}

// List returns the accounts of a merchant, the oldest first.
func (s *Accounts) List(ctx context.Context, m store.MerchantID) (all []store.Account, err error) {
	err = s.store.View(ctx, func(tx *store.Tx) error {
		for a, err := range store.All(tx, store.AccountsByMerchant, store.Plain(m)) {
			if err != nil {
				return err
			}
			all = append(all, a)
		}
		return nil
	})
	return all, err
}

// A Change of an account by somebody else; what is empty stays.
type Change struct {
	Role   store.Role
	Status store.Status // active or suspended
}

// Change gives an account another role or status, and ends its logins. The error is
// store.ErrNotFound, ErrRank or ErrLastOwner.
func (s *Accounts) Change(ctx context.Context, cause store.Cause, p auth.Principal, id store.AccountID, ch Change) (account store.Account, err error) {
	err = s.store.Update(ctx, cause, func(tx *store.Tx) error {
		if account, err = store.GetOf[store.Account](tx, p.Merchant, id); err != nil {
			return err
		}
		if !p.MayGrant(account.Role) || ch.Role != "" && !p.MayGrant(ch.Role) {
			return ErrRank
		}
		before := account
		var reasons []string
		if ch.Role != "" && ch.Role != account.Role {
			account.Role = ch.Role
			reasons = append(reasons, "role", string(ch.Role))
		}
		if ch.Status != "" && ch.Status != account.Status {
			account.Status = ch.Status
			reasons = append(reasons, string(ch.Status))
		}
		if reasons == nil {
			return nil
		}
		if owns(&before) && !owns(&account) {
			if err := anotherOwner(tx, &account); err != nil {
				return err
			}
		}
		return errors.Join(store.Put(tx, &account), s.Authority.EndLogins(tx, id, ""), dropCodes(tx, id, store.Plain(useLogin)),
			Caller{}.note(tx, p.Merchant, "account_change", store.OutcomeDone, reasons...))
	})
	return account, err
}

// Remove deletes an account with all that belongs to it. The error is
// store.ErrNotFound, ErrRank or ErrLastOwner.
func (s *Accounts) Remove(ctx context.Context, cause store.Cause, p auth.Principal, id store.AccountID) error {
	return s.store.Update(ctx, cause, func(tx *store.Tx) error {
		account, err := store.GetOf[store.Account](tx, p.Merchant, id)
		if err != nil {
			return err
		}
		if !p.MayGrant(account.Role) {
			return ErrRank
		}
		if owns(&account) {
			if err := anotherOwner(tx, &account); err != nil {
				return err
			}
		}
		return errors.Join(s.remove(tx, &account), Caller{}.note(tx, p.Merchant, "account_remove", store.OutcomeDone, string(account.Role)))
	})
}

// remove deletes an account with its logins, codes and letters.
func (s *Accounts) remove(tx *store.Tx, account *store.Account) error {
	for _, drop := range []func() error{
		func() error { return s.Authority.EndLogins(tx, account.ID, "") },
		func() error { return dropCodes(tx, account.ID) },
		func() error { return dropLetters(tx, string(account.ID), "") },
		func() error { return s.forgive(tx, account, "") },
		func() error { return store.Delete[store.Account](tx, account.ID) },
	} {
		if err := drop(); err != nil {
			return fmt.Errorf("remove account: %w", err)
		}
	}
	return nil
}

// owns reports whether somebody can act as an owner.
func owns(a *store.Account) bool {
	return a.Role == store.RoleOwner && a.Status == store.Active && a.Verified
}

// anotherOwner is ErrLastOwner where nobody but account can act as the owner.
func anotherOwner(tx *store.Tx, account *store.Account) error {
	for a, err := range store.All(tx, store.AccountsByMerchant, store.Plain(account.Merchant)) {
		if err != nil {
			return err
		}
		if a.ID != account.ID && owns(&a) {
			return nil
		}
	}
	return ErrLastOwner
}

// Profile is what somebody may change about himself; nil leaves it.
type Profile struct{ Firstname, Lastname, Phone *string }

// ChangeProfile changes the fields of one's own account. They are well formed.
func (s *Accounts) ChangeProfile(ctx context.Context, cause store.Cause, id store.AccountID, pr Profile) (account store.Account, err error) {
	err = s.store.Update(ctx, cause, func(tx *store.Tx) error {
		if account, err = store.Get[store.Account](tx, id); err != nil {
			return err
		}
		before := [3]string{account.Firstname, account.Lastname, account.Phone}
		for into, given := range map[*string]*string{&account.Firstname: pr.Firstname, &account.Lastname: pr.Lastname, &account.Phone: pr.Phone} {
			if given != nil {
				*into = *given
			}
		}
		if before == [3]string{account.Firstname, account.Lastname, account.Phone} {
			return nil
		}
		return store.Put(tx, &account)
	})
	return account, err
}
