package seal

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/cypherface/edge/store"
)

func sealStream(t testing.TB, k *key, plain []byte, portion int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := newStreamWriter(&b, k)
	for rest := plain; len(rest) > 0; {
		n, err := w.Write(rest[:min(portion, len(rest))])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte{1}); !errors.Is(err, errEnded) {
		t.Errorf("written after the end: %v", err)
	}
	return b.Bytes()
}

func openStream(k *key, sealed []byte) ([]byte, error) {
	return io.ReadAll(newStreamReader(bytes.NewReader(sealed), k))
}

func TestStream(t *testing.T) {
	k := newKey()
	for _, n := range []int{0, 1, pieceLen - 1, pieceLen, pieceLen + 1, 3 * pieceLen, 3*pieceLen + 7} {
		plain := bytes.Repeat([]byte("abcdefg"), n/7+1)[:n]
		for _, portion := range []int{n + 1, 1000, pieceLen} {
			sealed := sealStream(t, &k, plain, portion)
			if int64(len(sealed)) != streamLen(int64(n)) {
				t.Errorf("%d bytes become %d, and should %d", n, len(sealed), streamLen(int64(n)))
			}
			if got, err := openStream(&k, sealed); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes: %d read, %v", n, len(got), err)
			}
			slow := newStreamReader(iotest.OneByteReader(bytes.NewReader(sealed)), &k)
			if n < 2 {
				if err := iotest.TestReader(slow, plain); err != nil {
					t.Error(err)
				}
			}
		}
	}
	other := newKey()
	if got, err := openStream(&other, sealStream(t, &k, []byte("x"), 1)); !errors.Is(err, store.ErrDamaged) || len(got) > 0 {
		t.Errorf("another key: %q, %v", got, err)
	}
}

// TestDamagedStream: whatever is changed, cut off, moved, left out, doubled or
// added is noticed, and nothing is given out that was not there in this order.
func TestDamagedStream(t *testing.T) {
	k := newKey()
	plain := make([]byte, 3*pieceLen+100)
	for i := range plain {
		plain[i] = byte(i * i >> 8)
	}
	sealed := sealStream(t, &k, plain, 1<<20)
	refused := func(what string, n int, b []byte) {
		t.Helper()
		got, err := openStream(&k, b)
		if !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s %d: error %v, want ErrDamaged", what, n, err)
		}
		if !bytes.HasPrefix(plain, got) {
			t.Errorf("%s %d: other bytes come out", what, n)
		}
	}
	const sealedPiece = pieceLen + tagLen
	for n := 0; n < len(sealed); n += 997 {
		damaged := bytes.Clone(sealed)
		damaged[n] ^= 1 << (n % 8)
		refused("flipped byte", n, damaged)
		refused("cut at", n, sealed[:n])
		refused("longer by", n, append(bytes.Clone(sealed), make([]byte, 1+n)...))
	}
	for i := range 4 {
		refused("cut before piece", i, sealed[:i*sealedPiece])
	}
	piece := func(i int) []byte { return sealed[i*sealedPiece : min((i+1)*sealedPiece, len(sealed))] }
	for name, order := range map[string][]int{
		"exchanged": {1, 0, 2, 3}, "left out": {0, 2, 3}, "doubled": {0, 1, 1, 2, 3}, "last alone": {3}, "twice": {0, 1, 2, 3, 0, 1, 2, 3}, "last twice": {0, 1, 2, 3, 3},
	} {
		var b []byte
		for _, i := range order {
			b = append(b, piece(i)...)
		}
		refused(name, len(order), b)
	}
	failing := newStreamReader(io.MultiReader(bytes.NewReader(sealed[:sealedPiece]), iotest.ErrReader(errCut)), &k)
	if _, err := io.ReadAll(failing); !errors.Is(err, errCut) {
		t.Errorf("a disk that fails: %v", err)
	}
}

// FuzzStream opens arbitrary bytes behind a good piece.
func FuzzStream(f *testing.F) {
	k := key{1}
	good := sealStream(f, &k, make([]byte, 2*pieceLen), 1<<20)
	f.Add([]byte{}, true)
	f.Add(good[pieceLen+tagLen:], false)
	f.Fuzz(func(t *testing.T, b []byte, behind bool) {
		if behind {
			b = append(bytes.Clone(good[:pieceLen+tagLen]), b...)
		}
		if _, err := openStream(&k, b); err == nil && !bytes.Equal(b, good) {
			t.Error("opened what was not sealed")
		}
	})
}
