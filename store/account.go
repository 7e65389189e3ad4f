package store

import (
	"cmp"
	"time"
)

// Account is somebody who signs in with e-mail and password.
type Account struct {
	Meta
	ID        AccountID  `json:"id"`
	Merchant  MerchantID `json:"merchant"`
	Firstname string     `json:"firstname,omitempty"`
	Lastname  string     `json:"lastname,omitempty"`
	Email     string     `json:"email"` // unique in the environment, whatever its case
	Phone     string     `json:"phone,omitempty"`
	Verified  bool       `json:"verified,omitempty"`
	Password  string     `json:"password,omitempty"` // argon2id in PHC form, never the password
	Role      Role       `json:"role"`
	Status    Status     `json:"status"`

	TOTP      *TOTP        `json:"totp,omitempty"`
	Passkeys  []Passkey    `json:"passkeys,omitempty"`
	Recovery  [][]byte     `json:"recovery,omitempty"` // keyed hashes of the recovery codes that are left
	LastLogin time.Time    `json:"lastLogin,omitzero"`
	Places    []KnownPlace `json:"places,omitempty"` // from where somebody signed in, the newest last
}

// TOTP is an authenticator app as a second factor (RFC 6238).
type TOTP struct {
	Secret    []byte `json:"secret"`
	Confirmed bool   `json:"confirmed,omitempty"` // a code of it was shown once; it counts from then on
	Last      uint64 `json:"last,omitempty"`      // time step of the last code that was good; none before is again
}

// Passkey is a WebAuthn credential as a second factor.
type Passkey struct {
	ID           []byte    `json:"id"`
	PublicKey    []byte    `json:"publicKey"` // COSE_Key
	Name         string    `json:"name,omitempty"`
	RelyingParty string    `json:"relyingParty"` // the host it was made for
	Count        uint32    `json:"count"`        // signatures, as the authenticator counts
	Backup       bool      `json:"backup,omitempty"`
	Created      time.Time `json:"created"`
	Used         time.Time `json:"used,omitzero"`
}

// KnownPlace is a network address from where an account was signed in to, as a
// keyed hash.
type KnownPlace struct {
	Tag  []byte    `json:"tag"`
	Seen time.Time `json:"seen"`
}

// Factor reports whether a password alone does not suffice for a.
func (a *Account) Factor() bool {
	return a.TOTP != nil && a.TOTP.Confirmed || len(a.Passkeys) > 0
}

func (a *Account) key() AccountID { return a.ID }
func (a *Account) kind() Kind     { return KindAccount }
func (a *Account) spec() spec {
	return spec{merchant: a.Merchant, owned: true, entries: []entry{
		AccountsByMerchant.entry(Plain(a.Merchant), Moment(a.Created)),
		AccountByEmail.entry(Email(a.Email)),
	}}
}

// Code is something that is sent or shown to somebody and good once: six digits, a
// link, an invitation, the first half of a login. What was sent is not in it, only
// keyed hashes.
type Code struct {
	Meta
	ID       CodeID     `json:"id"`
	Merchant MerchantID `json:"merchant,omitempty"`
	Account  AccountID  `json:"account,omitempty"`
	Use      string     `json:"use"`              // a word of internal/account; a code is good for no other
	Token    []byte     `json:"token"`            // keyed hash of the long form
	Digits   []byte     `json:"digits,omitempty"` // keyed hash of the short form, if it has one
	Tries    int        `json:"tries,omitempty"`  // wrong ones so far
	Spent    bool       `json:"spent,omitempty"`  // was good, and is no more
	Email    string     `json:"email,omitempty"`  // of somebody who has no account with it, not yet or no more
	Role     Role       `json:"role,omitempty"`   // that he will have
	Data     []byte     `json:"data,omitempty"`   // what the second half has to know of the first
	Expires  time.Time  `json:"expires"`
}

func (c *Code) key() CodeID { return c.ID }
func (c *Code) kind() Kind  { return KindCode }
func (c *Code) spec() spec {
	lines := []entry{CodeByToken.entry(Plain(string(c.Token))), CodesByExpiry.entry(Moment(c.Expires))}
	if c.Account != "" {
		lines = append(lines, CodesByAccount.entry(Plain(c.Account), Plain(c.Use)))
	}
	if c.Merchant != "" {
		lines = append(lines, CodesByMerchant.entry(Plain(c.Merchant), Plain(c.Use), Moment(c.Created)))
	}
	return spec{merchant: c.Merchant, entries: lines}
}

// Lock counts what somebody got wrong, who may not be anybody: an e-mail address
// that is no account's is locked like another. Its id is what is counted and the
// first two bytes of a keyed hash of whose it is, so that there are at most 65,536
// of a sort, however many addresses are tried. Its changes are no events: what
// somebody got wrong is one already.
type Lock struct {
	Meta
	ID       LockID    `json:"id"`
	Failures int       `json:"failures"`
	Since    time.Time `json:"since"` // of the first that counts
	Until    time.Time `json:"until,omitzero"`
	Expires  time.Time `json:"expires"` // it is as if nothing had been
}

func (l *Lock) key() LockID { return l.ID }
func (l *Lock) kind() Kind  { return KindLock }
func (l *Lock) spec() spec {
	return spec{silent: true, entries: []entry{LocksByExpiry.entry(Moment(l.Expires))}}
}

// Letter is a mail that waits to be sent. It has neither text nor code nor
// address: they come into being when it is handed over.
type Letter struct {
	Meta
	ID       LetterID   `json:"id"`
	Merchant MerchantID `json:"merchant,omitempty"`
	Account  AccountID  `json:"account,omitempty"` // to whom
	Code     CodeID     `json:"code,omitempty"`    // to whom, where he has no account yet
	Use      string     `json:"use"`               // which text
	Tries    int        `json:"tries,omitempty"`
	Next     time.Time  `json:"next"` // it is not tried before
	Expires  time.Time  `json:"expires"`
}

func (l *Letter) key() LetterID { return l.ID }
func (l *Letter) kind() Kind    { return KindLetter }
func (l *Letter) spec() spec {
	return spec{merchant: l.Merchant, entries: []entry{
		LettersByTurn.entry(Moment(l.Next), Moment(l.Created)),
		LettersByReader.entry(Plain(cmp.Or(string(l.Account), string(l.Code)))),
		LettersByExpiry.entry(Moment(l.Expires)),
	}}
}
