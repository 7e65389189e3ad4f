package daemon

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// What boxes sent goes when it is older than the audit log reaches back, what is
// younger stays, and the journal says so; a box goes on where it was.
func TestOldEventsOfBoxesGo(t *testing.T) {
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store"), bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	m := store.NewID[store.MerchantID](now)
	site := store.Site{ID: store.NewID[store.SiteID](now), Merchant: m, Name: "north"}
	d := store.Device{ID: store.NewUUID[store.DeviceID](), Merchant: m, Site: site.ID, Status: store.Active}
	update := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), systemCause, fn); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *store.Tx) error {
		return errors.Join(store.Put(tx, &store.Merchant{ID: m, Status: store.Active}), store.Put(tx, &site), store.Share(tx, site.ID), store.Put(tx, &d))
	})
	const events, old = 700, 400
	part := func(from, to uint64) (p store.IngestPart) {
		p = store.IngestPart{Device: d.ID, Epoch: 1, After: from}
		for seq := from + 1; seq <= to; seq++ {
			e := store.Event{Device: d.ID, Epoch: 1, Seq: seq, Time: now.AddDate(0, 0, -10), Kind: store.EventDecision, Actor: store.Actor{Kind: store.ActorSystem, ID: "door"}}
			if seq > old {
				e.Time = now
			}
			raw, err := json.Marshal(&e)
			if err != nil {
				t.Fatal(err)
			}
			p.Events = append(p.Events, store.Outgoing{Seq: seq, Raw: raw})
		}
		return p
	}
	update(func(tx *store.Tx) error { _, _, err := store.Ingest(tx, part(0, events)); return err })
	for range 2 { // the second finds nothing
		if err := trimForeign(t.Context(), s, now.AddDate(0, 0, -5)); err != nil {
			t.Fatal(err)
		}
	}
	err = s.View(t.Context(), func(tx *store.Tx) error {
		n, err := store.Count(tx, store.ForeignByMerchant, store.Plain(m))
		if n != events-old {
			t.Errorf("%d events are left, want %d", n, events-old)
		}
		_, gone := store.ForeignEvent(tx, store.NewForeignID(d.ID, 1, old))
		_, kept := store.ForeignEvent(tx, store.NewForeignID(d.ID, 1, old+1))
		if !errors.Is(gone, store.ErrNotFound) || kept != nil {
			t.Errorf("the last old one: %v; the first young one: %v", gone, kept)
		}
		told := 0
		own, listErr := store.Events(tx, 0, 1000)
		for _, e := range own {
			if e.Action == "retention" {
				told++
				if e.Counters["events"] != old {
					t.Errorf("the journal says %v", e.Counters)
				}
			}
		}
		if told != 1 {
			t.Errorf("the journal says it %d times", told)
		}
		if _, err := store.Check(tx, func(f store.Fault) { t.Error(f) }); err != nil {
			t.Error(err)
		}
		return errors.Join(err, listErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	update(func(tx *store.Tx) error { // what comes again is passed over, and what follows is taken
		through, _, err := store.Ingest(tx, part(events-10, events+10))
		if through != events+10 {
			t.Errorf("the box is at %d", through)
		}
		return err
	})
}
