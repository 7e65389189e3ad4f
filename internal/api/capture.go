package api

import (
	"net/http"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// capture is POST /capture/: a frame of the box's camera as a frame of a session,
// as the source image, or as the target.
func (a *API) capture(c *call) error {
	var in struct {
		Purpose   string `json:"purpose"`
		UserID    string `json:"userId"`
		SessionID string `json:"sessionId"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	id, err := store.ParseID[store.PersonID](in.UserID)
	if err != nil && (in.Purpose != "frame" || in.UserID != "") {
		return badID("userId")
	}
	session, err := store.ParseUUID[store.SessionID](in.SessionID)
	if err != nil && in.Purpose == "frame" {
		return badUUID("sessionId")
	}
	need := auth.Match
	switch in.Purpose {
	case string(store.PurposeSource):
		need = auth.Enrol
	case string(store.PurposeTarget), "frame":
	default:
		return web.Fail(http.StatusBadRequest, "a field is missing or not well formed").Field("purpose", `must be "frame", "upload" or "match"`)
	}
	if err := c.Require(need); err != nil {
		return err
	}
	img, err := a.snapshot(c)
	if err != nil {
		return err
	}
	raw, err := picture.EncodeJPEG(img, captureQuality)
	if err != nil {
		return err
	}
	if in.Purpose == "frame" {
		kept, err := a.keepFrame(c, session, fromCamera, img, raw)
		if err != nil {
			return err
		}
		return c.reply(http.StatusOK, kept)
	}
	t, err := a.newTicket(c, uploadRequest{UserID: string(id), ImageName: "camera.jpg", ContentType: "image/jpeg", Type: store.Purpose(in.Purpose)})
	if err != nil {
		return err
	}
	return a.accept(c, &t, img, raw)
}

// captureQuality of a JPEG keeps what the networks see.
const captureQuality = 95
