package verify

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/store"
)

// gallery holds the templates of a merchant's people.
type gallery struct {
	*engine.Gallery
	impostors impostors
}

// galleries holds a gallery for each merchant, in one space. What it holds
// follows from the store alone: a person is in it when he is enrolled and has a
// template of the space.
type galleries struct {
	store store.Store
	space string
	dim   int
	log   *slog.Logger

	mu sync.Mutex // protects the map; held by load, so that no change is lost to it
	m  map[store.MerchantID]*gallery
}

func newGalleries(st store.Store, space string, dim int, log *slog.Logger) *galleries {
	return &galleries{store: st, space: space, dim: dim, log: log, m: map[store.MerchantID]*gallery{}}
}

// of returns the gallery of a merchant, empty where nobody is enrolled.
func (g *galleries) of(m store.MerchantID) *gallery {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.locked(m)
}

func (g *galleries) locked(m store.MerchantID) *gallery {
	one := g.m[m]
	if one == nil {
		one = &gallery{Gallery: engine.NewGallery(g.dim)}
		g.m[m] = one
	}
	return one
}

func (g *galleries) people() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, one := range g.m {
		n += one.Len()
	}
	return n
}

// load reads all templates of the space. Who is damaged is left out, so that the
// others can be recognised; the store tells of it.
func (g *galleries) load(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var damage error
	err := g.store.View(ctx, func(tx *store.Tx) error {
		for m, err := range store.All(tx, store.Merchants) {
			if err != nil {
				return err
			}
			for t, err := range store.All(tx, store.TemplatesBySpace, store.Plain(m.ID), store.Plain(g.space)) {
				if err == nil {
					_, err = g.put(tx, m.ID, t.Person, &t)
				}
				switch {
				case damaged(err):
					damage = err
					g.log.Error("a damaged person is left out", "err", err)
				case err != nil:
					return err
				}
			}
		}
		return ctx.Err()
	})
	if err == nil && damage != nil {
		_ = g.store.View(ctx, func(*store.Tx) error { return damage }) // has it noticed
	}
	return err
}

// put brings one person in step with the store; t is his template where the
// caller has it. lacking says that he is enrolled and has none.
func (g *galleries) put(tx *store.Tx, m store.MerchantID, id store.PersonID, t *store.Template) (lacking bool, err error) {
	p, err := store.GetOf[store.Person](tx, m, id)
	enrolled := err == nil && p.Status == store.PersonEnrolled
	if enrolled && t == nil {
		var read store.Template
		read, err = store.Get[store.Template](tx, store.NewTemplateID(id, g.space))
		t, lacking = &read, errors.Is(err, store.ErrNotFound)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, &store.RecordError{Kind: store.KindPerson, ID: string(id), Err: err}
	}
	if err != nil || !enrolled {
		g.locked(m).Remove(string(id))
		return lacking, nil
	}
	if !g.locked(m).Add(string(id), t.Vector) {
		g.log.Warn("template left out", "person", id, "length", len(t.Vector), "want", g.dim)
	}
	return false, nil
}

// changedPeople are the people whose record or templates a commit changed.
func changedPeople(c store.Commit) map[store.PersonID]store.MerchantID {
	changed := map[store.PersonID]store.MerchantID{}
	for _, e := range c.Changes {
		switch e.Kind {
		case store.KindPerson:
			changed[store.PersonID(e.ID)] = e.Merchant
		case store.KindTemplate:
			id, _, _ := strings.Cut(e.ID, ".")
			changed[store.PersonID(id)] = e.Merchant
		}
	}
	return changed
}

// follow brings the people whom a commit changed in step. It reads them anew,
// so that the order of commits does not matter. lacking says that somebody is
// enrolled and has no template.
func (g *galleries) follow(changed map[store.PersonID]store.MerchantID) (lacking bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.store.View(context.Background(), func(tx *store.Tx) error {
		for id, m := range changed {
			one, err := g.put(tx, m, id, nil)
			if err != nil {
				return err
			}
			lacking = lacking || one
		}
		return nil
	})
	if err != nil {
		// Better unknown than known by a template that may be erased.
		g.log.Error("gallery fell behind the store", "err", err)
		for id, m := range changed {
			g.locked(m).Remove(string(id))
		}
	}
	return lacking
}
