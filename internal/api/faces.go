package api

import (
	"encoding/base64"
	"errors"
	"image"
	"math"
	"net/http"
	"strings"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// match is POST /face/match/: the newest uploaded target image of a person
// against his template. The image is gone afterwards, and older ones with it.
func (a *API) match(c *call) error {
	var in struct {
		UserID string `json:"userId"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	id, err := store.ParseID[store.PersonID](in.UserID)
	if err != nil {
		return badID("userId")
	}
	target, err := a.target(c, id)
	if err != nil {
		return err
	}
	img, err := decode(target.Data)
	if err != nil {
		return err
	}
	res, err := a.Verifier.Verify(c.ctx(), verify.VerifyRequest{
		Cause: c.cause(), Merchant: c.Merchant, Person: id, Image: img,
		Also: func(tx *store.Tx, _ verify.Result) error { return useTarget(tx, &target) },
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, c.matchAnswer(id, res))
}

// matchAnswer is the outcome of a comparison with one person.
type matchAnswer struct {
	Success    bool           `json:"success"`
	Match      bool           `json:"match"`
	FaceMatch  bool           `json:"faceMatch"` // the same
	Similarity float64        `json:"similarity"`
	Threshold  float64        `json:"threshold"`
	Message    string         `json:"message"`
	UserID     store.PersonID `json:"userId"`
	RequestID  string         `json:"requestId"`
}

func (c *call) matchAnswer(id store.PersonID, res verify.Result) matchAnswer {
	return matchAnswer{true, res.Match, res.Match, round(res.Similarity), round(res.Threshold),
		similarityText(res.Match, res.Similarity), id, web.RequestID(c.ctx())}
}

var errNoTarget = web.Fail(http.StatusUnprocessableEntity, `upload a target image first (type "match")`)

// target returns the newest target image of a person that has not been compared.
func (a *API) target(c *call, id store.PersonID) (store.Image, error) {
	var found store.Page[store.Image]
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		p, err := store.GetOf[store.Person](tx, c.Merchant, id)
		if err != nil {
			return err
		}
		if p.Status == store.PersonRegistered {
			return verify.ErrNotEnrolled
		}
		found, err = store.List(tx, store.ImagesByPerson, store.Query[store.Image]{
			Prefix:  []store.Term{store.Plain(id), store.Plain(store.PurposeTarget)},
			Reverse: true, Limit: 1,
		})
		return err
	})
	if err != nil {
		return store.Image{}, err
	}
	if len(found.Items) == 0 || !a.now().Before(found.Items[0].Expires) {
		return store.Image{}, errNoTarget
	}
	return found.Items[0], nil
}

// useTarget removes a target image and those that were uploaded before it, which
// nobody should be compared with by surprise.
func useTarget(tx *store.Tx, target *store.Image) error {
	if _, err := store.Get[store.Image](tx, target.ID); errors.Is(err, store.ErrNotFound) {
		return errNoTarget // another call compared it meanwhile
	} else if err != nil {
		return err
	}
	before, err := store.List(tx, store.ImagesByPerson, store.Query[store.Image]{
		Prefix: []store.Term{store.Plain(target.Person), store.Plain(store.PurposeTarget)}, Limit: sweepAtOnce,
	})
	for i := 0; err == nil && i < len(before.Items); i++ {
		if !before.Items[i].Created.After(target.Created) {
			err = store.Delete[store.Image](tx, before.Items[i].ID)
		}
	}
	return err
}

// identify is POST /identify/: who of the merchant's people is it, if anybody.
func (a *API) identify(c *call) error {
	img, err := a.identifyImage(c)
	if err != nil {
		return err
	}
	res, err := a.Verifier.Identify(c.ctx(), verify.IdentifyRequest{Cause: c.cause(), Merchant: c.Merchant, Image: img})
	if err != nil {
		return err
	}
	type candidate struct {
		UserID     store.PersonID `json:"userId"`
		Similarity float64        `json:"similarity"`
	}
	candidates := make([]candidate, len(res.Candidates))
	for i, found := range res.Candidates {
		candidates[i] = candidate{found.Person, round(found.Similarity)}
	}
	message := "Face identified."
	switch {
	case !res.Match && len(candidates) > 1:
		message = "Several users resemble the face; none was identified."
	case !res.Match:
		message = "Nobody was identified."
	}
	return c.reply(http.StatusOK, struct {
		Success    bool           `json:"success"`
		Match      bool           `json:"match"`
		UserID     store.PersonID `json:"userId,omitempty"`
		Similarity float64        `json:"similarity"`
		Threshold  float64        `json:"threshold"`
		Candidates []candidate    `json:"candidates"`
		Gallery    int            `json:"gallery"`
		Faces      int            `json:"faces"`
		Message    string         `json:"message"`
		RequestID  string         `json:"requestId"`
	}{true, res.Match, res.Person, round(res.Similarity), round(res.Threshold), candidates, res.Gallery, res.Faces, message, web.RequestID(c.ctx())})
}

// identifyImage is the image of a form, or what the box sees.
func (a *API) identifyImage(c *call) (image.Image, error) {
	if web.MediaType(c.r.Header.Get("Content-Type")) == "multipart/form-data" {
		return formImage(c.r)
	}
	return a.cameraImage(c)
}

// cameraImage is what the box sees, for the body {"source":"camera"}.
func (a *API) cameraImage(c *call) (image.Image, error) {
	var in struct {
		Source string `json:"source"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return nil, err
	}
	if in.Source != "camera" {
		return nil, web.Fail(http.StatusBadRequest, "an image is missing").Field("source", `must be "camera", unless an image is sent as multipart/form-data`)
	}
	return a.snapshot(c)
}

// snapshot is what the box sees now.
func (a *API) snapshot(c *call) (image.Image, error) {
	if a.Camera == nil {
		return nil, web.Fail(http.StatusUnprocessableEntity, "the box has no camera")
	}
	img, err := a.Camera.Snapshot(c.ctx())
	if err != nil && c.ctx().Err() == nil {
		return nil, web.Fail(http.StatusUnprocessableEntity, "the camera gives no picture").Because(err)
	}
	return img, err
}

// formImage is the file called image of a form.
func formImage(r *http.Request) (image.Image, error) {
	form, err := web.ReadForm(r, "image", MaxImage, 1)
	if err != nil {
		return nil, err
	}
	return decode(form.Files[0].Data)
}

// detect is POST /face/detect/: the faces in an image. None is an answer too.
func (a *API) detect(c *call) error {
	img, err := a.detectImage(c)
	if err != nil {
		return err
	}
	found, err := a.findFaces(c, img)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success bool `json:"success"`
		detection
		RequestID string `json:"requestId"`
	}{true, found, web.RequestID(c.ctx())})
}

// detection is what is found in an image.
type detection struct {
	FaceCount int          `json:"faceCount"`
	Faces     []faceDetail `json:"faces"`
	Image     imageSize    `json:"image"`
}

func (a *API) findFaces(c *call, img image.Image) (detection, error) {
	faces, err := a.Detector.Detect(c.ctx(), img)
	size := img.Bounds().Size()
	found := detection{len(faces), make([]faceDetail, len(faces)), imageSize{size.X, size.Y}}
	for i := range faces {
		found.Faces[i] = toFace(&faces[i], size)
	}
	return found, err
}

// scan is POST /face-scan/: detect and match in one call.
func (a *API) scan(c *call) error {
	var in struct {
		UserID    string `json:"userId"`
		ImageData string `json:"imageData"`
	}
	if err := web.Decode(c.r, &in, maxBase64); err != nil {
		return err
	}
	id, err := store.ParseID[store.PersonID](in.UserID)
	if err != nil {
		return badID("userId")
	}
	if in.ImageData == "" {
		return web.Fail(http.StatusBadRequest, "an image is missing").Field("imageData", "is required")
	}
	img, err := decodeBase64(in.ImageData)
	if err != nil {
		return err
	}
	res, err := a.Verifier.Verify(c.ctx(), verify.VerifyRequest{Cause: c.cause(), Merchant: c.Merchant, Person: id, Image: img})
	if err != nil {
		return err
	}
	found, err := a.findFaces(c, img)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		matchAnswer
		detection
	}{c.matchAnswer(id, res), found})
}

// maxBase64 is the longest body with an image in base64.
const maxBase64 = MaxImage/3*4 + web.DefaultBody

// detectImage is the image of a form, in base64, or one that was uploaded.
func (a *API) detectImage(c *call) (image.Image, error) {
	if web.MediaType(c.r.Header.Get("Content-Type")) == "multipart/form-data" {
		return formImage(c.r)
	}
	var in struct {
		ImageData string        `json:"imageData"`
		ImageKey  store.ImageID `json:"imageKey"`
	}
	if err := web.Decode(c.r, &in, maxBase64); err != nil {
		return nil, err
	}
	switch {
	case (in.ImageData == "") == (in.ImageKey == ""):
		return nil, web.Fail(http.StatusBadRequest, "an image is missing").Field("imageData", "is required, or imageKey, or an image as multipart/form-data")
	case in.ImageKey != "":
		return a.uploaded(c, in.ImageKey)
	}
	return decodeBase64(in.ImageData)
}

// decodeBase64 makes a picture of base64, or of a data: URL, as browsers make them.
func decodeBase64(s string) (image.Image, error) {
	if rest, ok := strings.CutPrefix(s, "data:"); ok {
		_, s, _ = strings.Cut(rest, ",")
	}
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, web.Fail(http.StatusBadRequest, "the image is not valid base64").Field("imageData", "must be base64").Because(err)
	}
	return decode(raw)
}

// uploaded is an image of the merchant that is still kept.
func (a *API) uploaded(c *call, key store.ImageID) (image.Image, error) {
	var img store.Image
	err := a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		img, err = store.GetOf[store.Image](tx, c.Merchant, key)
		return err
	})
	if err == nil && len(img.Data) == 0 { // a source: only its crop was kept
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return decode(img.Data)
}

type imageSize struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// faceDetail is a face as the reference shows it: places are shares of the
// image's width and height, angles degrees, the rest 0..100.
type faceDetail struct {
	BoundingBox boundingBox
	Confidence  float64
	Landmarks   []landmark
	Pose        struct{ Roll, Yaw, Pitch float64 }
	Quality     struct{ Brightness, Sharpness float64 }
}

// boundingBox is in shares of the image, cut at its edges.
type boundingBox struct{ Width, Height, Left, Top float64 }

func toBox(r engine.Rect, size image.Point) (b boundingBox) {
	w, h := float64(max(size.X, 1)), float64(max(size.Y, 1))
	within := func(v, limit float64) float64 { return min(1, max(0, v/limit)) }
	b.Left, b.Top = within(r.X0, w), within(r.Y0, h)
	b.Width, b.Height = within(r.X1, w)-b.Left, within(r.Y1, h)-b.Top
	return b
}

type landmark struct {
	Type string
	X, Y float64
}

// landmarkTypes name the five landmarks of a face in their order, from left to
// right in the image as the reference does.
var landmarkTypes = [5]string{"eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight"}

func toFace(f *engine.Face, size image.Point) (d faceDetail) {
	w, h := float64(size.X), float64(size.Y)
	d.BoundingBox = toBox(f.Box, size)
	d.Confidence = round(100 * f.Score)
	for i, p := range f.Landmarks {
		d.Landmarks = append(d.Landmarks, landmark{landmarkTypes[i], p.X / w, p.Y / h})
	}
	d.Pose.Roll, d.Pose.Yaw, d.Pose.Pitch = round(f.Pose.Roll), round(f.Pose.Yaw), round(f.Pose.Pitch)
	d.Quality.Brightness, d.Quality.Sharpness = round(100*f.Quality.Brightness), round(100*f.Quality.Sharpness)
	return d
}

// round keeps two decimals: more would say more than the calibration knows.
func round(v float64) float64 { return math.Round(v*100) / 100 }
