package rights

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cypherface/edge/store"
)

// secretCredentials is what credentials are hashed with.
const secretCredentials store.SecretName = "credential-hash"

// Bounds of credentials.
const (
	MinPIN, MaxPIN   = 6, 10 // digits
	MinCard, MaxCard = 4, 64 // characters
	MaxCredentials   = 20    // of a person
	qrBytes          = 20    // 160 random bits
	qrPrefix         = "CFQ1."
)

// How attempts are limited. Five wrong ones in a row lock a credential for a quarter
// of an hour, each further five for twice as long, up to a day: of a million PINs an
// attacker tries some 25 in the first day and 5 in each later one. It is kept with
// the credential, so that a restart changes nothing.
const (
	lockAfter = 5
	lockFirst = 15 * time.Minute
	lockMost  = 24 * time.Hour
)

// ErrTooMany says that a person has as many credentials as there can be.
var ErrTooMany = errors.New("the person has as many credentials as there can be")

// NewCredential is what somebody is given.
type NewCredential struct {
	Merchant store.MerchantID
	Person   store.PersonID
	Type     store.CredentialType
	Value    string // of a PIN or card; that of a code is made
	Label    string
	Expires  time.Time // zero: never
}

// GiveCredential stores a credential, and returns it with what opens: shown once. A
// PIN takes the place of the person's earlier one. The errors are store.ErrNotFound, ErrTooMany,
// a store.ConflictError where somebody has the card, or a FieldError.
func GiveCredential(tx *store.Tx, n NewCredential) (c *store.Credential, value string, err error) {
	if value, err = n.check(tx.Time()); err != nil {
		return nil, "", err
	}
	if _, err := store.GetOf[store.Person](tx, n.Merchant, n.Person); err != nil {
		return nil, "", err
	}
	if err := makeRoom(tx, &n); err != nil {
		return nil, "", err
	}
	secret, err := credentialSecret(tx, true)
	if err != nil {
		return nil, "", err
	}
	c = &store.Credential{
		ID: store.NewID[store.CredentialID](tx.Time()), Merchant: n.Merchant, Person: n.Person, Type: n.Type, Label: n.Label, Expires: n.Expires.UTC(),
		Hash: hashCredential(secret, n.Type, n.Merchant, n.Person, value),
	}
	return c, value, store.Put(tx, c)
}

// check returns what opens.
func (n *NewCredential) check(now time.Time) (value string, err error) {
	n.Label = strings.TrimSpace(n.Label)
	if utf8.RuneCountInString(n.Label) > 100 || strings.ContainsFunc(n.Label, unicode.IsControl) {
		return "", &FieldError{"label", "must have at most 100 characters that can be printed"}
	}
	if !n.Expires.IsZero() && (!n.Expires.After(now) || n.Expires.Year() > 2262) {
		return "", &FieldError{"expiresAt", "must be in the future"}
	}
	value = normal(n.Type, n.Value)
	switch n.Type {
	case store.CredentialPIN:
		if len(value) < MinPIN || len(value) > MaxPIN || strings.Trim(value, "0123456789") != "" {
			return "", &FieldError{"value", fmt.Sprintf("must have %d to %d digits", MinPIN, MaxPIN)}
		}
		if simple(value) {
			return "", &FieldError{"value", "is one of the first that anybody would try"}
		}
	case store.CredentialCard:
		if len(value) < MinCard || len(value) > MaxCard || strings.ContainsFunc(value, func(r rune) bool { return r < '!' || r > '~' }) {
			return "", &FieldError{"value", fmt.Sprintf("must have %d to %d characters, letters, digits and signs", MinCard, MaxCard)}
		}
	case store.CredentialQR:
		if value != "" {
			return "", &FieldError{"value", "is made by the box"}
		}
		var b [qrBytes]byte
		_, _ = rand.Read(b[:]) // never fails
		value = qrPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	default:
		return "", &FieldError{"type", "must be pin, card or qr"}
	}
	return value, nil
}

// normal is the form of a value under which it is compared: readers of cards put
// spaces, dashes and colons in different places and write letters in either case.
func normal(t store.CredentialType, value string) string {
	value = strings.TrimSpace(value)
	if t == store.CredentialCard {
		value = strings.ToUpper(strings.NewReplacer(" ", "", "-", "", ":", "").Replace(value))
	}
	return value
}

// simple says whether the digits are all one, or go up or down by one.
func simple(pin string) bool {
	for _, step := range []int{0, 1, -1} {
		all := true
		for i := 1; i < len(pin); i++ {
			if (int(pin[i])-int(pin[i-1])-step+20)%10 != 0 {
				all = false
			}
		}
		if all {
			return true
		}
	}
	return false
}

// makeRoom removes an earlier PIN where a new one comes, and says where there are
// too many credentials.
func makeRoom(tx *store.Tx, n *NewCredential) error {
	page, err := store.List(tx, store.CredentialsByPerson, store.Query[store.Credential]{Prefix: []store.Term{store.Plain(n.Person)}, Limit: MaxCredentials + 1})
	if err != nil {
		return err
	}
	left := len(page.Items)
	for i := range page.Items {
		if c := &page.Items[i]; c.Type == store.CredentialPIN && n.Type == store.CredentialPIN {
			if err := store.Delete[store.Credential](tx, c.ID); err != nil {
				return err
			}
			left--
		}
	}
	if left >= MaxCredentials {
		return ErrTooMany
	}
	return nil
}

// hasOtherWay says whether a person has a credential.
func hasOtherWay(tx *store.Tx, id store.PersonID) (bool, error) {
	page, err := store.List(tx, store.CredentialsByPerson, store.Query[store.Credential]{Prefix: []store.Term{store.Plain(id)}, Limit: 1})
	return len(page.Items) > 0, err
}

// credentialSecret reads the secret, and makes it the first time, if it may.
func credentialSecret(tx *store.Tx, create bool) ([]byte, error) {
	s, err := store.Get[store.Secret](tx, secretCredentials)
	if errors.Is(err, store.ErrNotFound) && create {
		s = store.Secret{Name: secretCredentials, Value: make([]byte, 32)}
		_, _ = rand.Read(s.Value) // never fails
		err = store.Put(tx, &s)
	}
	return s.Value, err
}

// hashCredential binds a value to its type and merchant, and a PIN to its person.
func hashCredential(secret []byte, t store.CredentialType, m store.MerchantID, p store.PersonID, value string) []byte {
	if t != store.CredentialPIN {
		p = ""
	}
	h := hmac.New(sha256.New, secret)
	for _, field := range []string{string(t), string(m), string(p), value} {
		fmt.Fprintf(h, "%d:%s", len(field), field)
	}
	return h.Sum(nil)
}

// CredentialOf reads a credential of a person.
func CredentialOf(tx *store.Tx, m store.MerchantID, p store.PersonID, id store.CredentialID) (store.Credential, error) {
	c, err := store.GetOf[store.Credential](tx, m, id)
	if err == nil && c.Person != p {
		err = fmt.Errorf("get credential: %w", store.ErrNotFound)
	}
	return c, err
}

// Unlock takes the lock from a credential.
func Unlock(tx *store.Tx, c *store.Credential) error {
	c.Failures, c.Locks, c.Locked = 0, 0, time.Time{}
	return store.Put(tx, c)
}

// Shown is what somebody shows in the place of a face.
type Shown struct {
	Merchant store.MerchantID
	Type     store.CredentialType
	Value    string
	// Of a PIN: whose it is said to be, by id or by the merchant's own id.
	Person     store.PersonID
	ExternalID string
}

// Why a credential was not good, for the journal alone: whoever shows it is told no.
const (
	ReasonUnknownCredential = "unknown_credential"
	ReasonWrongPIN          = "wrong_pin"
	ReasonLocked            = "locked"
	ReasonExpired           = "expired"
)

// Known is whose a credential is.
type Known struct {
	Person     store.Person // zero where it is nobody's
	Credential store.CredentialID
	Refused    string // why it is not good; empty: it is
}

// CheckCredential finds out whose a credential is, and counts what was wrong: it is
// to be committed in either case. It takes as long for somebody who is not there as
// for a wrong PIN.
func CheckCredential(tx *store.Tx, s Shown) (k Known, err error) {
	secret, err := credentialSecret(tx, true)
	if err != nil {
		return k, err
	}
	c, err := s.find(tx, secret)
	if errors.Is(err, store.ErrNotFound) {
		hashCredential(secret, s.Type, s.Merchant, s.Person, s.Value) // as long as for one who is there
		return Known{Refused: ReasonUnknownCredential}, nil
	} else if err != nil {
		return k, err
	}
	if k.Person, err = store.GetOf[store.Person](tx, s.Merchant, c.Person); err != nil {
		return Known{}, err
	}
	k.Credential = c.ID
	value := normal(s.Type, s.Value)
	good := hmac.Equal(c.Hash, hashCredential(secret, s.Type, s.Merchant, c.Person, value))
	switch now := tx.Time(); {
	case now.Before(c.Locked):
		k.Refused = ReasonLocked
		return k, nil
	case !good:
		k.Refused = ReasonWrongPIN
		return k, failed(tx, &c)
	case !c.Expires.IsZero() && !now.Before(c.Expires):
		k.Refused = ReasonExpired
		return k, nil
	}
	if c.Failures == 0 && c.Locks == 0 && tx.Time().Sub(c.LastUsed) < 24*time.Hour {
		return k, nil
	}
	c.Failures, c.Locks, c.Locked, c.LastUsed = 0, 0, time.Time{}, tx.Time()
	return k, store.Put(tx, &c)
}

// find reads the credential that is shown, or the PIN of who is said to show it.
func (s *Shown) find(tx *store.Tx, secret []byte) (c store.Credential, err error) {
	if s.Type != store.CredentialPIN {
		hash := hashCredential(secret, s.Type, s.Merchant, "", normal(s.Type, s.Value))
		return store.Find(tx, store.CredentialByHash, store.Plain(s.Merchant), store.Plain(string(hash)))
	}
	if s.Person == "" {
		p, err := store.Find(tx, store.PersonByExternalID, store.Plain(s.Merchant), store.Hidden(s.ExternalID))
		if err != nil {
			return c, err
		}
		s.Person = p.ID
	}
	page, err := store.List(tx, store.CredentialsByPerson, store.Query[store.Credential]{
		Prefix: []store.Term{store.Plain(s.Person)}, Limit: 1,
		Keep: func(c *store.Credential) bool { return c.Type == store.CredentialPIN && c.Merchant == s.Merchant },
	})
	if err == nil && len(page.Items) == 0 {
		err = fmt.Errorf("find a PIN: %w", store.ErrNotFound)
	}
	if err != nil {
		return c, err
	}
	return page.Items[0], nil
}

// failed counts a wrong attempt, and locks after some.
func failed(tx *store.Tx, c *store.Credential) error {
	if c.Failures++; c.Failures >= lockAfter {
		c.Failures = 0
		c.Locked = tx.Time().Add(min(lockFirst<<min(c.Locks, 10), lockMost))
		c.Locks++
	}
	return store.Put(tx, c)
}
