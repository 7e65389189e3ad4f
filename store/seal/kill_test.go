package seal_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

var killsFlag = flag.Int("seal.kills", 20, "how often the writing process is killed")

// childEnv names the data folder that a child process of this test writes to.
const childEnv = "SEAL_TEST_CHILD"

// TestKilled kills a process that enrols and erases. Who was enrolled and not
// erased can be read; who was erased, or was about to be, is whole or gone with
// his key.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(childEnv); dir != "" {
		enrolAndErase(t, dir)
	}
	kills := *killsFlag
	if testing.Short() {
		kills = 4
	}
	dir := filepath.Join(t.TempDir(), "data")
	l := &ledger{enrolled: map[store.PersonID]bool{}, erased: map[store.PersonID]bool{}}
	for n := range kills {
		if n%8 == 0 { // the making of a keyring is cut as well
			l.forget()
			dir = filepath.Join(t.TempDir(), "data")
		}
		runAndKill(t, dir, l, time.Duration(rand.Int64N(int64(60*time.Millisecond))), n%4 == 0)
		l.check(t, dir)
	}
	if l.total == 0 {
		t.Error("nobody was ever enrolled")
	}
}

// ledger is what the children reported.
type ledger struct {
	enrolled, erased map[store.PersonID]bool
	total            int
}

func (l *ledger) forget() {
	clear(l.enrolled)
	clear(l.erased)
}

func (l *ledger) note(line string) {
	word, id, _ := strings.Cut(strings.TrimSpace(line), " ")
	l.total++
	if word == "enrolled" {
		l.enrolled[store.PersonID(id)] = true
	} else {
		l.erased[store.PersonID(id)] = true
	}
}

// runAndKill starts the child and kills it some time after its start, if early, or
// after its first report.
func runAndKill(t *testing.T, dir string, l *ledger, after time.Duration, early bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
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
	for first := true; ; first = false {
		line, err := lines.ReadString('\n')
		if err != nil { // what comes without an end of line was not reported
			break
		}
		if first && !early {
			timer.Reset(after)
		}
		l.note(line)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
}

func sealedOptions(dir string) bolt.Options {
	return bolt.Options{
		Environment: store.Sandbox, LockTimeout: 10 * time.Second,
		Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: dir}),
	}
}

// enrolAndErase is the child: several writers, each of which enrols people and
// erases every other one, and reports what has come to its end.
func enrolAndErase(t *testing.T, dir string) {
	s, err := bolt.Open(bolt.Path(dir, store.Sandbox), sealedOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	var out sync.Mutex
	step := func(done string, id store.PersonID, fn func(tx *store.Tx) error) {
		if err := s.Update(t.Context(), cause, fn); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		out.Lock()
		defer out.Unlock()
		fmt.Println(done, id)
	}
	for range 4 {
		go func() {
			for n := 0; ; n++ {
				p := store.Person{ID: store.NewID[store.PersonID](time.Now()), Merchant: "m"}
				p.Email = string(p.ID)
				step("enrolled", p.ID, func(tx *store.Tx) error {
					v := store.Template{ID: store.NewTemplateID(p.ID, "x"), Merchant: "m", Person: p.ID, Space: "x", Vector: []float32{1}}
					return errors.Join(store.Put(tx, &p), store.Put(tx, &v))
				})
				if n%2 == 0 {
					step("erased", p.ID, func(tx *store.Tx) error { return store.Erase(tx, p.ID) })
				}
			}
		}()
	}
	select {}
}

func (l *ledger) check(t *testing.T, dir string) {
	t.Helper()
	var ring store.Keyring
	opt := sealedOptions(dir)
	opener := opt.Keyring
	opt.Keyring = func() (store.Keyring, error) {
		var err error
		ring, err = opener()
		return ring, err
	}
	s, err := bolt.Open(bolt.Path(dir, store.Sandbox), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.View(t.Context(), func(tx *store.Tx) error {
		there := map[store.PersonID]bool{}
		for p, err := range store.All(tx, store.PersonsByMerchant) {
			if err != nil {
				return err
			}
			there[p.ID] = true
			if _, err := store.Get[store.Template](tx, store.NewTemplateID(p.ID, "x")); err != nil {
				t.Errorf("person %s: %v", p.ID, err)
			}
		}
		forgotten := map[store.PersonTag]bool{}
		for _, tag := range ring.Forgotten() {
			forgotten[tag] = true
		}
		for id := range l.enrolled {
			has, gone := ring.Has(id.Tag()), forgotten[id.Tag()]
			if there[id] != has || there[id] == gone || l.erased[id] && !gone {
				t.Errorf("person %s: there %v, key %v, forgotten %v, reported erased %v", id, there[id], has, gone, l.erased[id])
			}
		}
		t.Logf("enrolled %d, erased %d, there %d", len(l.enrolled), len(l.erased), len(there))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
