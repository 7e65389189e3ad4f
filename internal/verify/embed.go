package verify

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/store"
)

// actor is the box itself in the events of this package.
var actor = store.Actor{Kind: store.ActorSystem, ID: "verify"}

// Reembed makes the missing templates of the present space from the crops: all
// of them after a change of the pack. It is for the background; people come
// back into their gallery one by one, and someone who is verified before his
// turn is embedded at once. progress, which may be nil, is told how many of how
// many were looked at. One person's failure is logged and does not stop it.
func (s *Service) Reembed(ctx context.Context, progress func(done, total int)) error {
	missing, err := s.withoutTemplate(ctx)
	if err != nil {
		return fmt.Errorf("find people to embed anew: %w", err)
	}
	failed := 0
	for i, p := range missing {
		if err := s.embedAnew(ctx, p.Merchant, p.ID); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			failed++
			s.log.Warn("person not embedded anew", "person", p.ID, "err", err)
		}
		if progress != nil {
			progress(i+1, len(missing))
		}
	}
	if failed > 0 {
		return fmt.Errorf("embed anew: %d of %d people failed: enrol them again", failed, len(missing))
	}
	return nil
}

// withoutTemplate lists the enrolled people without a template of the space.
func (s *Service) withoutTemplate(ctx context.Context) (missing []store.Person, err error) {
	err = s.store.View(ctx, func(tx *store.Tx) error {
		for m, err := range store.All(tx, store.Merchants) {
			if err != nil {
				return err
			}
			for p, err := range store.All(tx, store.PersonsByMerchant, store.Plain(m.ID)) {
				if err != nil {
					return err
				}
				if p.Status != store.PersonEnrolled {
					continue
				}
				_, err := store.Get[store.Template](tx, store.NewTemplateID(p.ID, s.engine.Space()))
				if errors.Is(err, store.ErrNotFound) {
					missing = append(missing, store.Person{ID: p.ID, Merchant: p.Merchant})
				} else if err != nil {
					return err
				}
			}
		}
		return ctx.Err()
	})
	return missing, err
}

// embedAnew makes a person's template of the present space from his crops. The
// error is ErrNotEnrolled where there are none.
func (s *Service) embedAnew(ctx context.Context, m store.MerchantID, id store.PersonID) error {
	var crops []store.Crop
	err := s.store.View(ctx, func(tx *store.Tx) (err error) {
		crops, err = cropsOf(tx, id)
		return err
	})
	if err != nil {
		return err
	}
	if len(crops) == 0 {
		return &Error{Op: "embed", Err: ErrNotEnrolled, Hint: "no crops are kept of the person: enrol again"}
	}
	var templates []engine.Template
	for _, c := range crops {
		t, err := s.embedCrop(ctx, c)
		if err != nil {
			return err
		}
		templates = append(templates, t)
	}
	rec := store.Template{ID: store.NewTemplateID(id, s.engine.Space()), Merchant: m, Person: id,
		Space: s.engine.Space(), Crops: len(crops), Vector: engine.Fuse(templates...)}
	return s.store.Update(ctx, store.Cause{Actor: actor}, func(tx *store.Tx) error {
		now, err := cropsOf(tx, id)
		if err != nil {
			return err
		}
		if !slices.EqualFunc(now, crops, func(a, b store.Crop) bool { return a.ID == b.ID }) {
			return nil // enrolled anew or erased meanwhile; that made or removed the template
		}
		if _, err := store.Get[store.Template](tx, rec.ID); !errors.Is(err, store.ErrNotFound) {
			return err // somebody else was faster, or a real error
		}
		put := rec
		return store.Put(tx, &put)
	})
}

// embedCrop makes the template of a kept crop.
func (s *Service) embedCrop(ctx context.Context, c store.Crop) (engine.Template, error) {
	if len(c.Landmarks) != 5 {
		return nil, fmt.Errorf("embed crop %s: %d landmarks, want 5", c.ID, len(c.Landmarks))
	}
	img, err := picture.DecodeJPEG(c.Image, nil, picture.Limits{Pixels: engine.CropSize * engine.CropSize})
	if err != nil {
		return nil, fmt.Errorf("embed crop %s: %w", c.ID, err)
	}
	if img.Rect != image.Rect(0, 0, engine.CropSize, engine.CropSize) {
		return nil, fmt.Errorf("embed crop %s: %v pixels", c.ID, img.Rect.Size())
	}
	crop := engine.Crop{Image: img}
	for i, p := range c.Landmarks {
		crop.Landmarks[i] = engine.Point{X: float64(p.X), Y: float64(p.Y)}
	}
	t, err := s.engine.EmbedCrop(ctx, crop)
	if err != nil {
		return nil, fmt.Errorf("embed crop %s: %w", c.ID, err)
	}
	return t, nil
}
