package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// apiKey is a key as the API lists it.
type apiKey struct {
	KeyID      store.KeyID       `json:"keyId"`
	Name       string            `json:"name"`
	Last4      string            `json:"last4"`
	Status     string            `json:"status"` // active, expiring, expired, revoked
	Role       store.Role        `json:"role"`
	Scopes     []auth.Permission `json:"scopes,omitempty"` // of an integrator's key
	CreatedAt  time.Time         `json:"createdAt"`
	LastUsedAt time.Time         `json:"lastUsedAt,omitzero"` // to the hour
	ExpiresAt  time.Time         `json:"expiresAt,omitzero"`
	SiteID     store.SiteID      `json:"siteId,omitempty"` // of a fleet key
}

func (a *API) toKey(k *store.Key) apiKey {
	return apiKey{k.ID, k.Name, k.Last4, a.Authority.KeyStatus(k), k.Role, k.Scopes, k.Created, k.LastUsed, k.Expires, k.Site}
}

// keyRequest is the body of POST /merchant-api-key/.
type keyRequest struct {
	Name   string            `json:"name"`
	Rotate rotation          `json:"rotate"`
	Role   store.Role        `json:"role"`
	Scopes []auth.Permission `json:"scopes"`
	SiteID string            `json:"siteId"`
}

// rotation is which keys the new one takes the place of: true for all of
// integrators, or the id of one.
type rotation struct {
	all bool
	key store.KeyID
}

func (r *rotation) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &r.all) == nil {
		return nil
	}
	var id string
	if err := json.Unmarshal(b, &id); err != nil {
		return err
	}
	r.key = store.KeyID(id)
	return nil
}

func (in *keyRequest) check() error {
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	if issue := text(100)(in.Name); issue != "" {
		bad.Field("name", issue)
	}
	if _, err := store.ParseUUID[store.KeyID](string(in.Rotate.key)); err != nil && in.Rotate.key != "" {
		bad.Field("rotate", "must be true, or the id of a key")
	}
	if in.Role != "" && !slices.Contains(auth.Roles(), in.Role) {
		bad.Field("role", "must be integrator, operator, auditor or device")
	}
	if _, err := store.ParseID[store.SiteID](in.SiteID); err != nil && in.SiteID != "" {
		bad.Field("siteId", "must be the id of a site")
	}
	for _, s := range in.Scopes {
		if !auth.IsScope(s) {
			bad.Field("scopes", "has one that is none")
			break
		}
	}
	if bad.Details != nil {
		return bad
	}
	return nil
}

// createKey is POST /merchant-api-key/: a new key, shown this once. With rotate
// it takes the place of others, which work on for 24 hours. With a site, which only a
// central has, it is one for all boxes of the site.
func (a *API) createKey(c *call) error {
	var in keyRequest
	if err := web.DecodeOptional(c.r, &in, 0); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	if in.SiteID != "" {
		if err := a.central(); err != nil {
			return err
		}
	}
	request := auth.KeyRequest{Name: in.Name, Role: in.Role, Scopes: in.Scopes, All: in.Rotate.all, Site: store.SiteID(in.SiteID)}
	if in.Rotate.key != "" {
		request.Replaces = []store.KeyID{in.Rotate.key}
	}
	var shown string
	var key store.Key
	err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) (err error) {
		shown, key, err = a.Authority.MakeKey(tx, c.Merchant, request)
		return err
	})
	if err != nil {
		return err
	}
	message := "API key made. It is shown this once."
	if in.Rotate.all || in.Rotate.key != "" {
		message = fmt.Sprintf("API key made. It is shown this once; those it replaces work for another %.0f hours.", auth.KeyOverlap.Hours())
	}
	return c.reply(http.StatusCreated, struct {
		Success     bool              `json:"success"`
		Message     string            `json:"message"`
		MerchantID  store.MerchantID  `json:"merchantId"`
		APIKey      string            `json:"apiKey"`
		KeyID       store.KeyID       `json:"keyId"`
		Environment store.Environment `json:"environment"`
		Role        store.Role        `json:"role"`
		Scopes      []auth.Permission `json:"scopes,omitempty"`
		CreatedAt   time.Time         `json:"createdAt"`
		SiteID      store.SiteID      `json:"siteId,omitempty"`
	}{true, message, c.Merchant, shown, key.ID, a.info.Environment, key.Role, key.Scopes, key.Created, key.Site})
}

// listKeys is GET /merchant-api-key/.
func (a *API) listKeys(c *call) error {
	keys := []apiKey{}
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		for k, err := range store.All(tx, store.KeysByMerchant, store.Plain(c.Merchant)) {
			if err != nil {
				return err
			}
			if k.Account == "" { // else it is a login
				keys = append(keys, a.toKey(&k))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool     `json:"success"`
		Keys    []apiKey `json:"keys"`
	}{true, keys})
}

// revokeKey is DELETE /merchant-api-key/{keyId}/: the key and its tokens end at
// once.
func (a *API) revokeKey(c *call) error {
	id, err := store.ParseUUID[store.KeyID](c.r.PathValue("keyId"))
	if err != nil {
		return badUUID("keyId")
	}
	err = a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error { return a.Authority.RevokeKey(tx, c.Merchant, id) })
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool        `json:"success"`
		Message string      `json:"message"`
		KeyID   store.KeyID `json:"keyId"`
	}{true, "API key revoked.", id})
}

func badUUID(field string) error {
	return web.Fail(http.StatusBadRequest, "the id is not well formed").Field(field, "must be a lower-case UUID version 4")
}

// login is POST /control/login: a token with a role of people, for whoever is at
// the box.
func (a *API) login(c *call) error {
	token, err := a.Authority.IssueLogin(c.ctx(), c.cause(), c.Merchant, store.RoleOwner)
	if err != nil {
		return err
	}
	return c.replyToken("Access token issued.", token)
}
