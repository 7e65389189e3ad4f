package web

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
)

// A Form is a multipart body that was read: its text fields and its files.
type Form struct {
	Fields map[string]string
	Files  []File // at least one
}

// A File is one file of a form. Its name is the client's business and not read.
type File struct {
	Data []byte
	Type string // its own Content-Type, "" if it has none
}

// Limits of a multipart body besides its file.
const (
	maxFields = 16
	maxField  = 4 << 10
)

// ReadForm reads a multipart/form-data body in whatever order its parts come:
// one to most files under the name file, at most limit bytes each, and short
// text fields. Nothing is written to disk. Too many files, none, or a body that
// is not multipart, are 400; a longer file is 413.
func ReadForm(r *http.Request, file string, limit int64, most int) (*Form, error) {
	r.Body = http.MaxBytesReader(nil, r.Body, int64(most)*limit+maxFields*maxField)
	reader, err := r.MultipartReader()
	if err != nil {
		return nil, Fail(http.StatusBadRequest, "the body is not valid multipart/form-data").Because(err)
	}
	form := &Form{Fields: map[string]string{}}
	for n := 0; ; n++ {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, badPart(err)
		}
		if n == maxFields+most {
			return nil, Fail(http.StatusBadRequest, "the body has more than %d parts", maxFields+most)
		}
		if err := form.add(part, file, limit, most); err != nil {
			return nil, err
		}
	}
	if len(form.Files) == 0 {
		return nil, Fail(http.StatusBadRequest, "a file is missing").Field(file, "is required")
	}
	return form, nil
}

func (f *Form) add(part *multipart.Part, file string, limit int64, most int) error {
	name := part.FormName()
	if name != file {
		limit = maxField
	}
	b, err := io.ReadAll(io.LimitReader(part, limit+1))
	switch {
	case err != nil:
		return badPart(err)
	case int64(len(b)) > limit:
		return Fail(http.StatusRequestEntityTooLarge, "a part is larger than %d bytes", limit).Field(Clip(name, 40), "is too long")
	case name != file:
		f.Fields[name] = string(b)
	case len(f.Files) == most:
		return Fail(http.StatusBadRequest, "too many files").Field(file, fmt.Sprintf("may be there at most %d times", most))
	default:
		f.Files = append(f.Files, File{b, MediaType(part.Header.Get("Content-Type"))})
	}
	return nil
}

func badPart(err error) error {
	if isTooLarge(err) {
		return err
	}
	return Fail(http.StatusBadRequest, "the body is not valid multipart/form-data").Because(err)
}

// ReadBody reads a raw body of at most limit bytes; a longer one is 413.
func ReadBody(r *http.Request, limit int64) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	if err != nil && !isTooLarge(err) {
		return nil, Fail(http.StatusBadRequest, "the body ended early").Because(err)
	}
	return b, err
}
