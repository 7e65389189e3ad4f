package bolt_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// readAll reads all there is, by every index.
func readAll(t *testing.T, s *bolt.Store) error {
	return s.View(t.Context(), func(tx *store.Tx) error {
		_, people := store.List(tx, store.PersonsByMerchant, store.Query[store.Person]{Limit: 1000})
		_, found := store.Find(tx, store.PersonByEmail, store.Plain("m"), store.Email("7"))
		_, events := store.Events(tx, 0, 1000)
		_, listed := store.List(tx, store.EventsByPerson, store.Query[store.Event]{Limit: 1000, Reverse: true})
		return errors.Join(people, found, events, listed)
	})
}

// TestDamagedPages overwrites each page of a store in turn. Whatever is hit, the
// answers are right or errors: nothing panics, and nothing hangs. (One field is
// spared: a page that claims a wrong overflow has bbolt free pages in use. And
// without its newest meta page, bbolt is back at the commit before.)
func TestDamagedPages(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	sandbox(t, path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	good = bytes.TrimRight(good, "\x00")
	const page = 4096
	random := rand.New(rand.NewPCG(1, 2))
	var refused, failed, unnoticed int
	for at := 0; at < len(good); at += page {
		for name, spoil := range map[string]func([]byte){
			"zeros":  func(p []byte) { clear(p) },
			"ones":   func(p []byte) { copy(p, bytes.Repeat([]byte{0xff}, len(p))) },
			"header": func(p []byte) { p[8+random.IntN(4)] ^= byte(1 + random.IntN(255)) }, // kind and count
			"other":  func(p []byte) { copy(p, good[2*page:3*page]) },
		} {
			bad := append(bytes.Clone(good), make([]byte, 2*page)...)
			spoil(bad[at:min(at+page, len(bad))])
			victim := filepath.Join(t.TempDir(), "victim.db")
			if err := os.WriteFile(victim, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			switch outcome := useDamaged(t, victim); outcome {
			case "refused":
				refused++
			case "failed":
				failed++
			case "unnoticed":
				unnoticed++
			case "rolled back":
				if at >= 2*page {
					t.Errorf("page at %d, %s: lost the last commit", at, name)
				}
				unnoticed++
			default:
				t.Errorf("page at %d, %s: %s", at, name, outcome)
			}
		}
	}
	t.Logf("refused at opening %d, failed in use %d, no matter or unnoticed %d", refused, failed, unnoticed)
	if refused == 0 || failed == 0 {
		t.Error("no damage was noticed")
	}
}

// useDamaged opens a damaged store, reads, writes and closes it.
func useDamaged(t *testing.T, path string) (outcome string) {
	result := make(chan string, 1)
	go func() {
		s, err := bolt.Open(path, options)
		if err != nil {
			result <- outcomeOf("refused", err, store.ErrDamaged, store.ErrForeign)
			return
		}
		outcome := outcomeOf("failed", readAll(t, s), store.ErrDamaged)
		p := store.Person{ID: "new", Merchant: "m", Email: "new"}
		err = s.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &p) })
		if outcome == "unnoticed" {
			outcome = outcomeOf("failed", err, store.ErrDamaged)
		}
		s.Close()
		result <- outcome
	}()
	select {
	case outcome = <-result:
	case <-time.After(time.Minute):
		outcome = "hangs"
	}
	return outcome
}

func outcomeOf(noticed string, err error, wanted ...error) string {
	switch {
	case err == nil:
		return "unnoticed"
	case errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrDamaged):
		return "rolled back"
	}
	for _, w := range wanted {
		if errors.Is(err, w) {
			return noticed
		}
	}
	return err.Error()
}

// TestCutWhileOpen takes the file away from below an open store.
func TestCutWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	fill(t, s, 500)
	truncate(t, path, 2*4096)
	if err := readAll(t, s); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("view: error %v, want ErrDamaged", err)
	}
	change := func(tx *store.Tx) error {
		return store.Put(tx, &store.Person{ID: "new", Merchant: "m"})
	}
	for range 2 {
		err := s.Update(t.Context(), cause, change)
		if !errors.Is(err, store.ErrDamaged) || !errors.Is(err, store.ErrCommit) {
			t.Errorf("update: error %v, want ErrDamaged and ErrCommit", err)
		}
	}
}

// TestPanicIsNotDamage: only what bbolt meets is damage; a fault of the caller
// stays one.
func TestPanicIsNotDamage(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	fill(t, s, 3)
	boom := errors.New("boom")
	for name, fn := range map[string]func(tx *store.Tx) error{
		"in the function": func(*store.Tx) error { panic(boom) },
		"in a loop": func(tx *store.Tx) error {
			for range store.All(tx, store.PersonsByMerchant) {
				panic(boom)
			}
			return nil
		},
		"in a filter": func(tx *store.Tx) error {
			q := store.Query[store.Person]{Keep: func(*store.Person) bool { panic(boom) }}
			_, err := store.List(tx, store.PersonsByMerchant, q)
			return err
		},
	} {
		for kind, run := range map[string]func() error{
			"view":   func() error { return s.View(t.Context(), fn) },
			"update": func() error { return s.Update(t.Context(), cause, fn) },
		} {
			func() {
				defer func() {
					if p := recover(); p != boom {
						t.Errorf("%s of %s: recovered %v, want %v", name, kind, p, boom)
					}
				}()
				t.Errorf("%s of %s: returned %v", name, kind, run())
			}()
		}
	}
	fill2 := store.Person{ID: "after", Merchant: "m"}
	if err := s.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &fill2) }); err != nil {
		t.Error(err)
	}
}
