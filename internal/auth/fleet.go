package auth

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/cypherface/edge/store"
)

// A fleet key is made at a central for a site, and good at each box that has the site
// from there, and nowhere else: not at the central, and not at a box that has left it,
// was revoked, or has data that is too old to know. Its record travels as others do, with a hash under a pepper of the
// site, as each box hashes its own keys under a secret of its own. What a box does to
// it the central puts right, and so a box does nothing to it.

// ErrFleetKey says that a key is the central's, and to be changed there.
var ErrFleetKey = errors.New("the key is one of the central's")

// fleetHash is the hash of a fleet key of a site, for which it makes the pepper where
// the site has none yet.
func fleetHash(tx *store.Tx, m store.MerchantID, id store.SiteID, apiKey string) ([]byte, error) {
	s, err := store.GetOf[store.Site](tx, m, id)
	if err != nil {
		return nil, err
	}
	if len(s.Pepper) == 0 {
		s.Pepper = make([]byte, 32)
		_, _ = rand.Read(s.Pepper) // never fails
		if err := store.Put(tx, &s); err != nil {
			return nil, err
		}
	}
	return mac(s.Pepper, apiKey), nil
}

// fleetKey finds the fleet key that a program sent. The error is store.ErrNotFound.
func fleetKey(tx *store.Tx, apiKey string) (key store.Key, err error) {
	l, err := store.Get[store.Link](tx, store.TheLink)
	if err != nil {
		return key, err
	}
	s, err := store.Get[store.Site](tx, l.Site)
	if err != nil {
		return key, err
	}
	if len(s.Pepper) == 0 {
		return key, store.ErrNotFound
	}
	return store.Find(tx, store.KeyByHash, store.Plain(string(mac(s.Pepper, apiKey))))
}

// goodHere says whether a fleet key is good in this store.
func goodHere(tx *store.Tx, key *store.Key) error {
	l, err := store.Get[store.Link](tx, store.TheLink)
	if errors.Is(err, store.ErrNotFound) || err == nil && (l.Site != key.Site || l.Revoked || l.Stale) {
		return fmt.Errorf("%w: a key for the boxes of a site", ErrUnauthorized)
	}
	return err
}

// ofCentral says whether a key is a central's, to which this store can do nothing.
func ofCentral(tx *store.Tx, key *store.Key) (bool, error) {
	if key.Site == "" {
		return false, nil
	}
	_, err := store.Get[store.Link](tx, store.TheLink)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
