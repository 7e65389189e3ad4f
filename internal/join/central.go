package join

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// Limits of claims.
const (
	DefaultLife = 24 * time.Hour
	MaxLife     = 30 * 24 * time.Hour
	proofLife   = 2 * time.Minute // of a challenge
)

// What callers branch on.
var (
	// ErrClaim says that a code is of no claim, was used, or has expired: which is
	// nobody's business.
	ErrClaim = errors.New("the claim code is unknown, was used, or has expired")
	ErrProof = errors.New("the box has not proven its key")
	ErrEnv   = errors.New("box and central are of different environments")
)

// Request is what a box says to join, as JSON.
type Request struct {
	Secret      string            `json:"secret"` // of the code, in the alphabet of the code
	Device      store.DeviceID    `json:"deviceId"`
	Environment store.Environment `json:"environment"`
	Name        string            `json:"name"`
	Epoch       uint64            `json:"epoch"`     // of the box's journal
	PublicKey   []byte            `json:"publicKey"` // Ed25519
	Challenge   string            `json:"challenge"`
	Signature   []byte            `json:"signature"` // of what Statement returns
}

// Answer is what the central has for a box that joined.
type Answer struct {
	Central store.DeviceID `json:"centralId"`
	Site    store.SiteID   `json:"siteId"`
	APIKey  string         `json:"apiKey"` // the box's own, for the central
}

// Statement is what a box signs to join a central with a fingerprint: nobody else
// can use it anywhere else.
func (r *Request) Statement(fingerprint []byte) []byte {
	return fmt.Appendf(nil, "cypherface join 1\ncentral %x\nchallenge %s\ndevice %s\nenvironment %s\nclaim %s\n",
		fingerprint, r.Challenge, r.Device, r.Environment, claimOf([]byte(r.Secret)))
}

// Challenges makes what boxes have to sign. It remembers nothing.
type Challenges struct{ secret [32]byte }

// NewChallenges makes Challenges that are good until the program ends.
func NewChallenges() *Challenges {
	c := &Challenges{}
	_, _ = rand.Read(c.secret[:]) // never fails
	return c
}

// New returns a challenge that is good for two minutes.
func (c *Challenges) New(now time.Time) string {
	b := make([]byte, 16)
	_, _ = rand.Read(b[8:]) // never fails
	binary.BigEndian.PutUint64(b, uint64(now.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, c.mac(b)...))
}

func (c *Challenges) mac(b []byte) []byte {
	h := hmac.New(sha256.New, c.secret[:])
	h.Write(b)
	return h.Sum(nil)[:16]
}

func (c *Challenges) good(text string, now time.Time) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != 32 || !hmac.Equal(c.mac(b[:16]), b[16:]) {
		return false
	}
	age := now.Sub(time.Unix(int64(binary.BigEndian.Uint64(b)), 0))
	return age > -proofLife && age < proofLife
}

// Make makes a claim for a site of a merchant and returns its code, to be shown
// once. The site is shared from then on. The error is store.ErrNotFound where the
// merchant has no such site.
func Make(tx *store.Tx, m store.MerchantID, claim store.Claim, code Code) (store.Claim, error) {
	if _, err := store.GetOf[store.Site](tx, m, claim.Site); err != nil {
		return claim, err
	}
	if err := store.Share(tx, claim.Site); err != nil {
		return claim, err
	}
	claim.ID, claim.Merchant = code.Claim(), m
	return claim, store.Put(tx, &claim)
}

// Admit lets a box in: the claim is used up, the box registered, and its credential
// made, in one transaction.
func Admit(tx *store.Tx, a *auth.Authority, c *Challenges, r *Request, fingerprint []byte) (answer Answer, err error) {
	secret, err := crockford.DecodeString(r.Secret)
	if err != nil {
		return answer, ErrClaim
	}
	claim, err := store.Get[store.Claim](tx, claimOf(secret))
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && (!claim.Used.IsZero() || !tx.Time().Before(claim.Expires)):
		return answer, ErrClaim
	case err != nil:
		return answer, err
	case r.Environment != tx.Info().Environment:
		return answer, ErrEnv
	case len(r.PublicKey) != ed25519.PublicKeySize || !c.good(r.Challenge, tx.Time()) || !ed25519.Verify(r.PublicKey, r.Statement(fingerprint), r.Signature):
		return answer, ErrProof
	}
	if _, err := store.ParseUUID[store.DeviceID](string(r.Device)); err != nil {
		return answer, ErrProof
	}
	d, err := register(tx, &claim, r)
	if err != nil {
		return answer, err
	}
	claim.Used, claim.Device = tx.Time(), d.ID
	if err := store.Put(tx, &claim); err != nil {
		return answer, err
	}
	answer = Answer{Central: tx.Info().Device, Site: claim.Site}
	if answer.APIKey, err = newKey(tx, a, &d, true); err != nil {
		return answer, err
	}
	_, err = store.Append(tx, store.Event{Kind: store.EventAccess, Merchant: d.Merchant, Site: d.Site, Action: "join", Outcome: store.OutcomeGranted}, nil)
	return answer, err
}

// register makes the record of a box. One that left or was revoked may come back,
// with another key.
func register(tx *store.Tx, claim *store.Claim, r *Request) (store.Device, error) {
	d, err := store.Get[store.Device](tx, r.Device)
	if errors.Is(err, store.ErrNotFound) {
		d, err = store.Device{ID: r.Device, Merchant: claim.Merchant}, nil
	}
	if err != nil {
		return d, err
	}
	if d.Merchant != claim.Merchant {
		return d, ErrClaim
	}
	d.Site, d.Name, d.PublicKey, d.Epoch, d.Status = claim.Site, r.Name, r.PublicKey, r.Epoch, store.Active
	if claim.Name != "" {
		d.Name = claim.Name
	}
	return d, store.Put(tx, &d)
}

// newKey makes a credential for a box. Those it had before end at once, or after
// auth.KeyOverlap.
func newKey(tx *store.Tx, a *auth.Authority, d *store.Device, atOnce bool) (string, error) {
	var old []store.Key
	for k, err := range store.All(tx, store.KeysByMerchant, store.Plain(d.Merchant)) {
		if err != nil {
			return "", err
		}
		if k.Device == d.ID && k.Status == store.Active {
			old = append(old, k)
		}
	}
	for _, k := range old {
		if end := tx.Time().Add(auth.KeyOverlap); !atOnce && (k.Expires.IsZero() || end.Before(k.Expires)) {
			k.Expires = end
		} else if atOnce {
			k.Status = store.Revoked
		}
		if err := store.Put(tx, &k); err != nil {
			return "", err
		}
	}
	shown, key := a.NewKey(d.Merchant, "box "+d.Name, store.RoleBox)
	key.Device = d.ID
	return shown, store.Put(tx, &key)
}

// Rotate gives a box a new credential; the one it has works on for a while, so that
// an answer that is lost locks nobody out.
func Rotate(tx *store.Tx, a *auth.Authority, id store.DeviceID) (string, error) {
	d, err := store.Get[store.Device](tx, id)
	if err != nil {
		return "", err
	}
	return newKey(tx, a, &d, false)
}

// Revoke ends a box: nothing of it is taken any more, and it is told so when it next
// calls. Its credential stays good for that alone.
func Revoke(tx *store.Tx, m store.MerchantID, id store.DeviceID, why string) error {
	d, err := store.GetOf[store.Device](tx, m, id)
	if err != nil || d.Status == store.Revoked {
		return err
	}
	d.Status = store.Revoked
	if err := store.Put(tx, &d); err != nil {
		return err
	}
	_, err = store.Append(tx, store.Event{Kind: store.EventAccess, Merchant: m, Site: d.Site, Action: why, Outcome: store.OutcomeDone, Reasons: []string{string(id)}}, nil)
	return err
}
