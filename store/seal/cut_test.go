package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
)

var errCut = errors.New("cut")

// cutter counts the steps that a disk takes, and cuts the last one.
type cutter struct{ left, taken int }

func (c *cutter) disk() disk { return disk{step: c.step, noSync: true} }

func (c *cutter) step(string) error {
	c.taken++
	if c.left == 0 {
		return errCut
	}
	c.left--
	return nil
}

// cutEverywhere runs op in a new folder with a cut at its first step, then at its
// second, and so on until it comes to its end; check looks at what each leaves.
func cutEverywhere(t *testing.T, prepare func(t *testing.T, dir string), op func(dir string, d disk) error, check func(t *testing.T, dir string, cut bool)) {
	t.Helper()
	for n := 0; ; n++ {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(n))
		prepare(t, dir)
		c := &cutter{left: n}
		err := op(dir, c.disk())
		if err != nil && !errors.Is(err, errCut) {
			t.Fatalf("cut %d: %v", n, err)
		}
		check(t, dir, err != nil)
		if t.Failed() {
			t.Fatalf("with cut %d", n)
		}
		if err == nil {
			if n < 3 {
				t.Errorf("%d steps only", n)
			}
			return
		}
	}
}

func TestCutFirstWrite(t *testing.T) {
	op := func(dir string, d disk) error {
		r := openRing(t, dir)
		r.disk = d
		mustSeal(t, r, ofAda, "ada")
		return r.Sync()
	}
	cutEverywhere(t, func(*testing.T, string) {}, op, func(t *testing.T, dir string, _ bool) {
		r := openRing(t, dir)
		ada := mustSeal(t, r, ofAda, "ada")
		mustSync(t, r)
		if err := opens(openRing(t, dir), ofAda, ada, "ada"); err != nil {
			t.Error(err)
		}
	})
}

func TestCutSync(t *testing.T) {
	var bob, ada []byte
	prepare := func(t *testing.T, dir string) {
		r := openRing(t, dir)
		bob = mustSeal(t, r, ofBob, "bob")
		mustSync(t, r)
	}
	op := func(dir string, d disk) error {
		r := openRing(t, dir)
		r.disk = d
		ada = mustSeal(t, r, ofAda, "ada")
		if err := r.Sync(); err != nil {
			return err
		}
		mustSeal(t, r, store.Place{Bucket: "b", Person: "eve"}, "eve")
		if err := r.Sync(); err != nil {
			return err
		}
		mustSeal(t, r, store.Place{Bucket: "b", Person: "kim"}, "kim")
		return r.Sync()
	}
	cutEverywhere(t, prepare, op, func(t *testing.T, dir string, _ bool) {
		r := openRing(t, dir)
		if err := opens(r, ofAda, ada, "ada"); err != nil && r.Has(ofAda.Person.Tag()) {
			t.Error(err)
		}
		again := mustSeal(t, r, ofAda, "again")
		mustSync(t, r)
		r = openRing(t, dir)
		if err := errors.Join(opens(r, ofBob, bob, "bob"), opens(r, ofAda, again, "again")); err != nil {
			t.Error(err)
		}
	})
}

// TestCutForget: the person is whole or erased, and erased in the end.
func TestCutForget(t *testing.T) {
	var ada, bob []byte
	var old []*os.File // the keyring with ada's key, as one who looks at the disk sees it
	prepare := func(t *testing.T, dir string) {
		r := openRing(t, dir)
		ada, bob = mustSeal(t, r, ofAda, "ada"), mustSeal(t, r, ofBob, "bob")
		mustSync(t, r)
		old = nil
		for _, path := range r.paths() {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			old = append(old, f)
		}
	}
	op := func(dir string, d disk) error {
		r := openRing(t, dir)
		r.disk = d
		return r.Forget(ofAda.Person.Tag())
	}
	cutEverywhere(t, prepare, op, func(t *testing.T, dir string, cut bool) {
		r := openRing(t, dir)
		if err := opens(r, ofBob, bob, "bob"); err != nil {
			t.Error(err)
		}
		switch err := opens(r, ofAda, ada, "ada"); {
		case err == nil && cut && r.Has(ofAda.Person.Tag()):
		case errors.Is(err, store.ErrErased) && !r.Has(ofAda.Person.Tag()):
		default:
			t.Errorf("cut %v: %v", cut, err)
		}
		for i, path := range r.paths() {
			if err := overwritten(path, old[i], !r.Has(ofAda.Person.Tag())); err != nil {
				t.Errorf("cut %v: %s: %v", cut, path, err)
			}
		}
		if err := r.Forget(ofAda.Person.Tag()); err != nil {
			t.Error(err)
		}
		if err := opens(openRing(t, dir), ofAda, ada, "ada"); !errors.Is(err, store.ErrErased) {
			t.Errorf("in the end: %v", err)
		}
	})
}

// overwritten checks that an old file is zeros, if it has to be gone, or else may
// be the one that holds, and that no other name is left.
func overwritten(path string, old *os.File, gone bool) error {
	if names, _ := filepath.Glob(path + oldSuffix); len(names) > 0 {
		return fmt.Errorf("left %v", names)
	}
	held, err := os.Stat(path)
	if err != nil {
		return err
	}
	st, err := old.Stat()
	if err != nil || !gone && os.SameFile(st, held) {
		return err
	}
	b := make([]byte, st.Size())
	if _, err := old.ReadAt(b, 0); err != nil {
		return err
	}
	if strings.Trim(string(b), "\x00") != "" {
		return errors.New("the old file is not overwritten")
	}
	return nil
}

// rotation is a change of the master key of two environments.
type rotation struct {
	name     string
	from, to func(dir string) (*Master, error)
	local    bool // a key in the data folder afterwards
}

func find(opt MasterOptions) func(string) (*Master, error) {
	return func(dir string) (*Master, error) {
		opt.Dir = dir
		return FindMaster(opt)
	}
}

// keyFile makes a key file on another file system than the data, where there is
// one.
func keyFile(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "usb")
	if err != nil {
		t.Logf("key files lie on the disk of the data: %v", err)
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "usb.key")
	k := newKey()
	write(t, path, k[:])
	return path
}

func phrase(words string) func(bool) ([]byte, error) {
	return func(bool) ([]byte, error) { return []byte(words), nil }
}

// TestCutRotation: wherever a rotation is cut, each keyring opens with the old or
// the new master key, and a second try ends it.
func TestCutRotation(t *testing.T) {
	local, usb, other := find(MasterOptions{}), find(MasterOptions{KeyFile: keyFile(t)}), find(MasterOptions{KeyFile: keyFile(t)})
	for _, tt := range []rotation{
		{"local to local", local, NextLocal, true},
		{"local to a key file", local, usb, false},
		{"key file to another", usb, other, false},
		{"key file to local", usb, NextLocal, true},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t) })
	}
}

var environments = []store.Environment{store.Sandbox, store.Production}

func (tt *rotation) run(t *testing.T) {
	values := map[store.Environment][]byte{}
	prepare := func(t *testing.T, dir string) {
		m := must(t)(tt.from(dir))
		for _, env := range environments {
			r, err := Open(Path(dir, env), m, Options{NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			values[env] = mustSeal(t, r, ofAda, string(env))
			mustSync(t, r)
		}
	}
	op := func(dir string, d disk) error {
		from, to := must(t)(tt.from(dir)), must(t)(tt.to(dir))
		return rotate(dir, from, to, d)
	}
	// opened tells which of the two masters each keyring opens with.
	opened := func(t *testing.T, dir string, find func(string) (*Master, error)) (n int) {
		for _, env := range environments {
			r, err := Open(Path(dir, env), must(t)(find(dir)), Options{MustExist: true})
			if errors.Is(err, ErrMaster) {
				continue
			}
			if err != nil {
				t.Error(err)
			} else if err := opens(r, ofAda, values[env], string(env)); err != nil {
				t.Error(err)
			}
			n++
		}
		return n
	}
	after := tt.to // what is found once the rotation is done
	if tt.local {
		after = find(MasterOptions{})
	}
	cutEverywhere(t, prepare, op, func(t *testing.T, dir string, _ bool) {
		if n := opened(t, dir, tt.from) + opened(t, dir, after); n < len(environments) {
			t.Errorf("%d keyrings open", n)
		}
		if err := op(dir, disk{noSync: true}); err != nil {
			t.Fatalf("second try: %v", err)
		}
		if n := opened(t, dir, after); n != len(environments) {
			t.Errorf("%d keyrings open in the end", n)
		}
		for name, want := range map[string]bool{localName: tt.local, nextName: false} {
			if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) == want {
				t.Errorf("%s is there: %v, want %v", name, err == nil, want)
			}
		}
	})
}

func must(t *testing.T) func(*Master, error) *Master {
	return func(m *Master, err error) *Master {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
}

// TestFailedWriteIsMadeUpFor: after a write that failed, as on a full disk, the
// same keyring goes on, and the next write brings what is missing.
func TestFailedWriteIsMadeUpFor(t *testing.T) {
	for n := 0; ; n++ {
		dir := t.TempDir()
		r := openRing(t, dir)
		bob := mustSeal(t, r, ofBob, "bob")
		mustSync(t, r)
		c := &cutter{left: n}
		r.disk = c.disk()
		var ada, eve []byte
		ofEve := store.Place{Bucket: "b", Person: "eve"}
		steps := []func() error{
			func() error { ada = mustSeal(t, r, ofAda, "ada"); return r.Sync() },
			func() error { return r.Forget(ofAda.Person.Tag()) },
			func() error { eve = mustSeal(t, r, ofEve, "eve"); return r.Sync() },
			r.Sync,
		}
		failed := false
		for _, step := range steps {
			if err := step(); err != nil {
				failed = true
				c.left = 1000 // there is room again
			}
		}
		for range 2 {
			if err := opens(r, ofAda, ada, "ada"); !errors.Is(err, store.ErrErased) {
				t.Errorf("failure %d: the forgotten one: %v", n, err)
			}
			if err := errors.Join(opens(r, ofBob, bob, "bob"), opens(r, ofEve, eve, "eve")); err != nil {
				t.Errorf("failure %d: %v", n, err)
			}
			r = openRing(t, dir)
		}
		if !failed {
			return
		}
	}
}
