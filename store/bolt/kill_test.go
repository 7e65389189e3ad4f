package bolt_test

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

var killsFlag = flag.Int("bolt.kills", 30, "how often the writing process is killed")

// childEnv names the store that a child process of this test writes to.
const childEnv = "BOLT_TEST_CHILD"

// TestKilled kills a writing process again and again. Every person whose Update
// it had reported is found, and none is found without his template and events.
func TestKilled(t *testing.T) {
	if path := os.Getenv(childEnv); path != "" {
		writeUntilKilled(t, path)
	}
	kills := *killsFlag
	if testing.Short() {
		kills = 5
	}
	dir := t.TempDir()
	acked, total := map[store.PersonID]bool{}, 0
	path := filepath.Join(dir, "0", "store.db")
	for n := range kills {
		if n%10 == 0 { // the making of a store is cut as well
			clear(acked)
			path = filepath.Join(dir, fmt.Sprint(n), "store.db")
		}
		after := time.Duration(rand.Int64N(int64(60 * time.Millisecond)))
		ids := runAndKill(t, path, after, n%5 == 0)
		for _, id := range ids {
			acked[id] = true
		}
		total += len(ids)
		checkSurvivors(t, path, acked)
	}
	if total == 0 {
		t.Error("nothing was ever acknowledged")
	}
}

// runAndKill starts the child and kills it some time after its start, if early,
// or after its first report. It returns what the child reported.
func runAndKill(t *testing.T, path string, after time.Duration, early bool) (ids []store.PersonID) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	patience := time.Minute
	if early {
		patience = after
	}
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // what comes without an end of line was not reported
			break
		}
		if len(ids) == 0 && !early {
			timer.Reset(after)
		}
		ids = append(ids, store.PersonID(line[:len(line)-1]))
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	return ids
}

// writeUntilKilled is the child: several writers, each of which reports a person
// after his Update has returned.
func writeUntilKilled(t *testing.T, path string) {
	s, err := bolt.Open(path, bolt.Options{Environment: store.Sandbox, LockTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var out sync.Mutex
	for range 8 {
		go func() {
			for {
				p := store.Person{ID: store.NewID[store.PersonID](time.Now()), Merchant: "m"}
				p.Email = string(p.ID)
				if err := s.Update(t.Context(), cause, func(tx *store.Tx) error { return enrol(tx, &p) }); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(p.ID)
				out.Unlock()
			}
		}()
	}
	select {}
}

// enrol writes what belongs together.
func enrol(tx *store.Tx, p *store.Person) error {
	if err := store.Put(tx, p); err != nil {
		return err
	}
	t := store.Template{ID: store.NewTemplateID(p.ID, "x"), Merchant: p.Merchant, Person: p.ID, Space: "x", Vector: make([]float32, 256)}
	if err := store.Put(tx, &t); err != nil {
		return err
	}
	_, err := store.Append(tx, store.Event{Kind: store.EventEnrolment, Person: p.ID}, p.Email)
	return err
}

func checkSurvivors(t *testing.T, path string, acked map[store.PersonID]bool) {
	t.Helper()
	checkPages(t, path)
	s := open(t, path)
	defer s.Close()
	err := s.View(t.Context(), func(tx *store.Tx) error {
		people := map[store.PersonID]bool{}
		for p, err := range store.All(tx, store.PersonsByMerchant) {
			if err != nil {
				return err
			}
			people[p.ID] = true
			if _, err := store.Get[store.Template](tx, store.NewTemplateID(p.ID, "x")); err != nil {
				t.Errorf("person %s: %v", p.ID, err)
			}
			if n, err := store.Count(tx, store.EventsByPerson, store.Plain(p.ID)); n != 3 || err != nil {
				t.Errorf("person %s: %d events, %v, want 3", p.ID, n, err)
			}
		}
		for id := range acked {
			if !people[id] {
				t.Errorf("person %s was acknowledged and is gone", id)
			}
		}
		templates, err := store.Count(tx, store.TemplatesBySpace)
		if err != nil || templates != len(people) {
			t.Errorf("%d templates of %d people, %v", templates, len(people), err)
		}
		head, err := store.Head(tx)
		if err != nil || head != uint64(3*len(people)) {
			t.Errorf("%d events of %d people, %v", head, len(people), err)
		}
		t.Logf("acknowledged %d, found %d", len(acked), len(people))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// checkPages lets bbolt check its own file, if it was made at all.
func checkPages(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		return
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
