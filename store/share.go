package store

import (
	"fmt"
)

// shared is a record that travels between the central and boxes.
type shared interface {
	value
	rehome(MerchantID)    // makes it one of another merchant: boxes know theirs by another id
	named(id string) bool // whether that is its id
}

var (
	_ shared = (*Merchant)(nil)
	_ shared = (*Site)(nil)
	_ shared = (*Door)(nil)
	_ shared = (*Key)(nil)
	_ shared = (*Grant)(nil)
	_ shared = (*Person)(nil)
	_ shared = (*Crop)(nil)
	_ shared = (*Template)(nil)
	_ shared = (*Consent)(nil)
)

func (m *Merchant) rehome(to MerchantID) { m.ID = to }
func (s *Site) rehome(to MerchantID)     { s.Merchant = to }
func (d *Door) rehome(to MerchantID)     { d.Merchant = to }
func (k *Key) rehome(to MerchantID)      { k.Merchant = to }
func (g *Grant) rehome(to MerchantID)    { g.Merchant = to }
func (p *Person) rehome(to MerchantID)   { p.Merchant = to }
func (c *Crop) rehome(to MerchantID)     { c.Merchant = to }
func (t *Template) rehome(to MerchantID) { t.Merchant = to }
func (c *Consent) rehome(to MerchantID)  { c.Merchant = to }

func (m *Merchant) named(id string) bool { return string(m.ID) == id }
func (s *Site) named(id string) bool     { return string(s.ID) == id }
func (d *Door) named(id string) bool     { return string(d.ID) == id }
func (k *Key) named(id string) bool      { return string(k.ID) == id }
func (g *Grant) named(id string) bool    { return string(g.ID) == id }
func (p *Person) named(id string) bool   { return string(p.ID) == id }
func (c *Crop) named(id string) bool     { return string(c.ID) == id }
func (t *Template) named(id string) bool { return string(t.ID) == id }
func (c *Consent) named(id string) bool  { return string(c.ID) == id }

// lister returns the keys of the records of one kind under a term.
type lister func(tx *Tx, of Term) ([]string, error)

func listerOf[T any](k Kind, ix Index[T]) lister {
	return func(tx *Tx, of Term) (keys []string, err error) {
		ids, err := tx.ids(ix.name, of)
		for _, id := range ids {
			keys = append(keys, RecordKey(k, string(id)))
		}
		return keys, err
	}
}

// ofPerson are the shared kinds that tell about a person and belong wherever he
// does, besides himself; grants belong where their door is.
var ofPerson = []lister{listerOf(KindCrop, CropsByPerson), listerOf(KindTemplate, TemplatesByPerson), listerOf(KindConsent, ConsentsByPerson)}

// isShared says whether records of a kind travel.
func isShared(k Kind) bool {
	fresh := kinds[k]
	if fresh == nil {
		return false
	}
	_, ok := fresh().(shared)
	return ok
}

// fromBoxes says whether boxes may change records of a kind for all; what else they
// change of the central's is put right by it.
func fromBoxes(k Kind) bool {
	return isShared(k) && k != KindMerchant && k != KindSite && k != KindKey
}

// share follows a change of a record that travels.
func (tx *Tx) share(rec value, s spec, old loaded, c Change) error {
	r, ok := rec.(shared)
	if !ok {
		return nil
	}
	if err := tx.noteEdit(r, old, c); err != nil {
		return fmt.Errorf("note edit of %s: %w", c.Kind, err)
	}
	if err := tx.publish(r, s, old, c); err != nil {
		return fmt.Errorf("publish %s: %w", c.Kind, err)
	}
	return nil
}

// publish gives a change its revision in each feed that it belongs to.
func (tx *Tx) publish(rec shared, s spec, old loaded, c Change) error {
	feeds, err := tx.feedsOf(s.merchant)
	if err == nil && len(feeds) > 0 && c.Op == OpDelete && tx.emptying == "" {
		err = tx.noteDeleted(RecordKey(c.Kind, c.ID))
	}
	for i := 0; err == nil && i < len(feeds); i++ {
		err = tx.publishIn(feeds[i], rec, old, c)
	}
	return err
}

func (tx *Tx) publishIn(f *feed, rec shared, old loaded, c Change) error {
	in := c.Op == OpPut
	if in {
		var err error
		if in, err = tx.within(f, rec); err != nil {
			return err
		}
	}
	key := RecordKey(c.Kind, c.ID)
	_, was, err := tx.marked(f, key)
	if err == nil {
		err = tx.place(f, key, in, c.Op)
	}
	if err != nil {
		return err
	}
	switch r := rec.(type) {
	case *Person:
		if in != (was == OpPut) && tx.emptying == "" {
			return tx.placeAll(f, r.ID, in)
		}
	case *Grant:
		if f.people == PeopleGranted && tx.emptying == "" {
			return tx.regroup(f, r.Person)
		}
	case *Site:
		if r.ID == f.site && c.Op == OpPut && r.People != f.people {
			f.people, f.changed = r.People, true
			return tx.regroupAll(f)
		}
	case *Door:
		return tx.moveDoor(f, r, old, c)
	}
	return nil
}

// place brings a record's line in a feed to whether it belongs there, after a
// change by which the record is there or deleted.
func (tx *Tx) place(f *feed, key string, in bool, op Op) error {
	if in {
		return tx.mark(f, key, OpPut)
	}
	rev, was, err := tx.marked(f, key)
	switch {
	case err == nil && op == OpDelete && was == OpAbsent && rev <= f.floor: // see trim
		return tx.unmark(f, key)
	case err != nil || was != OpPut:
		return err
	case tx.emptying != "": // the erasure itself will be in the feed
		return tx.unmark(f, key)
	case op == OpDelete:
		return tx.mark(f, key, OpDelete)
	}
	return tx.mark(f, key, OpAbsent)
}

// within says whether a record belongs to a scope.
func (tx *Tx) within(f *feed, rec shared) (bool, error) {
	switch r := rec.(type) {
	case *Site:
		return r.ID == f.site, nil
	case *Door:
		return r.Site == f.site, nil
	case *Key:
		return r.Site == f.site, nil
	case *Grant:
		return tx.hasDoor(f, r.Door)
	}
	if p := rec.spec().person; p != "" {
		return tx.belongs(f, p)
	}
	return true, nil
}

func (tx *Tx) hasDoor(f *feed, id DoorID) (bool, error) {
	d, err := Get[Door](tx, id)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil && d.Site == f.site && d.Merchant == f.merchant, err
}

// belongs says whether a person belongs to a scope.
func (tx *Tx) belongs(f *feed, p PersonID) (bool, error) {
	if f.people != PeopleGranted {
		return true, nil
	}
	switch self, err := Get[Person](tx, p); {
	case isNotFound(err): // he comes after what tells about him
		return true, nil
	case err != nil || self.Home == f.site:
		return err == nil, err
	}
	grants, err := tx.ids(GrantsByPerson.name, Plain(p))
	for i := 0; err == nil && i < len(grants); i++ {
		var g Grant
		var in bool
		if g, err = Get[Grant](tx, GrantID(grants[i])); err == nil {
			in, err = tx.hasDoor(f, g.Door)
		}
		if in {
			return true, nil
		}
	}
	return false, err
}

// regroup takes a person into a feed or out of it, with all that tells about him.
func (tx *Tx) regroup(f *feed, p PersonID) error {
	in, err := tx.belongs(f, p)
	if err != nil {
		return err
	}
	self := RecordKey(KindPerson, string(p))
	_, was, err := tx.marked(f, self)
	if err != nil || in == (was == OpPut) {
		return err
	}
	if there, err := tx.get(recordBucket(KindPerson), []byte(p)); err != nil || there == nil {
		return err
	}
	if err := tx.place(f, self, in, OpPut); err != nil {
		return err
	}
	return tx.placeAll(f, p, in)
}

// placeAll is place for all that tells about a person.
func (tx *Tx) placeAll(f *feed, p PersonID, in bool) error {
	for _, list := range ofPerson {
		keys, err := list(tx, Plain(p))
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := tx.place(f, key, in, OpPut); err != nil {
				return err
			}
		}
	}
	return nil
}

// regroupAll is regroup for all people of a feed's merchant.
func (tx *Tx) regroupAll(f *feed) error {
	people, err := tx.ids(PersonsByMerchant.name, Plain(f.merchant))
	for i := 0; err == nil && i < len(people); i++ {
		err = tx.regroup(f, PersonID(people[i]))
	}
	return err
}

// moveDoor follows a door that came to another site, or is gone: its grants go
// with it.
func (tx *Tx) moveDoor(f *feed, d *Door, old loaded, c Change) error {
	if c.Op == OpPut {
		if old.plain == nil {
			return nil
		}
		var before Door
		if err := decode(old.plain, &before); err != nil || before.Site == d.Site {
			return err
		}
	}
	ids, err := tx.ids(GrantsByDoor.name, Plain(d.ID))
	for i := 0; err == nil && i < len(ids); i++ {
		var g Grant
		var in bool
		if g, err = Get[Grant](tx, GrantID(ids[i])); err != nil {
			break
		}
		if in, err = tx.within(f, &g); err == nil {
			err = tx.place(f, RecordKey(KindGrant, string(g.ID)), in, OpPut)
		}
		if err == nil && f.people == PeopleGranted {
			err = tx.regroup(f, g.Person)
		}
	}
	return err
}

// bury puts the erasure of a person into all feeds of his merchant, whoever knew
// him there: a box may have had him once.
func (tx *Tx) bury(m MerchantID, p PersonID) error {
	feeds, err := tx.feedsOf(m)
	for i := 0; err == nil && i < len(feeds); i++ {
		key := RecordKey(KindPerson, string(p))
		if m == "" { // in an opening: his record cannot be read, and so not whose he was
			rev, _, err := tx.marked(feeds[i], key)
			if err != nil {
				return err
			} else if rev == 0 {
				continue
			}
		}
		err = tx.mark(feeds[i], key, OpErase)
	}
	return err
}
