package audit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// world is a sealed store with its log, and a clock that a test sets.
type world struct {
	testing.TB
	dir   string
	now   time.Time
	store *bolt.Store
	log   *Log
	days  int
	most  int // events of a period
}

var morning = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

func newWorld(t testing.TB, most int) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir(), now: morning, most: most}
	w.open(0)
	t.Cleanup(func() { w.log.Close(); w.store.Close() })
	return w
}

func (w *world) options() bolt.Options {
	return bolt.Options{Environment: store.Sandbox, NoSync: true, Clock: func() time.Time { return w.now },
		Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: w.dir})}
}

func (w *world) path() string { return bolt.Path(w.dir, store.Sandbox) }

func (w *world) auditDir() string { return Dir(w.dir, store.Sandbox) }

// open opens store and log, with a new epoch where that is not 0.
func (w *world) open(newEpoch uint64) {
	w.Helper()
	opt := w.options()
	opt.NewEpoch = newEpoch
	var err error
	if w.store, err = bolt.Open(w.path(), opt); err != nil {
		w.Fatal(err)
	}
	w.openLog()
}

func (w *world) openLog() {
	w.Helper()
	var err error
	w.log, err = Open(w.Context(), Config{Store: w.store, Dir: w.auditDir(), Days: w.days, PeriodEvents: w.most, Clock: func() time.Time { return w.now }})
	if err != nil {
		w.Fatal(err)
	}
}

// closeAll closes both; what fails fails the test.
func (w *world) closeAll() {
	w.Helper()
	w.must(w.log.Close())
	w.must(w.store.Close())
}

// crash closes the store without a word from the log.
func (w *world) crash() {
	w.Helper()
	w.must(w.log.notes.close())
	w.must(w.store.Close())
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// append adds events, a minute apart.
func (w *world) append(n int) {
	w.Helper()
	kinds := []store.EventKind{store.EventDecision, store.EventAccess, store.EventDoor}
	for done := 0; done < n; done += 50 {
		w.must(w.store.Update(w.Context(), cause, func(tx *store.Tx) error {
			for i := done; i < min(done+50, n); i++ {
				w.now = w.now.Add(time.Minute)
				e := store.Event{Kind: kinds[rand.IntN(len(kinds))], Merchant: store.MerchantID(fmt.Sprint("m", rand.IntN(2))), Time: w.now,
					Counters: map[string]float64{"similarity": float64(rand.IntN(100))}}
				var personal any
				if rand.IntN(3) > 0 {
					e.Person = store.PersonID(fmt.Sprint("p", rand.IntN(5)))
					personal = map[string]string{"name": "Ada <Lovelace>"}
				}
				if _, err := store.Append(tx, e, personal); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// tend lets the log do what is due, as of the next morning.
func (w *world) tend() {
	w.Helper()
	w.now = w.now.Add(24 * time.Hour)
	w.must(w.log.Tend(w.Context()))
}

// all returns the events as the log lists them, the newest first.
func (w *world) all(q Query) (all []store.Envelope) {
	w.Helper()
	for {
		page, err := w.log.List(w.Context(), q)
		w.must(err)
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		q.Cursor = page.Next
	}
}

func (w *world) verify(notes ...string) Report {
	w.Helper()
	r, err := w.log.Verify(w.Context(), VerifyOptions{Checkpoints: notes})
	w.must(err)
	return r
}

// clean verifies the log and complains of any finding.
func (w *world) clean(notes ...string) Report {
	w.Helper()
	r := w.verify(notes...)
	for _, f := range r.Findings {
		w.Errorf("finding: %+v", f)
	}
	return r
}

// periodFiles returns the paths of the files of periods, in order.
func (w *world) periodFiles() []string {
	files, err := filepath.Glob(filepath.Join(w.auditDir(), "*"+periodSuffix))
	w.must(err)
	return files
}

func (w *world) head() uint64 {
	w.Helper()
	t, err := w.log.tree(context.Background())
	w.must(err)
	return t.Size()
}

// inStore counts the events that lie in the store.
func (w *world) inStore() (n int) {
	w.Helper()
	w.must(w.store.View(w.Context(), func(tx *store.Tx) error {
		events, err := store.Events(tx, 0, 1<<20)
		n = len(events)
		return err
	}))
	return n
}

func (w *world) copyTo(from, to string) {
	w.Helper()
	b, err := os.ReadFile(from)
	w.must(err)
	w.must(os.WriteFile(to, b, 0o600))
}
