package api

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// exportHead is what an export begins with; the sections and the events follow.
type exportHead struct {
	Success    bool      `json:"success"`
	ExportedAt time.Time `json:"exportedAt"`
	User       user      `json:"user"`
	Password   bool      `json:"hasPassword"` // its hash is kept, and tells nothing
	// Home and Disputed are what boxes and their central keep of him besides.
	Home     store.SiteID    `json:"home,omitempty"`
	Disputed *store.Disputed `json:"disputed,omitempty"`
}

// Records as an export shows them. Bytes are base64 in JSON; in a ZIP they are
// files, which File names.
type (
	exportCrop struct {
		ID        store.CropID  `json:"id"`
		CreatedAt time.Time     `json:"createdAt"`
		Source    string        `json:"source,omitempty"`
		Quality   []string      `json:"quality,omitempty"`
		Landmarks []store.Point `json:"landmarks"`
		Space     string        `json:"space,omitempty"`
		Image     []byte        `json:"image,omitempty"`
		File      string        `json:"file,omitempty"`
	}
	exportTemplate struct {
		Space     string    `json:"space"`
		CreatedAt time.Time `json:"createdAt"`
		Crops     int       `json:"crops"`
		Vector    []float32 `json:"vector"`
	}
	exportImage struct {
		ImageKey    store.ImageID `json:"imageKey"`
		Type        store.Purpose `json:"type"`
		Name        string        `json:"imageName,omitempty"`
		ContentType string        `json:"contentType"`
		CreatedAt   time.Time     `json:"createdAt"`
		ExpiresAt   time.Time     `json:"expiresAt,omitzero"`
		Data        []byte        `json:"data,omitempty"`
		File        string        `json:"file,omitempty"`
	}
	exportUpload struct {
		ImageKey    store.ImageID `json:"imageKey"`
		Type        store.Purpose `json:"type"`
		Name        string        `json:"imageName"`
		ContentType string        `json:"contentType"`
		CreatedAt   time.Time     `json:"createdAt"`
		ExpiresAt   time.Time     `json:"expiresAt"`
		Used        bool          `json:"used"`
	}
	exportSession struct {
		SessionID  store.SessionID     `json:"sessionId"`
		Status     store.SessionStatus `json:"status"`
		Mode       store.SessionMode   `json:"mode"`
		Challenge  []string            `json:"challenge,omitempty"`
		Frames     int                 `json:"frames"`
		CreatedAt  time.Time           `json:"createdAt"`
		ExpiresAt  time.Time           `json:"expiresAt"`
		Confidence float64             `json:"confidence"`
		Similarity float64             `json:"similarity"`
	}
	exportReview struct {
		ID        store.ReviewID   `json:"id"`
		Reason    store.ReviewKind `json:"reason"`
		Others    int              `json:"others"` // people it is about besides him; not who they are
		Score     float64          `json:"similarity,omitempty"`
		CreatedAt time.Time        `json:"createdAt"`
		SettledAt time.Time        `json:"settledAt,omitzero"`
	}
	exportSighting struct {
		LastSeenAt time.Time `json:"lastSeenAt,omitzero"`
		Since      time.Time `json:"since,omitzero"` // the enrolment that the rest is about
		Matches    int       `json:"matches"`
		First      float64   `json:"first,omitempty"` // mean similarity of the first
		Recent     float64   `json:"recent,omitempty"`
	}
	exportCandidate struct {
		ID         store.CropID `json:"id"`
		CreatedAt  time.Time    `json:"createdAt"`
		ExpiresAt  time.Time    `json:"expiresAt"`
		Similarity float64      `json:"similarity"`
		Image      []byte       `json:"image,omitempty"`
		File       string       `json:"file,omitempty"`
	}
	exportFormer struct {
		UserID   store.FormerID `json:"userId"`
		MergedAt time.Time      `json:"mergedAt"`
	}
	exportEvent struct {
		verification
		Personal json.RawMessage `json:"personal,omitempty"` // what the journal keeps apart of it
	}
)

// detached is a record whose bytes an export in a ZIP keeps in a file.
type detached interface {
	detach() (name string, data []byte)
}

func (c *exportCrop) detach() (string, []byte) {
	data := c.Image
	c.File, c.Image = "crops/"+string(c.ID)+extension(http.DetectContentType(data)), nil
	return c.File, data
}

func (c *exportCandidate) detach() (string, []byte) {
	data := c.Image
	c.File, c.Image = "candidates/"+string(c.ID)+extension(http.DetectContentType(data)), nil
	return c.File, data
}

func (i *exportImage) detach() (string, []byte) {
	if len(i.Data) == 0 {
		return "", nil
	}
	data := i.Data
	i.File, i.Data = "images/"+strings.ReplaceAll(strings.Trim(string(i.ImageKey), "/"), "/", "-"), nil
	if !strings.Contains(i.File, ".") {
		i.File += extension(i.ContentType)
	}
	return i.File, data
}

func extension(contentType string) string {
	if contentType == "image/png" {
		return ".png"
	}
	return ".jpg"
}

// exportSection is what is held of one kind about a person. each calls emit for
// each record, a few in a transaction, so that a reader who is slow holds nothing
// up.
type exportSection struct {
	name string // in the JSON
	kind store.Kind
	each func(ctx context.Context, s store.Store, of store.Term, emit func(any) error) error
}

// exportAtOnce is how many records one transaction of an export reads.
const exportAtOnce = 16

func section[T any, P store.Listed[T], V any](name string, k store.Kind, ix store.Index[T], show func(*T) V) exportSection {
	return exportSection{name, k, func(ctx context.Context, s store.Store, of store.Term, emit func(any) error) error {
		q := store.Query[T]{Prefix: []store.Term{of}, Limit: exportAtOnce}
		for {
			var page store.Page[T]
			err := s.View(ctx, func(tx *store.Tx) (err error) {
				page, err = store.List[T, P](tx, ix, q)
				return err
			})
			if err != nil {
				return err
			}
			for i := range page.Items {
				v := show(&page.Items[i])
				if err := emit(&v); err != nil {
					return err
				}
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				return nil
			}
		}
	}}
}

// exportSections are all kinds of records about a person but himself.
func exportSections() []exportSection {
	return []exportSection{
		section("crops", store.KindCrop, store.CropsByPerson, func(c *store.Crop) exportCrop {
			return exportCrop{ID: c.ID, CreatedAt: c.Created, Source: c.Source, Quality: c.Quality, Landmarks: orEmpty(c.Landmarks), Space: c.Space, Image: c.Image}
		}),
		section("templates", store.KindTemplate, store.TemplatesByPerson, func(t *store.Template) exportTemplate {
			return exportTemplate{t.Space, t.Created, t.Crops, t.Vector}
		}),
		section("images", store.KindImage, store.ImagesByPerson, func(i *store.Image) exportImage {
			return exportImage{i.ID, i.Purpose, i.Name, i.ContentType, i.Created, i.Expires, i.Data, ""}
		}),
		section("uploads", store.KindTicket, store.TicketsByPerson, func(t *store.Ticket) exportUpload {
			return exportUpload{t.Image, t.Purpose, t.Name, t.ContentType, t.Created, t.Expires, t.Used}
		}),
		section("sessions", store.KindSession, store.SessionsByPerson, func(s *store.Session) exportSession {
			return exportSession{s.ID, s.Status, s.Mode, s.Challenge, s.Frames, s.Created, s.Expires, round(s.Confidence), round(s.Similarity)}
		}),
		section("grants", store.KindGrant, store.GrantsByPerson, func(g *store.Grant) store.Grant { return *g }),
		section("reviews", store.KindReview, store.ReviewsByPerson, func(r *store.Review) exportReview {
			return exportReview{r.ID, r.Reason, max(len(r.Persons)-1, 0), round(r.Score), r.Created, r.Settled}
		}),
		section("consents", store.KindConsent, store.ConsentsByPerson, toConsent),
		section("credentials", store.KindCredential, store.CredentialsByPerson, toCredential),
		section("sightings", store.KindSighting, store.SightingsByPerson, func(s *store.Sighting) exportSighting {
			return exportSighting{s.LastSeen, s.Template, s.Matches, round(s.Base), round(s.Recent)}
		}),
		section("candidates", store.KindCandidate, store.CandidatesByPerson, func(c *store.Candidate) exportCandidate {
			return exportCandidate{ID: c.ID, CreatedAt: c.Created, ExpiresAt: c.Expires, Similarity: round(c.Similarity), Image: c.Image}
		}),
		section("formerIds", store.KindFormer, store.FormersByPerson, func(f *store.Former) exportFormer { return exportFormer{f.ID, f.Created} }),
	}
}

// exportUser is GET /users/{userId}/export/: JSON, or with format=zip, or where the
// caller accepts that and no JSON, a ZIP with the pictures as files.
func (a *API) exportUser(c *call) error {
	format := c.r.URL.Query().Get("format")
	switch {
	case format == "" && !web.Accepts(c.r, "application/json") && web.Accepts(c.r, "application/zip"):
		format = "zip"
	case format == "":
		format = "json"
	case format != "json" && format != "zip":
		return web.Fail(http.StatusBadRequest, "the query is not well formed").Field("format", "must be json or zip")
	}
	if !web.Accepts(c.r, "application/"+format) {
		return web.Fail(http.StatusNotAcceptable, "the export is application/%s", format)
	}
	if a.Audit == nil {
		return web.Fail(http.StatusServiceUnavailable, "the journal is not open")
	}
	head := exportHead{Success: true, ExportedAt: a.now().UTC()}
	var id store.PersonID
	var sealer store.Sealer
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		p, err := c.one(tx)
		id, head.User, head.Password, head.Home, sealer = p.ID, toUser(&p), p.Password != "", p.Home, tx.Sealer()
		if p.Disputed != (store.Disputed{}) {
			head.Disputed = &p.Disputed
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := a.noteReading(c, "user_export", id); err != nil {
		return err
	}
	ctx, done := c.unlimited()
	defer done()
	c.w.Header().Set("Content-Type", "application/"+format)
	e := export{API: a, ctx: ctx, merchant: c.Merchant, person: id, sealer: sealer}
	if format == "json" {
		return e.json(c.w, head)
	}
	c.w.Header().Set("Content-Disposition", `attachment; filename="`+string(id)+`.zip"`)
	return e.zip(c.w, head)
}

// export is one under way. What it writes ends early where something fails, and is
// neither JSON nor a ZIP then.
type export struct {
	*API
	ctx      context.Context
	merchant store.MerchantID
	person   store.PersonID
	sealer   store.Sealer
}

// json writes all as one object, record by record.
func (e *export) json(w io.Writer, head exportHead) error {
	b, err := json.Marshal(head)
	if err != nil {
		return err
	}
	out := jsonStream{w: w}
	out.raw(string(b[:len(b)-1])) // the object goes on
	for _, s := range exportSections() {
		out.list(s.name, func(emit func(any) error) error { return s.each(e.ctx, e.store, store.Plain(e.person), emit) })
	}
	out.list("events", e.events)
	out.raw("}\n")
	return out.err
}

// jsonStream writes pieces of JSON until one fails.
type jsonStream struct {
	w   io.Writer
	err error
}

func (s *jsonStream) raw(text string) {
	if s.err == nil {
		_, s.err = io.WriteString(s.w, text)
	}
}

// list writes a field with the values that each emits, in a list.
func (s *jsonStream) list(name string, each func(emit func(any) error) error) {
	s.raw(`,"` + name + `":[`)
	if s.err != nil {
		return
	}
	comma := ""
	err := each(func(v any) error {
		b, err := json.Marshal(v)
		if err == nil {
			s.raw(comma + string(b))
			comma, err = ",", s.err
		}
		return err
	})
	if s.err == nil {
		s.err = err
	}
	s.raw("]")
}

// zip writes the pictures as files, the events a line each, and at the end all
// else as person.json.
func (e *export) zip(w io.Writer, head exportHead) error {
	z := zip.NewWriter(w)
	rest := jsonBuffer(head)
	for _, s := range exportSections() {
		err := rest.section(s.name, func(emit func(any) error) error {
			return s.each(e.ctx, e.store, store.Plain(e.person), func(v any) error {
				if d, ok := v.(detached); ok {
					if name, data := d.detach(); name != "" {
						if err := addFile(z, name, data); err != nil {
							return err
						}
					}
				}
				return emit(v)
			})
		})
		if err != nil {
			return err
		}
	}
	lines, err := z.Create("events.jsonl")
	if err != nil {
		return err
	}
	enc := json.NewEncoder(lines)
	if err := e.events(func(v any) error { return enc.Encode(v) }); err != nil {
		return err
	}
	body, err := json.MarshalIndent(rest.fields, "", "  ")
	if err == nil {
		err = addFile(z, "person.json", body)
	}
	if err != nil {
		return err
	}
	return z.Close()
}

// fields are what person.json is made of.
type fields struct{ fields map[string]any }

func jsonBuffer(head exportHead) *fields {
	return &fields{map[string]any{"exportedAt": head.ExportedAt, "user": head.User, "hasPassword": head.Password, "home": head.Home, "disputed": head.Disputed}}
}

func (f *fields) section(name string, each func(emit func(any) error) error) error {
	list := []any{}
	err := each(func(v any) error {
		list = append(list, v)
		return nil
	})
	f.fields[name] = list
	return err
}

// addFile adds a file; pictures are compressed already.
func addFile(z *zip.Writer, name string, data []byte) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	if !strings.HasSuffix(name, ".json") {
		h.Method = zip.Store
	}
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}

// events emits the events about the person, the newest first, with their personal
// parts.
func (e *export) events(emit func(any) error) error {
	q := audit.Query{Merchant: e.merchant, Person: e.person, Limit: 500}
	for {
		page, err := e.history(e.ctx, q)
		if err != nil {
			return err
		}
		for i := range page.Items {
			v := exportEvent{verification: toVerification(&page.Items[i].Event)}
			if v.Personal, err = store.PersonalPart(e.sealer, &page.Items[i]); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			if err := emit(&v); err != nil {
				return err
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return nil
		}
	}
}

// collect shows all records of an index that have a term.
func collect[T any, P store.Listed[T], V any](tx *store.Tx, ix store.Index[T], of store.Term, show func(*T) V) ([]V, error) {
	list := []V{}
	for rec, err := range store.All[T, P](tx, ix, of) {
		if err != nil {
			return nil, err
		}
		list = append(list, show(&rec))
	}
	return list, nil
}
