package account

import (
	"errors"

	"github.com/cypherface/edge/store"
)

// Expire removes a code whose time is over, and with it the account of somebody
// who has not verified his address in all that time.
func (s *Accounts) Expire(tx *store.Tx, c *store.Code) error {
	if _, err := store.Get[store.Code](tx, c.ID); errors.Is(err, store.ErrNotFound) {
		return nil // it went with another
	}
	if c.Use == usePending {
		account, err := store.Get[store.Account](tx, c.Account)
		if err == nil && !account.Verified {
			return s.forget(tx, &account)
		} else if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	if err := dropLetters(tx, string(c.ID), ""); err != nil {
		return err
	}
	return store.Delete[store.Code](tx, c.ID)
}
