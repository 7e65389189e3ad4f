package rights

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cypherface/edge/store"
)

// What callers branch on.
var (
	ErrSame      = errors.New("a person cannot be merged with himself")
	ErrWithdrawn = errors.New("one of the two took his consent back")
)

// MergeFields are the fields of which a merge asks which person's counts.
func MergeFields() []string {
	return []string{"firstname", "lastname", "email", "phone", "externalId", "password"}
}

// Merge says who becomes one. Fields of From's that are named count; of the others
// Into's, and where he has none, From's.
type Merge struct {
	Merchant   store.MerchantID
	Into, From store.PersonID
	Fields     []string
}

// Moved says what a merge did, but for the faces.
type Moved struct {
	Grants      int // that Into has from From
	Credentials int
	Consents    int
	LostPINs    int // of From: a PIN is bound to its person, and has to be given anew
	Reviews     int // that are about Into now
	Person      store.Person
	Erasure     uint64 // number of the event of From's erasure
}

// Do moves all that From has and that is not a face to Into, and erases From: his
// history stays readable under his id, of which a Former tells whose it is. There is no
// way back. The errors are store.ErrNotFound, ErrSame, ErrWithdrawn or a FieldError.
func (m *Merge) Do(tx *store.Tx) (moved Moved, err error) {
	if m.Into == m.From {
		return moved, ErrSame
	}
	for _, f := range m.Fields {
		if !slices.Contains(MergeFields(), f) {
			return moved, &FieldError{"fields", "must be some of firstname, lastname, email, phone, externalId, password"}
		}
	}
	into, err := store.GetOf[store.Person](tx, m.Merchant, m.Into)
	if err != nil {
		return moved, err
	}
	from, err := store.GetOf[store.Person](tx, m.Merchant, m.From)
	if err != nil {
		return moved, err
	}
	if err := m.agree(tx); err != nil {
		return moved, err
	}
	belongings, err := m.read(tx)
	if err != nil {
		return moved, err
	}
	if err := m.reviews(tx, &moved); err != nil {
		return moved, err
	}
	if err := store.EraseFor(tx, m.From, "merged"); err != nil { // frees what is unique
		return moved, err
	}
	if moved.Erasure, err = store.Head(tx); err != nil {
		return moved, err
	}
	m.fields(&into, &from)
	if err := store.Put(tx, &into); err != nil {
		return moved, err
	}
	if err := belongings.give(tx, m.Into, &moved); err != nil {
		return moved, err
	}
	if err := m.former(tx); err != nil {
		return moved, err
	}
	moved.Person = into
	_, err = store.Append(tx, store.Event{Kind: store.EventEnrolment, Action: "merge", Merchant: m.Merchant, Person: m.Into, Outcome: store.OutcomeDone,
		Reasons:  []string{"from " + string(m.From)},
		Counters: map[string]float64{"grants": float64(moved.Grants), "credentials": float64(moved.Credentials), "consents": float64(moved.Consents)}}, nil)
	return moved, err
}

// agree refuses to merge somebody who took his consent back: by the merge he would
// match again.
func (m *Merge) agree(tx *store.Tx) error {
	for _, id := range []store.PersonID{m.Into, m.From} {
		page, err := store.List(tx, store.ConsentsByPerson, store.Query[store.Consent]{Prefix: []store.Term{store.Plain(id)}, Reverse: true, Limit: 1})
		if err != nil {
			return err
		}
		if len(page.Items) == 1 && !page.Items[0].Valid() {
			return ErrWithdrawn
		}
	}
	return nil
}

// belongings are what From has.
type belongings struct {
	formers     []store.Former
	grants      []store.Grant
	credentials []store.Credential
	consents    []store.Consent
	sighting    *store.Sighting
}

func (m *Merge) read(tx *store.Tx) (b belongings, err error) {
	of := store.Plain(m.From)
	for g, err := range store.All(tx, store.GrantsByPerson, of) {
		if err != nil {
			return b, err
		}
		b.grants = append(b.grants, g)
	}
	for c, err := range store.All(tx, store.CredentialsByPerson, of) {
		if err != nil {
			return b, err
		}
		b.credentials = append(b.credentials, c)
	}
	for c, err := range store.All(tx, store.ConsentsByPerson, of) {
		if err != nil {
			return b, err
		}
		b.consents = append(b.consents, c)
	}
	for f, err := range store.All(tx, store.FormersByPerson, of) {
		if err != nil {
			return b, err
		}
		b.formers = append(b.formers, f)
	}
	s, err := store.Get[store.Sighting](tx, m.From)
	if err == nil {
		b.sighting = &s
	} else if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return b, err
}

// give makes copies of what From had, sealed for who has it now.
func (b *belongings) give(tx *store.Tx, into store.PersonID, moved *Moved) error {
	for _, g := range b.grants {
		g.Meta, g.ID, g.Person = store.Meta{}, store.NewID[store.GrantID](tx.Time()), into
		if err := store.Put(tx, &g); err != nil {
			return err
		}
		moved.Grants++
	}
	for _, c := range b.credentials {
		if c.Type == store.CredentialPIN {
			moved.LostPINs++
			continue
		}
		c.Meta, c.ID, c.Person = store.Meta{}, store.NewID[store.CredentialID](tx.Time()), into
		if err := store.Put(tx, &c); err != nil {
			return err
		}
		moved.Credentials++
	}
	for _, c := range b.consents {
		c.Meta, c.ID, c.Person = store.Meta{}, store.NewID[store.ConsentID](tx.Time()), into
		if err := store.Put(tx, &c); err != nil {
			return err
		}
		moved.Consents++
	}
	for _, f := range b.formers {
		f.Meta, f.Person = store.Meta{}, into
		if err := store.Put(tx, &f); err != nil {
			return err
		}
	}
	if b.sighting == nil {
		return nil
	}
	p, err := store.Get[store.Person](tx, into)
	if err != nil {
		return err
	}
	sum, err := sightingOf(tx, &p)
	if err == nil && b.sighting.LastSeen.After(sum.LastSeen) {
		sum.LastSeen = b.sighting.LastSeen
		err = store.Put(tx, &sum)
	}
	return err
}

// fields decides whose fields count.
func (m *Merge) fields(into, from *store.Person) {
	for name, pair := range map[string][2]*string{
		"firstname": {&into.Firstname, &from.Firstname}, "lastname": {&into.Lastname, &from.Lastname}, "email": {&into.Email, &from.Email},
		"phone": {&into.Phone, &from.Phone}, "externalId": {&into.ExternalID, &from.ExternalID}, "password": {&into.Password, &from.Password},
	} {
		if *pair[1] != "" && (*pair[0] == "" || slices.Contains(m.Fields, name)) {
			*pair[0] = *pair[1]
		}
	}
}

// reviews settles those about the two, and has those about From and others be about
// Into: nothing that somebody has to look at goes with a name.
func (m *Merge) reviews(tx *store.Tx, moved *Moved) error {
	var all []store.Review
	for r, err := range store.All(tx, store.ReviewsByPerson, store.Plain(m.From)) {
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	for _, r := range all {
		if slices.Contains(r.Persons, m.Into) || len(r.Persons) < 2 {
			continue // goes with From
		}
		r.Persons = slices.Clone(r.Persons)
		for i, p := range r.Persons {
			if p == m.From {
				r.Persons[i] = m.Into
			}
		}
		if err := store.Put(tx, &r); err != nil {
			return err
		}
		moved.Reviews++
	}
	return nil
}

// former keeps under whose id From is to be found.
func (m *Merge) former(tx *store.Tx) error {
	f := store.Former{ID: store.FormerID(m.From), Merchant: m.Merchant, Person: m.Into}
	if err := store.Put(tx, &f); err != nil {
		return fmt.Errorf("keep where the person went: %w", err)
	}
	return nil
}

// Former returns who a person is now who was merged into another; empty where none
// was. It is for those who ask by an id that is no more.
func Former(tx *store.Tx, m store.MerchantID, id store.PersonID) (store.PersonID, error) {
	f, err := store.GetOf[store.Former](tx, m, store.FormerID(id))
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return f.Person, err
}
