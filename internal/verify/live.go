package verify

import (
	"cmp"
	"context"
	"errors"
	"image"
	"math"
	"slices"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/store"
)

// A Live session is a handful of frames that a client took of one person. What
// they are asked for today is little and honest: frames that differ, of one face
// throughout, that is the enrolled one; and in an active session a head that turns
// as it was told. The turn is seen by how far the nose tip moves against the eyes,
// which a flat picture cannot show however it is held. A video, a mask, or a
// picture that is bent may pass; a passive session tells a person from a single
// picture and from nothing better.

// The bounds of a session's frames.
const (
	MinFrames = 3
	MaxFrames = 20
)

// The turns of an active session, as its challenge names them, from the person's
// own point of view.
const (
	TurnCenter = "center"
	TurnLeft   = "left"
	TurnRight  = "right"
)

const (
	// turned is from where on a head counts as turned: how far the nose tip has
	// gone from the middle of the eyes, in eye distances. Rendered heads are there
	// from 20° on; flat pictures of them went 0.13 at most, turned by up to 35°, and
	// in larger trials 0.12 from side to side at the 95th percentile.
	turned = 0.19
	// straight is up to where it counts as straight.
	straight = 0.1
	// still is the least that landmarks move between frames of somebody alive, in
	// eye distances: less than the noise of a detector over two camera frames.
	still = 0.002
)

// LiveRequest asks for a decision about a session.
type LiveRequest struct {
	Cause    store.Cause
	Merchant store.MerchantID
	Person   store.PersonID
	Session  store.SessionID
	Frames   []image.Image // in the order in which they were taken
	// Repeated says that some frames are the same to the byte.
	Repeated bool
	// Challenge names the turns to see in their order; empty: a passive session.
	Challenge []string
	// Refused, if not empty, is why no frames can suffice here: a reason.
	Refused string
	// Also, when set, runs in the transaction of the decision; its error undoes it.
	Also func(*store.Tx, LiveResult) error
}

// LiveResult is the outcome of Live.
type LiveResult struct {
	Live       bool
	Confidence float64 // that somebody is alive, 0..100
	Reasons    []string
	Result     // Match only with Live
	Box        engine.Rect
	Size       image.Point // of the frame that Box is in
}

// look is what one frame shows.
type look struct {
	face  engine.Face
	size  image.Point
	score float64 // against the enrolled template
	probe engine.Template
}

// Live decides about a session: whether the frames show somebody alive, and
// whether it is the person. The errors are those of Verify; frames in which there
// is no face, or a poor one, only count as missing.
func (s *Service) Live(ctx context.Context, r LiveRequest) (LiveResult, error) {
	const op = "verify"
	s, leave := s.enter()
	defer leave()
	s, err := s.where(ctx, r.Person)
	if err != nil {
		return LiveResult{}, err
	}
	enrolled, merchant, err := s.template(ctx, op, r.Merchant, r.Person)
	if err != nil {
		return LiveResult{}, err
	}
	threshold, ok := s.cal.Threshold(orElse(merchant.Policy.FMR, defaultFMR))
	if !ok {
		return LiveResult{}, &Error{Op: op, Err: ErrUnsupported, Hint: "install a better pack, or allow more errors"}
	}
	looks, err := s.looks(ctx, r, enrolled)
	if err != nil {
		return LiveResult{}, err
	}
	res := LiveResult{Reasons: s.against(looks, &r)}
	res.Live = len(res.Reasons) == 0
	res.Confidence = confidence(res.Live, len(looks), &r)
	s.compare(&res, looks, threshold)
	return res, s.recordLive(ctx, r, &res)
}

// looks finds and embeds the face of each frame; those that show none are left
// out.
func (s *Service) looks(ctx context.Context, r LiveRequest, enrolled engine.Template) ([]look, error) {
	var all []look
	for _, img := range r.Frames {
		// A head that turns is wanted here, and looked at when straight.
		face, err := s.find(ctx, img, "verify", 0, barringProbe)
		var poor *Error
		if errors.As(err, &poor) {
			continue
		} else if err != nil {
			return nil, err
		}
		l := look{face: face.Face, size: img.Bounds().Size()}
		if l.probe, err = s.engine.Embed(ctx, img, face.Face); err != nil {
			return nil, err
		}
		l.score = engine.Compare(l.probe, enrolled)
		all = append(all, l)
	}
	return all, nil
}

// against is what speaks against frames of somebody alive.
func (s *Service) against(looks []look, r *LiveRequest) (reasons []string) {
	if r.Refused != "" {
		reasons = append(reasons, r.Refused)
	}
	if r.Repeated {
		reasons = append(reasons, ReasonRepeated)
	}
	if len(looks) < MinFrames {
		return append(reasons, ReasonFewFaces)
	}
	if movement(looks) < still {
		reasons = append(reasons, ReasonStill)
	}
	if same, ok := s.cal.Threshold(sameFMR); ok && !oneFace(looks, same) {
		reasons = append(reasons, ReasonOtherFace)
	}
	if len(r.Challenge) > 0 && !follows(looks, r.Challenge) {
		reasons = append(reasons, ReasonChallenge)
	}
	return reasons
}

// movement is how far the landmarks move at most between two frames that follow
// each other, in eye distances, the face as a whole held still.
func movement(looks []look) (most float64) {
	for i := 1; i < len(looks); i++ {
		a, b := looks[i-1].face, looks[i].face
		for k := range a.Landmarks {
			pa, pb := relative(a, k), relative(b, k)
			most = max(most, math.Hypot(pa.X-pb.X, pa.Y-pb.Y))
		}
	}
	return most
}

// relative is a landmark in eye distances from the nose tip.
func relative(f engine.Face, k int) engine.Point {
	d := max(f.EyeDistance(), 1)
	return engine.Point{X: (f.Landmarks[k].X - f.Landmarks[2].X) / d, Y: (f.Landmarks[k].Y - f.Landmarks[2].Y) / d}
}

// oneFace reports whether the straight frames resemble each other.
func oneFace(looks []look, same float64) bool {
	front := frontal(looks)
	for _, l := range front[1:] {
		if engine.Compare(front[0].probe, l.probe) < same {
			return false
		}
	}
	return true
}

// frontal are the looks from straight before, or the straightest one.
func frontal(looks []look) []look {
	front := slices.DeleteFunc(slices.Clone(looks), func(l look) bool { return math.Abs(noseOffset(l.face)) > straight })
	if len(front) > 0 {
		return front
	}
	return []look{slices.MinFunc(looks, func(a, b look) int {
		return cmp.Compare(math.Abs(noseOffset(a.face)), math.Abs(noseOffset(b.face)))
	})}
}

// follows reports whether the head turned as the challenge says, in its order.
func follows(looks []look, challenge []string) bool {
	for _, l := range looks {
		if len(challenge) > 0 && turn(noseOffset(l.face)) == challenge[0] {
			challenge = challenge[1:]
		}
	}
	return len(challenge) == 0
}

// noseOffset is how far the nose tip lies from the middle of the eyes, along the
// line through them, in eye distances: positive to the right of the image. It is
// taken from the detector's keypoints, which follow a turn further than the
// landmarks for alignment do.
func noseOffset(f engine.Face) float64 {
	r, l, nose := f.Keypoints[engine.RightEye], f.Keypoints[engine.LeftEye], f.Keypoints[engine.NoseTip]
	dx, dy := l.X-r.X, l.Y-r.Y
	square := dx*dx + dy*dy
	if square == 0 {
		return 0
	}
	return ((nose.X-(r.X+l.X)/2)*dx + (nose.Y-(r.Y+l.Y)/2)*dy) / square
}

// turn names where a nose points. The person's left is on the right of an image
// that is not mirrored.
func turn(offset float64) string {
	switch {
	case offset >= turned:
		return TurnLeft
	case offset <= -turned:
		return TurnRight
	case math.Abs(offset) <= straight:
		return TurnCenter
	}
	return ""
}

// confidence puts the outcome on the scale of the API. It is no probability: the
// sort of the session decides how sure one can be at best.
func confidence(live bool, usable int, r *LiveRequest) float64 {
	best := 70.0
	if len(r.Challenge) > 0 {
		best = 90
	}
	if live {
		return best
	}
	return best / 2 * float64(min(usable, MinFrames)) / (MinFrames + 1)
}

// compare fills in the comparison with the person: the median of the straight
// frames, so that neither a lucky frame nor a poor one decides.
func (s *Service) compare(res *LiveResult, looks []look, threshold float64) {
	res.Threshold = s.cal.Similarity(threshold)
	if len(looks) == 0 {
		return
	}
	front := frontal(looks)
	slices.SortFunc(front, func(a, b look) int { return cmp.Compare(a.score, b.score) })
	median := front[(len(front)-1)/2]
	res.Similarity, res.Faces = s.cal.Similarity(median.score), 1
	res.Match = res.Live && median.score >= threshold
	res.Box, res.Size = median.face.Box, median.size
}

// recordLive puts the decision into the journal.
func (s *Service) recordLive(ctx context.Context, r LiveRequest, res *LiveResult) error {
	event := store.Event{Kind: store.EventDecision, Action: "verify", Merchant: r.Merchant, Person: r.Person, Session: r.Session,
		Outcome: outcome(res.Match), Reasons: res.Reasons, Counters: map[string]float64{
			"similarity": res.Similarity, "threshold": res.Threshold, "confidence": res.Confidence, "frames": float64(len(r.Frames))}}
	return s.recordDecision(ctx, r.Cause, event, false, func(tx *store.Tx, e store.Event) error {
		res.Event = e
		if r.Also == nil {
			return nil
		}
		return r.Also(tx, *res)
	})
}
