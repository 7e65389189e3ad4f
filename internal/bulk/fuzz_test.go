package bulk

import (
	"archive/zip"
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever a table is, what comes of it is text and within bounds, or the error
// that says so.
func FuzzTable(f *testing.F) {
	f.Add([]byte("firstname;lastname;email;images\r\nAda;Lovelace;a@b;x.jpg|y.jpg\r\n"))
	f.Add([]byte("\xef\xbb\xbfexternalId,image\n\"a\nb\",..\\x.jpg\n"))
	f.Add([]byte("email\timage\nJ\xf6rg\tj.jpg\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		rows, notes, err := parseTable(raw, "dir")
		if err != nil {
			if !errors.Is(err, ErrTable) {
				t.Errorf("%v", err)
			}
			return
		}
		for _, r := range rows {
			for _, s := range append(r.images, r.label, r.person.Firstname, r.person.Lastname, r.person.Email, r.person.ExternalID) {
				if !utf8.ValidString(s) {
					t.Errorf("%q is no text", s)
				}
			}
		}
		for _, n := range notes {
			if !utf8.ValidString(n) {
				t.Errorf("note %q", n)
			}
		}
	})
}

// Whatever an archive is, it is refused or read within bounds, and its names are
// names.
func FuzzArchive(f *testing.F) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{"people.csv": "email,image\na@b,a.jpg\n", "a.jpg": "x", "d/b.png": "y"} {
		w, err := z.Create(name)
		if err != nil {
			f.Fatal(err)
		}
		w.Write([]byte(text))
	}
	z.Close()
	f.Add(b.Bytes())
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := openArchive(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			if !errors.Is(err, ErrArchive) {
				t.Errorf("%v", err)
			}
			return
		}
		rows, _, err := rowsOf(a)
		if err != nil && !errors.Is(err, ErrArchive) && !errors.Is(err, ErrTable) {
			t.Errorf("%v", err)
		}
		for _, r := range rows {
			for _, name := range r.images {
				if data, problem := a.read(name, 1000); problem == "" && len(data) > 1000 {
					t.Errorf("%d bytes were read", len(data))
				}
			}
		}
		for name := range a.files {
			if strings.HasPrefix(name, "/") || strings.Contains(name, "\\") || strings.Contains("/"+name+"/", "/../") {
				t.Errorf("name %q", name)
			}
		}
	})
}

// Whatever a person from another box is, he is refused or within bounds.
func FuzzPerson(f *testing.F) {
	f.Add([]byte(`{"person":{"id":"0123456789abcdef01234567","merchant":"m","status":"enrolled"},"crops":[{"id":"x","file":"people/1-1.jpg","landmarks":[]}],"templates":[{"space":"s","crops":1,"vector":[0.6,0.8]}]}`))
	f.Add([]byte(`{"person":{"id":"x"}}`))
	f.Add([]byte(`{"templates":[{"vector":[1e39]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, data := range map[string][]byte{"people/1.json": raw, "people/1-1.jpg": []byte("crop")} {
			w, err := z.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(data)
		}
		z.Close()
		a, err := openArchive(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		one, problem := (&work{a: a}).unpack("people/1.json")
		if problem != "" {
			return
		}
		for _, v := range one.Templates {
			if !unit(v.Vector) || v.Space == "" {
				t.Errorf("template %+v", v)
			}
		}
		if len(one.Person.ID) != 24 || len(one.Crops) > maxTemplates {
			t.Errorf("%+v", one)
		}
	})
}
