// Package auth turns credentials into a Principal: who calls, for which
// merchant, and what he may do.
//
// A credential is an API key or a token made from one, in the three forms that
// the clients of the reference send in the authorization header:
//
//	Bearer 0d9f2f6e-…-4c1b    the API key (UUID version 4)
//	Bearer eyJhbGciOi…        a token of IssueToken
//	eyJhbGciOi…               the same without a scheme
//
//	authority, err := auth.Open(ctx, s, nil)
//	p, err := authority.Authenticate(ctx, r.Header.Values("Authorization"))
//	if err := p.Require(auth.Identify); err != nil { … }
//
// An Authority belongs to one store and so to one environment: its secrets are
// made there and kept there, and a credential of the other environment is
// worth nothing to it. Of an API key only a keyed hash is stored. A token is
// good for no more than its key: a key that is revoked, or loses a scope, takes
// its tokens along at once.
//
// A login of an account is a key that nobody knows (OpenLogin): its tokens are good
// for what the account may do at that moment, and end with it.
//
// The package speaks no HTTP, decides about no login and limits no rates. It hashes
// passwords, one at a time.
package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cypherface/edge/store"
)

// What callers branch on.
var (
	ErrUnauthorized = errors.New("not authorized")    // no credential, or not a good one
	ErrExpired      = errors.New("token has expired") // matches ErrUnauthorized too
	ErrForbidden    = errors.New("not allowed")       // a good one that does not suffice
	ErrSuspended    = errors.New("merchant is suspended")
	ErrSignature    = errors.New("signature is wrong or has expired")
	ErrReused       = fmt.Errorf("%w: the token was exchanged for another before", ErrUnauthorized)
	ErrClock        = errors.New("the time is not known") // see Authority.TimeKnown
)

// Names of the secrets in the store. Each has one use, so that one can be
// changed without the others.
const (
	secretKeys    store.SecretName = "api-key-hash"
	secretTokens  store.SecretName = "token-signature"
	secretUploads store.SecretName = "upload-signature"
	secretTags    store.SecretName = "account-hash"
)

// An Authority knows the credentials of one environment. It is safe for
// concurrent use.
type Authority struct {
	// TimeKnown, if set, says whether the clock may be right; no token is issued
	// while it is not. It is set before the first use.
	TimeKnown func() bool
	// RequireFactor has the logins of roles that NeedsFactor names do nothing but
	// set up a second factor until there is one. It is set before the first use.
	RequireFactor bool

	store  store.Store
	now    func() time.Time
	parser *jwt.Parser

	lenient                     *jwt.Parser // does not look at the times
	keys, tokens, uploads, tags []byte
}

// Open reads the secrets of s, and makes them the first time. A nil clock is
// time.Now.
func Open(ctx context.Context, s store.Store, clock func() time.Time) (*Authority, error) {
	if clock == nil {
		clock = time.Now
	}
	pinned := jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Name})
	a := &Authority{
		store: s, now: clock,
		parser:  jwt.NewParser(pinned, jwt.WithExpirationRequired(), jwt.WithStrictDecoding(), jwt.WithTimeFunc(clock)),
		lenient: jwt.NewParser(pinned, jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()),
	}
	cause := store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "auth"}}
	wanted := map[store.SecretName]*[]byte{secretKeys: &a.keys, secretTokens: &a.tokens, secretUploads: &a.uploads, secretTags: &a.tags}
	err := s.View(ctx, func(tx *store.Tx) error { return readSecrets(tx, wanted) })
	if errors.Is(err, store.ErrNotFound) {
		err = s.Update(ctx, cause, func(tx *store.Tx) error { return makeSecrets(tx, wanted) })
	}
	if err != nil {
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	return a, nil
}

func readSecrets(tx *store.Tx, wanted map[store.SecretName]*[]byte) error {
	for name, into := range wanted {
		secret, err := store.Get[store.Secret](tx, name)
		if err != nil {
			return err
		}
		*into = secret.Value
	}
	return nil
}

// makeSecrets makes those that are missing and reads the others.
func makeSecrets(tx *store.Tx, wanted map[store.SecretName]*[]byte) error {
	for name, into := range wanted {
		secret, err := store.Get[store.Secret](tx, name)
		if errors.Is(err, store.ErrNotFound) {
			secret = store.Secret{Name: name, Value: make([]byte, 32)}
			_, _ = rand.Read(secret.Value) // never fails
			err = store.Put(tx, &secret)
		}
		if err != nil {
			return err
		}
		*into = secret.Value
	}
	return nil
}

// Authenticate returns who sends these values of the authorization header; there
// must be exactly one. The error matches ErrUnauthorized, ErrSuspended, or is
// the store's.
func (a *Authority) Authenticate(ctx context.Context, header []string) (Principal, error) {
	if len(header) != 1 {
		return Principal{}, fmt.Errorf("%w: %d authorization headers", ErrUnauthorized, len(header))
	}
	credential, bearer := split(header[0])
	if strings.Count(credential, ".") == 2 {
		return a.byToken(ctx, credential)
	}
	if !bearer {
		return Principal{}, fmt.Errorf("%w: neither a token nor Bearer", ErrUnauthorized)
	}
	p, key, err := a.byKey(ctx, credential)
	if err == nil && a.stale(&key) {
		// A full disk is no reason to turn a good key away.
		_ = a.store.Update(ctx, store.Cause{Actor: p.Actor}, func(tx *store.Tx) error { return a.touch(tx, key.Merchant, key.ID) })
	}
	return p, err
}

// split takes the scheme Bearer, in any case, from a header.
func split(header string) (credential string, bearer bool) {
	header = strings.TrimSpace(header)
	scheme, rest, found := strings.Cut(header, " ")
	if found && strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(rest), true
	}
	return header, false
}

// byKey returns who holds an API key.
func (a *Authority) byKey(ctx context.Context, apiKey string) (Principal, store.Key, error) {
	var key store.Key
	if _, err := store.ParseUUID[store.KeyID](apiKey); err != nil {
		return Principal{}, key, fmt.Errorf("%w: not an API key", ErrUnauthorized)
	}
	var p Principal
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		// Found by a keyed hash: how long the search takes tells nothing about the key.
		key, err = store.Find(tx, store.KeyByHash, store.Plain(string(a.hash(apiKey))))
		if errors.Is(err, store.ErrNotFound) {
			key, err = fleetKey(tx, apiKey)
		}
		if err != nil {
			return err
		}
		p, err = a.principal(tx, &key)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%w: unknown API key", ErrUnauthorized)
	}
	return p, key, err
}

// principal checks that a key may act and says as whom.
func (a *Authority) principal(tx *store.Tx, key *store.Key) (Principal, error) {
	if key.Status != store.Active {
		return Principal{}, fmt.Errorf("%w: the key is %s", ErrUnauthorized, key.Status)
	}
	if !key.Expires.IsZero() && !a.now().Before(key.Expires) {
		return Principal{}, fmt.Errorf("%w: the key has expired", ErrUnauthorized)
	}
	if key.Site != "" {
		if err := goodHere(tx, key); err != nil {
			return Principal{}, err
		}
	}
	m, err := store.Get[store.Merchant](tx, key.Merchant)
	if err != nil {
		return Principal{}, err
	}
	if m.Status != store.Active {
		return Principal{}, ErrSuspended
	}
	actor := store.Actor{Kind: store.ActorKey, ID: string(key.ID)}
	if key.Device != "" {
		actor = store.Actor{Kind: store.ActorDevice, ID: string(key.Device)}
	}
	p := Principal{
		Actor:       actor,
		Device:      key.Device,
		Merchant:    key.Merchant,
		Environment: tx.Info().Environment,
		Role:        key.Role,
		key:         key.ID,
		scopes:      permissions(key.Role, key.Scopes),
	}
	if key.Account != "" {
		err = a.signedIn(tx, &p, key.Account)
	}
	return p, err
}

// NewKey makes an API key, not yet stored: the key itself, to be shown once, and
// the record to Put.
func (a *Authority) NewKey(m store.MerchantID, name string, role store.Role, scopes ...Permission) (apiKey string, key store.Key) {
	apiKey = string(store.NewUUID[store.KeyID]())
	return apiKey, store.Key{
		ID: store.NewUUID[store.KeyID](), Merchant: m, Name: name,
		Hash: a.hash(apiKey), Last4: apiKey[len(apiKey)-4:],
		Role: role, Scopes: scopes, Status: store.Active,
	}
}

func (a *Authority) hash(apiKey string) []byte { return mac(a.keys, apiKey) }

// Tag is a keyed hash of something that must not lie open in the store but be found
// there: use says what it is, so that a tag of one sort is none of another.
func (a *Authority) Tag(use string, fields ...string) []byte {
	return mac(a.tags, append([]string{use}, fields...)...)
}

// mac is HMAC-SHA-256 over fields, each preceded by its length so that no two
// lists of fields give the same bytes.
func mac(secret []byte, fields ...string) []byte {
	h := hmac.New(sha256.New, secret)
	for _, f := range fields {
		fmt.Fprintf(h, "%d:%s", len(f), f)
	}
	return h.Sum(nil)
}
