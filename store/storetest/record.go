package storetest

import (
	"errors"
	"reflect"
	"time"

	"github.com/cypherface/edge/store"
)

var recordTests = []test{
	{"EveryKindSurvives", testEveryKind},
	{"Revisions", testRevisions},
	{"Stale", testStale},
	{"Invalid", testInvalid},
	{"OfMerchant", testOfMerchant},
	{"Unique", testUnique},
	{"UniqueInOneTransaction", testUniqueInTx},
	{"Blobs", testBlobs},
}

// roundTrip puts a record with all fields set, reads it after reopening,
// changes nothing, and deletes it.
func roundTrip[T any, ID ~string, P store.Record[T, ID]](s *suite, id ID, rec P) {
	s.Helper()
	put(s, rec)
	s.reopen()
	got, err := get[T, ID, P](s, id)
	if err != nil {
		s.Fatalf("get %T: %v", rec, err)
	}
	if !reflect.DeepEqual(got, *rec) {
		s.Errorf("%T came back as\n%+v, want\n%+v", rec, got, *rec)
	}
	s.update(func(tx *store.Tx) error { return store.Delete[T, ID, P](tx, id) })
	if _, err := get[T, ID, P](s, id); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("get deleted %T: error %v, want ErrNotFound", rec, err)
	}
	err = s.Update(s.Context(), cause, func(tx *store.Tx) error { return store.Delete[T, ID, P](tx, id) })
	if !errors.Is(err, store.ErrNotFound) {
		s.Errorf("delete deleted %T: error %v, want ErrNotFound", rec, err)
	}
}

func testEveryKind(s *suite) {
	m, site, door := newMerchantID(), store.NewID[store.SiteID](start), store.NewID[store.DoorID](start)
	person, account := store.NewID[store.PersonID](start), store.NewID[store.AccountID](start)
	later := start.Add(time.Hour)
	roundTrip(s, m, &store.Merchant{ID: m, Name: "Analytical Engines", Phone: "+44 1", Status: store.Active,
		Policy: store.MerchantPolicy{FMR: 1e-4, PassiveLiveness: true, RefuseDuplicates: true}})
	roundTrip(s, account, &store.Account{ID: account, Merchant: m, Firstname: "Ada", Lastname: "Lovelace", Email: "a@example.org",
		Phone: "1", Verified: true, Password: "$argon2id$…", Role: store.RoleOwner, Status: store.Active, LastLogin: start,
		TOTP:     &store.TOTP{Secret: []byte("secret"), Confirmed: true, Last: 58000000},
		Passkeys: []store.Passkey{{ID: []byte{1}, PublicKey: []byte{2}, Name: "stick", RelyingParty: "box.example", Count: 3, Backup: true, Created: start, Used: later}},
		Recovery: [][]byte{{1}, {2}}, Places: []store.KnownPlace{{Tag: []byte{1, 2}, Seen: start}}})
	code := store.NewID[store.CodeID](start)
	roundTrip(s, code, &store.Code{ID: code, Merchant: m, Account: account, Use: "invite", Token: []byte{1}, Digits: []byte{2}, Tries: 3,
		Spent: true, Email: "b@example.org", Role: store.RoleOperator, Data: []byte(`{"challenge":"x"}`), Expires: later})
	roundTrip(s, "account.00ff", &store.Lock{ID: "account.00ff", Failures: 11, Since: start, Until: later, Expires: later})
	letter := store.NewID[store.LetterID](start)
	roundTrip(s, letter, &store.Letter{ID: letter, Merchant: m, Account: account, Code: code, Use: "verify", Tries: 2, Next: later, Expires: later})
	login := store.NewUUID[store.KeyID]()
	roundTrip(s, login, &store.Key{ID: login, Merchant: m, Account: account, Hash: []byte{4}, Role: store.RoleOwner, Status: store.Active, Expires: later})
	key := store.NewUUID[store.KeyID]()
	roundTrip(s, key, &store.Key{ID: key, Merchant: m, Name: "till", Hash: []byte{0, 1, 0xff}, Last4: "9f0c", Role: store.RoleIntegrator,
		Scopes: []store.Scope{"identify"}, Status: store.Active, Expires: later, LastUsed: start})
	roundTrip(s, "jwt", &store.Secret{Name: "jwt", Value: []byte{1, 2, 3}})
	roundTrip(s, site, &store.Site{ID: site, Merchant: m, Name: "Works", TimeZone: "Europe/London", Spaces: []string{"a"}})
	roundTrip(s, door, &store.Door{ID: door, Merchant: m, Site: site, Name: "Gate", Camera: "auto:", Relay: "gpio:4",
		Policy: store.DoorPolicy{FPIR: 1e-3, Frames: 3, CoolDown: time.Second, OpenFor: time.Second, SecondFactor: true, AllowWhenFull: true, Liveness: store.LivenessPassive}})
	grant := store.NewID[store.GrantID](start)
	roundTrip(s, grant, &store.Grant{ID: grant, Merchant: m, Person: person, Door: door, From: start, Until: later,
		Schedule: []store.Window{{Days: []time.Weekday{time.Monday}, Start: 480, End: 1080}}})
	device := store.NewUUID[store.DeviceID]()
	roundTrip(s, device, &store.Device{ID: device, Merchant: m, Site: site, Name: "box", PublicKey: make([]byte, 32), Epoch: 2,
		Status: store.Active, LastSeen: start})
	roundTrip(s, person, &store.Person{ID: person, Merchant: m, Firstname: "Ada", Lastname: "Lovelace", Email: "a@example.org",
		Phone: "1", ExternalID: "x", Password: "$argon2id$…", Status: store.PersonEnrolled, EnrolledAt: start})
	crop := store.NewID[store.CropID](start)
	roundTrip(s, crop, &store.Crop{ID: crop, Merchant: m, Person: person, Landmarks: []store.Point{{X: 96, Y: 110.5}},
		Source: "upload", Quality: []string{"blurred"}, Image: []byte("\xff\xd8 picture")})
	template := store.NewTemplateID(person, "space/1")
	roundTrip(s, template, &store.Template{ID: template, Merchant: m, Person: person, Space: "space/1", Crops: 2,
		Vector: []float32{0.6, -0.8, 0}})
	ticket := store.NewUUID[store.TicketID]()
	roundTrip(s, ticket, &store.Ticket{ID: ticket, Merchant: m, Person: person, Purpose: store.PurposeSource, Image: "i",
		Name: "my face (1).jpg", ContentType: "image/jpeg", Expires: later, Used: true})
	roundTrip(s, "liveness-sessions/x/1.jpg", &store.Image{ID: "liveness-sessions/x/1.jpg", Merchant: m, Person: person,
		Purpose: store.PurposeTarget, Name: "n", ContentType: "image/png", Processed: true, Expires: later, Data: []byte{0}})
	review := store.NewID[store.ReviewID](start)
	roundTrip(s, review, &store.Review{ID: review, Merchant: m, Reason: store.ReviewDuplicate, Persons: []store.PersonID{person},
		Score: 91.5, Settled: later, By: cause.Actor})
	session := store.NewUUID[store.SessionID]()
	roundTrip(s, session, &store.Session{ID: session, Merchant: m, Person: person, Mode: store.ModeActive, Challenge: []string{"left"},
		Status: store.SessionInProgress, Frames: 4, Confidence: 97.5, Similarity: 88, Expires: later, Used: true})
}

func testRevisions(s *suite) {
	p := newPerson(newMerchantID(), 1)
	p.Created = start.Add(-time.Hour) // Put decides about Meta
	put(s, &p)
	created := p.Created
	if p.Rev != 1 || created.IsZero() || !p.Updated.Equal(created) {
		s.Errorf("meta after the first put: %+v", p.Meta)
	}
	p.Phone = "2"
	put(s, &p)
	if p.Rev != 2 || !p.Created.Equal(created) || p.Updated.Before(created) {
		s.Errorf("meta after the second put: %+v", p.Meta)
	}
	got, err := get[store.Person](s, p.ID)
	if err != nil || !reflect.DeepEqual(got, p) {
		s.Errorf("got %+v, %v, want %+v", got, err, p)
	}
}

func testStale(s *suite) {
	p := newPerson(newMerchantID(), 1)
	put(s, &p)
	mine, theirs := p, p
	theirs.Phone = "theirs"
	put(s, &theirs)
	mine.Phone = "mine"
	before := mine
	err := s.Update(s.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &mine) })
	if !errors.Is(err, store.ErrStale) {
		s.Errorf("put of an old revision: error %v, want ErrStale", err)
	}
	if !reflect.DeepEqual(mine, before) {
		s.Errorf("a failed put changed the record to %+v", mine)
	}
	var conflict *store.ConflictError
	again := newPerson(p.Merchant, 2)
	again.ID = p.ID
	err = s.Update(s.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &again) })
	if !errors.As(err, &conflict) || conflict.Field != "id" {
		s.Errorf("put of a new record over an old one: error %v, want a conflict of id", err)
	}
	gone := newPerson(p.Merchant, 3)
	gone.Rev = 4
	err = s.Update(s.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &gone) })
	if !errors.Is(err, store.ErrStale) {
		s.Errorf("put of a record that was deleted since: error %v, want ErrStale", err)
	}
}

func testInvalid(s *suite) {
	for name, p := range map[string]store.Person{
		"without id":       {Merchant: newMerchantID()},
		"without merchant": {ID: store.NewID[store.PersonID](start)},
	} {
		err := s.Update(s.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &p) })
		if !errors.Is(err, store.ErrInvalid) {
			s.Errorf("person %s: error %v, want ErrInvalid", name, err)
		}
	}
	if n := s.head(); n != 0 {
		s.Errorf("%d events of changes that were refused", n)
	}
	p := newPerson(newMerchantID(), 1)
	put(s, &p)
	p.Merchant = newMerchantID()
	err := s.Update(s.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &p) })
	if !errors.Is(err, store.ErrInvalid) {
		s.Errorf("person of another merchant: error %v, want ErrInvalid", err)
	}
}

func testOfMerchant(s *suite) {
	p := newPerson(newMerchantID(), 1)
	put(s, &p)
	s.view(func(tx *store.Tx) error {
		if got, err := store.GetOf[store.Person](tx, p.Merchant, p.ID); err != nil || got.ID != p.ID {
			s.Errorf("by its own merchant: %+v, %v", got, err)
		}
		got, err := store.GetOf[store.Person](tx, newMerchantID(), p.ID)
		if !errors.Is(err, store.ErrNotFound) || !reflect.DeepEqual(got, store.Person{}) {
			s.Errorf("by another merchant: %+v, %v, want nothing and ErrNotFound", got, err)
		}
		return nil
	})
}

func testUnique(s *suite) {
	m, other := newMerchantID(), newMerchantID()
	p := newPerson(m, 1)
	put(s, &p)
	for _, tt := range []struct {
		name  string
		edit  func(*store.Person)
		field string // of the conflict; empty: none
	}{
		{"same e-mail", func(q *store.Person) { q.Email = p.Email }, "email"},
		{"same e-mail in capitals", func(q *store.Person) { q.Email = " ADA1@Example.ORG" }, "email"},
		{"same external id", func(q *store.Person) { q.ExternalID = p.ExternalID }, "externalId"},
		{"same at another merchant", func(q *store.Person) { q.Merchant, q.Email, q.ExternalID = other, p.Email, p.ExternalID }, ""},
		{"neither", func(q *store.Person) { q.Email, q.ExternalID = "", "" }, ""},
		{"neither again", func(q *store.Person) { q.Email, q.ExternalID = "", "" }, ""},
	} {
		q := newPerson(m, 2)
		tt.edit(&q)
		err := s.Update(s.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &q) })
		var conflict *store.ConflictError
		switch {
		case tt.field == "" && err != nil:
			s.Errorf("%s: %v", tt.name, err)
		case tt.field == "":
		case !errors.Is(err, store.ErrConflict) || !errors.As(err, &conflict):
			s.Errorf("%s: error %v, want a conflict", tt.name, err)
		case conflict.Field != tt.field || conflict.Existing != string(p.ID) || conflict.Kind != store.KindPerson:
			s.Errorf("%s: %+v", tt.name, conflict)
		}
	}
	was := p.Email
	p.Email = "new@example.org"
	put(s, &p)
	q := newPerson(m, 3)
	q.Email = was
	put(s, &q) // the old address is free again
	s.view(func(tx *store.Tx) error {
		for address, want := range map[string]store.PersonID{was: q.ID, "NEW@example.org": p.ID} {
			got, err := store.Find(tx, store.PersonByEmail, store.Plain(m), store.Email(address))
			if err != nil || got.ID != want {
				s.Errorf("find %s: %s, %v, want %s", address, got.ID, err, want)
			}
		}
		_, err := store.Find(tx, store.PersonByEmail, store.Plain(m), store.Email("nobody@example.org"))
		if !errors.Is(err, store.ErrNotFound) {
			s.Errorf("find nobody: error %v, want ErrNotFound", err)
		}
		return nil
	})
}

// testUniqueInTx swaps a unique value between two people in one transaction.
func testUniqueInTx(s *suite) {
	m := newMerchantID()
	a, b := newPerson(m, 1), newPerson(m, 2)
	put(s, &a)
	put(s, &b)
	address := a.Email
	s.update(func(tx *store.Tx) error {
		a.Email = ""
		if err := store.Put(tx, &a); err != nil {
			return err
		}
		b.Email = address
		return store.Put(tx, &b)
	})
	s.view(func(tx *store.Tx) error {
		got, err := store.Find(tx, store.PersonByEmail, store.Plain(m), store.Email(address))
		if err != nil || got.ID != b.ID {
			s.Errorf("found %s, %v, want %s", got.ID, err, b.ID)
		}
		return nil
	})
}

// testBlobs checks that what is read stays good after the transaction.
func testBlobs(s *suite) {
	m, p := newMerchantID(), store.NewID[store.PersonID](start)
	image := make([]byte, 3<<20)
	for i := range image {
		image[i] = byte(i * 7)
	}
	put(s, &store.Image{ID: "big", Merchant: m, Person: p, Data: image})
	got, err := get[store.Image](s, store.ImageID("big"))
	if err != nil {
		s.Fatal(err)
	}
	s.update(func(tx *store.Tx) error { return store.Delete[store.Image](tx, store.ImageID("big")) })
	for range 3 { // let the space be used again
		put(s, &store.Image{ID: store.ImageID(store.NewUUID[store.TicketID]()), Merchant: m, Person: p, Data: make([]byte, len(image))})
	}
	if !reflect.DeepEqual(got.Data, image) {
		s.Error("the image that was read has changed since")
	}
}
