package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// consentText is a text as the API shows it.
type consentText struct {
	TextID    store.ConsentTextID `json:"textId"`
	Version   string              `json:"version"`
	Language  string              `json:"language"`
	Text      string              `json:"text,omitempty"` // not in lists
	SHA256    string              `json:"sha256"`
	CreatedAt time.Time           `json:"createdAt"`
	RetiredAt time.Time           `json:"retiredAt,omitzero"`
}

func toConsentText(t *store.ConsentText) consentText {
	return consentText{t.ID, t.Version, t.Language, t.Text, t.Hash, t.Created, t.Retired}
}

func (c *call) replyText(status int, t *store.ConsentText) error {
	return c.reply(status, struct {
		Success bool        `json:"success"`
		Text    consentText `json:"consentText"`
	}{true, toConsentText(t)})
}

// createText is POST /consent-texts/.
func (a *API) createText(c *call) error {
	var in struct {
		Version  string `json:"version"`
		Language string `json:"language"`
		Text     string `json:"text"`
	}
	if err := web.DecodeStrict(c.r, &in, 2*rights.MaxText); err != nil {
		return err
	}
	t, err := rights.NewText(c.Merchant, in.Version, in.Language, in.Text, a.now())
	if err != nil {
		return err
	}
	if err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error { return store.Put(tx, t) }); err != nil {
		return err
	}
	return c.replyText(http.StatusCreated, t)
}

// listTexts is GET /consent-texts/.
func (a *API) listTexts(c *call) error {
	q, err := pageQuery[store.ConsentText](c.r, "current")
	if err != nil {
		return err
	}
	q.Prefix, q.Reverse = []store.Term{store.Plain(c.Merchant)}, true
	if c.r.URL.Query().Get("current") == "true" {
		q.Keep = func(t *store.ConsentText) bool { return t.Retired.IsZero() }
	}
	var page store.Page[store.ConsentText]
	err = a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		page, err = store.List(tx, store.ConsentTextsByMerchant, q)
		return err
	})
	if err != nil {
		return err
	}
	list := make([]consentText, len(page.Items))
	for i := range page.Items {
		list[i] = toConsentText(&page.Items[i])
		list[i].Text = ""
	}
	return c.reply(http.StatusOK, struct {
		Success    bool          `json:"success"`
		Texts      []consentText `json:"consentTexts"`
		NextCursor store.Cursor  `json:"nextCursor,omitempty"`
	}{true, list, page.Next})
}

// currentText is GET /consent-texts/current/.
func (a *API) currentText(c *call) error {
	var t store.ConsentText
	err := a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		t, err = rights.CurrentText(tx, c.Merchant, c.r.URL.Query().Get("language"))
		return err
	})
	if err != nil {
		return err
	}
	return c.replyText(http.StatusOK, &t)
}

func (c *call) textID() (store.ConsentTextID, error) {
	id, err := store.ParseID[store.ConsentTextID](c.r.PathValue("textId"))
	if err != nil {
		return "", badID("textId")
	}
	return id, nil
}

// showText is GET /consent-texts/{textId}/.
func (a *API) showText(c *call) error {
	id, err := c.textID()
	if err != nil {
		return err
	}
	var t store.ConsentText
	err = a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		t, err = store.GetOf[store.ConsentText](tx, c.Merchant, id)
		return err
	})
	if err != nil {
		return err
	}
	return c.replyText(http.StatusOK, &t)
}

// retireText is POST /consent-texts/{textId}/retire/.
func (a *API) retireText(c *call) error {
	id, err := c.textID()
	if err != nil {
		return err
	}
	var t store.ConsentText
	err = a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) (err error) {
		t, err = rights.RetireText(tx, c.Merchant, id)
		return err
	})
	if err != nil {
		return err
	}
	return c.replyText(http.StatusOK, &t)
}

// deleteText is DELETE /consent-texts/{textId}/.
func (a *API) deleteText(c *call) error {
	id, err := c.textID()
	if err != nil {
		return err
	}
	if err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error { return rights.RemoveText(tx, c.Merchant, id) }); err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool                `json:"success"`
		TextID  store.ConsentTextID `json:"textId"`
	}{true, id})
}

// consent is a consent as the API shows it.
type consent struct {
	ConsentID        store.ConsentID     `json:"consentId"`
	Valid            bool                `json:"valid"`
	TextID           store.ConsentTextID `json:"textId,omitempty"`
	Version          string              `json:"version,omitempty"`
	Language         string              `json:"language,omitempty"`
	SHA256           string              `json:"sha256,omitempty"`
	GivenAt          time.Time           `json:"givenAt,omitzero"`
	Through          store.Through       `json:"through,omitempty"`
	RecordedAt       time.Time           `json:"recordedAt"`
	RecordedBy       *store.Actor        `json:"recordedBy,omitempty"`
	WithdrawnAt      time.Time           `json:"withdrawnAt,omitzero"`
	WithdrawnThrough store.Through       `json:"withdrawnThrough,omitempty"`
	WithdrawnBy      *store.Actor        `json:"withdrawnBy,omitempty"`
}

func toConsent(c *store.Consent) consent {
	return consent{
		c.ID, c.Valid(), c.Text, c.Version, c.Language, c.Hash, c.Given, c.Through, c.Created, actorOrNone(c.By),
		c.Withdrawn, c.WithdrawnThrough, actorOrNone(c.WithdrawnBy),
	}
}

func actorOrNone(a store.Actor) *store.Actor {
	if a == (store.Actor{}) {
		return nil
	}
	return &a
}

// through is the way that the caller says, or the one that he is himself.
func (c *call) through(given string) store.Through {
	switch {
	case given != "":
		return store.Through(given)
	case c.Actor.Kind == store.ActorKey:
		return store.ThroughAPI
	}
	return store.ThroughOperator
}

// giveConsent is POST /users/{userId}/consents/: the person agreed to the text
// with this id, or the one of a version and language.
func (a *API) giveConsent(c *call) error {
	var in struct {
		TextID   string    `json:"textId"`
		Version  string    `json:"version"`
		Language string    `json:"language"`
		Through  string    `json:"through"`
		GivenAt  time.Time `json:"givenAt"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	if (in.TextID == "") == (in.Version == "") || (in.Version == "") != (in.Language == "") {
		return web.Fail(http.StatusBadRequest, "the text is named by its id, or by version and language").Field("textId", "is required")
	}
	id, err := store.ParseID[store.ConsentTextID](in.TextID)
	if err != nil && in.TextID != "" {
		return badID("textId")
	}
	var given *store.Consent
	err = a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		p, err := c.one(tx)
		if err != nil {
			return err
		}
		if in.TextID == "" {
			t, err := store.Find(tx, store.ConsentTextByVersion, store.Plain(c.Merchant), store.Plain(strings.TrimSpace(in.Version)), store.Plain(in.Language))
			if err != nil {
				return err
			}
			id = t.ID
		}
		given, err = rights.Give(tx, rights.Agreement{Merchant: c.Merchant, Person: p.ID, Text: id, Through: c.through(in.Through), By: c.Actor, At: in.GivenAt})
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, struct {
		Success bool    `json:"success"`
		Consent consent `json:"consent"`
	}{true, toConsent(given)})
}

// listConsents is GET /users/{userId}/consents/.
func (a *API) listConsents(c *call) error {
	list := []consent{}
	may := false
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		p, err := c.one(tx)
		if err != nil {
			return err
		}
		if list, err = collect(tx, store.ConsentsByPerson, store.Plain(p.ID), toConsent); err != nil {
			return err
		}
		m, err := store.Get[store.Merchant](tx, c.Merchant)
		if err != nil {
			return err
		}
		may = store.MayEnrol(tx, &m, p.ID) == nil
		return nil
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success  bool      `json:"success"`
		MayEnrol bool      `json:"mayEnrol"`
		Consents []consent `json:"consents"`
	}{true, may, list})
}

// withdrawConsent is POST /users/{userId}/consents/withdraw/.
func (a *API) withdrawConsent(c *call) error {
	var in struct {
		KeepUser *bool  `json:"keepUser"`
		Through  string `json:"through"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	if in.KeepUser == nil {
		return web.Fail(http.StatusBadRequest, "say whether the user stays without a face, or is erased").Field("keepUser", "is required")
	}
	cause := c.cause()
	cause.Essential = true // it makes room
	var user store.PersonID
	var last uint64
	err := a.store.Update(c.ctx(), cause, func(tx *store.Tx) error {
		p, err := c.one(tx)
		if err != nil {
			return err
		}
		user = p.ID
		err = rights.Withdraw(tx, rights.Withdrawal{Merchant: c.Merchant, Person: p.ID, Through: c.through(in.Through), By: c.Actor, KeepPerson: *in.KeepUser})
		if err == nil {
			last, err = store.Head(tx)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool           `json:"success"`
		Message string         `json:"message"`
		UserID  store.PersonID `json:"userId"`
		Kept    bool           `json:"userKept"`
		Erasure string         `json:"erasureId"`
	}{true, "Consent withdrawn.", user, *in.KeepUser, a.erasureID(last)})
}
