package seal_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// A spool gives back what was written to it, at each place, and nothing that was
// changed.
func TestSpool(t *testing.T) {
	const piece = 64 << 10
	for _, size := range []int{0, 1, piece - 1, piece, piece + 1, 3*piece + 77} {
		path := filepath.Join(t.TempDir(), "spool")
		s, err := seal.CreateSpool(path)
		if err != nil {
			t.Fatal(err)
		}
		plain := make([]byte, size)
		for i := range plain {
			plain[i] = byte(i * 7)
		}
		for rest := plain; len(rest) > 0; {
			n, err := s.Write(rest[:min(len(rest), 10_000)])
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		key, length, err := s.Finish()
		if err != nil || length != int64(size) {
			t.Fatalf("%d bytes, %v; want %d", length, err, size)
		}
		if _, err := seal.CreateSpool(path); err == nil {
			t.Error("an existing file was taken")
		}
		r, err := seal.OpenSpool(path, key, length)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes came back as %d, %v", size, len(got), err)
		}
		for range 20 {
			from := rand.IntN(size + 1)
			part := make([]byte, rand.IntN(size-from+1))
			if n, err := r.ReadAt(part, int64(from)); err != nil || !bytes.Equal(part[:n], plain[from:from+n]) {
				t.Fatalf("read %d at %d of %d: %v", len(part), from, size, err)
			}
		}
		if _, err := r.ReadAt(make([]byte, 2), int64(size)-1); size > 0 && !errors.Is(err, io.EOF) {
			t.Errorf("read beyond the end: %v", err)
		}
		r.Close()

		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if size > 100 && bytes.Contains(raw, plain[:64]) {
			t.Error("it lies in the clear")
		}
		if _, err := seal.OpenSpool(path, key, length+1); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("another length: %v", err)
		}
		raw[rand.IntN(len(raw))] ^= 1
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err = seal.OpenSpool(path, key, length)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size())); size > 0 && !errors.Is(err, store.ErrDamaged) {
			t.Errorf("a changed byte of %d: %v", size, err)
		}
		r.Close()
	}
}
