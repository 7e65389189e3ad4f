package verify

import (
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
)

// defaultFMR is the 1:1 policy of a merchant who named none.
const defaultFMR = 1e-4

// Verify compares the dominant face of an image with a person (1:1) at the FMR
// of the merchant. No match is a result. The errors are ErrUnknownPerson,
// ErrNotEnrolled, ErrNoFace, ErrSeveralFaces, ErrLowQuality, ErrUnsupported,
// and those of the store.
func (s *Service) Verify(ctx context.Context, r VerifyRequest) (Result, error) {
	const op = "verify"
	s, leave := s.enter()
	defer leave()
	s, err := s.where(ctx, r.Person)
	if err != nil {
		return Result{}, err
	}
	enrolled, merchant, err := s.template(ctx, op, r.Merchant, r.Person)
	if err != nil {
		return Result{}, err
	}
	fmr := orElse(merchant.Policy.FMR, defaultFMR)
	threshold, ok := s.cal.Threshold(fmr)
	if !ok {
		return Result{}, &Error{Op: op, Err: ErrUnsupported, Hint: fmt.Sprintf(
			"the policy wants FMR %.2g, the calibration vouches for %.2g: allow more errors or install a better pack", fmr, s.cal.MinFMR())}
	}
	face, probe, err := s.probe(ctx, op, r.Image)
	if err != nil {
		return Result{}, err
	}
	score := engine.Compare(probe, enrolled)
	res := Result{
		Match:      score >= threshold,
		Similarity: s.cal.Similarity(score),
		Threshold:  s.cal.Similarity(threshold),
		Faces:      face.faces,
		Warnings:   face.warnings,
	}
	var two lookAlikes
	if res.Match {
		g := s.galleries.of(r.Merchant)
		hits := g.Search(probe, 2)
		g.impostors.note(r.Person, hits)
		two = rivals(r.Person, hits, threshold)
	}
	event := store.Event{Kind: store.EventDecision, Action: op, Merchant: r.Merchant, Person: r.Person, Session: r.Session,
		Outcome: outcome(res.Match), Reasons: face.warnings,
		Counters: map[string]float64{"similarity": res.Similarity, "threshold": res.Threshold, "faces": float64(face.faces)}}
	err = s.recordDecision(ctx, r.Cause, event, r.Also == nil, func(tx *store.Tx, e store.Event) error {
		res.Event = e
		if err := s.flag(tx, r.Merchant, two); err != nil || r.Also == nil {
			return err
		}
		return r.Also(tx, res)
	})
	if err != nil {
		return Result{}, err
	}
	return res, nil
}

// recordDecision appends a decision and does what belongs to it in one transaction. alone
// says that nothing belongs to it which has to be kept, so that on a full disk it
// may be given without.
func (s *Service) recordDecision(ctx context.Context, cause store.Cause, e store.Event, alone bool, then func(*store.Tx, store.Event) error) error {
	err := s.record(ctx, cause, s.allowWhenFull && alone, func(tx *store.Tx) error {
		appended, err := store.Append(tx, e, nil)
		if err != nil {
			return err
		}
		return then(tx, appended)
	})
	if err != nil {
		return fmt.Errorf("record decision: %w", err)
	}
	return nil
}

// Identify searches the dominant face of an image among the people of the
// merchant (1:N). Nobody found is a result, and so are several: then Match is
// false. The errors are ErrNoFace, ErrSeveralFaces, ErrLowQuality,
// ErrUnsupported, and those of the store.
func (s *Service) Identify(ctx context.Context, r IdentifyRequest) (Identification, error) {
	const op = "identify"
	s, leave := s.enter()
	defer leave()
	g := s.galleries.of(r.Merchant)
	threshold, size, err := s.identifyThreshold(op, g, r.FPIR, searchFMR)
	if err != nil {
		return Identification{}, err
	}
	face, probe, err := s.probe(ctx, op, r.Image)
	if err != nil {
		return Identification{}, err
	}
	limit := r.Limit
	if limit <= 0 {
		limit = 5
	}
	hits := g.Search(probe, max(limit, 2))
	v := verdictOf(hits, threshold)
	res := Identification{Match: v.person != "", Person: v.person, Threshold: s.cal.Similarity(threshold),
		Gallery: size, Faces: face.faces, Candidates: s.candidates(hits, threshold, limit), Warnings: face.warnings}
	if len(hits) > 0 {
		res.Similarity = s.cal.Similarity(hits[0].Score)
	}
	if res.Match {
		g.impostors.note(v.person, hits)
	}
	event := store.Event{Kind: store.EventDecision, Action: op, Merchant: r.Merchant, Person: v.person,
		Outcome: outcome(res.Match), Reasons: append(v.reasons(), face.warnings...),
		Counters: map[string]float64{"similarity": res.Similarity, "threshold": res.Threshold, "faces": float64(face.faces),
			"gallery": float64(size), "candidates": float64(len(res.Candidates))}}
	err = s.recordDecision(ctx, r.Cause, event, r.Also == nil, func(tx *store.Tx, e store.Event) error {
		res.Event = e
		if err := s.flag(tx, r.Merchant, v.two); err != nil || r.Also == nil {
			return err
		}
		return r.Also(tx, res)
	})
	if err != nil {
		return Identification{}, err
	}
	return res, nil
}

// candidates are the hits at or above a threshold, at most limit of them.
func (s *Service) candidates(hits []engine.Hit, threshold float64, limit int) (list []Candidate) {
	for _, h := range hits[:min(limit, len(hits))] {
		if h.Score >= threshold {
			list = append(list, Candidate{store.PersonID(h.ID), s.cal.Similarity(h.Score)})
		}
	}
	return list
}

// What a search is held to where no policy names an FPIR: DefaultFPIR, and at
// most these rates for each person in the gallery. In a gallery of few people
// the FPIR alone would ask for less than a comparison 1:1 does. At a door each
// frame of an encounter is another try, and those who pass it resemble each
// other more than the people of a calibration.
const (
	searchFMR = 1e-4
	doorFMR   = 1e-5
)

// identifyThreshold is the score of a 1:N policy at the present size of a
// gallery, or ErrUnsupported. An fpir of 0 stands for the defaults with most as
// the highest FMR, as far as the calibration supports that.
func (s *Service) identifyThreshold(op string, g *gallery, fpir, most float64) (threshold float64, size int, err error) {
	size = g.Len()
	threshold, ok := s.cal.IdentifyThreshold(orElse(fpir, DefaultFPIR), size)
	if !ok {
		return 0, size, &Error{Op: op, Err: ErrUnsupported, Hint: fmt.Sprintf(
			"among %d people the policy wants FPIR %.2g, the calibration vouches for %.2g at best: ask for a PIN, card or code first and verify 1:1",
			size, orElse(fpir, DefaultFPIR), s.cal.FPIR(1, size))}
	}
	if strict, ok := s.cal.Threshold(most); ok && fpir <= 0 {
		threshold = max(threshold, strict)
	}
	return threshold, size, nil
}

// SearchThreshold is the score that a search among so many people asks for where
// no policy names an FPIR; ok is false where the calibration cannot vouch for
// DefaultFPIR there.
func SearchThreshold(c *models.Calibration, people int) (score float64, ok bool) {
	score, ok = c.IdentifyThreshold(DefaultFPIR, people)
	if strict, supported := c.Threshold(searchFMR); supported {
		score = max(score, strict)
	}
	return score, ok
}

// verdict is what one probe says.
type verdict struct {
	person    store.PersonID // who reaches the threshold, or nobody
	ambiguous bool           // several do, and the best is not far ahead
	score     float64        // of the best hit, −1 in an empty gallery
	two       lookAlikes     // who reach it together
}

// rivalGap is how far behind the best score another one must lie, as a cosine:
// about the spread of the scores of one person's images.
const rivalGap = 0.1

// verdictOf judges hits, best first. A second person above the threshold and
// close behind means that the probe does not tell the two apart; far behind he
// is a look-alike, and the best hit counts.
func verdictOf(hits []engine.Hit, threshold float64) verdict {
	if len(hits) == 0 {
		return verdict{score: -1}
	}
	v := verdict{score: hits[0].Score, two: rivals(store.PersonID(hits[0].ID), hits, threshold)}
	switch {
	case v.score < threshold:
	case v.two.other != "" && v.score-v.two.score < rivalGap:
		v.ambiguous = true
	default:
		v.person = store.PersonID(hits[0].ID)
	}
	return v
}

func (v verdict) reasons() []string {
	if v.ambiguous {
		return []string{ReasonAmbiguous}
	}
	return nil
}

// probe makes a template of the face that is meant.
func (s *Service) probe(ctx context.Context, op string, img image.Image) (found, engine.Template, error) {
	face, err := s.find(ctx, img, op, 0, barringProbe)
	if err != nil {
		return found{}, nil, err
	}
	t, err := s.engine.Embed(ctx, img, face.Face)
	if err != nil {
		return found{}, nil, fmt.Errorf("%s: %w", op, err)
	}
	return face, t, nil
}

// template reads the template of a person in the present space, and makes it
// from the crops where it is not there yet.
func (s *Service) template(ctx context.Context, op string, m store.MerchantID, id store.PersonID) (engine.Template, store.Merchant, error) {
	var t store.Template
	var merchant store.Merchant
	err := s.store.View(ctx, func(tx *store.Tx) (err error) {
		var p store.Person
		if p, merchant, err = person(tx, op, m, id); err != nil {
			return err
		}
		if p.Status != store.PersonEnrolled {
			return &Error{Op: op, Err: ErrNotEnrolled, Hint: "the person is " + string(p.Status) + ": enrol a face first"}
		}
		t, err = store.Get[store.Template](tx, store.NewTemplateID(id, s.engine.Space()))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		if err = s.embedAnew(ctx, member{id, m}); err == nil {
			return s.template(ctx, op, m, id)
		}
	}
	return t.Vector, merchant, err
}

// unknown turns the absence of a person's record into ErrUnknownPerson.
func unknown(op string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return &Error{Op: op, Err: ErrUnknownPerson, Hint: "ids are those that registration answered, of this merchant and environment"}
	}
	return err
}

func outcome(match bool) store.Outcome {
	if match {
		return store.OutcomeMatch
	}
	return store.OutcomeNoMatch
}

func orElse(v, byDefault float64) float64 {
	if v > 0 {
		return v
	}
	return byDefault
}
