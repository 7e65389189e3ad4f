package auth_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/cypherface/edge/internal/auth"
)

func TestCheckPassword(t *testing.T) {
	hash, err := auth.HashPassword(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	composed, err := auth.HashPassword(t.Context(), "Gr\u00f6\u00dfe 1843")
	if err != nil {
		t.Fatal(err)
	}
	// Made by the reference implementation (argon2 somesalt -id -t 2 -m 16 -p 1), with
	// other parameters.
	foreign := "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, tt := range []struct {
		name, hash, password string
		ok, stale            bool
	}{
		{"right", hash, "correct horse", true, false},
		{"wrong", hash, "correct horsf", false, false},
		{"letters in two parts", composed, "Gro\u0308\u00dfe 1843", true, false},
		{"empty", hash, "", false, false},
		{"too long", hash, strings.Repeat("a", 129), false, false},
		{"no hash", "", "correct horse", false, false},
		{"the empty password of no hash", "", "", false, false},
		{"another's hash", foreign, "password", true, true},
		{"another's hash, wrong", foreign, "passwort", false, true},
		{"not a hash", "$argon2id$v=19$m=19456,t=2,p=1$$", "x", false, false},
		{"too dear", strings.Replace(hash, "m=19456", "m=4194304", 1), "correct horse", false, false},
		{"too many passes", strings.Replace(hash, "t=2", "t=1000", 1), "correct horse", false, false},
		{"another kind", strings.Replace(hash, "argon2id", "argon2i", 1), "correct horse", false, false},
		{"cut", hash[:len(hash)-30], "correct horse", false, false},
	} {
		before := auth.Hashed()
		ok, stale, err := auth.CheckPassword(t.Context(), tt.hash, tt.password)
		if ok != tt.ok || stale != tt.stale || err != nil {
			t.Errorf("%s: %v, stale %v, %v", tt.name, ok, stale, err)
		}
		if n := auth.Hashed() - before; n != 1 {
			t.Errorf("%s: %d hashes", tt.name, n)
		}
	}
}

// A flood of logins is turned away instead of waited for.
func TestPasswordsWaitInAShortQueue(t *testing.T) {
	first := auth.Hashed()
	var all sync.WaitGroup
	errs := make(chan error, 200)
	for range cap(errs) {
		all.Go(func() {
			_, _, err := auth.CheckPassword(t.Context(), "", "guess")
			errs <- err
		})
	}
	all.Wait()
	close(errs)
	busy := 0
	for err := range errs {
		if errors.Is(err, auth.ErrBusy) {
			busy++
		} else if err != nil {
			t.Error(err)
		}
	}
	if done := int(auth.Hashed() - first); busy == 0 || done+busy != cap(errs) || done < 16 {
		t.Errorf("%d were hashed, %d turned away", done, busy)
	}
	if _, err := auth.HashPassword(t.Context(), "correct horse"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := auth.HashPassword(ctx, "correct horse"); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone: %v", err)
	}
}

// BenchmarkHashPassword is what a login costs: time of one core, and memory.
func BenchmarkHashPassword(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := auth.HashPassword(b.Context(), "correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}
