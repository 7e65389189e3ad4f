package seal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
)

// lines returns whom the erasure log of a folder is about.
func logged(t *testing.T, dir string) (people []store.PersonTag) {
	t.Helper()
	lines, err := Erasures(ErasuresPath(dir, store.Sandbox))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range lines {
		people = append(people, e.Person)
	}
	return people
}

// putAside keeps the files of an environment, and returns what puts them back.
func putAside(t *testing.T, dir string) (putBack func()) {
	t.Helper()
	env := filepath.Dir(Path(dir, store.Sandbox))
	kept := t.TempDir()
	if err := os.CopyFS(filepath.Join(kept, "env"), os.DirFS(env)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.RemoveAll(env), os.CopyFS(env, os.DirFS(filepath.Join(kept, "env")))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOlderKeyringPutBack: a keyring from before an erasure forgets the person
// when it is opened, whether it knew him or not.
func TestOlderKeyringPutBack(t *testing.T) {
	dir := t.TempDir()
	r := openRing(t, dir)
	ada, bob := mustSeal(t, r, ofAda, "ada"), mustSeal(t, r, ofBob, "bob")
	mustSync(t, r)
	putBack := putAside(t, dir)
	ofEve := store.Place{Bucket: "b", Key: []byte("eve"), Person: "eve"}
	eve := mustSeal(t, r, ofEve, "eve")
	mustSync(t, r)
	for _, p := range []store.PersonID{"ada", "eve"} {
		if err := r.Forget(p.Tag()); err != nil {
			t.Fatal(err)
		}
	}
	if got := logged(t, dir); !slices.Equal(got, []store.PersonTag{begun, store.PersonID("ada").Tag(), store.PersonID("eve").Tag()}) {
		t.Errorf("the log has %x", got)
	}
	putBack()
	for range 2 {
		r = openRing(t, dir)
		if err := opens(r, ofAda, ada, "ada"); !errors.Is(err, store.ErrErased) {
			t.Errorf("the erased one: error %v, want ErrErased", err)
		}
		if _, err := r.Open(ofEve, eve); err == nil {
			t.Error("the one the keyring did not know yet")
		}
		if err := opens(r, ofBob, bob, "bob"); err != nil {
			t.Error(err)
		}
		if n := len(r.Forgotten()); n != 2 {
			t.Errorf("%d people are forgotten, want 2", n)
		}
		b, err := os.ReadFile(Path(dir, store.Sandbox))
		if n := (len(b) - headLen) / slotLen; err != nil || n != 4 { // general, bob, two forgotten
			t.Errorf("%d slots in the file, want 4, %v", n, err)
		}
	}
}

// TestErasureLogMended: what is missing from the log, is damaged in it or was cut
// comes back from the keyring, and lines of others change nothing.
func TestErasureLogMended(t *testing.T) {
	dir := t.TempDir()
	path := ErasuresPath(dir, store.Sandbox)
	r := openRing(t, dir)
	bob := mustSeal(t, r, ofBob, "bob")
	mustSeal(t, r, ofAda, "ada")
	mustSync(t, r)
	if err := r.Forget(ofAda.Person.Tag()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := newRing(t)
	k := other.generalKey.derive(labelErasures)
	forged := Erasure{Time: time.Unix(1, 0), Person: ofBob.Person.Tag()}
	forged.proof = forged.prove(&k)
	late := bytes.Replace(whole, []byte("Z"), []byte("+01:00"), 1)
	for name, b := range map[string][]byte{
		"gone": nil, "cut": whole[:len(whole)-10], "cut in the first line": whole[:20], "of another keyring": forged.line(),
		"forged": append(bytes.Clone(whole), forged.line()...), "another time": late, "nonsense": []byte("# x\n\xff\x00 y z\n\n1 2 3\n"),
	} {
		if b == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		r := openRing(t, dir)
		if err := opens(r, ofBob, bob, "bob"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := logged(t, dir); !slices.Contains(got, begun) || !slices.Contains(got, ofAda.Person.Tag()) {
			t.Errorf("%s: the log has %x", name, got)
		}
		if known, err := r.Recall(path); !known || err != nil {
			t.Errorf("%s: known %v, %v", name, known, err)
		}
		if known, _ := other.Recall(path); known {
			t.Errorf("%s: another keyring takes it for its own", name)
		}
		n := len(logged(t, dir))
		if openRing(t, dir); len(logged(t, dir)) != n {
			t.Errorf("%s: it grows with each opening", name)
		}
	}
}

// TestCutPutBack: an opening that forgets people of an older keyring may be cut.
func TestCutPutBack(t *testing.T) {
	var ada, bob []byte
	prepare := func(t *testing.T, dir string) {
		r := openRing(t, dir)
		ada, bob = mustSeal(t, r, ofAda, "ada"), mustSeal(t, r, ofBob, "bob")
		mustSync(t, r)
		putBack := putAside(t, dir)
		if err := r.Forget(ofAda.Person.Tag()); err != nil {
			t.Fatal(err)
		}
		putBack()
	}
	op := func(dir string, d disk) error {
		m, err := FindMaster(MasterOptions{Dir: dir})
		if err != nil {
			return err
		}
		r := emptyRing(Path(dir, store.Sandbox), m, Options{})
		r.disk = d
		return errors.Join(r.load(Options{}), r.remember())
	}
	cutEverywhere(t, prepare, op, func(t *testing.T, dir string, _ bool) {
		r := openRing(t, dir)
		if err := opens(r, ofAda, ada, "ada"); !errors.Is(err, store.ErrErased) {
			t.Errorf("error %v, want ErrErased", err)
		}
		if err := opens(r, ofBob, bob, "bob"); err != nil {
			t.Error(err)
		}
	})
}

// FuzzErasures: lines that are read are written and read again alike.
func FuzzErasures(f *testing.F) {
	f.Add([]byte("2026-11-26T08:00:00Z 00112233445566778899aabbccddeeff 0123456789abcdef0123456789abcdef\n"))
	f.Add([]byte("# x\n2026-11-26T08:00:00+01:00 00112233445566778899AABBCCDDEEFF 0123456789abcdef0123456789abcdef \r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		lines := parseErasures(b)
		again := parseErasures(FormatErasures(lines, time.Unix(0, 0)))
		if len(again) != len(lines) {
			t.Fatalf("%d lines, and written %d", len(lines), len(again))
		}
		for i, e := range lines {
			k := key{1}
			if again[i].Person != e.Person || again[i].proof != e.proof || again[i].prove(&k) != e.prove(&k) {
				t.Errorf("%+v is written as %+v", e, again[i])
			}
		}
	})
}
