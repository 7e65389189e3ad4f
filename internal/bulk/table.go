package bulk

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cypherface/edge/store"
)

// ErrTable says that a table of people cannot be used; the text says why.
var ErrTable = errors.New("the table of people cannot be used")

// row is one person of an upload, before anything is known of him.
type row struct {
	label   string // where he stands
	person  store.Person
	images  []string // names in the archive
	problem string   // why he cannot be taken at all: a field and what is wrong
	packed  string   // of who comes from another box: his entry in the archive
}

// The columns of a table, in any order; names are read without regard to case,
// spaces and underscores.
var columns = []string{"firstname", "lastname", "email", "phone", "externalid", "image", "images"}

const maxRows = 100_000

// parseTable reads a table of people as programs for tables write them: separated
// by commas, semicolons or tabs, as UTF-8 with or without a mark at its beginning,
// or as Latin-1, which is noted. Images are named relative to dir, several of them
// separated by | (or by semicolons, where those do not separate the columns).
func parseTable(raw []byte, dir string) (rows []row, notes []string, err error) {
	text, notes, err := decodeTable(raw)
	if err != nil {
		return nil, nil, err
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord = separator(text), -1
	head, err := r.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: it is empty, or its first line cannot be read", ErrTable)
	}
	at, ignored, err := places(head)
	if err != nil {
		return nil, nil, err
	}
	if len(ignored) > 0 {
		notes = append(notes, "columns that are not known were left out: "+strings.Join(ignored, ", "))
	}
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, notes, nil
		}
		if err != nil {
			var bad *csv.ParseError
			if errors.As(err, &bad) {
				return nil, nil, fmt.Errorf("%w: line %d: %v", ErrTable, bad.StartLine, bad.Err)
			}
			return nil, nil, fmt.Errorf("%w: it cannot be read", ErrTable)
		}
		if len(rows) == maxRows {
			return nil, nil, fmt.Errorf("%w: it has more than %d people; take them in parts", ErrTable, maxRows)
		}
		if blank(fields) {
			continue
		}
		line, _ := r.FieldPos(0)
		rows = append(rows, rowOf(fields, at, len(head), line, dir, r.Comma))
	}
}

// Images lists the pictures that a table names, for who has them beside it.
func Images(table []byte) (names []string, err error) {
	rows, _, err := parseTable(table, "")
	for _, r := range rows {
		names = append(names, r.images...)
	}
	return names, err
}

// decodeTable returns the text of a table as UTF-8.
func decodeTable(raw []byte) (text string, notes []string, err error) {
	switch {
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe}), bytes.HasPrefix(raw, []byte{0xfe, 0xff}):
		return "", nil, fmt.Errorf("%w: it is UTF-16; save it as CSV UTF-8", ErrTable)
	case bytes.IndexByte(raw, 0) >= 0:
		return "", nil, fmt.Errorf("%w: it is no text", ErrTable)
	}
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if utf8.Valid(raw) {
		return string(raw), nil, nil
	}
	return latin1(raw), []string{"the table is not UTF-8 and was read as Latin-1: look whether the names are right"}, nil
}

// separator is what separates most columns of the first line.
func separator(text string) rune {
	first, _, _ := strings.Cut(text, "\n")
	best, most := ',', 0
	for _, c := range []rune{',', ';', '\t'} {
		if n := strings.Count(first, string(c)); n > most {
			best, most = c, n
		}
	}
	return best
}

// places finds the columns in the first line.
func places(head []string) (at map[string]int, ignored []string, err error) {
	at = map[string]int{}
	for i, name := range head {
		plain := strings.NewReplacer(" ", "", "_", "", "-", "").Replace(strings.ToLower(strings.TrimSpace(name)))
		if !slices.Contains(columns, plain) {
			ignored = append(ignored, fmt.Sprintf("%q", printable(name)))
			continue
		}
		if _, twice := at[plain]; twice {
			return nil, nil, fmt.Errorf("%w: the column %s is there twice", ErrTable, plain)
		}
		at[plain] = i
	}
	_, one := at["image"]
	_, many := at["images"]
	switch {
	case one == many:
		return nil, nil, fmt.Errorf("%w: its first line must name the columns, one of them image or images (of firstname, lastname, email, phone, externalId, image, images)", ErrTable)
	case len(at) == 1:
		return nil, nil, fmt.Errorf("%w: it names no column that says who somebody is: firstname, lastname, email or externalId", ErrTable)
	}
	return at, ignored, nil
}

func blank(fields []string) bool {
	return !slices.ContainsFunc(fields, func(s string) bool { return strings.TrimSpace(s) != "" })
}

func rowOf(fields []string, at map[string]int, width, line int, dir string, comma rune) row {
	r := row{label: fmt.Sprintf("line %d", line)}
	get := func(name string) string {
		if i, ok := at[name]; ok && i < len(fields) {
			return strings.TrimSpace(fields[i])
		}
		return ""
	}
	if len(fields) > width {
		r.problem = fmt.Sprintf("the line has %d columns, the first one %d", len(fields), width)
	}
	r.person = store.Person{Firstname: get("firstname"), Lastname: get("lastname"), Email: get("email"), Phone: get("phone"), ExternalID: get("externalid")}
	list := get("image") + get("images")
	if comma != ';' {
		list = strings.ReplaceAll(list, ";", "|")
	}
	for name := range strings.SplitSeq(list, "|") {
		if name = strings.TrimSpace(name); name != "" {
			// Tables are written on machines with other separators.
			r.images = append(r.images, path.Join(dir, strings.TrimPrefix(strings.ReplaceAll(name, "\\", "/"), "./")))
		}
	}
	return r
}

// rowsOf finds the people of an archive: those of its table, or where it has none
// one for each folder of pictures, and one for each picture that lies in no folder.
func rowsOf(a *archive) (rows []row, notes []string, err error) {
	notes = slices.Clone(a.notes)
	var tables []string
	for _, name := range a.names {
		if strings.EqualFold(path.Ext(name), ".csv") {
			tables = append(tables, name)
		}
	}
	switch {
	case len(tables) > 1:
		return nil, nil, fmt.Errorf("%w: there are %d tables in the archive, want one", ErrTable, len(tables))
	case len(tables) == 1:
		raw, problem := a.read(tables[0], maxTable)
		if problem != "" {
			return nil, nil, fmt.Errorf("%w: %s", ErrTable, problem)
		}
		dir := path.Dir(tables[0])
		if dir == "." {
			dir = ""
		}
		rows, more, err := parseTable(raw, dir)
		return rows, append(notes, more...), err
	}
	rows = rowsOfFolders(a)
	if len(rows) == 0 {
		return nil, nil, fmt.Errorf("%w: there is neither a table (*.csv) nor a picture (*.jpg, *.png) in it", ErrArchive)
	}
	if len(rows) > maxRows {
		return nil, nil, fmt.Errorf("%w: it has more than %d people; take them in parts", ErrArchive, maxRows)
	}
	return rows, notes, nil
}

// rowsOfFolders makes a person of each folder, whose name is the external id where
// it is one word and the name otherwise.
func rowsOfFolders(a *archive) (rows []row) {
	at := map[string]int{}
	for _, name := range a.names {
		if !isPicture(name) {
			continue
		}
		who := path.Dir(name)
		if who == "." {
			who = strings.TrimSuffix(name, path.Ext(name))
		}
		i, there := at[who]
		if !there {
			i = len(rows)
			at[who] = i
			rows = append(rows, row{label: printable(who), person: called(path.Base(who))})
		}
		rows[i].images = append(rows[i].images, name)
	}
	return rows
}

// called is somebody by the name of a folder or a file.
func called(name string) store.Person {
	name = strings.TrimSpace(strings.ReplaceAll(name, "_", " "))
	if i := strings.LastIndexByte(name, ' '); i > 0 {
		return store.Person{Firstname: strings.TrimSpace(name[:i]), Lastname: name[i+1:]}
	}
	return store.Person{ExternalID: name}
}
