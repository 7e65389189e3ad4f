package storetest

import (
	"errors"

	"github.com/cypherface/edge/store"
)

var eraseTests = []test{{"Person", testErase}, {"Nobody", testEraseNobody}, {"ForEver", testEraseForEver}, {"TakenBack", testEraseTakenBack}}

// lines is how many held counts of who has one record of each kind: one a record,
// and of the person himself those of e-mail and external id. Whoever adds a kind
// adds it to furnish and held, and finds out whether Erase knows of it.
var lines = len(store.PersonKinds()) + 1

// furnish gives a person one of everything.
func furnish(s *suite, p *store.Person) (decision store.Event) {
	s.Helper()
	space := store.NewTemplateID(p.ID, "x")
	s.update(func(tx *store.Tx) (err error) {
		decision, err = store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: p.Merchant, Person: p.ID}, p.Firstname)
		return errors.Join(err,
			store.Put(tx, p),
			store.Put(tx, &store.Crop{ID: store.NewID[store.CropID](start), Merchant: p.Merchant, Person: p.ID}),
			store.Put(tx, &store.Template{ID: space, Merchant: p.Merchant, Person: p.ID, Space: "x", Vector: []float32{1}}),
			store.Put(tx, &store.Image{ID: store.ImageID(space), Merchant: p.Merchant, Person: p.ID, Expires: start}),
			store.Put(tx, &store.Ticket{ID: store.NewUUID[store.TicketID](), Merchant: p.Merchant, Person: p.ID}),
			store.Put(tx, &store.Grant{ID: store.NewID[store.GrantID](start), Merchant: p.Merchant, Person: p.ID, Door: "d"}),
			store.Put(tx, &store.Session{ID: store.NewUUID[store.SessionID](), Merchant: p.Merchant, Person: p.ID}),
			store.Put(tx, &store.Review{ID: store.NewID[store.ReviewID](start), Merchant: p.Merchant, Persons: []store.PersonID{p.ID}}),
			store.Put(tx, &store.Consent{ID: store.NewID[store.ConsentID](start), Merchant: p.Merchant, Person: p.ID, Text: "t", Given: start}),
			store.Put(tx, &store.Sighting{ID: p.ID, Merchant: p.Merchant, Person: p.ID}),
			store.Put(tx, &store.Credential{ID: store.NewID[store.CredentialID](start), Merchant: p.Merchant, Person: p.ID, Type: store.CredentialPIN}),
			store.Put(tx, &store.Candidate{ID: store.NewID[store.CropID](start), Merchant: p.Merchant, Person: p.ID, Expires: start}),
			store.Put(tx, &store.Former{ID: store.FormerID("of " + p.ID), Merchant: p.Merchant, Person: p.ID}),
		)
	})
	return decision
}

// held counts what the indexes know of a person besides events.
func held(s *suite, p *store.Person) (n int) {
	s.Helper()
	count := func(m int, err error) {
		if err != nil {
			s.Fatal(err)
		}
		n += m
	}
	s.view(func(tx *store.Tx) error {
		of := store.Plain(p.ID)
		count(store.Count(tx, store.CropsByPerson, of))
		count(store.Count(tx, store.TemplatesByPerson, of))
		count(store.Count(tx, store.ImagesByPerson, of))
		count(store.Count(tx, store.TicketsByPerson, of))
		count(store.Count(tx, store.GrantsByPerson, of))
		count(store.Count(tx, store.SessionsByPerson, of))
		count(store.Count(tx, store.ReviewsByPerson, of))
		count(store.Count(tx, store.ConsentsByPerson, of))
		count(store.Count(tx, store.SightingsByPerson, of))
		count(store.Count(tx, store.CredentialsByPerson, of))
		count(store.Count(tx, store.CandidatesByPerson, of))
		count(store.Count(tx, store.FormersByPerson, of))
		count(store.Count(tx, store.PersonByEmail, store.Plain(p.Merchant), store.Email(p.Email)))
		count(store.Count(tx, store.PersonByExternalID, store.Plain(p.Merchant), store.Hidden(p.ExternalID)))
		return nil
	})
	return n
}

func testErase(s *suite) {
	m := newMerchantID()
	ada, bob := newPerson(m, 1), newPerson(m, 2)
	decision := furnish(s, &ada)
	kept := furnish(s, &bob)
	if n := held(s, &ada); n != lines {
		s.Fatalf("%d entries before, want %d", n, lines)
	}
	head := s.head()
	s.update(func(tx *store.Tx) error { return store.Erase(tx, ada.ID) })
	s.reopen()
	if n := held(s, &ada); n != 0 {
		s.Errorf("%d entries are left", n)
	}
	if n := held(s, &bob); n != lines {
		s.Errorf("%d entries of somebody else, want %d", n, lines)
	}
	if _, err := get[store.Person](s, ada.ID); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("get the person: error %v, want ErrNotFound", err)
	}
	s.view(func(tx *store.Tx) error {
		var name string
		if err := store.Personal(tx, &decision, &name); !errors.Is(err, store.ErrNotFound) {
			s.Errorf("personal part: %q, error %v, want ErrNotFound", name, err)
		}
		if err := store.Personal(tx, &kept, &name); err != nil || name != bob.Firstname {
			s.Errorf("personal part of somebody else: %q, %v", name, err)
		}
		return nil
	})
	all := events(s)
	checkDense(s, all, 1)
	last := all[len(all)-1]
	if last.Kind != store.EventErasure || last.Person != ada.ID || last.Actor != cause.Actor || uint64(len(all)) != head+uint64(len(store.PersonKinds())) {
		s.Errorf("last of %d events: %+v, want the erasure after a deletion of each but the sighting", len(all), last)
	}
}

func testEraseNobody(s *suite) {
	err := s.Update(s.Context(), cause, func(tx *store.Tx) error { return store.Erase(tx, "nobody") })
	if !errors.Is(err, store.ErrNotFound) || s.head() != 0 {
		s.Errorf("error %v, %d events, want ErrNotFound and none", err, s.head())
	}
}

// testEraseForEver: whatever comes late about an erased person, in the same Update
// or years later, is refused.
func testEraseForEver(s *suite) {
	m := newMerchantID()
	ada := newPerson(m, 1)
	furnish(s, &ada)
	late := map[string]func(tx *store.Tx) error{
		"person": func(tx *store.Tx) error {
			p := newPerson(m, 1)
			p.ID = ada.ID
			return store.Put(tx, &p)
		},
		"crop": func(tx *store.Tx) error {
			return store.Put(tx, &store.Crop{ID: store.NewID[store.CropID](start), Merchant: m, Person: ada.ID})
		},
		"personal part": func(tx *store.Tx) error {
			_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Person: ada.ID}, ada.Firstname)
			return err
		},
	}
	refused := func(when, what string, err error) {
		if !errors.Is(err, store.ErrErased) || !errors.Is(err, store.ErrNotFound) {
			s.Errorf("%s, %s: error %v, want ErrErased", what, when, err)
		}
	}
	for what, put := range late {
		refused("in the same update", what, s.Update(s.Context(), cause, func(tx *store.Tx) error {
			return errors.Join(store.Erase(tx, ada.ID), put(tx))
		}))
	}
	s.update(func(tx *store.Tx) error { return store.Erase(tx, ada.ID) })
	s.reopen()
	for what, put := range late {
		refused("later", what, s.Update(s.Context(), cause, put))
	}
	s.update(func(tx *store.Tx) error { // an envelope tells nothing
		_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Person: ada.ID}, nil)
		return err
	})
	if n := held(s, &ada); n != 0 {
		s.Errorf("%d entries of the erased person", n)
	}
}

func testEraseTakenBack(s *suite) {
	ada := newPerson(newMerchantID(), 1)
	furnish(s, &ada)
	err := s.Update(s.Context(), cause, func(tx *store.Tx) error {
		return errors.Join(store.Erase(tx, ada.ID), errTakenBack)
	})
	if !errors.Is(err, errTakenBack) {
		s.Errorf("error %v", err)
	}
	s.reopen()
	if n := held(s, &ada); n != lines {
		s.Errorf("%d entries, want %d", n, lines)
	}
	ada.Phone = "1"
	put(s, &ada)
}
