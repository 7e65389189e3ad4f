package rights

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cypherface/edge/store"
)

// What callers branch on.
var (
	ErrInvalid = errors.New("not usable") // what was handed in; see FieldError
	ErrUsed    = errors.New("people agreed to this text")
	ErrRetired = errors.New("the text is retired")
)

// FieldError says which field of what was handed in is not usable. It matches
// ErrInvalid.
type FieldError struct{ Field, Issue string }

func (e *FieldError) Error() string { return e.Field + " " + e.Issue }

// Is makes errors.Is(err, ErrInvalid) true.
func (e *FieldError) Is(target error) bool { return target == ErrInvalid }

// languageTag is what a BCP 47 tag looks like.
var languageTag = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)

// MaxText is the length of a consent text, in bytes.
const MaxText = 32 << 10

// NewText checks a text and makes the record to Put. The error is a FieldError.
func NewText(m store.MerchantID, version, lang, text string, now time.Time) (*store.ConsentText, error) {
	version = strings.TrimSpace(version)
	if version == "" || utf8.RuneCountInString(version) > 64 || strings.ContainsFunc(version, unicode.IsControl) {
		return nil, &FieldError{"version", "must have 1 to 64 characters that can be printed"}
	}
	if len(lang) > 35 || !languageTag.MatchString(lang) {
		return nil, &FieldError{"language", "must be a language tag such as en or de-AT"}
	}
	if strings.TrimSpace(text) == "" || len(text) > MaxText || !utf8.ValidString(text) {
		return nil, &FieldError{"text", fmt.Sprintf("must be a text of at most %d bytes", MaxText)}
	}
	return &store.ConsentText{
		ID: store.NewID[store.ConsentTextID](now), Merchant: m, Version: version, Language: lang, Text: text, Hash: store.HashText(text),
	}, nil
}

// CurrentText is the newest text of a merchant in a language that is not retired;
// an empty language takes any. The error is store.ErrNotFound.
func CurrentText(tx *store.Tx, m store.MerchantID, lang string) (store.ConsentText, error) {
	page, err := store.List(tx, store.ConsentTextsByMerchant, store.Query[store.ConsentText]{
		Prefix: []store.Term{store.Plain(m)}, Reverse: true, Limit: 1,
		Keep: func(t *store.ConsentText) bool {
			return t.Retired.IsZero() && (lang == "" || strings.EqualFold(t.Language, lang))
		},
	})
	if err != nil {
		return store.ConsentText{}, err
	}
	if len(page.Items) == 0 {
		return store.ConsentText{}, fmt.Errorf("find a consent text: %w", store.ErrNotFound)
	}
	return page.Items[0], nil
}

// RemoveText removes a text that nobody agreed to. The error is ErrUsed where
// somebody did, even if he took it back since: what he agreed to has to stay.
func RemoveText(tx *store.Tx, m store.MerchantID, id store.ConsentTextID) error {
	if _, err := store.GetOf[store.ConsentText](tx, m, id); err != nil {
		return err
	}
	used, err := store.List(tx, store.ConsentsByText, store.Query[store.Consent]{Prefix: []store.Term{store.Plain(id)}, Limit: 1})
	if err != nil {
		return err
	}
	if len(used.Items) > 0 {
		return ErrUsed
	}
	return store.Delete[store.ConsentText](tx, id)
}

// RetireText ends that people are asked by a text. Who agreed to it still does.
func RetireText(tx *store.Tx, m store.MerchantID, id store.ConsentTextID) (store.ConsentText, error) {
	t, err := store.GetOf[store.ConsentText](tx, m, id)
	if err == nil && t.Retired.IsZero() {
		t.Retired = tx.Time()
		err = store.Put(tx, &t)
	}
	return t, err
}

// Agreement is what somebody agreed to, and how.
type Agreement struct {
	Merchant store.MerchantID
	Person   store.PersonID
	Text     store.ConsentTextID
	Through  store.Through
	By       store.Actor
	At       time.Time // when, if not now; not in the future
}

// validThrough says whether a way is one of those that there are.
func validThrough(t store.Through) error {
	switch t {
	case store.ThroughOperator, store.ThroughKiosk, store.ThroughAPI:
		return nil
	}
	return &FieldError{"through", "must be operator, kiosk or api"}
}

// Give records that a person agreed. The errors are store.ErrNotFound for person
// or text, ErrRetired, or a FieldError.
func Give(tx *store.Tx, a Agreement) (*store.Consent, error) {
	if err := validThrough(a.Through); err != nil {
		return nil, err
	}
	if a.At.IsZero() {
		a.At = tx.Time()
	}
	if a.At.After(tx.Time().Add(time.Minute)) || a.At.Year() < 2000 {
		return nil, &FieldError{"givenAt", "must be a time that has passed"}
	}
	if _, err := store.GetOf[store.Person](tx, a.Merchant, a.Person); err != nil {
		return nil, err
	}
	text, err := store.GetOf[store.ConsentText](tx, a.Merchant, a.Text)
	if err != nil {
		return nil, err
	}
	if !text.Retired.IsZero() {
		return nil, ErrRetired
	}
	c := &store.Consent{
		ID: store.NewID[store.ConsentID](tx.Time()), Merchant: a.Merchant, Person: a.Person, Text: text.ID,
		Version: text.Version, Language: text.Language, Hash: text.Hash, Given: a.At.UTC(), Through: a.Through, By: a.By,
	}
	if err := store.Put(tx, c); err != nil {
		return nil, err
	}
	_, err = store.Append(tx, consentEvent(c, store.ActionGiven, c.Through), nil)
	return c, err
}

// consentEvent names the text by its hash: who has the text can show that it was
// this one.
func consentEvent(c *store.Consent, action string, through store.Through) store.Event {
	e := store.Event{Kind: store.EventConsent, Merchant: c.Merchant, Person: c.Person, Action: action, Outcome: store.OutcomeDone,
		Reasons: []string{"through " + string(through)}}
	if c.Hash != "" {
		e.Reasons = append(e.Reasons, "language "+c.Language, "sha256 "+c.Hash)
	}
	return e
}

// Withdrawal takes a consent back.
type Withdrawal struct {
	Merchant store.MerchantID
	Person   store.PersonID
	Through  store.Through
	By       store.Actor
	// KeepPerson erases what the person can be recognised by, and keeps him for
	// the ways without a face; otherwise he is erased whole.
	KeepPerson bool
}

// Withdraw takes back whatever a person agreed to. He matches nowhere from the
// commit on, and what he could be recognised by is gone; a new enrolment takes a
// new consent, whatever the policy. It is his right even where nobody recorded that
// he ever agreed. The last event it appends is what a receipt is about: an erasure,
// or with KeepPerson a consent event that counts what was erased. The errors are
// store.ErrNotFound or a FieldError.
func Withdraw(tx *store.Tx, w Withdrawal) error {
	if err := validThrough(w.Through); err != nil {
		return err
	}
	p, err := store.GetOf[store.Person](tx, w.Merchant, w.Person)
	if err != nil {
		return err
	}
	last, err := endConsents(tx, w)
	if err != nil {
		return err
	}
	e := consentEvent(last, store.ActionWithdrawn, w.Through)
	if !w.KeepPerson {
		if _, err := store.Append(tx, e, nil); err != nil {
			return err
		}
		return store.EraseFor(tx, p.ID, store.ActionWithdrawn)
	}
	if e.Counters, err = store.EraseFace(tx, p.ID); err != nil {
		return err
	}
	p.Status, p.EnrolledAt = store.PersonSuspended, time.Time{}
	if err := store.Put(tx, &p); err != nil {
		return err
	}
	_, err = store.Append(tx, e, nil)
	return err
}

// endConsents marks all that a person agreed to as taken back, and returns the
// newest; where there was none, one that says so.
func endConsents(tx *store.Tx, w Withdrawal) (*store.Consent, error) {
	var valid []store.Consent
	var last *store.Consent
	for c, err := range store.All(tx, store.ConsentsByPerson, store.Plain(w.Person)) {
		if err != nil {
			return nil, err
		}
		if c.Valid() {
			valid = append(valid, c)
		}
		last = &c
	}
	if len(valid) == 0 && (last == nil || last.Withdrawn.IsZero()) {
		valid = append(valid, store.Consent{ID: store.NewID[store.ConsentID](tx.Time()), Merchant: w.Merchant, Person: w.Person})
	}
	for i := range valid {
		c := &valid[i]
		c.Withdrawn, c.WithdrawnThrough, c.WithdrawnBy = tx.Time(), w.Through, w.By
		if err := store.Put(tx, c); err != nil {
			return nil, err
		}
		last = c
	}
	return last, nil
}
