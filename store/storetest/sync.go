package storetest

import (
	"errors"
	"reflect"
	"slices"

	"github.com/cypherface/edge/store"
)

var syncTests = []test{
	{"Feed", testFeed},
	{"FeedOfGranted", testFeedOfGranted},
	{"Apply", testApply},
	{"Merge", testMerge},
	{"SameEmail", testSameEmail},
	{"Erasure", testSyncErasure},
	{"Ingest", testIngest},
	{"Tombstones", testTombstones},
	{"RestoredCentral", testRestoredCentral},
	{"MadeAnew", testMadeAnew},
	{"OutOfScope", testOutOfScope},
	{"StolenKey", testStolenKey},
	{"Home", testHome},
	{"DeletedAfterItLeft", testDeletedAfterItLeft},
	{"DeletedBeforeItCame", testDeletedBeforeItCame},
	{"RandomBoxes", testRandomBoxes},
}

// fleet is a central with one site and its boxes, each a store of its own.
type fleet struct {
	*suite
	site  store.Site
	boxes []*box
}

// box is one that joined; its merchant goes by another id there.
type box struct {
	*suite
	device store.DeviceID
	people store.MerchantID
}

func newFleet(s *suite, n int) *fleet {
	s.Helper()
	m := newMerchantID()
	f := &fleet{suite: s, site: store.Site{ID: store.NewID[store.SiteID](start), Merchant: m, Name: "gate"}}
	put(s, &store.Merchant{ID: m, Name: "of the central"})
	put(s, &f.site)
	s.update(func(tx *store.Tx) error { return store.Share(tx, f.site.ID) })
	for range n {
		f.join()
	}
	return f
}

// join adds a box.
func (f *fleet) join() *box {
	f.Helper()
	s := &suite{T: f.T, open: f.fresh(f.T), fresh: f.fresh}
	s.reopen()
	f.Cleanup(func() { s.Close() })
	b := &box{suite: s, device: s.Info().Device, people: newMerchantID()}
	put(s, &store.Merchant{ID: b.people, Name: "of a box"})
	s.update(func(tx *store.Tx) error {
		return errors.Join(store.Join(tx, store.Link{Merchant: b.people, Site: f.site.ID}), store.Meet(tx, f.Info().Device, f.Info().Epoch))
	})
	put(f.suite, &store.Device{ID: b.device, Merchant: f.site.Merchant, Site: f.site.ID, Status: store.Active})
	f.boxes = append(f.boxes, b)
	return b
}

// outgoing reads what a box has to say after what the central holds of it.
func (f *fleet) outgoing(b *box, limit int) (p store.IngestPart) {
	f.Helper()
	p.Device, p.Epoch = b.device, b.Info().Epoch
	var held store.Box
	f.view(func(tx *store.Tx) (err error) { held, err = store.Held(tx, b.device); return err })
	b.view(func(tx *store.Tx) (err error) {
		from, err := store.Acked(tx, store.Consumer)
		if err != nil {
			return err
		}
		if held.Head == 0 {
			p.Gone = from
		} else {
			from = held.Head
		}
		p.Events, err = store.OutgoingEvents(tx, from, limit, 1<<20)
		return err
	})
	return p
}

// push brings what a box did to the central; it returns what became of its edits.
func (f *fleet) push(b *box, limit int) (merged []store.Merged) {
	f.Helper()
	p := f.outgoing(b, limit)
	var through uint64
	f.update(func(tx *store.Tx) (err error) { through, merged, err = store.Ingest(tx, p); return err })
	b.update(func(tx *store.Tx) error { return store.Reached(tx, through) })
	return merged
}

// part reads what comes next for a box.
func (f *fleet) part(b *box, limit int) (p store.FeedPart) {
	f.Helper()
	var l store.Link
	b.view(func(tx *store.Tx) (err error) { l, err = store.Get[store.Link](tx, store.TheLink); return err })
	p.Central, p.Epoch, p.After = f.Info().Device, f.Info().Epoch, l.At
	f.view(func(tx *store.Tx) (err error) {
		held, err := store.Held(tx, b.device)
		if err != nil {
			return err
		}
		p.Merged = held.Head
		p.Changes, p.Through, err = store.Feed(tx, f.site.ID, l.At, limit, 1<<20)
		return err
	})
	return p
}

// pull brings changes at the central to a box that has a bookmark.
func (f *fleet) pull(b *box, limit int) {
	f.Helper()
	p := f.part(b, limit)
	b.update(func(tx *store.Tx) error { return store.ApplyFeed(tx, p) })
	f.update(func(tx *store.Tx) error { return store.Applied(tx, b.device, p.Through) })
}

// snapshot brings everything to a box, limit records at a time.
func (f *fleet) snapshot(b *box, limit int) {
	f.Helper()
	p := store.RangePart{Central: f.Info().Device, Epoch: f.Info().Epoch}
	for !p.Last {
		p.After = p.Next
		f.view(func(tx *store.Tx) error {
			held, err := store.Held(tx, b.device)
			if err != nil {
				return err
			}
			p.Merged = held.Head
			if p.Rev == 0 {
				state, err := store.FeedStateOf(tx, f.site.ID)
				if err != nil {
					return err
				}
				p.Rev = state.Head
			}
			p.Records, p.Next, p.Last, err = store.FeedRange(tx, f.site.ID, p.After, limit, 1<<20)
			return err
		})
		b.update(func(tx *store.Tx) error { return store.ApplyRange(tx, p) })
	}
}

// settle has everybody say and hear everything.
func (f *fleet) settle() {
	f.Helper()
	for range 3 {
		for _, b := range f.boxes {
			f.push(b, 1<<20)
		}
		for _, b := range f.boxes {
			f.pull(b, 1<<20)
		}
	}
}

// sharedRecords returns all shared records of a store by their keys, as the central would
// write them.
func sharedRecords(s *suite, m store.MerchantID) map[string]any {
	s.Helper()
	all := map[string]any{}
	s.view(func(tx *store.Tx) error {
		for p, err := range store.All(tx, store.PersonsByMerchant, store.Plain(m)) {
			if err != nil {
				return err
			}
			p.Rev, p.Merchant = 0, ""
			all[store.RecordKey(store.KindPerson, string(p.ID))] = p
			for c, err := range store.All(tx, store.CropsByPerson, store.Plain(p.ID)) {
				if err != nil {
					return err
				}
				c.Rev, c.Merchant = 0, ""
				all[store.RecordKey(store.KindCrop, string(c.ID))] = c
			}
			for t, err := range store.All(tx, store.TemplatesByPerson, store.Plain(p.ID)) {
				if err != nil {
					return err
				}
				t.Rev, t.Merchant = 0, ""
				all[store.RecordKey(store.KindTemplate, string(t.ID))] = t
			}
			for g, err := range store.All(tx, store.GrantsByPerson, store.Plain(p.ID)) {
				if err != nil {
					return err
				}
				g.Rev, g.Merchant = 0, ""
				all[store.RecordKey(store.KindGrant, string(g.ID))] = g
			}
		}
		return nil
	})
	return all
}

// converged checks that all boxes hold what the central does, and that all stores
// are whole.
func (f *fleet) converged() {
	f.Helper()
	want := sharedRecords(f.suite, f.site.Merchant)
	for i, b := range f.boxes {
		got := sharedRecords(b.suite, b.people)
		for key, rec := range want {
			if !reflect.DeepEqual(got[key], rec) {
				f.Errorf("box %d has %s as\n%+v, the central as\n%+v", i, key, got[key], rec)
			}
		}
		for key := range got {
			if want[key] == nil {
				f.Errorf("box %d has %s, which the central has not: %+v", i, key, got[key])
			}
		}
		if faults, _ := b.faults(); len(faults) > 0 {
			f.Errorf("box %d: %v", i, faults)
		}
		b.view(func(tx *store.Tx) error {
			for e, err := range store.Envelopes(tx, 1, 1<<40) {
				if err != nil {
					return err
				}
				if e.Change != nil {
					if _, err := store.Get[store.Pending](tx, store.PendingID(store.RecordKey(e.Change.Kind, e.Change.ID))); err == nil {
						f.Errorf("box %d still waits for %s %s", i, e.Change.Kind, e.Change.ID)
					}
				}
			}
			return nil
		})
	}
	if faults, _ := f.faults(); len(faults) > 0 {
		f.Errorf("central: %v", faults)
	}
}

// testFeed: revisions are dense, each record has one line, a refused Update leaves
// no trace, and a reader may resume anywhere.
func testFeed(s *suite) {
	f := newFleet(s, 0)
	first := f.state()
	if first.Head != 2 { // merchant and site
		s.Fatalf("a new feed is at %d, want 2", first.Head)
	}
	p := newPerson(f.site.Merchant, 1)
	put(s, &p)
	err := s.Update(s.Context(), cause, func(tx *store.Tx) error {
		p.Phone = "1"
		return errors.Join(store.Put(tx, &p), errTakenBack)
	})
	if !errors.Is(err, errTakenBack) {
		s.Fatal(err)
	}
	p, _ = get[store.Person](s, p.ID)
	p.Phone = "2"
	put(s, &p)
	q := newPerson(f.site.Merchant, 2)
	put(s, &q)
	s.reopen()
	if head := f.state().Head; head != 5 {
		s.Errorf("three changes lead to %d, want 5", head)
	}
	changes := f.feed(2)
	if len(changes) != 2 || changes[0].Rev != 4 || changes[0].ID != string(p.ID) || changes[1].Rev != 5 {
		s.Errorf("feed after 2: %+v", changes)
	}
	if changes := f.feed(4); len(changes) != 1 || changes[0].ID != string(q.ID) {
		s.Errorf("feed after 4: %+v", changes)
	}
	s.update(func(tx *store.Tx) error { return store.Delete[store.Person](tx, q.ID) })
	if changes := f.feed(4); len(changes) != 1 || changes[0].Op != store.OpDelete || changes[0].Rev != 6 {
		s.Errorf("feed after a deletion: %+v", changes)
	}
	other := newPerson(newMerchantID(), 3)
	put(s, &other)
	if head := f.state().Head; head != 6 {
		s.Errorf("a person of another merchant leads to %d", head)
	}
	if faults, _ := s.faults(); len(faults) > 0 {
		s.Error(faults)
	}
}

func (f *fleet) state() (state store.FeedState) {
	f.Helper()
	f.view(func(tx *store.Tx) (err error) { state, err = store.FeedStateOf(tx, f.site.ID); return err })
	return state
}

func (f *fleet) feed(after uint64) (changes []store.FeedChange) {
	f.Helper()
	f.view(func(tx *store.Tx) (err error) {
		changes, _, err = store.Feed(tx, f.site.ID, after, 1000, 1<<20)
		return err
	})
	return changes
}

// testFeedOfGranted: where a site knows only those with a grant, people come and go
// with their grants, with all that tells about them.
func testFeedOfGranted(s *suite) {
	f := newFleet(s, 0)
	f.site.People = store.PeopleGranted
	put(s, &f.site)
	door := store.Door{ID: store.NewID[store.DoorID](start), Merchant: f.site.Merchant, Site: f.site.ID}
	put(s, &door)
	p := newPerson(f.site.Merchant, 1)
	put(s, &p)
	put(s, &store.Template{ID: store.NewTemplateID(p.ID, "x"), Merchant: p.Merchant, Person: p.ID, Space: "x", Vector: []float32{1}})
	b := f.join()
	knows := func() (n int) {
		f.pull(b, 100)
		return len(sharedRecords(b.suite, b.people))
	}
	if n := knows(); n != 0 {
		s.Errorf("%d records of somebody without a grant", n)
	}
	g := store.Grant{ID: store.NewID[store.GrantID](start), Merchant: p.Merchant, Person: p.ID, Door: door.ID}
	put(s, &g)
	if n := knows(); n != 3 {
		s.Errorf("%d records of somebody with a grant, want person, template and grant", n)
	}
	s.update(func(tx *store.Tx) error { return store.Delete[store.Grant](tx, g.ID) })
	if n := knows(); n != 0 {
		s.Errorf("%d records of somebody whose grant ended", n)
	}
	f.site.People = store.PeopleAll
	put(s, &f.site)
	if n := knows(); n != 2 {
		s.Errorf("%d records where everybody is known, want 2", n)
	}
	f.converged()
}

// testApply: a part is applied whole and once, with its bookmark, and only where it
// follows; what comes from the central is no event of its own.
func testApply(s *suite) {
	f := newFleet(s, 1)
	b := f.boxes[0]
	p := newPerson(f.site.Merchant, 1)
	put(s, &p)
	part := f.part(b, 100)
	var watched []store.Changed
	b.Watch(func(c store.Commit) { watched = append(watched, c.Changes...) })
	head := b.head()
	b.update(func(tx *store.Tx) error { return store.ApplyFeed(tx, part) })
	if n := b.head() - head; n != 1 {
		s.Errorf("a part made %d events, want 1", n)
	}
	if len(watched) != 3 || watched[2].Kind != store.KindPerson || watched[2].Merchant != b.people {
		s.Errorf("watchers heard of %+v", watched)
	}
	if err := b.Update(s.Context(), cause, func(tx *store.Tx) error { return store.ApplyFeed(tx, part) }); !errors.Is(err, store.ErrGap) {
		s.Errorf("the same part again: %v, want ErrGap", err)
	}
	b.reopen()
	got, err := get[store.Person](b.suite, p.ID)
	if err != nil || got.Merchant != b.people || got.Email != p.Email || got.Rev != p.Rev || !got.Created.Equal(p.Created) {
		s.Errorf("the box has %+v, %v", got, err)
	}
	if m, err := get[store.Merchant](b.suite, b.people); err != nil || m.Name != "of the central" {
		s.Errorf("the merchant is %+v, %v", m, err)
	}
	part.After, part.Through = part.Through+5, part.Through+6
	if err := b.Update(s.Context(), cause, func(tx *store.Tx) error { return store.ApplyFeed(tx, part) }); !errors.Is(err, store.ErrGap) {
		s.Errorf("a part of later: %v, want ErrGap", err)
	}
	own := newPerson(b.people, 7)
	put(b.suite, &own)
	q := newPerson(f.site.Merchant, 9)
	put(s, &q)
	s.update(func(tx *store.Tx) error { return store.Delete[store.Person](tx, p.ID) })
	f.snapshot(b, 1)
	if _, err := get[store.Person](b.suite, p.ID); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("a snapshot left who is not in it: %v", err)
	}
	if _, err := get[store.Person](b.suite, own.ID); err != nil {
		s.Errorf("a snapshot took who was never sent: %v", err)
	}
	f.settle()
	f.converged()
}

// testMerge: fields that two changed are the first comer's, all others are kept,
// what was lost is in the journal, and changes that follow each other on one box
// never stand in conflict, acknowledged or not.
func testMerge(s *suite) {
	f := newFleet(s, 2)
	a, b := f.boxes[0], f.boxes[1]
	p := newPerson(f.site.Merchant, 1)
	put(s, &p)
	f.settle()
	change := func(x *box, fn func(*store.Person)) {
		q, err := get[store.Person](x.suite, p.ID)
		if err != nil {
			s.Fatal(err)
		}
		fn(&q)
		put(x.suite, &q)
	}
	change(a, func(q *store.Person) { q.Phone = "1" })
	early := f.outgoing(a, 100)
	change(a, func(q *store.Person) { q.Phone = "2" })
	change(b, func(q *store.Person) { q.Lastname = "King" })
	s.update(func(tx *store.Tx) error { _, _, err := store.Ingest(tx, early); return err })
	f.push(a, 100)
	f.push(b, 100)
	f.settle()
	f.converged()
	if q, _ := get[store.Person](s, p.ID); q.Phone != "2" || q.Lastname != "King" {
		s.Errorf("merged to %q and %q", q.Phone, q.Lastname)
	}
	change(a, func(q *store.Person) { q.Phone = "3" })
	change(b, func(q *store.Person) { q.Phone, q.Firstname = "4", "Augusta" })
	f.push(a, 100)
	if m := f.push(b, 100); len(m) != 1 || m[0].Merge != store.MergePartly || !slices.Equal(m[0].Lost, []string{"phone"}) {
		s.Errorf("a late change became %+v", m)
	}
	f.settle()
	f.converged()
	if q, _ := get[store.Person](b.suite, p.ID); q.Phone != "3" || q.Firstname != "Augusta" {
		s.Errorf("merged to %q and %q", q.Phone, q.Firstname)
	}
	var lost map[string]string
	for _, e := range events(s) {
		if e.Kind == store.EventConflict {
			s.view(func(tx *store.Tx) error { return store.Personal(tx, &e, &lost) })
		}
	}
	if lost["phone"] != "4" {
		s.Errorf("the journal keeps %v of what was lost", lost)
	}
	if r := list(s, store.ReviewsByPerson, store.Query[store.Review]{Prefix: []store.Term{store.Plain(p.ID)}}); len(r.Items) != 1 || r.Items[0].Reason != store.ReviewConflict {
		s.Errorf("reviews: %+v", r.Items)
	}
	change(a, func(q *store.Person) { q.Phone = "5" })
	b.update(func(tx *store.Tx) error { return store.Delete[store.Person](tx, p.ID) })
	f.push(b, 100)
	if m := f.push(a, 100); len(m) != 1 || m[0].Merge != store.MergeRefused {
		s.Errorf("a change of who was deleted became %+v", m)
	}
	f.settle()
	f.converged()
	if _, err := get[store.Person](a.suite, p.ID); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("who was deleted is still there: %v", err)
	}
}

// testSameEmail: of two people with one address, both stay, the second marked.
func testSameEmail(s *suite) {
	f := newFleet(s, 2)
	var ids []store.PersonID
	for _, b := range f.boxes {
		p := newPerson(b.people, 1)
		put(b.suite, &p)
		ids = append(ids, p.ID)
	}
	f.settle()
	f.converged()
	first, _ := get[store.Person](s, ids[0])
	second, err := get[store.Person](s, ids[1])
	if err != nil || first.Email == "" || second.Email != "" || second.Disputed.Email != first.Email || second.Disputed.ExternalID != first.ExternalID {
		s.Fatalf("%+v and %+v, %v", first, second, err)
	}
	r := list(s, store.ReviewsByPerson, store.Query[store.Review]{Prefix: []store.Term{store.Plain(ids[1])}})
	if len(r.Items) != 1 || !slices.Equal(r.Items[0].Persons, ids) {
		s.Errorf("reviews: %+v", r.Items)
	}
	first.Email = "other@example.org"
	put(s, &first)
	second.Email, second.Disputed = second.Disputed.Email, store.Disputed{}
	put(s, &second)
	first.Phone = "9" // so that it comes after the other in the feed
	put(s, &first)
	f.settle()
	f.converged()
}

// testSyncErasure: who is erased anywhere is erased everywhere, and comes back by no
// way: not from a box that did not know, not from a late edit, not by adoption.
func testSyncErasure(s *suite) {
	f := newFleet(s, 3)
	a, b, late := f.boxes[0], f.boxes[1], f.boxes[2]
	p := newPerson(a.people, 1)
	put(a.suite, &p)
	a.update(func(tx *store.Tx) error {
		crop := store.Crop{ID: store.NewID[store.CropID](start), Merchant: a.people, Person: p.ID}
		_, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: a.people, Person: p.ID}, p.Firstname)
		return errors.Join(err, store.Put(tx, &crop))
	})
	f.settle()
	f.converged()
	q, err := get[store.Person](late.suite, p.ID)
	if err != nil {
		s.Fatal(err)
	}
	q.Phone = "late"
	put(late.suite, &q)
	b.update(func(tx *store.Tx) error { return store.Erase(tx, p.ID) })
	replay := f.outgoing(a, 100)
	f.settle()
	f.converged()
	for i, x := range append([]*suite{s}, a.suite, b.suite, late.suite) {
		if _, err := get[store.Person](x, p.ID); !errors.Is(err, store.ErrNotFound) {
			s.Errorf("store %d: %v", i, err)
		}
		err := x.Update(s.Context(), cause, func(tx *store.Tx) error {
			return store.Put(tx, &store.Person{ID: p.ID, Merchant: a.people})
		})
		if !errors.Is(err, store.ErrErased) {
			s.Errorf("store %d: put him again: %v, want ErrErased", i, err)
		}
	}
	s.view(func(tx *store.Tx) error {
		proofs := map[store.DeviceID]bool{}
		for e, err := range store.All(tx, store.ForeignByPerson, store.Plain(p.ID)) {
			if err != nil {
				return err
			}
			var name string
			if err := store.ForeignPersonal(tx, &e, &name); !errors.Is(err, store.ErrNotFound) {
				s.Errorf("personal part of event %d: %q, %v", e.Seq, name, err)
			}
			if e.Event.Kind == store.EventErasure {
				proofs[e.Device] = true
			}
		}
		if len(proofs) != 3 {
			s.Errorf("%d boxes proved the erasure, want 3", len(proofs))
		}
		return nil
	})
	s.update(func(tx *store.Tx) error { _, _, err := store.Ingest(tx, replay); return err })
	f.snapshot(f.join(), 1)
	f.settle()
	f.converged()
}

// testIngest: events are held once, in order, as they were; another story is refused.
func testIngest(s *suite) {
	f := newFleet(s, 1)
	b := f.boxes[0]
	for i := range 5 {
		p := newPerson(b.people, i)
		put(b.suite, &p)
	}
	all := f.outgoing(b, 100)
	ingest := func(p store.IngestPart) (uint64, error) {
		var through uint64
		err := s.Update(s.Context(), cause, func(tx *store.Tx) (err error) { through, _, err = store.Ingest(tx, p); return err })
		return through, err
	}
	gap := all
	gap.Events = all.Events[2:]
	if _, err := ingest(gap); !errors.Is(err, store.ErrGap) {
		s.Errorf("with a gap: %v", err)
	}
	for range 3 {
		if through, err := ingest(all); err != nil || through != b.head() {
			s.Errorf("held up to %d, %v, want %d", through, err, b.head())
		}
	}
	if n := len(sharedRecords(s, f.site.Merchant)); n != 5 {
		s.Errorf("%d people, want 5", n)
	}
	other := all
	forged := slices.Clone(all.Events[3].Raw)
	forged[len(forged)-20]++
	other.Events = slices.Clone(all.Events)
	other.Events[3].Raw = forged
	if _, err := ingest(other); err == nil {
		s.Error("another story was taken")
	}
	stranger := all
	stranger.Device = store.NewUUID[store.DeviceID]()
	if _, err := ingest(stranger); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("of a stranger: %v", err)
	}
	s.view(func(tx *store.Tx) error {
		for i, o := range all.Events {
			e, err := store.ForeignEvent(tx, store.NewForeignID(b.device, all.Epoch, o.Seq))
			if err != nil || string(e.Raw) != string(o.Raw) || e.Owner != f.site.Merchant {
				s.Errorf("event %d is held as %+v, %v", i, e, err)
			}
		}
		n, err := store.Count(tx, store.ForeignByMerchant, store.Plain(f.site.Merchant))
		if n != len(all.Events) {
			s.Errorf("%d events are held, want %d", n, len(all.Events))
		}
		return err
	})
	d, _ := get[store.Device](s, b.device)
	d.Status = store.Revoked
	put(s, &d)
	if _, err := ingest(all); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("of a revoked box: %v", err)
	}
}

// testTombstones: one stays until each box that counts has it.
func testTombstones(s *suite) {
	f := newFleet(s, 2)
	p := newPerson(f.site.Merchant, 1)
	put(s, &p)
	f.settle()
	s.update(func(tx *store.Tx) error { return store.Erase(tx, p.ID) })
	trim := func() (n int) {
		s.update(func(tx *store.Tx) (err error) { n, err = store.TrimFeed(tx, f.site.ID, 1000); return err })
		return n
	}
	f.pull(f.boxes[0], 100)
	if n := trim(); n != 0 {
		s.Errorf("trimmed %d with a box that has not heard of it", n)
	}
	f.pull(f.boxes[1], 100)
	if n := trim(); n != 1 {
		s.Errorf("trimmed %d, want 1", n)
	}
	if state := f.state(); state.Floor != state.Head {
		s.Errorf("the feed stands at %+v", state)
	}
	f.converged()
}

// restored is the central from a backup of before its boxes sent anything, and
// before anything was done there since. Some boxes have the events still that they
// sent.
func (f *fleet) restored(have ...*box) *fleet {
	f.Helper()
	s := &suite{T: f.T, open: f.fresh(f.T), fresh: f.fresh}
	s.reopen()
	f.Cleanup(func() { s.Close() })
	f.site.Meta = store.Meta{}
	put(s, &store.Merchant{ID: f.site.Merchant, Name: "of the central"})
	put(s, &f.site)
	s.update(func(tx *store.Tx) error { return store.Share(tx, f.site.ID) })
	for _, b := range f.boxes {
		put(s, &store.Device{ID: b.device, Merchant: f.site.Merchant, Site: f.site.ID, Status: store.Active})
		b.update(func(tx *store.Tx) error {
			return store.Meet(tx, s.Info().Device, s.Info().Epoch)
		})
	}
	for _, b := range have {
		b.update(func(tx *store.Tx) error { return store.Reached(tx, 0) })
	}
	return &fleet{suite: s, site: f.site, boxes: f.boxes}
}

// testRestoredCentral: one that went back to before what a box sent gets it again, be
// it that others spoke of it before; what somebody withdrew stays withdrawn as long
// as a box knows; and so do erasures.
func testRestoredCentral(s *suite) {
	f := newFleet(s, 3)
	a, b, c := f.boxes[0], f.boxes[1], f.boxes[2]
	door := store.Door{ID: store.NewID[store.DoorID](start), Merchant: a.people, Site: f.site.ID, Name: "door"}
	put(a.suite, &door)
	p, erased := newPerson(a.people, 1), newPerson(a.people, 2)
	put(a.suite, &p)
	put(a.suite, &erased)
	g := store.Grant{ID: store.NewID[store.GrantID](start), Merchant: a.people, Person: p.ID, Door: door.ID}
	put(a.suite, &g)
	f.settle()
	p, _ = get[store.Person](b.suite, p.ID)
	p.Phone = "of b"
	put(b.suite, &p)
	s.update(func(tx *store.Tx) error {
		return errors.Join(store.Delete[store.Grant](tx, g.ID), store.Erase(tx, erased.ID))
	})
	f.pull(c, 100) // which has heard of both, and nobody else
	f.push(c, 100)

	f = f.restored(a, b)
	f.snapshot(c, 10)
	if m := f.push(b, 100); len(m) != 1 || m[0].Merge != store.MergeRefused {
		f.Errorf("the change of somebody who is not known is %+v", m)
	}
	f.pull(c, 100)
	f.snapshot(a, 10)
	f.snapshot(b, 10)
	if m := f.push(a, 100); len(m) != 4 {
		f.Errorf("offered again are %+v", m)
	}
	if _, err := get[store.Grant](f.suite, g.ID); err != nil {
		f.Fatalf("the grant is not offered again: %v", err)
	}
	f.settle()
	f.converged()
	if _, err := get[store.Person](f.suite, p.ID); err != nil {
		f.Errorf("who was enrolled is lost: %v", err)
	}
	if _, err := get[store.Grant](f.suite, g.ID); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("the grant that was withdrawn is there: %v", err)
	}
	f.view(func(tx *store.Tx) error {
		if gone, err := store.WasErased(tx, erased.ID); err != nil || !gone {
			f.Errorf("who was erased is there: %v", err)
		}
		return nil
	})
	for _, x := range []*suite{f.suite, a.suite, b.suite, c.suite} {
		if faults, _ := x.faults(); len(faults) > 0 {
			f.Error(faults)
		}
	}
}

// testMadeAnew: what a box makes under the id of what was deleted is taken where it
// knew of the deletion, and only there.
func testMadeAnew(s *suite) {
	f := newFleet(s, 2)
	a, b := f.boxes[0], f.boxes[1]
	p := newPerson(a.people, 1)
	put(a.suite, &p)
	id := store.NewTemplateID(p.ID, "x")
	enrol := func(at *box, v float32) {
		put(at.suite, &store.Template{ID: id, Merchant: at.people, Person: p.ID, Space: "x", Vector: []float32{v}})
	}
	f.settle()
	enrol(a, 1)
	f.settle()
	remove := func(tx *store.Tx) error { return store.Delete[store.Template](tx, id) }
	b.update(remove)
	f.settle()
	enrol(a, 2)
	f.settle()
	f.converged()
	if x, err := get[store.Template](s, id); err != nil || x.Vector[0] != 2 {
		s.Errorf("a face that was enrolled anew: %v, %v", x.Vector, err)
	}
	a.update(remove)
	f.settle()
	enrol(a, 3) // without knowing that it is made and deleted elsewhere
	enrol(b, 4)
	f.push(b, 100)
	s.update(remove)
	f.settle()
	f.converged()
	if _, err := get[store.Template](s, id); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("a face that was deleted is there: %v", err)
	}
}

// testOutOfScope: what a box takes away is gone though it left the scope of the box
// meanwhile; what it changes is not merged, and not lost.
func testOutOfScope(s *suite) {
	f := newFleet(s, 1)
	a := f.boxes[0]
	f.site, _ = get[store.Site](s, f.site.ID)
	f.site.People = store.PeopleGranted
	put(s, &f.site)
	door := store.Door{ID: store.NewID[store.DoorID](start), Merchant: f.site.Merchant, Site: f.site.ID, Name: "door"}
	put(s, &door)
	var people [3]store.Person
	var grants [3]store.Grant
	for i := range people {
		people[i] = newPerson(f.site.Merchant, i)
		put(s, &people[i])
		grants[i] = store.Grant{ID: store.NewID[store.GrantID](start), Merchant: f.site.Merchant, Person: people[i].ID, Door: door.ID}
		put(s, &grants[i])
	}
	var crops [2]store.Crop
	for i := range crops {
		crops[i] = store.Crop{ID: store.NewID[store.CropID](start), Merchant: f.site.Merchant, Person: people[0].ID, Image: []byte("x")}
		put(s, &crops[i])
	}
	f.settle()
	for i := range grants {
		s.update(func(tx *store.Tx) error { return store.Delete[store.Grant](tx, grants[i].ID) })
	}
	remove := func(c store.Crop) {
		a.update(func(tx *store.Tx) error { return store.Delete[store.Crop](tx, c.ID) })
	}
	remove(crops[0])
	a.update(func(tx *store.Tx) error { return store.Erase(tx, people[1].ID) })
	p, _ := get[store.Person](a.suite, people[2].ID)
	p.Phone = "of a"
	put(a.suite, &p)
	early := f.outgoing(a, 100)
	remove(crops[1])
	f.pull(a, 100) // that all three people have left it
	s.update(func(tx *store.Tx) error { _, _, err := store.Ingest(tx, early); return err })
	f.settle()
	for i := range crops {
		if _, err := get[store.Crop](s, crops[i].ID); !errors.Is(err, store.ErrNotFound) {
			s.Errorf("picture %d, which was deleted, is there: %v", i, err)
		}
	}
	if _, err := get[store.Person](s, people[1].ID); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("who was erased is there: %v", err)
	}
	a.view(func(tx *store.Tx) error {
		for i := range crops {
			if p, err := store.Get[store.Pending](tx, store.PendingID(store.RecordKey(store.KindCrop, string(crops[i].ID)))); !errors.Is(err, store.ErrNotFound) {
				s.Errorf("the box waits for ever: %+v, %v", p, err)
			}
		}
		return nil
	})
	var lost map[string]string
	for _, e := range events(s) {
		if e.Kind == store.EventConflict && e.Person == people[2].ID {
			s.view(func(tx *store.Tx) error { return store.Personal(tx, &e, &lost) })
		}
	}
	if lost["phone"] != "of a" {
		s.Errorf("the journal keeps %v of what was lost", lost)
	}
}
