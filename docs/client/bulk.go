package client

import (
	"context"
	"io"
	"time"
)

// BulkOptions say what to do with an upload of many people; the zero value enrols who
// is new.
type BulkOptions struct {
	Check   bool   // enrol nobody, and report what would be
	Update  bool   // who is known already gets the new face
	Consent string // language of the consent text that each new person agreed to, or any; empty: none is recorded
}

// Bulk is a bulk enrolment, and how far it is.
type Bulk struct {
	BulkID     string    `json:"bulkId"`
	State      string    `json:"state"`  // running, done, cancelled, failed
	Reason     string    `json:"reason"` // why it failed
	Check      bool      `json:"check"`
	Update     bool      `json:"update"`
	People     int       `json:"people"`
	Done       int       `json:"done"` // who were dealt with: the five below
	Enrolled   int       `json:"enrolled"`
	Updated    int       `json:"updated"`
	Exists     int       `json:"exists"`
	Refused    int       `json:"refused"`
	Duplicates int       `json:"duplicates"` // who may be somebody else; an operator decides
	Rate       float64   `json:"rate"`       // people a second
	Remaining  float64   `json:"remaining"`  // seconds at that rate; 0: not known
	Notes      []string  `json:"notes"`      // about the upload as a whole
	CreatedAt  time.Time `json:"createdAt"`
	EndedAt    time.Time `json:"endedAt"`
}

// BulkEntry is what became of one person of an upload.
type BulkEntry struct {
	Number              int           `json:"number"`  // in the upload, from 1
	Label               string        `json:"label"`   // of who was refused: a line of the table, or a name in the upload
	Outcome             string        `json:"outcome"` // enrolled, updated, exists, refused, erased
	Reason              string        `json:"reason"`  // why he was refused
	Hint                string        `json:"hint"`
	UserID              string        `json:"userId"`
	PossibleDuplicateOf string        `json:"possibleDuplicateOf"`
	SameFaceAs          int           `json:"sameFaceAs"` // the Number of another entry; 0: none
	SameFaceAsLabel     string        `json:"sameFaceAsLabel"`
	Pictures            []BulkPicture `json:"pictures"` // those that were not used
}

// BulkPicture is a picture that was not used.
type BulkPicture struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Hint   string `json:"hint"`
}

// BulkEnrol sends a ZIP: a table of people (*.csv) with the pictures that it names, or a
// folder of pictures for each person. They are enrolled in the background; ask for Bulk
// until its State is not running.
func (c *Client) BulkEnrol(ctx context.Context, archive io.Reader, o BulkOptions) (Bulk, error) {
	q := query("consent", o.Consent)
	if o.Check {
		q.Set("check", "true")
	}
	if o.Update {
		q.Set("existing", "update")
	}
	return c.bulk(ctx, "bulkEnrol", call{query: q, archive: archive})
}

// Bulks lists the newest bulk enrolments, at most 100.
func (c *Client) Bulks(ctx context.Context) ([]Bulk, error) {
	out, err := get[struct{ Bulks []Bulk }](ctx, c, "listBulk", call{})
	return out.Bulks, err
}

// Bulk says how a bulk enrolment stands.
func (c *Client) Bulk(ctx context.Context, bulkID string) (Bulk, error) {
	return c.bulk(ctx, "showBulk", call{path: []string{"bulkId", bulkID}})
}

func (c *Client) bulk(ctx context.Context, operation string, in call) (Bulk, error) {
	out, err := get[struct{ Bulk Bulk }](ctx, c, operation, in)
	return out.Bulk, err
}

// BulkReport lists what became of each person, or of those with one outcome.
func (c *Client) BulkReport(ctx context.Context, bulkID, outcome string) ([]BulkEntry, error) {
	out, err := get[struct{ Entries []BulkEntry }](ctx, c, "bulkReport", call{path: []string{"bulkId", bulkID}, query: query("outcome", outcome)})
	return out.Entries, err
}

// EndBulk cancels a bulk enrolment, or forgets one that has ended. Who was enrolled
// stays.
func (c *Client) EndBulk(ctx context.Context, bulkID string) error {
	return c.done(ctx, "endBulk", call{path: []string{"bulkId", bulkID}})
}
