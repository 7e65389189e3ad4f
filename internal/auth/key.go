package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cypherface/edge/store"
)

const (
	// KeyOverlap is how long a key goes on working after another took its place.
	KeyOverlap = 24 * time.Hour
	// MaxKeys is how many keys of a merchant may work at a time.
	MaxKeys = 100
	// keyUsedEvery is how exactly it is known when a key was last used: each note
	// of it is an event.
	keyUsedEvery = time.Hour
)

// ErrTooMany says that a merchant has MaxKeys keys.
var ErrTooMany = errors.New("too many keys")

// KeyRequest says what a new key is for.
type KeyRequest struct {
	Name    string
	Role    store.Role   // empty: an integrator
	Scopes  []Permission // empty, for an integrator: all of Scopes
	Expires time.Time    // zero: never
	Site    store.SiteID // makes it a fleet key, see ErrFleetKey; empty: it is one of this store
	// Replaces are keys that end in KeyOverlap; All stands for every key that
	// works for an integrator.
	Replaces []store.KeyID
	All      bool
}

// MakeKey stores a new key of a merchant and returns it, to be shown once. The
// error matches store.ErrNotFound for a key to replace that is not there, and
// ErrTooMany.
func (a *Authority) MakeKey(tx *store.Tx, m store.MerchantID, r KeyRequest) (apiKey string, key store.Key, err error) {
	if r.Role == "" {
		r.Role = store.RoleIntegrator
	}
	if r.Role == store.RoleIntegrator && len(r.Scopes) == 0 {
		r.Scopes = Scopes()
	}
	working := 0
	for old, err := range store.All(tx, store.KeysByMerchant, store.Plain(m)) {
		if err != nil {
			return "", key, err
		}
		if !a.works(&old) || old.Account != "" || old.Device != "" {
			continue
		}
		working++
		if r.All && old.Role == store.RoleIntegrator && old.Site == r.Site {
			r.Replaces = append(r.Replaces, old.ID)
		}
	}
	if working >= MaxKeys {
		return "", key, fmt.Errorf("%w: a merchant has at most %d", ErrTooMany, MaxKeys)
	}
	for _, id := range r.Replaces {
		if err := a.overlap(tx, m, id); err != nil {
			return "", key, err
		}
	}
	apiKey, key = a.NewKey(m, r.Name, r.Role, r.Scopes...)
	key.Expires, key.Site = r.Expires, r.Site
	if key.Site != "" {
		if key.Hash, err = fleetHash(tx, m, key.Site, apiKey); err != nil {
			return "", key, err
		}
	}
	return apiKey, key, store.Put(tx, &key)
}

// works reports whether a key may still be used.
func (a *Authority) works(k *store.Key) bool {
	return k.Status == store.Active && (k.Expires.IsZero() || a.now().Before(k.Expires))
}

// overlap has a key end in KeyOverlap, unless it ends before.
func (a *Authority) overlap(tx *store.Tx, m store.MerchantID, id store.KeyID) error {
	key, err := store.GetOf[store.Key](tx, m, id)
	if err != nil {
		return err
	}
	if theirs, err := ofCentral(tx, &key); err != nil || theirs {
		return errors.Join(err, ErrFleetKey)
	}
	if !a.works(&key) || key.Account != "" {
		return fmt.Errorf("replace key: %w", store.ErrNotFound)
	}
	if end := a.now().Add(KeyOverlap); key.Expires.IsZero() || end.Before(key.Expires) {
		key.Expires = end
		return store.Put(tx, &key)
	}
	return nil
}

// RevokeKey ends a key of a merchant at once and for ever, and with it all its
// tokens.
func (a *Authority) RevokeKey(tx *store.Tx, m store.MerchantID, id store.KeyID) error {
	key, err := store.GetOf[store.Key](tx, m, id)
	if err == nil && key.Account != "" { // a login, which is nobody's to revoke as a key
		err = fmt.Errorf("revoke key: %w", store.ErrNotFound)
	}
	if err != nil || key.Status == store.Revoked {
		return err
	}
	if theirs, err := ofCentral(tx, &key); err != nil || theirs {
		return errors.Join(err, ErrFleetKey)
	}
	key.Status = store.Revoked
	return store.Put(tx, &key)
}

// KeyStatus is how a key stands, in the words of the API: active, expiring (it was
// replaced, or has an end), expired or revoked.
func (a *Authority) KeyStatus(k *store.Key) string {
	switch {
	case k.Status != store.Active:
		return string(k.Status)
	case !a.works(k):
		return "expired"
	case !k.Expires.IsZero():
		return "expiring"
	}
	return string(store.Active)
}

// LoginLife is how long a token lasts that IssueLogin makes.
const LoginLife = time.Hour

// IssueLogin makes a token for somebody who proved at the box itself who he is: it
// has a role of people, such as owner, and can so manage keys. It stands on a key
// that nobody knows, is listed as one, and can be revoked as one.
func (a *Authority) IssueLogin(ctx context.Context, cause store.Cause, m store.MerchantID, role store.Role) (token Token, err error) {
	if err := a.timeKnown(); err != nil {
		return token, err
	}
	if roles[role] == nil {
		return token, fmt.Errorf("%w: no role %q", ErrForbidden, role)
	}
	err = a.store.Update(ctx, cause, func(tx *store.Tx) error {
		if err := a.forgetLogins(tx, m); err != nil {
			return err
		}
		_, key, err := a.MakeKey(tx, m, KeyRequest{Name: loginName, Role: role, Expires: a.now().Add(LoginLife)})
		if err != nil {
			return err
		}
		p, err := a.principal(tx, &key)
		if err != nil {
			return err
		}
		token, err = a.sign(p, LoginLife, claims{})
		return err
	})
	return token, err
}

// loginName is the name of the keys that logins stand on.
const loginName = "login at the box"

// forgetLogins removes the keys of logins that are over.
func (a *Authority) forgetLogins(tx *store.Tx, m store.MerchantID) error {
	var over []store.KeyID
	for k, err := range store.All(tx, store.KeysByMerchant, store.Plain(m)) {
		if err != nil {
			return err
		}
		if k.Name == loginName && !a.works(&k) {
			over = append(over, k.ID)
		}
	}
	for _, id := range over {
		if err := store.Delete[store.Key](tx, id); err != nil {
			return err
		}
	}
	return nil
}

// Roles lists the roles that a key can have.
func Roles() []store.Role {
	return []store.Role{store.RoleIntegrator, store.RoleOperator, store.RoleAuditor, store.RoleDevice}
}

// IsScope reports whether a key can hold a permission.
func IsScope(p Permission) bool { return slices.Contains(Scopes(), p) }

// stale reports whether it is time to note that a key was used.
func (a *Authority) stale(k *store.Key) bool {
	return k.Site == "" && a.timeKnown() == nil && a.now().Sub(k.LastUsed) >= keyUsedEvery
}

// touch notes that a key was used, if that is not known yet.
func (a *Authority) touch(tx *store.Tx, m store.MerchantID, id store.KeyID) error {
	key, err := store.GetOf[store.Key](tx, m, id)
	if err != nil || !a.stale(&key) {
		return err
	}
	key.LastUsed = a.now()
	return store.Put(tx, &key)
}
