package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
)

// written makes a keyring with two people in its first writing and one appended,
// and returns its folder and its bytes.
func written(t testing.TB) (dir string, file []byte) {
	t.Helper()
	dir = t.TempDir()
	r := openRing(t, dir)
	mustSeal(t, r, ofAda, "ada")
	mustSeal(t, r, ofBob, "bob")
	mustSync(t, r)
	mustSeal(t, r, store.Place{Bucket: "b", Person: "eve"}, "eve")
	mustSync(t, r)
	file, err := os.ReadFile(Path(dir, store.Sandbox))
	if err != nil {
		t.Fatal(err)
	}
	return dir, file
}

// TestDamagedKeyring flips a bit of every byte, and cuts the file at every length,
// of both files alike: the keyring is refused, and they are left as they are. Only
// what was appended last may be missing, as after a write that was cut.
func TestDamagedKeyring(t *testing.T) {
	dir, file := written(t)
	path := Path(dir, store.Sandbox)
	appended := len(file) - slotLen
	check := func(what string, n int, damaged []byte, mayOpen bool) {
		t.Helper()
		write(t, path, damaged)
		write(t, path+mirrorSuffix, damaged)
		r, err := tryRing(dir)
		switch {
		case err == nil && mayOpen:
			if !r.Has(ofAda.Person.Tag()) || !r.Has(ofBob.Person.Tag()) || r.Has(store.PersonID("eve").Tag()) {
				t.Errorf("%s %d: opens with other keys", what, n)
			}
		case err == nil:
			t.Errorf("%s %d: opens", what, n)
		case !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrForeign) && !errors.Is(err, store.ErrNewer) && !errors.Is(err, ErrMaster):
			t.Errorf("%s %d: error %v", what, n, err)
		}
		if after := listing(t, filepath.Dir(path)); err != nil && strings.Count(after, hex.EncodeToString(damaged)+"\n") != 2 {
			t.Fatalf("%s %d: the files were changed", what, n)
		}
	}
	for n := range file {
		damaged := bytes.Clone(file)
		damaged[n] ^= 1 << (n % 8)
		check("flipped byte", n, damaged, n >= appended)
		check("cut at byte", n, file[:n], n >= appended)
	}
	swapped := bytes.Clone(file)
	copy(swapped[headLen:], file[headLen+slotLen:headLen+2*slotLen])
	copy(swapped[headLen+slotLen:], file[headLen:headLen+slotLen])
	check("swapped slot", 0, swapped, false)
	check("longer by", 5, append(bytes.Clone(file), 1, 2, 3, 4, 5)[:len(file)-slotLen+5], true)
}

// TestMirror damages one of the two files, or takes it away: the other replaces
// it, and nothing is lost. Two that are damaged differently are refused.
func TestMirror(t *testing.T) {
	dir, file := written(t)
	path := Path(dir, store.Sandbox)
	paths := []string{path, path + mirrorSuffix}
	version := len(family)
	for n := range file {
		for _, victim := range paths {
			damaged := bytes.Clone(file)
			damaged[n] ^= 1 << (n % 8)
			write(t, victim, damaged)
			if n == version && victim == path {
				if _, err := tryRing(dir); !errors.Is(err, store.ErrNewer) {
					t.Errorf("another version: error %v, want ErrNewer", err)
				}
				write(t, victim, file)
				continue
			}
			checkMended(t, dir, file)
		}
	}
	for _, n := range []int{0, 100, headLen, len(file) - slotLen, len(file) - 1} {
		for _, victim := range paths {
			write(t, victim, file[:n])
			checkMended(t, dir, file)
		}
	}
	for _, victim := range paths {
		if err := os.Remove(victim); err != nil {
			t.Fatal(err)
		}
		checkMended(t, dir, file)
	}
	one, two := bytes.Clone(file), bytes.Clone(file)
	one[headLen] ^= 1
	two[headLen+slotLen] ^= 1
	write(t, paths[0], one)
	write(t, paths[1], two)
	before := listing(t, dir)
	if _, err := tryRing(dir); !errors.Is(err, store.ErrDamaged) || listing(t, dir) != before {
		t.Errorf("both damaged: error %v, want ErrDamaged and no change", err)
	}
}

// checkMended opens the keyring, which has all its keys and is whole afterwards.
func checkMended(t *testing.T, dir string, want []byte) {
	t.Helper()
	r := openRing(t, dir)
	for _, p := range []store.PersonID{"ada", "bob", "eve"} {
		if !r.Has(p.Tag()) {
			t.Errorf("lost %s", p)
		}
	}
	for _, path := range r.paths() {
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, want) {
			t.Fatalf("%s is not whole again, %v", path, err)
		}
	}
}

// TestBrokenInTheMiddle: damage with whole slots behind it is no cut write.
func TestBrokenInTheMiddle(t *testing.T) {
	k := newKey()
	b := appendSlots(nil, &k, 0, []slot{{kind: generalSlot, id: 1}, {kind: personSlot, id: 2}, {kind: personSlot, id: 3}})
	b[slotLen] ^= 1
	if _, err := parseSlots(b, &k, 1); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("error %v, want ErrDamaged", err)
	}
	if slots, err := parseSlots(b[:2*slotLen], &k, 1); err != nil || len(slots) != 1 {
		t.Errorf("%d slots, %v, want the first", len(slots), err)
	}
}

func TestNewerKeyring(t *testing.T) {
	_, file := written(t)
	newer := bytes.Replace(file, []byte("keyring 1"), []byte("keyring 3"), 1)
	if _, err := parseHeader(newer); !errors.Is(err, store.ErrNewer) {
		t.Errorf("error %v, want ErrNewer", err)
	}
}

// FuzzHeader hands in arbitrary files, as anybody can write one: they are
// refused, or have a head that is safe to act on.
func FuzzHeader(f *testing.F) {
	_, file := written(f)
	f.Add(file)
	f.Add(file[:headLen])
	f.Add(bytes.Replace(file, []byte("keyring 1"), []byte("keyring 9"), 1))
	for _, public := range []string{
		`{"source":"passphrase","master":"0011223344556677","kdf":{"salt":"AAAAAAAAAAAAAAAAAAAAAA==","time":3,"memory":65536,"lanes":4},"slots":1}`,
		`{"source":"passphrase","master":"0011223344556677","kdf":{"salt":"","time":4294967295,"memory":4294967295,"lanes":255},"slots":1}`,
		`{"slots":-1}`, `{"unknown":1}`, `{}{}`, `[`, ``,
	} {
		f.Add(append([]byte(magic+public), make([]byte, headLen)...))
	}
	m := &Master{source: Local, keys: []key{{1}}}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if err != nil {
			return
		}
		if h.Slots < 1 || h.KDF != nil && !h.KDF.valid() {
			t.Errorf("header %+v", h)
		}
		if _, _, err := m.unwrap(b[:headLen], &h); err == nil {
			t.Error("unwrapped with a key it was not wrapped with")
		}
	})
}

// FuzzSlots seals arbitrary slots, as a newer or broken program might.
func FuzzSlots(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1}, 1)
	f.Add([]byte{2, 1}, 1)
	f.Add([]byte{3, 0, 1}, 2)
	f.Add([]byte{0}, 0)
	f.Fuzz(func(t *testing.T, plain []byte, atLeast int) {
		k := key{1}
		var b []byte
		for n := 0; n*slotPlain < len(plain); n++ {
			var slot [slotPlain]byte
			copy(slot[:], plain[n*slotPlain:])
			b = k.aead().Seal(b, nil, slot[:], slotNumber(n))
		}
		slots, err := parseSlots(b, &k, atLeast)
		if err != nil {
			return
		}
		if again, err := parseSlots(appendSlots(nil, &k, 0, slots), &k, len(slots)); err != nil || len(again) != len(slots) {
			t.Errorf("%d slots, written and read %d, %v", len(slots), len(again), err)
		}
	})
}

// FuzzOpen hands in arbitrary values.
func FuzzOpen(f *testing.F) {
	r := newRing(f)
	f.Add(mustSeal(f, r, ofNone, "x")[:20])
	f.Add([]byte{})
	f.Add(append([]byte{version}, make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := r.Open(ofNone, b); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("error %v, want ErrDamaged", err)
		}
	})
}
