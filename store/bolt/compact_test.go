package bolt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
)

// all reads what an open store holds, as text.
func all(t *testing.T, s *Store) string {
	t.Helper()
	var b bytes.Buffer
	tx, err := s.begin(false)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	err = tx.ForEach(func(name []byte, in *bbolt.Bucket) error {
		return in.ForEach(func(k, v []byte) error {
			fmt.Fprintf(&b, "%s %x %x\n", name, k, v)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// churn puts people and erases most of them, so that much of the file is free.
func churn(t testing.TB, s *Store, people int) {
	t.Helper()
	var ids []store.PersonID
	for range people {
		p := store.Person{ID: store.NewID[store.PersonID](time.Now()), Merchant: "m", Firstname: "a name in the clear"}
		img := store.Image{ID: store.ImageID(p.ID), Merchant: "m", Person: p.ID, Data: bytes.Repeat([]byte("face"), 4000)}
		err := s.Update(t.Context(), cause, func(tx *store.Tx) error {
			return errors.Join(store.Put(tx, &p), store.Put(tx, &img))
		})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, p.ID)
	}
	for _, id := range ids[:people*9/10] {
		if err := s.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Erase(tx, id) }); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCompact(t *testing.T) {
	s := openTemp(t)
	churn(t, s, 200)
	before, err := os.Stat(s.path)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	want := all(t, s)

	var told int64
	compacted := make(chan error)
	err = s.View(t.Context(), func(tx *store.Tx) error {
		n, err := store.Count(tx, store.ImagesByPerson)
		go func() {
			compacted <- s.Compact(t.Context(), func(done, _ int64) { told = done })
		}()
		for { // the file has been replaced when new Views have another
			if st, err := os.Stat(s.path); err == nil && st.Size() < before.Size() {
				break
			}
			time.Sleep(time.Millisecond)
		}
		select {
		case err := <-compacted:
			t.Errorf("done before the last View of the old file: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		m, err2 := store.Count(tx, store.ImagesByPerson)
		if n != m || n != 20 {
			t.Errorf("the View sees %d images, before it was %d", m, n)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-compacted; err != nil {
		t.Fatal(err)
	}
	if got := all(t, s); got != want {
		t.Error("another store than before")
	}
	after, err := os.Stat(s.path)
	if err != nil || after.Size() > before.Size()/4 || after.Mode().Perm() != 0o600 {
		t.Errorf("%d bytes after %d, mode %v, %v", after.Size(), before.Size(), after.Mode(), err)
	}
	if told == 0 {
		t.Error("no progress was told of")
	}
	rest := make([]byte, before.Size())
	if _, err := old.ReadAt(rest, 0); err != nil || len(bytes.Trim(rest, "\x00")) > 0 {
		t.Errorf("the old file is not overwritten (%v)", err)
	}
	if names, _ := filepath.Glob(s.path + "*"); len(names) != 1 {
		t.Errorf("left %v", names)
	}
	if _, err := Open(s.path, Options{Environment: store.Sandbox, LockTimeout: 10 * time.Millisecond}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("the new file is not locked: %v", err)
	}
	churn(t, s, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(t.Context(), nil); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestCompactUnderLoad: what is committed while the file is replaced is in the new
// one, again and again, and failed Updates leave nothing.
func TestCompactUnderLoad(t *testing.T) {
	s := openTemp(t)
	churn(t, s, 50)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	var mu sync.Mutex
	kept, gone := map[store.PersonID]string{}, map[store.PersonID]bool{}
	for w := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			var mine []store.Person
			for n := 0; ctx.Err() == nil; n++ {
				switch {
				case len(mine) < 5 || r.IntN(3) == 0:
					p := store.Person{ID: store.NewID[store.PersonID](time.Now()), Merchant: "m", Email: fmt.Sprint(w, n)}
					if err := s.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &p) }); err != nil {
						t.Error(err)
						return
					}
					mine = append(mine, p)
				case r.IntN(2) == 0:
					p := &mine[r.IntN(len(mine))]
					err := s.Update(t.Context(), cause, func(tx *store.Tx) error {
						p.Firstname = fmt.Sprint(n)
						return store.Put(tx, p)
					})
					if err != nil {
						t.Error(err)
						return
					}
				default:
					id := mine[0].ID
					mine = mine[1:]
					fail := n%2 == 0
					err := s.Update(t.Context(), cause, func(tx *store.Tx) error {
						err := store.Erase(tx, id)
						if fail {
							err = errors.Join(err, syscall.EPERM)
						}
						return err
					})
					mu.Lock()
					if fail != (err != nil) {
						t.Error(err)
					}
					if fail {
						kept[id] = ""
					} else {
						gone[id] = true
					}
					mu.Unlock()
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for _, p := range mine {
				kept[p.ID] = p.Firstname
			}
		})
	}
	for range 8 {
		if err := s.Compact(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
	stop()
	wg.Wait()
	again := reopen(t, s)
	err := again.View(t.Context(), func(tx *store.Tx) error {
		for id, name := range kept {
			p, err := store.Get[store.Person](tx, id)
			if err != nil || name != "" && p.Firstname != name {
				t.Errorf("%s is %+v, %v; want %s", id, p, err, name)
			}
		}
		for id := range gone {
			if _, err := store.Get[store.Person](tx, id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s was erased: %v", id, err)
			}
		}
		people, err := store.Count(tx, store.PersonsByMerchant)
		if want := 5 + len(kept); people != want {
			t.Errorf("%d people, want %d", people, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d kept, %d erased", len(kept), len(gone))
}

func reopen(t *testing.T, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(s.path, Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	return again
}

// TestCompactGivesUp: whatever ends a Compact before the names change leaves the
// store as it was.
func TestCompactGivesUp(t *testing.T) {
	for name, tt := range map[string]struct {
		at   string
		do   func(*Store, context.CancelFunc)
		want error
	}{
		"cancelled":          {"portion", func(_ *Store, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"cancelled late":     {"sync", func(_ *Store, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"closed":             {"sync", func(s *Store, _ context.CancelFunc) { go s.Close(); <-s.stopped }, store.ErrClosed},
		"the draft is taken": {"rename", func(s *Store, _ context.CancelFunc) { os.Remove(s.path + draftSuffix) }, os.ErrNotExist},
		"too many changes": {"catch up", func(s *Store, _ context.CancelFunc) {
			for i := range busyKeys + 2 {
				s.changed.noted[place{"b", fmt.Sprint(i)}] = struct{}{}
			}
		}, ErrBusy},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTemp(t)
			churn(t, s, 20)
			want := all(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := false
			s.step = func(step string) {
				if step == tt.at && !done {
					done = true
					tt.do(s, cancel)
				}
			}
			if tt.at == "catch up" {
				s.changed.noted = nil
				inner := s.step
				s.step = func(step string) {
					if step == "portion" {
						for i := range stillKeys + 1 {
							s.changed.note([]undo{{bucket: "b", key: []byte(fmt.Sprint(i))}})
						}
					}
					inner(step)
				}
			}
			if err := s.Compact(ctx, nil); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			s.step = nil
			again := reopen(t, s)
			if all(t, again) != want {
				t.Error("another store than before")
			}
			if names, _ := filepath.Glob(s.path + "*"); len(names) != 1 {
				t.Errorf("left %v", names)
			}
			if err := again.Compact(t.Context(), nil); err != nil || all(t, again) != want {
				t.Errorf("the next time: %v", err)
			}
		})
	}
}

// cutEnv names the store and the step at which a child of TestCompactIsCut dies.
const cutEnv = "BOLT_TEST_CUT"

// TestCompactIsCut kills a process at each step of a Compact in turn, while others
// change people, and looks for every acknowledged change.
func TestCompactIsCut(t *testing.T) {
	if where := os.Getenv(cutEnv); where != "" {
		compactAndDie(t, where)
	}
	steps := []string{
		"create", "portion", "catch up", "sync", "hold still", "sync still", "link", "rename", "sync directory",
		"close", "overwrite", "remove",
	}
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			s, err := Open(path, Options{Environment: store.Sandbox, NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			churn(t, s, 30)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			acked := runCut(t, path, step)
			again, err := Open(path, Options{Environment: store.Sandbox, NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			err = again.View(t.Context(), func(tx *store.Tx) error {
				for _, id := range acked {
					if _, err := store.Get[store.Person](tx, id); err != nil {
						t.Errorf("%s was acknowledged: %v", id, err)
					}
				}
				n, err := store.Count(tx, store.PersonsByMerchant)
				head, err2 := store.Head(tx)
				if n < 3+len(acked) || int(head) != 30*2+27*3+(n-3) {
					t.Errorf("%d people after %d acknowledged, %d events", n, len(acked), head)
				}
				return errors.Join(err, err2)
			})
			if err != nil {
				t.Error(err)
			}
			if names, _ := filepath.Glob(path + "*"); len(names) != 1 {
				t.Errorf("left %v", names)
			}
		})
	}
}

func runCut(t *testing.T, path, step string) (acked []store.PersonID) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCompactIsCut$")
	cmd.Env = append(os.Environ(), cutEnv+"="+step+":"+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		acked = append(acked, store.PersonID(lines.Text()))
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed: %v", err)
	}
	if len(acked) > 0 && len(acked[len(acked)-1]) != 24 {
		acked = acked[:len(acked)-1]
	}
	return acked
}

// compactAndDie is the child: it reports people after their Update has returned.
func compactAndDie(t *testing.T, where string) {
	step, path, _ := bytes.Cut([]byte(where), []byte(":"))
	s, err := Open(string(path), Options{Environment: store.Sandbox})
	if err != nil {
		t.Fatal(err)
	}
	var out sync.Mutex
	some := make(chan bool)
	for range 4 {
		go func() {
			for {
				p := store.Person{ID: store.NewID[store.PersonID](time.Now()), Merchant: "m"}
				if err := s.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &p) }); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(p.ID)
				out.Unlock()
				select {
				case some <- true:
				default:
				}
			}
		}()
	}
	s.step = func(at string) {
		if at == "portion" && string(step) == "catch up" { // enough for a round
			for range 200 {
				<-some
			}
		}
		if at == string(step) {
			out.Lock() // no line is cut
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	for {
		if err := s.Compact(t.Context(), nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
