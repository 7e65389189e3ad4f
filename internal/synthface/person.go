package synthface

// Person is somebody who does not exist. Safe for concurrent use: the mesh is
// built on the first render and shared from then on (about 5 MB).
type Person struct {
	Name string
	Seed int64
}

// NewPerson draws a person from a seed: the same seed is the same person.
func NewPerson(seed int64) *Person {
	return &Person{Seed: seed}
}
