package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/cypherface/edge/store"
)

const (
	// RefreshLife is how long a login waits to be prolonged.
	RefreshLife = 7 * 24 * time.Hour
	// MaxLogin is how long a login can be prolonged: then the password is due again.
	MaxLogin = 30 * 24 * time.Hour
	// MaxLogins is how many logins of an account there are; a further one ends the
	// oldest.
	MaxLogins = 20
)

// OpenLogin makes a login of an account whose holder has proved who he is: a token
// for LoginLife, and with it the token that it is exchanged with. The error matches
// ErrClock.
func (a *Authority) OpenLogin(tx *store.Tx, account *store.Account) (Token, error) {
	if err := a.timeKnown(); err != nil {
		return Token{}, err
	}
	if err := a.makeRoom(tx, account.ID); err != nil {
		return Token{}, err
	}
	_, key := a.NewKey(account.Merchant, "", account.Role) // nobody learns the key itself
	key.Account, key.Last4, key.Expires, key.LastUsed = account.ID, "", a.now().Add(MaxLogin), a.now()
	if err := store.Put(tx, &key); err != nil {
		return Token{}, err
	}
	p, err := a.principal(tx, &key)
	if err != nil {
		return Token{}, err
	}
	return a.prolong(tx, p, claims{})
}

// prolong makes the two tokens of a login; like has the family that they go on.
func (a *Authority) prolong(tx *store.Tx, p Principal, like claims) (Token, error) {
	key, err := store.Get[store.Key](tx, p.key)
	if err != nil {
		return Token{}, err
	}
	left := key.Expires.Sub(a.now())
	refresh, err := a.sign(p, min(RefreshLife, left), claims{Family: like.Family, Use: forRefresh})
	if err != nil {
		return Token{}, err
	}
	token, err := a.sign(p, min(LoginLife, left), claims{Family: like.Family})
	token.Refresh, token.RefreshLife = refresh.Value, refresh.Life
	return token, err
}

// makeRoom ends the oldest logins of an account where it has MaxLogins.
func (a *Authority) makeRoom(tx *store.Tx, account store.AccountID) error {
	logins, err := logins(tx, account)
	for len(logins) >= MaxLogins && err == nil {
		err = store.Delete[store.Key](tx, logins[0])
		logins = logins[1:]
	}
	return err
}

// logins lists those of an account, the oldest first.
func logins(tx *store.Tx, account store.AccountID) (ids []store.KeyID, err error) {
	for k, err := range store.All(tx, store.KeysByAccount, store.Plain(account)) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, k.ID)
	}
	return ids, nil
}

// EndLogins ends all logins of an account but one, at once; "" spares none.
func (a *Authority) EndLogins(tx *store.Tx, account store.AccountID, but store.KeyID) error {
	ids, err := logins(tx, account)
	for _, id := range ids {
		if err == nil && id != but {
			err = store.Delete[store.Key](tx, id)
		}
	}
	return err
}

// EndLogin ends the login that a principal came by.
func (a *Authority) EndLogin(tx *store.Tx, p Principal) error {
	return store.Delete[store.Key](tx, p.key)
}

// signedIn makes p somebody who has signed in: with what his account may do now,
// whatever it could when he did.
func (a *Authority) signedIn(tx *store.Tx, p *Principal, id store.AccountID) error {
	account, err := store.GetOf[store.Account](tx, p.Merchant, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: the account is gone", ErrUnauthorized)
	case err != nil:
		return err
	case account.Status != store.Active:
		return fmt.Errorf("%w: the account is %s", ErrUnauthorized, account.Status)
	}
	p.Actor = store.Actor{Kind: store.ActorAccount, ID: string(id)}
	p.Account, p.Role, p.scopes = id, account.Role, []Permission{Self}
	if !a.RequireFactor || !NeedsFactor(account.Role) || account.Factor() {
		p.scopes = append(p.scopes, roles[account.Role]...)
	}
	return nil
}
