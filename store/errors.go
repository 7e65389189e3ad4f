package store

import (
	"errors"
	"fmt"
)

// What callers branch on.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")                     // see ConflictError
	ErrStale    = errors.New("record was changed since")     // read it again
	ErrInvalid  = errors.New("invalid record")               // lacks its id or merchant
	ErrID       = errors.New("malformed id")                 // from ParseID and ParseUUID
	ErrCursor   = errors.New("malformed cursor")             // or one of another query
	ErrTrimmed  = errors.New("events are gone")              // the outbox was trimmed beyond a consumer
	ErrGap      = errors.New("something between is missing") // a stretch does not follow what is there
	ErrForked   = errors.New("the journal parted ways")      // with what the central holds of it: a clone, or an older copy
	ErrReadOnly = errors.New("transaction is read-only")     // a change in a View
	ErrTxDone   = errors.New("transaction is over")          // a Tx used after its function returned
	ErrClosed   = errors.New("store is closed")              // or is being closed
	ErrCommit   = errors.New("commit failed")                // nothing is acknowledged
	ErrFull     = errors.New("the disk is full")             // there is no room for a change, or only for essential ones
	ErrLocked   = errors.New("store is in use")              // another process holds it
	ErrForeign  = errors.New("not a store")                  // or one of the other environment
	ErrNewer    = errors.New("store of a newer version")     // this program is too old for it
	ErrDamaged  = errors.New("store is damaged")             // bytes are not as they were written
	ErrSealed   = errors.New("store is sealed")              // and was to be opened without its keyring
	ErrUnsealed = errors.New("store is not sealed")          // for backends: to be copied with Reseal

	ErrNoConsent = errors.New("the person does not agree") // to being recognised, see MayEnrol

	// ErrErased says that a person was erased: nothing about him can be read or
	// put any more. It matches ErrNotFound.
	ErrErased = fmt.Errorf("%w: the person was erased", ErrNotFound)
)

// RecordError says that one record cannot be read, while others can.
type RecordError struct {
	Kind Kind
	ID   string
	Err  error
}

func (e *RecordError) Error() string { return fmt.Sprintf("read %s %s: %v", e.Kind, e.ID, e.Err) }

// Unwrap returns the reason.
func (e *RecordError) Unwrap() error { return e.Err }

// ConflictError says that a record would break the uniqueness of a field. It
// matches ErrConflict.
type ConflictError struct {
	Kind     Kind
	Field    string // as the API calls it: email, externalId, id, …
	Existing string // id of the record that has the value already
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s with this %s exists: %s", e.Kind, e.Field, e.Existing)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
