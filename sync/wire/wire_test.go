package wire

import (
	"bytes"
	"compress/flate"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, typ := range types {
		for range 300 {
			want := sample(typ, r)
			frame, err := Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(frame)
			if err != nil {
				t.Fatalf("%s: %v", Describe(want), err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got  %+v\nwant %+v", got, want)
			}
			if again, _ := Encode(got); !bytes.Equal(again, frame) {
				t.Fatalf("%s: other bytes the second time", Describe(want))
			}
			for cut := range len(frame) {
				if _, err := Decode(frame[:cut]); err == nil {
					t.Fatalf("%s: decodes when cut after %d of %d bytes", Describe(want), cut, len(frame))
				}
			}
		}
	}
}

// TestLayoutOfProtocol1 fails when a layout changes: that needs a new number in
// protocol.go, and the old layout for whoever speaks the old one.
func TestLayoutOfProtocol1(t *testing.T) {
	want := map[Type]string{
		TypeHello: "dc56f236eab38fcd", TypeWelcome: "90b44b0628a5e6fb", TypeEvents: "acf6aaf7140982c3", TypeEventsAck: "a9d58e404e7b94e3", TypeFeed: "3160207e7f6f3a71", TypeSnapshot: "f7aebbd947480d0f", TypeApplied: "177c2ecbc8e0997d",
		TypeCredits: "ab6c366beedd014f", TypePing: "df31522a502e9d51", TypePong: "5ea057da345db669", TypeError: "ea13b403485d0b1b", TypeRevoke: "5945c403a0b5e6dc", TypeTelemetry: "2642864d1ea5fd9f", TypeCheckpoint: "707796b17852e9fd",
	}
	for _, typ := range types {
		r := rand.New(rand.NewPCG(7, uint64(typ)))
		h := sha256.New()
		for range 50 {
			c := &coder{}
			h.Write(c.body(sample(typ, r)))
		}
		if got := hex.EncodeToString(h.Sum(nil)[:8]); got != want[typ] {
			t.Errorf("message %d is laid out as %q, not as %q", typ, got, want[typ])
		}
	}
}

func TestCompression(t *testing.T) {
	m := &Events{}
	for range 500 {
		m.Events = append(m.Events, Event{Raw: []byte(`{"kind":"decision","outcome":"granted"}`)})
	}
	frame, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	if frame[1] != flagDeflated || len(frame) > 2000 {
		t.Errorf("500 equal events are a frame of %d bytes, flags %d", len(frame), frame[1])
	}
	got, err := Decode(frame)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("decode: %v", err)
	}
}

func deflated(t Type, says uint64, body []byte) []byte {
	var b bytes.Buffer
	b.Write([]byte{byte(t), flagDeflated})
	b.Write(binary.AppendUvarint(nil, says))
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write(body)
	w.Close()
	return b.Bytes()
}

func TestMalformed(t *testing.T) {
	pong, _ := Encode(&Pong{Number: 300, Sent: 1})
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"nothing":                {nil, ErrMalformed},
		"a type only":            {[]byte{byte(TypePong)}, ErrMalformed},
		"no such type":           {[]byte{99, 0}, ErrMalformed},
		"a newer type":           {[]byte{200, 0, 1, 2, 3}, ErrSkip},
		"a newer type with more": {[]byte{200, 0xff}, ErrSkip},
		"unknown flags":          {append([]byte{byte(TypePong), 2}, pong[2:]...), ErrMalformed},
		"bytes behind it":        {append(bytes.Clone(pong), 0), ErrMalformed},
		"a number that is long":  {[]byte{byte(TypeCredits), 0, 0x81, 0x00}, ErrMalformed},
		"a number over 64 bits":  {append([]byte{byte(TypeCredits), 0}, bytes.Repeat([]byte{0xff}, 10)...), ErrMalformed},
		"a flag that is 2":       {[]byte{byte(TypePing), 0, 1, 1, 2, 0}, ErrMalformed},
		"a text over its limit":  {append([]byte{byte(TypeRevoke), 0, 0x81, 0x02}, make([]byte, 257)...), ErrTooLarge},
		"a list over its limit":  {append([]byte{byte(TypeTelemetry), 0, 0, 65}, make([]byte, 65*10)...), ErrTooLarge},
		"more than there is":     {[]byte{byte(TypeCheckpoint), 0, 5, 1, 2}, ErrMalformed},
		"a frame over its limit": {make([]byte, MaxFrame+1), ErrTooLarge},
		"inflates to more":       {deflated(TypeCheckpoint, 10, make([]byte, 11)), ErrMalformed},
		"inflates to less":       {deflated(TypeCheckpoint, 12, make([]byte, 11)), ErrMalformed},
		"a body over its limit":  {deflated(TypeCheckpoint, MaxBody+1, make([]byte, MaxBody+1)), ErrTooLarge},
		"an impossible length":   {[]byte{byte(TypePong), flagDeflated, 0xff, 0xff, 0x7f, 0}, ErrMalformed},
		"bytes behind a stream":  {append(deflated(TypeCredits, 1, []byte{7}), 0), ErrMalformed},
		"no stream":              {[]byte{byte(TypePong), flagDeflated, 1, 0xff, 0xff}, ErrMalformed},
	} {
		if m, err := Decode(c.frame); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, m, err, c.want)
		}
	}
}

// TestAllocatesNoMore: what a frame claims costs nothing, only what it has.
func TestAllocatesNoMore(t *testing.T) {
	huge := binary.AppendUvarint(nil, 1<<40)
	var frames [][]byte
	bomb := deflated(TypePong, MaxBody, make([]byte, 64<<20))
	for _, typ := range types {
		for n := range 40 { // the claim in each place that a field may have
			frames = append(frames, append(append([]byte{byte(typ), 0}, make([]byte, n)...), huge...))
		}
		frames = append(frames, append([]byte{byte(typ), flagDeflated}, bomb[2:]...))
	}
	for _, f := range frames {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if m, err := Decode(f); err == nil && m == nil {
			t.Fatal("nothing and no error")
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 4*MaxBody {
			t.Errorf("type %d: a frame of %d bytes allocates %d", f[0], len(f), n)
		}
	}
}

func TestLimitsAreForBothSides(t *testing.T) {
	for name, m := range map[string]Message{
		"text":    &Revoke{Reason: strings.Repeat("x", MaxText+1)},
		"piece":   &Feed{Changes: []Change{{Piece: make([]byte, MaxPiece+1)}}},
		"header":  &Feed{Changes: []Change{{Header: make([]byte, MaxHeader+1)}}},
		"changes": &Feed{Changes: make([]Change, MaxItems+1)},
		"frame":   incompressible(3 * MaxPiece),
	} {
		if _, err := Encode(m); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, m := range map[string]Message{
		"text":    &Revoke{Reason: strings.Repeat("x", MaxText)},
		"piece":   incompressible(MaxPiece),
		"changes": &Feed{Changes: make([]Change, MaxItems)},
	} {
		frame, err := Encode(m)
		if err != nil {
			t.Errorf("%s at its limit: %v", name, err)
			continue
		}
		if got, err := Decode(frame); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s at its limit: %v", name, err)
		}
	}
}

func incompressible(n int) Message {
	r := rand.NewChaCha8([32]byte{1})
	m := &Feed{}
	for ; n > 0; n -= MaxPiece {
		b := make([]byte, MaxPiece)
		r.Read(b)
		m.Changes = append(m.Changes, Change{Piece: b})
	}
	return m
}

func TestAgree(t *testing.T) {
	for _, c := range []struct{ oldest, newest, want Protocol }{
		{1, 1, 1}, {1, 9, Newest}, {Newest, Newest + 5, Newest}, {Newest + 1, Newest + 5, 0}, {0, 0, 0}, {2, 1, 0},
	} {
		got, err := Agree(c.oldest, c.newest)
		if got != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("with one who speaks %d to %d: %d, %v", c.oldest, c.newest, got, err)
		}
	}
}

func TestOps(t *testing.T) {
	for _, o := range []Op{OpPut, OpDelete, OpErase, OpLater, OpAbsent} {
		if got := ParseOp(o.String()); got != o || o.String() == "" {
			t.Errorf("%q is %d, not %d", o, got, o)
		}
	}
	if ParseOp("") != 0 || ParseOp("x") != 0 || Op(99).String() != "" {
		t.Error("a word that is none is an operation")
	}
}

func TestReceipts(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	pub := key.Public().(ed25519.PublicKey)
	sig := SignReceipt(key, "box", 2, 7, "person")
	if !VerifyReceipt(pub, sig, "box", 2, 7, "person") {
		t.Error("a receipt does not verify")
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)).Public().(ed25519.PublicKey)
	for name, ok := range map[string]bool{
		"of another box":     VerifyReceipt(pub, sig, "box2", 2, 7, "person"),
		"of another event":   VerifyReceipt(pub, sig, "box", 2, 8, "person"),
		"of another epoch":   VerifyReceipt(pub, sig, "box", 3, 7, "person"),
		"for another person": VerifyReceipt(pub, sig, "box", 2, 7, "somebody"),
		"with another key":   VerifyReceipt(other, sig, "box", 2, 7, "person"),
		"without a key":      VerifyReceipt(nil, sig, "box", 2, 7, "person"),
	} {
		if ok {
			t.Errorf("a receipt %s verifies", name)
		}
	}
	if !bytes.Equal(sig, SignReceipt(key, "box", 2, 7, "person")) {
		t.Error("signed twice, it is not the same")
	}
}

// TestDescribeTellsNothing: what may be logged has no content of a message in it.
func TestDescribeTellsNothing(t *testing.T) {
	secret := "Grace Hopper"
	raw := []byte(secret)
	for _, m := range []Message{
		&Events{Events: []Event{{Raw: raw, Personal: raw, Receipt: raw, Edit: &Edit{ID: secret, Kind: secret, Header: raw, Piece: raw}}}},
		&Feed{Changes: []Change{{ID: secret, Kind: secret, Header: raw, Piece: raw}}},
		&Snapshot{After: secret, Next: secret, Records: []Record{{Change: Change{ID: secret, Header: raw, Piece: raw}}}},
		&Applied{Cursor: secret},
		&Checkpoint{Note: raw},
	} {
		if s := Describe(m); strings.Contains(s, secret) || s == "nothing" {
			t.Errorf("%q", s)
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, typ := range types {
		for range 4 {
			frame, err := Encode(sample(typ, r))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(frame)
			f.Add(deflated(typ, uint64(len(frame)-2), frame[2:]))
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := Decode(frame)
		if err != nil {
			return
		}
		Describe(m)
		again, err := Encode(m)
		if err != nil {
			t.Fatalf("%s: %v", Describe(m), err)
		}
		back, err := Decode(again)
		if err != nil || !equal(back, m) {
			t.Fatalf("%s does not come back: %v", Describe(m), err)
		}
	})
}

// equal compares the bytes: NaN is not itself.
func equal(a, b Message) bool {
	return bytes.Equal((&coder{}).body(a), (&coder{}).body(b))
}
