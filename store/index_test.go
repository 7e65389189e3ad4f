package store

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// FuzzTerms: terms sort as what they stand for, and none is the beginning of
// another.
func FuzzTerms(f *testing.F) {
	f.Add("", "a")
	f.Add("a", "a\x00")
	f.Add("a\x00", "a\x00\x01")
	f.Add("a\x00\xff", "a\x01")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := Plain(a).b, Plain(b).b
		if got, want := bytes.Compare(x, y), strings.Compare(a, b); got != want {
			t.Errorf("terms of %q and %q compare as %d, want %d", a, b, got, want)
		}
		if a != b && bytes.HasPrefix(x, y) {
			t.Errorf("the term of %q begins with that of %q", a, b)
		}
	})
}

func TestMomentsSort(t *testing.T) {
	times := []time.Time{{}, time.Unix(0, 1), time.Unix(1, 0), time.Unix(1, 1), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)}
	for i := 1; i < len(times); i++ {
		if bytes.Compare(Moment(times[i-1]).b, Moment(times[i]).b) >= 0 {
			t.Errorf("%v does not sort before %v", times[i-1], times[i])
		}
	}
	if !bytes.Equal(Moment(time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)).b, Moment(time.Time{}).b) {
		t.Error("a time before 1970 is not the first")
	}
}

func TestAfter(t *testing.T) {
	for prefix, want := range map[string]string{"": "", "a": "b", "a\xff": "b", "a\x00": "a\x01", "\xff\xff": ""} {
		got := after([]byte(prefix))
		if string(got) != want || want == "" && got != nil {
			t.Errorf("after %q is %q, want %q", prefix, got, want)
		}
	}
}

// FuzzCursor hands arbitrary cursors in: they are refused, or lead to people of
// the same merchant.
func FuzzCursor(f *testing.F) {
	m := newMemory()
	l := prepare(f, m, nil)
	write(f, l, m, func(tx *Tx) error {
		for _, id := range []PersonID{"a", "b", "c", "d"} {
			for _, merchant := range []MerchantID{"m", "n"} {
				if err := Put(tx, &Person{ID: id + PersonID(merchant), Merchant: merchant}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	tx := l.Read(m)
	for _, reverse := range []bool{false, true} {
		page, err := List(tx, PersonsByMerchant, Query[Person]{Prefix: []Term{Plain("m")}, Limit: 2, Reverse: reverse})
		if err != nil || page.Next == "" {
			f.Fatal(page, err)
		}
		f.Add(string(page.Next), reverse)
	}
	f.Add("", true)
	f.Add("AA", false)
	f.Add("_____w", true)
	f.Fuzz(func(t *testing.T, cursor string, reverse bool) {
		q := Query[Person]{Prefix: []Term{Plain("m")}, Cursor: Cursor(cursor), Reverse: reverse}
		page, err := List(tx, PersonsByMerchant, q)
		if err != nil && !errors.Is(err, ErrCursor) {
			t.Fatalf("error %v, want ErrCursor", err)
		}
		for _, p := range page.Items {
			if p.Merchant != "m" {
				t.Fatalf("cursor %q leads to merchant %s", cursor, p.Merchant)
			}
		}
	})
}

func TestDanglingIndex(t *testing.T) {
	m := newMemory()
	l := prepare(t, m, nil)
	p := Person{ID: "p", Merchant: "m", Email: "e"}
	write(t, l, m, func(tx *Tx) error { return Put(tx, &p) })
	delete(m.buckets[recordBucket(KindPerson)], "p")
	tx := l.Read(m)
	_, list := List(tx, PersonsByMerchant, Query[Person]{})
	_, find := Find(tx, PersonByEmail, Plain("m"), Email("e"))
	var all error
	for _, err := range All(tx, PersonsByMerchant) {
		all = err
	}
	for name, err := range map[string]error{"list": list, "find": find, "all": all} {
		if !errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotFound) {
			t.Errorf("%s: error %v, want ErrDamaged", name, err)
		}
	}
}
