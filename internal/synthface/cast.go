package synthface

// Cast is the troupe of the demo camera: people with names whose faces are far
// apart for the networks that this project uses. The order is the order of
// their entrance. Each call returns new values; keep them to share meshes.
func Cast() []*Person {
	var cast []*Person
	for _, c := range []struct {
		name string
		seed int64
	}{{"Ada", 1}, {"Bruno", 2}} {
		p := NewPerson(c.seed)
		p.Name = c.name
		cast = append(cast, p)
	}
	return cast
}
