package store

import (
	"strings"
	"time"
)

// Environment separates trial from earnest: nothing is shared between the two,
// and each has a store of its own.
type Environment string

const (
	Sandbox    Environment = "sandbox"
	Production Environment = "production"
)

// Valid says whether e is one of the two environments.
func (e Environment) Valid() bool { return e == Sandbox || e == Production }

// Status says whether a merchant, an account, a key or a device may act.
type Status string

const (
	Active    Status = "active"
	Suspended Status = "suspended" // for now; may become active again
	Revoked   Status = "revoked"   // for ever
)

// Merchant is a customer: people, sites and doors belong to exactly one.
type Merchant struct {
	Meta
	ID     MerchantID     `json:"id"`
	Name   string         `json:"name"`
	Phone  string         `json:"phone,omitempty"`
	Status Status         `json:"status"`
	Policy MerchantPolicy `json:"policy"`
}

// MerchantPolicy is what a merchant decides for all of its sites.
type MerchantPolicy struct {
	// FMR is the false match rate of 1:1 verification, as a fraction; 0 means 1e-4.
	FMR float64 `json:"fmr,omitempty"`
	// PassiveLiveness says that a passive session suffices.
	PassiveLiveness bool `json:"passiveLiveness,omitempty"`
	// LockAfter is how many failed liveness sessions of a person within three minutes
	// lock the person's sessions; 0: five.
	LockAfter int `json:"lockAfter,omitempty"`
	// LockFor is for how long; 0: five minutes.
	LockFor time.Duration `json:"lockFor,omitempty"`
	// RefuseDuplicates makes the enrolment of a known face a conflict.
	RefuseDuplicates bool `json:"refuseDuplicates,omitempty"`
	// RequireConsent enrols only those who agreed, see ConsentRequired; nil: as
	// the environment has it.
	RequireConsent *bool `json:"requireConsent,omitempty"`
	// TemplateYears is after how many years a template is proposed for renewal; 0:
	// never by its age.
	TemplateYears int `json:"templateYears,omitempty"`
	// ProposeCrops keeps the face of a sure, live match for a template that is to be
	// renewed, until an operator decides.
	ProposeCrops bool `json:"proposeCrops,omitempty"`
	// StaleAfter is the age of what a box has of its central from which it lets nobody
	// pass; 0: it never counts as too old.
	StaleAfter time.Duration `json:"staleAfter,omitempty"`
	// Retention is how long what is kept.
	Retention Retention `json:"retention,omitzero"`
}

func (m *Merchant) key() MerchantID { return m.ID }
func (m *Merchant) kind() Kind      { return KindMerchant }
func (m *Merchant) spec() spec {
	return spec{merchant: m.ID, entries: []entry{Merchants.entry(Moment(m.Created))}}
}

// Role is what an account or a key may do; internal/auth turns it into permissions.
type Role string

const (
	RoleOwner         Role = "owner"
	RoleAdministrator Role = "administrator"
	RoleOperator      Role = "operator"
	RoleAuditor       Role = "auditor" // reads events without pictures or names
	RoleDevice        Role = "device"
	RoleIntegrator    Role = "integrator" // an API key with scopes
	RoleBox           Role = "box"        // the key of a box for its central
)

// Scope is one permission of an API key; the words are those of internal/auth.
type Scope string

// Key is an API key, or what a login stands on. The key itself is never stored,
// only a keyed hash of it.
type Key struct {
	Meta
	ID       KeyID      `json:"id"`
	Merchant MerchantID `json:"merchant"`
	Account  AccountID  `json:"account,omitempty"` // whose login this is; the key itself is nobody's then
	Name     string     `json:"name,omitempty"`
	Hash     []byte     `json:"hash"` // HMAC-SHA-256 of the key under a secret of the store
	Last4    string     `json:"last4"`
	Role     Role       `json:"role"`
	Scopes   []Scope    `json:"scopes,omitempty"`
	Status   Status     `json:"status"`
	Expires  time.Time  `json:"expires,omitzero"`  // zero: never
	LastUsed time.Time  `json:"lastUsed,omitzero"` // coarse: every update is an audit event
	// Site makes it a fleet key: it is good at all boxes of the site, and its Hash
	// is under the site's pepper.
	Site SiteID `json:"site,omitempty"`
	// Device makes it the key of a box for the central.
	Device DeviceID `json:"device,omitempty"`
}

func (k *Key) key() KeyID { return k.ID }
func (k *Key) kind() Kind { return KindKey }
func (k *Key) spec() spec {
	lines := []entry{
		KeysByMerchant.entry(Plain(k.Merchant), Moment(k.Created)),
		KeyByHash.entry(Plain(string(k.Hash))),
	}
	if k.Account != "" { // and so never one of a program that did not know logins
		lines = append(lines, KeysByAccount.entry(Plain(k.Account), Moment(k.Created)), LoginsByExpiry.entry(Moment(k.Expires)))
	}
	return spec{merchant: k.Merchant, owned: true, entries: lines}
}

// Secret is key material of the box itself: what signs tokens and keys hashes.
type Secret struct {
	Meta
	Name  SecretName `json:"name"`
	Value []byte     `json:"value"`
}

func (s *Secret) key() SecretName { return s.Name }
func (s *Secret) kind() Kind      { return KindSecret }
func (s *Secret) spec() spec      { return spec{} }

// Email folds an address to the form under which it is unique, as a hidden term.
func Email(address string) Term {
	return Hidden(strings.ToLower(strings.TrimSpace(address)))
}
