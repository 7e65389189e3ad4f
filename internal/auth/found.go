package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/cypherface/edge/store"
)

// Found makes the first merchant of an environment and a key with every
// scope. keep, if not nil, is handed both before they are stored, so that
// the key is not lost when the process ends between the two; its error undoes
// all. The error matches store.ErrConflict where there is a merchant already.
func (a *Authority) Found(ctx context.Context, cause store.Cause, name string, keep func(store.MerchantID, string) error) (m store.MerchantID, apiKey string, err error) {
	merchant := store.Merchant{ID: store.NewID[store.MerchantID](a.now()), Name: name, Status: store.Active}
	apiKey, key := a.NewKey(merchant.ID, "first", store.RoleIntegrator, Scopes()...)
	if keep != nil {
		if err := keep(merchant.ID, apiKey); err != nil {
			return "", "", err
		}
	}
	err = a.store.Update(ctx, cause, func(tx *store.Tx) error {
		there, err := store.List(tx, store.Merchants, store.Query[store.Merchant]{Limit: 1})
		if err != nil {
			return err
		}
		if len(there.Items) > 0 {
			return &store.ConflictError{Kind: store.KindMerchant, Field: "name", Existing: string(there.Items[0].ID)}
		}
		return errors.Join(store.Put(tx, &merchant), store.Put(tx, &key))
	})
	if err != nil {
		return "", "", fmt.Errorf("make the first merchant: %w", err)
	}
	return merchant.ID, apiKey, nil
}
