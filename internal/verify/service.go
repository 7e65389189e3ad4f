package verify

import (
	"context"
	"errors"
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
	Attack(ctx context.Context, img image.Image, f engine.Face) (float64, error) // NaN: it cannot tell
	Space() string
	Dim() int
}

var _ Engine = (*engine.Engine)(nil)

// Config is what a Service is made of.
type Config struct {
	Store       store.Store
	Pack        string // its name, for people
	Engine      Engine
	Calibration *models.Calibration // of the engine's pack
	Release     func()              // see Pack
	Log         *slog.Logger        // nil discards

	// Old is the pack in whose space people answer until everybody is embedded in
	// that of the Engine: see Serving. Without it, nobody is found by a search
	// until his turn has come. One of another space is not used.
	Old *Pack
	// Pace is shared by services that run on the same processor; nil: its own.
	Pace *Pace

	// Chance draws the challenges of doors, 0 ≤ Chance(n) < n; nil: nobody can
	// foretell them.
	Chance func(n int) int

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
	*common
	*space        // in which this value works; nil in the one that New returns: see enter
	beside *space // beside it, the space to come, if there is one
}

// common is what a service has in all spaces.
type common struct {
	store   store.Store
	log     *slog.Logger
	unwatch func()
	spaces
	migrating
	arriving arriving
	pace     *Pace

	chance        func(int) int
	allowWhenFull bool
	gaps          *gaps
}

// New loads the galleries of all merchants and keeps them in step with the
// store until Close.
func New(ctx context.Context, c Config) (*Service, error) {
	s := &Service{common: &common{store: c.Store, log: c.Log, pace: c.Pace, chance: c.Chance, allowWhenFull: c.AllowWhenFull}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.pace == nil {
		s.pace = new(Pace)
	}
	s.migrating.init()
	var err error
	if s.gaps, err = openGaps(c.GapFile, s.log); err != nil {
		return nil, err
	}
	if err := s.openSpaces(ctx, c); err != nil {
		return nil, errors.Join(err, s.gaps.close())
	}
	// What was read to fill the galleries is not needed again.
	if r, ok := s.store.(interface{ Relax() error }); ok {
		if err := r.Relax(); err != nil {
			s.log.Warn("memory of the store not given back", "err", err)
		}
	}
	return s, nil
}

// openSpaces finds out which spaces there are, and fills their galleries.
func (s *Service) openSpaces(ctx context.Context, c Config) error {
	want := Pack{c.Pack, c.Engine, c.Calibration, c.Release}
	answers, err := Serving(ctx, s.store, want.Engine.Space())
	if err != nil {
		return fmt.Errorf("find the space that answers: %w", err)
	}
	s.serving = newSpace(s.store, want, s.log)
	both := c.Old != nil && answers != s.serving.id() && c.Old.Engine.Space() == answers
	if both {
		s.next, s.serving = s.serving, newSpace(s.store, *c.Old, s.log)
	} else if c.Old != nil && c.Old.Release != nil {
		c.Old.Release()
	}
	s.unwatch = s.store.Watch(s.follow)
	err = s.serving.galleries.load(ctx)
	if err == nil && both {
		err = s.next.galleries.load(ctx)
	}
	if err != nil {
		s.unwatch()
		return fmt.Errorf("load galleries: %w", err)
	}
	if err := s.settle(ctx, answers, want.Engine.Space()); err != nil {
		s.unwatch()
		return fmt.Errorf("note the change of the pack: %w", err)
	}
	return nil
}

// Close stops following the store, which it leaves open, and lets go of the
// networks.
func (s *Service) Close() {
	s.unwatch()
	s.mu.RLock()
	all := []*space{s.serving, s.next}
	s.mu.RUnlock()
	for _, sp := range all {
		if sp != nil {
			sp.retire()
		}
	}
	if err := s.gaps.close(); err != nil {
		s.log.Warn("close gaps", "err", err)
	}
}

// People is how many can be recognised, all merchants together.
func (s *Service) People() int {
	in, leave := s.hold()
	defer leave()
	return in.galleries.people()
}

// Gallery is how many people of a merchant can be recognised.
func (s *Service) Gallery(m store.MerchantID) int {
	in, leave := s.hold()
	defer leave()
	return in.galleries.of(m).Len()
}

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
