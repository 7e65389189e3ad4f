package api

import (
	"context"
	"net/http"
	"time"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/store"
)

// personExport is all that is held about a person. Bytes are base64.
type personExport struct {
	Success    bool             `json:"success"`
	ExportedAt time.Time        `json:"exportedAt"`
	User       user             `json:"user"`
	Password   bool             `json:"hasPassword"` // its hash is kept, and tells nothing
	Crops      []exportCrop     `json:"crops"`
	Templates  []exportTemplate `json:"templates"`
	Images     []exportImage    `json:"images"`
	Sessions   []exportSession  `json:"sessions"`
	Grants     []store.Grant    `json:"grants"`
	Events     []verification   `json:"events"` // the newest first
	More       bool             `json:"moreEvents"`
}

type exportCrop struct {
	ID        store.CropID  `json:"id"`
	CreatedAt time.Time     `json:"createdAt"`
	Source    string        `json:"source,omitempty"`
	Quality   []string      `json:"quality,omitempty"`
	Landmarks []store.Point `json:"landmarks"`
	Image     []byte        `json:"image"`
}

type exportTemplate struct {
	Space     string    `json:"space"`
	CreatedAt time.Time `json:"createdAt"`
	Crops     int       `json:"crops"`
	Vector    []float32 `json:"vector"`
}

type exportImage struct {
	ImageKey    store.ImageID `json:"imageKey"`
	Type        store.Purpose `json:"type"`
	Name        string        `json:"imageName,omitempty"`
	ContentType string        `json:"contentType"`
	CreatedAt   time.Time     `json:"createdAt"`
	ExpiresAt   time.Time     `json:"expiresAt,omitzero"`
	Data        []byte        `json:"data,omitempty"`
}

type exportSession struct {
	SessionID  store.SessionID     `json:"sessionId"`
	Status     store.SessionStatus `json:"status"`
	Mode       store.SessionMode   `json:"mode"`
	CreatedAt  time.Time           `json:"createdAt"`
	Confidence float64             `json:"confidence"`
	Similarity float64             `json:"similarity"`
}

// exportEvents is how many events an export holds; more are listed by
// /verifications/.
const exportEvents = 10_000

// exportUser is GET /users/{userId}/export/.
func (a *API) exportUser(c *call) error {
	out := personExport{Success: true, ExportedAt: a.now().UTC()}
	var id store.PersonID
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		p, err := c.one(tx)
		if err != nil {
			return err
		}
		id, out.User, out.Password = p.ID, toUser(&p), p.Password != ""
		return out.records(tx, store.Plain(p.ID))
	})
	if err != nil {
		return err
	}
	if err := a.noteReading(c, "user_export", id); err != nil {
		return err
	}
	if out.Events, out.More, err = a.eventsOf(c.ctx(), c.Merchant, id); err != nil {
		return err
	}
	return c.reply(http.StatusOK, out)
}

// records reads what lies in the store.
func (out *personExport) records(tx *store.Tx, of store.Term) (err error) {
	if out.Crops, err = collect(tx, store.CropsByPerson, of, func(c *store.Crop) exportCrop {
		return exportCrop{c.ID, c.Created, c.Source, c.Quality, orEmpty(c.Landmarks), c.Image}
	}); err != nil {
		return err
	}
	if out.Templates, err = collect(tx, store.TemplatesByPerson, of, func(t *store.Template) exportTemplate {
		return exportTemplate{t.Space, t.Created, t.Crops, t.Vector}
	}); err != nil {
		return err
	}
	if out.Images, err = collect(tx, store.ImagesByPerson, of, func(i *store.Image) exportImage {
		return exportImage{i.ID, i.Purpose, i.Name, i.ContentType, i.Created, i.Expires, i.Data}
	}); err != nil {
		return err
	}
	if out.Sessions, err = collect(tx, store.SessionsByPerson, of, func(s *store.Session) exportSession {
		return exportSession{s.ID, s.Status, s.Mode, s.Created, round(s.Confidence), round(s.Similarity)}
	}); err != nil {
		return err
	}
	out.Grants, err = collect(tx, store.GrantsByPerson, of, func(g *store.Grant) store.Grant { return *g })
	return err
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

// eventsOf are the events of a person; more says that there are older ones.
func (a *API) eventsOf(ctx context.Context, m store.MerchantID, id store.PersonID) (list []verification, more bool, err error) {
	list = []verification{}
	q := audit.Query{Merchant: m, Person: id, Limit: 1000}
	for len(list) < exportEvents {
		page, err := a.history(ctx, q)
		if err != nil {
			return nil, false, err
		}
		for i := range page.Items {
			list = append(list, toVerification(&page.Items[i].Event))
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return list, false, nil
		}
	}
	return list, true, nil
}
