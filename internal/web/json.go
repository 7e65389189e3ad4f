package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// DefaultBody is how much of a JSON body is read when nothing else is said.
const DefaultBody = 64 << 10

const jsonType = "application/json; charset=utf-8"

// Write answers with v as JSON.
func Write(w http.ResponseWriter, status int, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // links stay readable; nosniff keeps browsers from guessing
	if err := enc.Encode(v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_, err := w.Write(b.Bytes())
	return err
}

// Decode reads the JSON object in the body of r into v, a pointer to a struct,
// at most limit bytes (0 means DefaultBody). Unknown keys are ignored, as the
// clients of the reference send some. A body that is not JSON is 400, another
// Content-Type 406, a longer one 413.
func Decode(r *http.Request, v any, limit int64) error { return decode(r, v, limit, false) }

// DecodeStrict is Decode, but an unknown key is 400 and named in the details.
func DecodeStrict(r *http.Request, v any, limit int64) error { return decode(r, v, limit, true) }

// DecodeOptional is DecodeStrict, but there may be no body at all.
func DecodeOptional(r *http.Request, v any, limit int64) error {
	if r.ContentLength == 0 {
		return nil
	}
	return decode(r, v, limit, true)
}

func decode(r *http.Request, v any, limit int64, strict bool) error {
	if err := wantType(r, "application/json"); err != nil {
		return err
	}
	if limit == 0 {
		limit = DefaultBody
	}
	dec := json.NewDecoder(http.MaxBytesReader(nil, r.Body, limit))
	if strict {
		dec.DisallowUnknownFields()
	}
	var first json.RawMessage
	if err := dec.Decode(&first); err != nil {
		return malformed(err)
	}
	if len(first) == 0 || first[0] != '{' {
		return Fail(http.StatusBadRequest, "the body must be one JSON object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		if isTooLarge(err) {
			return err
		}
		return Fail(http.StatusBadRequest, "the body has more than one JSON object")
	}
	inner := json.NewDecoder(bytes.NewReader(first))
	if strict {
		inner.DisallowUnknownFields()
	}
	if err := inner.Decode(v); err != nil {
		return malformed(err)
	}
	return nil
}

// malformed says what is wrong with a body without repeating any of it.
func malformed(err error) error {
	var mistyped *json.UnmarshalTypeError
	switch {
	case isTooLarge(err):
		return err
	case errors.As(err, &mistyped):
		return Fail(http.StatusBadRequest, "a field has the wrong type").
			Field(mistyped.Field, "must be "+typeName(mistyped.Type.Kind().String())).Because(err)
	case errors.Is(err, io.EOF):
		return Fail(http.StatusBadRequest, "the body is empty; send a JSON object")
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return Fail(http.StatusBadRequest, "unknown field").Field(Clip(strings.Trim(name, `"`), 40), "is not a field of this call")
	}
	return Fail(http.StatusBadRequest, "the body is not valid JSON").Because(err)
}

// typeName puts a Go kind in the words of JSON.
func typeName(kind string) string {
	switch {
	case kind == "string":
		return "a string"
	case kind == "bool":
		return "true or false"
	case kind == "struct" || kind == "map":
		return "an object"
	case kind == "slice":
		return "an array"
	case strings.HasPrefix(kind, "int") || strings.HasPrefix(kind, "uint"):
		return "a whole number"
	default:
		return "a number"
	}
}

// Clip shortens what a caller sent to n bytes before it is repeated to him.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

func isTooLarge(err error) bool {
	var tooLarge *http.MaxBytesError
	return errors.As(err, &tooLarge)
}

// wantType refuses a body of another media type; one without a type passes.
func wantType(r *http.Request, want string) error {
	given := r.Header.Get("Content-Type")
	if given == "" {
		return nil
	}
	if got := MediaType(given); got != want {
		return Fail(http.StatusNotAcceptable, "the Content-Type must be %s", want)
	}
	return nil
}

// MediaType is the lower-case type/subtype of a Content-Type, "" if it has none.
func MediaType(contentType string) string {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return ""
	}
	return t
}

// Accepts reports whether the request's Accept header lets it have mediaType.
// Quality values are not weighed: there is one form of each answer.
func Accepts(r *http.Request, mediaType string) bool {
	header := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(header) == "" {
		return true
	}
	group, _, _ := strings.Cut(mediaType, "/")
	for part := range strings.SplitSeq(header, ",") {
		switch MediaType(strings.TrimSpace(part)) {
		case mediaType, group + "/*", "*/*":
			return true
		}
	}
	return false
}
