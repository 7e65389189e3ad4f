package api

import (
	"context"
	"errors"
	"fmt"
	"image"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// MaxImage is how many bytes an image may have.
const MaxImage = 10 << 20

// extensions are the media types of images that are taken, with the ending of
// their keys.
var extensions = map[string]string{"image/jpeg": ".jpg", "image/png": ".png"}

// imageType is a media type as it is compared: image/jpg is image/jpeg.
func imageType(contentType string) string {
	if t := web.MediaType(contentType); t != "image/jpg" {
		return t
	}
	return "image/jpeg"
}

// uploadRequest is the body of POST /upload/generate-url/.
type uploadRequest struct {
	UserID      string        `json:"userId"`
	ImageName   string        `json:"imageName"`
	ContentType string        `json:"contentType"`
	Type        store.Purpose `json:"type"`
}

func (in *uploadRequest) check() error {
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	if _, err := store.ParseID[store.PersonID](in.UserID); err != nil {
		bad.Field("userId", "must be 24 lower-case hex digits")
	}
	// The name is only ever repeated, so a path in it leads nowhere.
	if issue := text(255)(in.ImageName); issue != "" {
		bad.Field("imageName", issue)
	} else if in.ImageName == "" {
		bad.Field("imageName", "is required")
	}
	if in.Type != store.PurposeSource && in.Type != store.PurposeTarget {
		bad.Field("type", `must be "upload" or "match"`)
	}
	if in.ContentType == "" {
		bad.Field("contentType", "is required")
	}
	if bad.Details != nil {
		return bad
	}
	if extensions[imageType(in.ContentType)] == "" {
		return web.Fail(http.StatusNotAcceptable, "only JPEG and PNG images are taken").Field("contentType", "must be image/jpeg or image/png")
	}
	return nil
}

// generateURL is POST /upload/generate-url/: a link to upload one image by, once.
func (a *API) generateURL(c *call) error {
	var in uploadRequest
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	if in.Type == store.PurposeSource {
		if err := c.Require(auth.Enrol); err != nil {
			return err
		}
	}
	t, err := a.newTicket(c, in)
	if err != nil {
		return err
	}
	link := a.uploadLink(c.r, &t)
	return c.reply(http.StatusOK, struct {
		Success     bool          `json:"success"`
		Message     string        `json:"message"`
		URL         string        `json:"url"`
		UploadURL   string        `json:"uploadUrl"` // the same
		Method      string        `json:"method"`
		ImageKey    store.ImageID `json:"imageKey"`
		ImageName   string        `json:"imageName"`
		ContentType string        `json:"contentType"`
		Type        store.Purpose `json:"type"`
		ExpiresIn   int           `json:"expiresIn"`
		ExpiresAt   time.Time     `json:"expiresAt"`
	}{true, "Upload link made.", link, link, http.MethodPut, t.Image, t.Name, in.ContentType, t.Purpose,
		int(a.UploadLife.Seconds()), t.Expires.UTC()})
}

// newTicket stores the right to upload one image.
func (a *API) newTicket(c *call, in uploadRequest) (store.Ticket, error) {
	t := store.Ticket{
		ID: store.NewUUID[store.TicketID](), Merchant: c.Merchant, Person: store.PersonID(in.UserID), Purpose: in.Type,
		Name: in.ImageName, ContentType: imageType(in.ContentType), Expires: a.now().Add(a.UploadLife).Truncate(time.Second),
	}
	t.Image = store.ImageID(fmt.Sprintf("uploads/%s/%s%s", t.Person, t.ID, extensions[t.ContentType]))
	err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		if _, err := store.GetOf[store.Person](tx, c.Merchant, t.Person); err != nil {
			return err
		}
		if err := notYetEnrolled(tx, &t); err != nil {
			return err
		}
		return store.Put(tx, &t)
	})
	return t, err
}

// notYetEnrolled refuses a second source image: one that was processed has to be
// deleted first.
func notYetEnrolled(tx *store.Tx, t *store.Ticket) error {
	if t.Purpose != store.PurposeSource {
		return nil
	}
	n, err := store.Count(tx, store.ImagesByPerson, store.Plain(t.Person), store.Plain(store.PurposeSource))
	if err != nil || n == 0 {
		return err
	}
	return web.Fail(http.StatusConflict, "the source image of this user has been processed already")
}

// base is the address of the box, without a slash behind: the one it was told,
// else the one that the caller used.
func (a *API) base(r *http.Request) string {
	switch {
	case a.BaseURL != "":
		return strings.TrimSuffix(a.BaseURL, "/")
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// uploadLink is the URL of a ticket; without a slash behind, where curl -T would
// put the name of the file.
func (a *API) uploadLink(r *http.Request, t *store.Ticket) string {
	q := url.Values{"expires": {strconv.FormatInt(t.Expires.Unix(), 10)}, "signature": {a.Authority.SignUpload(t.ID, t.Expires)}}
	return a.base(r) + "/api/upload/" + string(t.ID) + "?" + q.Encode()
}

// upload is PUT (or POST) of an upload link: the image itself. It needs no
// credential but the signature. What is refused for its picture leaves the link
// good for a better one.
func (a *API) upload(c *call) error {
	t, err := a.ticket(c)
	if err != nil {
		return err
	}
	img, raw, err := readUpload(c.r, &t)
	if err != nil {
		return err
	}
	c.Principal = auth.Principal{Merchant: t.Merchant, Actor: store.Actor{Kind: store.ActorSystem, ID: "upload"}}
	return a.accept(c, &t, img, raw)
}

// accept does with an image what its ticket is for, and answers.
func (a *API) accept(c *call, t *store.Ticket, img image.Image, raw []byte) (err error) {
	faces, message := 0, "Image received."
	if t.Purpose == store.PurposeSource {
		faces, err = a.enrolUpload(c, t, img)
		message = "Face enrolled."
	} else {
		faces, err = a.keepTarget(c, t, img, raw)
	}
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success  bool          `json:"success"`
		Message  string        `json:"message"`
		ImageKey store.ImageID `json:"imageKey"`
		Faces    int           `json:"faces"`
	}{true, message, t.Image, faces})
}

var errUsed = web.Fail(http.StatusConflict, "the upload link has been used")

// ticket returns the ticket of an upload link whose signature is good.
func (a *API) ticket(c *call) (t store.Ticket, err error) {
	q := c.r.URL.Query()
	id, err := store.ParseUUID[store.TicketID](c.r.PathValue("ticket"))
	if err != nil {
		return t, auth.ErrSignature
	}
	seconds, err := strconv.ParseInt(q.Get("expires"), 10, 64)
	if err != nil {
		return t, auth.ErrSignature
	}
	if err := a.Authority.CheckUpload(id, time.Unix(seconds, 0), q.Get("signature")); err != nil {
		return t, err
	}
	err = a.store.View(c.ctx(), func(tx *store.Tx) error {
		t, err = store.Get[store.Ticket](tx, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) { // erased with its person
		return t, auth.ErrSignature
	}
	if err == nil && t.Used {
		err = errUsed
	}
	return t, err
}

// readUpload reads and decodes the image, raw or as the file of a form.
func readUpload(r *http.Request, t *store.Ticket) (image.Image, []byte, error) {
	given, raw := imageType(r.Header.Get("Content-Type")), []byte(nil)
	if given == "multipart/form-data" {
		form, err := web.ReadForm(r, "file", MaxImage, 1)
		if err != nil {
			return nil, nil, err
		}
		given, raw = imageType(form.Files[0].Type), form.Files[0].Data
	}
	if given != t.ContentType {
		return nil, nil, web.Fail(http.StatusNotAcceptable, "the Content-Type must be %s, as it was asked for", t.ContentType)
	}
	if raw == nil {
		var err error
		if raw, err = web.ReadBody(r, MaxImage); err != nil {
			return nil, nil, err
		}
	}
	img, err := decode(raw)
	return img, raw, err
}

// decode makes a picture of outside bytes.
func decode(raw []byte) (image.Image, error) {
	p, err := picture.Decode(raw, picture.Limits{Bytes: MaxImage})
	if err != nil {
		return nil, err
	}
	return p.Image, nil
}

// enrolUpload makes the image the person's face and uses up the ticket.
func (a *API) enrolUpload(c *call, t *store.Ticket, img image.Image) (faces int, err error) {
	e, err := a.Verifier.Enrol(c.ctx(), verify.EnrolRequest{
		Cause: c.cause(), Merchant: t.Merchant, Person: t.Person, Images: []image.Image{img}, Source: "upload",
		Also: func(tx *store.Tx, _ verify.Enrolment) error {
			if err := notYetEnrolled(tx, t); err != nil {
				return err
			}
			return use(tx, t, &store.Image{Processed: true}) // the enrolment keeps the crop, nothing the picture
		},
	})
	return e.Faces, err
}

// keepTarget keeps the image until it is compared, at most for the life of a link.
func (a *API) keepTarget(c *call, t *store.Ticket, img image.Image, raw []byte) (faces int, err error) {
	found, err := a.Detector.Detect(c.ctx(), img)
	if err != nil {
		return 0, err
	}
	switch _, ambiguous, ok := engine.Dominant(found); {
	case !ok:
		return 0, verify.ErrNoFace
	case ambiguous:
		return 0, verify.ErrSeveralFaces
	}
	return len(found), a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		return use(tx, t, &store.Image{Data: raw, Expires: a.now().Add(a.UploadLife)})
	})
}

// use marks a ticket as used, unless somebody was faster, and stores its image.
func use(tx *store.Tx, t *store.Ticket, img *store.Image) error {
	now, err := store.Get[store.Ticket](tx, t.ID)
	if err != nil {
		return err
	}
	if now.Used {
		return errUsed
	}
	now.Used = true
	if err := store.Put(tx, &now); err != nil {
		return err
	}
	img.ID, img.Merchant, img.Person, img.Purpose = t.Image, t.Merchant, t.Person, t.Purpose
	img.Name, img.ContentType = t.Name, t.ContentType
	return store.Put(tx, img)
}

// sweepAtOnce is how many expired records of a kind one transaction removes.
const sweepAtOnce = 200

// sweep removes records whose time is over.
func (a *API) sweep(ctx context.Context) error {
	cause := store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "sweep"}}
	for {
		now, n := a.now(), 0
		err := a.store.View(ctx, func(tx *store.Tx) (err error) {
			n, err = a.expired(tx, now, func(func(*store.Tx) error) {})
			return err
		})
		if err != nil || n == 0 {
			return err
		}
		err = a.store.Update(ctx, cause, func(tx *store.Tx) error {
			var drop []func(*store.Tx) error
			if _, err := a.expired(tx, now, func(fn func(*store.Tx) error) { drop = append(drop, fn) }); err != nil {
				return err
			}
			for _, fn := range drop {
				if err := fn(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// expired hands over what removes each record whose time is over, and counts
// them. That a session has expired can be asked for a while.
func (a *API) expired(tx *store.Tx, now time.Time, drop func(func(*store.Tx) error)) (n int, err error) {
	over, longOver := store.Moment(now), store.Moment(now.Add(-keepSession))
	for _, kind := range []func() (int, error){
		func() (int, error) {
			return old(tx, store.TicketsByExpiry, over, drop, func(tx *store.Tx, t *store.Ticket) error { return store.Delete[store.Ticket](tx, t.ID) })
		},
		func() (int, error) {
			return old(tx, store.ImagesByExpiry, over, drop, func(tx *store.Tx, i *store.Image) error { return store.Delete[store.Image](tx, i.ID) })
		},
		func() (int, error) {
			return old(tx, store.SessionsByExpiry, longOver, drop, func(tx *store.Tx, s *store.Session) error { return store.Delete[store.Session](tx, s.ID) })
		},
		func() (int, error) {
			return old(tx, store.CandidatesByExpiry, over, drop, func(tx *store.Tx, x *store.Candidate) error { return store.Delete[store.Candidate](tx, x.ID) })
		},
		func() (int, error) {
			return old(tx, store.RetiredByExpiry, over, drop, func(tx *store.Tx, r *store.Retired) error { return store.Delete[store.Retired](tx, r.ID) })
		},
		func() (int, error) {
			return old(tx, store.LoginsByExpiry, over, drop, func(tx *store.Tx, k *store.Key) error { return store.Delete[store.Key](tx, k.ID) })
		},
		func() (int, error) {
			return old(tx, store.LocksByExpiry, over, drop, func(tx *store.Tx, l *store.Lock) error { return store.Delete[store.Lock](tx, l.ID) })
		},
		func() (int, error) {
			return old(tx, store.LettersByExpiry, over, drop, func(tx *store.Tx, l *store.Letter) error { return store.Delete[store.Letter](tx, l.ID) })
		},
		func() (int, error) { return old(tx, store.CodesByExpiry, over, drop, a.Accounts.Expire) },
	} {
		found, err := kind()
		if err != nil {
			return n, err
		}
		n += found
	}
	return n, nil
}

// old lists what an index of expiry says is over.
func old[T any, P store.Listed[T]](tx *store.Tx, ix store.Index[T], over store.Term, drop func(func(*store.Tx) error), remove func(*store.Tx, *T) error) (int, error) {
	page, err := store.List[T, P](tx, ix, store.Query[T]{To: over, Limit: sweepAtOnce})
	for i := range page.Items {
		drop(func(tx *store.Tx) error { return remove(tx, &page.Items[i]) })
	}
	return len(page.Items), err
}
