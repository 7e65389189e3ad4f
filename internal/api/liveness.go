package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"net/http"
	"strings"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// sessionLife is how long a liveness session is open.
const sessionLife = 180 * time.Second

// startLiveness is POST /start-liveness-session/.
func (a *API) startLiveness(c *call) error {
	var in struct {
		UserID string            `json:"userId"`
		Mode   store.SessionMode `json:"mode"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	bad := web.Fail(http.StatusBadRequest, "a field is missing or not well formed")
	id, err := store.ParseID[store.PersonID](in.UserID)
	if err != nil {
		bad.Field("userId", "must be 24 lower-case hex digits")
	}
	switch in.Mode {
	case "":
		in.Mode = store.ModePassive // who knows of no challenge cannot play one
	case store.ModePassive, store.ModeActive:
	default:
		bad.Field("mode", `must be "active" or "passive"`)
	}
	if bad.Details != nil {
		return bad
	}
	s := store.Session{
		ID: store.NewUUID[store.SessionID](), Merchant: c.Merchant, Person: id, Mode: in.Mode, By: c.credential(),
		Challenge: challenge(in.Mode), Status: store.SessionCreated, Expires: a.now().Add(sessionLife),
	}
	err = a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		if _, err := store.GetOf[store.Person](tx, c.Merchant, id); err != nil {
			return err
		}
		if err := c.locked(tx, id); err != nil {
			return err
		}
		return store.Put(tx, &s)
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		SessionID store.SessionID     `json:"sessionId"`
		Success   bool                `json:"success"`
		Status    store.SessionStatus `json:"status"`
		Mode      store.SessionMode   `json:"mode"`
		ExpiresIn int                 `json:"expiresIn"`
		ExpiresAt time.Time           `json:"expiresAt"`
		Challenge []string            `json:"challenge"`
		MinFrames int                 `json:"minFrames"`
		MaxFrames int                 `json:"maxFrames"`
	}{s.ID, true, s.Status, s.Mode, int(sessionLife.Seconds()), s.Expires.UTC(), orEmpty(s.Challenge), leastFrames(&s), liveness.MaxFrames})
}

// challenge is what an active session asks for, in an order that nobody knows before.
func challenge(m store.SessionMode) []string {
	if m != store.ModeActive {
		return nil
	}
	var words []string
	for _, move := range liveness.NewChallenge(nil) {
		words = append(words, string(move))
	}
	return words
}

// moves are the words of a session's challenge.
func moves(s *store.Session) (asked []liveness.Move) {
	for _, word := range s.Challenge {
		asked = append(asked, liveness.Move(word))
	}
	return asked
}

// leastFrames is with how many frames a session can be decided about.
func leastFrames(s *store.Session) int {
	if s.Mode == store.ModeActive {
		return liveness.MinActiveFrames
	}
	return liveness.MinFrames
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// The errors of a session's steps.
var (
	errSessionUsed    = web.Fail(http.StatusConflict, "the liveness session has been used")
	errSessionExpired = web.Fail(http.StatusUnprocessableEntity, "the liveness session has expired; start another")
	errManyFrames     = web.Fail(http.StatusUnprocessableEntity, "the session has %d frames, which is the most", liveness.MaxFrames)
	errManyBytes      = web.Fail(http.StatusRequestEntityTooLarge, "the frames of the session are more than %d MiB together; send smaller ones", maxSessionBytes>>20)
	errSessionOther   = web.Fail(http.StatusForbidden, "the liveness session was begun with another key")
	errSessionSource  = web.Fail(http.StatusUnprocessableEntity, "the session has frames of another box's camera")
)

// maxSessionBytes is how much the frames of a session may be together.
const maxSessionBytes = 64 << 20

// openSession reads a session of the caller that still waits for something.
func (c *call) openSession(tx *store.Tx, id store.SessionID, now time.Time) (store.Session, error) {
	s, err := store.GetOf[store.Session](tx, c.Merchant, id)
	switch {
	case err != nil:
		return s, err
	case s.By != c.credential():
		return s, errSessionOther
	case s.Used:
		return s, errSessionUsed
	case !now.Before(s.Expires):
		return s, errSessionExpired
	}
	return s, nil
}

// uploadFrame is POST /upload-frame/: one frame of a session. A frame without a
// face is answered so and not kept.
func (a *API) uploadFrame(c *call) error {
	form, err := web.ReadForm(c.r, "frame", MaxImage, 1)
	if err != nil {
		return err
	}
	id, err := store.ParseUUID[store.SessionID](form.Fields["sessionId"])
	if err != nil {
		return badUUID("sessionId")
	}
	if t := imageType(form.Files[0].Type); t != "" && t != "application/octet-stream" && extensions[t] == "" {
		return web.Fail(http.StatusNotAcceptable, "only JPEG and PNG images are taken").Field("frame", "must be image/jpeg or image/png")
	}
	img, err := decode(form.Files[0].Data)
	if err != nil {
		return err
	}
	kept, err := a.keepFrame(c, id, fromClient, img, form.Files[0].Data)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, kept)
}

// A keptFrame is the answer to a frame.
type keptFrame struct {
	Success  bool                `json:"success"`
	ImageKey store.ImageID       `json:"imageKey"`
	Faces    int                 `json:"faces"`
	Status   store.SessionStatus `json:"status"`
}

// The sources of a session's frames.
const (
	fromClient = "client"
	fromCamera = "camera" // of this box
)

// source is what a session keeps of where its frames come from: a box's camera is
// that of one box.
func (a *API) source(kind string) string {
	if kind == fromCamera {
		return fromCamera + ":" + string(a.info.Device)
	}
	return kind
}

// keepFrame adds a frame to a session.
func (a *API) keepFrame(c *call, id store.SessionID, kind string, img image.Image, raw []byte) (kept keptFrame, err error) {
	err = a.store.View(c.ctx(), func(tx *store.Tx) error {
		_, err := c.openSession(tx, id, a.now()) // before the network is asked
		return err
	})
	if err != nil {
		return kept, err
	}
	faces, err := a.Detector.Detect(c.ctx(), img)
	if err != nil {
		return kept, err
	}
	switch _, ambiguous, ok := engine.Dominant(faces); {
	case !ok:
		return kept, verify.ErrNoFace
	case ambiguous:
		return kept, verify.ErrSeveralFaces
	}
	kept = keptFrame{Success: true, Faces: len(faces), Status: store.SessionInProgress}
	err = a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		s, err := c.openSession(tx, id, a.now())
		if err != nil {
			return err
		}
		switch {
		case s.Frames >= liveness.MaxFrames:
			return errManyFrames
		case s.Bytes+len(raw) > maxSessionBytes:
			return errManyBytes
		case kind == fromCamera && strings.HasPrefix(s.Source, fromCamera) && s.Source != a.source(kind):
			return errSessionSource
		}
		s.Frames++
		s.Bytes += len(raw)
		if s.Source == "" || kind == fromClient { // one frame of a client makes it a client's
			s.Source = a.source(kind)
		}
		s.Status = store.SessionInProgress
		if err := store.Put(tx, &s); err != nil {
			return err
		}
		if kept.ImageKey, err = frameKey(tx, &s); err != nil {
			return err
		}
		return store.Put(tx, &store.Image{
			ID: kept.ImageKey, Merchant: s.Merchant, Person: s.Person, Purpose: store.PurposeFrame, Name: string(s.ID),
			ContentType: http.DetectContentType(raw), Expires: s.Expires.Add(time.Minute), Data: raw,
		})
	})
	return kept, err
}

// frameKey names a frame after the millisecond it came in, or the next free one.
func frameKey(tx *store.Tx, s *store.Session) (store.ImageID, error) {
	for ms := tx.Time().UnixMilli(); ; ms++ {
		key := store.ImageID(fmt.Sprintf("liveness-sessions/%s/%d.jpg", s.ID, ms))
		if _, err := store.Get[store.Image](tx, key); errors.Is(err, store.ErrNotFound) {
			return key, nil
		} else if err != nil {
			return "", err
		}
	}
}

// frames finds the frames of a session, in their order, and whether two are the same
// to the byte. They are decoded one by one.
func (a *API) frames(ctx context.Context, s *store.Session) (all verify.Frames, repeated bool, err error) {
	var keys []store.ImageID
	var times []time.Duration
	seen := map[[sha256.Size]byte]bool{}
	err = a.store.View(ctx, func(tx *store.Tx) error {
		for i, err := range store.All(tx, store.ImagesByPerson, store.Plain(s.Person), store.Plain(store.PurposeFrame)) {
			if err != nil {
				return err
			}
			if i.Name != string(s.ID) {
				continue
			}
			sum := sha256.Sum256(i.Data)
			repeated = repeated || seen[sum]
			seen[sum] = true
			keys, times = append(keys, i.ID), append(times, i.Created.Sub(s.Created))
		}
		return nil
	})
	return func(yield func(verify.LiveFrame, error) bool) {
		for n, key := range keys {
			f := verify.LiveFrame{At: times[n]}
			var i store.Image
			err := a.store.View(ctx, func(tx *store.Tx) (err error) {
				i, err = store.Get[store.Image](tx, key)
				return err
			})
			if err == nil {
				f.Image, err = decode(i.Data)
			}
			if !yield(f, err) {
				return
			}
		}
	}, repeated, err
}

// decide ends a session with a decision. user, if not empty, must be whose
// session it is.
func (a *API) decide(c *call, id store.SessionID, user store.PersonID) (s store.Session, res verify.LiveResult, err error) {
	var policy store.MerchantPolicy
	err = a.store.View(c.ctx(), func(tx *store.Tx) error {
		if s, err = c.openSession(tx, id, a.now()); err != nil {
			return err
		}
		if user != "" && user != s.Person {
			if _, err := store.GetOf[store.Person](tx, c.Merchant, user); err != nil {
				return err
			}
			return web.Fail(http.StatusUnprocessableEntity, "the session is another user's").Field("userId", "must be that of the session")
		}
		if err := c.locked(tx, s.Person); err != nil {
			return err
		}
		m, err := store.Get[store.Merchant](tx, c.Merchant)
		policy = m.Policy
		return err
	})
	if err != nil {
		return s, res, err
	}
	if least := leastFrames(&s); s.Frames < least {
		return s, res, web.Fail(http.StatusUnprocessableEntity, "upload at least %d frames first", least)
	}
	frames, repeated, err := a.frames(c.ctx(), &s)
	if err != nil {
		return s, res, err
	}
	request := verify.LiveRequest{
		Cause: c.cause(), Merchant: c.Merchant, Person: s.Person, Session: s.ID, Frames: frames, Repeated: repeated, Challenge: moves(&s),
		Also: func(tx *store.Tx, res verify.LiveResult) error {
			s, err = a.endSession(c, tx, id, &res)
			return err
		},
	}
	if s.Mode == store.ModePassive && a.info.Environment == store.Production && !policy.PassiveLiveness {
		request.Refused = verify.ReasonPassive
	}
	res, err = a.Verifier.Live(c.ctx(), request)
	if err == nil && res.Match && s.Mode == store.ModeActive && res.Similarity >= rights.SureSimilarity {
		var last image.Image
		for f, err := range frames {
			if err == nil {
				last = f.Image
			}
		}
		if last != nil {
			a.propose(c.ctx(), &s, last, res.Similarity)
		}
	}
	return s, res, err
}

// endSession uses a session up, in the transaction of its decision.
func (a *API) endSession(c *call, tx *store.Tx, id store.SessionID, res *verify.LiveResult) (store.Session, error) {
	s, err := c.openSession(tx, id, a.now())
	if err != nil {
		return s, err // somebody was faster
	}
	s.Used, s.Confidence, s.Similarity = true, res.Confidence, res.Similarity
	switch {
	case res.Match:
		s.Status = store.SessionMatched
	case res.Live:
		s.Status = store.SessionSucceeded
	default:
		s.Status = store.SessionFailed
	}
	if err := store.Put(tx, &s); err != nil {
		return s, err
	}
	outcome := store.OutcomeFailed
	if res.Live {
		outcome = store.OutcomeDone
	}
	_, err = store.Append(tx, store.Event{Kind: store.EventLiveness, Action: string(s.Mode), Merchant: s.Merchant, Person: s.Person, Session: s.ID,
		Outcome: outcome, Reasons: res.Reasons, Counters: map[string]float64{"confidence": res.Confidence, "frames": float64(s.Frames)}}, nil)
	return s, err
}

// keepSession is how long the state of a session can be asked for after its end.
const keepSession = time.Hour

// hints say to the reasons of a failed session what to do.
var hints = map[string]string{
	verify.ReasonPassive:   `this merchant asks for a session with {"mode":"active"}`,
	verify.ReasonRepeated:  "every frame must be taken anew",
	verify.ReasonStill:     "nothing moves in the frames; take them from a person, over a second or two",
	verify.ReasonFewFaces:  "the face must be seen well in more of the frames, alone",
	verify.ReasonOtherFace: "all frames must show the same face",
	verify.ReasonChallenge: "the head must move as the challenge says, in its order",
	verify.ReasonReordered: "the frames must come in the order in which they were taken",
	verify.ReasonCut:       "all frames must be taken in one go, in one place",
	verify.ReasonJumps:     "the face must stay in the picture and move no faster than a head does",
	verify.ReasonAttack:    "the frames look like a picture or a screen; take them in even light, from the person",
}

func hint(reasons []string) string {
	var all []string
	for _, r := range reasons {
		if h := hints[r]; h != "" {
			all = append(all, h)
		}
	}
	return strings.Join(all, "; ")
}

// similarityText is the wording of the reference, to the letter.
func similarityText(match bool, similarity float64) string {
	if match {
		return fmt.Sprintf("Face matched successfully. Similarity is %.2f%%.", similarity)
	}
	return fmt.Sprintf("Face mismatch. Similarity is %.2f%%. Please try again.", similarity)
}

// matchLiveness is POST /match-liveness-face/.
func (a *API) matchLiveness(c *call) error {
	var in struct {
		UserID    string `json:"userId"`
		SessionID string `json:"sessionId"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	user, err := store.ParseID[store.PersonID](in.UserID)
	if err != nil {
		return badID("userId")
	}
	id, err := store.ParseUUID[store.SessionID](in.SessionID)
	if err != nil {
		return badUUID("sessionId")
	}
	_, res, err := a.decide(c, id, user)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Match           bool     `json:"match"`
		Similarity      float64  `json:"similarity"`
		Success         bool     `json:"success"`
		LivenessSuccess bool     `json:"livenessSuccess"`
		Confidence      float64  `json:"confidence"`
		Threshold       float64  `json:"threshold"`
		Message         string   `json:"message"`
		Reasons         []string `json:"reasons,omitempty"`
		Hint            string   `json:"hint,omitempty"`
		RequestID       string   `json:"requestId"`
	}{res.Match, round(res.Similarity), true, res.Live, round(res.Confidence), round(res.Threshold),
		similarityText(res.Match, res.Similarity), res.Reasons, hint(res.Reasons), web.RequestID(c.ctx())})
}

// checkLiveness is POST /check-liveness/: liveness and match in one call, in the
// words of the reference.
func (a *API) checkLiveness(c *call) error {
	var in struct {
		SessionID string `json:"sessionId"`
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	id, err := store.ParseUUID[store.SessionID](in.SessionID)
	if err != nil {
		return badUUID("sessionId")
	}
	s, res, err := a.decide(c, id, "")
	if err != nil {
		return err
	}
	type metadata struct {
		HTTPStatusCode  int    `json:"httpStatusCode"`
		RequestID       string `json:"requestId"`
		Attempts        int    `json:"attempts"`
		TotalRetryDelay int    `json:"totalRetryDelay"`
	}
	type reference struct{ BoundingBox boundingBox }
	type response struct {
		Metadata       metadata `json:"$metadata"`
		AuditImages    []string
		Confidence     float64
		ReferenceImage reference
		SessionID      store.SessionID `json:"SessionId"`
		Status         store.SessionStatus
	}
	return c.reply(http.StatusOK, struct {
		Success         bool     `json:"success"`
		LivenessSuccess bool     `json:"livenessSuccess"`
		FaceMatch       bool     `json:"faceMatch"`
		Similarity      float64  `json:"similarity"`
		Message         string   `json:"message"`
		Reasons         []string `json:"reasons,omitempty"`
		Hint            string   `json:"hint,omitempty"`
		Response        response `json:"response"`
	}{true, res.Live, res.Match, round(res.Similarity), similarityText(res.Match, res.Similarity), res.Reasons, hint(res.Reasons), response{
		metadata{http.StatusOK, web.RequestID(c.ctx()), 1, 0}, []string{}, round(res.Confidence), reference{toBox(res.Box, res.Size)}, s.ID, s.Status}})
}

// showSession is GET /face-liveness/{sessionId}/.
func (a *API) showSession(c *call) error {
	id, err := store.ParseUUID[store.SessionID](c.r.PathValue("sessionId"))
	if err != nil {
		return badUUID("sessionId")
	}
	var s store.Session
	err = a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		s, err = store.GetOf[store.Session](tx, c.Merchant, id)
		return err
	})
	if err != nil {
		return err
	}
	if !s.Used && !a.now().Before(s.Expires) {
		s.Status = store.SessionExpired
	}
	return c.reply(http.StatusOK, struct {
		Success    bool                `json:"success"`
		SessionID  store.SessionID     `json:"sessionId"`
		UserID     store.PersonID      `json:"userId"`
		Status     store.SessionStatus `json:"status"`
		Mode       store.SessionMode   `json:"mode"`
		Challenge  []string            `json:"challenge"`
		Frames     int                 `json:"frames"`
		Confidence float64             `json:"confidence"`
		Similarity float64             `json:"similarity"`
		CreatedAt  time.Time           `json:"createdAt"`
		ExpiresAt  time.Time           `json:"expiresAt"`
	}{true, s.ID, s.Person, s.Status, s.Mode, orEmpty(s.Challenge), s.Frames, round(s.Confidence), round(s.Similarity), s.Created, s.Expires})
}
