package verify

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"math"
	"slices"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/store"
)

// actor is the box itself in the events of this package.
var actor = store.Actor{Kind: store.ActorSystem, ID: "verify"}

// Reembed makes the missing templates of the space that answers from the crops.
// progress, which may be nil, is told how many of how many were looked at. One
// person's failure is logged and does not stop it. Keep does this and more for as
// long as the service lives.
func (s *Service) Reembed(ctx context.Context, progress func(done, total int)) error {
	in, leave := s.hold()
	defer leave()
	failed, err := in.fill(ctx, progress)
	if err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("embed anew: %d people failed: enrol them again", failed)
	}
	return nil
}

// enrolledPeople are those whom a search should find, all merchants together. Who
// is damaged is left out, of whom the store tells.
func enrolledPeople(tx *store.Tx) iter.Seq2[store.Person, error] {
	return func(yield func(store.Person, error) bool) {
		for m, err := range store.All(tx, store.Merchants) {
			if err != nil {
				yield(store.Person{}, err)
				return
			}
			for p, err := range store.All(tx, store.PersonsByMerchant, store.Plain(m.ID)) {
				if damaged(err) || err == nil && p.Status != store.PersonEnrolled {
					continue
				}
				if !yield(p, err) || err != nil {
					return
				}
			}
		}
	}
}

// damaged says that one record alone cannot be read.
func damaged(err error) bool {
	var one *store.RecordError
	return errors.As(err, &one) && errors.Is(err, store.ErrDamaged)
}

// member is somebody by his ids.
type member struct {
	person   store.PersonID
	merchant store.MerchantID
}

// withoutTemplate lists the enrolled people without a template of the space, and
// says how many are enrolled.
func (s *Service) withoutTemplate(ctx context.Context) (missing []member, enrolled int, err error) {
	err = s.store.View(ctx, func(tx *store.Tx) error {
		for p, err := range enrolledPeople(tx) {
			if err != nil {
				return err
			}
			enrolled++
			_, err := store.Get[store.Template](tx, store.NewTemplateID(p.ID, s.id()))
			if errors.Is(err, store.ErrNotFound) {
				missing = append(missing, member{p.ID, p.Merchant})
			} else if err != nil && !errors.Is(err, store.ErrDamaged) {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	return missing, enrolled, err
}

// remade is a template made from kept crops, and the crops it was made from.
type remade struct {
	store.Template
	crops []store.Crop
}

// remake makes a person's template of the space from his crops. The error is
// ErrNotEnrolled where there are none.
func (s *Service) remake(ctx context.Context, who member) (*remade, error) {
	var crops []store.Crop
	err := s.store.View(ctx, func(tx *store.Tx) (err error) {
		crops, err = cropsOf(tx, who.person)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(crops) == 0 {
		return nil, &Error{Op: "embed", Err: ErrNotEnrolled, Hint: "no crops are kept of the person: enrol again"}
	}
	vector, err := s.embedCrops(ctx, crops)
	if err != nil {
		return nil, err
	}
	return &remade{crops: crops, Template: store.Template{ID: store.NewTemplateID(who.person, s.id()), Merchant: who.merchant, Person: who.person,
		Space: s.id(), Crops: len(crops), Vector: vector}}, nil
}

// put stores the template, unless the person was enrolled anew or erased
// meanwhile, which made or removed it, or somebody else was faster.
func (r *remade) put(tx *store.Tx) error {
	now, err := cropsOf(tx, r.Person)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(now, r.crops, func(a, b store.Crop) bool { return a.ID == b.ID && a.Rev == b.Rev }) {
		return nil
	}
	if _, err := store.Get[store.Template](tx, r.ID); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	t := r.Template
	return store.Put(tx, &t)
}

// embedAnew makes the template of somebody who cannot wait for his turn.
func (s *Service) embedAnew(ctx context.Context, who member) error {
	r, err := s.remake(ctx, who)
	if err != nil {
		return err
	}
	return s.store.Update(ctx, store.Cause{Actor: actor}, r.put)
}

// embedCrops makes one template of crops.
func (s *Service) embedCrops(ctx context.Context, crops []store.Crop) (engine.Template, error) {
	var templates []engine.Template
	for _, c := range crops {
		t, err := s.embedCrop(ctx, c)
		if err != nil {
			return nil, err
		}
		templates = append(templates, t)
	}
	t := engine.Fuse(templates...)
	if t == nil {
		return nil, fmt.Errorf("embed crops: %w", errCrop)
	}
	return t, nil
}

// errCrop: a kept crop cannot be used.
var errCrop = errors.New("the kept crop cannot be used")

// embedCrop makes the template of a kept crop.
func (s *Service) embedCrop(ctx context.Context, c store.Crop) (engine.Template, error) {
	if len(c.Landmarks) != 5 {
		return nil, fmt.Errorf("embed crop %s: %w: %d landmarks, want 5", c.ID, errCrop, len(c.Landmarks))
	}
	img, err := picture.DecodeJPEG(c.Image, nil, picture.Limits{Pixels: engine.CropSize * engine.CropSize})
	if err != nil {
		return nil, fmt.Errorf("embed crop %s: %w: %w", c.ID, errCrop, err)
	}
	if img.Rect != image.Rect(0, 0, engine.CropSize, engine.CropSize) {
		return nil, fmt.Errorf("embed crop %s: %w: %v pixels", c.ID, errCrop, img.Rect.Size())
	}
	crop := engine.Crop{Image: img}
	for i, p := range c.Landmarks {
		crop.Landmarks[i] = engine.Point{X: float64(p.X), Y: float64(p.Y)}
	}
	if c.Space != s.id() {
		if err := s.align(ctx, &crop); err != nil {
			return nil, fmt.Errorf("embed crop %s: %w", c.ID, err)
		}
	}
	t, err := s.engine.EmbedCrop(ctx, crop)
	if err != nil {
		return nil, fmt.Errorf("embed crop %s: %w", c.ID, err)
	}
	return t, nil
}

// sameEyes is how far the eyes of one face may lie apart as two packs find them,
// in pixels of a crop, whose eyes are engine.CropEyes apart.
const sameEyes = engine.CropEyes / 3

// align finds the landmarks of a crop anew, with the networks of the space: those
// that another pack found lie a little elsewhere. Where the face is not found
// again they stay.
func (s *Service) align(ctx context.Context, c *engine.Crop) error {
	faces, err := s.engine.Detect(ctx, c.Image)
	if err != nil {
		return err
	}
	nearest := float64(sameEyes)
	was := c.Landmarks
	for _, f := range faces {
		off := max(math.Hypot(f.Landmarks[0].X-was[0].X, f.Landmarks[0].Y-was[0].Y), math.Hypot(f.Landmarks[1].X-was[1].X, f.Landmarks[1].Y-was[1].Y))
		if off < nearest {
			nearest, c.Landmarks = off, f.Landmarks
		}
	}
	return nil
}
