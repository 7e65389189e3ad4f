package api

import (
	"net/http"

	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// showImage is GET /image/{userId}/: the newest crop that the person was enrolled
// with. The picture that it was cut from is not kept.
func (a *API) showImage(c *call) error {
	var newest store.Crop
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		p, err := c.one(tx)
		if err != nil {
			return err
		}
		page, err := store.List(tx, store.CropsByPerson, store.Query[store.Crop]{Prefix: []store.Term{store.Plain(p.ID)}, Reverse: true, Limit: 1})
		if err == nil && len(page.Items) == 0 {
			err = store.ErrNotFound
		}
		if err == nil {
			newest = page.Items[0]
		}
		return err
	})
	if err != nil {
		return err
	}
	contentType := http.DetectContentType(newest.Image)
	if !web.Accepts(c.r, contentType) {
		return web.Fail(http.StatusNotAcceptable, "the image is %s", contentType)
	}
	c.w.Header().Set("Content-Type", contentType)
	_, _ = c.w.Write(newest.Image) // the caller is gone if this fails
	return nil
}

// deleteImage is DELETE /image/{userId}/: the face is forgotten and the user stays,
// free for a new source image.
func (a *API) deleteImage(c *call) error {
	var id store.PersonID
	err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		p, err := c.one(tx)
		if err != nil {
			return err
		}
		id = p.ID
		n, err := forgetFace(tx, id)
		if err == nil && n == 0 {
			err = store.ErrNotFound
		}
		if err != nil || p.Status != store.PersonEnrolled {
			return err
		}
		p.Status = store.PersonRegistered
		return store.Put(tx, &p)
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool           `json:"success"`
		Message string         `json:"message"`
		UserID  store.PersonID `json:"userId"`
	}{true, "Image deleted.", id})
}

// forgetFace removes images, crops and templates of a person, and returns how
// many there were.
func forgetFace(tx *store.Tx, id store.PersonID) (n int, err error) {
	var images []store.ImageID
	var crops []store.CropID
	var templates []store.TemplateID
	of := store.Plain(id)
	for i, err := range store.All(tx, store.ImagesByPerson, of) {
		if err != nil {
			return 0, err
		}
		images = append(images, i.ID)
	}
	for c, err := range store.All(tx, store.CropsByPerson, of) {
		if err != nil {
			return 0, err
		}
		crops = append(crops, c.ID)
	}
	for t, err := range store.All(tx, store.TemplatesByPerson, of) {
		if err != nil {
			return 0, err
		}
		templates = append(templates, t.ID)
	}
	for _, id := range images {
		err = orElse(err, store.Delete[store.Image](tx, id))
	}
	for _, id := range crops {
		err = orElse(err, store.Delete[store.Crop](tx, id))
	}
	for _, id := range templates {
		err = orElse(err, store.Delete[store.Template](tx, id))
	}
	return len(images) + len(crops) + len(templates), err
}

// orElse is the first error of two.
func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
