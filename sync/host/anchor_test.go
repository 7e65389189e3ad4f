package host

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/sync/hub"
)

// A box that came back sends its checkpoint again while the last is being looked at:
// what is wrong with it is told once.
func TestOneFaultIsToldOnce(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "central"), bolt.Options{Environment: store.Sandbox})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	d := store.Device{ID: store.NewUUID[store.DeviceID](), Merchant: store.NewID[store.MerchantID](time.Now()), Status: store.Active}
	err = db.Update(t.Context(), causeOf(string(d.ID)), func(tx *store.Tx) error {
		return errors.Join(store.Put(tx, &d), store.Put(tx, &store.Box{ID: d.ID, Merchant: d.Merchant}))
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &serving{Central: NewCentral(CentralConfig{Store: db})}
	var sent sync.WaitGroup
	for range 16 {
		sent.Go(func() {
			if err := s.keep(t.Context(), hub.Keep{Device: string(d.ID), Note: []byte("none")}); err != nil {
				t.Error(err)
			}
		})
	}
	sent.Wait()
	var told []string
	err = db.View(t.Context(), func(tx *store.Tx) error {
		events, err := store.Events(tx, 0, 100)
		for _, e := range events {
			told = append(told, e.Reasons...)
		}
		return err
	})
	if want := []string{faultMalformed}; err != nil || !slices.Equal(told, want) {
		t.Errorf("the journal says %q, %v, want %q", told, err, want)
	}
}
