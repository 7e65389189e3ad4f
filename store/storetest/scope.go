package storetest

import (
	"encoding/json"
	"errors"

	"github.com/cypherface/edge/store"
)

// What a box may do, and not do, to records that are not of its scope.

// forge has a box say that it did something, whatever it has, and returns what became
// of it.
func (f *fleet) forge(b *box, e store.Edit) store.Merge {
	f.Helper()
	b.update(func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: b.people, Outcome: store.OutcomeMatch}, nil)
		return err
	})
	p := f.outgoing(b, 1<<20)
	p.Events[len(p.Events)-1].Edit = &e
	var merged []store.Merged
	f.update(func(tx *store.Tx) (err error) { _, merged, err = store.Ingest(tx, p); return err })
	if len(merged) == 0 {
		f.Fatal("nothing was merged")
	}
	f.pull(b, 100)
	return merged[len(merged)-1].Merge
}

// twoSites is a central with two sites that have people with a grant there, a box each,
// and a door each.
func twoSites(s *suite) (gate, yard *fleet, doors [2]store.Door) {
	gate = newFleet(s, 0)
	yard = &fleet{suite: s, site: store.Site{ID: store.NewID[store.SiteID](start), Merchant: gate.site.Merchant, Name: "yard", People: store.PeopleGranted}}
	put(s, &yard.site)
	gate.site.People = store.PeopleGranted
	put(s, &gate.site)
	s.update(func(tx *store.Tx) error { return store.Share(tx, yard.site.ID) })
	for i, f := range []*fleet{gate, yard} {
		f.join()
		doors[i] = store.Door{ID: store.NewID[store.DoorID](start), Merchant: f.site.Merchant, Site: f.site.ID}
		put(s, &doors[i])
	}
	return gate, yard, doors
}

// header is a record as an edit has it.
func header(s *suite, rec any) []byte {
	s.Helper()
	b, err := json.Marshal(rec)
	if err != nil {
		s.Fatal(err)
	}
	return b
}

// testStolenKey: who has the key of a box deletes nothing that never was of its scope,
// though he knows its id: not at once, not after he has asked for it, not by taking it
// into the scope first, and not before it comes.
func testStolenKey(s *suite) {
	gate, yard, doors := twoSites(s)
	thief, b := gate.boxes[0], yard.boxes[0]
	m := gate.site.Merchant
	p := newPerson(m, 1)
	put(s, &p)
	g := store.Grant{ID: store.NewID[store.GrantID](start), Merchant: m, Person: p.ID, Door: doors[1].ID}
	put(s, &g)
	crop := store.Crop{ID: store.NewID[store.CropID](start), Merchant: m, Person: p.ID, Image: []byte("x")}
	put(s, &crop)
	face := store.Template{ID: store.NewTemplateID(p.ID, "x"), Merchant: m, Person: p.ID, Space: "x", Vector: []float32{1}}
	put(s, &face)
	gate.settle()
	yard.settle()

	refused := func(what string, e store.Edit) {
		s.Helper()
		if got := gate.forge(thief, e); got != store.MergeRefused {
			s.Errorf("%s: %s", what, got)
		}
	}
	targets := []store.Edit{
		{Kind: store.KindDoor, ID: string(doors[1].ID)}, {Kind: store.KindGrant, ID: string(g.ID)}, {Kind: store.KindPerson, ID: string(p.ID)},
		{Kind: store.KindCrop, ID: string(crop.ID)}, {Kind: store.KindTemplate, ID: string(face.ID)},
	}
	for _, e := range targets {
		e.Op, e.EditBase = store.OpDelete, store.EditBase{New: true, Again: true, Anew: true, Base: 1}
		for range 2 { // what it is told in between is no proof
			refused("a deletion", e)
		}
	}
	refused("an erasure", store.Edit{Op: store.OpErase, Kind: store.KindPerson, ID: string(p.ID)})
	own := store.Grant{ID: store.NewID[store.GrantID](start), Merchant: m, Person: p.ID, Door: doors[0].ID}
	refused("a grant for a stranger", store.Edit{Op: store.OpPut, Kind: store.KindGrant, ID: string(own.ID), EditBase: store.EditBase{New: true}, Header: header(s, own)})
	refused("a change of a stranger", store.Edit{Op: store.OpPut, Kind: store.KindPerson, ID: string(p.ID), Header: header(s, p)})
	refused("an erasure after it", store.Edit{Op: store.OpErase, Kind: store.KindPerson, ID: string(p.ID)})

	mine := newPerson(m, 2)
	put(s, &mine)
	key := store.Grant{ID: store.NewID[store.GrantID](start), Merchant: m, Person: mine.ID, Door: doors[0].ID}
	put(s, &key)
	moved := key
	moved.Door = doors[1].ID
	refused("a grant that is moved to a door elsewhere", store.Edit{Op: store.OpPut, Kind: store.KindGrant, ID: string(key.ID), EditBase: store.EditBase{Again: true, Fields: []store.EditField{{Name: "door"}}}, Header: header(s, moved)})
	if x, err := get[store.Grant](s, key.ID); err != nil || x.Door != doors[0].ID {
		s.Errorf("the grant is %+v, %v", x, err)
	}

	noted := 0
	for _, e := range events(s) {
		if e.Action == "deletion" && e.Outcome == store.OutcomeDenied && e.Site == gate.site.ID && e.Change != nil {
			noted++
		}
	}
	if want := 2*len(targets) + 2; noted != want {
		s.Errorf("the journal has %d of %d refusals", noted, want)
	}

	late := store.Grant{ID: store.NewID[store.GrantID](start), Merchant: b.people, Person: p.ID, Door: doors[1].ID}
	put(b.suite, &late)
	gate.forge(thief, store.Edit{Op: store.OpDelete, Kind: store.KindGrant, ID: string(late.ID)})
	yard.settle()
	if _, err := get[store.Grant](s, late.ID); err != nil {
		s.Errorf("what came after a deletion by a box that never had it: %v", err)
	}
	if _, err := get[store.Grant](b.suite, late.ID); err != nil {
		s.Errorf("on the box that made it: %v", err)
	}
	for _, x := range []*suite{s, thief.suite, b.suite} {
		if faults, _ := x.faults(); len(faults) > 0 {
			s.Error(faults)
		}
	}
}

// testHome: to which site somebody belongs whom a box has made is the central's to say,
// whatever the box says when it offers him again.
func testHome(s *suite) {
	gate, yard, _ := twoSites(s)
	b := gate.boxes[0]
	p := newPerson(b.people, 1)
	put(b.suite, &p)
	gate.settle()
	for i, home := range []store.SiteID{"", yard.site.ID} {
		p.Home, p.Firstname = home, []string{"Grace", "Mary"}[i]
		gate.forge(b, store.Edit{Op: store.OpPut, Kind: store.KindPerson, ID: string(p.ID), EditBase: store.EditBase{New: true, Again: true}, Header: header(s, p)})
		held, err := get[store.Person](s, p.ID)
		if err != nil || held.Home != gate.site.ID || held.Firstname != p.Firstname {
			s.Errorf("offered with home %q he is %+v, %v", home, held, err)
		}
	}
}

// testDeletedAfterItLeft: what a box has deleted is gone though it left the scope before
// the central heard of it, and the tombstone has been trimmed since.
func testDeletedAfterItLeft(s *suite) {
	gate, yard, doors := twoSites(s)
	a := gate.boxes[0]
	p := newPerson(gate.site.Merchant, 1)
	put(s, &p)
	var grants [2]store.Grant
	for i := range grants {
		grants[i] = store.Grant{ID: store.NewID[store.GrantID](start), Merchant: p.Merchant, Person: p.ID, Door: doors[0].ID}
		put(s, &grants[i])
	}
	gate.settle()
	a.update(func(tx *store.Tx) error { return store.Delete[store.Grant](tx, grants[0].ID) })
	doors[0], _ = get[store.Door](s, doors[0].ID)
	doors[0].Site = yard.site.ID
	put(s, &doors[0])
	gate.pull(a, 100)
	trim := func() {
		s.update(func(tx *store.Tx) error { _, err := store.TrimFeed(tx, gate.site.ID, 1000); return err })
		if faults, _ := s.faults(); len(faults) > 0 {
			s.Error(faults)
		}
	}
	trim()
	gate.settle()
	if _, err := get[store.Grant](s, grants[0].ID); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("a grant that was withdrawn is there: %v", err)
	}
	s.update(func(tx *store.Tx) error { return store.Delete[store.Grant](tx, grants[1].ID) })
	trim()
	a.view(func(tx *store.Tx) error {
		if p, err := store.Get[store.Pending](tx, store.PendingID(store.RecordKey(store.KindGrant, string(grants[0].ID)))); !errors.Is(err, store.ErrNotFound) {
			s.Errorf("the box waits for ever: %+v, %v", p, err)
		}
		return nil
	})
}

// testDeletedBeforeItCame: what a box has deleted that the central did not know stays
// away from its scope, whoever brings it.
func testDeletedBeforeItCame(s *suite) {
	gate, _, doors := twoSites(s)
	a, other := gate.boxes[0], gate.join()
	p := newPerson(a.people, 1)
	put(a.suite, &p)
	gate.settle()
	g := store.Grant{ID: store.NewID[store.GrantID](start), Merchant: a.people, Person: p.ID, Door: doors[0].ID}
	put(a.suite, &g)
	a.update(func(tx *store.Tx) error { return store.Delete[store.Grant](tx, g.ID) })
	gate.settle()
	again := store.Edit{Op: store.OpPut, Kind: store.KindGrant, ID: string(g.ID), EditBase: store.EditBase{New: true, Again: true}, Header: header(s, g)}
	if got := gate.forge(other, again); got != store.MergeRefused {
		s.Errorf("a grant that was withdrawn before it came: %s", got)
	}
	if _, err := get[store.Grant](s, g.ID); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("a grant that was withdrawn before it came is there: %v", err)
	}
	gate.settle()
	gate.converged()
}
