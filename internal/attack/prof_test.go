package attack

import "testing"

func BenchmarkLive(b *testing.B) {
	var s Studio
	a := Tuning(40).Attempt(Live, 3, true)
	for b.Loop() {
		if _, err := s.Film(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
}
func BenchmarkTablet(b *testing.B) {
	var s Studio
	a := Tuning(40).Attempt(Tablet, 3, true)
	s.Film(b.Context(), a)
	for b.Loop() {
		if _, err := s.Film(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
}
