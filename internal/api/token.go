package api

import (
	"net/http"
	"time"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// accessToken is POST /access-token/: a token for the API key in the x-api-key
// header and its merchant in the merchantId header.
func (a *API) accessToken(c *call) error {
	header := func(name string) (string, error) {
		v := c.r.Header.Values(name)
		if len(v) != 1 || v[0] == "" {
			return "", web.Fail(http.StatusBadRequest, "a header is missing").Field(name, "is required, once")
		}
		return v[0], nil
	}
	merchant, err := header("merchantId")
	if err != nil {
		return err
	}
	apiKey, err := header("x-api-key")
	if err != nil {
		return err
	}
	id, err := store.ParseID[store.MerchantID](merchant)
	if err != nil {
		return badID("merchantId")
	}
	token, err := a.Authority.IssueToken(c.ctx(), id, apiKey)
	if err != nil {
		return a.failed(c.w, merchant, a.failed(c.w, web.Address(c.r), err))
	}
	return c.replyToken("Access token issued.", token)
}

// refreshToken is POST /refresh-token/: a new token for the one in the
// authorization header, which may have expired and is worth nothing afterwards. A
// login has a token for that, which may stand in the body too.
func (a *API) refreshToken(c *call) error {
	given, err := c.refreshBody()
	if err != nil {
		return err
	}
	token, err := a.Authority.RefreshToken(c.ctx(), given)
	if err != nil {
		return a.failed(c.w, web.Address(c.r), err)
	}
	return c.replyToken("Access token refreshed.", token)
}

func (c *call) replyToken(message string, t auth.Token) error {
	return c.reply(http.StatusOK, struct {
		Success     bool             `json:"success"`
		Message     string           `json:"message"`
		AccessToken string           `json:"accessToken"`
		Token       string           `json:"token"` // the same
		TokenType   string           `json:"tokenType"`
		ExpiresIn   int              `json:"expiresIn"`
		ExpiresAt   time.Time        `json:"expiresAt"`
		MerchantID  store.MerchantID `json:"merchantId"`
		// Of a login.
		RefreshToken     string `json:"refreshToken,omitempty"`
		RefreshExpiresIn int    `json:"refreshExpiresIn,omitempty"`
	}{true, message, t.Value, t.Value, "Bearer", int(t.Life.Seconds()), t.Expires.UTC(), t.Merchant, t.Refresh, int(t.RefreshLife.Seconds())})
}
