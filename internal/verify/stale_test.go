package verify_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// Who may pass does not, once what the box has of its central is too old.
func TestStaleDataAdmitsNobody(t *testing.T) {
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store"), bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	m := store.NewID[store.MerchantID](now)
	p := store.Person{ID: store.NewID[store.PersonID](now), Merchant: m, Status: store.PersonEnrolled}
	d := store.Door{ID: store.NewID[store.DoorID](now), Merchant: m}
	g := store.Grant{ID: store.NewID[store.GrantID](now), Merchant: m, Person: p.ID, Door: d.ID}
	update := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}, fn); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *store.Tx) error {
		return errors.Join(store.Put(tx, &store.Merchant{ID: m}), store.Put(tx, &p), store.Put(tx, &d), store.Put(tx, &g), store.Join(tx, store.Link{Merchant: m}))
	})
	for _, stale := range []bool{false, true, false} {
		update(func(tx *store.Tx) error {
			l, err := store.Get[store.Link](tx, store.TheLink)
			l.Stale = stale
			return errors.Join(err, store.Put(tx, &l))
		})
		want := map[bool]string{true: verify.ReasonStale}[stale]
		update(func(tx *store.Tx) error {
			if refusal, err := verify.Admission(tx, d, p.ID); err != nil || refusal != want {
				t.Errorf("stale %v: %q, %v", stale, refusal, err)
			}
			return nil
		})
	}
}
