package engine

import (
	"cmp"
	"slices"
	"sync"

	"github.com/cypherface/edge/engine/scan"
)

// Hit is a person found in a Gallery.
type Hit struct {
	ID    string
	Score float64 // cosine with the probe
}

// Gallery finds the templates most like a probe by comparing it with every one
// of them: exact, at the speed of memory. Many may search while one changes it.
type Gallery struct {
	dim int

	mu   sync.RWMutex
	rows *scan.Rows     // templates, one behind the other
	ids  []string       // of each row
	at   map[string]int // id → row
}

// NewGallery returns an empty gallery for templates of length dim.
func NewGallery(dim int) *Gallery {
	return &Gallery{dim: dim, rows: scan.NewRows(dim), at: make(map[string]int)}
}

// Len is the number of templates.
func (g *Gallery) Len() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.ids)
}

// Add puts a template into the gallery, in place of the one with the same id.
// It reports false for a template of another length, which it leaves out.
func (g *Gallery) Add(id string, t Template) bool {
	if len(t) != g.dim {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i, ok := g.at[id]; ok {
		g.rows.Set(i, t)
		return true
	}
	g.at[id] = len(g.ids)
	g.ids = append(g.ids, id)
	g.rows.Append(t)
	return true
}

// Remove takes a template out and overwrites its memory; an unknown id is
// nothing.
func (g *Gallery) Remove(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i, ok := g.at[id]
	if !ok {
		return
	}
	last := len(g.ids) - 1
	g.rows.RemoveSwap(i)
	g.ids[i] = g.ids[last]
	g.at[g.ids[i]] = i
	g.ids[last] = ""
	g.ids = g.ids[:last]
	delete(g.at, id)
}

// Search returns the k best hits, best first; hits of the same score are in the
// order of their ids. It is exact.
func (g *Gallery) Search(probe Template, k int) []Hit {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if len(probe) != g.dim || k < 1 {
		return nil
	}
	best := g.rows.Top(probe, k)
	hits := make([]Hit, len(best))
	for i, b := range best {
		hits[i] = Hit{g.ids[b.Row], min(max(float64(b.Score), -1), 1)}
	}
	slices.SortStableFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	return hits
}
