package bulk

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrArchive says that an upload is no archive that can be used; the text says why.
var ErrArchive = errors.New("the archive cannot be used")

// Limits of an archive. They bound what a hostile one can cost: nothing is
// unpacked to the disk, and a picture is read only up to maxPicture.
const (
	maxEntries   = 200_000
	maxDirectory = 24 << 20 // bytes of its list of entries, with what is read on the way
	maxTable     = 16 << 20
	maxPicture   = 10 << 20
)

// archive is a ZIP as it was uploaded.
type archive struct {
	files map[string]*zip.File // by clean name; what cannot be used is left out
	names []string             // in the order of the archive
	bad   map[string]string    // why an entry is not used, by its name
	notes []string
}

// budget lets only so many bytes be read: a list of entries is read whole before
// anything is known of its length.
type budget struct {
	r    io.ReaderAt
	left int64
	off  bool
}

var errBudget = errors.New("its list of entries is too long")

func (b *budget) ReadAt(p []byte, at int64) (int, error) {
	if b.off {
		return b.r.ReadAt(p, at)
	}
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, errBudget
	}
	return b.r.ReadAt(p, at)
}

// openArchive reads the list of entries.
func openArchive(r io.ReaderAt, size int64) (*archive, error) {
	limited := &budget{r: r, left: maxDirectory}
	z, err := zip.NewReader(limited, size)
	switch {
	case limited.left < 0:
		return nil, fmt.Errorf("%w: %w", ErrArchive, errBudget)
	case err != nil && !errors.Is(err, zip.ErrInsecurePath):
		return nil, fmt.Errorf("%w: it is no ZIP, or damaged", ErrArchive)
	case len(z.File) > maxEntries:
		return nil, fmt.Errorf("%w: it has %d entries, at most %d are taken", ErrArchive, len(z.File), maxEntries)
	}
	limited.off = true
	a := &archive{files: map[string]*zip.File{}, bad: map[string]string{}}
	skipped := 0
	for _, f := range z.File {
		name, problem := a.check(f)
		switch {
		case name == "":
			skipped++
		case problem != "":
			a.bad[name] = problem
			if isPicture(name) {
				a.names = append(a.names, name)
			}
		default:
			a.files[name] = f
			a.names = append(a.names, name)
		}
	}
	if skipped > 0 {
		a.notes = append(a.notes, fmt.Sprintf("%d entries are no files of people and were left out", skipped))
	}
	return a, nil
}

// Why an entry or a picture is not used.
const (
	ReasonPath      = "bad_path"  // its name leads out of the archive
	ReasonEncrypted = "encrypted" // it asks for a password
	ReasonTwice     = "twice"     // another entry has its name
	ReasonTooLarge  = "too_large"
	ReasonMissing   = "missing" // the table names it and it is not there
	ReasonDamaged   = "damaged"
	ReasonNoPicture = "no_picture" // neither JPEG nor PNG
)

// check says what an entry is called and why it is not used. Folders, and what
// programs put into archives for themselves, have no name.
func (a *archive) check(f *zip.File) (name, problem string) {
	if f.Mode().IsDir() || strings.HasSuffix(f.Name, "/") {
		return "", ""
	}
	name = f.Name
	if !utf8.ValidString(name) || f.NonUTF8 {
		name = latin1([]byte(name))
	}
	// Names are labels here and never paths of this machine; one that pretends to
	// be more says that somebody tries something.
	if strings.Contains(name, "\\") || !fs.ValidPath(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return printable(name), ReasonPath
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || part == "__MACOSX" {
			return "", ""
		}
	}
	switch {
	case f.Mode()&fs.ModeType != 0:
		return name, ReasonPath // a link
	case a.files[name] != nil || a.bad[name] != "":
		return strings.TrimSuffix(name, path.Ext(name)) + " (again)" + path.Ext(name), ReasonTwice
	case f.Flags&1 != 0:
		return name, ReasonEncrypted
	case f.UncompressedSize64 > maxPicture && isPicture(name):
		return name, ReasonTooLarge
	}
	return name, ""
}

// printable makes a name harmless to show.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError {
			return '?'
		}
		return r
	}, name)
	if len(name) > 200 {
		name = strings.ToValidUTF8(name[:200], "") + "…"
	}
	return name
}

func isPicture(name string) bool {
	return slices.Contains([]string{".jpg", ".jpeg", ".png"}, strings.ToLower(path.Ext(name)))
}

// read returns what an entry holds, at most limit bytes of it; problem says why it
// cannot be used.
func (a *archive) read(name string, limit int64) (data []byte, problem string) {
	f := a.files[name]
	if f == nil {
		if p := a.bad[name]; p != "" {
			return nil, p
		}
		return nil, ReasonMissing
	}
	r, err := f.Open()
	if err != nil {
		return nil, ReasonDamaged
	}
	defer r.Close()
	// The length in the list may lie; what comes out counts.
	data, err = io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case int64(len(data)) > limit:
		return nil, ReasonTooLarge
	case err != nil:
		return nil, ReasonDamaged
	}
	return data, ""
}

// latin1 reads bytes as Windows-1252 reads those that are letters, which is what
// older programs write.
func latin1(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		r := rune(c)
		if c >= 0x80 && c < 0xa0 {
			r = windows1252[c-0x80]
		}
		s.WriteRune(r)
	}
	return s.String()
}

// windows1252 are the characters 0x80 to 0x9f.
var windows1252 = []rune("€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ")
