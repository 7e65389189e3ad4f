package seal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
)

// newRing makes a keyring in a folder of its own.
func newRing(t testing.TB) *Ring {
	t.Helper()
	return openRing(t, t.TempDir())
}

func openRing(t testing.TB, dir string) *Ring {
	t.Helper()
	r, err := tryRing(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryRing(dir string) (*Ring, error) {
	m, err := FindMaster(MasterOptions{Dir: dir})
	if err != nil {
		return nil, err
	}
	return Open(Path(dir, store.Sandbox), m, Options{NoSync: true})
}

func mustSeal(t testing.TB, r *Ring, at store.Place, plain string) []byte {
	t.Helper()
	sealed, err := r.Seal(at, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func mustSync(t testing.TB, r *Ring) {
	t.Helper()
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
}

var (
	ofAda  = store.Place{Bucket: "record.person", Key: []byte("ada"), Person: "ada"}
	ofBob  = store.Place{Bucket: "record.person", Key: []byte("bob"), Person: "bob"}
	ofNone = store.Place{Bucket: "record.site", Key: []byte("site")}
)

// TestSealed: what comes out tells nothing, is never twice the same, and opens
// where it was sealed and nowhere else, as long as no bit of it differs.
func TestSealed(t *testing.T) {
	r := newRing(t)
	const word = "Lovelace"
	for _, at := range []store.Place{ofAda, ofNone} {
		sealed := mustSeal(t, r, at, word)
		if bytes.Contains(sealed, []byte(word)) || bytes.Equal(sealed, mustSeal(t, r, at, word)) || len(sealed) != len(word)+overhead {
			t.Errorf("sealed as %x", sealed)
		}
		place := store.Place{Bucket: at.Bucket, Key: at.Key} // the person is not known
		if plain, err := r.Open(place, sealed); err != nil || string(plain) != word {
			t.Errorf("opened as %q, %v", plain, err)
		}
		for _, other := range []store.Place{
			{Bucket: at.Bucket, Key: []byte("eve")}, {Bucket: "record.crop", Key: at.Key}, {Bucket: at.Bucket},
			{Bucket: at.Bucket + string(at.Key[:1]), Key: at.Key[1:]},
		} {
			if _, err := r.Open(other, sealed); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("opened at %v: error %v, want ErrDamaged", other, err)
			}
		}
		for i := range 8 * len(sealed) {
			sealed[i/8] ^= 1 << (i % 8)
			if plain, err := r.Open(place, sealed); !errors.Is(err, store.ErrDamaged) {
				t.Fatalf("bit %d flipped: %q, error %v, want ErrDamaged", i, plain, err)
			}
			sealed[i/8] ^= 1 << (i % 8)
		}
		for n := range sealed {
			if _, err := r.Open(place, sealed[:n]); !errors.Is(err, store.ErrDamaged) {
				t.Fatalf("%d bytes: error %v, want ErrDamaged", n, err)
			}
		}
	}
	if plain, err := r.Open(ofNone, mustSeal(t, r, ofNone, "")); err != nil || len(plain) != 0 {
		t.Errorf("nothing: %q, %v", plain, err)
	}
}

// TestKeysOfPeople: a value of one person does not open with another's key, even
// if someone writes that into it.
func TestKeysOfPeople(t *testing.T) {
	r := newRing(t)
	a, b := mustSeal(t, r, ofAda, "ada"), mustSeal(t, r, ofBob, "bob")
	copy(a[1:9], b[1:9])
	if _, err := r.Open(ofAda, a); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("error %v, want ErrDamaged", err)
	}
}

func TestBlind(t *testing.T) {
	r, other := newRing(t), newRing(t)
	seen := map[string]bool{}
	for _, in := range [][3]string{{"i", "", "t"}, {"i", "t", ""}, {"it", "", ""}, {"i", "", "u"}, {"j", "", "t"}, {"", "i", "t"}} {
		b := r.Blind(in[0], []byte(in[1]), []byte(in[2]))
		if len(b) != 16 || seen[string(b)] {
			t.Errorf("%q gives %x", in, b)
		}
		seen[string(b)] = true
		if !bytes.Equal(b, r.Blind(in[0], []byte(in[1]), []byte(in[2]))) {
			t.Errorf("%q gives two hashes", in)
		}
		if bytes.Equal(b, other.Blind(in[0], []byte(in[1]), []byte(in[2]))) {
			t.Errorf("%q gives the same in another keyring", in)
		}
	}
}

// TestSegments: a segment ends with its number of values, and with the opening.
func TestSegments(t *testing.T) {
	dir := t.TempDir()
	r := openRing(t, dir)
	first := mustSeal(t, r, ofNone, "x")
	if second := mustSeal(t, r, ofNone, "x"); !bytes.Equal(first[9:17], second[9:17]) {
		t.Error("two segments for two values")
	}
	r.sealed = perSegment
	third := mustSeal(t, r, ofNone, "x")
	if bytes.Equal(first[9:17], third[9:17]) || r.sealed != 1 {
		t.Error("the segment goes on beyond its end")
	}
	mustSync(t, r)
	again := openRing(t, dir)
	if fourth := mustSeal(t, again, ofNone, "x"); bytes.Equal(fourth[9:17], third[9:17]) {
		t.Error("the segment goes on in another process")
	}
	for range 3 * segmentsKept {
		again.sealed = perSegment
		v := mustSeal(t, again, ofNone, "x")
		if _, err := again.Open(ofNone, v); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(again.segments.kept); n > segmentsKept {
		t.Errorf("%d segments in memory", n)
	}
	if _, err := again.Open(ofNone, first); err != nil {
		t.Error(err)
	}
}

// TestReopened: all keys that were synced are there again, those that were not
// are not.
func TestReopened(t *testing.T) {
	dir := t.TempDir()
	r := openRing(t, dir)
	values := map[string][]byte{}
	place := func(name string) store.Place {
		return store.Place{Bucket: "b", Key: []byte(name), Person: store.PersonID(name)}
	}
	for i := range 20 {
		name := fmt.Sprint(i)
		values[name] = mustSeal(t, r, place(name), name)
		if i%3 == 0 {
			mustSync(t, r)
		}
	}
	mustSync(t, r)
	blind := r.Blind("i", nil, []byte("t"))
	late := mustSeal(t, r, place("late"), "late")
	for range 3 {
		r = openRing(t, dir)
		for name, sealed := range values {
			if plain, err := r.Open(place(name), sealed); err != nil || string(plain) != name {
				t.Errorf("%s: %q, %v", name, plain, err)
			}
		}
		if !bytes.Equal(blind, r.Blind("i", nil, []byte("t"))) {
			t.Error("terms are hidden otherwise")
		}
		if _, err := r.Open(place("late"), late); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("a key that was never synced: %v", err)
		}
	}
	if st, err := os.Stat(Path(dir, store.Sandbox)); err != nil || st.Mode().Perm() != 0o600 || st.Size() != headLen+21*slotLen {
		t.Errorf("keyring: %v, %v", st, err)
	}
	if st, err := os.Stat(filepath.Join(dir, localName)); err != nil || st.Mode().Perm() != 0o600 || st.Size() != keyLen {
		t.Errorf("master key: %v, %v", st, err)
	}
}

// TestForget: a forgotten person's values are gone, in this process and the next,
// also with an older keyring put aside; others are as they were.
func TestForget(t *testing.T) {
	dir := t.TempDir()
	r := openRing(t, dir)
	ada, bob, none := mustSeal(t, r, ofAda, "ada"), mustSeal(t, r, ofBob, "bob"), mustSeal(t, r, ofNone, "none")
	mustSync(t, r)
	path := Path(dir, store.Sandbox)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	remains, err := os.Open(path) // as one who looks at the disk sees it
	if err != nil {
		t.Fatal(err)
	}
	defer remains.Close()
	if !r.Has(store.PersonID("ada").Tag()) || len(r.Forgotten()) != 0 {
		t.Error("ada is not known")
	}
	if err := r.Forget(store.PersonID("ada").Tag(), store.PersonID("nobody").Tag()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.Open(ofAda, ada); !errors.Is(err, store.ErrErased) || !errors.Is(err, store.ErrNotFound) {
			t.Errorf("error %v, want ErrErased", err)
		}
		for want, err := range map[string]error{"bob": opens(r, ofBob, bob, "bob"), "none": opens(r, ofNone, none, "none")} {
			if err != nil {
				t.Errorf("%s: %v", want, err)
			}
		}
		if got := r.Forgotten(); len(got) != 1 || got[0] != store.PersonID("ada").Tag() || r.Has(got[0]) {
			t.Errorf("forgotten: %x", got)
		}
		r = openRing(t, dir)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := headLen; n < len(before); n += slotLen {
		if bytes.Contains(after, before[n:n+slotLen]) {
			t.Errorf("slot at %d is as before", n)
		}
	}
	old := make([]byte, len(before))
	if _, err := remains.ReadAt(old, 0); err != nil || strings.Trim(string(old), "\x00") != "" {
		t.Errorf("the old file is not overwritten, %v", err)
	}
}

func opens(r *Ring, at store.Place, sealed []byte, want string) error {
	plain, err := r.Open(at, sealed)
	if err == nil && string(plain) != want {
		err = fmt.Errorf("opened as %q", plain)
	}
	return err
}

// TestConcurrent lets readers open while a writer seals, syncs and forgets.
func TestConcurrent(t *testing.T) {
	r := newRing(t)
	bob := mustSeal(t, r, ofBob, "bob")
	done := make(chan error, 4)
	for range 4 {
		go func() {
			var err error
			for i := 0; i < 200 && err == nil; i++ {
				err = opens(r, ofBob, bob, "bob")
			}
			done <- err
		}()
	}
	for i := range 50 {
		p := store.PersonID(fmt.Sprint(i))
		mustSeal(t, r, store.Place{Bucket: "b", Key: []byte(p), Person: p}, "x")
		mustSync(t, r)
		if err := r.Forget(p.Tag()); err != nil {
			t.Error(err)
		}
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
