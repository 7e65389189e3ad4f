package account

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// What a second step is done with.
const (
	FactorTOTP     = "totp"
	FactorPasskey  = "passkey"
	FactorRecovery = "recovery"
)

// A code of an authenticator app (RFC 6238: SHA-1, six digits, steps of 30 s) is good
// in its own step, the one before and the one after, and once.
const (
	totpStep   = 30 // seconds
	totpSkew   = 1  // steps
	totpSecret = 20 // bytes, as RFC 4226 recommends
)

// recoveryCodes is how many there are; each has recoveryBytes of chance.
const (
	recoveryCodes = 10
	recoveryBytes = 10
)

var base32Plain = base32.StdEncoding.WithPadding(base32.NoPadding)

// factorsOf lists with what somebody can do the second step.
func factorsOf(a *store.Account) (all []string) {
	if a.TOTP != nil && a.TOTP.Confirmed {
		all = append(all, FactorTOTP)
	}
	if len(a.Passkeys) > 0 {
		all = append(all, FactorPasskey)
	}
	if len(all) > 0 && len(a.Recovery) > 0 {
		all = append(all, FactorRecovery)
	}
	return all
}

// A Proof is what somebody shows in the second step of a login: one of the three.
type Proof struct {
	Caller
	Ticket   string
	Code     string          // of an authenticator app
	Recovery string          // code
	Passkey  json.RawMessage // PublicKeyCredential of the browser, as JSON
}

// Second is the second step of a login. The ticket is good once, and for maxTries
// wrong codes; these count for the account besides, so that who knows the password
// cannot guess on with other tickets. The error is ErrRefused, LockedError
// or auth.ErrClock.
func (s *Accounts) Second(ctx context.Context, p Proof) (in Login, err error) {
	if err := s.clockKnown(); err != nil {
		return in, err
	}
	var of tries
	done := func() {}
	var id store.AccountID
	err = s.store.View(ctx, func(tx *store.Tx) error {
		ticket, err := s.ticket(tx, p.Ticket)
		if err != nil {
			return err
		}
		id = ticket.Account
		of = tries{s.lockID(lockFactor, string(id))}
		done, err = s.admit(tx, of)
		return err
	})
	if err != nil {
		return in, err
	}
	defer done()
	var refused error
	err = s.store.Update(ctx, p.as(id), func(tx *store.Tx) error {
		ticket, err := s.ticket(tx, p.Ticket)
		if err != nil {
			return err
		}
		account, err := store.Get[store.Account](tx, id)
		if err != nil {
			return err
		}
		reason, why, err := acts(tx, &account)
		if err != nil {
			return err
		}
		by, ok := "", false
		if why == nil {
			by, ok = s.checkProof(&account, &ticket, p)
			reason = cmp.Or(by, "factor")
		}
		if !ok {
			refused = cmp.Or(why, ErrRefused)
			if ticket.Tries++; ticket.Tries < maxTries {
				err = store.Put(tx, &ticket)
			} else {
				err = store.Delete[store.Code](tx, ticket.ID)
			}
			return errors.Join(err, s.refuse(tx, p.Caller, of, account.Merchant, "login", reason))
		}
		if err := store.Delete[store.Code](tx, ticket.ID); err != nil {
			return err
		}
		in, err = s.letIn(tx, p.Caller, &account, "password", by)
		return err
	})
	return in, cmp.Or(err, refused)
}

// ticket is find for the second step of a login: ErrRefused where there is none.
func (s *Accounts) ticket(tx *store.Tx, token string) (store.Code, error) {
	c, err := s.find(tx, useLogin, token)
	if errors.Is(err, ErrCode) {
		err = ErrRefused
	}
	return c, err
}

// checkProof reports whether a proof is good, and by what. Then the account is changed
// so that it is not again.
func (s *Accounts) checkProof(a *store.Account, ticket *store.Code, p Proof) (by string, ok bool) {
	switch {
	case p.Code != "":
		return FactorTOTP, s.useTOTP(a.TOTP, p.Code, true)
	case p.Recovery != "":
		return FactorRecovery, s.useRecovery(a, p.Recovery)
	case len(p.Passkey) > 0:
		return FactorPasskey, s.usePasskey(a, ticket.Data, p.Passkey) == nil
	}
	return "", false
}

// useTOTP reports whether a code is good now. Neither it nor one before it is good
// again.
func (s *Accounts) useTOTP(t *store.TOTP, code string, confirmed bool) bool {
	code = strings.ReplaceAll(code, " ", "")
	if t == nil || t.Confirmed != confirmed || len(code) != 6 {
		return false
	}
	now := uint64(max(0, s.now().Unix())) / totpStep
	secret := base32Plain.EncodeToString(t.Secret)
	for step := now - totpSkew; step <= now+totpSkew; step++ {
		want, err := hotp.GenerateCodeCustom(secret, step, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && step > t.Last {
			t.Last = step
			return true
		}
	}
	return false
}

// newRecovery gives an account recovery codes in the place of those it had, and
// returns them: only their keyed hashes are kept.
func (s *Accounts) newRecovery(a *store.Account) (codes []string) {
	a.Recovery = nil
	for range recoveryCodes {
		var b [recoveryBytes]byte
		_, _ = rand.Read(b[:]) // never fails
		code := strings.ToLower(base32Plain.EncodeToString(b[:]))
		codes = append(codes, strings.Join([]string{code[:4], code[4:8], code[8:12], code[12:]}, "-"))
		a.Recovery = append(a.Recovery, s.recoveryTag(a.ID, code))
	}
	return codes
}

func (s *Accounts) recoveryTag(id store.AccountID, code string) []byte {
	return s.Authority.Tag("recovery", string(id), code)
}

// useRecovery reports whether a recovery code is one, and strikes it off.
func (s *Accounts) useRecovery(a *store.Account, code string) bool {
	if len(code) > 100 {
		return false
	}
	tag := s.recoveryTag(a.ID, strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(code)))
	i := slices.IndexFunc(a.Recovery, func(have []byte) bool { return subtle.ConstantTimeCompare(have, tag) == 1 })
	if i < 0 {
		return false
	}
	a.Recovery = slices.Delete(a.Recovery, i, i+1)
	return true
}

// A Setup is a new authenticator app that is not confirmed yet.
type Setup struct {
	Secret string // base32, to be typed
	URL    string // otpauth://, to be shown as a QR code
}

// SetupTOTP begins to set up an authenticator app, for the password: ConfirmTOTP with
// a code of it makes it count. The error is ErrFactor where one counts already, a
// FieldError, LockedError or auth.ErrBusy.
func (s *Accounts) SetupTOTP(ctx context.Context, c Caller, id store.AccountID, password string) (setup Setup, err error) {
	account, err := s.prove(ctx, c, id, password)
	if err != nil {
		return setup, err
	}
	return s.SetupTOTPFor(ctx, c.as(id), account.Merchant, id)
}

// SetupTOTPFor is SetupTOTP without the password: for the box's operator.
func (s *Accounts) SetupTOTPFor(ctx context.Context, cause store.Cause, m store.MerchantID, id store.AccountID) (setup Setup, err error) {
	err = s.store.Update(ctx, cause, func(tx *store.Tx) error {
		account, err := store.GetOf[store.Account](tx, m, id)
		if err != nil {
			return err
		}
		if account.TOTP != nil && account.TOTP.Confirmed {
			return ErrFactor
		}
		key, err := totp.Generate(totp.GenerateOpts{Issuer: "CypherFace " + string(tx.Info().Environment), AccountName: account.Email, SecretSize: totpSecret})
		if err != nil {
			return err
		}
		secret, err := base32Plain.DecodeString(key.Secret())
		if err != nil {
			return err
		}
		setup = Setup{key.Secret(), key.URL()}
		account.TOTP = &store.TOTP{Secret: secret}
		return store.Put(tx, &account)
	})
	return setup, err
}

// ConfirmTOTP makes an authenticator app count that shows it works, and ends the
// other logins, which were made by a password alone. recovery are codes for when it
// is lost, where the account had no factor before. The error is ErrFactor, ErrCode,
// LockedError or auth.ErrClock.
func (s *Accounts) ConfirmTOTP(ctx context.Context, c Caller, p auth.Principal, code string) (recovery []string, err error) {
	return s.confirmTOTP(ctx, c, c.as(p.Account), p.Merchant, p.Account, p.Login(), code)
}

// ConfirmTOTPFor is ConfirmTOTP for the box's operator: all logins end.
func (s *Accounts) ConfirmTOTPFor(ctx context.Context, cause store.Cause, m store.MerchantID, id store.AccountID, code string) (recovery []string, err error) {
	return s.confirmTOTP(ctx, Caller{}, cause, m, id, "", code)
}

func (s *Accounts) confirmTOTP(ctx context.Context, c Caller, cause store.Cause, m store.MerchantID, id store.AccountID, but store.KeyID, code string) (recovery []string, err error) {
	if err := s.clockKnown(); err != nil {
		return nil, err
	}
	of := tries{s.lockID(lockFactor, string(id))}
	done := func() {}
	if err := s.store.View(ctx, func(tx *store.Tx) (err error) { done, err = s.admit(tx, of); return err }); err != nil {
		return nil, err
	}
	defer done()
	var answer error
	err = s.store.Update(ctx, cause, func(tx *store.Tx) error {
		account, err := store.GetOf[store.Account](tx, m, id)
		if err != nil {
			return err
		}
		if account.TOTP == nil || account.TOTP.Confirmed {
			return ErrFactor
		}
		if !s.useTOTP(account.TOTP, code, false) {
			answer = ErrCode
			return s.refuse(tx, c, of, account.Merchant, "factor_add", FactorTOTP)
		}
		first := !account.Factor()
		account.TOTP.Confirmed = true
		recovery, err = s.factorAdded(tx, c, but, &account, first, FactorTOTP)
		return err
	})
	s.poke()
	return recovery, errors.Join(err, answer)
}

// factorAdded stores an account with another factor, and ends all logins but one.
func (s *Accounts) factorAdded(tx *store.Tx, c Caller, but store.KeyID, a *store.Account, first bool, kind string) (recovery []string, err error) {
	if first {
		recovery = s.newRecovery(a)
	}
	return recovery, errors.Join(store.Put(tx, a), s.Authority.EndLogins(tx, a.ID, but), dropCodes(tx, a.ID, store.Plain(useLogin)),
		s.queue(tx, a, letterFactor), c.note(tx, a.Merchant, "factor_add", store.OutcomeDone, kind))
}

// NewRecovery gives somebody other recovery codes, for the password. The error is
// ErrFactor where he has no factor to recover, a FieldError, LockedError or
// auth.ErrBusy.
func (s *Accounts) NewRecovery(ctx context.Context, c Caller, id store.AccountID, password string) (codes []string, err error) {
	if _, err := s.prove(ctx, c, id, password); err != nil {
		return nil, err
	}
	err = s.store.Update(ctx, c.as(id), func(tx *store.Tx) error {
		account, err := store.Get[store.Account](tx, id)
		if err != nil {
			return err
		}
		if !account.Factor() {
			return ErrFactor
		}
		codes = s.newRecovery(&account)
		return errors.Join(store.Put(tx, &account), c.note(tx, account.Merchant, "recovery_new", store.OutcomeDone))
	})
	return codes, err
}

// RemoveFactor takes a factor away, for the password: FactorTOTP, or a passkey by its
// id in base64url. The error is ErrFactor, a FieldError, LockedError or auth.ErrBusy.
func (s *Accounts) RemoveFactor(ctx context.Context, c Caller, id store.AccountID, password, factor string) error {
	if _, err := s.prove(ctx, c, id, password); err != nil {
		return err
	}
	err := s.store.Update(ctx, c.as(id), func(tx *store.Tx) error {
		account, err := store.Get[store.Account](tx, id)
		if err != nil {
			return err
		}
		before := len(account.Passkeys)
		account.Passkeys = slices.DeleteFunc(account.Passkeys, func(k store.Passkey) bool { return PasskeyID(&k) == factor })
		kind := FactorPasskey
		if factor == FactorTOTP && account.TOTP != nil {
			account.TOTP, kind = nil, FactorTOTP
		} else if len(account.Passkeys) == before {
			return ErrFactor
		}
		if !account.Factor() {
			account.Recovery = nil
		}
		return errors.Join(store.Put(tx, &account), s.queue(tx, &account, letterFactor), c.note(tx, account.Merchant, "factor_remove", store.OutcomeDone, kind))
	})
	s.poke()
	return err
}

// ResetFactor takes all factors away and ends all logins: for the box's operator, when
// a factor and the recovery codes are lost. The error is store.ErrNotFound.
func (s *Accounts) ResetFactor(ctx context.Context, cause store.Cause, m store.MerchantID, id store.AccountID) error {
	err := s.store.Update(ctx, cause, func(tx *store.Tx) error {
		account, err := store.GetOf[store.Account](tx, m, id)
		if err != nil {
			return err
		}
		account.TOTP, account.Passkeys, account.Recovery = nil, nil, nil
		return errors.Join(store.Put(tx, &account), s.Authority.EndLogins(tx, id, ""), dropCodes(tx, id, store.Plain(useLogin)),
			s.queue(tx, &account, letterFactor), Caller{}.note(tx, m, "factor_reset", store.OutcomeDone))
	})
	s.poke()
	return err
}
