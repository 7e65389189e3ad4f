package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

func randomTemplate(rng *rand.Rand, dim int) Template {
	t := make(Template, dim)
	for i := range t {
		t[i] = float32(rng.NormFloat64())
	}
	t.normalise()
	return t
}

// A gallery under random changes answers as a map would.
func TestGalleryAgainstAModel(t *testing.T) {
	for _, dim := range []int{2, 16, 100, 128, 256} {
		rng := rand.New(rand.NewPCG(7, uint64(dim)))
		g, model := NewGallery(dim), map[string]Template{}
		for step := range 1500 {
			id := fmt.Sprint("p", rng.IntN(700))
			switch rng.IntN(4) {
			case 0:
				g.Remove(id)
				delete(model, id)
			default:
				v := randomTemplate(rng, dim)
				g.Add(id, v)
				model[id] = v
			}
			if g.Len() != len(model) {
				t.Fatalf("dim %d, step %d: %d templates, want %d", dim, step, g.Len(), len(model))
			}
			if step%50 == 0 {
				compareSearch(t, g, model, randomTemplate(rng, dim), 1+rng.IntN(12))
			}
		}
	}
}

func compareSearch(t *testing.T, g *Gallery, model map[string]Template, probe Template, k int) {
	t.Helper()
	var all []float64
	for _, v := range model {
		all = append(all, Compare(probe, v))
	}
	slices.Sort(all)
	slices.Reverse(all)
	hits := g.Search(probe, k)
	if len(hits) != min(k, len(model)) {
		t.Fatalf("%d hits of %d, k %d", len(hits), len(model), k)
	}
	for i, h := range hits {
		if math.Abs(h.Score-all[i]) > 1e-5 || math.Abs(h.Score-Compare(probe, model[h.ID])) > 1e-5 {
			t.Fatalf("hit %d is %v, want score %v", i, h, all[i])
		}
	}
}

func TestGalleryRefusesOtherSpaces(t *testing.T) {
	g := NewGallery(4)
	if g.Add("a", Template{1, 0}) || g.Len() != 0 {
		t.Error("a template of another length was added")
	}
	if !g.Add("a", Template{1, 0, 0, 0}) || g.Search(Template{1, 0}, 1) != nil || g.Search(Template{1, 0, 0, 0}, 0) != nil {
		t.Error("a probe of another length found something")
	}
	g.Remove("nobody")
	if hits := g.Search(Template{1, 0, 0, 0}, 5); len(hits) != 1 || hits[0] != (Hit{"a", 1}) {
		t.Errorf("hits %v", hits)
	}
}

func TestGalleryBreaksTiesByID(t *testing.T) {
	g := NewGallery(2)
	for _, id := range []string{"c", "a", "b"} {
		g.Add(id, Template{0, 1})
	}
	hits := g.Search(Template{0, 1}, 3)
	if hits[0].ID != "a" || hits[1].ID != "b" || hits[2].ID != "c" {
		t.Errorf("hits %v", hits)
	}
}

func TestGalleryConcurrently(t *testing.T) {
	g := NewGallery(32)
	rng := rand.New(rand.NewPCG(1, 1))
	probe := randomTemplate(rng, 32)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300 {
				for _, h := range g.Search(probe, 3) {
					if h.ID == "" || h.Score > 1 {
						t.Errorf("hit %v", h)
					}
				}
			}
		})
	}
	for i := range 2000 {
		g.Add(fmt.Sprint(i%300), randomTemplate(rng, 32))
		if i%3 == 0 {
			g.Remove(fmt.Sprint(i % 100))
		}
	}
	wg.Wait()
}

func BenchmarkSearch(b *testing.B) {
	g, rng := NewGallery(256), rand.New(rand.NewPCG(1, 1))
	for i := range 10_000 {
		g.Add(fmt.Sprint(i), randomTemplate(rng, 256))
	}
	probe := randomTemplate(rng, 256)
	for b.Loop() {
		g.Search(probe, 5)
	}
}
