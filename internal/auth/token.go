package auth

import (
	"cmp"
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
	Life     time.Duration
	Merchant store.MerchantID
	// Of a login: the token that it is exchanged with, and how long it can be.
	Refresh     string
	RefreshLife time.Duration
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
	Family       store.TokenID     `json:"family"`        // the id of the token that this one goes back to
	Use          string            `json:"use,omitempty"` // forRefresh, or a token to call with
	jwt.RegisteredClaims
}

// forRefresh is the use of a token that is good for nothing but an exchange.
const forRefresh = "refresh"

// IssueToken makes a token for the holder of an API key, who must name the
// merchant it belongs to. The error matches ErrUnauthorized, ErrSuspended or
// ErrClock.
func (a *Authority) IssueToken(ctx context.Context, m store.MerchantID, apiKey string) (Token, error) {
	if err := a.timeKnown(); err != nil {
		return Token{}, err
	}
	p, _, err := a.byKey(ctx, apiKey)
	if err != nil {
		return Token{}, err
	}
	if p.Merchant != m {
		return Token{}, fmt.Errorf("%w: the key is another merchant's", ErrUnauthorized)
	}
	token, err := a.sign(p, TokenLife, claims{})
	if err != nil {
		return Token{}, err
	}
	return token, a.note(ctx, p, "token")
}

// sign makes a token for what its key may do; like has the family that it goes on,
// if any, and its use.
func (a *Authority) sign(p Principal, life time.Duration, like claims) (Token, error) {
	now, id := a.now().Truncate(time.Second), store.NewUUID[store.TokenID]()
	c := claims{
		MerchantID: p.Merchant, CypherFaceID: p.Merchant, XAPIKey: p.key, Environment: p.Environment, Role: p.Role,
		Family: cmp.Or(like.Family, id), Use: like.Use,
		RegisteredClaims: jwt.RegisteredClaims{Subject: string(p.Account), IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(life)), ID: string(id)},
	}
	value, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(a.tokens)
	if err != nil {
		return Token{}, fmt.Errorf("sign token: %w", err)
	}
	return Token{Value: value, Expires: now.Add(life), Life: life, Merchant: p.Merchant}, nil
}

func (a *Authority) timeKnown() error {
	if a.TimeKnown != nil && !a.TimeKnown() {
		return ErrClock
	}
	return nil
}

// note appends to the journal that a token was issued, and when its key was last
// used.
func (a *Authority) note(ctx context.Context, p Principal, action string) error {
	return a.store.Update(ctx, store.Cause{Actor: p.Actor}, func(tx *store.Tx) error {
		if err := a.touch(tx, p.Merchant, p.key); err != nil {
			return err
		}
		_, err := store.Append(tx, store.Event{Kind: store.EventAccess, Merchant: p.Merchant, Action: action, Outcome: store.OutcomeDone}, nil)
		return err
	})
}

// refreshWithin is how long after its end a token can still be exchanged.
const refreshWithin = 30 * 24 * time.Hour

// RefreshToken exchanges a token, live or expired for up to 30 days, for a new
// one. The old one is worth nothing from then on. Who comes with it again has it
// from somebody else, or somebody else has: then all that came of it is worth
// nothing either, and ErrReused says so, which matches ErrUnauthorized.
func (a *Authority) RefreshToken(ctx context.Context, header []string) (Token, error) {
	if err := a.timeKnown(); err != nil {
		return Token{}, err
	}
	if len(header) != 1 {
		return Token{}, fmt.Errorf("%w: %d authorization headers", ErrUnauthorized, len(header))
	}
	credential, _ := split(header[0])
	c, err := a.parse(credential, a.lenient)
	if err != nil {
		return Token{}, err
	}
	until := c.ExpiresAt.Add(refreshWithin)
	if c.Use == forRefresh {
		until = c.ExpiresAt.Time
	}
	if !a.now().Before(until) {
		return Token{}, fmt.Errorf("%w: %w more than 30 days ago", ErrUnauthorized, ErrExpired)
	}
	var token Token
	var reused error
	cause := store.Cause{Actor: store.Actor{Kind: store.ActorKey, ID: string(c.XAPIKey)}}
	if c.Use == forRefresh {
		cause.Actor = store.Actor{Kind: store.ActorAccount, ID: c.Subject}
	}
	err = a.store.Update(ctx, cause, func(tx *store.Tx) error {
		p, err := a.holder(tx, &c)
		if errors.Is(err, ErrReused) {
			reused = err // and the theft is noted
			return a.retireFamily(tx, &c)
		} else if err != nil {
			return err
		}
		if p.Account != "" != (c.Use == forRefresh) {
			return fmt.Errorf("%w: not a token to refresh with", ErrUnauthorized)
		}
		if p.Account != "" {
			token, err = a.prolong(tx, p, c)
		} else {
			token, err = a.sign(p, TokenLife, c)
		}
		if err != nil {
			return err
		}
		if err := a.touch(tx, p.Merchant, p.key); err != nil {
			return err
		}
		if _, err := store.Append(tx, store.Event{Kind: store.EventAccess, Merchant: p.Merchant, Action: "refresh", Outcome: store.OutcomeDone}, nil); err != nil {
			return err
		}
		return store.Put(tx, &store.Retired{ID: store.TokenID(c.ID), Merchant: p.Merchant, Expires: until})
	})
	if err == nil {
		err = reused
	}
	return token, err
}

// retireFamily ends all tokens that came of one.
func (a *Authority) retireFamily(tx *store.Tx, c *claims) error {
	if _, err := store.Append(tx, store.Event{Kind: store.EventAccess, Merchant: c.MerchantID, Action: "refresh", Outcome: store.OutcomeDenied, Reasons: []string{"reused"}}, nil); err != nil {
		return err
	}
	if c.Use == forRefresh {
		return store.Delete[store.Key](tx, c.XAPIKey) // the login
	}
	for _, id := range []store.TokenID{c.Family, store.TokenID(c.ID)} {
		r, err := store.Get[store.Retired](tx, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			r = store.Retired{ID: id, Merchant: c.MerchantID}
		case err != nil:
			return err
		}
		// The newest of the family may live as long as one that is issued now.
		r.Family, r.Expires = id == c.Family, a.now().Add(TokenLife+refreshWithin)
		if err := store.Put(tx, &r); err != nil {
			return err
		}
	}
	return nil
}

// parse checks the signature of a token, and its times as parser does.
func (a *Authority) parse(token string, parser *jwt.Parser) (c claims, err error) {
	if len(token) > maxToken {
		return c, fmt.Errorf("%w: token of %d bytes", ErrUnauthorized, len(token))
	}
	_, err = parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return a.tokens, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return c, fmt.Errorf("%w: %w", ErrUnauthorized, ErrExpired)
	case err != nil:
		return c, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	case c.ExpiresAt == nil || c.ID == "" || c.CypherFaceID != c.MerchantID:
		return c, fmt.Errorf("%w: a token without what it needs", ErrUnauthorized)
	}
	return c, nil
}

// holder returns who holds a token: its key as it is now, not as it was when the
// token was made. The error matches ErrReused for one that was exchanged.
func (a *Authority) holder(tx *store.Tx, c *claims) (Principal, error) {
	key, err := store.GetOf[store.Key](tx, c.MerchantID, c.XAPIKey)
	if errors.Is(err, store.ErrNotFound) {
		return Principal{}, fmt.Errorf("%w: the token's key is gone", ErrUnauthorized)
	} else if err != nil {
		return Principal{}, err
	}
	p, err := a.principal(tx, &key)
	if err != nil {
		return Principal{}, err
	}
	if p.Environment != c.Environment {
		return Principal{}, fmt.Errorf("%w: token of the environment %q", ErrUnauthorized, c.Environment)
	}
	for _, id := range []store.TokenID{store.TokenID(c.ID), c.Family} {
		r, err := store.Get[store.Retired](tx, id)
		if err == nil && (string(id) == c.ID || r.Family) {
			return Principal{}, ErrReused
		} else if err != nil && !errors.Is(err, store.ErrNotFound) {
			return Principal{}, err
		}
	}
	return p, nil
}

// byToken returns who holds a token.
func (a *Authority) byToken(ctx context.Context, token string) (p Principal, err error) {
	c, err := a.parse(token, a.parser)
	if err == nil && c.Use != "" {
		err = fmt.Errorf("%w: a token for refreshing", ErrUnauthorized)
	}
	if err != nil {
		return Principal{}, err
	}
	err = a.store.View(ctx, func(tx *store.Tx) error {
		p, err = a.holder(tx, &c)
		return err
	})
	return p, err
}
