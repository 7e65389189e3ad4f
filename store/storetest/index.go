package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cypherface/edge/store"
)

var indexTests = []test{
	{"Pages", testPages},
	{"Bounds", testBounds},
	{"CursorWhileOthersWrite", testCursorWhileWriting},
	{"CursorRefused", testCursorRefused},
	{"SearchWithBudget", testSearch},
	{"Prefixes", testPrefixes},
	{"All", testAll},
}

// people puts n people of a merchant and returns their ids in order of creation.
func people(s *suite, m store.MerchantID, n int) []store.PersonID {
	s.Helper()
	var ids []store.PersonID
	for i := range n {
		p := newPerson(m, i)
		put(s, &p)
		ids = append(ids, p.ID)
	}
	return ids
}

func idsOf(ps []store.Person) (ids []store.PersonID) {
	for _, p := range ps {
		ids = append(ids, p.ID)
	}
	return ids
}

// walk lists page by page and returns all, checking that no page is too long.
func walk[T any, P store.Listed[T]](s *suite, ix store.Index[T], q store.Query[T]) (all []T, pages int) {
	s.Helper()
	for {
		page := list[T, P](s, ix, q)
		if q.Limit > 0 && len(page.Items) > q.Limit {
			s.Errorf("page of %d, limit %d", len(page.Items), q.Limit)
		}
		all, pages = append(all, page.Items...), pages+1
		if page.Next == "" {
			return all, pages
		}
		if q.Cursor, q.Skip = page.Next, 0; pages > 10_000 {
			s.Fatal("listing does not end")
		}
	}
}

func testPages(s *suite) {
	m := newMerchantID()
	people(s, newMerchantID(), 3) // of somebody else
	ids := people(s, m, 10)
	back := slices.Clone(ids)
	slices.Reverse(back)
	prefix := []store.Term{store.Plain(m)}
	for _, tt := range []struct {
		q     store.Query[store.Person]
		want  []store.PersonID
		pages int
	}{
		{store.Query[store.Person]{}, ids, 1},
		{store.Query[store.Person]{Limit: 3}, ids, 4},
		{store.Query[store.Person]{Limit: 5}, ids, 2},
		{store.Query[store.Person]{Limit: 10}, ids, 1},
		{store.Query[store.Person]{Limit: 4, Reverse: true}, back, 3},
		{store.Query[store.Person]{Limit: 4, Skip: 8}, ids[8:], 1},
		{store.Query[store.Person]{Skip: 10}, nil, 1},
	} {
		tt.q.Prefix = prefix
		got, pages := walk(s, store.PersonsByMerchant, tt.q)
		if !slices.Equal(idsOf(got), tt.want) || pages != tt.pages {
			s.Errorf("%+v: %d pages of %v, want %d of %v", tt.q, pages, idsOf(got), tt.pages, tt.want)
		}
	}
	s.view(func(tx *store.Tx) error {
		n, err := store.Count(tx, store.PersonsByMerchant, prefix...)
		if n != 10 || err != nil {
			s.Errorf("count: %d, %v, want 10", n, err)
		}
		return nil
	})
}

func testBounds(s *suite) {
	var ids []string
	s.update(func(tx *store.Tx) error {
		for i := range 6 {
			e, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: "m",
				Time: start.Add(time.Duration(i) * time.Hour)}, nil)
			if err != nil {
				return err
			}
			ids = append(ids, fmt.Sprint(e.Seq))
		}
		return nil
	})
	at := func(hours int) store.Term { return store.Moment(start.Add(time.Duration(hours) * time.Hour)) }
	for _, tt := range []struct {
		from, to store.Term
		reverse  bool
		want     string
	}{
		{store.Term{}, store.Term{}, false, "1 2 3 4 5 6"},
		{at(2), store.Term{}, false, "3 4 5 6"},
		{store.Term{}, at(2), false, "1 2"},
		{at(1), at(4), false, "2 3 4"},
		{at(1), at(4), true, "4 3 2"},
		{at(4), at(1), false, ""},
		{at(9), store.Term{}, true, ""},
	} {
		got, _ := walk(s, store.EventsByMerchant, store.Query[store.Event]{
			Prefix: []store.Term{store.Plain("m"), store.Plain(store.EventDecision)},
			From:   tt.from, To: tt.to, Reverse: tt.reverse, Limit: 2,
		})
		var seqs []string
		for _, e := range got {
			seqs = append(seqs, fmt.Sprint(e.Seq))
		}
		if strings.Join(seqs, " ") != tt.want {
			s.Errorf("from %v to %v: %v, want %s of %v", tt.from, tt.to, seqs, tt.want, ids)
		}
	}
}

// testCursorWhileWriting reads pages while records come and go: those that are
// there throughout appear exactly once.
func testCursorWhileWriting(s *suite) {
	m := newMerchantID()
	ids := people(s, m, 20)
	seen := map[store.PersonID]int{}
	q := store.Query[store.Person]{Prefix: []store.Term{store.Plain(m)}, Limit: 3}
	for n := 0; ; n++ {
		page := list(s, store.PersonsByMerchant, q)
		for _, p := range page.Items {
			seen[p.ID]++
		}
		if page.Next == "" {
			break
		}
		last := page.Items[len(page.Items)-1].ID
		late := newPerson(m, 100+n)
		s.update(func(tx *store.Tx) error {
			if err := store.Put(tx, &late); err != nil {
				return err
			}
			if n == 1 { // the very record the cursor stands on
				return store.Delete[store.Person](tx, last)
			}
			return nil
		})
		q.Cursor = page.Next
	}
	for _, id := range ids {
		if seen[id] != 1 {
			s.Errorf("person %s was listed %d times", id, seen[id])
		}
	}
}

func testCursorRefused(s *suite) {
	m, other := newMerchantID(), newMerchantID()
	people(s, m, 3)
	people(s, other, 3)
	mine := store.Query[store.Person]{Prefix: []store.Term{store.Plain(m)}, Limit: 1}
	for _, cursor := range []store.Cursor{"!", "====", "a", "\x00", "Zm9v\n="} {
		q := mine
		q.Cursor = cursor
		err := s.View(s.Context(), func(tx *store.Tx) error {
			page, err := store.List(tx, store.PersonsByMerchant, q)
			for _, p := range page.Items {
				if p.Merchant != m {
					s.Errorf("cursor %q led to another merchant", cursor)
				}
			}
			return err
		})
		if err != nil && !errors.Is(err, store.ErrCursor) {
			s.Errorf("cursor %q: error %v, want ErrCursor", cursor, err)
		}
	}
}

func testSearch(s *suite) {
	m := newMerchantID()
	ids := people(s, m, 30)
	read := 0
	q := store.Query[store.Person]{
		Prefix: []store.Term{store.Plain(m)}, Limit: 2, Budget: 7,
		Keep: func(p *store.Person) bool {
			read++
			return strings.HasSuffix(p.Firstname, "9")
		},
	}
	page := list(s, store.PersonsByMerchant, q)
	if read > q.Budget || len(page.Items) != 0 || page.Next == "" {
		s.Errorf("first page: %d read, %d items, next %q; want at most %d read, none, a cursor", read, len(page.Items), page.Next, q.Budget)
	}
	want := []store.PersonID{ids[9], ids[19], ids[29]}
	if all, _ := walk(s, store.PersonsByMerchant, q); !slices.Equal(idsOf(all), want) {
		s.Errorf("found %v, want %v", idsOf(all), want)
	}
	q.Skip, q.Budget = 1, 100
	if all, _ := walk(s, store.PersonsByMerchant, q); !slices.Equal(idsOf(all), want[1:]) {
		s.Errorf("after the first: %v, want %v", idsOf(all), want[1:])
	}
}

// testPrefixes puts ids that begin alike, hold zero bytes or end early.
func testPrefixes(s *suite) {
	names := []store.SiteID{"a", "ab", "a\x00", "a\x00\x01b", "a\xff", "", "b"}
	for i, site := range names {
		put(s, &store.Door{ID: store.DoorID(fmt.Sprint(i)), Merchant: "m", Site: site})
	}
	for i, site := range names {
		page := list(s, store.DoorsBySite, store.Query[store.Door]{Prefix: []store.Term{store.Plain(site)}})
		if len(page.Items) != 1 || page.Items[0].ID != store.DoorID(fmt.Sprint(i)) {
			s.Errorf("doors of site %q: %+v, want only %d", site, page.Items, i)
		}
	}
	all := list(s, store.DoorsByMerchant, store.Query[store.Door]{Prefix: []store.Term{store.Plain("m")}})
	if len(all.Items) != len(names) {
		s.Errorf("%d doors, want %d", len(all.Items), len(names))
	}
}

func testAll(s *suite) {
	m := newMerchantID()
	s.update(func(tx *store.Tx) error {
		for i := range 50 {
			p := store.NewID[store.PersonID](start)
			for _, space := range []string{"one", "two"} {
				err := store.Put(tx, &store.Template{ID: store.NewTemplateID(p, space), Merchant: m, Person: p, Space: space,
					Vector: []float32{float32(i), 1}})
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	s.view(func(tx *store.Tx) error {
		seen := map[float32]bool{}
		for t, err := range store.All(tx, store.TemplatesBySpace, store.Plain(m), store.Plain("two")) {
			if err != nil {
				return err
			}
			if t.Space != "two" || len(t.Vector) != 2 {
				s.Errorf("template %+v", t)
			}
			seen[t.Vector[0]] = true
		}
		if len(seen) != 50 {
			s.Errorf("%d templates, want 50", len(seen))
		}
		n := 0
		for range store.All(tx, store.TemplatesBySpace, store.Plain(m)) {
			if n++; n == 7 {
				break
			}
		}
		if n != 7 {
			s.Errorf("the loop ended after %d, want 7", n)
		}
		return nil
	})
}
