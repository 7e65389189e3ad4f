package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// An Error is an answer that is not a success. Everything in it but Err goes to
// the caller, so it names no person, score, path or internal text; Err goes to
// the log.
type Error struct {
	Status  int      // HTTP status, 400..599
	Message string   // one sentence for the caller
	Details []Detail // which fields, and what is wrong with each
	Err     error    // the cause, for the log alone; may be nil
}

// A Detail is one field of a request and what is wrong with it.
type Detail struct {
	Field string `json:"field"`
	Issue string `json:"issue"`
}

// Fail makes the error of a status and a message with the verbs of fmt.Sprintf.
func Fail(status int, format string, args ...any) *Error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// Field adds a detail and returns e.
func (e *Error) Field(name, issue string) *Error {
	e.Details = append(e.Details, Detail{name, issue})
	return e
}

// Because sets the cause that the log shows and returns e.
func (e *Error) Because(err error) *Error {
	e.Err = err
	return e
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Err)
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// codes are the names of the statuses in the error body: the ten rows of the
// reference, then the three that belong to the infrastructure.
var codes = map[int]string{
	http.StatusBadRequest:            "BAD_REQUEST",
	http.StatusUnauthorized:          "UNAUTHORIZED",
	http.StatusPaymentRequired:       "UPSTREAM_PROCESSOR_ERROR",
	http.StatusForbidden:             "FORBIDDEN",
	http.StatusNotFound:              "NOT_FOUND",
	http.StatusMethodNotAllowed:      "METHOD_NOT_ALLOWED",
	http.StatusNotAcceptable:         "NOT_ACCEPTABLE",
	http.StatusConflict:              "CONFLICT",
	http.StatusUnprocessableEntity:   "UNPROCESSABLE_ENTITY",
	http.StatusInternalServerError:   "INTERNAL_SERVER_ERROR",
	http.StatusRequestEntityTooLarge: "PAYLOAD_TOO_LARGE",
	http.StatusTooManyRequests:       "TOO_MANY_REQUESTS",
	http.StatusServiceUnavailable:    "SERVICE_UNAVAILABLE",
}

// Code returns the name of a status in the error body; a status without one is
// our own fault.
func Code(status int) string {
	if c, ok := codes[status]; ok {
		return c
	}
	return codes[http.StatusInternalServerError]
}

// ErrorBody is the one body of every answer that is not a success.
type ErrorBody struct {
	Success   bool     `json:"success"`
	Status    int      `json:"status"`
	Code      string   `json:"code"`
	Message   string   `json:"message"`
	Error     string   `json:"error"` // the same as Message, as the reference has both
	RequestID string   `json:"requestId"`
	Details   []Detail `json:"details,omitempty"`
}

// problem is the one mapping of an error to an answer. What is no *Error is our
// fault, or the deadline of the request, and says nothing to the caller.
func problem(err error) *Error {
	var e *Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &e):
		if _, ok := codes[e.Status]; ok {
			return e
		}
		return &Error{Status: http.StatusInternalServerError, Message: "internal error", Err: err}
	case errors.As(err, &tooLarge):
		return Fail(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", tooLarge.Limit).Because(err)
	case errors.Is(err, context.DeadlineExceeded):
		return Fail(http.StatusInternalServerError, "the request took too long").Because(err)
	default:
		return Fail(http.StatusInternalServerError, "internal error").Because(err)
	}
}

func (e *Error) body(requestID string) ErrorBody {
	return ErrorBody{
		Status: e.Status, Code: Code(e.Status), Message: e.Message, Error: e.Message,
		RequestID: requestID, Details: e.Details,
	}
}

// writeError answers with the body of e.
func writeError(w http.ResponseWriter, requestID string, e *Error) {
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="cypherface"`)
	}
	_ = Write(w, e.Status, e.body(requestID)) // the caller is gone if this fails
}
