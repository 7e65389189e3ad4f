package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"
)

// everyKind makes an empty value of each type that is stored.
var everyKind = []func() any{
	func() any { return new(Merchant) }, func() any { return new(Account) }, func() any { return new(Key) },
	func() any { return new(Secret) }, func() any { return new(Site) }, func() any { return new(Door) },
	func() any { return new(Grant) }, func() any { return new(Device) }, func() any { return new(Person) },
	func() any { return new(Crop) }, func() any { return new(Template) }, func() any { return new(Ticket) },
	func() any { return new(Image) }, func() any { return new(Review) }, func() any { return new(Session) },
	func() any { return new(Link) }, func() any { return new(Pending) }, func() any { return new(Box) }, func() any { return new(Foreign) }, func() any { return new(Claim) },
	func() any { return new(Event) }, func() any { return new(Period) }, func() any { return new(Retired) },
	func() any { return new(Code) }, func() any { return new(Lock) }, func() any { return new(Letter) },
	func() any { return new(ConsentText) }, func() any { return new(Consent) }, func() any { return new(Sighting) },
	func() any { return new(Credential) }, func() any { return new(Candidate) }, func() any { return new(Former) },
}

// FuzzDecode feeds stored bytes to every decoder: each says damaged, or reads a
// value that it writes and reads again alike.
func FuzzDecode(f *testing.F) {
	at := time.Unix(1, 2).UTC()
	for _, rec := range []any{
		&Person{ID: "p", Merchant: "m", Email: "e", EnrolledAt: at}, &Template{ID: "t", Vector: []float32{1, 2}},
		&Crop{ID: "c", Image: []byte("x"), Landmarks: []Point{{1, 2}}}, &Session{ID: "s", Expires: at},
		&Event{Seq: 1, Change: &Change{Kind: KindPerson}, Counters: map[string]float64{"n": 1}},
		&Account{ID: "a", TOTP: &TOTP{Last: 1}, Passkeys: []Passkey{{ID: []byte{1}}}}, &Code{ID: "c", Expires: at}, &Letter{ID: "l", Next: at},
		&Grant{ID: "g", Schedule: []Window{{Days: []time.Weekday{1}}}},
	} {
		b, err := encode(rec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Add([]byte{formatJSON, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, make := range everyKind {
			rec := make()
			if err := decode(b, rec); err != nil {
				if !errors.Is(err, ErrDamaged) {
					t.Fatalf("decode %T: error %v, want ErrDamaged", rec, err)
				}
				continue
			}
			once, err := encode(rec)
			if err != nil {
				continue // a time that JSON reads and does not write
			}
			again := make()
			if err := decode(once, again); err != nil {
				t.Fatalf("decode what was encoded of %T: %v", rec, err)
			}
			if twice, err := encode(again); err != nil || !bytes.Equal(once, twice) {
				t.Fatalf("%T is written as %q and then as %q, %v", rec, once, twice, err)
			}
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	good, err := encode(&Template{ID: "t", Vector: []float32{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	person, err := encode(&Person{ID: "p"})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		b   []byte
		rec any
	}{
		"empty":           {nil, new(Person)},
		"other format":    {append([]byte{9}, person[1:]...), new(Person)},
		"cut header":      {person[:10], new(Person)},
		"cut vector":      {good[:len(good)-1], new(Template)},
		"bytes too many":  {append(bytes.Clone(person), 'x'), new(Person)},
		"header not JSON": {[]byte{formatJSON, 1, '{'}, new(Person)},
	} {
		if err := decode(tt.b, tt.rec); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error %v, want ErrDamaged", name, err)
		}
	}
}

// TestNewerFields: a field that a later version added does no harm to this one.
func TestNewerFields(t *testing.T) {
	var p Person
	err := decode(append([]byte{formatJSON, 23}, `{"id":"p","badge":"007"}`[:23]...), &p)
	if err == nil {
		t.Fatal("a cut header was read")
	}
	if err := decode(append([]byte{formatJSON, 24}, `{"id":"p","badge":"007"}`...), &p); err != nil || p.ID != "p" {
		t.Errorf("read %+v, %v", p, err)
	}
}

func TestFloats(t *testing.T) {
	v := []float32{0, 1, -1, math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Inf(-1))}
	b := appendFloats(nil, v)
	if want := []byte{0, 0, 128, 63}; !bytes.Equal(b[4:8], want) {
		t.Errorf("1 lies as %v, want little-endian %v", b[4:8], want)
	}
	if got, err := parseFloats(b); err != nil || !slices.Equal(got, v) {
		t.Errorf("read %v, %v, want %v", got, err, v)
	}
}

// FuzzAppendFields: what json.Marshal writes is taken apart as json.Unmarshal does.
func FuzzAppendFields(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":1}`, `{"a":"x,\"}{","b":[1,{"c":"]"}],"d":{"e":[]},"f":true,"g":null,"h":-1.5e9}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":"\\"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := appendFields(nil, b)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("error %v, want ErrDamaged", err)
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(b, &want) != nil {
			return
		}
		compact, err2 := json.Marshal(want)
		if err2 != nil || !bytes.Equal(compact, b) { // not as it is written
			return
		}
		if err != nil || len(fields) != len(want) {
			t.Fatalf("%d fields, %v, want %d", len(fields), err, len(want))
		}
		for _, x := range fields {
			name := ""
			if err := json.Unmarshal([]byte(`"`+string(x.name)+`"`), &name); err != nil || !bytes.Equal(x.value, want[name]) {
				t.Fatalf("%q is %s, want %s", name, x.value, want[name])
			}
		}
	})
}

func TestChangedFields(t *testing.T) {
	old := Template{ID: "t", Space: "a", Crops: 1, Vector: []float32{1}}
	for name, tt := range map[string]struct {
		edit func(*Template)
		want []string
	}{
		"nothing":       {func(*Template) {}, nil},
		"meta":          {func(t *Template) { t.Rev, t.Updated = 9, time.Unix(1, 0) }, nil},
		"a field":       {func(t *Template) { t.Crops = 2 }, []string{"crops"}},
		"vector, space": {func(t *Template) { t.Vector, t.Space = []float32{2}, "b" }, []string{"data", "space"}},
	} {
		changed := old
		tt.edit(&changed)
		a, err1 := encode(&old)
		b, err2 := encode(&changed)
		got, err3 := changedFields(a, b)
		if err := errors.Join(err1, err2, err3); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, tt.want)
		}
	}
}
