package api_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cypherface/edge/store"
)

// marks are words that furnish puts into each kind of record about a person, by
// which what is shown of it is known again.
var marks = map[store.Kind]string{
	store.KindPerson: "mark-person", store.KindCrop: "mark-crop", store.KindTemplate: "mark-template", store.KindImage: "mark-image",
	store.KindTicket: "mark-ticket", store.KindGrant: "5f0c0ffee0c0ffee0c0ffeed", store.KindSession: "mark-session",
	store.KindReview: "5f0c0ffee0c0ffee0c0ffeec", store.KindConsent: "mark-consent",
	store.KindSighting: "41815", store.KindCredential: "mark-credential", store.KindCandidate: "5f0c0ffee0c0ffee0c0ffeeb", store.KindFormer: "5f0c0ffee0c0ffee0c0ffeea",
}

// furnish gives a person one record of every kind that can be about one.
func (b *box) furnish(id store.PersonID) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		p, err := store.Get[store.Person](tx, id)
		p.ExternalID = marks[store.KindPerson]
		space := store.NewTemplateID(id, marks[store.KindTemplate])
		review := store.ReviewID(marks[store.KindReview])
		return errors.Join(err, store.Put(tx, &p),
			store.Put(tx, &store.Crop{ID: store.NewID[store.CropID](b.now), Merchant: b.merchant, Person: id, Source: marks[store.KindCrop], Image: jpegOf(red).data}),
			store.Put(tx, &store.Template{ID: space, Merchant: b.merchant, Person: id, Space: marks[store.KindTemplate], Vector: []float32{1}}),
			store.Put(tx, &store.Image{ID: store.ImageID(marks[store.KindImage]), Merchant: b.merchant, Person: id, Purpose: store.PurposeFrame, ContentType: "image/jpeg", Data: jpegOf(red).data}),
			store.Put(tx, &store.Ticket{ID: store.NewUUID[store.TicketID](), Merchant: b.merchant, Person: id, Purpose: store.PurposeSource, Name: marks[store.KindTicket], Expires: b.now.Add(1e12)}),
			store.Put(tx, &store.Grant{ID: store.NewID[store.GrantID](b.now), Merchant: b.merchant, Person: id, Door: store.DoorID(marks[store.KindGrant])}),
			store.Put(tx, &store.Session{ID: store.NewUUID[store.SessionID](), Merchant: b.merchant, Person: id, Mode: store.ModeActive, Challenge: []string{marks[store.KindSession]}, Status: store.SessionCreated, Expires: b.now.Add(1e12)}),
			store.Put(tx, &store.Review{ID: review, Merchant: b.merchant, Reason: store.ReviewDuplicate, Persons: []store.PersonID{id}}),
			store.Put(tx, &store.Consent{ID: store.NewID[store.ConsentID](b.now), Merchant: b.merchant, Person: id, Version: marks[store.KindConsent], Language: "en", Given: b.now, Through: store.ThroughAPI}),
			store.Put(tx, &store.Sighting{ID: id, Merchant: b.merchant, Person: id, Matches: 41815}),
			store.Put(tx, &store.Credential{ID: store.NewID[store.CredentialID](b.now), Merchant: b.merchant, Person: id, Type: store.CredentialCard, Label: marks[store.KindCredential], Hash: []byte("not-to-be-told")}),
			store.Put(tx, &store.Candidate{ID: store.CropID(marks[store.KindCandidate]), Merchant: b.merchant, Person: id, Expires: b.now.Add(1e12), Image: jpegOf(red).data}),
			store.Put(tx, &store.Former{ID: store.FormerID(marks[store.KindFormer]), Merchant: b.merchant, Person: id}),
		)
	})
}

// TestEveryKindIsFurnished: whoever adds a kind of record about a person adds it
// here, and finds out whether it is exported and erased.
func TestEveryKindIsFurnished(t *testing.T) {
	for _, k := range store.PersonKinds() {
		if marks[k] == "" {
			t.Errorf("furnish makes no %s", k)
		}
	}
}

// held counts the records that there are about a person.
func (b *box) held(id store.PersonID) map[store.Kind]int {
	b.t.Helper()
	n := map[store.Kind]int{}
	err := b.store.View(context.Background(), func(tx *store.Tx) error {
		of := store.Plain(id)
		var all error
		count := func(k store.Kind, c int, err error) { n[k], all = c, errors.Join(all, err) }
		c, err := store.Count(tx, store.CropsByPerson, of)
		count(store.KindCrop, c, err)
		c, err = store.Count(tx, store.TemplatesByPerson, of)
		count(store.KindTemplate, c, err)
		c, err = store.Count(tx, store.ImagesByPerson, of)
		count(store.KindImage, c, err)
		c, err = store.Count(tx, store.TicketsByPerson, of)
		count(store.KindTicket, c, err)
		c, err = store.Count(tx, store.GrantsByPerson, of)
		count(store.KindGrant, c, err)
		c, err = store.Count(tx, store.SessionsByPerson, of)
		count(store.KindSession, c, err)
		c, err = store.Count(tx, store.ReviewsByPerson, of)
		count(store.KindReview, c, err)
		c, err = store.Count(tx, store.ConsentsByPerson, of)
		count(store.KindConsent, c, err)
		c, err = store.Count(tx, store.CredentialsByPerson, of)
		count(store.KindCredential, c, err)
		c, err = store.Count(tx, store.CandidatesByPerson, of)
		count(store.KindCandidate, c, err)
		return all
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// furnishFields sets what furnish leaves empty, so that every field shows.
func (b *box) furnishFields(id store.PersonID) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		p, err := store.Get[store.Person](tx, id)
		p.Phone, p.EnrolledAt, p.Home, p.Disputed.Email = "1", b.now, "5f0c0ffee0c0ffee0c0ffee0", "x"
		by := store.Actor{Kind: store.ActorCLI, ID: "0"}
		return errors.Join(err, store.Put(tx, &p),
			store.Put(tx, &store.Crop{ID: store.NewID[store.CropID](b.now), Merchant: b.merchant, Person: id, Quality: []string{"blurred"}, Space: "x", Landmarks: []store.Point{{X: 1}}, Image: jpegOf(red).data}),
			store.Put(tx, &store.Image{ID: "named", Merchant: b.merchant, Person: id, Purpose: store.PurposeTarget, ContentType: "image/jpeg", Name: "a.jpg", Expires: b.now.Add(1e12)}),
			store.Put(tx, &store.Grant{ID: store.NewID[store.GrantID](b.now), Merchant: b.merchant, Person: id, Door: "d", From: b.now, Until: b.now, Schedule: []store.Window{{Start: 1}}}),
			store.Put(tx, &store.Review{ID: store.NewID[store.ReviewID](b.now), Merchant: b.merchant, Reason: store.ReviewLookAlike, Persons: []store.PersonID{id}, Score: 90, Settled: b.now, By: by}),
			store.Put(tx, &store.Credential{ID: store.NewID[store.CredentialID](b.now), Merchant: b.merchant, Person: id, Type: store.CredentialPIN, Label: "x", Expires: b.now, LastUsed: b.now, Locked: b.now}),
			store.Put(tx, &store.Consent{ID: store.NewID[store.ConsentID](b.now), Merchant: b.merchant, Person: id, Text: store.NewID[store.ConsentTextID](b.now), Version: "1", Language: "en",
				Hash: store.HashText(""), Given: b.now, Through: store.ThroughAPI, By: by, Withdrawn: b.now, WithdrawnThrough: store.ThroughAPI, WithdrawnBy: by}),
		)
	})
}
