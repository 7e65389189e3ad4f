package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// problem is the one place where an error of the packages below becomes an
// answer. What is not named here is our own fault.
func problem(err error) error {
	var ready *web.Error
	var conflict *store.ConflictError
	var field *rights.FieldError
	fail := func(status int, format string, args ...any) *web.Error {
		return web.Fail(status, format, args...).Because(err)
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ready), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, auth.ErrBusy):
		return fail(http.StatusServiceUnavailable, "too many logins at a time; try again in a few seconds")
	case errors.Is(err, auth.ErrReused):
		return fail(http.StatusUnauthorized, "the token was exchanged for another before")
	case errors.Is(err, auth.ErrFleetKey):
		return fail(http.StatusConflict, "this key is one of the central's for all boxes of the site: change it there (cypherface-central keys)")
	case errors.Is(err, auth.ErrTooMany):
		return fail(http.StatusConflict, "the merchant has %d API keys; revoke one first", auth.MaxKeys)
	case errors.Is(err, auth.ErrExpired):
		return fail(http.StatusUnauthorized, "the token has expired")
	case errors.Is(err, auth.ErrUnauthorized):
		return fail(http.StatusUnauthorized, "a valid API key or token of this environment is required")
	case errors.Is(err, auth.ErrForbidden):
		return fail(http.StatusForbidden, "this credential may not do that")
	case errors.Is(err, auth.ErrSuspended):
		return fail(http.StatusForbidden, "the merchant is suspended")
	case errors.Is(err, auth.ErrSignature):
		return fail(http.StatusForbidden, "the upload link is wrong or has expired")
	case errors.Is(err, auth.ErrClock):
		return fail(http.StatusServiceUnavailable, "the clock of the box is not right yet; try again later")
	case errors.As(err, &conflict):
		return fail(http.StatusConflict, "a %s with this %s exists already", noun(conflict.Kind), conflict.Field).Field(conflict.Field, "is taken")
	case errors.As(err, &field):
		return fail(http.StatusBadRequest, "a field is not usable").Field(field.Field, field.Issue)
	case errors.Is(err, rights.ErrSettled):
		return fail(http.StatusConflict, "the review is settled already")
	case errors.Is(err, rights.ErrMarked):
		return fail(http.StatusConflict, "the decision is marked as wrong already")
	case errors.Is(err, rights.ErrOutcome):
		return fail(http.StatusUnprocessableEntity, "a review of this sort cannot be settled so").Field("outcome", "does not fit the review")
	case errors.Is(err, rights.ErrNotMatch):
		return fail(http.StatusUnprocessableEntity, "this is no decision that recognised somebody")
	case errors.Is(err, rights.ErrSame):
		return fail(http.StatusUnprocessableEntity, "a user cannot be merged with himself").Field("from", "is the same user")
	case errors.Is(err, rights.ErrWithdrawn):
		return fail(http.StatusUnprocessableEntity, "one of the two took his consent back; erase the one who is not needed")
	case errors.Is(err, rights.ErrTooMany):
		return fail(http.StatusConflict, "the person has %d credentials; revoke one first", rights.MaxCredentials)
	case errors.Is(err, rights.ErrUsed):
		return fail(http.StatusConflict, "people agreed to this text, so it has to stay; retire it, and nobody is asked by it any more")
	case errors.Is(err, rights.ErrRetired):
		return fail(http.StatusUnprocessableEntity, "this text is retired; take the current one").Field("textId", "is retired")
	case errors.Is(err, verify.ErrNoConsent), errors.Is(err, store.ErrNoConsent):
		return fail(http.StatusUnprocessableEntity, "the person has not agreed to be recognised; record a consent first (POST /api/users/{userId}/consents/)").Field("consent", "is required")
	case errors.Is(err, store.ErrStale):
		return fail(http.StatusConflict, "somebody else changed this meanwhile; try again")
	case errors.Is(err, store.ErrNotFound):
		return fail(http.StatusNotFound, "there is no such thing")
	case errors.Is(err, store.ErrCursor):
		return fail(http.StatusBadRequest, "the cursor is not one of this listing").Field("cursor", "is not valid")
	case errors.Is(err, store.ErrFull):
		return fail(http.StatusServiceUnavailable, "the disk of the box is full, and nothing can be recorded until there is room")
	case errors.Is(err, engine.ErrNetwork):
		return fail(http.StatusPaymentRequired, "what runs the networks failed")
	case errors.Is(err, store.ErrClosed):
		return fail(http.StatusServiceUnavailable, "the box is stopping")
	case errors.Is(err, store.ErrCommit):
		return fail(http.StatusServiceUnavailable, "the box could not keep that; its operator finds out why at /readyz")
	}
	var known *web.Error
	if e := pictureProblem(faceProblem(err)); errors.As(e, &known) {
		return known
	}
	return err
}

// faceProblem maps what can be wrong with a face or a person.
func faceProblem(err error) error {
	unprocessable := func(format string, args ...any) *web.Error {
		return web.Fail(http.StatusUnprocessableEntity, format, args...).Because(err)
	}
	switch {
	case errors.Is(err, verify.ErrNoFace):
		return unprocessable("there is no face in the image").Field("image", "no_face")
	case errors.Is(err, verify.ErrSeveralFaces):
		return unprocessable("a second face in the image is nearly as large").Field("image", "several_faces")
	case errors.Is(err, verify.ErrLowQuality):
		e := unprocessable("the face is not good enough")
		var low *verify.Error
		if errors.As(err, &low) {
			for _, reason := range low.Reasons {
				e.Field("image", reason)
			}
		}
		return e
	case errors.Is(err, verify.ErrOtherFace):
		return unprocessable("the images show different people")
	case errors.Is(err, verify.ErrNotEnrolled):
		return unprocessable(`upload a source image of this user first (type "upload")`)
	case errors.Is(err, verify.ErrUnsupported):
		return unprocessable("at this number of people the error rate cannot be guaranteed; compare with one person (1:1) instead")
	case errors.Is(err, verify.ErrUnknownPerson):
		return web.Fail(http.StatusNotFound, "there is no such thing").Because(err)
	case errors.Is(err, verify.ErrDuplicate):
		return web.Fail(http.StatusConflict, "this face is enrolled already").Field("image", "duplicate").Because(err)
	case errors.Is(err, verify.ErrImages):
		return web.Fail(http.StatusBadRequest, "the number of images is not usable").Because(err)
	}
	return err
}

// pictureProblem maps what can be wrong with an image.
func pictureProblem(err error) error {
	switch {
	case errors.Is(err, picture.ErrFormat):
		return web.Fail(http.StatusNotAcceptable, "the image is neither JPEG nor PNG").Because(err)
	case errors.Is(err, picture.ErrTooLarge):
		return web.Fail(http.StatusNotAcceptable, "the image has too many pixels").Because(err)
	case errors.Is(err, picture.ErrDamaged):
		return web.Fail(http.StatusNotAcceptable, "the image cannot be decoded").Because(err)
	}
	return err
}

// noun is what the API calls a kind of record.
func noun(k store.Kind) string {
	if k == store.KindPerson {
		return "user"
	}
	return string(k)
}
