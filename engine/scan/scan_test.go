package scan

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// The kernel of this build agrees with plain arithmetic in float64.
func TestDot(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, dim := range []int{16, 32, 48, 128, 240, 256, 512} {
		for _, n := range []int{0, 1, 2, 7, 513} {
			rows, probe := aligned(n*dim), aligned(dim)
			for i := range rows {
				rows[i] = float32(rng.NormFloat64())
			}
			for i := range probe {
				probe[i] = float32(rng.NormFloat64())
			}
			kernel, plain := make([]float32, n), make([]float32, n)
			dot(kernel, rows, probe)
			dotGo(plain, rows, probe)
			for i := range n {
				var want float64
				for j := range dim {
					want += float64(rows[i*dim+j]) * float64(probe[j])
				}
				if math.Abs(float64(kernel[i])-want) > 1e-4 || math.Abs(float64(plain[i])-want) > 1e-4 {
					t.Fatalf("dim %d, row %d of %d: kernel %v, Go %v, want %v", dim, i, n, kernel[i], plain[i], want)
				}
			}
		}
	}
}

func TestAligned(t *testing.T) {
	for n := range 100 {
		v := aligned(n)
		if len(v) != n || cap(v) != n || n > 0 && uintptr(unsafe.Pointer(&v[0]))%64 != 0 {
			t.Fatalf("%d numbers: len %d, cap %d, at %p", n, len(v), cap(v), v)
		}
	}
}

func TestRemovedRowsLeaveNothingBehind(t *testing.T) {
	r := NewRows(3)
	for i := range 5 {
		r.Append([]float32{float32(i + 1), 1, 1})
	}
	r.RemoveSwap(1)
	r.RemoveSwap(3)
	if r.Len() != 3 {
		t.Fatalf("%d rows", r.Len())
	}
	for i, v := range r.data[3*r.stride:] {
		if v != 0 {
			t.Fatalf("number %d behind the rows is %v", i, v)
		}
	}
	if best := r.Top([]float32{1, 0, 0}, 9); len(best) != 3 || best[0] != (Best{1, 5}) || best[1] != (Best{2, 3}) || best[2] != (Best{0, 1}) {
		t.Errorf("best %v", best)
	}
}

func TestGrowthCopiesAndForgets(t *testing.T) {
	r := NewRows(16)
	first := make([]float32, 16)
	first[0] = 9
	r.Append(first)
	old := r.data
	for range 200 {
		r.Append(make([]float32, 16))
	}
	if &old[0] == &r.data[0] {
		t.Fatal("did not grow")
	}
	if old[0] != 0 {
		t.Error("the memory given up still holds a row")
	}
	if best := r.Top(first, 1); best[0] != (Best{0, 81}) {
		t.Errorf("best %v", best)
	}
}

// In whatever parts, each row finds the best one before it.
func TestBefore(t *testing.T) {
	const dim, n = 20, 3*tile + 5
	rng := rand.New(rand.NewPCG(3, 4))
	r, rows := NewRows(dim), make([][]float32, n)
	for i := range rows {
		rows[i] = make([]float32, dim)
		for j := range rows[i] {
			rows[i][j] = float32(rng.IntN(5) - 2) // exact, and often the same
		}
		r.Append(rows[i])
	}
	for _, part := range []int{1, 7, tile, n} {
		for from := 0; from < n; from += part {
			to := min(from+part, n)
			for k, got := range r.Before(from, to) {
				i, want := from+k, Best{-1, float32(math.Inf(-1))}
				for j := range i {
					var s float32
					for d := range dim {
						s += rows[i][d] * rows[j][d]
					}
					if s > want.Score {
						want = Best{j, s}
					}
				}
				if got != want {
					t.Fatalf("row %d in parts of %d: %v, want %v", i, part, got, want)
				}
			}
		}
	}
}

// All rows against all others.
func BenchmarkBefore(b *testing.B) {
	const dim, n = 512, 10_000
	r, row := NewRows(dim), make([]float32, dim)
	for i := range n {
		row[i%dim] = float32(i)
		r.Append(row)
	}
	for b.Loop() {
		r.Before(0, n)
	}
	b.ReportMetric(float64(n)*(n-1)/2*float64(b.N)/b.Elapsed().Seconds(), "products/s")
}

func BenchmarkTop(b *testing.B) {
	const dim, n = 256, 20_000
	r, row := NewRows(dim), make([]float32, dim)
	for i := range n {
		row[i%dim] = float32(i)
		r.Append(row)
	}
	b.Run("search", func(b *testing.B) {
		b.SetBytes(4 * dim * n)
		for b.Loop() {
			r.Top(row, 5)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(4 * dim * n)
		for b.Loop() {
			r.Read()
		}
	})
}
