// Package scan multiplies one vector with many, at the speed at which memory
// can be read: the exact search of a gallery.
//
// The kernel is C where there is a C compiler (AVX2 with FMA on x86 when the
// processor has it, NEON on arm64) and Go elsewhere. The package knows nothing
// of faces.
package scan

import (
	"math"
	"slices"
)

// Rows are vectors of one length, one behind the other in memory. They are not
// safe for concurrent changes.
type Rows struct {
	dim    int // as the caller counts
	stride int // as they lie: a multiple of lane
	data   []float32
	n      int
}

// lane is how many numbers the kernels take at a time; rows are padded to it.
const lane = 16

// NewRows returns no rows of length dim.
func NewRows(dim int) *Rows {
	return &Rows{dim: dim, stride: (dim + lane - 1) / lane * lane}
}

// Len is the number of rows.
func (r *Rows) Len() int { return r.n }

// Append adds a row, which must have the length of the others.
func (r *Rows) Append(v []float32) {
	if need := (r.n + 1) * r.stride; need > len(r.data) {
		// Aligned memory is not grown in place: an eighth at a time keeps
		// both copying and slack small.
		bigger := aligned(max(need, len(r.data)+len(r.data)/8/r.stride*r.stride, 64*r.stride))
		copy(bigger, r.data)
		clear(r.data)
		r.data = bigger
	}
	r.n++
	r.Set(r.n-1, v)
}

// Set replaces row i.
func (r *Rows) Set(i int, v []float32) { copy(r.row(i)[:r.dim], v) }

// RemoveSwap puts the last row in the place of row i and overwrites it.
func (r *Rows) RemoveSwap(i int) {
	copy(r.row(i), r.row(r.n-1))
	clear(r.row(r.n - 1))
	r.n--
}

func (r *Rows) row(i int) []float32 { return r.data[i*r.stride:][:r.stride] }

// Best is a row and its product with the probe.
type Best struct {
	Row   int
	Score float32
}

// block is how many products are computed before they are looked at: small
// enough to stay in the first cache.
const block = 512

// Top returns the k rows with the largest product with probe, largest first.
func (r *Rows) Top(probe []float32, k int) []Best {
	k = min(k, r.n)
	if k <= 0 || len(probe) != r.dim {
		return nil
	}
	p := aligned(r.stride)
	copy(p, probe)
	var scores [block]float32
	best := make([]Best, 0, k)
	for from := 0; from < r.n; from += block {
		n := min(block, r.n-from)
		dot(scores[:n], r.data[from*r.stride:][:n*r.stride], p)
		for i, s := range scores[:n] {
			if len(best) < k || s > best[len(best)-1].Score {
				best = insert(best, k, Best{from + i, s})
			}
		}
	}
	return best
}

// tile is how many rows stay in the cache while many others are multiplied with
// them, so that a product costs arithmetic and no reading of memory.
const tile = 64

// Before returns for each of the rows from up to to the row before it with the largest
// product, the first of several; row 0 has none, which is Row −1. All rows against
// all others is Before(0, Len()), or in parts for who has more to do meanwhile.
func (r *Rows) Before(from, to int) []Best {
	best := make([]Best, to-from)
	for i := range best {
		best[i] = Best{-1, float32(math.Inf(-1))}
	}
	var scores [tile]float32
	for at := 0; at < to; at += tile {
		for i := max(from, at+1); i < to; i++ {
			n := min(tile, i-at)
			dot(scores[:n], r.data[at*r.stride:][:n*r.stride], r.row(i))
			for j, s := range scores[:n] {
				if s > best[i-from].Score {
					best[i-from] = Best{at + j, s}
				}
			}
		}
	}
	return best
}

// Read reads every row once, as fast as this build can, and returns their sum:
// the yardstick for Top, which cannot be faster than memory.
func (r *Rows) Read() float32 { return sum(r.data[:r.n*r.stride]) }

// insert puts b into best, which is sorted and holds at most k.
func insert(best []Best, k int, b Best) []Best {
	i, _ := slices.BinarySearchFunc(best, b.Score, func(x Best, s float32) int {
		if x.Score >= s {
			return -1
		}
		return 1
	})
	if len(best) == k {
		copy(best[i+1:], best[i:k-1])
		best[i] = b
		return best
	}
	return slices.Insert(best, i, b)
}

// dotGo is the kernel without C.
func dotGo(out, rows, probe []float32) {
	n := len(probe)
	for i := range out {
		row := rows[i*n:][:n]
		var a, b, c, d float32
		for j := 0; j+4 <= n; j += 4 {
			a += row[j] * probe[j]
			b += row[j+1] * probe[j+1]
			c += row[j+2] * probe[j+2]
			d += row[j+3] * probe[j+3]
		}
		out[i] = a + b + c + d
	}
}
