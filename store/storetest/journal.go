package storetest

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"

	"github.com/cypherface/edge/store"
)

var journalTests = []test{
	{"EveryChangeHasItsEvent", testChangeEvents},
	{"NothingFromFailures", testNoEventOfFailure},
	{"Append", testAppend},
	{"Personal", testPersonal},
	{"Outbox", testOutbox},
	{"Trim", testTrim},
	{"Envelopes", testEnvelopes},
	{"Tree", testTree},
}

// events returns the whole journal.
func events(s *suite) (all []store.Event) {
	s.Helper()
	s.view(func(tx *store.Tx) (err error) {
		all, err = store.Events(tx, 0, 1<<20)
		return err
	})
	return all
}

// checkDense says whether the journal is without a gap and of one device.
func checkDense(s *suite, all []store.Event, first uint64) {
	s.Helper()
	info := s.Info()
	for i, e := range all {
		if e.Seq != first+uint64(i) || e.Device != info.Device || e.Epoch != info.Epoch {
			s.Fatalf("event %d is %s/%d/%d, want %s/%d/%d", i, e.Device, e.Epoch, e.Seq, info.Device, info.Epoch, first+uint64(i))
		}
	}
}

func testChangeEvents(s *suite) {
	p := newPerson(newMerchantID(), 1)
	put(s, &p)
	p.Phone, p.Email = "5", ""
	put(s, &p)
	t := store.Template{ID: store.NewTemplateID(p.ID, "x"), Merchant: p.Merchant, Person: p.ID, Space: "x", Vector: []float32{1}}
	put(s, &t)
	t.Vector = []float32{-1}
	put(s, &t)
	s.update(func(tx *store.Tx) error { return store.Delete[store.Person](tx, p.ID) })
	s.reopen()
	want := []store.Change{
		{Kind: store.KindPerson, ID: string(p.ID), Op: store.OpPut, Rev: 1},
		{Kind: store.KindPerson, ID: string(p.ID), Op: store.OpPut, Rev: 2, Fields: []string{"email", "phone"}},
		{Kind: store.KindTemplate, ID: string(t.ID), Op: store.OpPut, Rev: 1},
		{Kind: store.KindTemplate, ID: string(t.ID), Op: store.OpPut, Rev: 2, Fields: []string{"data"}},
		{Kind: store.KindPerson, ID: string(p.ID), Op: store.OpDelete, Rev: 2},
	}
	all := events(s)
	checkDense(s, all, 1)
	if len(all) != len(want) {
		s.Fatalf("%d events, want %d", len(all), len(want))
	}
	for i, e := range all {
		if e.Kind != store.EventChange || e.Change == nil || !reflect.DeepEqual(*e.Change, want[i]) {
			s.Errorf("event %d: %+v, want %+v", i, e.Change, want[i])
		}
		if e.Actor != cause.Actor || e.Request != cause.Request || e.Merchant != p.Merchant || e.Person != p.ID || e.Time.IsZero() {
			s.Errorf("event %d: %+v", i, e)
		}
	}
}

func testNoEventOfFailure(s *suite) {
	p := newPerson(newMerchantID(), 1)
	put(s, &p)
	fail := errors.New("changed my mind")
	err := s.Update(s.Context(), cause, func(tx *store.Tx) error {
		q := newPerson(p.Merchant, 2)
		if err := store.Put(tx, &q); err != nil {
			return err
		}
		if _, err := store.Append(tx, store.Event{Kind: store.EventDoor}, "personal"); err != nil {
			return err
		}
		if err := store.Ack(tx, "central", 2); err != nil {
			return err
		}
		return fail
	})
	if !errors.Is(err, fail) {
		s.Errorf("error %v, want %v", err, fail)
	}
	if n := s.head(); n != 1 {
		s.Errorf("%d events, want 1", n)
	}
	q := newPerson(p.Merchant, 3)
	put(s, &q)
	s.reopen()
	all := events(s)
	checkDense(s, all, 1)
	if len(all) != 2 || all[1].Change == nil || all[1].Change.ID != string(q.ID) {
		s.Errorf("journal %+v, want the two changes that succeeded", all)
	}
	s.view(func(tx *store.Tx) error {
		acked, err := store.Acked(tx, "central")
		if acked != 0 || err != nil {
			s.Errorf("acknowledged %d, %v, want 0", acked, err)
		}
		return nil
	})
}

func testAppend(s *suite) {
	in := store.Event{
		Kind: store.EventDecision, Merchant: "m", Site: "s", Door: "d", Person: "p", Session: "x", Time: start,
		Action: "verify", Outcome: store.OutcomeMatch, Reasons: []string{"agreed"},
		Counters: map[string]float64{"frames": 3, "similarity": 97.45},
	}
	var out store.Event
	s.update(func(tx *store.Tx) (err error) {
		out, err = store.Append(tx, in, nil)
		return err
	})
	want := in
	want.Device, want.Epoch, want.Seq = s.Info().Device, s.Info().Epoch, 1
	want.Actor, want.Request = cause.Actor, cause.Request
	if !reflect.DeepEqual(out, want) {
		s.Errorf("appended %+v, want %+v", out, want)
	}
	if all := events(s); len(all) != 1 || !reflect.DeepEqual(all[0], want) {
		s.Errorf("journal %+v, want %+v", all, want)
	}
	err := s.Update(s.Context(), cause, func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{}, nil)
		return err
	})
	if !errors.Is(err, store.ErrInvalid) {
		s.Errorf("event without a kind: error %v, want ErrInvalid", err)
	}
}

func testPersonal(s *suite) {
	type who struct{ Name string }
	var with, again, without store.Event
	s.update(func(tx *store.Tx) (err error) {
		if with, err = store.Append(tx, store.Event{Kind: store.EventDecision, Person: "p"}, who{"Ada"}); err != nil {
			return err
		}
		if again, err = store.Append(tx, store.Event{Kind: store.EventDecision, Person: "p"}, who{"Ada"}); err != nil {
			return err
		}
		without, err = store.Append(tx, store.Event{Kind: store.EventDecision, Person: "p"}, nil)
		return err
	})
	if len(with.Personal) != 32 || string(with.Personal) == string(again.Personal) || without.Personal != nil {
		s.Errorf("digests %x, %x and %x: want two that differ and none", with.Personal, again.Personal, without.Personal)
	}
	s.view(func(tx *store.Tx) error {
		var got who
		if err := store.Personal(tx, &with, &got); err != nil || got.Name != "Ada" {
			s.Errorf("personal part: %+v, %v", got, err)
		}
		if err := store.Personal(tx, &without, &got); !errors.Is(err, store.ErrNotFound) {
			s.Errorf("no personal part: error %v, want ErrNotFound", err)
		}
		forged := with
		forged.Personal = again.Personal
		if err := store.Personal(tx, &forged, &got); !errors.Is(err, store.ErrDamaged) {
			s.Errorf("personal part of another envelope: error %v, want ErrDamaged", err)
		}
		return nil
	})
}

func seqs(es []store.Event) (n []uint64) {
	for _, e := range es {
		n = append(n, e.Seq)
	}
	return n
}

func appendN(s *suite, n int) {
	s.Helper()
	s.update(func(tx *store.Tx) error {
		for range n {
			if _, err := store.Append(tx, store.Event{Kind: store.EventSystem, Person: "p"}, "x"); err != nil {
				return err
			}
		}
		return nil
	})
}

func testOutbox(s *suite) {
	appendN(s, 5)
	outbox := func(consumer string, limit int, want ...uint64) {
		s.Helper()
		s.view(func(tx *store.Tx) error {
			got, err := store.Outbox(tx, consumer, limit)
			if err != nil || !slices.Equal(seqs(got), want) {
				s.Errorf("outbox of %s: %v, %v, want %v", consumer, seqs(got), err, want)
			}
			return nil
		})
	}
	ack := func(consumer string, seq uint64) error {
		return s.Update(s.Context(), cause, func(tx *store.Tx) error { return store.Ack(tx, consumer, seq) })
	}
	outbox("central", 3, 1, 2, 3)
	if err := ack("central", 3); err != nil {
		s.Error(err)
	}
	if err := ack("central", 2); err != nil {
		s.Errorf("an old acknowledgement: %v", err)
	}
	if err := ack("central", 6); !errors.Is(err, store.ErrInvalid) {
		s.Errorf("acknowledging what is not there: error %v, want ErrInvalid", err)
	}
	s.reopen()
	outbox("central", 10, 4, 5)
	outbox("hook", 10, 1, 2, 3, 4, 5)
	if err := ack("central", 5); err != nil {
		s.Error(err)
	}
	outbox("central", 10)
	if n := s.head(); n != 5 {
		s.Errorf("%d events after acknowledging, want 5", n)
	}
}

func testTrim(s *suite) {
	appendN(s, 10)
	trim := func(through uint64, limit, want int) {
		s.Helper()
		s.update(func(tx *store.Tx) error {
			n, err := store.Trim(tx, through, limit)
			if n != want || err != nil {
				s.Errorf("trim through %d, at most %d: %d, %v, want %d", through, limit, n, err, want)
			}
			return nil
		})
	}
	s.update(func(tx *store.Tx) error { return store.Ack(tx, "central", 7) })
	trim(4, 3, 3)
	trim(9, 100, 4) // the central waits for 8
	s.reopen()
	checkDense(s, events(s), 8)
	appendN(s, 1)
	checkDense(s, events(s), 8)
	s.view(func(tx *store.Tx) error {
		if got, err := store.Outbox(tx, "central", 10); err != nil || len(got) != 4 {
			s.Errorf("outbox: %v, %v, want four", seqs(got), err)
		}
		if _, err := store.Outbox(tx, "latecomer", 10); !errors.Is(err, store.ErrTrimmed) {
			s.Errorf("outbox of one who comes too late: error %v, want ErrTrimmed", err)
		}
		if n, err := store.Count(tx, store.EventsByPerson, store.Plain("p")); n != 4 || err != nil {
			s.Errorf("%d entries in the index, %v, want 4", n, err)
		}
		return nil
	})
	s.update(func(tx *store.Tx) error { return store.Ack(tx, "central", 11) })
	trim(11, 100, 4)
	appendN(s, 1)
	checkDense(s, events(s), 12) // numbers go on when nothing is left
}

func testEnvelopes(s *suite) {
	appendN(s, 5)
	for _, tt := range []struct {
		from, to uint64
		want     []uint64
	}{
		{1, 5, []uint64{1, 2, 3, 4, 5}}, {2, 3, []uint64{2, 3}}, {4, 4, []uint64{4}}, {0, 9, []uint64{1, 2, 3, 4, 5}},
		{5, 1, []uint64{5, 4, 3, 2, 1}}, {3, 2, []uint64{3, 2}}, {6, 8, nil},
	} {
		var got []uint64
		s.view(func(tx *store.Tx) error {
			for e, err := range store.Envelopes(tx, tt.from, tt.to) {
				if err != nil {
					return err
				}
				got = append(got, e.Seq)
				plain, err := store.OpenPersonal(tx.Sealer(), &e)
				if err != nil || string(plain[16:]) != `"x"` {
					s.Errorf("personal part of event %d: %q, %v", e.Seq, plain, err)
				}
				var again store.Event
				if err := json.Unmarshal(e.Raw, &again); err != nil || !reflect.DeepEqual(again, e.Event) {
					s.Errorf("the leaf of event %d is %s, %v", e.Seq, e.Raw, err)
				}
			}
			return nil
		})
		if !slices.Equal(got, tt.want) {
			s.Errorf("envelopes from %d to %d: %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
}

// testTree: the tree has each event that was committed, and no other.
func testTree(s *suite) {
	appendN(s, 3)
	fail := errors.New("taken back")
	err := s.Update(s.Context(), cause, func(tx *store.Tx) error {
		if _, err := store.Append(tx, store.Event{Kind: store.EventDoor}, nil); err != nil {
			return err
		}
		return fail
	})
	if !errors.Is(err, fail) {
		s.Fatal(err)
	}
	appendN(s, 4)
	s.reopen()
	s.view(func(tx *store.Tx) error {
		var want store.Tree
		for e, err := range store.Envelopes(tx, 1, 100) {
			if err != nil {
				return err
			}
			want.Append(store.LeafHash(e.Raw))
		}
		got, err := store.JournalTree(tx)
		if err != nil || got.Size() != 7 || got.Root() != want.Root() {
			s.Errorf("tree of %d events with root %v, %v, want %d with %v", got.Size(), got.Root(), err, want.Size(), want.Root())
		}
		return nil
	})
	s.update(func(tx *store.Tx) error {
		before, err := store.JournalTree(tx)
		if err != nil {
			return err
		}
		if _, err := store.Trim(tx, 7, 5); err != nil {
			return err
		}
		if after, err := store.JournalTree(tx); err != nil || after.Root() != before.Root() {
			s.Errorf("trimming changed the root to %v, %v", after.Root(), err)
		}
		return nil
	})
}
