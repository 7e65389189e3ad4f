package verify

import (
	"context"
	"fmt"
	"image"
	"log/slog"
	"slices"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
)

// Engine is what the workflow wants of engine.Engine.
type Engine interface {
	Detect(ctx context.Context, img image.Image) ([]engine.Face, error) // dominant first
	Embed(ctx context.Context, img image.Image, f engine.Face) (engine.Template, error)
	Crop(img image.Image, f engine.Face) engine.Crop
	EmbedCrop(ctx context.Context, c engine.Crop) (engine.Template, error)
	Space() string
	Dim() int
}

var _ Engine = (*engine.Engine)(nil)

// Config is what a Service is made of.
type Config struct {
	Store       store.Store
	Engine      Engine
	Calibration *models.Calibration // of the engine's pack
	Log         *slog.Logger        // nil discards

	// AllowWhenFull gives decisions that cannot be recorded, since the disk is full
	// and its reserve spent; otherwise they are denied with store.ErrFull. Either
	// way they are counted, and an event of the gap says how many there were once
	// there is room. A door may allow it by its own policy.
	AllowWhenFull bool
	// GapFile is where they are counted, so that a cut does not lose the count;
	// empty: in memory.
	GapFile string
}

// Service enrols, compares, searches and watches. Make one with New. It is safe
// for concurrent use.
type Service struct {
	store     store.Store
	engine    Engine
	cal       *models.Calibration
	log       *slog.Logger
	galleries *galleries
	unwatch   func()

	allowWhenFull bool
	gaps          *gaps
}

// New loads the galleries of all merchants and keeps them in step with the
// store until Close.
func New(ctx context.Context, c Config) (*Service, error) {
	s := &Service{store: c.Store, engine: c.Engine, cal: c.Calibration, log: c.Log, allowWhenFull: c.AllowWhenFull}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.gaps, err = openGaps(c.GapFile, s.log); err != nil {
		return nil, err
	}
	s.galleries = newGalleries(s.store, s.engine.Space(), s.engine.Dim(), s.log)
	s.unwatch = s.store.Watch(s.galleries.follow)
	if err := s.galleries.load(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("load galleries: %w", err)
	}
	// What was read to fill the galleries is not needed again.
	if r, ok := s.store.(interface{ Relax() error }); ok {
		if err := r.Relax(); err != nil {
			s.log.Warn("memory of the store not given back", "err", err)
		}
	}
	return s, nil
}

// Close stops following the store, which it leaves open.
func (s *Service) Close() {
	s.unwatch()
	if err := s.gaps.close(); err != nil {
		s.log.Warn("close gaps", "err", err)
	}
}

// People is how many can be recognised, all merchants together.
func (s *Service) People() int { return s.galleries.people() }

// Gallery is how many people of a merchant can be recognised.
func (s *Service) Gallery(m store.MerchantID) int { return s.galleries.of(m).Len() }

// What speaks against a face bars some uses of it and is a warning in others.
// The engine's limits lie where error rates begin to rise: to refuse at each of
// them would turn away one person in fourteen, mostly for a little blur.
var (
	// barringProbe holds back what calibrations know nothing of.
	barringProbe = []engine.Reason{engine.TooSmall, engine.CutByFrame, engine.TooDark, engine.TooBright}
	// barringEnrolment holds back what would cost matches for ever after.
	barringEnrolment = append(slices.Clone(barringProbe), engine.TurnedAway)
	// barringFrame waits for a better frame, which costs nothing.
	barringFrame = append(slices.Clone(barringEnrolment), engine.Blurred)
)

// judge splits the reasons against a face into those that bar its use and those
// to warn of.
func judge(f engine.Face, bar []engine.Reason) (barred, warnings []engine.Reason) {
	for _, r := range f.Quality.Reasons {
		if slices.Contains(bar, r) {
			barred = append(barred, r)
		} else {
			warnings = append(warnings, r)
		}
	}
	return barred, warnings
}

// found is the face of an image that is meant.
type found struct {
	engine.Face
	faces    int
	warnings []string
}

// find returns the face that is meant in an image. op and number name the image
// in errors; number is 0 where there is only one.
func (s *Service) find(ctx context.Context, img image.Image, op string, number int, bar []engine.Reason) (found, error) {
	fail := func(err error, hint string) (found, error) {
		return found{}, &Error{Op: op, Image: number, Err: err, Hint: hint}
	}
	if img == nil || img.Bounds().Empty() {
		return fail(ErrNoFace, "the image is empty")
	}
	faces, err := s.engine.Detect(ctx, img)
	if err != nil {
		return found{}, fmt.Errorf("%s: %w", op, err)
	}
	f, ambiguous, ok := engine.Dominant(faces)
	switch {
	case !ok:
		return fail(ErrNoFace, "the face must be upright, uncovered and at least a tenth of the picture high")
	case ambiguous:
		return fail(ErrSeveralFaces, "only the person who is meant may stand close to the camera")
	}
	barred, warnings := judge(f, bar)
	if len(barred) > 0 {
		return found{}, &Error{Op: op, Image: number, Err: ErrLowQuality, Reasons: words(barred), Hint: barred[0].Hint()}
	}
	return found{f, len(faces), words(warnings)}, nil
}

func words(reasons []engine.Reason) []string {
	var out []string
	for _, r := range reasons {
		out = append(out, string(r))
	}
	return out
}

// person reads a person of a merchant, and the merchant.
func person(tx *store.Tx, op string, m store.MerchantID, id store.PersonID) (store.Person, store.Merchant, error) {
	p, err := store.GetOf[store.Person](tx, m, id)
	if err != nil {
		return p, store.Merchant{}, unknown(op, err)
	}
	merchant, err := store.Get[store.Merchant](tx, m)
	return p, merchant, unknown(op, err)
}
