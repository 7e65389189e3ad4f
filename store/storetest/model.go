package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/cypherface/edge/store"
)

var modelTests = []test{{"RandomOperations", testModel}}

// model is the store as it should be: people by id, and the changes they went
// through.
type model struct {
	people  map[store.PersonID]store.Person
	changes []store.Change
}

func (m *model) clone() *model {
	c := &model{people: map[store.PersonID]store.Person{}, changes: slices.Clone(m.changes)}
	for id, p := range m.people {
		c.people[id] = p
	}
	return c
}

// taken finds the other person that has an e-mail or external id of p.
func (m *model) taken(p store.Person) bool {
	for id, q := range m.people {
		if id != p.ID && q.Merchant == p.Merchant &&
			(p.Email != "" && q.Email == p.Email || p.ExternalID != "" && q.ExternalID == p.ExternalID) {
			return true
		}
	}
	return false
}

// random makes operations of few values, so that they meet.
type random struct {
	*rand.Rand
	ids       []store.PersonID
	merchants []store.MerchantID
}

func (r *random) person() store.Person {
	p := store.Person{ID: r.ids[r.IntN(len(r.ids))], Merchant: r.merchants[r.IntN(len(r.merchants))], Status: store.PersonRegistered}
	if n := r.IntN(12); n < 9 {
		p.Email = fmt.Sprintf("e%d@example.org", n)
	}
	if n := r.IntN(12); n < 9 {
		p.ExternalID = fmt.Sprintf("x%d", n)
	}
	p.Phone = fmt.Sprint(r.IntN(3))
	return p
}

func testModel(s *suite) {
	seed := *seedFlag
	if seed == 0 {
		seed = time.Now().UnixNano()
	}
	s.Logf("repeat with -store.seed=%d", seed)
	r := &random{Rand: rand.New(rand.NewPCG(uint64(seed), 0))}
	for range 15 {
		r.ids = append(r.ids, store.PersonID(fmt.Sprintf("%024x", r.Uint64())))
	}
	r.merchants = []store.MerchantID{"m1", "m2"}
	m := &model{people: map[store.PersonID]store.Person{}}
	for n := range *stepsFlag {
		m = step(s, r, m)
		if n%100 == 99 {
			s.reopen()
			compare(s, m)
		}
	}
	compare(s, m)
}

var errTakenBack = errors.New("taken back")

// step runs one Update of some operations, some of which fail, on the store and
// on the model; in the end it may take all back.
func step(s *suite, r *random, m *model) *model {
	next := m.clone()
	err := s.Update(s.Context(), cause, func(tx *store.Tx) error {
		for range 1 + r.IntN(4) {
			if err := operate(tx, r, next); err != nil {
				return err
			}
		}
		if r.IntN(4) == 0 {
			return errTakenBack
		}
		return nil
	})
	switch {
	case err == nil:
		return next
	case errors.Is(err, errTakenBack):
		return m
	}
	s.Fatal(err)
	return nil
}

// operate does one thing to both, and complains if only one of them refuses it.
func operate(tx *store.Tx, r *random, m *model) error {
	p := r.person()
	old, known := m.people[p.ID]
	if r.IntN(3) == 0 {
		if err := store.Delete[store.Person](tx, p.ID); errors.Is(err, store.ErrNotFound) == known || err != nil && known {
			return fmt.Errorf("delete %s, known %v: %w", p.ID, known, err)
		}
		if known {
			delete(m.people, p.ID)
			m.changes = append(m.changes, store.Change{Kind: store.KindPerson, ID: string(p.ID), Op: store.OpDelete, Rev: old.Rev})
		}
		return nil
	}
	if known {
		p.Merchant = old.Merchant // which never changes
	}
	if r.IntN(8) != 0 {
		p.Meta = old.Meta
	}
	stale, taken := p.Rev != old.Rev, m.taken(p)
	err := store.Put(tx, &p) // a refused one leaves no trace
	refused := errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrConflict)
	if refused != (stale || taken) || err != nil && !refused {
		return fmt.Errorf("put %s, stale %v, taken %v: %w", p.ID, stale, taken, err)
	}
	if err == nil {
		m.people[p.ID] = p
		m.changes = append(m.changes, store.Change{Kind: store.KindPerson, ID: string(p.ID), Op: store.OpPut, Rev: p.Rev})
	}
	return nil
}

// compare reads everything by every way and holds it against the model.
func compare(s *suite, m *model) {
	s.Helper()
	byCreation := func(p, q store.Person) int {
		return cmp.Or(p.Created.Compare(q.Created), cmp.Compare(p.ID, q.ID))
	}
	var want, got []store.Person
	for _, p := range m.people {
		want = append(want, p)
	}
	slices.SortFunc(want, byCreation)
	for _, merchant := range []store.MerchantID{"m1", "m2"} {
		all, _ := walk(s, store.PersonsByMerchant, store.Query[store.Person]{Prefix: []store.Term{store.Plain(merchant)}, Limit: 4})
		if !slices.IsSortedFunc(all, byCreation) {
			s.Errorf("people of %s are not in order of creation", merchant)
		}
		got = append(got, all...)
	}
	slices.SortFunc(got, byCreation)
	if !slices.Equal(got, want) {
		s.Fatalf("store holds\n%+v, want\n%+v", got, want)
	}
	s.view(func(tx *store.Tx) error {
		for _, p := range want {
			if p.Email != "" {
				q, err := store.Find(tx, store.PersonByEmail, store.Plain(p.Merchant), store.Email(p.Email))
				if err != nil || q.ID != p.ID {
					s.Errorf("by e-mail: %s, %v, want %s", q.ID, err, p.ID)
				}
			}
			if q, err := store.Get[store.Person](tx, p.ID); err != nil || q != p {
				s.Errorf("by id: %+v, %v, want %+v", q, err, p)
			}
		}
		return nil
	})
	all := events(s)
	checkDense(s, all, 1)
	if len(all) != len(m.changes) {
		s.Fatalf("%d events, want %d", len(all), len(m.changes))
	}
	for i, e := range all {
		c := *e.Change
		c.Fields = nil
		if !reflect.DeepEqual(c, m.changes[i]) {
			s.Fatalf("event %d: %+v, want %+v", i, c, m.changes[i])
		}
	}
}
