package audit

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
)

var sizeFlag = flag.Int("audit.size", 0, "number of events to measure the log with; 0: not at all")

// TestSize prints what the log costs with very many events: make size.
func TestSize(t *testing.T) {
	if *sizeFlag == 0 {
		t.Skip("it takes minutes: -audit.size 10000000, as make size does")
	}
	w := &world{TB: t, dir: t.TempDir(), now: morning}
	w.open(0)
	total, people := *sizeFlag, max(1, *sizeFlag/100)
	person := func(i int) store.PersonID { return store.PersonID(fmt.Sprintf("%024x", i)) }
	// A day has 100,000 events, and the log is tended after each.
	begin := time.Now()
	var archiving time.Duration
	for done := 0; done < total; {
		w.must(w.store.Update(t.Context(), cause, func(tx *store.Tx) error {
			for range min(500, total-done) {
				w.now = w.now.Add(864 * time.Millisecond)
				e := store.Event{Kind: store.EventDecision, Merchant: "m", Door: "d", Person: person(rand.IntN(people)), Time: w.now, Action: "identify",
					Outcome: store.OutcomeMatch, Counters: map[string]float64{"similarity": 90 + 10*rand.Float64(), "threshold": 80, "gallery": 1000, "faces": 1, "frames": 3}}
				if _, err := store.Append(tx, e, nil); err != nil {
					return err
				}
				done++
			}
			return nil
		}))
		if done%20_000 == 0 {
			at := time.Now()
			w.must(w.log.Tend(t.Context()))
			archiving += time.Since(at)
		}
	}
	t.Logf("%d events were appended in %.0f s, and moved into periods in %.0f s of them", total, time.Since(begin).Seconds(), archiving.Seconds())
	w.measure(total, person(people/2))
}

func (w *world) measure(total int, somebody store.PersonID) {
	size := func(path string) int64 {
		st, err := os.Stat(path)
		w.must(err)
		return st.Size()
	}
	var periods int64
	for _, f := range w.periodFiles() {
		periods += size(f)
	}
	w.Logf("%d periods, %d bytes an event; %d events in the store, whose file has %d MB", len(w.periodFiles()), periods/int64(total), w.inStore(), size(w.path())>>20)
	took := func(what string, fn func()) {
		w.Helper()
		at := time.Now()
		fn()
		w.Logf("%-52s %9.1f ms", what, time.Since(at).Seconds()*1000)
	}
	w.crash()
	took("open store and log after a crash", func() { w.open(0) })
	list := func(q Query) func() {
		return func() {
			_, err := w.log.List(w.Context(), q)
			w.must(err)
		}
	}
	took("list the newest 100", list(Query{Merchant: "m"}))
	took("list the first 100 of a day a year ago, if there is one", list(Query{From: w.now.AddDate(-1, 0, 0), To: w.now.AddDate(-1, 0, 1)}))
	took("list all of a person", func() { w.all(Query{Person: somebody, Limit: 1 << 20}) })
	took("prove the first event", func() {
		_, err := w.log.Prove(w.Context(), 0, 1)
		w.must(err)
	})
	took("prove an event in the middle", func() {
		_, err := w.log.Prove(w.Context(), 0, uint64(total/2))
		w.must(err)
	})
	took("verify everything", func() { w.clean() })
	out, err := os.Create(filepath.Join(w.TempDir(), "export"))
	w.must(err)
	took("export everything", func() { w.must(w.log.Export(w.Context(), out, ExportOptions{})) })
	w.must(out.Close())
	w.days = 1
	w.closeAll()
	w.open(0)
	took("drop all but a day", func() { w.must(w.log.Tend(w.Context())) })
	w.clean()
}
