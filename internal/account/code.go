package account

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/cypherface/edge/store"
)

// What codes are good for, and for how long.
const (
	useVerify   = "verify"   // an e-mail address is one's own
	useReset    = "reset"    // a new password
	useInvite   = "invite"   // an account of a merchant
	useRegister = "register" // a merchant of one's own
	useLogin    = "login"    // the second step of a login
	usePasskey  = "passkey"  // what the browser signs to make one
	useEmail    = "email"    // another address for an account
	useMoved    = "moved"    // nothing: it keeps an old address until a letter has gone there
	usePending  = "pending"  // an account that nobody has verified; it goes with it

	verifyLife   = 15 * time.Minute
	resetLife    = time.Hour
	inviteLife   = 7 * 24 * time.Hour
	registerLife = 7 * 24 * time.Hour
	// TicketLife is how long the second step of a login may take.
	TicketLife  = 5 * time.Minute
	pendingLife = 7 * 24 * time.Hour

	maxTries = 5 // wrong ones of a code
)

// newToken makes a secret of 256 bits.
func newToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// newDigits makes six digits.
func newDigits() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(1e6)) // never fails
	return fmt.Sprintf("%06d", n)
}

func (s *Accounts) tokenTag(use, token string) []byte { return s.Authority.Tag("token", use, token) }

func (s *Accounts) digitsTag(id store.CodeID, digits string) []byte {
	return s.Authority.Tag("digits", string(id), digits)
}

// issue stores a code and returns its long form.
func (s *Accounts) issue(tx *store.Tx, c *store.Code, life time.Duration) (token string, err error) {
	token = newToken()
	if c.ID == "" {
		c.ID = store.NewID[store.CodeID](s.now())
	}
	c.Token, c.Expires = s.tokenTag(c.Use, token), s.now().Add(life)
	return token, store.Put(tx, c)
}

// find returns the code that has a long form, spent or not, or ErrCode.
func (s *Accounts) find(tx *store.Tx, use, token string) (store.Code, error) {
	if len(token) > 100 {
		return store.Code{}, ErrCode
	}
	c, err := store.Find(tx, store.CodeByToken, store.Plain(string(s.tokenTag(use, token))))
	if errors.Is(err, store.ErrNotFound) || err == nil && (c.Use != use || !s.now().Before(c.Expires)) {
		return store.Code{}, ErrCode
	}
	return c, err
}

// redeem is find for a code that is good once: it is not afterwards.
func (s *Accounts) redeem(tx *store.Tx, use, token string) (store.Code, error) {
	c, err := s.find(tx, use, token)
	if err == nil && c.Spent {
		err = ErrCode
	}
	if err != nil {
		return c, err
	}
	return c, store.Delete[store.Code](tx, c.ID)
}

// codesOf lists the codes of an account for a use.
func codesOf(tx *store.Tx, account store.AccountID, use ...store.Term) (all []store.Code, err error) {
	for c, err := range store.All(tx, store.CodesByAccount, append([]store.Term{store.Plain(account)}, use...)...) {
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// dropCodes deletes the codes of an account for a use; without one, all.
func dropCodes(tx *store.Tx, account store.AccountID, use ...store.Term) error {
	all, err := codesOf(tx, account, use...)
	for _, c := range all {
		if err == nil {
			err = store.Delete[store.Code](tx, c.ID)
		}
	}
	return err
}
