package synthface

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// mesh is a surface at rest. Triangles are wound counter-clockwise as seen
// from outside.
type mesh struct {
	pos, nrm []vec
	tri      [][3]int32
}

// grid is a lattice with its own spacing along each axis, finer where more is
// to be seen.
type grid struct{ x, y, z []float64 }

// band asks for cells of the given size up to a coordinate.
type band struct{ upTo, step float64 }

// axis is a row of coordinates from a start through bands of cells.
func axis(from float64, bands ...band) []float64 {
	at := []float64{from}
	for _, b := range bands {
		n := max(1, math.Round((b.upTo-from)/b.step))
		for i := 1.0; i <= n; i++ {
			at = append(at, from+(b.upTo-from)*i/n)
		}
		from = b.upTo
	}
	return at
}

// netter extracts the zero surface of a field on a grid by surface nets: one
// vertex in each cell that the surface passes, one quad for each lattice edge
// that it crosses (Gibson, "Constrained elastic surface nets", 1998).
type netter struct {
	grid
	field      func(vec) float64
	nx, ny, nz int
	near       []bool    // cells that may hold the surface
	value      []float32 // field at the lattice points beside those cells
	vertex     []int32   // index of a cell's vertex + 1
}

// extract meshes the surface of a field within a grid. A surface that leaves
// the grid ends at its edge.
func extract(g grid, field func(vec) float64) *mesh {
	n := &netter{grid: g, field: field, nx: len(g.x) - 1, ny: len(g.y) - 1, nz: len(g.z) - 1}
	n.near = make([]bool, n.nx*n.ny*n.nz)
	n.search(0, n.nx, 0, n.ny, 0, n.nz)
	n.sample()
	m := n.vertices()
	n.quads(m)
	polish(m, field)
	return m
}

func (n *netter) cell(i, j, k int) int  { return (k*n.ny+j)*n.nx + i }
func (n *netter) point(i, j, k int) int { return (k*(n.ny+1)+j)*(n.nx+1) + i }

// search halves the box of cells until the field says that the surface is too
// far away, and marks the small boxes that are left.
func (n *netter) search(i0, i1, j0, j1, k0, k1 int) {
	a, b := vec{n.x[i0], n.y[j0], n.z[k0]}, vec{n.x[i1], n.y[j1], n.z[k1]}
	reach := b.sub(a).len() / 2
	// The blended fields are not exact distances: allow for half as much again.
	if math.Abs(n.field(a.lerp(b, .5))) > 1.5*reach+.3 {
		return
	}
	di, dj, dk := i1-i0, j1-j0, k1-k0
	switch {
	case di <= 3 && dj <= 3 && dk <= 3:
		for k := k0; k < k1; k++ {
			for j := j0; j < j1; j++ {
				for i := i0; i < i1; i++ {
					n.near[n.cell(i, j, k)] = true
				}
			}
		}
	case di >= dj && di >= dk:
		m := (i0 + i1) / 2
		n.search(i0, m, j0, j1, k0, k1)
		n.search(m, i1, j0, j1, k0, k1)
	case dj >= dk:
		m := (j0 + j1) / 2
		n.search(i0, i1, j0, m, k0, k1)
		n.search(i0, i1, m, j1, k0, k1)
	default:
		m := (k0 + k1) / 2
		n.search(i0, i1, j0, j1, k0, m)
		n.search(i0, i1, j0, j1, m, k1)
	}
}

// sample evaluates the field at the corners of the marked cells.
func (n *netter) sample() {
	wanted := make([]bool, (n.nx+1)*(n.ny+1)*(n.nz+1))
	n.each(func(i, j, k int) {
		for c := range 8 {
			wanted[n.point(i+c&1, j+c>>1&1, k+c>>2)] = true
		}
	})
	n.value = make([]float32, len(wanted))
	parallel(n.nz+1, func(k int) {
		for j := range n.ny + 1 {
			for i := range n.nx + 1 {
				if at := n.point(i, j, k); wanted[at] {
					n.value[at] = float32(n.field(vec{n.x[i], n.y[j], n.z[k]}))
				}
			}
		}
	})
}

// each visits the marked cells in order.
func (n *netter) each(visit func(i, j, k int)) {
	at := 0
	for k := range n.nz {
		for j := range n.ny {
			for i := range n.nx {
				if n.near[at] {
					visit(i, j, k)
				}
				at++
			}
		}
	}
}

// vertices puts one into each cell with a change of sign between its corners,
// at the mean of the points where its edges are crossed.
func (n *netter) vertices() *mesh {
	m := &mesh{}
	n.vertex = make([]int32, len(n.near))
	n.each(func(i, j, k int) {
		var sum vec
		crossings := 0.0
		for c := range 8 {
			for bit := 1; bit < 8; bit <<= 1 {
				if c&bit != 0 {
					continue
				}
				a, va := n.corner(i, j, k, c)
				b, vb := n.corner(i, j, k, c|bit)
				if (va < 0) != (vb < 0) {
					sum = sum.add(a.lerp(b, va/(va-vb)))
					crossings++
				}
			}
		}
		if crossings > 0 {
			m.pos = append(m.pos, sum.mul(1/crossings))
			n.vertex[n.cell(i, j, k)] = int32(len(m.pos))
		}
	})
	return m
}

// corner c of a cell, its bits the steps along x, y and z: where it is and the
// field there.
func (n *netter) corner(i, j, k, c int) (vec, float64) {
	i, j, k = i+c&1, j+c>>1&1, k+c>>2
	return vec{n.x[i], n.y[j], n.z[k]}, float64(n.value[n.point(i, j, k)])
}

// quads joins the vertices of the four cells around each crossed edge. The
// edge of a cell is the one that leaves its lowest corner along an axis.
func (n *netter) quads(m *mesh) {
	n.each(func(i, j, k int) {
		_, v := n.corner(i, j, k, 0)
		edge := func(bit int, a, b, c, d int32) {
			_, w := n.corner(i, j, k, bit)
			if (v < 0) == (w < 0) || a == 0 || b == 0 || c == 0 || d == 0 {
				return
			}
			if w < v { // the surface faces down the axis
				b, d = d, b
			}
			m.tri = append(m.tri, [3]int32{a - 1, b - 1, c - 1}, [3]int32{a - 1, c - 1, d - 1})
		}
		at := func(i, j, k int) int32 { return n.vertex[n.cell(i, j, k)] }
		if j > 0 && k > 0 {
			edge(1, at(i, j-1, k-1), at(i, j, k-1), at(i, j, k), at(i, j-1, k))
		}
		if i > 0 && k > 0 {
			edge(2, at(i-1, j, k-1), at(i-1, j, k), at(i, j, k), at(i, j, k-1))
		}
		if i > 0 && j > 0 {
			edge(4, at(i-1, j-1, k), at(i, j-1, k), at(i, j, k), at(i-1, j, k))
		}
	})
}

// polish moves the vertices onto the surface and takes their normals from the
// field.
func polish(m *mesh, field func(vec) float64) {
	m.nrm = make([]vec, len(m.pos))
	const block = 512
	parallel((len(m.pos)+block-1)/block, func(b int) {
		for i := b * block; i < min((b+1)*block, len(m.pos)); i++ {
			g := gradient(field, m.pos[i], .05)
			if l := g.len(); l > .2 {
				step := clamp(field(m.pos[i])/l, -.1, .1)
				m.pos[i] = m.pos[i].addScaled(g, -step/l)
			}
			m.nrm[i] = gradient(field, m.pos[i], .04).norm()
		}
	})
}

// gradient is taken from four samples at the corners of a tetrahedron.
func gradient(field func(vec) float64, p vec, h float64) vec {
	a := field(vec{p.X + h, p.Y - h, p.Z - h})
	b := field(vec{p.X - h, p.Y - h, p.Z + h})
	c := field(vec{p.X - h, p.Y + h, p.Z - h})
	d := field(vec{p.X + h, p.Y + h, p.Z + h})
	return vec{a - b - c + d, -a - b + c + d, -a + b - c + d}.mul(1 / (4 * h))
}

// parallel runs work(0) … work(n-1) on all cores and waits for them.
func parallel(n int, work func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				work(i)
			}
		})
	}
	wg.Wait()
}
