package api

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// user is a person as the API shows him.
type user struct {
	UserID     store.PersonID     `json:"userId"`
	Firstname  string             `json:"firstname"`
	Lastname   string             `json:"lastname"`
	Email      string             `json:"email"`
	Phone      string             `json:"phone,omitempty"`
	ExternalID string             `json:"externalId,omitempty"`
	Status     store.PersonStatus `json:"status"`
	CreatedAt  time.Time          `json:"createdAt"`
	UpdatedAt  time.Time          `json:"updatedAt"`
	EnrolledAt time.Time          `json:"enrolledAt,omitzero"`
}

func toUser(p *store.Person) user {
	return user{
		UserID: p.ID, Firstname: p.Firstname, Lastname: p.Lastname, Email: p.Email, Phone: p.Phone,
		ExternalID: p.ExternalID, Status: p.Status, CreatedAt: p.Created, UpdatedAt: p.Updated, EnrolledAt: p.EnrolledAt,
	}
}

// userFields are what a caller may set of a person; nil leaves a field alone.
type userFields struct {
	Firstname  *string `json:"firstname"`
	Lastname   *string `json:"lastname"`
	Email      *string `json:"email"`
	Phone      *string `json:"phone"`
	ExternalID *string `json:"externalId"`
	Password   *string `json:"password"`
}

// register is POST /register/: a new person without a face.
func (a *API) register(c *call) error {
	var in userFields
	if err := in.read(c.r); err != nil {
		return err
	}
	p := store.Person{ID: store.NewID[store.PersonID](a.now()), Merchant: c.Merchant, Status: store.PersonRegistered}
	if err := in.apply(&p); err != nil {
		return err
	}
	err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error { return store.Put(tx, &p) })
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, struct {
		Success bool           `json:"success"`
		Message string         `json:"message"`
		UserID  store.PersonID `json:"userId"`
		User    user           `json:"user"`
	}{true, "User registered.", p.ID, toUser(&p)})
}

// read takes the fields from the body. The password is hashed here, before the
// transaction that others wait for.
func (in *userFields) read(r *http.Request) error {
	if err := web.DecodeStrict(r, in, 0); err != nil || in.Password == nil {
		return err
	}
	hash, err := auth.HashPassword(r.Context(), *in.Password)
	if errors.Is(err, auth.ErrBusy) {
		return err
	}
	if err != nil {
		return web.Fail(http.StatusBadRequest, "the password does not fit").Field("password", "must have 8 to 128 characters")
	}
	in.Password = &hash
	return nil
}

// apply checks the fields and sets them in p. What the reference requires must
// be there afterwards.
func (in *userFields) apply(p *store.Person) error {
	bad := web.Fail(http.StatusBadRequest, "the user is not complete or not well formed")
	set := func(name string, given *string, into *string, check func(string) string) {
		if given != nil {
			*into = strings.TrimSpace(*given)
			if issue := check(*into); issue != "" {
				bad.Field(name, issue)
				return
			}
		}
		if *into == "" && slices.Contains([]string{"firstname", "lastname", "email"}, name) {
			bad.Field(name, "is required")
		}
	}
	set("firstname", in.Firstname, &p.Firstname, text(100))
	set("lastname", in.Lastname, &p.Lastname, text(100))
	set("email", in.Email, &p.Email, emailIssue)
	set("phone", in.Phone, &p.Phone, phoneIssue)
	set("externalId", in.ExternalID, &p.ExternalID, text(128))
	if in.Password != nil {
		p.Password = *in.Password
	}
	if bad.Details != nil {
		return bad
	}
	return nil
}

// text checks a line of at most limit characters that can be printed.
func text(limit int) func(string) string {
	return func(s string) string {
		switch {
		case utf8.RuneCountInString(s) > limit:
			return fmt.Sprintf("has more than %d characters", limit)
		case strings.ContainsFunc(s, func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) }):
			return "has characters that cannot be printed"
		}
		return ""
	}
}

func emailIssue(s string) string {
	if s == "" {
		return ""
	}
	address, err := mail.ParseAddress(s)
	if err != nil || address.Address != s || len(s) > 254 {
		return "is not an e-mail address"
	}
	return ""
}

func phoneIssue(s string) string {
	if len(s) > 32 || strings.Trim(s, "0123456789+-/(). ") != "" || s != "" && !strings.ContainsAny(s, "0123456789") {
		return "is not a phone number"
	}
	return ""
}

// one is the person that the path names, of the caller's merchant.
func (c *call) one(tx *store.Tx) (store.Person, error) {
	id, err := store.ParseID[store.PersonID](c.r.PathValue("userId"))
	if err != nil {
		return store.Person{}, badID("userId")
	}
	p, err := store.GetOf[store.Person](tx, c.Merchant, id)
	if errors.Is(err, store.ErrNotFound) {
		if now, formerErr := rights.Former(tx, c.Merchant, id); formerErr != nil {
			err = formerErr
		} else if now != "" {
			err = web.Fail(http.StatusNotFound, "the user was merged into another").Field("userId", "is "+string(now)+" now").Because(err)
		}
	}
	return p, err
}

func badID(field string) error {
	return web.Fail(http.StatusBadRequest, "the id is not well formed").Field(field, "must be 24 lower-case hex digits")
}

// showUser is GET /users/{userId}/.
func (a *API) showUser(c *call) error {
	var p store.Person
	err := a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		p, err = c.one(tx)
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
		User    user `json:"user"`
	}{true, toUser(&p)})
}

// changeUser is PUT /users/{userId}/: the fields that are there replace those of
// the person, the others stay; an empty string takes an optional one away.
func (a *API) changeUser(c *call) error {
	var in userFields
	if err := in.read(c.r); err != nil {
		return err
	}
	var p store.Person
	err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) (err error) {
		if p, err = c.one(tx); err != nil {
			return err
		}
		if err := in.apply(&p); err != nil {
			return err
		}
		return store.Put(tx, &p)
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool   `json:"success"`
		Message string `json:"message"`
		User    user   `json:"user"`
	}{true, "User changed.", toUser(&p)})
}

// deleteUser is DELETE /users/{userId}/: it erases the person with images,
// templates and all that tells about him.
func (a *API) deleteUser(c *call) error {
	var id store.PersonID
	var last uint64
	cause := c.cause()
	cause.Essential = true // it makes room
	err := a.store.Update(c.ctx(), cause, func(tx *store.Tx) error {
		p, err := c.one(tx)
		if err != nil {
			return err
		}
		id = p.ID
		if err := store.Erase(tx, p.ID); err != nil {
			return err
		}
		last, err = store.Head(tx)
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool           `json:"success"`
		Message string         `json:"message"`
		UserID  store.PersonID `json:"userId"`
		Erasure string         `json:"erasureId"` // its receipt is at /erasures/
	}{true, "User erased.", id, a.erasureID(last)})
}

// userPage is the answer of a listing. A following page is asked for with
// nextCursor; page counts from 1 and is there where it was asked for.
type userPage struct {
	Success    bool         `json:"success"`
	Users      []user       `json:"users"`
	Limit      int          `json:"limit"`
	Page       int          `json:"page,omitempty"`
	NextCursor store.Cursor `json:"nextCursor,omitempty"`
}

// listUsers is GET /users/.
func (a *API) listUsers(c *call) error {
	q, out, err := userQuery(c.r.URL.Query())
	if err != nil {
		return err
	}
	q.Prefix = []store.Term{store.Plain(c.Merchant)}
	var page store.Page[store.Person]
	err = a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		page, err = store.List(tx, store.PersonsByMerchant, q)
		return err
	})
	if err != nil {
		return err
	}
	out.Success, out.NextCursor, out.Users = true, page.Next, make([]user, len(page.Items))
	for i := range page.Items {
		out.Users[i] = toUser(&page.Items[i])
	}
	return c.reply(http.StatusOK, out)
}

// userQuery reads the query of a listing; a parameter it does not know is 400.
func userQuery(v url.Values) (q store.Query[store.Person], out userPage, err error) {
	bad := web.Fail(http.StatusBadRequest, "the query is not well formed")
	number := func(name string, byDefault, limit int) int {
		if !v.Has(name) {
			return byDefault
		}
		n, err := strconv.Atoi(v.Get(name))
		if err != nil || n < 1 || n > limit {
			bad.Field(name, fmt.Sprintf("must be a whole number from 1 to %d", limit))
		}
		return n
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if !slices.Contains([]string{"cursor", "page", "limit", "search", "status"}, name) {
			bad.Field(web.Clip(name, 40), "is not a parameter of this call")
		}
	}
	out.Limit = number("limit", 50, 100)
	out.Page = number("page", 0, maxSkip)
	q.Limit, q.Cursor = out.Limit, store.Cursor(v.Get("cursor"))
	if out.Page > 0 {
		q.Skip = (out.Page - 1) * out.Limit
		if v.Has("cursor") {
			bad.Field("page", "goes without cursor")
		} else if out.Page*out.Limit > maxSkip {
			bad.Field("page", fmt.Sprintf("times limit must not exceed %d; go on with cursor", maxSkip))
		}
	}
	status, search := store.PersonStatus(v.Get("status")), strings.ToLower(v.Get("search"))
	switch status {
	case "", store.PersonRegistered, store.PersonEnrolled, store.PersonSuspended:
	default:
		bad.Field("status", "must be registered, enrolled or suspended")
	}
	if status != "" || search != "" {
		q.Keep = func(p *store.Person) bool {
			return (status == "" || p.Status == status) && (search == "" || mentions(p, search))
		}
	}
	if bad.Details != nil {
		return q, out, bad
	}
	return q, out, nil
}

// maxSkip is how far a listing by page number goes; a cursor goes to the end.
const maxSkip = 10_000

// mentions reports whether a person's name, address or external id contains
// what is searched for, which is in lower case.
func mentions(p *store.Person, search string) bool {
	for _, field := range []string{p.Firstname + " " + p.Lastname, p.Email, p.ExternalID} {
		if strings.Contains(strings.ToLower(field), search) {
			return true
		}
	}
	return false
}
