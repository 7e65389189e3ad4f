package verify

import (
	"errors"

	"github.com/cypherface/edge/store"
)

// enrollable reads the merchant of a person whose face may be taken. The error is
// ErrUnknownPerson or ErrNoConsent.
func enrollable(tx *store.Tx, m store.MerchantID, id store.PersonID) (store.Merchant, error) {
	_, merchant, err := person(tx, "enrol", m, id)
	if err == nil {
		err = store.MayEnrol(tx, &merchant, id)
	}
	if errors.Is(err, store.ErrNoConsent) {
		err = &Error{Op: "enrol", Err: ErrNoConsent, Hint: "record the person's consent first (cypherface consent give, or POST /api/users/{userId}/consents/)"}
	}
	return merchant, err
}
