package verify_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

func (b *box) merge(into, from store.PersonID, also func() error) (verify.Merged, error) {
	b.Helper()
	return b.Merge(b.Context(), verify.MergeRequest{Cause: cause, Merchant: b.merchant, Into: into, From: from, Move: func(tx *store.Tx) error {
		m := rights.Merge{Merchant: b.merchant, Into: into, From: from}
		if _, err := m.Do(tx); err != nil {
			return err
		}
		return also()
	}})
}

func fine() error { return nil }

// TestMerge: two who are one are found as one, by the faces of both, also after a
// restart; who is no more is found nowhere.
func TestMerge(t *testing.T) {
	b := newBox(t)
	ada, double := b.person(3), b.person(3)
	if r, err := b.identify(of(3)); err != nil || r.Match {
		t.Fatalf("two with one face are told apart: %+v, %v", r, err)
	}
	// Cut in the middle, nothing has happened.
	cut := errors.New("cut")
	if _, err := b.merge(ada, double, func() error { return cut }); !errors.Is(err, cut) {
		t.Fatal(err)
	}
	b.start()
	if n := len(all(b, store.CropsByPerson, store.Plain(double))); n != 1 || b.People() != 2 {
		t.Fatalf("after the cut: %d crops, %d people", n, b.People())
	}
	m, err := b.merge(ada, double, fine)
	if err != nil || m.Crops != 2 || m.Dropped != 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	for _, when := range []string{"at once", "after a restart"} {
		if r, err := b.identify(of(3)); err != nil || !r.Match || r.Person != ada || b.People() != 1 {
			t.Errorf("%s: %+v, %v", when, r, err)
		}
		if _, err := b.verify(double, of(3)); !errors.Is(err, verify.ErrUnknownPerson) {
			t.Errorf("%s: who is no more: %v", when, err)
		}
		b.start()
	}
	if ts := all(b, store.TemplatesByPerson, store.Plain(ada)); len(ts) != 1 || ts[0].Crops != 2 {
		t.Errorf("templates %+v", ts)
	}
	// Somebody without a face takes over one.
	none := b.person(0)
	if m, err := b.merge(none, ada, fine); err != nil || m.Crops != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	if r, err := b.verify(none, of(3)); err != nil || !r.Match {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestMergeRefuses(t *testing.T) {
	b := newBox(t)
	ada, bob := b.person(3), b.person(4)
	_, err := b.merge(ada, bob, fine)
	wantError(t, err, verify.ErrOtherFace)
	_, err = b.merge(ada, "5f0c0ffee0c0ffee0c0ffee0", fine)
	wantError(t, err, verify.ErrUnknownPerson)
	if _, err := b.merge(ada, ada, fine); err == nil {
		t.Error("merged with himself")
	}
	other := b.merchant
	b.merchant = b.newMerchant(store.MerchantPolicy{})
	eve := b.person(3)
	_, err = b.merge(eve, ada, fine)
	wantError(t, err, verify.ErrUnknownPerson)
	b.merchant = other
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Merge(ctx, verify.MergeRequest{Cause: cause, Merchant: b.merchant, Into: ada, From: bob, Move: func(*store.Tx) error { return nil }}); err == nil {
		t.Error("merged although the caller is gone")
	}
	if b.People() != 3 {
		t.Errorf("%d people", b.People())
	}
}

// TestMergeOfMany: no more crops than there may be, those of who stays first.
func TestMergeOfMany(t *testing.T) {
	b := newBox(t)
	ada, double := b.person(0), b.person(0)
	for _, p := range []store.PersonID{ada, double} {
		if _, err := b.enrol(p, of(3), of(3), of(3), of(3), of(3), of(3)); err != nil {
			t.Fatal(err)
		}
	}
	m, err := b.merge(ada, double, fine)
	if err != nil || m.Crops != verify.MaxImages || m.Dropped != 2 {
		t.Errorf("%+v, %v", m, err)
	}
	if n := len(all(b, store.CropsByPerson, store.Plain(ada))); n != verify.MaxImages {
		t.Errorf("%d crops", n)
	}
}
