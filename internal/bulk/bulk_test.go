package bulk_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// A table with its pictures: everybody is enrolled who can be, everybody else is
// named with why.
func TestTable(t *testing.T) {
	b := newBox(t)
	table := "\xef\xbb\xbfFirst name;lastname;E-Mail;externalId;images;shoe size\r\n" +
		"Ada;Lovelace;ada@example.org;a1;faces/ada.jpg|faces/ada2.jpg;37\r\n" +
		";;;b2;faces\\bob.jpg;42\r\n" +
		"\"Cy;rus\";;;c3;faces/nobody.jpg|faces/cy.jpg;\r\n" + // one of two can be used
		"Dan;D;;d4;faces/missing.jpg;\r\n" +
		"Eve;E;;e5;faces/nobody.jpg;\r\n" +
		"Fay;F;;f6;faces/text.jpg;\r\n" +
		"Gil;G;;a1;faces/gil.jpg;\r\n" + // the externalId of another
		";;;;faces/gil.jpg;\r\n" +
		";;;;;\r\n" +
		"Hal;H;;h8;;\r\n" +
		"Ian;I;;i9;faces/ada.jpg;\r\n" // the face of another
	id := b.add(bulk.Request{}, archiveOf(t,
		file{"people.csv", []byte(table)}, file{"faces/ada.jpg", face(1, 0)}, file{"faces/ada2.jpg", face(1, 1)}, file{"faces/bob.jpg", face(2, 0)},
		file{"faces/cy.jpg", face(3, 0)}, file{"faces/nobody.jpg", nobody}, file{"faces/text.jpg", []byte("no picture")}, file{"faces/gil.jpg", face(5, 0)},
		file{"__MACOSX/x", nil}, file{".DS_Store", nil}))
	p := b.done(id)
	if p.State != store.BulkDone || p.Total != 10 || p.Done != 10 || p.Enrolled != 4 || p.Refused != 6 || p.Duplicates != 1 || p.Key != nil {
		t.Errorf("%+v", p)
	}
	if len(p.Notes) != 2 || !strings.Contains(p.Notes[1], `"shoe size"`) {
		t.Errorf("notes %q", p.Notes)
	}
	people := b.people()
	if len(people) != 4 || people["a1"].Email != "ada@example.org" || people["c3"].Firstname != "Cy;rus" || people["a1"].Status != store.PersonEnrolled {
		t.Errorf("people %+v", people)
	}
	want := []string{"enrolled", "enrolled", "enrolled", "refused missing", "refused no_face", "refused no_picture", "refused bad_field", "refused bad_field",
		"refused no_picture_usable", "enrolled"}
	for n, i := range b.items(id) {
		if got := strings.TrimSpace(string(i.Outcome) + " " + i.Reason); got != want[n] {
			t.Errorf("%d: %s, want %s", n+1, got, want[n])
		}
		switch {
		case i.Outcome == store.BulkRefused && (i.Hint == "" || !strings.HasPrefix(i.Label, "line ")):
			t.Errorf("%d: without a hint or its line: %+v", n+1, i)
		case i.Outcome == store.BulkEnrolled && (i.Label != "" || i.Person == ""):
			t.Errorf("%d: %+v tells more than the id", n+1, i)
		}
	}
	items := b.items(id)
	if c := items[2]; len(c.Pictures) != 1 || c.Pictures[0].Name != "1" || c.Pictures[0].Reason != "no_face" {
		t.Errorf("the picture of Cyrus that was not used: %+v", c.Pictures)
	}
	if d := items[3]; len(d.Pictures) != 1 || !strings.HasPrefix(d.Pictures[0].Name, "faces/missing.jpg") {
		t.Errorf("the picture of Dan: %+v", d.Pictures)
	}
	if last := items[9]; last.DuplicateOf != people["a1"].ID && items[0].DuplicateOf != people["i9"].ID {
		t.Errorf("nobody is told of as a duplicate: %+v", last)
	}
	b.nothingLeft()
}

// Folders and single pictures, and the same again: nobody is enrolled twice.
func TestFolders(t *testing.T) {
	b := newBox(t)
	archive := archiveOf(t, file{"staff/4711/1.jpg", face(1, 0)}, file{"staff/4711/2.jpg", face(1, 1)}, file{"staff/Ada_Lovelace/a.JPG", face(2, 0)},
		file{"Bob Babbage.jpg", face(3, 0)}, file{"4712.jpg", face(4, 0)}, file{"readme.txt", []byte("x")})
	if p := b.done(b.add(bulk.Request{Check: true}, archive)); p.Enrolled != 4 || len(b.people()) != 0 {
		t.Errorf("a check: %+v, and %d people", p, len(b.people()))
	}
	if p := b.done(b.add(bulk.Request{}, archive)); p.Enrolled != 4 {
		t.Errorf("%+v", p)
	}
	people := b.people()
	for _, name := range []string{"4711", "4712", "Ada Lovelace", "Bob Babbage"} {
		if people[name].Status != store.PersonEnrolled {
			t.Errorf("%s is not there: %v", name, people)
		}
	}
	again := b.add(bulk.Request{}, archive)
	if p := b.done(again); p.Exists != 4 || p.Enrolled != 0 {
		t.Errorf("again: %+v", p)
	}
	if p := b.done(b.add(bulk.Request{Update: true}, archive)); p.Updated != 4 {
		t.Errorf("with update: %+v", p)
	}
	if len(b.people()) != 4 {
		t.Errorf("%d people", len(b.people()))
	}
	ada := people["Ada Lovelace"].ID
	b.update(func(tx *store.Tx) error { return store.Erase(tx, ada) })
	for _, i := range b.items(again) {
		if i.Person == ada {
			t.Errorf("who was erased is in a report: %+v", i)
		}
	}
	if cancelled, err := b.End(t.Context(), cause, b.merchant, again); cancelled || err != nil {
		t.Errorf("forget: %v, %v", cancelled, err)
	}
	if _, err := b.Progress(t.Context(), b.merchant, again); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("forgotten, and there: %v", err)
	}
}

// A check compares the people of an upload with each other as an enrolment would: the
// later row is told of with the earlier one that has its face.
func TestCheckFindsTwins(t *testing.T) {
	b := newBox(t)
	b.done(b.add(bulk.Request{}, archiveOf(t, file{"known.jpg", face(9, 0)})))
	archive := archiveOf(t, file{"a.jpg", face(1, 0)}, file{"b.jpg", face(2, 0)}, file{"c.jpg", face(9, 1)}, file{"d.jpg", face(1, 1)},
		file{"e.jpg", nobody}, file{"f.jpg", face(2, 1)}, file{"g.jpg", face(9, 2)}, file{"h.jpg", face(3, 0)})
	id := b.add(bulk.Request{Check: true}, archive)
	p := b.done(id)
	if p.State != store.BulkDone || p.Done != 8 || p.Enrolled != 7 || p.Refused != 1 || p.Duplicates != 4 {
		t.Errorf("%+v", p)
	}
	known := b.people()["known"].ID
	for n, i := range b.items(id) {
		want := map[string]int{"d": 1, "f": 2, "g": 3}[i.Label]
		if i.Twin != want || (i.DuplicateOf == known) != (i.Label == "c" || i.Label == "g") || i.Number != n+1 {
			t.Errorf("%s: the twin of %d and a duplicate of %q, want %d", i.Label, i.Twin, i.DuplicateOf, want)
		}
	}
	if len(b.people()) != 1 {
		t.Error("a check enrolled somebody")
	}

	b.update(func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, b.merchant)
		m.Policy.RefuseDuplicates = true
		return errors.Join(err, store.Put(tx, &m))
	})
	id = b.add(bulk.Request{Check: true}, archive)
	if p := b.done(id); p.Enrolled != 3 || p.Refused != 5 || p.Duplicates != 4 || p.Done != 8 {
		t.Errorf("where each may have one face: %+v", p)
	}
	if d := b.items(id)[3]; d.Outcome != store.BulkRefused || d.Reason != verify.ReasonDuplicate || d.Hint == "" || d.Twin != 1 {
		t.Errorf("%+v", d)
	}
}

// A check that a restart cuts short begins anew, and finds the twins of those who
// were done before.
func TestCheckThroughARestart(t *testing.T) {
	b := newBox(t)
	var files []file
	for n := range 20 {
		files = append(files, file{fmt.Sprintf("p%02d.jpg", n), face(n%10, n)})
	}
	reached, hold := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.engine.before = func(n int64) {
		if n > 15 {
			once.Do(func() { close(reached) })
			<-hold
		}
	}
	id := b.add(bulk.Request{Check: true}, archiveOf(t, files...))
	<-reached
	go close(hold)
	b.stop()
	b.engine.before = nil
	b.open()
	p := b.done(id)
	if p.State != store.BulkDone || p.Done != 20 || p.Enrolled != 20 || p.Duplicates != 10 {
		t.Errorf("%+v", p)
	}
	for _, i := range b.items(id) {
		if want := max(i.Number-10, 0); i.Twin != want {
			t.Errorf("number %d is the twin of %d, want %d", i.Number, i.Twin, want)
		}
	}
}

// A restart in the middle goes on: nobody is enrolled twice, and who was erased
// meanwhile stays so.
func TestRestartInTheMiddle(t *testing.T) {
	b := newBox(t)
	var files []file
	for n := range 30 {
		files = append(files, file{fmt.Sprintf("p%02d.jpg", n), face(n, 0)})
	}
	reached, hold := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.engine.before = func(n int64) {
		if n > 12 {
			once.Do(func() { close(reached) })
			<-hold
		}
	}
	id := b.add(bulk.Request{}, archiveOf(t, files...))
	<-reached
	p, err := b.Progress(t.Context(), b.merchant, id)
	if err != nil || p.State != store.BulkRunning || p.Done < 8 || p.Done > 13 {
		t.Errorf("in the middle: %+v, %v", p, err)
	}
	var gone store.PersonID
	for _, one := range b.people() {
		gone = one.ID
		break
	}
	b.update(func(tx *store.Tx) error { return store.Erase(tx, gone) })
	raw, err := os.ReadFile(filepath.Join(b.dir, string(id)+".upload"))
	if err != nil || bytes.Contains(raw, face(3, 0)[:100]) || bytes.Contains(raw, []byte("p03.jpg")) {
		t.Errorf("the upload lies in the clear, %v", err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "stray.upload"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	go close(hold)
	b.stop()

	b.engine.before = nil
	b.open()
	if _, err := os.Stat(filepath.Join(b.dir, "stray.upload")); err == nil {
		t.Error("an upload that nobody waits for is kept")
	}
	p = b.done(id)
	if p.State != store.BulkDone || p.Done != 30 || p.Enrolled != 29 || p.Erased != 1 {
		t.Errorf("%+v", p)
	}
	if n := len(b.people()); n != 29 {
		t.Errorf("%d people, want those of the upload without the one who was erased", n)
	}
}

// An upload that is cancelled stops there.
func TestCancel(t *testing.T) {
	b := newBox(t)
	reached, hold := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.engine.before = func(n int64) {
		if n > 5 {
			once.Do(func() { close(reached) })
			<-hold
		}
	}
	var files []file
	for n := range 20 {
		files = append(files, file{fmt.Sprintf("p%02d.jpg", n), face(n, 0)})
	}
	id := b.add(bulk.Request{}, archiveOf(t, files...))
	<-reached
	if cancelled, err := b.End(t.Context(), cause, b.merchant, id); !cancelled || err != nil {
		t.Errorf("%v, %v", cancelled, err)
	}
	close(hold)
	p := b.done(id)
	if p.State != store.BulkCancelled || len(b.people()) > 9 {
		t.Errorf("%+v, %d people", p, len(b.people()))
	}
	next := b.add(bulk.Request{}, archiveOf(t, file{"next.jpg", face(30, 0)}))
	if p := b.done(next); p.Enrolled != 1 {
		t.Errorf("after it: %+v", p)
	}
	b.nothingLeft()
}

// Another merchant's bulk enrolment is not there.
func TestBulkOfAnother(t *testing.T) {
	b := newBox(t)
	id := b.add(bulk.Request{}, archiveOf(t, file{"a.jpg", face(1, 0)}))
	b.done(id)
	if _, err := b.Progress(t.Context(), "000000000000000000000000", id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("progress: %v", err)
	}
	if _, err := b.End(t.Context(), cause, "000000000000000000000000", id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("end: %v", err)
	}
	for _, err := range b.Report(t.Context(), "000000000000000000000000", id) {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("report: %v", err)
		}
	}
}

// Hostile archives are refused, or what is hostile in them is named.
func TestHostileArchives(t *testing.T) {
	b := newBox(t)
	bomb := make([]byte, 11<<20) // 11 MiB of nothing in some KiB
	links := func() []byte {
		var buf bytes.Buffer
		w := zip.NewWriter(&buf)
		link := &zip.FileHeader{Name: "link.jpg"}
		link.SetMode(os.ModeSymlink | 0o777)
		for _, h := range []*zip.FileHeader{link, {Name: "../../etc/up.jpg"}, {Name: "/abs.jpg"}, {Name: `c:\x.jpg`}, {Name: "a\x00b.jpg"}, {Name: "good.jpg"}, {Name: "good.jpg"}} {
			e, err := w.CreateHeader(h)
			if err == nil {
				_, err = e.Write(face(7, 0))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		return buf.Bytes()
	}
	p := b.done(b.add(bulk.Request{}, links()))
	if p.Enrolled != 1 || p.Refused != 6 {
		t.Errorf("path tricks: %+v", p)
	}
	p = b.done(b.add(bulk.Request{}, archiveOf(t, file{"bomb.jpg", bomb}, file{"fine.jpg", face(8, 0)})))
	if p.Enrolled != 1 || p.Refused != 1 {
		t.Errorf("a bomb: %+v", p)
	}
	encrypted := archiveOf(t, file{"secret.jpg", face(9, 0)})
	for i := 0; i+4 < len(encrypted); i++ { // the flag in both headers
		switch binary.LittleEndian.Uint32(encrypted[i:]) {
		case 0x04034b50:
			encrypted[i+6] |= 1
		case 0x02014b50:
			encrypted[i+8] |= 1
		}
	}
	id := b.add(bulk.Request{}, encrypted)
	if p := b.done(id); p.Refused != 1 || b.items(id)[0].Reason != bulk.ReasonEncrypted {
		t.Errorf("encrypted: %+v %+v", p, b.items(id))
	}
	lying := archiveOf(t, file{"lie.jpg", bomb})
	at := bytes.LastIndex(lying, []byte("lie.jpg")) - 46 + 24 // the length in the list
	binary.LittleEndian.PutUint32(lying[at:], 100)
	id = b.add(bulk.Request{}, lying)
	if p := b.done(id); p.Refused != 1 {
		t.Errorf("a length that lies: %+v", p)
	}

	for name, tt := range map[string]struct {
		data []byte
		want error
	}{
		"no archive":     {[]byte("PK and nothing"), bulk.ErrArchive},
		"empty":          {nil, bulk.ErrArchive},
		"nothing in it":  {archiveOf(t), bulk.ErrArchive},
		"no pictures":    {archiveOf(t, file{"a.txt", nil}), bulk.ErrArchive},
		"two tables":     {archiveOf(t, file{"a.csv", []byte("email,image\n")}, file{"b.csv", []byte("email,image\n")}), bulk.ErrTable},
		"no columns":     {archiveOf(t, file{"a.csv", []byte("Ada,ada.jpg\n")}), bulk.ErrTable},
		"only images":    {archiveOf(t, file{"a.csv", []byte("image\na.jpg\n")}), bulk.ErrTable},
		"a column twice": {archiveOf(t, file{"a.csv", []byte("email,EMAIL,image\n")}), bulk.ErrTable},
		"UTF-16":         {archiveOf(t, file{"a.csv", []byte("\xff\xfee\x00")}), bulk.ErrTable},
		"a quote":        {archiveOf(t, file{"a.csv", []byte("email,image\n\"a,b\n")}), bulk.ErrTable},
		"too large":      {bytes.Repeat([]byte("x"), 8<<20+1), bulk.ErrTooLarge},
	} {
		_, err := b.Add(t.Context(), cause, bulk.Request{Merchant: b.merchant}, bytes.NewReader(tt.data))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	b.nothingLeft()
}

// A list of entries without an end is not read to its end.
func TestEndlessDirectory(t *testing.T) {
	b := newBox(t)
	var list bytes.Buffer
	entry := make([]byte, 46)
	binary.LittleEndian.PutUint32(entry, 0x02014b50)
	for range 2_000_000 / 10 {
		list.Write(entry)
	}
	end := make([]byte, 22)
	binary.LittleEndian.PutUint32(end, 0x06054b50)
	binary.LittleEndian.PutUint32(end[12:], uint32(list.Len()))
	for range 3 {
		list.Write(list.Bytes()[:list.Len()])
	}
	list.Write(end)
	b.Queue.MaxUpload = 1 << 30
	if _, err := b.Add(t.Context(), cause, bulk.Request{Merchant: b.merchant}, &list); !errors.Is(err, bulk.ErrArchive) {
		t.Errorf("%v", err)
	}
}

// Events say what was done, by whom, with counts.
func TestEvents(t *testing.T) {
	b := newBox(t)
	b.done(b.add(bulk.Request{}, archiveOf(t, file{"a.jpg", face(1, 0)}, file{"b.jpg", nobody})))
	var actions []string
	err := b.store.View(t.Context(), func(tx *store.Tx) error {
		for e, err := range store.All(tx, store.EventsByMerchant, store.Plain(b.merchant), store.Plain(store.EventEnrolment)) {
			if err != nil {
				return err
			}
			if strings.HasPrefix(e.Action, "bulk") {
				actions = append(actions, fmt.Sprint(e.Action, e.Counters["people"], e.Counters["enrolled"], e.Counters["refused"]))
			}
		}
		return nil
	})
	if err != nil || !slices.Equal(actions, []string{"bulk_begin2 0 0", "bulk_done2 1 1"}) {
		t.Errorf("%q, %v", actions, err)
	}
}

// Where the merchant enrols only who agreed, whoever sends the upload has to say
// that they did; it is recorded of each, and goes along to another box.
func TestConsent(t *testing.T) {
	b := newBox(t)
	yes := true
	b.update(func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, b.merchant)
		if err != nil {
			return err
		}
		m.Policy.RequireConsent = &yes
		return store.Put(tx, &m)
	})
	archive := archiveOf(t, file{"a.jpg", face(1, 0)})
	id := b.add(bulk.Request{}, archive)
	if p := b.done(id); p.Refused != 1 || b.items(id)[0].Reason != "no_consent" || len(b.people()) != 0 {
		t.Errorf("without: %+v %+v", p, b.items(id))
	}
	if _, err := b.Add(t.Context(), cause, bulk.Request{Merchant: b.merchant, Consent: "en"}, bytes.NewReader(archive)); !errors.Is(err, bulk.ErrNoText) {
		t.Errorf("without a text: %v", err)
	}
	text, err := rights.NewText(b.merchant, "1", "en", "I agree.", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b.update(func(tx *store.Tx) error { return store.Put(tx, text) })
	if p := b.done(b.add(bulk.Request{Consent: "en"}, archive)); p.Enrolled != 1 {
		t.Errorf("with: %+v", p)
	}
	there := newBox(t)
	there.update(func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, there.merchant)
		m.Policy.RequireConsent = &yes
		return errors.Join(err, store.Put(tx, &m))
	})
	if p := there.done(there.add(bulk.Request{Import: true}, b.export(there))); p.Enrolled != 1 {
		t.Errorf("to another box: %+v", p)
	}
	for _, one := range []*box{b, there} {
		err := one.store.View(t.Context(), func(tx *store.Tx) error {
			for _, p := range one.people() {
				for c, err := range store.All(tx, store.ConsentsByPerson, store.Plain(p.ID)) {
					if err != nil || !c.Valid() || c.Hash != text.Hash {
						t.Errorf("consent %+v, %v", c, err)
					}
					return nil
				}
			}
			return errors.New("no consent is recorded")
		})
		if err != nil {
			t.Error(err)
		}
	}
}
