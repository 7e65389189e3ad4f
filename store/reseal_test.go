package store

import (
	"errors"
	"maps"
	"testing"
	"time"
)

// oneOfEach puts a record of every kind, and events.
func oneOfEach(tx *Tx) error {
	_, err := Append(tx, Event{Kind: EventDecision, Merchant: "m", Person: "p"}, "name")
	_, err2 := Append(tx, Event{Kind: EventEncounter, Merchant: "m"}, "a stranger")
	return errors.Join(err, err2,
		Put(tx, &Merchant{ID: "m"}),
		Put(tx, &Account{ID: "a", Merchant: "m", Email: "A@example.org"}),
		Put(tx, &Key{ID: "k", Merchant: "m", Hash: []byte{1}}),
		Put(tx, &Secret{Name: "s", Value: []byte{1}}),
		Put(tx, &Site{ID: "si", Merchant: "m"}),
		Put(tx, &Door{ID: "d", Merchant: "m", Site: "si"}),
		Put(tx, &Grant{ID: "g", Merchant: "m", Person: "p", Door: "d"}),
		Put(tx, &Device{ID: "de", Merchant: "m"}),
		Put(tx, &Person{ID: "p", Merchant: "m", Email: "P@example.org", ExternalID: "x"}),
		Put(tx, &Crop{ID: "c", Merchant: "m", Person: "p", Image: []byte{1, 2}}),
		Put(tx, &Template{ID: NewTemplateID("p", "x"), Merchant: "m", Person: "p", Space: "x", Vector: []float32{1}}),
		Put(tx, &Ticket{ID: "t", Merchant: "m", Person: "p"}),
		Put(tx, &Image{ID: "i", Merchant: "m", Person: "p", Data: []byte{3}, Expires: time.Unix(9, 0)}),
		Put(tx, &Review{ID: "r", Merchant: "m", Persons: []PersonID{"p", "q"}}),
		Put(tx, &Session{ID: "se", Merchant: "m", Person: "p"}),
	)
}

// TestReseal: a store that is sealed later is as one that was sealed from the
// beginning: each value for the same owner, each line of the indexes the same.
func TestReseal(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	options := func(s Sealer) Options {
		return Options{Environment: Sandbox, Sealer: s, Clock: func() time.Time { return at }}
	}
	fill := func(m *memory, s Sealer) {
		l, err := Prepare(m, options(s))
		if err != nil {
			t.Fatal(err)
		}
		write(t, l, m, oneOfEach)
	}
	direct, clear, later := newMemory(), newMemory(), newMemory()
	want, got := newBinding(t), newBinding(t)
	fill(direct, want)
	fill(clear, nil)
	if _, err := Prepare(clear, options(got)); !errors.Is(err, ErrUnsealed) {
		t.Fatalf("prepared: error %v, want ErrUnsealed", err)
	}
	l, err := Reseal(clear, later, options(got))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got.owner, want.owner) {
		t.Errorf("owners\n%v, want\n%v", got.owner, want.owner)
	}
	for bucket, lines := range direct.buckets {
		for k, v := range lines {
			w, ok := later.buckets[bucket][k]
			if !ok || len(bucket) > 6 && bucket[:6] == "index." && string(w) != string(v) {
				t.Errorf("%s %q is %q, %v, want %q", bucket, k, w, ok, v)
			}
		}
		if len(lines) != len(later.buckets[bucket]) {
			t.Errorf("%s has %d lines, want %d", bucket, len(later.buckets[bucket]), len(lines))
		}
	}
	if p, err := Find(l.Read(later), PersonByEmail, Plain("m"), Email("p@example.org")); err != nil || p.ID != "p" {
		t.Errorf("by e-mail: %v", err)
	}
	if _, err := Prepare(later, options(nil)); !errors.Is(err, ErrSealed) {
		t.Errorf("in the clear: error %v, want ErrSealed", err)
	}
}

// TestResealDamaged: what cannot be read cannot be sealed, and the store is left
// as it is.
func TestResealDamaged(t *testing.T) {
	for name, bucket := range map[string]string{"person": recordBucket(KindPerson), "crop": recordBucket(KindCrop), "event": recordBucket(KindEvent), "description": metaBucket} {
		m := newMemory()
		l := prepare(t, m, nil)
		write(t, l, m, oneOfEach)
		for k := range m.buckets[bucket] {
			m.buckets[bucket][k] = []byte{formatJSON, 1, '{'}
		}
		before := m.dump()
		_, err := Reseal(m, newMemory(), Options{Environment: Sandbox, Sealer: newBinding(t)})
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error %v, want ErrDamaged", name, err)
		}
		if len(m.dump()) != len(before) {
			t.Errorf("%s: the store was changed", name)
		}
	}
}
