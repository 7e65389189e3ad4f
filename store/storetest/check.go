package storetest

import (
	"errors"

	"github.com/cypherface/edge/store"
)

var checkTests = []test{
	{"whole", checkWhole},
	{"after everything", checkAfterAll},
}

// faults checks the store, which must be readable.
func (s *suite) faults() (faults []store.Fault, n store.Checked) {
	s.Helper()
	s.view(func(tx *store.Tx) (err error) {
		n, err = store.Check(tx, func(f store.Fault) { faults = append(faults, f) })
		return err
	})
	return faults, n
}

// checkWhole: in what a store holds of every kind, nothing is wrong.
func checkWhole(s *suite) {
	m := newMerchantID()
	p := newPerson(m, 1)
	put(s, &p)
	put(s, &store.Template{ID: store.NewTemplateID(p.ID, "x"), Merchant: m, Person: p.ID, Space: "x", Vector: []float32{1}})
	s.update(func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: m, Person: p.ID}, "a name")
		return errors.Join(err, store.Ack(tx, "central", 2))
	})
	for range 2 {
		if faults, n := s.faults(); len(faults) > 0 || n.Records != 2 || n.Events != 3 || n.Personal != 1 || n.Lines != 1+2+2+3+3 {
			s.Errorf("%v, read %+v", faults, n)
		}
		s.reopen()
	}
}

// checkAfterAll: erasing and trimming leave nothing that is wrong.
func checkAfterAll(s *suite) {
	m := newMerchantID()
	var last store.Person
	for i := range 5 {
		last = newPerson(m, i)
		put(s, &last)
	}
	s.update(func(tx *store.Tx) error {
		for range 3 {
			if _, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: m, Person: last.ID}, "a name"); err != nil {
				return err
			}
		}
		return store.Erase(tx, last.ID)
	})
	s.update(func(tx *store.Tx) error {
		_, err := store.Trim(tx, 6, 100)
		return err
	})
	faults, n := s.faults()
	if len(faults) > 0 || n.Records != 4 {
		s.Errorf("%v, read %+v", faults, n)
	}
	s.update(func(tx *store.Tx) error {
		if n, err := store.Mend(tx, faults); n != 0 || err != nil {
			s.Errorf("mended %d lines, %v", n, err)
		}
		return nil
	})
	if _, after := s.faults(); after != n {
		s.Errorf("mending nothing left %+v of %+v", after, n)
	}
}
