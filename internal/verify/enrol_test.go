package verify_test

import (
	"errors"
	"fmt"
	"image"
	"slices"
	"testing"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

func TestEnrolKeepsCropsAndOneTemplate(t *testing.T) {
	b := newBox(t)
	p := b.person(0)
	e, err := b.enrol(p, of(3), picture(look{who: 3, like: 90}, look{who: 4, eyes: 20}), picture(look{who: 3, reason: sideLit}))
	if err != nil {
		t.Fatal(err)
	}
	if e.Person != p || e.Crops != 3 || e.Faces != 2 || !slices.Equal(e.Warnings, []string{"side_lit"}) || e.PossibleDuplicateOf != "" {
		t.Errorf("enrolment %+v", e)
	}
	crops := all(b, store.CropsByPerson, store.Plain(p))
	if len(crops) != 3 {
		t.Fatalf("%d crops, want 3", len(crops))
	}
	for _, c := range crops {
		if len(c.Landmarks) != 5 || len(c.Image) == 0 || c.Source != "test" || c.Merchant != b.merchant {
			t.Errorf("crop %+v with %d bytes", c, len(c.Image))
		}
	}
	templates := all(b, store.TemplatesByPerson, store.Plain(p))
	if len(templates) != 1 || templates[0].Space != "one" || templates[0].Crops != 3 {
		t.Fatalf("templates %+v", templates)
	}
	b.view(func(tx *store.Tx) error {
		rec, err := store.Get[store.Person](tx, p)
		if rec.Status != store.PersonEnrolled || rec.EnrolledAt.IsZero() {
			t.Errorf("person %+v", rec)
		}
		return err
	})
	events := b.events(store.EventEnrolment)
	if len(events) != 1 || events[0].Outcome != store.OutcomeDone || events[0].Seq != e.Event.Seq || events[0].Counters["crops"] != 3 {
		t.Errorf("events %+v", events)
	}
	if r, err := b.verify(p, of(3)); err != nil || !r.Match {
		t.Errorf("verification right after: %+v, %v", r, err)
	}
}

func TestEnrolAgainReplacesOrAdds(t *testing.T) {
	b := newBox(t)
	p := b.person(3)
	add := verify.EnrolRequest{Cause: cause, Merchant: b.merchant, Person: p, Images: []image.Image{of(3)}, Add: true}
	if e, err := b.Enrol(t.Context(), add); err != nil || e.Crops != 2 {
		t.Fatalf("adding: %+v, %v", e, err)
	}
	if n := len(all(b, store.CropsByPerson, store.Plain(p))); n != 2 {
		t.Errorf("%d crops after adding, want 2", n)
	}
	if e, err := b.enrol(p, of(5)); err != nil || e.Crops != 1 {
		t.Fatalf("replacing: %+v, %v", e, err)
	}
	if n := len(all(b, store.CropsByPerson, store.Plain(p))); n != 1 {
		t.Errorf("%d crops after replacing, want 1", n)
	}
	for who, want := range map[byte]bool{3: false, 5: true} {
		if r, err := b.verify(p, of(who)); err != nil || r.Match != want {
			t.Errorf("face %d: %+v, %v; want match %v", who, r, err, want)
		}
	}
}

// What was enrolled before outlives an enrolment that fails.
func TestEnrolIsAllOrNothing(t *testing.T) {
	good := of(3)
	many := slices.Repeat([]image.Image{good}, verify.MaxImages+1)
	for _, test := range []struct {
		name   string
		images []image.Image
		want   error
		image  int
		reason string // in the journal; empty: nothing is recorded
	}{
		{"no images", nil, verify.ErrImages, 0, "images"},
		{"too many images", many, verify.ErrImages, 0, "images"},
		{"no face", []image.Image{good, picture()}, verify.ErrNoFace, 2, ""},
		{"no image", []image.Image{nil}, verify.ErrNoFace, 1, ""},
		{"second face nearly as large", []image.Image{picture(look{who: 3}, look{who: 4, eyes: 40})}, verify.ErrSeveralFaces, 1, "several_faces"},
		{"dark", []image.Image{good, good, picture(look{who: 3, reason: tooDark})}, verify.ErrLowQuality, 3, "low_quality"},
		{"turned away", []image.Image{picture(look{who: 3, reason: turnedAway})}, verify.ErrLowQuality, 1, "low_quality"},
		{"somebody else among them", []image.Image{good, of(4), good}, verify.ErrOtherFace, 2, "other_face"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBox(t)
			p := b.person(9)
			before := all(b, store.CropsByPerson, store.Plain(p))
			_, err := b.enrol(p, test.images...)
			if e := wantError(t, err, test.want); e.Image != test.image {
				t.Errorf("blames image %d, want %d: %v", e.Image, test.image, err)
			}
			after := all(b, store.CropsByPerson, store.Plain(p))
			if len(after) != 1 || after[0].ID != before[0].ID {
				t.Errorf("crops before %v, after %v", before, after)
			}
			if r, err := b.verify(p, of(9)); err != nil || !r.Match {
				t.Errorf("the face enrolled before: %+v, %v", r, err)
			}
			if test.reason == "" {
				if n := len(b.events(store.EventEnrolment)); n != 1 {
					t.Errorf("%d events, want only that of the first enrolment", n)
				}
				return
			}
			last := b.events(store.EventEnrolment)[1]
			if last.Outcome != store.OutcomeFailed || last.Reasons[0] != test.reason {
				t.Errorf("event %+v, want failed because of %s", last, test.reason)
			}
		})
	}
}

func TestEnrolStrangersToTheMerchant(t *testing.T) {
	b := newBox(t)
	p := b.person(0)
	other := b.newMerchant(store.MerchantPolicy{})
	for name, r := range map[string]verify.EnrolRequest{
		"unknown person":            {Merchant: b.merchant, Person: store.NewID[store.PersonID](store.Meta{}.Created)},
		"another merchant's person": {Merchant: other, Person: p},
	} {
		r.Cause, r.Images = cause, []image.Image{of(1)}
		_, err := b.Enrol(t.Context(), r)
		wantError(t, err, verify.ErrUnknownPerson)
		if n := len(all(b, store.CropsByPerson, store.Plain(r.Person))); n != 0 {
			t.Errorf("%s: %d crops were stored", name, n)
		}
	}
}

func TestEnrolRunsAlsoInItsTransaction(t *testing.T) {
	b := newBox(t)
	p := b.person(0)
	refusal := errors.New("not now")
	request := verify.EnrolRequest{Cause: cause, Merchant: b.merchant, Person: p, Images: []image.Image{of(1)},
		Also: func(tx *store.Tx, e verify.Enrolment) error {
			if e.Event.Seq == 0 || e.Crops != 1 {
				t.Errorf("Also is told %+v", e)
			}
			if _, err := store.Get[store.Template](tx, store.NewTemplateID(p, "one")); err != nil {
				t.Errorf("template in the transaction: %v", err)
			}
			return refusal
		}}
	if _, err := b.Enrol(t.Context(), request); !errors.Is(err, refusal) {
		t.Fatalf("got %v, want the error of Also", err)
	}
	if n := len(all(b, store.CropsByPerson, store.Plain(p))); n != 0 || b.People() != 0 {
		t.Errorf("%d crops and %d people after it was undone", n, b.People())
	}
}

func TestEnrolReportsDuplicates(t *testing.T) {
	b := newBox(t)
	first := b.person(7)
	b.person(8)
	second := b.person(0)
	e, err := b.enrol(second, of(7))
	if err != nil || e.PossibleDuplicateOf != first || e.DuplicateSimilarity < 99 {
		t.Fatalf("%+v, %v; want a possible duplicate of %s", e, err, first)
	}
	reviews := all(b, store.ReviewsByMerchant, store.Plain(b.merchant), store.Plain("open"))
	if len(reviews) != 1 || reviews[0].Reason != store.ReviewDuplicate || !slices.Equal(reviews[0].Persons, []store.PersonID{second, first}) {
		t.Errorf("reviews %+v", reviews)
	}
	if e, err := b.enrol(first, of(7)); err != nil || e.PossibleDuplicateOf != second {
		t.Errorf("the first enrolled again: %+v, %v", e, err)
	}

	// Another merchant's people are nobody's business.
	b.merchant = b.newMerchant(store.MerchantPolicy{RefuseDuplicates: true})
	theirs := b.person(7)
	again := b.person(0)
	_, err = b.enrol(again, of(7))
	if e := wantError(t, err, verify.ErrDuplicate); e.Of != theirs {
		t.Errorf("duplicate of %s, want %s", e.Of, theirs)
	}
}

func TestReembedAfterAChangeOfSpace(t *testing.T) {
	b := newBox(t)
	people := map[byte]store.PersonID{}
	for who := byte(1); who <= 5; who++ {
		people[who] = b.person(who)
	}
	b.Close()
	b.engine = &fakeEngine{space: "two", axis: 11}
	b.start()
	if n := b.People(); n != 0 {
		t.Fatalf("%d people in the new space before anybody was embedded", n)
	}
	// Who is asked for before his turn is embedded at once.
	if r, err := b.verify(people[2], of(2)); err != nil || !r.Match || b.People() != 1 {
		t.Errorf("%+v, %v, %d people", r, err, b.People())
	}
	var told []string
	if err := b.Reembed(t.Context(), func(done, total int) { told = append(told, fmt.Sprint(done, "/", total)) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(told, []string{"1/4", "2/4", "3/4", "4/4"}) {
		t.Errorf("progress %v", told)
	}
	for who, p := range people {
		if r, err := b.identify(of(who)); err != nil || r.Person != p {
			t.Errorf("face %d is %+v, %v; want %s", who, r, err, p)
		}
	}
	if n := len(all(b, store.TemplatesByPerson, store.Plain(people[1]))); n != 2 {
		t.Errorf("%d templates, want that of the old space to be kept", n)
	}
	if err := b.Reembed(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestReembedGoesOnAfterAFailure(t *testing.T) {
	b := newBox(t)
	b.person(1)
	p := b.person(2)
	crop := all(b, store.CropsByPerson, store.Plain(p))[0]
	crop.Image = []byte("no picture")
	put(b, &crop)
	b.Close()
	b.engine = &fakeEngine{space: "two"}
	b.start()
	if err := b.Reembed(t.Context(), nil); err == nil || b.People() != 1 {
		t.Errorf("%v, %d people; want an error and the other one", err, b.People())
	}
	if _, err := b.verify(p, of(2)); err == nil {
		t.Error("verified somebody who cannot be embedded")
	}
	b.update(func(tx *store.Tx) error { return store.Delete[store.Crop](tx, crop.ID) })
	_, err := b.verify(p, of(2))
	wantError(t, err, verify.ErrNotEnrolled)
}

func TestEngineFailureIsNoRefusal(t *testing.T) {
	b := newBox(t)
	p := b.person(1)
	b.engine.fail = errors.New("out of memory")
	_, err := b.enrol(p, of(1))
	var refused *verify.Error
	if !errors.Is(err, b.engine.fail) || errors.As(err, &refused) {
		t.Errorf("got %v, want the engine's error alone", err)
	}
	if n := len(b.events(store.EventEnrolment)); n != 1 {
		t.Errorf("%d events, want the first enrolment's only", n)
	}
}

var _ verify.Engine = (*engine.Engine)(nil)
