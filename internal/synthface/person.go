package synthface

import "sync"

// Person is somebody who does not exist. Safe for concurrent use: the mesh is
// built on the first render, in a fraction of a second, and shared from then
// on (some 5 MB).
type Person struct {
	Name string // may be empty
	Seed int64

	once  sync.Once
	built *model
}

// NewPerson draws a person from a seed: the same seed is the same person.
func NewPerson(seed int64) *Person { return &Person{Seed: seed} }

// model is the person's mesh, built by who asks first; the others wait.
func (p *Person) model() *model {
	p.once.Do(func() { p.built = newModel(newTraits(p.Seed)) })
	return p.built
}
