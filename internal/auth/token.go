package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cypherface/edge/store"
)

// TokenLife is how long a token is good for.
const TokenLife = 172800 * time.Second

// maxToken is longer than any token of ours; what is longer is not decoded.
const maxToken = 4 << 10

// A Token is what IssueToken gives out.
type Token struct {
	Value    string // the JWT
	Expires  time.Time
	Merchant store.MerchantID
}

// claims are what stands in a token. merchantId and cypherFaceId have the same
// value and xApiKey is the id of the key, not the key: a token is passed around
// more than a key should be.
type claims struct {
	MerchantID   store.MerchantID  `json:"merchantId"`
	CypherFaceID store.MerchantID  `json:"cypherFaceId"`
	XAPIKey      store.KeyID       `json:"xApiKey"`
	Environment  store.Environment `json:"env"`
	Role         store.Role        `json:"role"`
	jwt.RegisteredClaims
}

// IssueToken makes a token for the holder of an API key, who must name the
// merchant it belongs to. The error matches ErrUnauthorized, ErrSuspended or
// ErrClock.
func (a *Authority) IssueToken(ctx context.Context, m store.MerchantID, apiKey string) (Token, error) {
	if a.TimeKnown != nil && !a.TimeKnown() {
		return Token{}, ErrClock
	}
	p, key, err := a.byKey(ctx, apiKey)
	if err != nil {
		return Token{}, err
	}
	if p.Merchant != m {
		return Token{}, fmt.Errorf("%w: the key is another merchant's", ErrUnauthorized)
	}
	now := a.now().Truncate(time.Second)
	c := claims{
		MerchantID: m, CypherFaceID: m, XAPIKey: key.ID, Environment: p.Environment, Role: p.Role,
		RegisteredClaims: jwt.RegisteredClaims{
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(TokenLife)),
			ID:        string(store.NewUUID[store.SessionID]()),
		},
	}
	value, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(a.tokens)
	if err != nil {
		return Token{}, fmt.Errorf("sign token: %w", err)
	}
	return Token{value, now.Add(TokenLife), m}, nil
}

// byToken returns who holds a token: its key as it is now, not as it was when
// the token was made.
func (a *Authority) byToken(ctx context.Context, token string) (Principal, error) {
	if len(token) > maxToken {
		return Principal{}, fmt.Errorf("%w: token of %d bytes", ErrUnauthorized, len(token))
	}
	var c claims
	_, err := a.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return a.tokens, nil })
	if errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
		return Principal{}, fmt.Errorf("%w: %w", ErrUnauthorized, ErrExpired)
	}
	if err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	var p Principal
	err = a.store.View(ctx, func(tx *store.Tx) error {
		key, err := store.GetOf[store.Key](tx, c.MerchantID, c.XAPIKey)
		if err != nil {
			return err
		}
		p, err = a.principal(tx, &key)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Principal{}, fmt.Errorf("%w: the token's key is gone", ErrUnauthorized)
	case err != nil:
		return Principal{}, err
	case p.Environment != c.Environment || c.CypherFaceID != c.MerchantID:
		return Principal{}, fmt.Errorf("%w: token of the environment %q", ErrUnauthorized, c.Environment)
	}
	return p, nil
}
