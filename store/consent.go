package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Ids of object id form.
type (
	ConsentID     string
	ConsentTextID string
)

// ConsentText is one version of what a merchant asks people to agree to, in one
// language. It is never changed: another wording is another version.
type ConsentText struct {
	Meta
	ID       ConsentTextID `json:"id"`
	Merchant MerchantID    `json:"merchant"`
	Version  string        `json:"version"`  // the merchant's word for it; unique with the language
	Language string        `json:"language"` // BCP 47: en, de-AT
	Text     string        `json:"text"`
	Hash     string        `json:"hash"`             // SHA-256 of Text in hex digits
	Retired  time.Time     `json:"retired,omitzero"` // nobody is asked by it any more
}

// HashText is the Hash of a text.
func HashText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (t *ConsentText) key() ConsentTextID { return t.ID }
func (t *ConsentText) kind() Kind         { return KindConsentText }
func (t *ConsentText) spec() spec {
	return spec{merchant: t.Merchant, owned: true, entries: []entry{
		ConsentTextsByMerchant.entry(Plain(t.Merchant), Moment(t.Created)),
		ConsentTextByVersion.entry(Plain(t.Merchant), Plain(t.Version), Plain(t.Language)),
	}}
}

// Through is the way by which somebody agreed or took it back.
type Through string

const (
	ThroughOperator Through = "operator" // before somebody of the merchant, who recorded it
	ThroughKiosk    Through = "kiosk"    // at a device of the merchant, by himself
	ThroughAPI      Through = "api"      // in a program of the merchant
)

// Consent says that a person agreed to a text, and, once he took it back, when.
// Version, language and hash are those of the text, so that a Consent says by
// itself what it was about.
type Consent struct {
	Meta
	ID       ConsentID     `json:"id"`
	Merchant MerchantID    `json:"merchant"`
	Person   PersonID      `json:"person"`
	Text     ConsentTextID `json:"text,omitempty"` // empty, with Given: taken back without ever having been recorded
	Version  string        `json:"version,omitempty"`
	Language string        `json:"language,omitempty"`
	Hash     string        `json:"hash,omitempty"`
	Given    time.Time     `json:"given,omitzero"`
	Through  Through       `json:"through,omitempty"`
	By       Actor         `json:"by,omitzero"` // who recorded it

	Withdrawn        time.Time `json:"withdrawn,omitzero"`
	WithdrawnThrough Through   `json:"withdrawnThrough,omitempty"`
	WithdrawnBy      Actor     `json:"withdrawnBy,omitzero"`
}

// Valid says whether the person still agrees.
func (c *Consent) Valid() bool { return !c.Given.IsZero() && c.Withdrawn.IsZero() }

func (c *Consent) key() ConsentID { return c.ID }
func (c *Consent) kind() Kind     { return KindConsent }
func (c *Consent) spec() spec {
	s := spec{merchant: c.Merchant, person: c.Person, owned: true, entries: []entry{
		ConsentsByPerson.entry(Plain(c.Person), Moment(c.Created)),
	}}
	if c.Text != "" {
		s.entries = append(s.entries, ConsentsByText.entry(Plain(c.Text), Moment(c.Created)))
	}
	return s
}

// ConsentRequired says whether a merchant enrols only those who agreed. Where he
// did not say, production does and the sandbox does not.
func (p *MerchantPolicy) ConsentRequired(env Environment) bool {
	if p.RequireConsent != nil {
		return *p.RequireConsent
	}
	return env == Production
}

// MayEnrol returns nil where a person's face may be taken and kept: he agrees, or
// was never asked and his merchant does not want it. Who took his consent back is
// refused whatever the policy. The error is ErrNoConsent.
func MayEnrol(tx *Tx, m *Merchant, id PersonID) error {
	page, err := List(tx, ConsentsByPerson, Query[Consent]{Prefix: []Term{Plain(id)}, Reverse: true, Limit: 1})
	switch {
	case err != nil:
		return err
	case len(page.Items) == 1 && page.Items[0].Valid():
		return nil
	case len(page.Items) == 1:
		return fmt.Errorf("%w: it was taken back", ErrNoConsent)
	case m.Policy.ConsentRequired(tx.Info().Environment):
		return fmt.Errorf("%w: none is recorded", ErrNoConsent)
	}
	return nil
}
