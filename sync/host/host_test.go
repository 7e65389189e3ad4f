package host_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/mod/sumdb/note"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/sync/host"
	"github.com/cypherface/edge/sync/hub"
	"github.com/cypherface/edge/sync/uplink"
	"github.com/cypherface/edge/sync/wire"
)

var cause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}

// patience is how long the tests wait for what is to come: machines may be slow.
const patience = time.Minute

// await waits until something is true.
func await(t *testing.T, what string, fn func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !fn(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

func open(t *testing.T, name string) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), name), bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func update(t *testing.T, s store.Store, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), cause, fn); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s store.Store, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// central is one that serves on loopback, over TLS. A box's key is its device id.
type central struct {
	*testing.T
	*host.Central
	store    *bolt.Store
	site     store.Site
	server   *httptest.Server
	wire     *cutter
	stop     context.CancelFunc
	stopped  chan struct{} // closed when Run has returned
	mu       sync.Mutex
	strange  map[store.DeviceID]bool // whose keys are none
	handling sync.WaitGroup
	serving  atomic.Int32
}

// cutter is a listener whose connections can all be cut off at once.
type cutter struct {
	net.Listener
	mu    sync.Mutex // protects conns
	conns map[net.Conn]bool
}

func (l *cutter) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns[c] = true
	}
	return c, err
}

func (l *cutter) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Close()
	}
	clear(l.conns)
}

func newCentral(t *testing.T, c host.CentralConfig) *central {
	t.Helper()
	x := &central{T: t, store: open(t, "central"), stopped: make(chan struct{}), strange: map[store.DeviceID]bool{}}
	x.site = store.Site{ID: store.NewID[store.SiteID](time.Now()), Merchant: store.NewID[store.MerchantID](time.Now()), Name: "north"}
	update(t, x.store, func(tx *store.Tx) error {
		return errors.Join(store.Put(tx, &store.Merchant{ID: x.site.Merchant, Status: store.Active}), store.Put(tx, &x.site), store.Share(tx, x.site.ID))
	})
	c.Store = x.store
	x.Central = host.NewCentral(c)
	ctx, stop := context.WithCancel(context.Background())
	x.stop = stop
	go func() {
		defer close(x.stopped)
		if err := x.Central.Run(ctx); err != nil {
			t.Errorf("the central ended with %v", err)
		}
	}()
	x.server = httptest.NewUnstartedServer(http.HandlerFunc(x.serve))
	x.wire = &cutter{Listener: x.server.Listener, conns: map[net.Conn]bool{}}
	x.server.Listener = x.wire
	x.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // of handshakes that were cut
	x.server.StartTLS()
	t.Cleanup(func() {
		stop()
		<-x.stopped
		x.server.Close()
		x.handling.Wait()
	})
	return x
}

func (x *central) serve(w http.ResponseWriter, r *http.Request) {
	x.handling.Add(1)
	defer x.handling.Done()
	x.serving.Add(1)
	defer x.serving.Add(-1)
	device := store.DeviceID(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	x.mu.Lock()
	strange := x.strange[device]
	x.mu.Unlock()
	if strange {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if err := x.Serve(w, r, device); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (x *central) register(id store.DeviceID) {
	x.Helper()
	update(x.T, x.store, func(tx *store.Tx) error {
		return store.Put(tx, &store.Device{ID: id, Merchant: x.site.Merchant, Site: x.site.ID, Status: store.Active})
	})
}

// rekey gives a device another key.
func (x *central) rekey(id store.DeviceID, public ed25519.PublicKey) {
	x.Helper()
	update(x.T, x.store, func(tx *store.Tx) error {
		d, err := store.Get[store.Device](tx, id)
		d.PublicKey = public
		return errors.Join(err, store.Put(tx, &d))
	})
}

func (x *central) held(id store.DeviceID) (b store.Box) {
	x.Helper()
	view(x.T, x.store, func(tx *store.Tx) (err error) { b, err = store.Held(tx, id); return err })
	return b
}

func (x *central) revoke(id store.DeviceID) {
	x.Helper()
	update(x.T, x.store, func(tx *store.Tx) error {
		d, err := store.Get[store.Device](tx, id)
		d.Status = store.Revoked
		return errors.Join(err, store.Put(tx, &d))
	})
}

// box is one that joined, and runs.
type box struct {
	*testing.T
	*host.Box
	store    *bolt.Store
	merchant store.MerchantID
	id       store.DeviceID
	stop     func() // ends it
	archived func(context.Context, uint64, int) ([]store.Envelope, error)
	note     atomic.Pointer[audit.Signed] // its newest checkpoint
	public   ed25519.PublicKey
}

// eager has a box try again soon.
var eager = uplink.Config{First: time.Millisecond, BackoffMax: 20 * time.Millisecond}

func newBox(x *central) *box {
	x.Helper()
	b := &box{T: x.T, store: open(x.T, "box"), merchant: store.NewID[store.MerchantID](time.Now())}
	b.id = b.store.Info().Device
	public, private, _ := ed25519.GenerateKey(nil)
	b.public = public
	x.register(b.id)
	x.rekey(b.id, public)
	sum := sha256.Sum256(x.server.Certificate().RawSubjectPublicKeyInfo)
	update(x.T, b.store, func(tx *store.Tx) error {
		return errors.Join(
			store.Put(tx, &store.Merchant{ID: b.merchant, Status: store.Active}),
			store.Join(tx, store.Link{
				Merchant: b.merchant, Site: x.site.ID, Central: x.store.Info().Device, Address: x.server.Listener.Addr().String(),
				Fingerprint: sum[:], Bearer: string(b.id), Seed: private.Seed(),
			}))
	})
	b.run()
	return b
}

// run starts the box, until the test ends or stop is called.
func (b *box) run() {
	b.Helper()
	b.Box = host.NewBox(host.BoxConfig{Store: b.store, Uplink: eager, Checkpoint: b.checkpoint, Archived: b.archived, Measure: func() []uplink.Measured {
		return []uplink.Measured{{Name: "temperature", Value: 41.5}, {Name: "frame_rate", Value: 25}}
	}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := b.Box.Run(ctx); err != nil {
			b.Errorf("the box ended with %v", err)
		}
	}()
	b.stop = func() { cancel(); <-ended }
	b.Cleanup(b.stop)
}

func (b *box) settled() bool {
	s := b.Status().Link
	return s.Phase == "online" && s.Synced && s.Acked == s.Head && s.Behind == 0
}

// decide puts events into the journal.
func (b *box) decide(n int) {
	b.Helper()
	update(b.T, b.store, func(tx *store.Tx) error {
		for range n {
			if _, err := store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: b.merchant, Action: "identify", Outcome: store.OutcomeNoMatch}, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func person(m store.MerchantID, name string) *store.Person {
	return &store.Person{ID: store.NewID[store.PersonID](time.Now()), Merchant: m, Firstname: name, Status: store.PersonRegistered}
}

func has(t *testing.T, s store.Store, id store.PersonID) bool {
	t.Helper()
	found := false
	view(t, s, func(tx *store.Tx) error {
		_, err := store.Get[store.Person](tx, id)
		if found = err == nil; errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrErased) {
			return nil
		}
		return err
	})
	return found
}

// journal checks that the central has a box's events, each once and byte for byte,
// and nothing else of it.
func (x *central) journal(b *box) {
	x.Helper()
	view(x.T, b.store, func(box *store.Tx) error {
		return x.store.View(x.Context(), func(tx *store.Tx) error {
			l, err := store.Get[store.Link](box, store.TheLink)
			if err != nil {
				return err
			}
			head, err := store.Head(box)
			if err != nil {
				return err
			}
			held, err := store.Held(tx, b.id)
			if err != nil || held.Head != head || held.Missing != 0 {
				x.Errorf("the central holds %d of %d events, %d missing, %v", held.Head, head, held.Missing, err)
			}
			for e, err := range store.Envelopes(box, l.Since(1)+1, head) {
				if err != nil {
					return err
				}
				there, err := store.ForeignEvent(tx, store.NewForeignID(b.id, 1, e.Seq))
				if err != nil || string(there.Raw) != string(e.Raw) {
					x.Errorf("event %d: %v", e.Seq, err)
				}
			}
			return nil
		})
	})
}

// What is done at the central comes to the box, and what is done and decided on the
// box comes to the central, each as it happens.
func TestBoxAndCentral(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	before := person(x.site.Merchant, "Ada")
	update(t, x.store, func(tx *store.Tx) error { return store.Put(tx, before) })
	b := newBox(x)
	await(t, "the box has everything", b.settled)
	if !has(t, b.store, before.ID) {
		t.Error("who was there before is not on the box")
	}
	if since, ok := x.Online()[b.id]; !ok || since.IsZero() {
		t.Errorf("connected is %v", x.Online())
	}
	later, here := person(x.site.Merchant, "Bea"), person(b.merchant, "Cora")
	update(t, x.store, func(tx *store.Tx) error { return store.Put(tx, later) })
	update(t, b.store, func(tx *store.Tx) error { return store.Put(tx, here) })
	b.decide(300)
	await(t, "both have both", func() bool {
		return b.settled() && has(t, b.store, later.ID) && has(t, x.store, here.ID)
	})
	update(t, x.store, func(tx *store.Tx) error { return store.Erase(tx, here.ID) })
	await(t, "the box has erased who was erased", func() bool { return !has(t, b.store, here.ID) })
	await(t, "the box has sent its receipt", b.settled)
	x.journal(b)
	s := b.Status()
	if !s.Joined || !s.Link.Match || s.Link.Central != x.store.Info().Device || s.Link.Site != x.site.ID || s.Link.Applied.IsZero() {
		t.Errorf("status is %+v", s)
	}
}

// Connections that are cut at any moment lose nothing and double nothing.
func TestCutAndReconnect(t *testing.T) {
	var mu sync.Mutex
	told := map[string]int{}
	var owner store.MerchantID
	x := newCentral(t, host.CentralConfig{Came: func(m store.MerchantID, raw [][]byte) {
		mu.Lock()
		defer mu.Unlock()
		owner = m
		for _, e := range raw {
			told[string(e)]++
		}
	}})
	b := newBox(x)
	var people []*store.Person
	for i := range 20 {
		p := person(x.site.Merchant, fmt.Sprint("P", i))
		update(t, x.store, func(tx *store.Tx) error { return store.Put(tx, p) })
		people = append(people, p)
		b.decide(50)
		if i%4 == 3 { // others are cut while they connect
			await(t, "the box is online", func() bool { return b.Status().Link.Phase == "online" })
		}
		x.wire.cut()
	}
	await(t, "all is everywhere", b.settled)
	for _, p := range people {
		if !has(t, b.store, p.ID) {
			t.Errorf("%s is not on the box", p.Firstname)
		}
	}
	x.journal(b)
	view(t, b.store, func(tx *store.Tx) error {
		l, err := store.Get[store.Link](tx, store.TheLink)
		mu.Lock()
		defer mu.Unlock()
		if n := int(b.head() - l.JoinedAt); len(told) != n || owner != x.site.Merchant {
			t.Errorf("the central was told of %d events of %d, of %s", len(told), n, owner)
		}
		for e, n := range told {
			if n != 1 {
				t.Errorf("told %d times: %s", n, e)
			}
		}
		return err
	})
	await(t, "one connection is left", func() bool { return len(x.Online()) == 1 })
	await(t, "nobody writes to connections that are gone", func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return bytes.Count(stacks, []byte("host.(*conn).write(")) == 2
	})
}

// A box that is started anew, and a new link of it, go on where the old ones were.
func TestBoxStartsAnew(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	b := newBox(x)
	await(t, "the box has everything", b.settled)
	b.stop()
	p := person(x.site.Merchant, "Ada")
	update(t, x.store, func(tx *store.Tx) error { return store.Put(tx, p) })
	b.decide(10)
	b.run()
	await(t, "the box has caught up", func() bool { return b.settled() && has(t, b.store, p.ID) })
	x.journal(b)
	update(t, b.store, store.Leave)
	await(t, "it stands alone", func() bool { return !b.Status().Joined && b.May() && len(x.Online()) == 0 })
}

// A revoked box hears why, matches no more, and stays away.
func TestRevokedIsTold(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	b := newBox(x)
	await(t, "the box has everything", b.settled)
	x.revoke(b.id)
	await(t, "the box knows", func() bool { return b.Status().Link.Revoked && !b.May() })
	if why := b.Status().Link.Why; !strings.Contains(why, "revoked") {
		t.Errorf("why is %q", why)
	}
	b.Now() // does not bring it back
	b.decide(1)
	await(t, "nobody is connected", func() bool { return len(x.Online()) == 0 })
	if held := x.held(b.id); held.Head >= b.head() {
		t.Errorf("the central took event %d of a revoked box", held.Head)
	}
	// One that was off when it was revoked hears it when it comes back.
	off := newBox(x)
	await(t, "the second box has everything", off.settled)
	off.stop()
	x.revoke(off.id)
	off.run()
	await(t, "the second box knows", func() bool { return off.Status().Link.Revoked && !off.May() })
}

func (b *box) head() (n uint64) {
	b.Helper()
	view(b.T, b.store, func(tx *store.Tx) (err error) { n, err = store.Head(tx); return err })
	return n
}

// A key that is none is refused, and the operator reads why.
func TestStrangeKey(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	b := newBox(x)
	await(t, "the box has everything", b.settled)
	x.mu.Lock()
	x.strange[b.id] = true
	x.mu.Unlock()
	x.wire.cut()
	await(t, "the box says why", func() bool {
		s := b.Status().Link
		return s.Phase == "waiting" && strings.Contains(s.Why, "does not take this box's key")
	})
	if !b.May() {
		t.Error("a box whose key is refused matches on: only a revocation ends that")
	}
	x.mu.Lock()
	x.strange[b.id] = false
	x.mu.Unlock()
	b.Now()
	await(t, "the box is back", b.settled)
}

// A central with another key than the one that was joined is not spoken to.
func TestAnotherCentral(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	b := newBox(x)
	await(t, "the box has everything", b.settled)
	update(t, b.store, func(tx *store.Tx) error {
		l, err := store.Get[store.Link](tx, store.TheLink)
		l.Fingerprint = make([]byte, 32)
		return errors.Join(err, store.Put(tx, &l))
	})
	b.stop()
	b.run()
	await(t, "it fails to connect", func() bool { return b.Status().Link.Why == "no connection to the central" })
	if b.Status().Link.Synced {
		t.Error("it has spoken to somebody else")
	}
}

// Who is stopped says good-bye: boxes hear that the central goes down, and come back
// to the next one.
func TestGracefulStop(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	c := x.guest()
	c.hello(1 << 20)
	await(t, "it is connected", func() bool { return len(x.Online()) == 1 })
	x.stop()
	if e := until[*wire.Error](c); e.Code != wire.CodeClosing {
		t.Errorf("the last word is %+v", e)
	}
	if err := c.ended(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("the connection ends with %v", err)
	}
	<-x.stopped
	_, answer, err := x.dialer().Dial(x.url(), nil)
	if err == nil || answer == nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a central that is down answers %v, %v", answer, err)
	}
}

// Data that is older than the merchant allows is stale, over restarts too, until the
// box has everything again.
func TestStale(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	update(t, x.store, func(tx *store.Tx) error {
		m, err := store.Get[store.Merchant](tx, x.site.Merchant)
		m.Policy.StaleAfter = time.Hour
		return errors.Join(err, store.Put(tx, &m))
	})
	b := newBox(x)
	await(t, "the box has everything, and knows the limit", func() bool { return b.settled() && b.Status().Link.Limit == 3600 })
	if b.stale() || b.Status().Link.Stale {
		t.Error("fresh data is stale")
	}
	b.stop()
	x.mu.Lock()
	x.strange[b.id] = true
	x.mu.Unlock()
	aged := func(by time.Duration) {
		update(t, b.store, func(tx *store.Tx) error {
			l, err := store.Get[store.Link](tx, store.TheLink)
			if l.AgeAt.IsZero() || l.Age > time.Hour {
				t.Errorf("kept is an age of %v at %v", l.Age, l.AgeAt)
			}
			l.AgeAt = l.AgeAt.Add(-by)
			return errors.Join(err, store.Put(tx, &l))
		})
	}
	aged(30 * time.Minute)
	b.run()
	await(t, "it counts how long it was off", func() bool { return b.Status().Link.Age > 1700 })
	b.stop()
	if b.stale() {
		t.Error("half an hour is stale")
	}
	aged(time.Hour)
	b.run()
	await(t, "the data is stale", b.stale)
	if s := b.Status().Link; !s.Stale || s.Age < 3600 {
		t.Errorf("status is %+v", s)
	}
	b.stop()
	b.run()
	if !b.stale() {
		t.Error("a restart makes data fresh")
	}
	x.mu.Lock()
	x.strange[b.id] = false
	x.mu.Unlock()
	b.Now()
	await(t, "the data is fresh again", func() bool { return !b.stale() && !b.Status().Link.Stale })
	turns := ""
	view(t, b.store, func(tx *store.Tx) error {
		events, err := store.Events(tx, 0, 1000)
		for _, e := range events {
			if strings.HasSuffix(e.Action, "_data") {
				turns += e.Action + " "
			}
		}
		return err
	})
	if turns != "stale_data fresh_data " {
		t.Errorf("the journal says %q", turns)
	}
}

func (b *box) stale() (stale bool) {
	b.Helper()
	view(b.T, b.store, func(tx *store.Tx) (err error) { stale, err = store.Stale(tx); return err })
	return stale
}

func (b *box) checkpoint() (s audit.Signed, ok bool) {
	if p := b.note.Load(); p != nil {
		return *p, true
	}
	return s, false
}

// sign has the box sign a tree over its journal, as its audit log would, and waits
// for what the central makes of it.
func (x *central) sign(b *box, t store.Tree, epoch uint64, what string, want func(a store.Anchor) bool) {
	x.Helper()
	name := audit.Name(store.Sandbox, b.id)
	key, _, err := note.GenerateKey(nil, name)
	if err != nil {
		x.Fatal(err)
	}
	signer, err := note.NewSigner(key)
	if err != nil {
		x.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s/%d\n%d\n%s\n", name, epoch, t.Size(), t.Root())}, signer)
	if err != nil {
		x.Fatal(err)
	}
	b.note.Store(&audit.Signed{Checkpoint: audit.Checkpoint{Box: name, Epoch: epoch, Size: t.Size(), Root: t.Root(), Note: string(signed)}, Tree: t})
	b.decide(1) // which has it look, once the central has it
	await(x.T, what, func() bool { return want(x.held(b.id).Anchor) })
}

func (b *box) tree() (t store.Tree) {
	b.Helper()
	view(b.T, b.store, func(tx *store.Tx) (err error) { t, err = store.JournalTree(tx); return err })
	return t
}

// The central holds checkpoints against the events that it has, keeps those that go on
// from the one before, and says of others what is wrong with them.
func TestCheckpoints(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	b := newBox(x)
	b.decide(20)
	await(t, "the box has everything", b.settled)
	good := func(size uint64) func(store.Anchor) bool {
		return func(a store.Anchor) bool { return a.Size == size && a.Fault == "" && a.Epoch == 1 && !a.At.IsZero() }
	}
	bad := func(size uint64, fault string) func(store.Anchor) bool {
		return func(a store.Anchor) bool { return a.Size == size && a.Fault == fault }
	}
	first := b.tree()
	x.sign(b, first, 1, "the first is kept", good(first.Size()))
	b.decide(100)
	second := b.tree()
	x.sign(b, second, 1, "the second goes on from the first", good(second.Size()))
	key, err := audit.KeyOf(audit.Name(store.Sandbox, b.id), b.public)
	if err != nil {
		t.Fatal(err)
	}
	a := x.held(b.id).Anchor
	if c, err := audit.ParseCheckpoint(a.Note, key); err != nil || c.Size != second.Size() || c.Root != second.Root() {
		t.Errorf("kept is %+v, %v", c, err)
	}

	x.sign(b, first, 1, "a shorter journal is noticed", bad(second.Size(), "shorter"))
	var other store.Tree
	for i := range b.tree().Size() {
		other.Append(store.LeafHash(fmt.Append(nil, "event ", i)))
	}
	x.sign(b, other, 1, "another history is noticed", bad(second.Size(), "rewritten"))
	third := b.tree()
	x.sign(b, third, 1, "a good one ends the alarm", good(third.Size()))
	stranger, _, _ := ed25519.GenerateKey(nil)
	x.rekey(b.id, stranger)
	await(t, "the box is back", b.settled)
	x.sign(b, b.tree(), 1, "another's signature is noticed", bad(third.Size(), "signature"))

	var faults []string
	view(t, x.store, func(tx *store.Tx) error {
		events, err := store.Events(tx, 0, 1000)
		for _, e := range events {
			if e.Action == "checkpoint" && e.Outcome == store.OutcomeFailed && e.Actor.ID == string(b.id) {
				faults = append(faults, e.Reasons...)
			}
		}
		return err
	})
	if want := []string{"shorter", "rewritten", "signature"}; !slices.Equal(faults, want) {
		t.Errorf("the journal says %v, want %v", faults, want)
	}
}

// A box whose journal is the central's from its first event on is held to all of it.
func TestFirstCheckpoint(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	b := newBox(x)
	await(t, "the box has everything", b.settled)
	update(t, b.store, func(tx *store.Tx) error { // as in a later epoch, all of which went up
		l, err := store.Get[store.Link](tx, store.TheLink)
		l.JoinedAt = 0
		return errors.Join(err, store.Put(tx, &l))
	})
	b.stop()
	update(t, x.store, func(tx *store.Tx) error { return store.Delete[store.Box](tx, b.id) })
	b.run()
	await(t, "the box has everything again", b.settled)
	await(t, "all of its journal is there", func() bool {
		found := false
		view(t, x.store, func(tx *store.Tx) error {
			_, err := store.ForeignEvent(tx, store.NewForeignID(b.id, 1, 1))
			found = err == nil
			return nil
		})
		return found
	})
	var other store.Tree
	for i := range b.tree().Size() {
		other.Append(store.LeafHash(fmt.Append(nil, "event ", i)))
	}
	x.sign(b, other, 1, "another history is noticed at once", func(a store.Anchor) bool { return a.Fault == "rewritten" && a.Size == 0 })
}

// What a box tells of itself is there to be shown.
func TestReadings(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	b := newBox(x)
	await(t, "the readings came", func() bool { return len(x.Readings(b.id)) == 2 })
	all := x.Readings(b.id)
	if all[0].Name != "frame_rate" || all[0].Value != 25 || all[1].Name != "temperature" || all[1].Value != 41.5 || all[1].At.IsZero() {
		t.Errorf("readings are %+v", all)
	}
	if got := x.Readings(store.NewUUID[store.DeviceID]()); len(got) != 0 {
		t.Errorf("of another box there is %+v", got)
	}
}

// A central that has lost what a box sent, as after a restore, gets it again, out of the
// archive of the box's journal too; and what the box had made stands.
func TestEventsFromTheArchive(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	b := newBox(x)
	p := person(b.merchant, "Ada")
	p.Phone = "1"
	update(t, b.store, func(tx *store.Tx) error { return store.Put(tx, p) })
	b.decide(600)
	await(t, "the box has everything", b.settled)
	b.stop()
	journal, err := audit.Open(t.Context(), audit.Config{Store: b.store, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	if err := journal.Archive(t.Context()); err != nil {
		t.Fatal(err)
	}
	head := b.head()
	view(t, b.store, func(tx *store.Tx) error {
		left, err := store.Events(tx, 0, 1000)
		if len(left) > 5 {
			t.Errorf("%d events are in the store", len(left))
		}
		return err
	})
	lose := func() {
		update(t, x.store, func(tx *store.Tx) error {
			there, err := store.Get[store.Person](tx, p.ID)
			there.Phone = "older"
			_, trimErr := store.TrimForeign(tx, b.id, time.Now().Add(time.Hour), 10_000)
			return errors.Join(err, trimErr, store.Put(tx, &there), store.Delete[store.Box](tx, b.id))
		})
	}
	lose()
	b.archived = journal.Archived
	b.run()
	await(t, "the central has all", func() bool { return b.settled() && x.held(b.id).Head >= head })
	if m := x.held(b.id).Missing; m != 0 {
		t.Errorf("%d events are missing", m)
	}
	archived, err := journal.Archived(t.Context(), 1, 10_000)
	if err != nil || len(archived) < 600 {
		t.Fatalf("%d events are archived, %v", len(archived), err)
	}
	view(t, b.store, func(box *store.Tx) error {
		l, err := store.Get[store.Link](box, store.TheLink)
		if err != nil {
			return err
		}
		return x.store.View(t.Context(), func(tx *store.Tx) error {
			for _, e := range archived[l.JoinedAt:] {
				there, err := store.ForeignEvent(tx, store.NewForeignID(b.id, 1, e.Seq))
				if err != nil || string(there.Raw) != string(e.Raw) {
					t.Errorf("event %d: %v", e.Seq, err)
				}
			}
			return nil
		})
	})
	for name, s := range map[string]store.Store{"box": b.store, "central": x.store} {
		await(t, "what the box made stands on the "+name, func() (same bool) {
			view(t, s, func(tx *store.Tx) error {
				there, err := store.Get[store.Person](tx, p.ID)
				same = there.Phone == "1"
				return err
			})
			return same
		})
	}

	// Without the archive they are missing, and said to be.
	b.stop()
	lose()
	b.archived = nil
	b.run()
	await(t, "the central has the rest", b.settled)
	view(t, x.store, func(tx *store.Tx) error {
		_, err := store.ForeignEvent(tx, store.NewForeignID(b.id, 1, archived[len(archived)/2].Seq))
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an event that is nowhere is there: %v", err)
		}
		return nil
	})
}

// client speaks the protocol by hand.
type client struct {
	*testing.T
	ws     *websocket.Conn
	device store.DeviceID
}

func (x *central) url() string {
	return "wss://" + x.server.Listener.Addr().String() + host.Path
}

func (x *central) dialer() *websocket.Dialer {
	return &websocket.Dialer{TLSClientConfig: x.server.Client().Transport.(*http.Transport).TLSClientConfig}
}

// guest registers a device and connects it.
func (x *central) guest() *client {
	x.Helper()
	id := store.NewUUID[store.DeviceID]()
	x.register(id)
	return x.dial(id)
}

func (x *central) dial(id store.DeviceID) *client {
	x.Helper()
	ws, _, err := x.dialer().Dial(x.url(), http.Header{"Authorization": {"Bearer " + string(id)}})
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() { ws.Close() })
	return &client{x.T, ws, id}
}

func (c *client) hello(credits uint64) {
	c.Helper()
	c.send(&wire.Hello{Oldest: wire.Oldest, Newest: wire.Newest, Device: string(c.device), Boot: wire.Boot{1}, Epoch: 1, Credits: credits})
}

func (c *client) send(m wire.Message) {
	c.Helper()
	frame, err := wire.Encode(m)
	if err == nil {
		err = c.ws.WriteMessage(websocket.BinaryMessage, frame)
	}
	if err != nil {
		c.Fatal(err)
	}
}

// next returns the next message.
func (c *client) next() (wire.Message, error) {
	_ = c.ws.SetReadDeadline(time.Now().Add(patience)) // fails only where the read will
	_, frame, err := c.ws.ReadMessage()
	if err != nil {
		return nil, err
	}
	return wire.Decode(frame)
}

// until reads up to a message of a type.
func until[M wire.Message](c *client) M {
	c.Helper()
	for {
		m, err := c.next()
		if err != nil {
			c.Fatalf("waiting for %T: %v", *new(M), err)
		}
		if m, ok := m.(M); ok {
			return m
		}
	}
}

// ended reads until the connection ends.
func (c *client) ended() error {
	for {
		if _, err := c.next(); err != nil {
			return err
		}
	}
}

// Frames that are none end their connection, and nobody else's.
func TestBadFrames(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	good := x.guest()
	good.hello(1 << 20)
	until[*wire.Welcome](good)
	for name, tt := range map[string]struct {
		kind  int
		frame []byte
		close int // code of the close, 0: the connection just ends
	}{
		"over the limit": {websocket.BinaryMessage, make([]byte, wire.MaxFrame+1), websocket.CloseMessageTooBig},
		"no message":     {websocket.BinaryMessage, []byte{99, 1, 2, 3}, 0},
		"empty":          {websocket.BinaryMessage, nil, 0},
		"text":           {websocket.TextMessage, []byte("hello"), 0},
	} {
		c := x.guest()
		c.hello(1 << 20)
		until[*wire.Welcome](c)
		if err := c.ws.WriteMessage(tt.kind, tt.frame); err != nil && tt.close == 0 {
			t.Errorf("%s: %v", name, err)
		}
		err := c.ended()
		var closed *websocket.CloseError
		if errors.As(err, &closed) && tt.close != 0 && closed.Code != tt.close {
			t.Errorf("%s: the connection ends with %v", name, err)
		}
		await(t, name+": only the good one is connected", func() bool { return len(x.Online()) == 1 })
	}
	update(t, x.store, func(tx *store.Tx) error { return store.Put(tx, person(x.site.Merchant, "Ada")) })
	for rev := uint64(0); rev < 2; {
		rev = until[*wire.Feed](good).Through()
	}
}

// A box is sent no more than it gives credits for, and may send no more than it got.
func TestCredits(t *testing.T) {
	x := newCentral(t, host.CentralConfig{Hub: hub.Config{Window: 1}})
	update(t, x.store, func(tx *store.Tx) error {
		for i := range 3 {
			if err := store.Put(tx, person(x.site.Merchant, fmt.Sprint("P", i))); err != nil {
				return err
			}
		}
		return nil
	})
	c := x.guest()
	c.hello(0)
	if w := until[*wire.Welcome](c); w.Credits != 1 {
		t.Errorf("welcome gives %d", w.Credits)
	}
	// Before any credits there is a ping, which says that there is more; then the
	// snapshot, a range at a time as credits last.
	m, err := c.next()
	if p, ok := m.(*wire.Ping); !ok || p.Caught {
		t.Fatalf("without credits comes %+v, %v", m, err)
	}
	c.send(&wire.Credits{More: 1})
	first := until[*wire.Snapshot](c)
	if first.Last {
		t.Errorf("one credit buys all of %d records", len(first.Records))
	}
	records := len(first.Records)
	for s := first; !s.Last; records += len(s.Records) {
		c.send(&wire.Credits{More: wire.Cost(s)})
		s = until[*wire.Snapshot](c)
	}
	if records < 4 {
		t.Errorf("%d records came", records)
	}
	// One event may be sent on the one credit; the next one has to wait for more.
	e := &wire.Events{Events: []wire.Event{{Raw: []byte(`{}`)}}}
	c.send(e)
	c.send(&wire.Events{After: 1, Events: e.Events})
	if got := until[*wire.Error](c); got.Code != wire.CodeProtocol && got.Code != wire.CodeStorage {
		t.Errorf("who sends too much hears %+v", got)
	}
	_ = c.ended() // it is over
	await(t, "it is gone", func() bool { return len(x.Online()) == 0 })
}

// A box that takes nothing any more is cut off, and holds nobody up.
func TestSlowReader(t *testing.T) {
	x := newCentral(t, host.CentralConfig{Patience: 50 * time.Millisecond, Hub: hub.Config{Ping: 50 * time.Millisecond}})
	update(t, x.store, func(tx *store.Tx) error {
		big := strings.Repeat("x", 60<<10)
		for range 200 {
			p := person(x.site.Merchant, "Ada")
			p.Phone = big
			if err := store.Put(tx, p); err != nil {
				return err
			}
		}
		return nil
	})
	slow := x.guest()
	slow.hello(1 << 30) // and reads nothing
	await(t, "it is connected", func() bool { return len(x.Online()) == 1 })
	b := newBox(x)
	await(t, "another box has everything", b.settled)
	await(t, "the slow one is gone", func() bool {
		_, there := x.Online()[slow.device]
		return !there
	})
}

// A box that comes again takes the place of its older connection, and is still there
// when that has ended.
func TestSuperseded(t *testing.T) {
	x := newCentral(t, host.CentralConfig{})
	first := x.guest()
	first.hello(1 << 20)
	until[*wire.Welcome](first)
	second := x.dial(first.device)
	second.hello(1 << 20)
	until[*wire.Welcome](second)
	if e := until[*wire.Error](first); e.Code != wire.CodeSuperseded {
		t.Errorf("the older one hears %+v", e)
	}
	_ = first.ended() // it is over
	first.ws.Close()
	await(t, "the older connection has been served to its end", func() bool { return x.serving.Load() == 1 })
	if _, there := x.Online()[first.device]; !there {
		t.Error("the box counts as gone, with its older connection")
	}
}
