package store

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestEveryKindIsChecked: whoever adds a kind tells Check.
func TestEveryKindIsChecked(t *testing.T) {
	for _, make := range everyKind {
		rec := make()
		if _, ok := rec.(*Event); ok {
			continue
		}
		v := rec.(value)
		if fresh := kinds[v.kind()]; fresh == nil || reflect.TypeOf(fresh()) != reflect.TypeOf(rec) {
			t.Errorf("Check does not know %s", v.kind())
		}
	}
}

// populate puts some of what there can be.
func populate(t *testing.T, l *Layout, m *memory) {
	t.Helper()
	write(t, l, m, func(tx *Tx) error {
		for _, id := range []PersonID{"ada", "bob", "cyd"} {
			p := Person{ID: id, Merchant: "m", Email: string(id)}
			if err := Put(tx, &p); err != nil {
				return err
			}
			if _, err := Append(tx, Event{Kind: EventDecision, Merchant: "m", Person: id}, "name of "+id); err != nil {
				return err
			}
		}
		return Ack(tx, "central", 4)
	})
}

// TestCheckFinds damages a store of some records in one way each.
func TestCheckFinds(t *testing.T) {
	const people, events = "record.person", "record.event"
	for name, tt := range map[string]struct {
		spoil func(m *memory)
		want  []string // parts, and what the faults say
		mends bool
	}{
		"nothing": {spoil: func(*memory) {}},
		"a value is cut": {spoil: func(m *memory) {
			m.buckets[people]["ada"] = m.buckets[people]["ada"][:9]
		}, want: []string{"record record.person ada"}},
		"a value is empty": {spoil: func(m *memory) { m.buckets[people]["ada"] = []byte{} }, want: []string{"record record.person ada"}},
		"a record of an unknown kind": {spoil: func(m *memory) {
			m.buckets["record.ufo"] = map[string][]byte{"x": m.buckets[people]["ada"]}
		}, want: []string{"record record.ufo x: is of an unknown kind"}},
		"a record is gone": {spoil: func(m *memory) { delete(m.buckets[people], "bob") }, want: []string{
			"index index.person-email", "index index.persons-merchant",
		}, mends: true},
		"an index is gone": {spoil: func(m *memory) { delete(m.buckets, "index.person-email") }, want: []string{
			"index index.person-email to record.person ada", "index index.person-email to record.person bob", "index index.person-email to record.person cyd",
		}, mends: true},
		"a line leads to another": {spoil: func(m *memory) {
			for k := range m.buckets["index.person-email"] {
				m.buckets["index.person-email"][k] = []byte("ada")
			}
		}, want: []string{
			"index index.person-email to record.person bob", "index index.person-email to record.person cyd",
		}, mends: true},
		"a line too many": {spoil: func(m *memory) {
			m.buckets["index.person-email"]["x"] = []byte("ada")
		}, want: []string{"index index.person-email x"}, mends: true},
		"a line of events": {spoil: func(m *memory) {
			for k := range m.buckets["index.events-person"] {
				delete(m.buckets["index.events-person"], k)
				return
			}
		}, want: []string{"index index.events-person to record.event"}, mends: true},
		"a hole in the journal": {spoil: func(m *memory) {
			delete(m.buckets[events], string(seqKey(3)))
			delete(m.buckets[personalBucket], string(seqKey(3)))
		}, want: []string{"index", "index", "journal event 3: missing"}},
		"events behind the head": {spoil: func(m *memory) {
			m.buckets[events][string(seqKey(7))] = m.buckets[events][string(seqKey(6))]
		}, want: []string{"journal head of the journal", "record record.event 7"}},
		"an event of a strange number": {spoil: func(m *memory) {
			m.buckets[events]["zzz"] = nil
		}, want: []string{"journal record.event zzz"}},
		"a personal part is changed": {spoil: func(m *memory) {
			b := bytes.Clone(m.buckets[personalBucket][string(seqKey(2))])
			b[0] ^= 1
			m.buckets[personalBucket][string(seqKey(2))] = b
		}, want: []string{"personal personal 2: does not fit"}},
		"a personal part is gone": {spoil: func(m *memory) {
			delete(m.buckets[personalBucket], string(seqKey(2)))
		}, want: []string{"personal personal 2: is missing"}},
		"a personal part of nothing": {spoil: func(m *memory) {
			m.buckets[personalBucket][string(seqKey(9))] = []byte("x")
		}, want: []string{"personal personal 9: has no event"}},
		"a consumer is ahead": {spoil: func(m *memory) {
			m.buckets[outboxBucket]["central"] = seqKey(9)
		}, want: []string{"journal position of central: is event 9 of 6"}},
		"a consumer is nowhere": {spoil: func(m *memory) {
			m.buckets[outboxBucket]["central"] = []byte("x")
		}, want: []string{"journal position of central: is malformed"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			l := prepare(t, m, nil)
			populate(t, l, m)
			tt.spoil(m)
			faults, got := checkMemory(t, l, m)
			if len(got) != len(tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
			for i := range min(len(got), len(tt.want)) {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("found %q, want %q", got[i], tt.want[i])
				}
			}
			for _, f := range faults {
				if f.Cost == "" || (f.Mendable() != (f.Remedy == RemedyMend)) {
					t.Errorf("%+v", f)
				}
			}
			if tt.mends {
				write(t, l, m, func(tx *Tx) error {
					if n, err := Mend(tx, faults); n != len(faults) || err != nil {
						t.Errorf("mended %d of %d, %v", n, len(faults), err)
					}
					return nil
				})
				if _, again := checkMemory(t, l, m); len(again) > 0 {
					t.Errorf("after mending: %q", again)
				}
			}
		})
	}
}

func checkMemory(t *testing.T, l *Layout, m *memory) (faults []Fault, got []string) {
	t.Helper()
	_, err := Check(l.Read(m), func(f Fault) { faults = append(faults, f) })
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		got = append(got, string(f.Part)+" "+f.String())
	}
	slices.Sort(got)
	return faults, got
}

// TestMendLooksAgain: what was right again meanwhile is left alone.
func TestMendLooksAgain(t *testing.T) {
	m := newMemory()
	l := prepare(t, m, nil)
	populate(t, l, m)
	delete(m.buckets, "index.person-email")
	faults, _ := checkMemory(t, l, m)
	write(t, l, m, func(tx *Tx) error {
		p, err := Get[Person](tx, PersonID("ada"))
		if err != nil {
			return err
		}
		p.Email = "other"
		return Put(tx, &p)
	})
	write(t, l, m, func(tx *Tx) error {
		if n, err := Mend(tx, faults); n != 2 || err != nil {
			t.Errorf("mended %d, %v", n, err)
		}
		return nil
	})
	if _, got := checkMemory(t, l, m); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// TestDescription: each byte of the description of a store, changed to anything, is
// refused, or names another box or number that a program could write.
func TestDescription(t *testing.T) {
	m := newMemory()
	prepare(t, m, nil)
	good := m.buckets[metaBucket][infoKey]
	var info Info
	for i := range good {
		for v := range 256 {
			bad := bytes.Clone(good)
			bad[i] = byte(v)
			got, err := parseInfo(bad, Sandbox)
			if err == nil && (got.Environment != Sandbox || got.Schema < 1 || got.Epoch < 1) {
				t.Errorf("byte %d as %#x: read %+v", i, v, got)
			}
			if v == int(good[i]) {
				info = got
			}
		}
	}
	if info.Schema != 1+len(migrations) {
		t.Errorf("read %+v", info)
	}
	m.buckets[metaBucket][infoKey] = bytes.Replace(good, []byte(`"schema":4`), []byte(`"schema":2`), 1)
	m.buckets[metaBucket][headKey] = make([]byte, 40)
	if _, err := Inspect(m, Options{Environment: Sandbox}); !errors.Is(err, ErrDamaged) {
		t.Errorf("an older schema with a tree: error %v, want ErrDamaged", err)
	}
	m.buckets[metaBucket][infoKey] = bytes.Replace(good, []byte(`"schema":4`), []byte(`"schema":7`), 1)
	if _, err := Inspect(m, Options{Environment: Sandbox}); !errors.Is(err, ErrNewer) {
		t.Errorf("a newer schema: error %v, want ErrNewer", err)
	}
}
