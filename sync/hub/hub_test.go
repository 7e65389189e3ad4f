package hub_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cypherface/edge/sync/hub"
	"github.com/cypherface/edge/sync/wire"
)

// host drives a machine and remembers what it asked for.
type host struct {
	t   *testing.T
	m   *hub.Machine
	now time.Duration
	out []hub.Output
}

func newHost(t *testing.T, cfg hub.Config) *host { return &host{t: t, m: hub.New(0, cfg)} }

func (h *host) step(in hub.Input) []hub.Output {
	h.out = append([]hub.Output(nil), h.m.Step(h.now, in)...)
	return h.out
}

func (h *host) receive(c hub.Conn, m wire.Message) []hub.Output {
	return h.step(hub.Received{Conn: c, Message: m})
}

func find[T hub.Output](outs []hub.Output) (o T, ok bool) {
	for _, x := range outs {
		if o, ok = x.(T); ok {
			return o, true
		}
	}
	return o, false
}

// sent returns the first message of a type that was sent to a connection.
func sent[M wire.Message](outs []hub.Output, c hub.Conn) (m M, ok bool) {
	for _, x := range outs {
		if s, is := x.(hub.Send); is && s.Conn == c {
			if m, ok = s.Message.(M); ok {
				return m, true
			}
		}
	}
	return m, false
}

func hello(device string, boot byte) *wire.Hello {
	return &wire.Hello{
		Oldest: wire.Oldest, Newest: wire.Newest, Device: device, Boot: wire.Boot{boot}, Epoch: 1, Head: 100,
		Central: "central", CentralEpoch: 1, Scopes: []wire.Bookmark{{Scope: "s", Rev: 5}}, Credits: 1 << 20,
	}
}

func admitted(c hub.Conn) hub.Admitted {
	return hub.Admitted{Conn: c, Known: true, Central: "central", Epoch: 1, Head: 4, Scopes: []hub.Scope{{Scope: "s", Oldest: 1, Head: 5}}}
}

// connect brings a box in.
func (h *host) connect(c hub.Conn, device string, boot byte) *wire.Welcome {
	h.t.Helper()
	h.step(hub.Opened{Conn: c, Device: device})
	if _, ok := find[hub.Admit](h.receive(c, hello(device, boot))); !ok {
		h.t.Fatalf("it does not ask about %s: %v", device, h.out)
	}
	w, ok := sent[*wire.Welcome](h.step(admitted(c)), c)
	if !ok {
		h.t.Fatalf("no welcome: %v", h.out)
	}
	return w
}

func events(after uint64, n int) *wire.Events {
	return &wire.Events{After: after, Events: make([]wire.Event, n)}
}

func TestAckOnlyWhenDurable(t *testing.T) {
	h := newHost(t, hub.Config{})
	h.connect(1, "box", 1)
	in, ok := find[hub.Ingest](h.receive(1, events(4, 3)))
	if !ok || in.Device != "box" || in.Epoch != 1 {
		t.Fatalf("%+v", h.out)
	}
	h.receive(1, events(7, 2))
	for range 3 {
		h.now += time.Second
		h.step(hub.Tick{})
		if _, ok := sent[*wire.EventsAck](h.out, 1); ok {
			t.Fatal("it acknowledges what is not durable")
		}
		if _, ok := find[hub.Ingest](h.out); ok {
			t.Fatal("two are ingested at once")
		}
	}
	ack, ok := sent[*wire.EventsAck](h.step(hub.Ingested{Conn: 1, Through: 7}), 1)
	if !ok || ack.Through != 7 {
		t.Errorf("%+v", ack)
	}
	if in, ok := find[hub.Ingest](h.out); !ok || in.Events.After != 7 {
		t.Errorf("it does not go on: %v", h.out)
	}
	h.step(hub.Ingested{Conn: 1, Err: errors.New("full")})
	if _, ok := sent[*wire.EventsAck](h.out, 1); ok {
		t.Error("it acknowledges what has failed")
	}
	if e, ok := sent[*wire.Error](h.out, 1); !ok || e.Code != wire.CodeStorage {
		t.Errorf("%v", h.out)
	}
}

func TestRulesForBoxes(t *testing.T) {
	for name, m := range map[string]wire.Message{
		"a gap":                events(5, 1),
		"a repetition":         events(3, 1),
		"nothing":              events(4, 0),
		"gone before":          &wire.Events{After: 4, Gone: 3, Events: make([]wire.Event, 1)},
		"a second hello":       hello("box", 1),
		"what the central may": &wire.Feed{},
		"a wrong pong":         &wire.Pong{Number: 9},
	} {
		h := newHost(t, hub.Config{})
		h.connect(1, "box", 1)
		if _, ok := find[hub.Close](h.receive(1, m)); !ok {
			t.Errorf("%s: it goes on: %v", name, h.out)
		}
		if outs := h.receive(1, events(4, 1)); len(outs) > 0 {
			t.Errorf("%s: it listens after it closed: %v", name, outs)
		}
	}
	for name, m := range map[string]*wire.Hello{
		"another's key": hello("other", 1),
		"too new":       {Oldest: wire.Newest + 1, Newest: wire.Newest + 2, Device: "box"},
	} {
		h := newHost(t, hub.Config{})
		h.step(hub.Opened{Conn: 1, Device: "box"})
		if e, ok := sent[*wire.Error](h.receive(1, m), 1); !ok || e.Code != wire.CodeProtocol {
			t.Errorf("%s: %v", name, h.out)
		}
	}
}

func TestWhoIsNotWelcome(t *testing.T) {
	for name, c := range map[string]struct {
		a    hub.Admitted
		code wire.Code
	}{
		"unknown":           {hub.Admitted{Conn: 1}, wire.CodeUnknown},
		"the store fails":   {hub.Admitted{Conn: 1, Err: errors.New("x")}, wire.CodeStorage},
		"flagged":           {hub.Admitted{Conn: 1, Known: true, Flagged: true, Reason: "twice"}, wire.CodeForked},
		"an older copy":     {hub.Admitted{Conn: 1, Known: true, Head: 101}, wire.CodeForked},
		"revoked, by a key": {hub.Admitted{Conn: 1, Known: true, Revoked: true}, 0},
	} {
		h := newHost(t, hub.Config{})
		h.step(hub.Opened{Conn: 1, Device: "box"})
		h.receive(1, hello("box", 1))
		h.step(c.a)
		e, _ := sent[*wire.Error](h.out, 1)
		_, revoke := sent[*wire.Revoke](h.out, 1)
		if e == nil && !revoke || e != nil && e.Code != c.code {
			t.Errorf("%s: %v", name, h.out)
		}
		if _, ok := find[hub.Close](h.out); !ok {
			t.Errorf("%s: it stays", name)
		}
	}
}

func TestCredits(t *testing.T) {
	h := newHost(t, hub.Config{Window: 1000, Memory: 4000})
	h.step(hub.Fleet{Boxes: 8})
	if w := h.connect(1, "box", 1); w.Credits != 500 {
		t.Errorf("of 4000 for 8 boxes one has %d", w.Credits)
	}
	big := events(4, 10) // more than it has: one message may be
	h.receive(1, big)
	if _, ok := find[hub.Close](h.out); ok {
		t.Fatal("one message may cost more than is left")
	}
	h.receive(1, events(14, 1))
	if _, ok := find[hub.Close](h.out); !ok {
		t.Error("a box may send without credits")
	}

	h = newHost(t, hub.Config{Window: 1000, Memory: 4000})
	h.step(hub.Fleet{Boxes: 8})
	h.connect(1, "box", 1)
	h.receive(1, big)
	c, ok := sent[*wire.Credits](h.step(hub.Ingested{Conn: 1, Through: 14}), 1)
	if !ok || c.More != wire.Cost(big) {
		t.Errorf("it gives %+v back for %d", c, wire.Cost(big))
	}
}

// TestIdleBoxesStarveNobody: what many boxes have and do not use is not missing to
// others.
func TestIdleBoxesStarveNobody(t *testing.T) {
	h := newHost(t, hub.Config{Window: 1 << 20, Memory: 4 << 10, Sending: 4 << 10, Rate: 1e6})
	for i := range 100 {
		if w := h.connect(hub.Conn(i+1), fmt.Sprint("box", i), 1); w.Credits == 0 {
			t.Fatalf("box %d gets no credits", i)
		}
	}
	h.step(hub.Advanced{Scope: "s", Head: 6})
	reads := 0
	for i := 0; len(h.out) > 0 && i < 1000; i++ { // nobody takes what he is sent
		r, ok := find[hub.ReadFeed](h.out)
		if !ok {
			break
		}
		reads++
		h.step(hub.FeedRead{Conn: r.Conn, Feed: &wire.Feed{Scope: "s", After: 5, Head: 6, Changes: []wire.Change{{Op: wire.OpPut, Header: make([]byte, 1000)}}}})
	}
	if reads < 85 { // the first 16 came with the Advanced
		t.Errorf("%d of 100 boxes were sent what is new", reads)
	}
}

func TestReadsAreFew(t *testing.T) {
	h := newHost(t, hub.Config{Readings: 2, Rate: 1e6})
	for i := range 5 {
		h.connect(hub.Conn(i+1), fmt.Sprint("box", i), 1)
	}
	seen := map[hub.Conn]int{}
	under := 0
	count := func() {
		for _, o := range h.out {
			if r, ok := o.(hub.ReadFeed); ok {
				under++
				seen[r.Conn]++
			}
		}
		if under > 2 {
			t.Fatalf("%d reads at once", under)
		}
	}
	h.step(hub.Advanced{Scope: "s", Head: 6})
	count()
	for c := hub.Conn(1); c <= 5; c++ {
		under--
		h.step(hub.FeedRead{Conn: c, Feed: &wire.Feed{Scope: "s", After: 5, Head: 6, Changes: make([]wire.Change, 1)}})
		count()
	}
	if len(seen) != 5 {
		t.Errorf("%d of 5 boxes were read for", len(seen))
	}
}

// TestWhereAScopeGoesOn has each sort of bookmark.
func TestWhereAScopeGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		mark     wire.Bookmark
		epoch    uint64
		snapshot bool // is announced
		rev      uint64
		after    string // of the first read; "" with rev 0: the feed
		feed     uint64
		nothing  bool
	}{
		"up to date":             {mark: wire.Bookmark{Scope: "s", Rev: 20}, epoch: 1, nothing: true},
		"behind":                 {mark: wire.Bookmark{Scope: "s", Rev: 12}, epoch: 1, feed: 12},
		"just before the oldest": {mark: wire.Bookmark{Scope: "s", Rev: 9}, epoch: 1, feed: 9},
		"too far behind":         {mark: wire.Bookmark{Scope: "s", Rev: 8}, epoch: 1, snapshot: true},
		"new":                    {mark: wire.Bookmark{Scope: "s"}, epoch: 1, snapshot: true},
		"further than there is":  {mark: wire.Bookmark{Scope: "s", Rev: 21}, epoch: 1, snapshot: true},
		"of another epoch":       {mark: wire.Bookmark{Scope: "s", Rev: 12}, epoch: 2, snapshot: true},
		"of another scope":       {mark: wire.Bookmark{Scope: "x", Rev: 12}, epoch: 1, snapshot: true},
		"in a snapshot":          {mark: wire.Bookmark{Scope: "s", Snapshot: 15, Cursor: "k"}, epoch: 1, rev: 15, after: "k"},
		"in one of long ago":     {mark: wire.Bookmark{Scope: "s", Snapshot: 3, Cursor: "k"}, epoch: 1, snapshot: true},
	} {
		h := newHost(t, hub.Config{})
		h.step(hub.Opened{Conn: 1, Device: "box"})
		x := hello("box", 1)
		x.CentralEpoch, x.Scopes = c.epoch, []wire.Bookmark{c.mark}
		h.receive(1, x)
		a := admitted(1)
		a.Scopes = []hub.Scope{{Scope: "s", Oldest: 10, Head: 20}}
		w, _ := sent[*wire.Welcome](h.step(a), 1)
		if w == nil || w.Scopes[0].Snapshot != c.snapshot {
			t.Errorf("%s: welcome %+v", name, w)
		}
		feed, isFeed := find[hub.ReadFeed](h.out)
		snap, isSnap := find[hub.ReadSnapshot](h.out)
		switch {
		case c.nothing:
			if isFeed || isSnap {
				t.Errorf("%s: it reads %v", name, h.out)
			}
		case c.feed > 0:
			if !isFeed || feed.After != c.feed {
				t.Errorf("%s: it reads %+v", name, feed)
			}
		default:
			if !isSnap || snap.Rev != c.rev || snap.After != c.after {
				t.Errorf("%s: it reads %+v", name, snap)
			}
		}
	}
}

func TestTooFarBehindOnTheWay(t *testing.T) {
	h := newHost(t, hub.Config{})
	h.connect(1, "box", 1)
	h.step(hub.Advanced{Scope: "s", Head: 9})
	r, ok := find[hub.ReadSnapshot](h.step(hub.FeedRead{Conn: 1, Behind: true}))
	if !ok || r.Rev != 0 || r.After != "" {
		t.Fatalf("%v", h.out)
	}
	r, ok = find[hub.ReadSnapshot](h.step(hub.SnapshotRead{Conn: 1, Snapshot: &wire.Snapshot{Scope: "s", Rev: 9, Next: "k", Head: 9}}))
	if !ok || r.Rev != 9 || r.After != "k" {
		t.Fatalf("%v", h.out)
	}
	f, ok := find[hub.ReadFeed](h.step(hub.SnapshotRead{Conn: 1, Snapshot: &wire.Snapshot{Scope: "s", Rev: 9, After: "k", Last: true, Head: 11}}))
	if !ok || f.After != 9 {
		t.Errorf("it does not go on with what came since: %v", h.out)
	}
}

// TestChangeDuringARead: what became of a scope while it was read for a box, or while
// the box was let in, is read after that.
func TestChangeDuringARead(t *testing.T) {
	h := newHost(t, hub.Config{})
	h.step(hub.Opened{Conn: 1, Device: "box"})
	h.receive(1, hello("box", 1))
	h.step(hub.Advanced{Scope: "s", Head: 6}) // after the store was asked, before it has answered
	if r, ok := find[hub.ReadFeed](h.step(admitted(1))); !ok || r.After != 5 {
		t.Fatalf("what came while the box was let in is not read: %v", h.out)
	}
	h.step(hub.Advanced{Scope: "s", Head: 7})
	if r, ok := find[hub.ReadFeed](h.step(hub.FeedRead{Conn: 1, Feed: &wire.Feed{Scope: "s", After: 5, Head: 6, Changes: make([]wire.Change, 1)}})); !ok || r.After != 6 {
		t.Errorf("what came while a feed was read is not: %v", h.out)
	}
	if p, ok := sent[*wire.Ping](h.out, 1); ok && p.Caught {
		t.Error("the box is told that this is all")
	}
}

func TestPings(t *testing.T) {
	h := newHost(t, hub.Config{Ping: 10 * time.Second})
	h.connect(1, "box", 1)
	p, ok := sent[*wire.Ping](h.out, 1)
	if !ok || !p.Caught || p.Number != 1 || p.Sent != 1 {
		t.Fatalf("a box that has everything is told %+v", p)
	}
	h.step(hub.Advanced{Scope: "s", Head: 6})
	h.now += 20 * time.Second
	if _, ok := sent[*wire.Ping](h.step(hub.Tick{}), 1); ok {
		t.Error("a ping before the last was answered")
	}
	h.receive(1, &wire.Pong{Number: 1, Sent: 1})
	if p, ok := sent[*wire.Ping](h.out, 1); !ok || p.Caught {
		t.Errorf("a box that misses something is told %+v", p)
	}
	for h.now < 49*time.Second {
		h.now += time.Second
		if _, ok := find[hub.Close](h.step(hub.Tick{})); ok {
			t.Fatalf("it closes after %v", h.now-20*time.Second)
		}
	}
	h.now += time.Second
	if _, ok := find[hub.Close](h.step(hub.Tick{})); !ok {
		t.Error("a silent box stays")
	}
}

func TestSayNothing(t *testing.T) {
	h := newHost(t, hub.Config{})
	h.step(hub.Opened{Conn: 1, Device: "box"})
	h.now = 20 * time.Second
	if _, ok := find[hub.Close](h.step(hub.Tick{})); !ok {
		t.Error("a connection without hello stays")
	}
}

func TestBoxThatComesBack(t *testing.T) {
	h := newHost(t, hub.Config{})
	h.connect(1, "box", 1)
	h.step(hub.Opened{Conn: 2, Device: "box"})
	h.receive(2, hello("box", 1)) // the first connection is dead and does not know it
	if e, ok := sent[*wire.Error](h.out, 1); !ok || e.Code != wire.CodeSuperseded {
		t.Fatalf("%v", h.out)
	}
	h.step(hub.Closed{Conn: 1})
	h.step(admitted(2))
	h.step(hub.Closed{Conn: 2})
	h.connect(3, "box", 2) // it has started anew
	h.step(hub.Closed{Conn: 3})
	h.connect(4, "box", 2)
	if h.m.Online() != 1 {
		t.Errorf("%d are online", h.m.Online())
	}
}

func TestClone(t *testing.T) {
	h := newHost(t, hub.Config{})
	h.connect(1, "box", 1)
	h.connect(2, "box", 2)
	h.step(hub.Opened{Conn: 3, Device: "box"})
	h.receive(3, hello("box", 1)) // a boot that another one has followed
	if _, ok := find[hub.Flag](h.out); !ok {
		t.Fatalf("a clone is not noticed: %v", h.out)
	}
	for _, c := range []hub.Conn{2, 3} {
		if e, ok := sent[*wire.Error](h.out, c); !ok || e.Code != wire.CodeForked {
			t.Errorf("connection %d stays: %v", c, h.out)
		}
	}
	asks := func(c hub.Conn) bool {
		h.step(hub.Opened{Conn: c, Device: "box"})
		h.receive(c, hello("box", 2))
		_, ok := find[hub.Admit](h.out)
		return ok
	}
	if asks(4) {
		t.Error("the store is asked about a clone before it knows that it is one")
	}
	h.step(hub.Flagged{Device: "box"})
	if !asks(5) { // for an operator may have looked
		t.Error("the store is not asked any more")
	}
	h = newHost(t, hub.Config{})
	h.connect(1, "box", 1)
	h.receive(1, events(4, 1))
	if _, ok := find[hub.Flag](h.step(hub.Ingested{Conn: 1, Err: errors.New("x"), Forked: true})); !ok {
		t.Error("a journal that parted ways is not noticed")
	}
}

func TestRate(t *testing.T) {
	h := newHost(t, hub.Config{Rate: 10})
	h.step(hub.Fleet{Boxes: 1000})
	busy := 0
	for i := range 40 {
		c := hub.Conn(i + 1)
		device := fmt.Sprint("box", i)
		h.step(hub.Opened{Conn: c, Device: device})
		h.receive(c, hello(device, 1))
		if e, ok := sent[*wire.Error](h.out, c); ok && e.Code == wire.CodeBusy {
			busy++
			if e.Retry < 100_000 {
				t.Errorf("1000 boxes at 10 a second are to come back within %d ms", e.Retry)
			}
		}
	}
	if busy != 30 {
		t.Errorf("%d of 40 were sent away", busy)
	}
	h.now = time.Second
	h.step(hub.Opened{Conn: 99, Device: "late"})
	if _, ok := find[hub.Admit](h.receive(99, hello("late", 1))); !ok {
		t.Error("a second later nobody is admitted")
	}
}

func TestDismissed(t *testing.T) {
	h := newHost(t, hub.Config{})
	h.connect(1, "a", 1)
	h.connect(2, "b", 1)
	h.connect(3, "c", 1)
	if _, ok := sent[*wire.Revoke](h.step(hub.Revoked{Device: "a", Reason: "stolen"}), 1); !ok {
		t.Error("a revoked box is not told")
	}
	if e, ok := sent[*wire.Error](h.step(hub.Reassigned{Device: "b"}), 2); !ok || e.Retry == 0 {
		t.Error("a box with other scopes stays")
	}
	if e, ok := sent[*wire.Error](h.step(hub.Drain{}), 3); !ok || e.Code != wire.CodeClosing {
		t.Error("a central that goes down does not say so")
	}
	h.step(hub.Opened{Conn: 4, Device: "d"})
	if _, ok := find[hub.Close](h.out); !ok {
		t.Error("a central that goes down lets boxes in")
	}
}

func TestConfirms(t *testing.T) {
	h := newHost(t, hub.Config{})
	h.connect(1, "box", 1)
	c, ok := find[hub.Confirm](h.receive(1, &wire.Applied{Scope: "s", Rev: 6}))
	if !ok || len(c.Applied) != 1 {
		t.Fatalf("%v", h.out)
	}
	h.receive(1, &wire.Applied{Scope: "s", Rev: 7})
	h.receive(1, &wire.Applied{Scope: "s", Rev: 8})
	if _, ok := find[hub.Confirm](h.out); ok {
		t.Error("two confirmations at once")
	}
	if c, ok := find[hub.Confirm](h.step(hub.Confirmed{Conn: 1})); !ok || len(c.Applied) != 1 || c.Applied[0].Rev != 8 {
		t.Errorf("of two that wait the last counts: %+v", c)
	}
}

// FuzzStep throws inputs at a machine in any order: it never panics, and has one
// ingest of a connection under way at most.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	f.Add([]byte{0, 1, 2, 4, 16, 17, 18, 20, 5, 21, 6, 7, 8})
	f.Fuzz(func(t *testing.T, program []byte) {
		h := newHost(t, hub.Config{Memory: 1000, Sending: 1000, Readings: 1})
		ingests := map[hub.Conn]bool{}
		for i, b := range program {
			h.now += time.Duration(b) * time.Duration(i) * time.Millisecond
			c := hub.Conn(b / 16 % 4)
			device := fmt.Sprint("box", c%2)
			n := uint64(i)
			in := []hub.Input{
				hub.Opened{Conn: c + hub.Conn(i)<<8, Device: device}, hub.Received{Conn: c, Message: hello(device, b/64)}, admitted(c), hub.Closed{Conn: c},
				hub.Received{Conn: c, Message: events(4, int(n%5))}, hub.Ingested{Conn: c, Through: n}, hub.Advanced{Scope: "s", Head: n},
				hub.FeedRead{Conn: c, Feed: &wire.Feed{Scope: "s", After: n, Changes: make([]wire.Change, n%3)}}, hub.SnapshotRead{Conn: c, Snapshot: &wire.Snapshot{Scope: "s", Rev: n, Last: n%2 == 0}},
				hub.Received{Conn: c, Message: &wire.Credits{More: n << 58}}, hub.Received{Conn: c, Message: &wire.Pong{Number: n}}, hub.Received{Conn: c, Message: &wire.Applied{Scope: device}},
				hub.Confirmed{Conn: c}, hub.Tick{}, hub.Opened{Conn: c, Device: device}, hub.Revoked{Device: device},
			}[b%16]
			switch in := in.(type) {
			case hub.Opened: // a number is not used again
				if in.Conn < 4 && i > 16 {
					continue
				}
			case hub.Ingested:
				if !ingests[in.Conn] {
					continue
				}
				delete(ingests, in.Conn)
			case hub.FeedRead, hub.SnapshotRead:
				continue // only what was asked for is answered
			}
			h.step(in)
			for _, o := range h.out {
				if x, ok := o.(hub.Ingest); ok {
					if ingests[x.Conn] {
						t.Fatal("two ingests of a connection are under way")
					}
					ingests[x.Conn] = true
				}
			}
		}
	})
}
