package auth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// make makes a key and returns it.
func (b *box) make(t testing.TB, r auth.KeyRequest) (apiKey string, key store.Key) {
	t.Helper()
	b.update(t, func(tx *store.Tx) (err error) {
		apiKey, key, err = b.MakeKey(tx, b.merchant, r)
		return err
	})
	return apiKey, key
}

// good reports whether a credential is let in.
func (b *box) good(t testing.TB, header string) bool {
	t.Helper()
	_, err := b.Authenticate(t.Context(), []string{header})
	if err != nil && !errors.Is(err, auth.ErrUnauthorized) {
		t.Fatal(err)
	}
	return err == nil
}

func TestKeyRotation(t *testing.T) {
	b := newBox(t, store.Sandbox)
	old := b.token(t)
	fresh, _ := b.make(t, auth.KeyRequest{Name: "second", Replaces: []store.KeyID{b.key.ID}})
	status := func() string {
		var key store.Key
		b.update(t, func(tx *store.Tx) (err error) {
			key, err = store.Get[store.Key](tx, b.key.ID)
			return err
		})
		return b.KeyStatus(&key)
	}
	b.now = b.now.Add(24*time.Hour - time.Second)
	if !b.good(t, "Bearer "+b.apiKey) || !b.good(t, old) || !b.good(t, "Bearer "+fresh) || status() != "expiring" {
		t.Errorf("within the overlap: status %s", status())
	}
	b.now = b.now.Add(time.Second)
	if b.good(t, "Bearer "+b.apiKey) || b.good(t, old) || !b.good(t, "Bearer "+fresh) || status() != "expired" {
		t.Errorf("after the overlap: status %s", status())
	}
	err := b.store.Update(t.Context(), cause, func(tx *store.Tx) error {
		_, _, err := b.MakeKey(tx, b.merchant, auth.KeyRequest{Replaces: []store.KeyID{b.key.ID}})
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a key that has ended was replaced: %v", err)
	}
	newest, _ := b.make(t, auth.KeyRequest{All: true})
	b.now = b.now.Add(24 * time.Hour)
	if b.good(t, "Bearer "+fresh) || !b.good(t, "Bearer "+newest) {
		t.Error("not all were replaced")
	}
}

func TestKeysAreLimited(t *testing.T) {
	b := newBox(t, store.Sandbox)
	for range auth.MaxKeys - 1 {
		b.make(t, auth.KeyRequest{})
	}
	err := b.store.Update(t.Context(), cause, func(tx *store.Tx) error {
		_, _, err := b.MakeKey(tx, b.merchant, auth.KeyRequest{})
		return err
	})
	if !errors.Is(err, auth.ErrTooMany) {
		t.Errorf("got %v", err)
	}
}

func TestRefresh(t *testing.T) {
	b := newBox(t, store.Sandbox)
	refresh := func(token string) (string, error) {
		fresh, err := b.RefreshToken(t.Context(), []string{token})
		return fresh.Value, err
	}
	first := b.token(t)
	b.now = b.now.Add(auth.TokenLife + 29*24*time.Hour)
	if b.good(t, first) {
		t.Error("an expired token is let in")
	}
	second, err := refresh("bearer " + first)
	if err != nil || !b.good(t, second) {
		t.Fatalf("an expired token inside 30 days: %v", err)
	}
	third, err := refresh(second) // live, and raw
	if err != nil || !b.good(t, third) || b.good(t, second) {
		t.Fatalf("a live token: %v; the old one is let in: %v", err, b.good(t, second))
	}

	// The thief comes with one that was exchanged: all that came of it ends.
	if _, err := refresh(second); !errors.Is(err, auth.ErrReused) || !errors.Is(err, auth.ErrUnauthorized) {
		t.Errorf("reuse: %v", err)
	}
	if b.good(t, third) {
		t.Error("after a reuse the newest token is still let in")
	}
	if _, err := refresh(third); !errors.Is(err, auth.ErrReused) {
		t.Errorf("the newest after a reuse: %v", err)
	}
	if another := b.token(t); !b.good(t, another) {
		t.Error("another family of the same key ended too")
	}

	late := b.token(t)
	b.now = b.now.Add(auth.TokenLife + 30*24*time.Hour)
	if _, err := refresh(late); !errors.Is(err, auth.ErrExpired) {
		t.Errorf("after 30 days: %v", err)
	}
	fresh := b.token(t)
	b.update(t, func(tx *store.Tx) error { return b.RevokeKey(tx, b.merchant, b.key.ID) })
	for name, token := range map[string]string{"of a revoked key": fresh, "forged": fresh[:len(fresh)-2] + "AA", "a key": "Bearer " + b.apiKey, "nothing": ""} {
		if _, err := refresh(token); !errors.Is(err, auth.ErrUnauthorized) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoginAtTheBox(t *testing.T) {
	b := newBox(t, store.Sandbox)
	token, err := b.IssueLogin(t.Context(), cause, b.merchant, store.RoleOwner)
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Authenticate(t.Context(), []string{token.Value})
	if err != nil || !p.Can(auth.Keys) || p.Role != store.RoleOwner {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := b.IssueLogin(t.Context(), cause, b.merchant, "king"); !errors.Is(err, auth.ErrForbidden) {
		t.Errorf("a role that is none: %v", err)
	}
	b.now = b.now.Add(auth.LoginLife)
	if b.good(t, token.Value) {
		t.Error("it does not end")
	}
	if _, err := b.RefreshToken(t.Context(), []string{token.Value}); err == nil {
		t.Error("it can be prolonged")
	}
	if _, err := b.IssueLogin(t.Context(), cause, b.merchant, store.RoleOwner); err != nil {
		t.Fatal(err)
	}
	n := 0
	b.update(t, func(tx *store.Tx) (err error) {
		n, err = store.Count(tx, store.KeysByMerchant, store.Plain(b.merchant))
		return err
	})
	if n != 2 { // the first key, and the login that is on
		t.Errorf("%d keys are kept", n)
	}
}

// full is a store without room for changes.
type full struct{ store.Store }

func (full) Update(context.Context, store.Cause, func(*store.Tx) error) error {
	return store.ErrFull
}

func TestAFullDiskLocksNobodyOut(t *testing.T) {
	b := newBox(t, store.Sandbox)
	token := b.token(t)
	b.now = b.now.Add(2 * time.Hour) // that the key was used is to be noted again
	a, err := auth.Open(t.Context(), full{b.store}, func() time.Time { return b.now })
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range []string{"Bearer " + b.apiKey, token} {
		if _, err := a.Authenticate(t.Context(), []string{header}); err != nil {
			t.Errorf("%.12s…: %v", header, err)
		}
	}
}
