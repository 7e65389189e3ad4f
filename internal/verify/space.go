package verify

import (
	"context"
	"errors"
	"image"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
)

// Pack is what recognises people in one embedding space.
type Pack struct {
	Name        string // for people
	Engine      Engine
	Calibration *models.Calibration
	// Release, when set, is called once, when the service needs the networks no
	// more.
	Release func()
}

// space is a pack at work, with everybody who has a template of it.
type space struct {
	pack      string
	engine    Engine
	cal       *models.Calibration
	galleries *galleries
	progress  progress

	// use is held for reading by who works in the space; retire waits for them, and
	// the background, which takes long, leaves when it sees leaving.
	use     sync.RWMutex
	leaving atomic.Bool
	release func()
}

func newSpace(st store.Store, p Pack, log *slog.Logger) *space {
	return &space{pack: p.Name, engine: p.Engine, cal: p.Calibration, release: p.Release,
		galleries: newGalleries(st, p.Engine.Space(), p.Engine.Dim(), log)}
}

// id names the space.
func (sp *space) id() string { return sp.engine.Space() }

// retire lets go of the networks once nobody works in the space any more. Nobody
// may begin to: it is no longer to be found.
func (sp *space) retire() {
	sp.leaving.Store(true)
	sp.use.Lock()
	defer sp.use.Unlock()
	if sp.release != nil {
		sp.release()
		sp.release = nil
	}
}

// spaces are those that a service works in. While people are embedded anew there
// are two: serving answers, and next is being filled.
type spaces struct {
	mu      sync.RWMutex // protects the fields below
	serving *space
	next    *space // nil: there is one space alone
}

// enter returns the service as it works in the space that serves, for one call:
// it stays as it is, and its networks there, until leave. The background gives
// way meanwhile.
func (s *Service) enter() (in *Service, leave func()) {
	if s.space != nil {
		return s, func() {} // within a call
	}
	in, letGo := s.hold()
	s.pace.begin()
	return in, func() { s.pace.end(); letGo() }
}

// hold is enter for the background.
func (s *Service) hold() (in *Service, leave func()) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	in = &Service{common: s.common, space: s.serving, beside: s.next}
	held := []*space{in.space}
	if in.beside != nil {
		held = append(held, in.beside)
	}
	for _, sp := range held {
		sp.use.RLock()
	}
	return in, func() {
		for _, sp := range held {
			sp.use.RUnlock()
		}
	}
}

// in is the service as it works in another of its spaces.
func (s *Service) in(sp *space) *Service { return &Service{common: s.common, space: sp} }

// where is the service as it compares with a person: in the space that serves,
// unless the person has a template in the one to come alone.
func (s *Service) where(ctx context.Context, id store.PersonID) (*Service, error) {
	if s.beside == nil {
		return s, nil
	}
	has := func(tx *store.Tx, sp *space) (bool, error) {
		_, err := store.Get[store.Template](tx, store.NewTemplateID(id, sp.id()))
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	there := s
	err := s.store.View(ctx, func(tx *store.Tx) error {
		here, err := has(tx, s.space)
		if err != nil || here {
			return err
		}
		if elsewhere, err := has(tx, s.beside); err != nil || !elsewhere {
			return err
		}
		there = s.in(s.beside)
		return nil
	})
	return there, err
}

// Detect finds the faces of an image, the dominant one first, with the networks
// that serve.
func (s *Service) Detect(ctx context.Context, img image.Image) ([]engine.Face, error) {
	in, leave := s.enter()
	defer leave()
	return in.engine.Detect(ctx, img)
}

// Pack names the pack that serves, and its error rates.
func (s *Service) Pack() (name string, c *models.Calibration) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.serving.pack, s.serving.cal
}

// follow keeps the galleries in step with the store.
func (s *Service) follow(c store.Commit) {
	s.mu.RLock()
	serving, next := s.serving, s.next
	s.mu.RUnlock()
	changed := changedPeople(c)
	if len(changed) == 0 {
		return
	}
	lacking := serving.galleries.follow(changed)
	if next != nil && next.galleries.follow(changed) {
		lacking = true
	}
	if lacking {
		s.wake()
	}
}

// Serving says in which space the people of a store answer, where the box wants
// want: that which the last change of the pack says; before any, the one in which
// most enrolled people have a template.
func Serving(ctx context.Context, st store.Store, want string) (space string, err error) {
	err = st.View(ctx, func(tx *store.Tx) error {
		m, err := store.Get[store.Migration](tx, store.TheMigration)
		if err == nil {
			space = m.Serving()
			return nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		people := map[string]int{}
		for p, err := range enrolledPeople(tx) {
			if err != nil {
				return err
			}
			for t, err := range store.All(tx, store.TemplatesByPerson, store.Plain(p.ID)) {
				if damaged(err) {
					continue
				} else if err != nil {
					return err
				}
				people[t.Space]++
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		space = want
		for one, n := range people {
			if n > people[space] || n == people[space] && space != want && one < space {
				space = one
			}
		}
		return nil
	})
	return space, err
}
