package auth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

var cause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}

// box is an environment with a merchant, its key, and a clock to turn.
type box struct {
	*auth.Authority
	store    store.Store
	now      time.Time
	merchant store.MerchantID
	apiKey   string
	key      store.Key
}

func newBox(t testing.TB, env store.Environment) *box {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{Environment: env, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &box{store: s, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	if b.Authority, err = auth.Open(context.Background(), s, func() time.Time { return b.now }); err != nil {
		t.Fatal(err)
	}
	m := store.Merchant{ID: store.NewID[store.MerchantID](b.now), Name: "Test", Status: store.Active}
	b.merchant = m.ID
	b.apiKey, b.key = b.NewKey(m.ID, "first", store.RoleIntegrator, auth.Identify, auth.Match)
	b.update(t, func(tx *store.Tx) error {
		return errors.Join(store.Put(tx, &m), store.Put(tx, &b.key))
	})
	return b
}

func (b *box) update(t testing.TB, fn func(*store.Tx) error) {
	t.Helper()
	if err := b.store.Update(context.Background(), cause, fn); err != nil {
		t.Fatal(err)
	}
}

func (b *box) changeKey(tx *store.Tx, change func(*store.Key)) error {
	key, err := store.Get[store.Key](tx, b.key.ID)
	if err != nil {
		return err
	}
	change(&key)
	return store.Put(tx, &key)
}

func (b *box) token(t testing.TB) string {
	t.Helper()
	token, err := b.IssueToken(context.Background(), b.merchant, b.apiKey)
	if err != nil {
		t.Fatal(err)
	}
	return token.Value
}

func TestEveryFormOfACredential(t *testing.T) {
	b := newBox(t, store.Sandbox)
	token := b.token(t)
	tests := []struct {
		name   string
		header []string
		ok     bool
	}{
		{"key", []string{"Bearer " + b.apiKey}, true},
		{"token", []string{"Bearer " + token}, true},
		{"raw token", []string{token}, true},
		{"scheme in another case", []string{"bEARER " + token}, true},
		{"spaces", []string{"  Bearer   " + b.apiKey + " "}, true},
		{"raw key", []string{b.apiKey}, false},
		{"nothing", nil, false},
		{"empty", []string{""}, false},
		{"scheme alone", []string{"Bearer"}, false},
		{"another scheme", []string{"Basic " + b.apiKey}, false},
		{"two headers", []string{"Bearer " + b.apiKey, "Bearer " + b.apiKey}, false},
		{"two words", []string{"Bearer " + b.apiKey + " x"}, false},
		{"key in capitals", []string{"Bearer " + strings.ToUpper(b.apiKey)}, false},
		{"unknown key", []string{"Bearer " + string(store.NewUUID[store.KeyID]())}, false},
		{"id of the key", []string{"Bearer " + string(b.key.ID)}, false},
		{"cut token", []string{token[:len(token)-1]}, false},
		{"long token", []string{token + strings.Repeat("a", 5000)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := b.Authenticate(t.Context(), tt.header)
			if !tt.ok {
				if !errors.Is(err, auth.ErrUnauthorized) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Merchant != b.merchant || p.Environment != store.Sandbox || p.Actor != (store.Actor{Kind: store.ActorKey, ID: string(b.key.ID)}) {
				t.Errorf("got %+v", p)
			}
			if !p.Can(auth.Identify) || p.Can(auth.UsersWrite) {
				t.Errorf("permissions of %+v", p)
			}
		})
	}
}

func TestOnlyAHashOfTheKeyIsKept(t *testing.T) {
	b := newBox(t, store.Sandbox)
	if string(b.key.Hash) == b.apiKey || len(b.key.Hash) != 32 || b.key.Last4 != b.apiKey[32:] || strings.Contains(string(b.key.ID), b.key.Last4+"x") {
		t.Errorf("record %+v", b.key)
	}
	if _, err := store.ParseUUID[store.KeyID](b.apiKey); err != nil {
		t.Error(err)
	}
}

func TestACredentialDiesWithWhatItStandsOn(t *testing.T) {
	tests := []struct {
		name   string
		change func(b *box, tx *store.Tx) error
		want   error
	}{
		{"key revoked", func(b *box, tx *store.Tx) error {
			return b.RevokeKey(tx, b.merchant, b.key.ID)
		}, auth.ErrUnauthorized},
		{"key expired", func(b *box, tx *store.Tx) error {
			return b.changeKey(tx, func(k *store.Key) { k.Expires = b.now })
		}, auth.ErrUnauthorized},
		{"key deleted", func(b *box, tx *store.Tx) error { return store.Delete[store.Key](tx, b.key.ID) }, auth.ErrUnauthorized},
		{"merchant suspended", func(b *box, tx *store.Tx) error {
			m, err := store.Get[store.Merchant](tx, b.merchant)
			m.Status = store.Suspended
			return errors.Join(err, store.Put(tx, &m))
		}, auth.ErrSuspended},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t, store.Sandbox)
			token := b.token(t)
			b.update(t, func(tx *store.Tx) error { return tt.change(b, tx) })
			for _, header := range []string{token, "Bearer " + b.apiKey} {
				if _, err := b.Authenticate(t.Context(), []string{header}); !errors.Is(err, tt.want) {
					t.Errorf("%.12s…: %v", header, err)
				}
			}
			if _, err := b.IssueToken(t.Context(), b.merchant, b.apiKey); !errors.Is(err, tt.want) {
				t.Errorf("new token: %v", err)
			}
		})
	}
}

func TestATokenLosesTheScopesThatItsKeyLoses(t *testing.T) {
	b := newBox(t, store.Sandbox)
	token := b.token(t)
	b.update(t, func(tx *store.Tx) error {
		return b.changeKey(tx, func(k *store.Key) { k.Scopes = []auth.Permission{auth.Match} })
	})
	p, err := b.Authenticate(t.Context(), []string{token})
	if err != nil || p.Can(auth.Identify) || !p.Can(auth.Match) {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestATokenExpires(t *testing.T) {
	b := newBox(t, store.Sandbox)
	token := b.token(t)
	b.now = b.now.Add(auth.TokenLife - time.Second)
	if _, err := b.Authenticate(t.Context(), []string{token}); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	b.now = b.now.Add(time.Second)
	if _, err := b.Authenticate(t.Context(), []string{token}); !errors.Is(err, auth.ErrExpired) || !errors.Is(err, auth.ErrUnauthorized) {
		t.Errorf("at its end: %v", err)
	}
}

func TestTheEnvironmentsShareNothing(t *testing.T) {
	sandbox, production := newBox(t, store.Sandbox), newBox(t, store.Production)
	for _, header := range []string{sandbox.token(t), "Bearer " + sandbox.apiKey} {
		if _, err := production.Authenticate(t.Context(), []string{header}); !errors.Is(err, auth.ErrUnauthorized) {
			t.Errorf("%.12s…: %v", header, err)
		}
	}
}

func TestSecretsSurviveARestart(t *testing.T) {
	b := newBox(t, store.Sandbox)
	token := b.token(t)
	again, err := auth.Open(t.Context(), b.store, func() time.Time { return b.now })
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range []string{token, "Bearer " + b.apiKey} {
		if _, err := again.Authenticate(t.Context(), []string{header}); err != nil {
			t.Errorf("%.12s…: %v", header, err)
		}
	}
}

func TestClaimsOfAToken(t *testing.T) {
	b := newBox(t, store.Sandbox)
	claims := jwt.MapClaims{}
	token, _, err := jwt.NewParser().ParseUnverified(b.token(t), claims)
	if err != nil {
		t.Fatal(err)
	}
	if token.Header["alg"] != "HS256" || len(claims) != 9 || claims["family"] != claims["jti"] {
		t.Errorf("header %v, claims %v", token.Header, claims)
	}
	want := map[string]any{
		"merchantId": string(b.merchant), "cypherFaceId": string(b.merchant), "xApiKey": string(b.key.ID),
		"iat": float64(b.now.Unix()), "exp": float64(b.now.Unix() + 172800), "env": "sandbox", "role": "integrator",
	}
	for name, v := range want {
		if claims[name] != v {
			t.Errorf("%s is %v, want %v", name, claims[name], v)
		}
	}
	if strings.Contains(fmt.Sprint(claims), b.apiKey) {
		t.Error("the key itself stands in the token")
	}
}

// forge signs claims of a good token in other ways.
func TestForgedTokensAreRefused(t *testing.T) {
	b := newBox(t, store.Sandbox)
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(b.token(t), claims); err != nil {
		t.Fatal(err)
	}
	sign := func(method jwt.SigningMethod, key any) string {
		s, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var secret []byte // of the box: what only HS256 may use
	b.update(t, func(tx *store.Tx) error {
		s, err := store.Get[store.Secret](tx, store.SecretName("token-signature"))
		secret = s.Value
		return err
	})
	good := strings.Split(sign(jwt.SigningMethodHS256, secret), ".")
	if _, err := b.Authenticate(t.Context(), []string{strings.Join(good, ".")}); err != nil {
		t.Fatalf("the control: %v", err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	forged := map[string]string{
		"none":           sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"none by header": none + "." + good[1] + "." + good[2],
		"no signature":   good[0] + "." + good[1] + ".",
		"HS512":          sign(jwt.SigningMethodHS512, secret),
		"another secret": sign(jwt.SigningMethodHS256, []byte("secret")),
		"empty secret":   sign(jwt.SigningMethodHS256, []byte{}),
	}
	for name, value := range map[string]any{"exp": nil, "env": "production", "merchantId": string(store.NewID[store.MerchantID](b.now)), "xApiKey": b.apiKey} {
		was := claims[name]
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
		forged["claim "+name] = sign(jwt.SigningMethodHS256, secret)
		claims[name] = was
	}
	for name, token := range forged {
		if _, err := b.Authenticate(t.Context(), []string{token}); !errors.Is(err, auth.ErrUnauthorized) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATokenIsForTheMerchantOfTheKey(t *testing.T) {
	b := newBox(t, store.Sandbox)
	for _, m := range []store.MerchantID{"", store.NewID[store.MerchantID](b.now)} {
		if _, err := b.IssueToken(t.Context(), m, b.apiKey); !errors.Is(err, auth.ErrUnauthorized) {
			t.Errorf("merchant %q: %v", m, err)
		}
	}
}

func TestUploadSignatures(t *testing.T) {
	b := newBox(t, store.Sandbox)
	ticket, expires := store.NewUUID[store.TicketID](), b.now.Add(time.Minute)
	good := b.SignUpload(ticket, expires)
	if err := b.CheckUpload(ticket, expires, good); err != nil {
		t.Fatal(err)
	}
	bad := map[string]error{
		"other ticket": b.CheckUpload(store.NewUUID[store.TicketID](), expires, good),
		"longer life":  b.CheckUpload(ticket, expires.Add(time.Second), good),
		"no signature": b.CheckUpload(ticket, expires, ""),
		"cut":          b.CheckUpload(ticket, expires, good[1:]),
		"not base64":   b.CheckUpload(ticket, expires, "!"),
	}
	b.now = expires
	bad["expired"] = b.CheckUpload(ticket, expires, good)
	for name, err := range bad {
		if !errors.Is(err, auth.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHashPassword(t *testing.T) {
	one, err := auth.HashPassword(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	two, _ := auth.HashPassword(t.Context(), "correct horse")
	if one == two || !strings.HasPrefix(one, "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(one, "horse") {
		t.Errorf("%s, %s", one, two)
	}
	for _, bad := range []string{"", "1234567", strings.Repeat("a", 129)} {
		if _, err := auth.HashPassword(t.Context(), bad); !errors.Is(err, auth.ErrPassword) {
			t.Errorf("%d characters: %v", len(bad), err)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	b := newBox(f, store.Sandbox)
	token := b.token(f)
	for _, s := range []string{"Bearer " + b.apiKey, token, "Bearer", "", "a.b.c", "Bearer ..", "bearer\t" + token, token[:20] + "." + token[20:]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		p, err := b.Authenticate(context.Background(), []string{header})
		if err != nil && !errors.Is(err, auth.ErrUnauthorized) {
			t.Errorf("%q: %v", header, err)
		}
		if err == nil && !strings.Contains(header, b.apiKey) && !strings.Contains(header, token) {
			t.Errorf("%q let in as %+v", header, p)
		}
	})
}

// A box that does not know the time issues no tokens; those that are out count on.
func TestNoTokensWithoutTheTime(t *testing.T) {
	b := newBox(t, store.Sandbox)
	before, known := b.token(t), false
	b.TimeKnown = func() bool { return known }
	if _, err := b.IssueToken(t.Context(), b.merchant, b.apiKey); !errors.Is(err, auth.ErrClock) {
		t.Errorf("got %v", err)
	}
	for _, header := range []string{before, "Bearer " + b.apiKey} {
		if _, err := b.Authenticate(t.Context(), []string{header}); err != nil {
			t.Errorf("%.10s…: %v", header, err)
		}
	}
	known = true
	b.token(t)
}
