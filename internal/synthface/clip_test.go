package synthface

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"testing"
)

// tinyClip has n small frames of one brightness, which tells clips apart.
func tinyClip(t testing.TB, n int, brightness uint8) clip {
	t.Helper()
	img := image.NewYCbCr(image.Rect(0, 0, 16, 16), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = brightness
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = 128, 128
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	c := make(clip, n)
	for i := range c {
		c[i] = b.Bytes()
	}
	return c
}

func TestClipRoundTrip(t *testing.T) {
	want := tinyClip(t, 3, 90)
	got, err := decodeClip(want.encode())
	if err != nil || len(got) != 3 {
		t.Fatalf("%d frames, %v", len(got), err)
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("frame %d differs", i)
		}
	}
	img, err := got.frame(2)
	if err != nil || img.Y[0] != 90 {
		t.Errorf("frame 2: %v", err)
	}
}

// sealed gives a body the header and the checksum of a clip.
func sealed(frames uint32, body ...byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte(clipMagic), frames)
	b = append(b, body...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func TestDamagedClips(t *testing.T) {
	good := tinyClip(t, 2, 90).encode()
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	for name, b := range map[string][]byte{
		"empty":                   nil,
		"magic only":              []byte(clipMagic),
		"another magic":           flip(0),
		"a flipped bit":           flip(len(good) / 2),
		"a flipped bit at end":    flip(len(good) - 1),
		"cut":                     good[:len(good)-1],
		"no frames":               sealed(0),
		"too many frames":         sealed(maxClipFrames + 1),
		"frame without length":    sealed(1, 0, 0),
		"frame longer than clip":  sealed(1, 0, 0, 0, 9, 1),
		"frame of absurd length":  sealed(1, 0xff, 0xff, 0xff, 0xff),
		"something after the end": sealed(1, 0, 0, 0, 1, 7, 7),
	} {
		if _, err := decodeClip(b); !errors.Is(err, errDamagedClip) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClipOfNoJPEG(t *testing.T) {
	c, err := decodeClip(sealed(1, 0, 0, 0, 1, 7))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.frame(0); err == nil {
		t.Error("a byte is a picture")
	}
}

func FuzzDecodeClip(f *testing.F) {
	f.Add(tinyClip(f, 2, 90).encode())
	f.Add(sealed(1, 0, 0, 0, 9, 1))
	f.Add([]byte(clipMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeClip(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.encode(), b) {
			t.Error("a clip that was read is not written the same")
		}
	})
}

func TestFilmStopsWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	frames := 0
	k := clipKey{person: ada.Seed, act: Look, width: 64, height: 48, fps: 5}
	_, err := film(ctx, k, ada, func() {
		if frames++; frames == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || frames != 2 {
		t.Errorf("%v after %d frames", err, frames)
	}
}

func TestFilmOfAttacks(t *testing.T) {
	for _, a := range []attack{printAttack, bentAttack, screenAttack} {
		k := clipKey{person: ada.Seed, attack: a, act: Nod, width: 64, height: 48, fps: 1}
		c, err := film(t.Context(), k, ada, func() {})
		if err != nil || len(c) != Nod.frames(1) {
			t.Errorf("%s: %d frames, %v", a, len(c), err)
		}
	}
}
