package store

import "time"

// CredentialID is an id of object id form.
type CredentialID string

// CredentialType is the sort of a credential.
type CredentialType string

const (
	CredentialPIN  CredentialType = "pin"  // digits that the person knows; goes with his id
	CredentialCard CredentialType = "card" // the number of a card that he carries
	CredentialQR   CredentialType = "qr"   // a random code, printed or on a screen
)

// Credential is a way for a person to be known without a face. Of what he shows only
// a keyed hash is kept.
type Credential struct {
	Meta
	ID       CredentialID   `json:"id"`
	Merchant MerchantID     `json:"merchant"`
	Person   PersonID       `json:"person"`
	Type     CredentialType `json:"type"`
	Label    string         `json:"label,omitempty"` // the operator's word for it
	Hash     []byte         `json:"hash"`            // HMAC-SHA-256 under a secret of the store; of a PIN with the person in it
	Expires  time.Time      `json:"expires,omitzero"`
	LastUsed time.Time      `json:"lastUsed,omitzero"` // true to the day: every change is an event

	Failures int       `json:"failures,omitempty"` // in a row
	Locks    int       `json:"locks,omitempty"`    // in a row, each twice as long as the one before
	Locked   time.Time `json:"locked,omitzero"`    // until then nothing opens
}

func (c *Credential) key() CredentialID { return c.ID }
func (c *Credential) kind() Kind        { return KindCredential }
func (c *Credential) spec() spec {
	s := spec{merchant: c.Merchant, person: c.Person, owned: true, entries: []entry{
		CredentialsByPerson.entry(Plain(c.Person), Moment(c.Created)),
	}}
	if c.Type != CredentialPIN {
		s.entries = append(s.entries, CredentialByHash.entry(Plain(c.Merchant), Plain(string(c.Hash))))
	}
	return s
}
