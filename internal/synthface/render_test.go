package synthface

import "testing"

func BenchmarkRender(b *testing.B) {
	p := NewPerson(5)
	Render(Scene{}, Subject{Person: p})
	b.ReportAllocs()
	for b.Loop() {
		Render(Scene{}, Subject{Person: p})
	}
}
func BenchmarkModel(b *testing.B) {
	for b.Loop() {
		newModel(newTraits(5))
	}
}
