package uplink_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/cypherface/edge/sync/uplink"
	"github.com/cypherface/edge/sync/wire"
)

// host drives a machine and remembers what it asked for.
type host struct {
	t   *testing.T
	m   *uplink.Machine
	now time.Duration
	out []uplink.Output
}

var state = uplink.State{
	Device: "box", Epoch: 1, Head: 10, Central: "central", CentralEpoch: 3, Acked: 4,
	Scopes: []wire.Bookmark{{Scope: "s", Rev: 7}},
}

var welcome = wire.Welcome{
	Protocol: wire.Newest, Central: "central", Epoch: 3, Head: 4, Credits: 1 << 20, Ping: 1000,
	Scopes: []wire.ScopeState{{Scope: "s", Head: 7}},
}

func newHost(t *testing.T, cfg uplink.Config, st uplink.State) *host {
	if cfg.Random == nil {
		cfg.Random = func() float64 { return 0.5 }
	}
	return &host{t: t, m: uplink.New(0, cfg, st)}
}

// step returns what one input leads to.
func (h *host) step(in uplink.Input) []uplink.Output {
	h.out = append([]uplink.Output(nil), h.m.Step(h.now, in)...)
	return h.out
}

// find returns the first output of a type, and whether there was one.
func find[T uplink.Output](outs []uplink.Output) (o T, ok bool) {
	for _, x := range outs {
		if o, ok = x.(T); ok {
			return o, true
		}
	}
	return o, false
}

// sent returns the first message of a type that was sent.
func sent[M wire.Message](outs []uplink.Output) (m M, ok bool) {
	for _, x := range outs {
		if s, is := x.(uplink.Send); is {
			if m, ok = s.Message.(M); ok {
				return m, true
			}
		}
	}
	return m, false
}

// connect brings the machine to a Welcome, and carries out what has to be saved.
func (h *host) connect(w wire.Welcome) []uplink.Output {
	h.t.Helper()
	h.now = max(h.now, h.m.Wake())
	if _, ok := find[uplink.Dial](h.step(uplink.Tick{})); !ok {
		h.t.Fatalf("it does not dial at %v: %v", h.now, h.out)
	}
	if _, ok := sent[*wire.Hello](h.step(uplink.Dialled{})); !ok {
		h.t.Fatal("no hello")
	}
	h.step(uplink.Received{Message: &w})
	if save, ok := find[uplink.Save](h.out); ok {
		h.step(uplink.Done{Request: save})
	}
	if st := h.m.Status(h.now); st.Phase != uplink.Online {
		h.t.Fatalf("it is %s: %s", st.Phase, st.Why)
	}
	return h.out
}

func (h *host) receive(m wire.Message) []uplink.Output { return h.step(uplink.Received{Message: m}) }

func feed(after uint64, n int) *wire.Feed {
	f := &wire.Feed{Scope: "s", After: after, Head: after + uint64(n)}
	for range n {
		f.Changes = append(f.Changes, wire.Change{Op: wire.OpPut, Kind: "person", ID: "p"})
	}
	return f
}

func TestAppliedOnlyWhenDurable(t *testing.T) {
	h := newHost(t, uplink.Config{}, state)
	h.connect(welcome)
	apply, ok := find[uplink.Apply](h.receive(feed(7, 2)))
	if !ok {
		t.Fatal("it does not apply a feed")
	}
	if _, ok := sent[*wire.Applied](h.out); ok {
		t.Error("it acknowledges what is not durable")
	}
	if _, ok := sent[*wire.Applied](h.step(uplink.Tick{})); ok {
		t.Error("it acknowledges what is not durable, later")
	}
	h.step(uplink.Done{Request: apply, Err: errors.New("full")})
	if _, ok := sent[*wire.Applied](h.out); ok {
		t.Error("it acknowledges what has failed")
	}
	h.now = h.m.Wake()
	again, ok := find[uplink.Apply](h.step(uplink.Tick{}))
	if !ok || again != apply {
		t.Fatalf("it does not try again what has failed: %v", h.out)
	}
	a, ok := sent[*wire.Applied](h.step(uplink.Done{Request: again}))
	if !ok || a.Rev != 9 {
		t.Errorf("applied %+v", a)
	}
	if c, ok := sent[*wire.Credits](h.out); !ok || c.More != wire.Cost(apply.Feed) {
		t.Errorf("it gives back %+v for %d", c, wire.Cost(apply.Feed))
	}
}

func TestFeedsFollowEachOther(t *testing.T) {
	for name, m := range map[string]wire.Message{
		"a gap":                   feed(8, 1),
		"a repetition":            feed(6, 1),
		"nothing":                 feed(7, 0),
		"another scope":           &wire.Feed{Scope: "x", After: 7, Head: 8, Changes: feed(7, 1).Changes},
		"more than there is":      &wire.Feed{Scope: "s", After: 7, Head: 7, Changes: feed(7, 1).Changes},
		"a snapshot's middle":     &wire.Snapshot{Scope: "s", Rev: 9, After: "k", Next: "l"},
		"a snapshot that is none": &wire.Snapshot{Scope: "s", Next: "l"},
		"what boxes send":         &wire.Applied{},
		"a second welcome":        &welcome,
		"an early acknowledgement": &wire.EventsAck{
			Through: 9,
		},
		"a ping too many": &wire.Ping{Number: 2},
	} {
		h := newHost(t, uplink.Config{}, state)
		h.connect(welcome)
		if _, ok := find[uplink.Hangup](h.receive(m)); !ok {
			t.Errorf("%s: it goes on: %v", name, h.out)
		}
		if outs := h.receive(feed(7, 1)); len(outs) > 0 {
			t.Errorf("%s: it listens after it hung up: %v", name, outs)
		}
	}
}

func TestWindowIsKept(t *testing.T) {
	h := newHost(t, uplink.Config{Window: 100}, state)
	h.connect(welcome)
	if _, ok := find[uplink.Hangup](h.receive(feed(7, 2))); ok {
		t.Error("one message may cost more than is left")
	}
	if _, ok := find[uplink.Hangup](h.receive(feed(9, 1))); !ok {
		t.Error("the central sends without credits, and may")
	}
}

func TestEventsGoOnFromWhatTheCentralHas(t *testing.T) {
	for _, c := range []struct {
		name         string
		head, epoch  uint64
		saves, rewin bool
	}{{"as acknowledged", 4, 3, false, false}, {"further", 6, 3, true, false}, {"a central that was restored", 2, 4, true, true}} {
		h := newHost(t, uplink.Config{}, state)
		w := welcome
		w.Head, w.Epoch = c.head, c.epoch
		h.now = h.m.Wake()
		h.step(uplink.Tick{})
		h.step(uplink.Dialled{})
		save, saves := find[uplink.Save](h.receive(&w))
		if saves != c.saves || (save.Met != nil) != c.rewin || saves && *save.Acked != c.head {
			t.Errorf("%s: it saves %+v", c.name, save)
		}
		if saves {
			if _, early := find[uplink.Read](h.out); early {
				t.Errorf("%s: it sends before it has saved where the central is", c.name)
			}
			h.step(uplink.Done{Request: save})
		}
		if r, ok := find[uplink.Read](h.out); !ok || r.After != c.head {
			t.Errorf("%s: it reads after %d: %v", c.name, r.After, h.out)
		}
	}
}

func TestOneReadAtATime(t *testing.T) {
	h := newHost(t, uplink.Config{}, state)
	w := welcome
	w.Credits = 1
	r, _ := find[uplink.Read](h.connect(w))
	if _, ok := find[uplink.Read](h.step(uplink.Grown{Head: 12})); ok {
		t.Error("two reads are under way")
	}
	e := &wire.Events{After: 4, Events: make([]wire.Event, 8)}
	if got, ok := sent[*wire.Events](h.step(uplink.Done{Request: r, Events: e})); !ok || got != e {
		t.Error("it does not send what was read")
	}
	h.step(uplink.Grown{Head: 13})
	if _, ok := find[uplink.Read](h.out); ok {
		t.Error("it reads without credits")
	}
	if _, ok := find[uplink.Read](h.receive(&wire.Credits{More: 1 << 20})); !ok {
		t.Error("it does not go on with credits")
	}
	if _, ok := find[uplink.Save](h.receive(&wire.EventsAck{Through: 12})); !ok {
		t.Error("it does not save what was acknowledged")
	}
}

func TestReadOfALostConnection(t *testing.T) {
	h := newHost(t, uplink.Config{}, state)
	r, _ := find[uplink.Read](h.connect(welcome))
	h.step(uplink.Lost{})
	w := welcome
	w.Head = 2
	h.connect(w)
	if _, ok := sent[*wire.Events](h.step(uplink.Done{Request: r, Events: &wire.Events{After: 4, Events: make([]wire.Event, 1)}})); ok {
		t.Error("what was read for a lost connection is sent on the next")
	}
	if again, ok := find[uplink.Read](h.out); !ok || again.After != 2 {
		t.Errorf("it does not read for the new one: %v", h.out)
	}
}

func TestHoldsUntilCaughtUp(t *testing.T) {
	h := newHost(t, uplink.Config{}, state)
	w := welcome
	w.Hold, w.Scopes = true, []wire.ScopeState{{Scope: "s", Head: 9, Snapshot: true}}
	h.connect(w)
	if h.m.Status(h.now).Match {
		t.Error("it matches and is held")
	}
	snap := &wire.Snapshot{Scope: "s", Rev: 9, Last: true, Head: 9}
	resync, _ := find[uplink.Resync](h.receive(snap))
	h.receive(&wire.Ping{Number: 1, Sent: 2, Caught: true})
	if h.m.Status(h.now).Match || h.m.Status(h.now).Synced {
		t.Error("it matches before the snapshot is durable")
	}
	save, ok := find[uplink.Save](h.step(uplink.Done{Request: resync}))
	if !ok || save.Hold == nil || *save.Hold || h.m.Status(h.now).Match {
		t.Errorf("it saves %+v", save)
	}
	h.step(uplink.Done{Request: save})
	if st := h.m.Status(h.now); !st.Match || !st.Synced {
		t.Errorf("it does not match again: %+v", st)
	}
}

// TestAgeIsExact: the age counts from what the box sent before the central said that
// it has everything, so that a slow network cannot make data look young.
func TestAgeIsExact(t *testing.T) {
	h := newHost(t, uplink.Config{StaleAfter: time.Minute}, state)
	h.connect(welcome)
	asked := h.now // Hello
	if st := h.m.Status(h.now); st.Exact {
		t.Errorf("it knows its age without having heard: %+v", st)
	}
	h.now += 700 * time.Millisecond
	h.receive(&wire.Ping{Number: 1, Sent: 1, Caught: true})
	if st := h.m.Status(h.now); st.Age != h.now-asked || !st.Exact || !st.Synced || st.Stale {
		t.Errorf("after %v: %+v", h.now-asked, st)
	}
	h.step(uplink.Lost{})
	for h.now < asked+time.Minute {
		if h.m.Status(h.now).Stale {
			t.Fatalf("stale after %v", h.now-asked)
		}
		h.now = min(h.m.Wake(), asked+time.Minute)
		h.step(uplink.Tick{})
		h.step(uplink.Lost{})
	}
	if tell, ok := find[uplink.Tell](h.step(uplink.Tick{})); !h.m.Status(h.now).Stale {
		t.Errorf("it is not stale after %v: %v %v", h.now-asked, tell, ok)
	}
}

func TestRevokedForEver(t *testing.T) {
	h := newHost(t, uplink.Config{}, state)
	h.connect(welcome)
	save, ok := find[uplink.Save](h.receive(&wire.Revoke{Reason: "stolen"}))
	if !ok || save.Revoked == nil {
		t.Fatalf("it does not save that it is revoked: %v", h.out)
	}
	h.step(uplink.Lost{}) // before that is durable
	h.step(uplink.Done{Request: save, Err: errors.New("full")})
	h.now = h.m.Wake()
	save, ok = find[uplink.Save](h.step(uplink.Tick{}))
	if !ok {
		t.Fatal("it forgets that it is revoked when the store fails")
	}
	h.step(uplink.Done{Request: save})
	if st := h.m.Status(h.now); st.Match || !st.Revoked {
		t.Errorf("%+v", st)
	}
	h.now += 10000 * time.Hour
	if _, ok := find[uplink.Dial](h.step(uplink.Tick{})); ok {
		t.Error("it dials")
	}
}

func TestOtherCentrals(t *testing.T) {
	for name, change := range map[string]func(*wire.Welcome){
		"another central":    func(w *wire.Welcome) { w.Central = "other" },
		"a newer protocol":   func(w *wire.Welcome) { w.Protocol = wire.Newest + 1 },
		"more than we wrote": func(w *wire.Welcome) { w.Head = 11 },
	} {
		h := newHost(t, uplink.Config{}, state)
		h.now = h.m.Wake()
		h.step(uplink.Tick{})
		h.step(uplink.Dialled{})
		w := welcome
		change(&w)
		if _, ok := find[uplink.Hangup](h.receive(&w)); !ok {
			t.Errorf("%s: it goes on", name)
		}
	}
}

// TestFullJitter: each moment of the window is as likely, and the window grows.
func TestFullJitter(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 1))
	cfg := uplink.Config{Random: dice.Float64, BackoffMin: time.Second, BackoffMax: 8 * time.Second}
	waits := make([][]time.Duration, 6)
	for range 2000 {
		h := newHost(t, cfg, state)
		for try := range waits {
			h.now = h.m.Wake()
			h.step(uplink.Tick{})
			h.step(uplink.Lost{})
			waits[try] = append(waits[try], h.m.Wake()-h.now)
		}
	}
	for try, want := range []time.Duration{1, 2, 4, 8, 8, 8} {
		var quarters [4]int
		for _, w := range waits[try] {
			if w < 0 || w >= want*time.Second {
				t.Fatalf("try %d waits %v of %v", try, w, want*time.Second)
			}
			quarters[w*4/(want*time.Second)]++
		}
		for _, n := range quarters {
			if n < 400 || n > 600 {
				t.Errorf("try %d: quarters of the window %v", try, quarters)
			}
		}
	}
}

func TestWindowsOfTheCentral(t *testing.T) {
	h := newHost(t, uplink.Config{}, state)
	h.connect(welcome)
	h.receive(&wire.Error{Code: wire.CodeBusy, Retry: 60000})
	h.step(uplink.Lost{})
	if w := h.m.Wake() - h.now; w != 30*time.Second { // half of it, as the dice say
		t.Errorf("it waits %v of a minute", w)
	}
	h.connect(welcome)
	h.receive(&wire.Ping{Number: 1, Sent: 1, Spread: 20000})
	h.step(uplink.Lost{})
	if w := h.m.Wake() - h.now; w != 10*time.Second {
		t.Errorf("it waits %v of 20 s", w)
	}
}

func TestSilence(t *testing.T) {
	h := newHost(t, uplink.Config{}, state)
	h.connect(welcome)
	h.now = h.m.Wake()
	if _, ok := find[uplink.Hangup](h.step(uplink.Tick{})); !ok || h.now < 3*time.Second {
		t.Errorf("at %v: %v", h.now, h.out)
	}
}

// TestTelemetryIsWhatIsLost: it is bounded, the oldest goes first, and events first
// of all.
func TestTelemetryIsWhatIsLost(t *testing.T) {
	h := newHost(t, uplink.Config{Readings: 3}, state)
	r, _ := find[uplink.Read](h.connect(welcome))
	for i := range 5 {
		h.step(uplink.Measured{Name: "t", Value: float64(i)})
	}
	h.receive(&wire.Ping{Number: 1, Sent: 1})
	if _, ok := sent[*wire.Telemetry](h.out); ok {
		t.Error("telemetry goes before events")
	}
	h.step(uplink.Done{Request: r, Events: &wire.Events{After: 4, Events: make([]wire.Event, 6)}})
	h.receive(&wire.EventsAck{Through: 10})
	h.now += time.Second
	got, ok := sent[*wire.Telemetry](h.receive(&wire.Ping{Number: 2, Sent: 3}))
	want := &wire.Telemetry{Dropped: 2, Readings: []wire.Reading{{Name: "t", Value: 2, Age: 1000}, {Name: "t", Value: 3, Age: 1000}, {Name: "t", Value: 4, Age: 1000}}}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestCheckpointOnceAConnection(t *testing.T) {
	h := newHost(t, uplink.Config{}, state)
	h.step(uplink.Checkpointed{Note: []byte("one")})
	if c, ok := sent[*wire.Checkpoint](h.connect(welcome)); !ok || string(c.Note) != "one" {
		t.Errorf("%+v", c)
	}
	if _, ok := sent[*wire.Checkpoint](h.step(uplink.Tick{})); ok {
		t.Error("twice")
	}
	if c, ok := sent[*wire.Checkpoint](h.step(uplink.Checkpointed{Note: []byte("two")})); !ok || string(c.Note) != "two" {
		t.Errorf("%+v", c)
	}
}

// FuzzStep throws inputs at a machine in any order: it never panics, and has one Read
// and one write under way at most.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14})
	f.Add([]byte{0, 1, 2, 12, 3, 12, 3, 5, 12, 12, 4, 0, 1, 2, 12, 6, 7, 8})
	f.Fuzz(func(t *testing.T, program []byte) {
		h := newHost(t, uplink.Config{}, state)
		var reads, writes []uplink.Request
		for i, b := range program {
			h.now += time.Duration(b) * time.Duration(i) * time.Millisecond
			n := uint64(b / 16)
			h.step([]uplink.Input{
				uplink.Tick{}, uplink.Dialled{}, uplink.Received{Message: &welcome}, uplink.Received{Message: feed(7+n, 1)},
				uplink.Lost{}, uplink.Received{Message: &wire.EventsAck{Through: 4 + n}}, uplink.Grown{Head: 10 + n},
				uplink.Received{Message: &wire.Ping{Number: n, Sent: n, Caught: true}}, uplink.Received{Message: &wire.Credits{More: n << 60}},
				uplink.Received{Message: &wire.Snapshot{Scope: "s", Rev: n, Last: n%2 == 0, Next: "k"}}, uplink.Received{Message: &wire.Revoke{}},
				uplink.Received{Message: &wire.Error{Code: wire.Code(n), Retry: n << 60}}, done(&reads, &writes, n), uplink.Measured{}, uplink.Received{Message: &wire.Hello{}},
				uplink.Received{Message: &wire.Feed{Scope: "s", After: 7, Head: 1 << 62, Changes: []wire.Change{{Op: wire.OpLater, Run: n << 61}}}},
			}[b%16])
			for _, o := range h.out {
				switch o := o.(type) {
				case uplink.Read:
					reads = append(reads, o)
				case uplink.Request:
					writes = append(writes, o)
				}
			}
			if len(reads) > 1 || len(writes) > 1 {
				t.Fatalf("%d reads and %d writes are under way", len(reads), len(writes))
			}
		}
	})
}

// done answers a request that is under way.
func done(reads, writes *[]uplink.Request, n uint64) uplink.Input {
	var err error
	if n%4 == 3 {
		err = errors.New("full")
	}
	if len(*writes) > 0 && n%2 == 0 || len(*reads) == 0 && len(*writes) > 0 {
		r := (*writes)[0]
		*writes = nil
		return uplink.Done{Request: r, Err: err}
	}
	if len(*reads) > 0 {
		r := (*reads)[0].(uplink.Read)
		*reads = nil
		return uplink.Done{Request: r, Err: err, Events: &wire.Events{After: r.After, Events: make([]wire.Event, n)}}
	}
	return uplink.Tick{}
}
