package seal_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

var parcelAbout = seal.About{Environment: store.Sandbox, Device: "d", Epoch: 1, Made: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}

func parcel(t testing.TB, to *seal.Recovery, content []byte) (raw []byte, signer ed25519.PublicKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := seal.SealParcel(&b, parcelAbout, to, private)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), public
}

func unwrapParcel(raw []byte, k *seal.RecoveryKey) (content []byte, p *seal.ParcelReader, err error) {
	if p, err = seal.OpenParcel(bytes.NewReader(raw)); err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	err = p.Copy(&out, k)
	return out.Bytes(), p, err
}

// A parcel opens for whom it is sealed to, whole, and for nobody else; a changed
// bit, a cut and another head are noticed.
func TestParcel(t *testing.T) {
	k := seal.NewRecoveryKey()
	for _, size := range []int{0, 1, 63, 64, 65, 64 << 10, 64<<10 - 64, 200_000} {
		content := bytes.Repeat([]byte("abcdefg"), size/7+1)[:size]
		raw, signer := parcel(t, k.Public(), content)
		got, p, err := unwrapParcel(raw, k)
		if err != nil || !bytes.Equal(got, content) || !p.Signer.Equal(signer) || p.About != parcelAbout {
			t.Fatalf("%d bytes came back as %d, %v", size, len(got), err)
		}
		if size > 100 && bytes.Contains(raw, content[:50]) {
			t.Error("it lies in the clear")
		}
		if _, _, err := unwrapParcel(raw, seal.NewRecoveryKey()); !errors.Is(err, seal.ErrRecipient) {
			t.Errorf("another key: %v", err)
		}
		for range 20 {
			bad := bytes.Clone(raw)
			at := rand.IntN(len(bad))
			bad[at] ^= 1 << rand.IntN(8)
			if _, _, err := unwrapParcel(bad, k); err == nil {
				t.Errorf("byte %d of %d was changed and nobody noticed", at, len(bad))
			}
			if _, _, err := unwrapParcel(raw[:rand.IntN(len(raw))], k); err == nil {
				t.Error("it was cut and nobody noticed")
			}
		}
		if _, _, err := unwrapParcel(append(bytes.Clone(raw), 'x'), k); err == nil {
			t.Error("something follows it and nobody noticed")
		}
	}
}

func TestRecipient(t *testing.T) {
	k := seal.NewRecoveryKey()
	text := k.Public().Recipient()
	p, err := seal.ParseRecipient([]byte(" " + text))
	if err != nil || p.Fingerprint() != k.Public().Fingerprint() {
		t.Errorf("%v, %v", p, err)
	}
	for _, bad := range []string{"", "x", strings.Replace(text, "-", "+", 1), text[:len(text)/2], "cypherface recovery 1" + text[len("cypherface recipient 1"):]} {
		if _, err := seal.ParseRecipient([]byte(bad)); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

// Whatever a parcel is, it is refused or has its signature.
func FuzzParcel(f *testing.F) {
	k := seal.NewRecoveryKey()
	raw, _ := parcel(f, k.Public(), []byte("people"))
	f.Add(raw)
	f.Add([]byte("cypherface people 1\n\x00\x00\x00\x02{}"))
	f.Add([]byte("cypherface people 2\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := unwrapParcel(b, k); err == nil && !bytes.Equal(b, raw) {
			t.Error("a parcel that nobody made opens")
		}
	})
}
