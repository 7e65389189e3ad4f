package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
)

// TestLog moves events into periods over some days, and holds what is listed,
// verified and proven against what was appended.
func TestLog(t *testing.T) {
	w := newWorld(t, 300)
	var want []store.Event
	stop := w.store.Watch(func(c store.Commit) { want = append(want, c.Events...) })
	for range 3 {
		w.append(700) // half a day
		w.tend()
	}
	w.append(40)
	stop()
	if n := w.inStore(); n != 40 || len(w.periodFiles()) < 7 {
		t.Errorf("%d events in the store, %d files", n, len(w.periodFiles()))
	}
	for range 2 {
		want := want
		all := w.all(Query{Limit: 97})
		slices.Reverse(all)
		if len(all) != int(w.head()) {
			t.Fatalf("%d events are listed, want %d", len(all), w.head())
		}
		// The secret of the signatures was put before anybody watched.
		if n := len(all) - len(want); n != 1 {
			t.Fatalf("%d events are listed, and %d were appended", len(all), len(want))
		}
		for i, e := range all[1:] {
			if e.Seq != want[i].Seq || e.Kind != want[i].Kind || e.Person != want[i].Person {
				t.Fatalf("event %d is listed as %+v, want %+v", want[i].Seq, e.Event, want[i])
			}
			if _, err := store.OpenPersonal(w.log.sealer, &e); (err == nil) != (e.Person != "") {
				t.Fatalf("personal part of event %d: %v", e.Seq, err)
			}
		}
		r := w.clean()
		if r.Events != w.head() || r.Size != w.head() || r.Checkpoints < 3 || r.Dropped != 0 {
			t.Errorf("report %+v", r)
		}
		w.closeAll()
		w.open(0)
	}
	filters(t, w, want)
	for seq := uint64(1); seq <= w.head(); seq += 77 {
		proof(t, w, 0, seq)
	}
	for _, seq := range []uint64{0, w.head() + 1} {
		if _, err := w.log.Prove(t.Context(), 0, seq); !errors.Is(err, ErrNoEvent) {
			t.Errorf("proof of event %d: error %v, want ErrNoEvent", seq, err)
		}
	}
}

func filters(t *testing.T, w *world, want []store.Event) {
	from, to := want[100].Time, want[1500].Time
	for name, q := range map[string]Query{
		"merchant": {Merchant: "m1"},
		"kinds":    {Merchant: "m0", Kinds: []store.EventKind{store.EventDoor, store.EventAccess}},
		"person":   {Person: "p3"},
		"times":    {From: from, To: to},
		"of times": {Merchant: "m1", Kinds: []store.EventKind{store.EventDoor, store.EventDoor}, From: from},
		"and kind": {Merchant: "m1", Kinds: []store.EventKind{store.EventDoor, store.EventAccess}, From: from, To: want[len(want)-3].Time},
		"match":    {Merchant: "m1", Person: "p1", Match: func(e *store.Event) bool { return e.Counters["similarity"] > 50 }},
		"budget":   {Person: "p2", Budget: 30},
		"nobody":   {Person: "nobody"},
	} {
		var n int
		for i := range want {
			if q.wants(&want[i]) {
				n++
			}
		}
		if got := w.all(q); len(got) != n || name != "nobody" && n == 0 {
			t.Errorf("%s: %d events are listed, want %d", name, len(got), n)
		}
	}
	if _, err := w.log.List(t.Context(), Query{Cursor: "x"}); !errors.Is(err, store.ErrCursor) {
		t.Errorf("bad cursor: error %v, want ErrCursor", err)
	}
}

// proof proves an event, and that a proof of another event or log does not hold.
func proof(t *testing.T, w *world, epoch, seq uint64) {
	t.Helper()
	p, err := w.log.Prove(t.Context(), epoch, seq)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(p, "", "  ") // as it is printed
	w.must(err)
	e, c, err := VerifyProof(b, w.log.Key())
	if err != nil || e.Seq != seq || c.Size < seq {
		t.Errorf("proof of event %d: of %d of %d, %v", seq, e.Seq, c.Size, err)
	}
	if len(p.Path) > 0 {
		p.Path[0][0]++
	} else {
		p.Checkpoint = strings.Replace(p.Checkpoint, "\n1\n", "\n2\n", 1)
	}
	forged, err := json.Marshal(p)
	w.must(err)
	if _, _, err := VerifyProof(forged, w.log.Key()); !errors.Is(err, ErrUntrue) {
		t.Errorf("forged proof of event %d: error %v, want ErrUntrue", seq, err)
	}
	if _, _, err := VerifyProof(b, otherKey); !errors.Is(err, ErrUntrue) {
		t.Errorf("proof with another key: error %v, want ErrUntrue", err)
	}
}

var otherKey = func() string {
	_, key, err := newSigner("cypherface/sandbox/other", make([]byte, 32))
	if err != nil {
		panic(err)
	}
	return key
}()

// TestRetention drops what is old, and proves what is left.
func TestRetention(t *testing.T) {
	w := newWorld(t, 100)
	w.days = 3
	w.closeAll()
	w.open(0)
	for range 6 {
		w.append(150)
		w.tend()
	}
	files := len(w.periodFiles())
	r := w.clean()
	if r.Dropped == 0 || r.Dropped+r.Events != w.head() || files > 8 || files < 4 {
		t.Errorf("%d files, report %+v", files, r)
	}
	if _, err := w.log.Prove(t.Context(), 0, 10); !errors.Is(err, ErrDropped) {
		t.Errorf("proof of a dropped event: error %v, want ErrDropped", err)
	}
	proof(t, w, 0, r.Dropped+1)
	proof(t, w, 0, w.head())
	x, report := export(t, w, ExportOptions{})
	if len(report.Findings) > 0 || report.Events != r.Events {
		t.Errorf("export of %d bytes: %+v", len(x), report)
	}
	if all := w.all(Query{}); uint64(len(all)) != r.Events {
		t.Errorf("%d events are listed, want %d", len(all), r.Events)
	}
	// A consumer that has not got everything keeps the rest.
	w.must(w.store.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Ack(tx, "central", w.head()-20) }))
	w.now = w.now.AddDate(0, 0, 30)
	w.must(w.log.Tend(t.Context()))
	kept := w.clean()
	if kept.Size-kept.Dropped < 20 || kept.Dropped <= r.Dropped {
		t.Errorf("report %+v, %d in the store", kept, w.inStore())
	}
	w.must(w.store.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Ack(tx, "central", w.head()) }))
	w.tend()
	w.tend()
	if r := w.clean(); w.inStore() > 20 || r.Dropped <= kept.Dropped {
		t.Errorf("%d in the store, report %+v", w.inStore(), r)
	}
}

// TestCuts: what a cut has left in the middle of moving events is completed.
func TestCuts(t *testing.T) {
	w := newWorld(t, 100)
	w.append(250)
	for name, leave := range map[string]func(){
		"half a file": func() {
			w.must(os.WriteFile(filepath.Join(w.auditDir(), "00000001-000000000001.period.new"), []byte("x"), 0o600))
		},
		"file alone": func() {
			w.must(os.WriteFile(filepath.Join(w.auditDir(), "00000001-000000000001.period"), []byte("x"), 0o600))
		},
		"half a note":    func() { w.must(appendFile(w.log.notesPath(1), `"cyph`)) },
		"nothing at all": func() {},
	} {
		head := w.head()
		leave()
		w.crash()
		w.open(0)
		if len(w.periodFiles()) != 0 {
			t.Errorf("%s: files %v", name, w.periodFiles())
		}
		if r := w.clean(); r.Size != head {
			t.Errorf("%s: %d events, want %d", name, r.Size, head)
		}
	}
	// The record is there and nothing is trimmed yet.
	var p store.Period
	var err error
	if p, err = writePeriod(t.Context(), w.store, w.auditDir(), store.Tree{}, 1, 100); err != nil {
		t.Fatal(err)
	}
	w.must(w.store.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &p) }))
	for range 2 {
		if all := w.all(Query{}); len(all) != int(w.head()) {
			t.Errorf("%d events are listed, want %d", len(all), w.head())
		}
		w.clean()
		w.crash()
		w.open(0)
	}
	w.tend()
	if n := w.inStore(); n != 0 {
		t.Errorf("%d events are left in the store", n)
	}
	w.clean()
	// A file that was dropped by its record goes with the next opening.
	w.must(w.store.Update(t.Context(), cause, func(tx *store.Tx) error {
		p, err := store.Get[store.Period](tx, p.ID)
		p.Dropped = w.now
		return errors.Join(err, store.Put(tx, &p))
	}))
	files := len(w.periodFiles())
	w.crash()
	w.open(0)
	if n := len(w.periodFiles()); n != files-1 {
		t.Errorf("%d files, want %d", n, files-1)
	}
	w.clean()
}

func appendFile(path, s string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(s)
	return errors.Join(err, f.Close())
}

// TestErased: what a period holds of somebody who was erased is closed for ever,
// and the log holds.
func TestErased(t *testing.T) {
	w := newWorld(t, 100)
	w.must(w.store.Update(t.Context(), cause, func(tx *store.Tx) error {
		return store.Put(tx, &store.Person{ID: "p1", Merchant: "m1"})
	}))
	w.append(250)
	w.tend()
	open := func() (n int) {
		for _, e := range w.all(Query{Person: "p1"}) {
			if _, err := store.OpenPersonal(w.log.sealer, &e); err == nil {
				n++
			} else if !errors.Is(err, store.ErrErased) && !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
		}
		return n
	}
	if open() == 0 {
		t.Fatal("there should be personal parts")
	}
	w.must(w.store.Update(t.Context(), cause, func(tx *store.Tx) error { return store.Erase(tx, "p1") }))
	if n := open(); n != 0 {
		t.Errorf("%d personal parts can be read", n)
	}
	w.clean()
	if _, r := export(t, w, ExportOptions{Personal: true}); len(r.Findings) > 0 {
		t.Errorf("export: %+v", r)
	}
}

// TestEpochs goes on after a restored backup.
func TestEpochs(t *testing.T) {
	w := newWorld(t, 100)
	w.append(250)
	first, err := w.log.Checkpoint(t.Context())
	w.must(err)
	w.must(w.log.Archive(t.Context()))
	if n := w.inStore(); n != 0 {
		t.Fatalf("%d events are left in the store", n)
	}
	w.closeAll()
	w.open(2)
	w.append(30)
	r := w.clean(first.Note)
	if r.Epoch != 2 || r.Size != w.head() || r.Events != w.head()+first.Size {
		t.Errorf("report %+v", r)
	}
	proof(t, w, 1, 17)
	proof(t, w, 2, 17)
	if all := w.all(Query{Limit: 33}); uint64(len(all)) != r.Events {
		t.Errorf("%d events are listed, want %d", len(all), r.Events)
	}
	for epoch := uint64(1); epoch <= 2; epoch++ {
		if x, r := export(t, w, ExportOptions{Epoch: epoch}); len(r.Findings) > 0 || r.Epoch != epoch {
			t.Errorf("export of %d bytes: %+v", len(x), r)
		}
	}
}

// TestCheckpoints: one after many events or some time, and none without events.
func TestCheckpoints(t *testing.T) {
	w := newWorld(t, 1<<16)
	count := func() int {
		cs, bad, err := w.log.checkpoints(1)
		if err != nil || bad > 0 {
			t.Fatal(bad, err)
		}
		return len(cs)
	}
	for _, tt := range []struct {
		events int
		later  time.Duration
		want   int
	}{{1, 0, 1}, {10, 0, 1}, {10, time.Minute, 1}, {0, 5 * time.Minute, 2}, {0, time.Hour, 2}, {1024, 0, 3}} {
		at := w.now
		w.append(tt.events)
		w.now = at.Add(tt.later)
		w.must(w.log.checkpointDue(t.Context()))
		if n := count(); n != tt.want {
			t.Errorf("after %d events and %v: %d checkpoints, want %d", tt.events, tt.later, n, tt.want)
		}
	}
	c, err := w.log.Checkpoint(t.Context())
	w.must(err)
	if again, err := ParseCheckpoint(c.Note, w.log.Key()); err != nil || again != c || c.Size != w.head() {
		t.Errorf("checkpoint %+v is read as %+v, %v", c, again, err)
	}
	if n := count(); n != 3 {
		t.Errorf("%d checkpoints, want 3: nothing was new", n)
	}
}

// TestConcurrent appends, moves, lists, proves and verifies at the same time.
func TestConcurrent(t *testing.T) {
	w := newWorld(t, 64)
	var wg sync.WaitGroup
	done := make(chan struct{})
	loop := func(fn func() error) {
		wg.Go(func() {
			for {
				if err := fn(); err != nil {
					t.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	loop(func() error { return w.log.Archive(t.Context()) })
	loop(func() error {
		page, err := w.log.List(t.Context(), Query{Limit: 1 << 20})
		for i, e := range page.Items {
			if want := page.Items[0].Seq - uint64(i); e.Seq != want {
				return fmt.Errorf("event %d is listed where %d should be", e.Seq, want)
			}
		}
		return err
	})
	loop(func() error {
		r, err := w.log.Verify(t.Context(), VerifyOptions{})
		if len(r.Findings) > 0 {
			t.Errorf("findings %+v", r.Findings)
		}
		return err
	})
	loop(func() error {
		_, err := w.log.Prove(t.Context(), 0, 1)
		return err
	})
	for range 20 {
		w.must(w.store.Update(t.Context(), cause, func(tx *store.Tx) (err error) {
			for range 50 {
				_, err = store.Append(tx, store.Event{Kind: store.EventAccess}, "personal")
			}
			return err
		}))
	}
	close(done)
	wg.Wait()
	w.clean()
}
