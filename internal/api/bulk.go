package api

import (
	"archive/zip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// bulkQueue is what the API wants of bulk.Queue.
type bulkQueue interface {
	Add(context.Context, store.Cause, bulk.Request, io.Reader) (store.Bulk, error)
	Progress(context.Context, store.MerchantID, store.BulkID) (bulk.Progress, error)
	Report(context.Context, store.MerchantID, store.BulkID) iter.Seq2[store.BulkItem, error]
	List(context.Context, store.MerchantID) ([]store.Bulk, error)
	End(context.Context, store.Cause, store.MerchantID, store.BulkID) (cancelled bool, err error)
}

// BulkIssue says which field of a person in a bulk enrolment is not well formed,
// and what is wrong. Who comes in a bulk need not have an e-mail address.
func BulkIssue(p *store.Person) (field, issue string) {
	for _, f := range []struct {
		name, value string
		check       func(string) string
	}{
		{"firstname", p.Firstname, text(100)}, {"lastname", p.Lastname, text(100)}, {"email", p.Email, emailIssue},
		{"phone", p.Phone, phoneIssue}, {"externalId", p.ExternalID, text(128)},
	} {
		if issue := f.check(f.value); issue != "" {
			return f.name, issue
		}
	}
	return "", ""
}

// BulkJob is a bulk enrolment as the API shows it.
type BulkJob struct {
	ID         store.BulkID    `json:"bulkId"`
	State      store.BulkState `json:"state"`
	Reason     string          `json:"reason,omitempty"`
	Check      bool            `json:"check"`
	Update     bool            `json:"update"`
	People     int             `json:"people"`
	Done       int             `json:"done"`
	Enrolled   int             `json:"enrolled"`
	Updated    int             `json:"updated"`
	Exists     int             `json:"exists"`
	Refused    int             `json:"refused"`
	Duplicates int             `json:"duplicates"`
	Rate       float64         `json:"rate"`
	Remaining  float64         `json:"remaining,omitempty"` // seconds
	Notes      []string        `json:"notes"`
	CreatedAt  time.Time       `json:"createdAt"`
	EndedAt    time.Time       `json:"endedAt,omitzero"`
}

func toBulkJob(p bulk.Progress) BulkJob {
	return BulkJob{
		ID: p.ID, State: p.State, Reason: p.Reason, Check: p.Check, Update: p.Update, People: p.Total, Done: p.Done, Enrolled: p.Enrolled,
		Updated: p.Updated, Exists: p.Exists, Refused: p.Refused, Duplicates: p.Duplicates, Rate: round(p.Rate), Remaining: p.Remaining.Round(time.Second).Seconds(),
		Notes: append([]string{}, p.Notes...), CreatedAt: p.Created, EndedAt: p.Ended,
	}
}

// BulkEntry is what became of one person, as the report shows it.
type BulkEntry struct {
	Number      int               `json:"number"`
	Label       string            `json:"label,omitempty"`
	Outcome     store.BulkOutcome `json:"outcome"`
	Reason      string            `json:"reason,omitempty"`
	Hint        string            `json:"hint,omitempty"`
	UserID      store.PersonID    `json:"userId,omitempty"`
	DuplicateOf store.PersonID    `json:"possibleDuplicateOf,omitempty"`
	Twin        int               `json:"sameFaceAs,omitempty"`      // the number of another of the upload
	TwinLabel   string            `json:"sameFaceAsLabel,omitempty"` // … and its label, where it has one
	Pictures    []BulkPicture     `json:"pictures,omitempty"`
}

// BulkPicture is a picture that was not used.
type BulkPicture struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
}

func toBulkEntry(i store.BulkItem) BulkEntry {
	e := BulkEntry{Number: i.Number, Label: i.Label, Outcome: i.Outcome, Reason: i.Reason, Hint: i.Hint, UserID: i.Person, DuplicateOf: i.DuplicateOf, Twin: i.Twin}
	for _, p := range i.Pictures {
		name, _, _ := strings.Cut(p.Name, "#")
		e.Pictures = append(e.Pictures, BulkPicture{name, p.Reason, p.Hint})
	}
	return e
}

// nameTwins says, of entries who may be another of the same upload, who that is.
func nameTwins(entries []BulkEntry) {
	labels, numbers := map[int]string{}, map[store.PersonID]int{}
	for _, e := range entries {
		labels[e.Number] = e.Label
		if e.UserID != "" {
			numbers[e.UserID] = e.Number
		}
	}
	for i := range entries {
		e := &entries[i]
		if e.Twin == 0 && e.DuplicateOf != "" {
			e.Twin = numbers[e.DuplicateOf]
		}
		e.TwinLabel = labels[e.Twin]
	}
}

var errNoBulk = web.Fail(http.StatusNotFound, "this box takes no bulk enrolments")

// bulkEnrol is POST /bulk/enrol/: an archive, or a table with its pictures, is
// taken in and worked off afterwards.
func (a *API) bulkEnrol(c *call) error {
	if a.Bulk == nil {
		return errNoBulk
	}
	r, err := bulkRequest(c.r.URL.Query())
	if err != nil {
		return err
	}
	r.Merchant = c.Merchant
	ctx, body := c.ctx(), io.Reader(c.r.Body)
	if c.Actor.Kind == store.ActorCLI {
		var cancel context.CancelFunc
		ctx, cancel = c.unlimited()
		defer cancel()
	}
	switch web.MediaType(c.r.Header.Get("Content-Type")) {
	case "application/zip", "application/x-zip-compressed", "application/octet-stream", "":
	case "multipart/form-data":
		parts, err := c.r.MultipartReader()
		if err != nil {
			return web.Fail(http.StatusBadRequest, "the body is not valid multipart/form-data").Because(err)
		}
		packed, stop := packForm(parts)
		defer stop()
		body = packed
	default:
		return web.Fail(http.StatusNotAcceptable, "the Content-Type must be application/zip or multipart/form-data")
	}
	job, err := a.Bulk.Add(ctx, c.cause(), r, body)
	if err != nil {
		return bulkProblem(err)
	}
	return c.reply(http.StatusAccepted, struct {
		Success bool    `json:"success"`
		Bulk    BulkJob `json:"bulk"`
	}{true, toBulkJob(bulk.Progress{Bulk: job})})
}

func bulkRequest(q url.Values) (r bulk.Request, err error) {
	bad := web.Fail(http.StatusBadRequest, "the query is not well formed")
	for _, name := range slices.Sorted(maps.Keys(q)) {
		value := q.Get(name)
		switch {
		case name == "check" && (value == "true" || value == "false"):
			r.Check = value == "true"
		case name == "existing" && (value == "skip" || value == "update"):
			r.Update = value == "update"
		case name == "consent" && len(value) <= 35:
			r.Consent = value
		case name == "check":
			bad.Field(name, "must be true or false")
		case name == "existing":
			bad.Field(name, "must be skip or update")
		default:
			bad.Field(web.Clip(name, 40), "is not a parameter of this call")
		}
	}
	if bad.Details != nil {
		return r, bad
	}
	return r, nil
}

// packForm makes an archive of a form with a table (the field people) and pictures
// (the field image, by their file names), as it comes in.
func packForm(parts *multipart.Reader) (archive io.Reader, stop func()) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(pack(parts, w)) }()
	return r, func() { r.Close() }
}

func pack(parts *multipart.Reader, w io.Writer) error {
	z := zip.NewWriter(w)
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return z.Close()
		}
		if err != nil {
			return web.Fail(http.StatusBadRequest, "the body is not valid multipart/form-data").Because(err)
		}
		name := ""
		switch part.FormName() {
		case "people":
			name = "people.csv"
		case "image":
			name = part.FileName() // the last part of a path
		}
		if name == "" {
			return web.Fail(http.StatusBadRequest, "a part of the form is not known").Field(web.Clip(part.FormName(), 40), "must be people, or image with a file name")
		}
		f, err := z.CreateHeader(&zip.FileHeader{Name: path.Base(name), Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, part); err != nil {
			return web.Fail(http.StatusBadRequest, "the body ended early").Because(err)
		}
	}
}

// bulkProblem maps what can be wrong with an upload.
func bulkProblem(err error) error {
	var ready *web.Error
	switch {
	case errors.As(err, &ready):
		return err
	case errors.Is(err, bulk.ErrArchive), errors.Is(err, bulk.ErrTable):
		return web.Fail(http.StatusUnprocessableEntity, "%s", strings.TrimPrefix(err.Error(), "take upload: ")).Because(err)
	case errors.Is(err, bulk.ErrTooLarge):
		return web.Fail(http.StatusRequestEntityTooLarge, "%s", strings.TrimPrefix(err.Error(), "take upload: ")).Because(err)
	case errors.Is(err, bulk.ErrNoText):
		return web.Fail(http.StatusUnprocessableEntity, "there is no consent text in this language; make one first").Field("consent", "must be the language of a text, or any").Because(err)
	case errors.Is(err, bulk.ErrNoRoom):
		return web.Fail(http.StatusServiceUnavailable, "there is no room for the upload on the disk of the box").Because(err)
	case errors.Is(err, bulk.ErrBusy):
		return web.Fail(http.StatusConflict, "too many bulk enrolments are waiting; come again when one has ended").Because(err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return web.Fail(http.StatusBadRequest, "the body ended early").Because(err)
	}
	return err
}

func (c *call) bulkID() (store.BulkID, error) {
	id, err := store.ParseUUID[store.BulkID](c.r.PathValue("bulkId"))
	if err != nil {
		return "", web.Fail(http.StatusBadRequest, "the id is not well formed").Field("bulkId", "must be a UUID")
	}
	return id, nil
}

// listBulk is GET /bulk/.
func (a *API) listBulk(c *call) error {
	if a.Bulk == nil {
		return errNoBulk
	}
	all, err := a.Bulk.List(c.ctx(), c.Merchant)
	if err != nil {
		return err
	}
	out := struct {
		Success bool      `json:"success"`
		Bulks   []BulkJob `json:"bulks"`
	}{true, []BulkJob{}}
	for _, b := range all {
		p, err := a.Bulk.Progress(c.ctx(), c.Merchant, b.ID)
		if err != nil {
			return err
		}
		out.Bulks = append(out.Bulks, toBulkJob(p))
	}
	return c.reply(http.StatusOK, out)
}

// showBulk is GET /bulk/{bulkId}/.
func (a *API) showBulk(c *call) error {
	id, err := c.bulkID()
	if err != nil {
		return err
	}
	if a.Bulk == nil {
		return errNoBulk
	}
	p, err := a.Bulk.Progress(c.ctx(), c.Merchant, id)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool    `json:"success"`
		Bulk    BulkJob `json:"bulk"`
	}{true, toBulkJob(p)})
}

// endBulk is DELETE /bulk/{bulkId}/: it cancels one that is under way, and forgets
// one that has ended. Who was enrolled stays.
func (a *API) endBulk(c *call) error {
	id, err := c.bulkID()
	if err != nil {
		return err
	}
	if a.Bulk == nil {
		return errNoBulk
	}
	cancelled, err := a.Bulk.End(c.ctx(), c.cause(), c.Merchant, id)
	if err != nil {
		return err
	}
	message := "Bulk enrolment forgotten."
	if cancelled {
		message = "Bulk enrolment cancelled."
	}
	return c.reply(http.StatusOK, struct {
		Success bool         `json:"success"`
		Message string       `json:"message"`
		ID      store.BulkID `json:"bulkId"`
	}{true, message, id})
}

// bulkReport is GET /bulk/{bulkId}/report/: what became of each person, as JSON, or
// with ?format=csv as a table. ?outcome= chooses.
func (a *API) bulkReport(c *call) error {
	id, err := c.bulkID()
	if err != nil {
		return err
	}
	if a.Bulk == nil {
		return errNoBulk
	}
	q := c.r.URL.Query()
	format, outcome := q.Get("format"), store.BulkOutcome(q.Get("outcome"))
	if format != "" && format != "json" && format != "csv" {
		return web.Fail(http.StatusBadRequest, "the query is not well formed").Field("format", "must be json or csv")
	}
	known := []store.BulkOutcome{"", store.BulkEnrolled, store.BulkUpdated, store.BulkExists, store.BulkRefused, store.BulkErased}
	if !slices.Contains(known, outcome) {
		return web.Fail(http.StatusBadRequest, "the query is not well formed").Field("outcome", "is not one of those that there are")
	}
	entries := []BulkEntry{}
	for i, err := range a.Bulk.Report(c.ctx(), c.Merchant, id) {
		if err != nil {
			return err
		}
		entries = append(entries, toBulkEntry(i))
	}
	nameTwins(entries)
	if outcome != "" {
		entries = slices.DeleteFunc(entries, func(e BulkEntry) bool { return e.Outcome != outcome })
	}
	if format == "csv" {
		return writeBulkTable(c.w, entries)
	}
	return c.reply(http.StatusOK, struct {
		Success bool         `json:"success"`
		ID      store.BulkID `json:"bulkId"`
		Entries []BulkEntry  `json:"entries"`
	}{true, id, entries})
}

// writeBulkTable writes a report for programs that read tables.
func writeBulkTable(w http.ResponseWriter, entries []BulkEntry) error {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="report.csv"`)
	t := csv.NewWriter(w)
	rows := [][]string{{"number", "label", "outcome", "reason", "hint", "userId", "possibleDuplicateOf", "pictures", "sameFaceAs", "sameFaceAsLabel"}}
	for _, e := range entries {
		var pictures []string
		for _, p := range e.Pictures {
			pictures = append(pictures, fmt.Sprintf("%s: %s", p.Name, p.Reason))
		}
		twin := ""
		if e.Twin > 0 {
			twin = strconv.Itoa(e.Twin)
		}
		rows = append(rows, []string{strconv.Itoa(e.Number), harmless(e.Label), string(e.Outcome), e.Reason, e.Hint,
			string(e.UserID), string(e.DuplicateOf), harmless(strings.Join(pictures, "; ")), twin, harmless(e.TwinLabel)})
	}
	_ = t.WriteAll(rows) // the caller is gone if this fails
	return nil
}

// harmless keeps programs for tables from taking a text for a formula.
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
