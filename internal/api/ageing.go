package api

import (
	"context"
	"errors"
	"image"
	"net/http"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// candidateQuality is that of the JPEG of a proposed crop.
const candidateQuality = 92

var proposer = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "ageing"}}

// propose keeps the face of a very sure, live match for somebody whose template is to
// be renewed, until an operator decides; where the merchant wants that, and none is
// kept yet. That it fails is nothing to the one who was matched.
func (a *API) propose(ctx context.Context, s *store.Session, frame image.Image, similarity float64) {
	err := a.store.View(ctx, func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, s.Merchant)
		if err == nil {
			_, err = rights.Sought(tx, &m, s.Person)
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return
	}
	var data []byte
	if err == nil {
		data, err = a.faceOf(ctx, frame)
	}
	if err == nil {
		err = a.store.Update(ctx, proposer, func(tx *store.Tx) error {
			m, err := store.Get[store.Merchant](tx, s.Merchant)
			if err != nil {
				return err
			}
			r, err := rights.Sought(tx, &m, s.Person)
			if err != nil {
				return err
			}
			return store.Put(tx, &store.Candidate{
				ID: store.NewID[store.CropID](tx.Time()), Merchant: s.Merchant, Person: s.Person, Review: r.ID,
				Similarity: similarity, Expires: tx.Time().Add(rights.CandidateLife), Image: data,
			})
		})
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		a.Log.Warn("no crop kept for a template that is to be renewed", "err", err)
	}
}

// faceOf cuts the face from a frame, with as much around it as it is large, and makes
// a JPEG of it.
func (a *API) faceOf(ctx context.Context, frame image.Image) ([]byte, error) {
	faces, err := a.Detector.Detect(ctx, frame)
	if err != nil {
		return nil, err
	}
	f, ambiguous, ok := engine.Dominant(faces)
	if !ok || ambiguous {
		return nil, verify.ErrNoFace
	}
	w, h := (f.Box.X1-f.Box.X0)/2, (f.Box.Y1-f.Box.Y0)/2
	cut := image.Rect(int(f.Box.X0-w), int(f.Box.Y0-h), int(f.Box.X1+w), int(f.Box.Y1+h)).Intersect(frame.Bounds())
	if part, ok := frame.(interface {
		SubImage(image.Rectangle) image.Image
	}); ok && !cut.Empty() {
		frame = part.SubImage(cut)
	}
	return picture.EncodeJPEG(frame, candidateQuality)
}

// candidate reads the open review that the path names, with the crop that is proposed.
func (a *API) candidate(c *call) (r store.Review, crop store.Candidate, err error) {
	id, err := c.reviewID()
	if err != nil {
		return r, crop, err
	}
	err = a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		if r, err = rights.Open(tx, c.Merchant, id); err == nil {
			crop, err = rights.CandidateOf(tx, &r)
		}
		return err
	})
	return r, crop, err
}

// showCandidate is GET /reviews/{reviewId}/candidate/.
func (a *API) showCandidate(c *call) error {
	_, crop, err := a.candidate(c)
	if err != nil {
		return err
	}
	if !web.Accepts(c.r, "image/jpeg") {
		return web.Fail(http.StatusNotAcceptable, "the image is image/jpeg")
	}
	c.w.Header().Set("Content-Type", "image/jpeg")
	_, _ = c.w.Write(crop.Image) // the caller is gone if this fails
	return nil
}

// settleUpdated takes the crop that is proposed into the person's template.
func (a *API) settleUpdated(c *call) error {
	if err := c.Require(auth.Enrol); err != nil {
		return err
	}
	r, crop, err := a.candidate(c)
	if err != nil {
		return err
	}
	img, err := decode(crop.Image)
	if err != nil {
		return err
	}
	_, err = a.Verifier.Enrol(c.ctx(), verify.EnrolRequest{
		Cause: c.cause(), Merchant: c.Merchant, Person: crop.Person, Images: []image.Image{img}, Source: "proposal", Add: true,
		Also: func(tx *store.Tx, _ verify.Enrolment) error { return rights.Updated(tx, c.Merchant, r.ID, c.Actor) },
	})
	if err != nil {
		return err
	}
	err = a.store.View(c.ctx(), func(tx *store.Tx) (err error) {
		r, err = store.GetOf[store.Review](tx, c.Merchant, r.ID)
		return err
	})
	if err != nil {
		return err
	}
	return c.replyReview(http.StatusOK, toReview(&r))
}
