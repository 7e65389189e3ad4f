package accuracy

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
)

// A scored comparison: mates and the impostors of the tail keep whom they are
// of, which the bootstrap over people needs.
type scored struct {
	score float32
	a, b  int32 // people, as indices into gallery.people
}

// gallery is the templates of a set side by side, for fast comparison.
type gallery struct {
	dim    int
	rows   []float32 // dim numbers an image
	person []int32   // of each row
	names  []string  // image of each row
	people []string
}

// newGallery takes the images that have a template, in the order given.
func newGallery(images []string, t Templates) *gallery {
	g := &gallery{}
	index := make(map[string]int32)
	for _, name := range images {
		v := t[name]
		if v == nil {
			continue
		}
		who := Person(name)
		p, ok := index[who]
		if !ok {
			p = int32(len(g.people))
			index[who] = p
			g.people = append(g.people, who)
		}
		g.dim = len(v)
		g.rows = append(g.rows, v...)
		g.person = append(g.person, p)
		g.names = append(g.names, name)
	}
	return g
}

func (g *gallery) len() int            { return len(g.person) }
func (g *gallery) row(i int) []float32 { return g.rows[i*g.dim : (i+1)*g.dim] }

// impostors counts the comparisons of different people, given how often each
// person counts (nil: once).
func (g *gallery) impostors(weight []float64) float64 {
	perPerson := make([]float64, len(g.people))
	for _, p := range g.person {
		perPerson[p]++
	}
	var sum, squares float64
	for p, n := range perPerson {
		if weight != nil {
			n *= weight[p]
		}
		sum += n
		squares += n * n
	}
	return (sum*sum - squares) / 2
}

// block is the side of the square of comparisons done at a time: two blocks of
// 256-number templates stay in a core's cache.
const block = 64

// eachImpostor calls do with the score of every two images of different
// people, on all cores; do gets the number of the worker that calls it.
func (g *gallery) eachImpostor(do func(worker int, i, j int, score float32)) {
	var wg sync.WaitGroup
	rows := make(chan int)
	for w := range workers() {
		wg.Go(func() {
			for i0 := range rows {
				for j0 := i0; j0 < g.len(); j0 += block {
					g.compareBlock(i0, j0, func(i, j int, s float32) { do(w, i, j, s) })
				}
			}
		})
	}
	for i0 := 0; i0 < g.len(); i0 += block {
		rows <- i0
	}
	close(rows)
	wg.Wait()
}

func (g *gallery) compareBlock(i0, j0 int, do func(i, j int, score float32)) {
	for i := i0; i < min(i0+block, g.len()); i++ {
		a := g.row(i)
		for j := max(i+1, j0); j < min(j0+block, g.len()); j++ {
			if g.person[i] != g.person[j] {
				do(i, j, dot(a, g.row(j)))
			}
		}
	}
}

func workers() int { return runtime.GOMAXPROCS(0) }

// scores are the outcome of all comparisons of a set.
type scores struct {
	mates    []scored // best first
	failed   []scored // mates with an image that has no template; score unused
	impostor []float32
	tail     []scored // the highest impostors with their people, best first
	gallery  *gallery
}

// tailShare of the impostors is kept with their people: what a bootstrap of
// the equal error rate needs, as long as that is not hopeless.
const tailShare = 0.25

// compare runs every comparison of the set. It takes four bytes of memory an
// impostor comparison.
func compare(pairs []Pair, t Templates) *scores {
	s := &scores{gallery: newGallery(Images(pairs), t)}
	s.compareMates(pairs, t)
	parts := make([][]float32, workers())
	s.gallery.eachImpostor(func(w, _, _ int, score float32) { parts[w] = append(parts[w], score) })
	s.impostor = slices.Concat(parts...)
	slices.Sort(s.impostor)
	slices.Reverse(s.impostor)
	s.collectTail()
	return s
}

func (s *scores) compareMates(pairs []Pair, t Templates) {
	index := make(map[string]int32, len(s.gallery.people))
	for i, p := range s.gallery.people {
		index[p] = int32(i)
	}
	for _, p := range pairs {
		if !p.Mate {
			continue
		}
		who, known := index[Person(p.A)]
		if !known {
			// Not one image of the person could be enrolled.
			who = int32(len(s.gallery.people))
			index[Person(p.A)] = who
			s.gallery.people = append(s.gallery.people, Person(p.A))
		}
		a, b := t[p.A], t[p.B]
		if a == nil || b == nil {
			s.failed = append(s.failed, scored{a: who, b: who})
			continue
		}
		s.mates = append(s.mates, scored{dot(a, b), who, who})
	}
	slices.SortFunc(s.mates, bestFirst)
}

func (s *scores) collectTail() {
	if len(s.impostor) == 0 {
		return
	}
	cut := s.impostor[int(tailShare*float64(len(s.impostor)))]
	parts := make([][]scored, workers())
	s.gallery.eachImpostor(func(w, i, j int, score float32) {
		if score >= cut {
			parts[w] = append(parts[w], scored{score, s.gallery.person[i], s.gallery.person[j]})
		}
	})
	s.tail = slices.Concat(parts...)
	slices.SortFunc(s.tail, bestFirst)
}

// bestFirst orders by score; equal scores by their people, so that a run on
// many cores repeats.
func bestFirst(a, b scored) int {
	return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.a, b.a), cmp.Compare(a.b, b.b))
}

// dot is the cosine of two templates of unit length. Four sums at a time keep
// the adder busy; the order is fixed, so a run repeats to the last bit.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}
