package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// sealed makes a keyring in memory's place.
func sealed(t testing.TB) bolt.Options {
	t.Helper()
	dir := t.TempDir()
	master, err := seal.FindMaster(seal.MasterOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.Open(filepath.Join(dir, "keyring"), master, seal.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	opt := options
	opt.Sealer = ring
	return opt
}

// varied makes a store with pages of every kind: branches, pages that go over
// several, small buckets, free pages.
func varied(t testing.TB, path string, opt bolt.Options) {
	t.Helper()
	s, err := bolt.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, 60)
	img := store.Image{ID: "i", Merchant: "m", Person: "p", Data: bytes.Repeat([]byte("face"), 4000)}
	site := store.Site{ID: "s", Merchant: "m"}
	update(t, s, func(tx *store.Tx) error { return errors.Join(store.Put(tx, &img), store.Put(tx, &site)) })
	fill2 := store.Person{ID: store.NewID[store.PersonID](s0), Merchant: "m", Email: "gone"}
	update(t, s, func(tx *store.Tx) error { return store.Put(tx, &fill2) })
	update(t, s, func(tx *store.Tx) error { return store.Erase(tx, fill2.ID) })
	update(t, s, func(tx *store.Tx) error { return store.Ack(tx, "central", 3) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func check(t testing.TB, path string, opt bolt.Options) *bolt.Report {
	t.Helper()
	r, err := bolt.CheckFile(t.Context(), path, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCheckOfAWholeStore(t *testing.T) {
	dir, opt := t.TempDir(), sealed(t)
	path := filepath.Join(dir, "store.db")
	varied(t, path, opt)
	offline := check(t, path, opt)
	s, err := bolt.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	online, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*bolt.Report{"offline": offline, "online": online} {
		if !r.Whole() || r.Checked.Records != 62 || r.Size == 0 || r.Free == 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if _, err := bolt.CheckFile(t.Context(), path, opt); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a file in use: error %v, want ErrLocked", err)
	}
	if n, err := s.Mend(t.Context(), online); n != 0 || err != nil {
		t.Errorf("mended %d, %v", n, err)
	}
}

// TestCheckWhileChanging checks again and again while others write and the file is
// compacted.
func TestCheckWhileChanging(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	fill(t, s, 300)
	stop := make(chan bool)
	done := make(chan bool)
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			p := store.Person{ID: store.NewID[store.PersonID](time.Now()), Merchant: "m", Email: fmt.Sprint("e", n)}
			err := s.Update(t.Context(), cause, func(tx *store.Tx) error { return enrol(tx, &p) })
			if err == nil && n%3 == 0 {
				err = s.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Erase(tx, p.ID) })
			}
			if err == nil && n%100 == 0 {
				err = s.Compact(t.Context(), nil)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 20 {
		r, err := s.Check(t.Context())
		if err != nil || !r.Whole() {
			t.Errorf("%+v, %v", r, err)
		}
	}
	close(stop)
	<-done
}

// kindsOfPages says of which kind each page is that can be reached, by bbolt's own
// reading; what is left out is free.
func kindsOfPages(t *testing.T, path string) (kinds map[int]string, spans map[int]int) {
	t.Helper()
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	kinds, spans = map[int]string{}, map[int]int{}
	err = db.View(func(tx *bbolt.Tx) error {
		for id := 0; ; {
			p, err := tx.Page(id)
			if p == nil || err != nil {
				return err
			}
			kinds[id], spans[id] = p.Type, 1+p.OverflowCount
			if p.Type == "free" {
				spans[id] = 1
			}
			id += spans[id]
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return kinds, spans
}

// TestEveryDamageIsFound changes each byte of each header, and some of all other
// bytes, of each page of a sealed store in turn. Check finds it, or it was of no
// consequence: all is read as before. So does a page that is missing, that is
// another one, or that cannot be read.
func TestEveryDamageIsFound(t *testing.T) {
	dir, opt := t.TempDir(), sealed(t)
	path := filepath.Join(dir, "store.db")
	varied(t, path, opt)
	kinds, _ := kindsOfPages(t, path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Which consumer stands where is not sealed: another name, or another event
	// before the head, is taken for true.
	read := func(path string) string {
		all := dump(t, path)
		maps.DeleteFunc(all, func(k, _ string) bool { return strings.HasPrefix(k, "outbox/") })
		return fmt.Sprint(all)
	}
	want := read(path)
	const page = 4096
	random := rand.New(rand.NewPCG(3, 4))
	victim := filepath.Join(dir, "victim.db")
	found, harmless := map[string]int{}, map[string]int{}
	try := func(kind, name string, bad []byte) {
		if err := os.WriteFile(victim, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		r := check(t, victim, opt)
		for _, f := range r.Faults {
			if f.Where == "" || f.What == "" || f.Cost == "" {
				t.Errorf("%s: says too little: %+v", name, f)
			}
		}
		switch {
		case !r.Whole():
			found[kind]++
		case kind == "free" || read(victim) == want:
			harmless[kind]++
		default:
			t.Errorf("%s of a %s page is not found, and something else is read: %v", name, kind, different(dump(t, path), dump(t, victim)))
		}
	}
	tried := map[string]int{}
	for id, kind := range kinds {
		if tried[kind]++; testing.Short() && tried[kind] > 4 && tried[kind]%4 > 0 {
			continue // where the pages of a kind lie is another thing each time: count, so that each is there
		}
		at := id * page
		var offsets []int
		for i := range 16 {
			offsets = append(offsets, i)
		}
		if kind == "meta" {
			for i := 16; i < 80; i++ {
				offsets = append(offsets, i)
			}
		}
		for range 4 { // elements, and what they point at
			offsets = append(offsets, 16+random.IntN(200), random.IntN(page))
		}
		for _, i := range offsets {
			if at+i >= len(good) {
				continue
			}
			bad := bytes.Clone(good)
			bad[at+i] ^= byte(1 + random.IntN(255))
			try(kind, fmt.Sprintf("byte %d of page %d", i, id), bad)
		}
		for name, spoil := range map[string]func(b []byte){
			"zeros":   func(b []byte) { clear(b) },
			"another": func(b []byte) { copy(b, good[len(good)/page/2*page:]) },
			"sector":  func(b []byte) { clear(b[512*random.IntN(8):][:512]) },
		} {
			bad := bytes.Clone(good)
			spoil(bad[at:min(at+page, len(bad))])
			try(kind, fmt.Sprintf("%s in the place of page %d", name, id), bad)
		}
	}
	for cut := 0; cut < len(good); cut += len(good) / 50 {
		try("end", fmt.Sprintf("the end at %d", cut), good[:cut])
	}
	t.Logf("found %v, of no consequence %v", found, harmless)
	for _, kind := range []string{"meta", "branch", "leaf", "freelist", "free"} {
		if found[kind]+harmless[kind] == 0 {
			t.Errorf("no %s page was damaged", kind)
		}
	}
}

// different names what is not the same in two stores.
func different(a, b map[string]string) (all []string) {
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			all = append(all, fmt.Sprintf("%q: %q, was %q", k, w, v))
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			all = append(all, fmt.Sprintf("%q is new", k))
		}
	}
	return all
}

// spoil changes the bytes of a file.
func spoil(t *testing.T, path string, fn func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, fn(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// pageOf returns the number of a page of some kind with several elements.
func pageOf(t *testing.T, path, kind string) int {
	t.Helper()
	kinds, spans := kindsOfPages(t, path)
	best := -1
	for id, k := range kinds {
		if k == kind && (best < 0 || spans[id] > spans[best] || spans[id] == spans[best] && id < best) {
			best = id
		}
	}
	if best < 0 {
		t.Fatalf("no %s page", kind)
	}
	return best
}

// TestNamedDamage: each weakness of bbolt is refused or found, named, and has a way
// out that leaves a whole store.
func TestNamedDamage(t *testing.T) {
	const page = 4096
	overflow := func(kind string, n uint32) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			at := pageOf(t, path, kind) * page
			spoil(t, path, func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at+12:], n); return b })
		}
	}
	newestMeta := func(b []byte) int {
		if binary.LittleEndian.Uint64(b[16+48:]) > binary.LittleEndian.Uint64(b[page+16+48:]) {
			return 0
		}
		return page
	}
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, path string)
		opens bool   // it can be used all the same
		says  string // in the error of Open, or in the faults of Check
		mends bool
	}{
		"the newest meta page is lost": {func(t *testing.T, path string) {
			spoil(t, path, func(b []byte) []byte { clear(b[newestMeta(b):][:page]); return b })
		}, false, "commit before", true},
		"the newest meta page is an older one": {func(t *testing.T, path string) {
			spoil(t, path, func(b []byte) []byte {
				at := newestMeta(b)
				copy(b[at:at+page], b[page-at:][:page])
				return b
			})
		}, false, "do not follow", true},
		"both meta pages are lost": {func(t *testing.T, path string) {
			spoil(t, path, func(b []byte) []byte { clear(b[:2*page]); return b })
		}, false, "meta pages are damaged", false},
		"a page claims more than it has":    {overflow("leaf", 5), true, "goes over 5 more pages", true},
		"a page claims less than it has":    {overflow("leaf", 0), true, "goes over 0 more pages", true},
		"a page claims the whole file":      {overflow("branch", 1<<30), true, "goes over 1073741824 more", true},
		"the list of free pages is no list": {overflow("freelist", 1<<30), false, "goes over 1073741824 more", true},
		"what is in use is free": {func(t *testing.T, path string) {
			list := pageOf(t, path, "freelist") * page
			leaf := pageOf(t, path, "leaf")
			spoil(t, path, func(b []byte) []byte {
				n := int(binary.LittleEndian.Uint16(b[list+10:]))
				last := binary.LittleEndian.Uint64(b[list+16+8*(n-1):])
				for i := range n {
					if id := binary.LittleEndian.Uint64(b[list+16+8*i:]); id > uint64(leaf) {
						binary.LittleEndian.PutUint64(b[list+16+8*i:], uint64(leaf))
						return b
					}
				}
				binary.LittleEndian.PutUint16(b[list+10:], uint16(n+1))
				binary.LittleEndian.PutUint64(b[list+16+8*n:], last+1)
				return b
			})
		}, true, "said to be free", true},
		"the list of free pages is a leaf": {func(t *testing.T, path string) {
			at := pageOf(t, path, "freelist") * page
			spoil(t, path, func(b []byte) []byte { b[at+8] = 2; return b })
		}, false, "", true},
		"a leaf is a page of zeros": {func(t *testing.T, path string) {
			at := pageOf(t, path, "leaf") * page
			spoil(t, path, func(b []byte) []byte { clear(b[at : at+page]); return b })
		}, true, "says that it is page 0", false},
		"the file is empty": {func(t *testing.T, path string) { truncate(t, path, 0) }, false, "is empty", false},
		"the file is cut":   {func(t *testing.T, path string) { truncate(t, path, 6*page) }, false, "ends at", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir, opt := t.TempDir(), sealed(t)
			path := filepath.Join(dir, "store.db")
			varied(t, path, opt)
			want := dump(t, path)
			tt.spoil(t, path)
			s, err := bolt.Open(path, opt)
			if err == nil {
				s.Close()
			}
			if tt.opens != (err == nil) || err != nil && !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrForeign) {
				t.Errorf("open: %v", err)
			}
			if tt.opens { // and has written
				os.Remove(path)
				varied(t, path, opt)
				want = dump(t, path)
				tt.spoil(t, path)
			}
			r := check(t, path, opt)
			if r.Whole() || !strings.Contains(fmt.Sprint(r.Faults), tt.says) || r.Mendable() != tt.mends {
				t.Errorf("%+v", r.Faults)
			}
			n, err := bolt.MendFile(t.Context(), path, opt)
			if tt.mends != (err == nil) || (n > 0) != tt.mends {
				t.Errorf("mended %d, %v", n, err)
			}
			if !tt.mends {
				if !strings.Contains(err.Error(), "restore") {
					t.Errorf("%v has no way out", err)
				}
				return
			}
			if r := check(t, path, opt); !r.Whole() {
				t.Errorf("after mending: %+v", r.Faults)
			}
			got := dump(t, path)
			for k := range want {
				if _, ok := got[k]; !ok && !strings.Contains(name, "meta") {
					t.Errorf("%q is lost", k)
				}
			}
		})
	}
}

// TestMendIndexes: lines of indexes come back from the records, with the store in
// use and without.
func TestMendIndexes(t *testing.T) {
	dir, opt := t.TempDir(), sealed(t)
	path := filepath.Join(dir, "store.db")
	varied(t, path, opt)
	want := dump(t, path)
	drop := func() {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		err = db.Update(func(tx *bbolt.Tx) error {
			lines := tx.Bucket([]byte("index.person-email"))
			return errors.Join(tx.DeleteBucket([]byte("index.persons-merchant")),
				lines.Put([]byte("x"), []byte("nobody")), lines.Put([]byte("y"), []byte("s")))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	drop()
	if r := check(t, path, opt); len(r.Faults) != 62 || !r.Mendable() {
		t.Errorf("%d faults: %+v", len(r.Faults), r.Faults)
	}
	if n, err := bolt.MendFile(t.Context(), path, opt); n != 62 || err != nil {
		t.Errorf("mended %d, %v", n, err)
	}
	drop()
	s, err := bolt.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Mend(t.Context(), r); n != 62 || err != nil {
		t.Errorf("mended %d, %v", n, err)
	}
	s.Close()
	if r := check(t, path, opt); !r.Whole() {
		t.Errorf("%+v", r.Faults)
	}
	got := dump(t, path)
	for k, v := range want {
		if strings.HasPrefix(k, "index.person") && got[k] != v {
			t.Errorf("%q is %q", k, got[k])
		}
	}
}
