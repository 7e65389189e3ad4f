package web

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
)

// A Form is a multipart body that was read: its text fields and its one file.
type Form struct {
	Fields map[string]string
	File   []byte
	Type   string // the file's own Content-Type, "" if it has none
}

// Limits of a multipart body besides its file.
const (
	maxParts = 16
	maxField = 4 << 10
)

// ReadForm reads a multipart/form-data body in whatever order its parts come:
// the file under the name file, at most limit bytes of it, and short text
// fields. Nothing is written to disk. A second file under the name, or a body
// that is not multipart, is 400; a missing file is 400 with the name in the
// details; a longer body is 413.
func ReadForm(r *http.Request, file string, limit int64) (*Form, error) {
	r.Body = http.MaxBytesReader(nil, r.Body, limit+maxParts*maxField)
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
		if n == maxParts {
			return nil, Fail(http.StatusBadRequest, "the body has more than %d parts", maxParts)
		}
		if err := form.add(part, file, limit); err != nil {
			return nil, err
		}
	}
	if form.File == nil {
		return nil, Fail(http.StatusBadRequest, "a file is missing").Field(file, "is required")
	}
	return form, nil
}

func (f *Form) add(part *multipart.Part, file string, limit int64) error {
	name := part.FormName()
	if name != file {
		limit = maxField
	}
	b, err := io.ReadAll(io.LimitReader(part, limit+1))
	switch {
	case err != nil:
		return badPart(err)
	case int64(len(b)) > limit:
		return Fail(http.StatusRequestEntityTooLarge, "a part is larger than %d bytes", limit).Field(clip(name, 40), "is too long")
	case name != file:
		f.Fields[name] = string(b)
	case f.File != nil:
		return Fail(http.StatusBadRequest, "one file is taken at a time").Field(file, "was sent twice")
	default:
		f.File, f.Type = b, MediaType(part.Header.Get("Content-Type"))
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
