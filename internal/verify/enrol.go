package verify

import (
	"context"
	"errors"
	"fmt"
	"image"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/store"
)

const (
	// cropQuality keeps what an embedder sees: on portraits the template of the
	// JPEG has a cosine of 0.999 with that of the crop, at some 17 KB.
	cropQuality = 95
	// sameFMR is the rate at which images of two people pass as one person's in
	// an enrolment: lenient, since somebody vouches for the images.
	sameFMR = 1e-2
	// duplicateFPIR is the share of new people who may be reported as duplicates
	// of somebody: each is a question to an operator. Whoever is one resembles
	// him at least as much as a comparison 1:1 wants.
	duplicateFPIR = 1e-2
)

// Enrol makes the template of a person. It happens whole or not at all: when an
// image is refused, what was enrolled before stays. The errors are ErrImages,
// ErrUnknownPerson, ErrNoConsent, ErrNoFace, ErrSeveralFaces, ErrLowQuality,
// ErrOtherFace, ErrDuplicate, and those of the store.
func (s *Service) Enrol(ctx context.Context, r EnrolRequest) (Enrolment, error) {
	e, err := s.enrolOnce(ctx, r)
	for n := 0; errors.Is(err, errMoved) && n < 3; n++ {
		e, err = s.enrolOnce(ctx, r)
	}
	if err != nil {
		if !r.Check {
			s.refuse(ctx, r, err)
		}
		return Enrolment{}, err
	}
	return e.result, nil
}

// errMoved: a change of the pack began or ended while something was prepared.
var errMoved = errors.New("the embedding space has changed meanwhile")

func (s *Service) enrolOnce(ctx context.Context, r EnrolRequest) (*enrolment, error) {
	enter := s.enter
	if r.Background {
		s.pace.wait(ctx)
		enter = s.hold
	}
	s, leave := enter()
	defer leave()
	e, err := s.prepare(ctx, r)
	switch {
	case err != nil:
	case r.Check && r.Batch != nil:
		r.Batch.add(r, s.id(), e.template)
	case !r.Check:
		err = s.store.Update(ctx, r.Cause, func(tx *store.Tx) error { return e.commit(tx, s) })
	}
	return e, err
}

// enrolment is one that was prepared and not yet committed.
type enrolment struct {
	EnrolRequest
	spaces   []string                   // that templates are made in, the one that serves first
	template engine.Template            // in the space that serves
	others   map[string]engine.Template // in the space to come
	crops    []store.Crop
	earlier  []store.CropID // crops that stay, as they were when read
	result   Enrolment
}

// prepare does all that takes time: nothing is changed by it.
func (s *Service) prepare(ctx context.Context, r EnrolRequest) (*enrolment, error) {
	e := &enrolment{EnrolRequest: r, spaces: []string{s.id()}, result: Enrolment{Person: r.Person}}
	merchant, kept, err := s.earlier(ctx, r)
	if err != nil {
		return nil, err
	}
	if n := len(r.Images) + len(kept); len(r.Images) == 0 || n > MaxImages {
		return nil, &Error{Op: "enrol", Err: ErrImages, Hint: fmt.Sprintf("a person is enrolled from 1 to %d images; this would make %d", MaxImages, n)}
	}
	templates := make([]engine.Template, 0, MaxImages)
	for i, img := range r.Images {
		t, err := s.enrolImage(ctx, e, img, i+1)
		if err != nil {
			return nil, err
		}
		templates = append(templates, t)
	}
	for _, c := range kept {
		t, err := s.embedCrop(ctx, c)
		if err != nil {
			return nil, err
		}
		templates = append(templates, t)
		e.earlier = append(e.earlier, c.ID)
	}
	if err := s.oneFace(templates); err != nil {
		return nil, err
	}
	if e.template = engine.Fuse(templates...); e.template == nil {
		return nil, errors.New("enrol: templates cancel each other out")
	}
	e.result.Crops = len(templates)
	if s.beside != nil {
		if err := s.prepareBeside(ctx, e, kept); err != nil {
			return nil, err
		}
	}
	return e, s.findDuplicate(e, merchant)
}

// prepareBeside makes the template of the space to come. Where that fails the
// enrolment is good all the same, and the person waits for his turn there.
func (s *Service) prepareBeside(ctx context.Context, e *enrolment, kept []store.Crop) error {
	e.spaces = append(e.spaces, s.beside.id())
	t, err := s.in(s.beside).embedCrops(ctx, slices.Concat(e.crops, kept))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		s.log.Warn("an enrolment is not embedded in the space to come yet", "person", e.Person, "err", err)
	default:
		e.others = map[string]engine.Template{s.beside.id(): t}
	}
	return nil
}

// earlier reads the merchant, and the crops to which this enrolment adds.
func (s *Service) earlier(ctx context.Context, r EnrolRequest) (merchant store.Merchant, crops []store.Crop, err error) {
	err = s.store.View(ctx, func(tx *store.Tx) error {
		if r.New != nil { // whether he agreed is seen when he is stored
			merchant, err = store.Get[store.Merchant](tx, r.Merchant)
			return unknown("enrol", err)
		}
		if merchant, err = enrollable(tx, r.Merchant, r.Person); err != nil || !r.Add {
			return err
		}
		crops, err = cropsOf(tx, r.Person)
		return err
	})
	return merchant, crops, err
}

func cropsOf(tx *store.Tx, id store.PersonID) (crops []store.Crop, err error) {
	for c, err := range store.All(tx, store.CropsByPerson, store.Plain(id)) {
		if err != nil {
			return nil, err
		}
		crops = append(crops, c)
	}
	return crops, nil
}

// enrolImage makes a crop and a template of one image.
func (s *Service) enrolImage(ctx context.Context, e *enrolment, img image.Image, number int) (engine.Template, error) {
	face, err := s.find(ctx, img, "enrol", number, barringEnrolment)
	if err != nil {
		return nil, err
	}
	t, err := s.engine.Embed(ctx, img, face.Face)
	if err != nil {
		return nil, fmt.Errorf("enrol image %d: %w", number, err)
	}
	crop := s.engine.Crop(img, face.Face)
	encoded, err := picture.EncodeJPEG(crop.Image, cropQuality)
	if err != nil {
		return nil, fmt.Errorf("enrol image %d: %w", number, err)
	}
	rec := store.Crop{Merchant: e.Merchant, Person: e.Person, Space: s.id(), Source: e.Source, Quality: face.warnings, Image: encoded}
	for _, p := range crop.Landmarks {
		rec.Landmarks = append(rec.Landmarks, store.Point{X: float32(p.X), Y: float32(p.Y)})
	}
	e.crops = append(e.crops, rec)
	e.result.Faces = max(e.result.Faces, face.faces)
	for _, w := range face.warnings {
		if !slices.Contains(e.result.Warnings, w) {
			e.result.Warnings = append(e.result.Warnings, w)
		}
	}
	return t, nil
}

// oneFace refuses images of several people: each must resemble the mean of the
// others.
func (s *Service) oneFace(templates []engine.Template) error {
	threshold, ok := s.cal.Threshold(sameFMR)
	if !ok || len(templates) < 2 {
		return nil
	}
	for i, t := range templates {
		others := slices.Delete(slices.Clone(templates), i, i+1)
		if engine.Compare(t, engine.Fuse(others...)) < threshold {
			return &Error{Op: "enrol", Image: i + 1, Err: ErrOtherFace, Hint: "this face does not resemble those of the other images"}
		}
	}
	return nil
}

// findDuplicate looks for somebody else with this face.
func (s *Service) findDuplicate(e *enrolment, m store.Merchant) error {
	g := s.galleries.of(e.Merchant)
	hits := g.Search(e.template, 2)
	hits = slices.DeleteFunc(hits, func(h engine.Hit) bool { return h.ID == string(e.Person) })
	if len(hits) == 0 {
		return nil
	}
	g.impostors.note(e.Person, hits)
	return s.suspect(e, m, store.PersonID(hits[0].ID), hits[0].Score, g.Len())
}

// suspect notes that somebody may be another among so many people, or refuses him,
// where a score says so.
func (s *Service) suspect(e *enrolment, m store.Merchant, of store.PersonID, score float64, people int) error {
	if score < s.duplicateThreshold(people) {
		return nil
	}
	if m.Policy.RefuseDuplicates {
		return oneFaceEach(of)
	}
	e.result.PossibleDuplicateOf = of
	e.result.DuplicateSimilarity = s.cal.Similarity(score)
	return nil
}

func oneFaceEach(of store.PersonID) *Error {
	return &Error{Op: "enrol", Err: ErrDuplicate, Of: of, Hint: "the merchant allows one person a face"}
}

// duplicateThreshold is the score from which on somebody may be another among so many
// people.
func (s *Service) duplicateThreshold(people int) float64 {
	threshold, ok := s.cal.IdentifyThreshold(duplicateFPIR, people)
	if !ok { // a large gallery: the strictest that there is
		threshold, _ = s.cal.Threshold(s.cal.MinFMR())
	}
	if same, ok := s.cal.Threshold(defaultFMR); ok {
		threshold = max(threshold, same)
	}
	return threshold
}

// arriving are the enrolments of the last moments: of two people with one face who
// come at the same time, neither is in the gallery when the other is looked for, and
// the second to be stored is told of here.
type arriving struct {
	mu  sync.Mutex // protects the field below
	all []arrival
}

type arrival struct {
	member
	space    string
	template engine.Template
	gone     time.Time // from then on everybody finds him in the gallery
}

// arrivalTime is longer than an enrolment takes.
const arrivalTime = time.Minute

// meet compares an enrolment with those that have just come, and has it come.
func (s *Service) meet(tx *store.Tx, e *enrolment, m store.Merchant) error {
	now := time.Now()
	s.arriving.mu.Lock()
	defer s.arriving.mu.Unlock()
	s.arriving.all = slices.DeleteFunc(s.arriving.all, func(a arrival) bool { return a.person == e.Person || now.After(a.gone) })
	for _, o := range s.arriving.all {
		if e.result.PossibleDuplicateOf != "" || o.merchant != e.Merchant || o.space != e.spaces[0] {
			continue
		}
		if _, err := store.GetOf[store.Person](tx, e.Merchant, o.person); errors.Is(err, store.ErrNotFound) {
			continue // it was not stored after all, or is erased
		}
		if err := s.suspect(e, m, o.person, engine.Compare(o.template, e.template), s.galleries.of(e.Merchant).Len()+1); err != nil {
			return err
		}
	}
	s.arriving.all = append(s.arriving.all, arrival{member{e.Person, e.Merchant}, e.spaces[0], e.template, now.Add(arrivalTime)})
	return nil
}

// commit stores the enrolment. It may run again in another transaction.
func (e *enrolment) commit(tx *store.Tx, s *Service) error {
	if e.New != nil {
		p := *e.New
		if err := store.Put(tx, &p); err != nil {
			return err
		}
	}
	if e.Before != nil {
		if err := e.Before(tx); err != nil {
			return err
		}
	}
	if _, err := enrollable(tx, e.Merchant, e.Person); err != nil { // he may have taken it back meanwhile
		return err
	}
	p, m, err := person(tx, "enrol", e.Merchant, e.Person)
	if err != nil {
		return err
	}
	if err := errors.Join(e.current(tx), s.meet(tx, e, m)); err != nil {
		return err
	}
	for _, step := range []func(*store.Tx) error{e.putCrops, e.putTemplates, e.putReview} {
		if err := step(tx); err != nil {
			return fmt.Errorf("store enrolment: %w", err)
		}
	}
	p.Status, p.EnrolledAt = store.PersonEnrolled, tx.Time()
	if err := store.Put(tx, &p); err != nil {
		return fmt.Errorf("store enrolment: %w", err)
	}
	e.result.Event, err = store.Append(tx, e.event(), nil)
	if err == nil && e.Also != nil {
		err = e.Also(tx, e.result)
	}
	return err
}

// putCrops replaces the person's crops, or adds to them.
func (e *enrolment) putCrops(tx *store.Tx) error {
	old, err := cropsOf(tx, e.Person)
	if err != nil {
		return err
	}
	if e.Add && !slices.EqualFunc(old, e.earlier, func(c store.Crop, id store.CropID) bool { return c.ID == id }) {
		return fmt.Errorf("crops of the person: %w", store.ErrStale)
	}
	for _, c := range old {
		if e.Add {
			break
		}
		if err := store.Delete[store.Crop](tx, c.ID); err != nil {
			return err
		}
	}
	for i := range e.crops {
		c := e.crops[i]
		c.ID = store.NewID[store.CropID](tx.Time())
		if err := store.Put(tx, &c); err != nil {
			return err
		}
	}
	return nil
}

// current refuses an enrolment that was prepared for other spaces than the store
// is in: a change of the pack counts on everybody enrolled since it began.
func (e *enrolment) current(tx *store.Tx) error {
	m, err := store.Get[store.Migration](tx, store.TheMigration)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	want := m.Serving()
	if m.Stage == store.MigrationEmbedding {
		want = m.To
	}
	if !slices.Contains(e.spaces, want) {
		return errMoved
	}
	return nil
}

// putTemplates replaces all templates of the person: those of other spaces no
// longer say what the crops show.
func (e *enrolment) putTemplates(tx *store.Tx) error {
	vectors := map[string]engine.Template{e.spaces[0]: e.template}
	maps.Copy(vectors, e.others)
	old := map[string]store.Template{}
	for t, err := range store.All(tx, store.TemplatesByPerson, store.Plain(e.Person)) {
		if err != nil {
			return err
		}
		old[t.Space] = t
	}
	for space, t := range old {
		if vectors[space] == nil {
			if err := store.Delete[store.Template](tx, t.ID); err != nil {
				return err
			}
		}
	}
	for _, space := range slices.Sorted(maps.Keys(vectors)) {
		t := store.Template{Meta: old[space].Meta, ID: store.NewTemplateID(e.Person, space), Merchant: e.Merchant, Person: e.Person,
			Space: space, Crops: e.result.Crops, Vector: vectors[space]}
		if err := store.Put(tx, &t); err != nil {
			return err
		}
	}
	return nil
}

// putReview asks an operator about a possible duplicate.
func (e *enrolment) putReview(tx *store.Tx) error {
	if e.result.PossibleDuplicateOf == "" {
		return nil
	}
	_, err := store.AskOnce(tx, &store.Review{ID: store.NewID[store.ReviewID](tx.Time()), Merchant: e.Merchant, Reason: store.ReviewDuplicate,
		Persons: []store.PersonID{e.Person, e.result.PossibleDuplicateOf}, Score: e.result.DuplicateSimilarity})
	return err
}

func (e *enrolment) event() store.Event {
	ev := store.Event{Kind: store.EventEnrolment, Action: "enrol", Merchant: e.Merchant, Person: e.Person, Outcome: store.OutcomeDone,
		Reasons:  slices.Clone(e.result.Warnings),
		Counters: map[string]float64{"images": float64(len(e.Images)), "crops": float64(e.result.Crops), "faces": float64(e.result.Faces)}}
	if e.result.PossibleDuplicateOf != "" {
		ev.Reasons = append(ev.Reasons, ReasonDuplicate)
		ev.Counters["similarity"] = e.result.DuplicateSimilarity
	}
	return ev
}

// refuse records an enrolment that was refused for what the images show. Where
// they show nobody there is nothing to record: who waits before the camera for
// somebody to come would fill the journal.
func (s *Service) refuse(ctx context.Context, r EnrolRequest, cause error) {
	var refused *Error
	if !errors.As(cause, &refused) || errors.Is(cause, ErrUnknownPerson) || errors.Is(cause, ErrNoFace) {
		return
	}
	if r.New != nil {
		r.Person = "" // who did not come into being
	}
	ev := store.Event{Kind: store.EventEnrolment, Action: "enrol", Merchant: r.Merchant, Person: r.Person, Outcome: store.OutcomeFailed,
		Reasons: append([]string{reasonOf(refused.Err)}, refused.Reasons...), Counters: map[string]float64{"images": float64(len(r.Images))}}
	err := s.store.Update(ctx, r.Cause, func(tx *store.Tx) error {
		_, err := store.Append(tx, ev, nil)
		return err
	})
	if err != nil {
		s.log.Error("refused enrolment not recorded", "err", err)
	}
}
