package verify

import (
	"cmp"
	"context"
	"image"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/store"
)

// A Live session is a handful of frames that a client took of one person, in their
// order. engine/liveness decides whether somebody alive was before the camera, from
// rules that name what they miss and a calibrated score; what that is worth, attack by
// attack, is in docs/liveness.md. Here the frames are compared with the person.

// LiveFrame is one frame of a session.
type LiveFrame struct {
	Image image.Image
	At    time.Duration // since any moment, the same for all; 0: not known
}

// Frames hands out the frames of a session one by one, or the error why there are no
// more.
type Frames = iter.Seq2[LiveFrame, error]

// LiveRequest asks for a decision about a session.
type LiveRequest struct {
	Cause    store.Cause
	Merchant store.MerchantID
	Person   store.PersonID
	Session  store.SessionID
	Frames   Frames // in the order in which they were taken
	// Repeated says that some frames are the same to the byte.
	Repeated bool
	// Challenge names the moves to see in their order; empty: a passive session.
	Challenge []liveness.Move
	// Refused, if not empty, is why no frames can suffice here: a reason.
	Refused string
	// Also, when set, runs in the transaction of the decision; its error undoes it.
	Also func(*store.Tx, LiveResult) error

	count int // of frames
}

// LiveResult is the outcome of Live.
type LiveResult struct {
	Live       bool
	Confidence float64 // that somebody is alive, 0..100; below liveness.Threshold without Live
	Reasons    []string
	Result     // Match only with Live
	Box        engine.Rect
	Size       image.Point // of the frame that Box is in

	counters map[string]float64 // of the event
}

// look is what one frame shows.
type look struct {
	liveness.Frame
	poor  bool    // nothing to compare a person with
	score float64 // against the enrolled template
}

// Live decides about a session: whether the frames show somebody alive, and
// whether it is the person. The errors are those of Verify; frames in which there
// is no face, or several, only count as missing.
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
	looks, err := s.looks(ctx, &r, enrolled)
	if err != nil {
		return LiveResult{}, err
	}
	res := s.judgeLive(looks, &r)
	s.compare(&res, looks, threshold)
	return res, s.recordLive(ctx, r, &res)
}

// looks finds and embeds the face of each frame; those that show none, or several
// that could be meant, are left out.
func (s *Service) looks(ctx context.Context, r *LiveRequest, enrolled engine.Template) ([]look, error) {
	var all []look
	for f, err := range r.Frames {
		if err != nil {
			return nil, err
		}
		r.count++
		img := f.Image
		faces, err := s.engine.Detect(ctx, img)
		if err != nil {
			return nil, err
		}
		face, ambiguous, ok := engine.Dominant(faces)
		if !ok || ambiguous {
			continue
		}
		t, err := s.engine.Embed(ctx, img, face)
		if err != nil {
			return nil, err
		}
		frame := liveness.Observe(img, face, t, f.At)
		var before *liveness.Frame
		if n := len(all); n > 0 {
			before = &all[n-1].Frame
		}
		if err := frame.Ask(ctx, s.engine, img, face, before); err != nil {
			return nil, err
		}
		barred, _ := judge(face, barringProbe)
		all = append(all, look{frame, len(barred) > 0, engine.Compare(t, enrolled)})
	}
	return all, nil
}

// coarseFNMR is the share of mates that a pack may miss at FMR 1e-4 for likeness from
// frame to frame to mean much.
const coarseFNMR = .1

// likeness is what the calibration says of templates of one person.
func (s *Service) likeness() liveness.Likeness {
	next, ok := s.cal.Threshold(defaultFMR)
	all, ok2 := s.cal.Threshold(sameFMR)
	if !ok || !ok2 {
		return liveness.Likeness{} // a pack that was never measured
	}
	return liveness.Likeness{Next: next, Any: all, Coarse: s.cal.FNMR(next) > coarseFNMR}
}

// judgeLive is what liveness says of the looks, and what the request does already.
func (s *Service) judgeLive(looks []look, r *LiveRequest) (res LiveResult) {
	if r.Refused != "" {
		res.Reasons = append(res.Reasons, r.Refused)
	}
	if r.Repeated {
		res.Reasons = append(res.Reasons, ReasonRepeated)
	}
	frames := make([]liveness.Frame, len(looks))
	for i := range looks {
		frames[i] = looks[i].Frame
	}
	v := liveness.Default().Judge(frames, r.Challenge, s.likeness())
	for _, why := range v.Reasons {
		if !slices.Contains(res.Reasons, string(why)) {
			res.Reasons = append(res.Reasons, string(why))
		}
	}
	res.Live, res.Confidence = len(res.Reasons) == 0, v.Score
	if !res.Live {
		res.Confidence = min(res.Confidence, liveness.BrokenScore)
	}
	res.counters = map[string]float64{"confidence": res.Confidence, "frames": float64(r.count)}
	if len(frames) > 0 {
		countVote(res.counters, &v)
	}
	return res
}

// countVote notes for the journal what networks against presentation attacks said of
// frames, 0..1, where they were asked.
func countVote(counters map[string]float64, v *liveness.Verdict) {
	if p := v.Measures[liveness.Picture]; !math.IsNaN(p) {
		counters["pad"] = p
	}
}

// straight is up to where a face is compared with the person, in eye distances of
// the nose tip beside the eyes' middle.
const straight = 0.1

// frontal are the looks from straight before that show enough, or the best one.
func frontal(looks []look) []look {
	aside := func(l look) float64 {
		k := 0.0
		if l.poor {
			k = 1
		}
		return k + math.Abs(liveness.Yaw(&l.Face))
	}
	front := slices.DeleteFunc(slices.Clone(looks), func(l look) bool { return aside(l) > straight })
	if len(front) > 0 {
		return front
	}
	return []look{slices.MinFunc(looks, func(a, b look) int { return cmp.Compare(aside(a), aside(b)) })}
}

// compare fills in the comparison with the person: the median of the straight
// frames, so that neither a lucky frame nor a poor one decides. That the others show
// the same person is a rule of liveness.
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
	res.Box, res.Size = median.Face.Box, median.Size
}

// recordLive puts the decision into the journal.
func (s *Service) recordLive(ctx context.Context, r LiveRequest, res *LiveResult) error {
	res.counters["similarity"], res.counters["threshold"] = res.Similarity, res.Threshold
	event := store.Event{Kind: store.EventDecision, Action: "verify", Merchant: r.Merchant, Person: r.Person, Session: r.Session,
		Outcome: outcome(res.Match), Reasons: res.Reasons, Counters: res.counters}
	return s.recordDecision(ctx, r.Cause, event, false, func(tx *store.Tx, e store.Event) error {
		res.Event = e
		if r.Also == nil {
			return nil
		}
		return r.Also(tx, *res)
	})
}
