package verify_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

func TestVerify(t *testing.T) {
	b := newBox(t)
	p := b.person(1)
	for _, test := range []struct {
		name  string
		look  look
		match bool
		warn  string
	}{
		{"same face", look{who: 1}, true, ""},
		{"just enough", look{who: 1, like: 52}, true, ""},
		{"not enough", look{who: 1, like: 49}, false, ""},
		{"another face", look{who: 2}, false, ""},
		{"light from the side", look{who: 1, reason: sideLit}, true, "side_lit"},
		{"turned away", look{who: 1, reason: turnedAway}, true, "turned_away"},
		{"blurred", look{who: 1, reason: blurred}, true, "blurred"},
	} {
		r, err := b.verify(p, picture(test.look))
		if err != nil || r.Match != test.match || r.Match != (r.Similarity >= r.Threshold) || math.Abs(r.Threshold-80) > 1e-9 {
			t.Errorf("%s: %+v, %v", test.name, r, err)
		}
		if test.warn != "" && !slices.Equal(r.Warnings, []string{test.warn}) {
			t.Errorf("%s: warnings %v", test.name, r.Warnings)
		}
		events := b.events(store.EventDecision)
		last := events[len(events)-1]
		want := map[bool]store.Outcome{true: store.OutcomeMatch, false: store.OutcomeNoMatch}[test.match]
		if last.Outcome != want || last.Person != p || last.Action != "verify" || last.Seq != r.Event.Seq ||
			last.Counters["similarity"] != r.Similarity || last.Actor != cause.Actor || last.Request != "test" {
			t.Errorf("%s: event %+v", test.name, last)
		}
	}
}

func TestVerifyErrors(t *testing.T) {
	b := newBox(t)
	p, bare, suspended := b.person(1), b.person(0), b.person(2)
	b.update(func(tx *store.Tx) error {
		rec, err := store.Get[store.Person](tx, suspended)
		rec.Status = store.PersonSuspended
		return errors.Join(err, store.Put(tx, &rec))
	})
	ours := b.merchant
	for _, test := range []struct {
		name   string
		person store.PersonID
		look   []look
		other  bool // asked for by another merchant
		want   error
	}{
		{"nobody", "000000000000000000000000", []look{{who: 1}}, false, verify.ErrUnknownPerson},
		{"another merchant's", p, []look{{who: 1}}, true, verify.ErrUnknownPerson},
		{"not enrolled", bare, []look{{who: 1}}, false, verify.ErrNotEnrolled},
		{"suspended", suspended, []look{{who: 2}}, false, verify.ErrNotEnrolled},
		{"no face", p, nil, false, verify.ErrNoFace},
		{"two faces", p, []look{{who: 1}, {who: 2}}, false, verify.ErrSeveralFaces},
		{"dark", p, []look{{who: 1, reason: tooDark}}, false, verify.ErrLowQuality},
	} {
		b.merchant = ours
		if test.other {
			b.merchant = b.newMerchant(store.MerchantPolicy{})
		}
		_, err := b.verify(test.person, picture(test.look...))
		wantError(t, err, test.want)
	}
	b.merchant = ours
	if n := len(b.events(store.EventDecision)); n != 0 {
		t.Errorf("%d decisions were recorded", n)
	}
}

func TestVerifyHoldsThePolicy(t *testing.T) {
	b := newBox(t)
	strict, careless := b.newMerchant(store.MerchantPolicy{FMR: 1e-5}), b.newMerchant(store.MerchantPolicy{FMR: 1e-2})
	probe := picture(look{who: 1, like: 45})
	for m, want := range map[store.MerchantID]bool{strict: false, careless: true} {
		b.merchant = m
		if r, err := b.verify(b.person(1), probe); err != nil || r.Match != want {
			t.Errorf("%+v, %v; want match %v", r, err, want)
		}
	}
	b.merchant = b.newMerchant(store.MerchantPolicy{FMR: 1e-9})
	_, err := b.verify(b.person(1), probe)
	wantError(t, err, verify.ErrUnsupported)
}

func TestIdentify(t *testing.T) {
	b := newBox(t)
	if r, err := b.identify(of(1)); err != nil || r.Match || r.Gallery != 0 {
		t.Errorf("in an empty gallery: %+v, %v", r, err)
	}
	var people []store.PersonID
	for who := byte(1); who <= 9; who++ {
		people = append(people, b.person(who))
	}
	for _, test := range []struct {
		name       string
		look       look
		want       store.PersonID
		candidates int
		reason     string
	}{
		{"somebody", look{who: 3}, people[2], 1, ""},
		{"a weak likeness", look{who: 3, like: 40}, "", 0, ""},
		{"a stranger", look{who: 20}, "", 0, ""},
		{"like two", look{who: 4, also: 5}, "", 2, verify.ReasonAmbiguous},
		{"more like one of two", look{who: 4, also: 105}, people[3], 2, ""},
	} {
		r, err := b.identify(picture(test.look))
		if err != nil || r.Person != test.want || r.Match != (test.want != "") || len(r.Candidates) != test.candidates || r.Gallery != 9 {
			t.Errorf("%s: %+v, %v", test.name, r, err)
		}
		if last := b.events(store.EventDecision); test.reason != "" && !slices.Contains(last[len(last)-1].Reasons, test.reason) {
			t.Errorf("%s: event %+v", test.name, last[len(last)-1])
		}
	}
}

// The threshold rises with the gallery, so that strangers stay as rare; without
// a policy it is never below that of 1:1.
func TestIdentifyThreshold(t *testing.T) {
	b := newBox(t)
	ask := func(fpir float64) float64 {
		t.Helper()
		r, err := b.Identify(t.Context(), verify.IdentifyRequest{Cause: cause, Merchant: b.merchant, Image: of(20), FPIR: fpir})
		if err != nil {
			t.Fatal(err)
		}
		return r.Threshold
	}
	before, byDefault := ask(1e-3), ask(0)
	for who := byte(1); who <= 9; who++ {
		b.person(who)
	}
	if after := ask(1e-3); after < before+10 {
		t.Errorf("threshold %v among none, %v among nine", before, after)
	}
	if byDefault < 80-1e-9 || ask(0) < byDefault {
		t.Errorf("default threshold %v among none, %v among nine; want at least 80", byDefault, ask(0))
	}
}

func TestIdentifyRefusesWhatItCannotPromise(t *testing.T) {
	b := newBox(t)
	b.person(1)
	_, err := b.Identify(t.Context(), verify.IdentifyRequest{Cause: cause, Merchant: b.merchant, Image: of(1), FPIR: 1e-9})
	wantError(t, err, verify.ErrUnsupported)
}

func TestSearchStaysInTheMerchant(t *testing.T) {
	b := newBox(t)
	b.person(1)
	b.merchant = b.newMerchant(store.MerchantPolicy{})
	b.person(2)
	if r, err := b.identify(of(1)); err != nil || r.Match || r.Gallery != 1 {
		t.Errorf("found another merchant's person: %+v, %v", r, err)
	}
	if r, err := b.identify(of(2)); err != nil || !r.Match {
		t.Errorf("did not find the own one: %+v, %v", r, err)
	}
}

// The gallery follows what happens to people, and is the same after a restart.
func TestGalleryFollowsTheStore(t *testing.T) {
	b := newBox(t)
	stays, erased, suspended := b.person(1), b.person(2), b.person(3)
	b.update(func(tx *store.Tx) error { return store.Erase(tx, erased) })
	setStatus := func(s store.PersonStatus) {
		b.update(func(tx *store.Tx) error {
			rec, err := store.Get[store.Person](tx, suspended)
			rec.Status = s
			return errors.Join(err, store.Put(tx, &rec))
		})
	}
	setStatus(store.PersonSuspended)
	check := func(want ...store.PersonID) {
		t.Helper()
		var found []store.PersonID
		for who := byte(1); who <= 3; who++ {
			if r, err := b.identify(of(who)); err != nil {
				t.Fatal(err)
			} else if r.Match {
				found = append(found, r.Person)
			}
		}
		if !slices.Equal(found, want) || b.People() != len(want) || b.Gallery(b.merchant) != len(want) {
			t.Errorf("found %v of %d, want %v", found, b.People(), want)
		}
	}
	check(stays)
	setStatus(store.PersonEnrolled)
	check(stays, suspended)
	b.Close()
	b.start()
	check(stays, suspended)
}

func TestImpostorsAreWatched(t *testing.T) {
	b := newBox(t)
	p, twin := b.person(1), b.person(2)
	if i := b.Impostors(b.merchant); i.Probes != 1 || i.Best != 0 { // the second enrolment met the first person
		t.Fatalf("after two enrolments: %+v", i)
	}
	if _, err := b.verify(p, picture(look{who: 1, also: 2})); err != nil {
		t.Fatal(err)
	}
	i := b.Impostors(b.merchant)
	if i.Probes != 2 || math.Abs(i.Best-math.Sqrt(0.5)) > 1e-6 || fmt.Sprint(i.LookAlike) != fmt.Sprint([2]string{string(p), string(twin)}) {
		t.Errorf("after a look-alike: %+v", i)
	}
	for score, want := range map[float64]float64{-1: 1, 0: 1, 0.02: 0.5, 0.7: 0.5, 0.72: 0, 1: 0} {
		if got := i.Above(score); got != want {
			t.Errorf("share above %v is %v, want %v", score, got, want)
		}
	}
	if got := (verify.Impostors{}).Above(0); got != 0 {
		t.Errorf("share of nothing is %v", got)
	}
}

// Two people whom one probe fits become a question to an operator, once, however the
// probe was compared.
func TestLookAlikesAreFlagged(t *testing.T) {
	both := look{who: 1, also: 2}
	for name, compare := range map[string]func(b *box, p store.PersonID) error{
		"1:1": func(b *box, p store.PersonID) error {
			r, err := b.verify(p, picture(both))
			if err == nil && !r.Match {
				b.Errorf("no match: %+v", r)
			}
			return err
		},
		"1:N": func(b *box, p store.PersonID) error {
			_, err := b.identify(picture(both))
			return err
		},
		"door": func(b *box, p store.PersonID) error {
			b.play("", new(reel).shoot(40, both))
			return nil
		},
	} {
		b := newBox(t)
		p, twin := b.person(1), b.person(2)
		asked := func() []store.Review {
			return all(b, store.ReviewsByMerchant, store.Plain(b.merchant), store.Plain("open"))
		}
		for _, clear := range []error{second(b.verify(p, of(1))), second(b.identify(of(1)))} {
			if clear != nil {
				t.Fatal(clear)
			}
		}
		b.play("", new(reel).shoot(40, look{who: 1}))
		if r := asked(); len(r) != 0 {
			t.Errorf("%s: asked about %+v", name, r)
		}
		for range 3 {
			if err := compare(b, p); err != nil {
				t.Fatal(err)
			}
		}
		r := asked()
		if len(r) != 1 || r[0].Reason != store.ReviewLookAlike || len(r[0].Persons) != 2 || !slices.Contains(r[0].Persons, p) || !slices.Contains(r[0].Persons, twin) {
			t.Errorf("%s: reviews %+v", name, r)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// People are enrolled, erased, verified and searched at the same time; at the
// end the gallery holds those who are left.
func TestServiceUnderLoad(t *testing.T) {
	b := newBox(t)
	people := make([]store.PersonID, 8)
	for i := range people {
		people[i] = b.person(0)
	}
	var wg sync.WaitGroup
	for i, p := range people {
		who := byte(i + 1)
		wg.Go(func() {
			for range 5 {
				if _, err := b.enrol(p, of(who)); err != nil {
					t.Errorf("enrol: %v", err)
				}
				if r, err := b.verify(p, of(who)); err != nil || !r.Match {
					t.Errorf("verify: %+v, %v", r, err)
				}
				if r, err := b.identify(of(who)); err != nil || r.Person != p {
					t.Errorf("identify: %+v, %v", r, err)
				}
			}
			if who%2 == 0 {
				err := b.store.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Erase(tx, p) })
				if err != nil {
					t.Errorf("erase: %v", err)
				}
				if r, err := b.identify(of(who)); err != nil || r.Match {
					t.Errorf("identify after erasure: %+v, %v", r, err)
				}
			}
		})
	}
	wg.Wait()
	if n := b.People(); n != 4 {
		t.Errorf("%d people, want 4", n)
	}
}
