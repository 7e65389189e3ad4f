package store

import (
	"errors"
	"slices"
	"testing"
)

func TestSubtrees(t *testing.T) {
	for from := range uint64(20) {
		for to := from; to <= 40; to++ {
			var got []uint64
			Subtrees(from, to, func(level int, n uint64) {
				for leaf := n << level; leaf < (n+1)<<level; leaf++ {
					got = append(got, leaf)
				}
			})
			var want []uint64
			for leaf := from; leaf < to; leaf++ {
				want = append(want, leaf)
			}
			if !slices.Equal(got, want) {
				t.Errorf("subtrees of %d..%d have leaves %v", from, to, got)
			}
		}
	}
}

// TestNewEpoch: the journal begins anew when all of it lies in periods, and not
// before.
func TestNewEpoch(t *testing.T) {
	m := newMemory()
	l := prepare(t, m, nil)
	anew := Options{Environment: Sandbox, NewEpoch: 7}
	write(t, l, m, func(tx *Tx) error {
		_, err := Append(tx, Event{Kind: EventDecision, Merchant: "m", Person: "p"}, "name")
		return errors.Join(err, Ack(tx, "central", 1))
	})
	write(t, l, m, func(tx *Tx) error {
		_, err := Append(tx, Event{Kind: EventSystem}, nil)
		return errors.Join(err, Put(tx, &Period{ID: NewPeriodID(1, 1), Epoch: 1, From: 1, To: 1}))
	})
	if _, err := Prepare(m, anew); !errors.Is(err, ErrInvalid) {
		t.Errorf("an event lies in no period: error %v, want ErrInvalid", err)
	}
	write(t, l, m, func(tx *Tx) error { return Put(tx, &Period{ID: NewPeriodID(1, 2), Epoch: 1, From: 2, To: 2}) })
	l, err := Prepare(m, anew)
	if err != nil {
		t.Fatal(err)
	}
	tx := l.Read(m)
	head, err1 := Head(tx)
	n, err2 := Count(tx, EventsByPerson)
	acked, err3 := Acked(tx, "central")
	if err := errors.Join(err1, err2, err3); err != nil || l.Info().Epoch != 7 || head != 0 || n != 0 || acked != 0 {
		t.Errorf("epoch %d with head %d, %d lines of events, acknowledged %d, %v", l.Info().Epoch, head, n, acked, err)
	}
	if len(m.buckets[recordBucket(KindEvent)])+len(m.buckets[personalBucket]) > 0 {
		t.Error("events of the epoch before are left")
	}
	write(t, l, m, func(tx *Tx) error {
		e, err := Append(tx, Event{Kind: EventSystem}, nil)
		if e.Epoch != 7 || e.Seq != 1 {
			t.Errorf("the first event is %d of epoch %d", e.Seq, e.Epoch)
		}
		return err
	})
	if again := prepare(t, m, nil).Info(); again.Epoch != 7 {
		t.Errorf("opened again with epoch %d", again.Epoch)
	}
	if _, err := Prepare(m, anew); !errors.Is(err, ErrInvalid) {
		t.Errorf("the same epoch once more: error %v, want ErrInvalid", err)
	}
}
