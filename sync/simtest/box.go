package simtest

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/uplink"
	"github.com/cypherface/edge/sync/wire"
)

// box is a box: the machine of the uplink, a store, and a host that carries out
// what the machine asks for, as the daemon does.
type box struct {
	node
	s      *fleet
	device string
	key    ed25519.PrivateKey
	own    store.MerchantID // its own name for the merchant
	site   store.SiteID

	up      *uplink.Machine
	pipe    *pipe
	status  uplink.Status
	wakeAt  time.Duration
	saved   uplink.Status // as saved now and then, and when
	savedAt time.Duration

	older   *image // what it held a while ago
	revoked bool   // at the central
	away    bool   // reported as lost, off the network
	cloned  bool   // it is, or has, a second one
	liar    bool   // it signs receipts with another key
	erased  map[store.PersonID]bool
}

// boots is the clock of a machine that counts from some start of its own.
func (b *box) mono() time.Duration { return b.w.now + 1000*time.Hour }

// up starts the daemon.
func (b *box) start() {
	if b.alive {
		return
	}
	b.alive = true
	b.prepare(0)
	var st uplink.State
	b.must(func(tx *store.Tx) (err error) {
		st, err = uplink.StateOf(tx)
		return err
	})
	if len(b.w.bad) > 0 {
		return
	}
	b.s.oracle.box(b)
	binary.BigEndian.PutUint64(st.Boot[:], b.w.rand.Uint64())
	if st.Age = b.saved.Age; b.s.chance(0.5) { // it has a clock that it trusts
		st.Age, st.Exact = st.Age+b.w.now-b.savedAt, b.saved.Exact
	}
	cfg := b.s.uplink
	cfg.Random = b.w.rand.Float64
	b.w.note(b.name, "starts, events to %d, scope at %d", st.Head, st.Scopes[0].Rev)
	b.up = uplink.New(b.mono(), cfg, st)
	b.status = b.up.Status(b.mono())
	b.wakeAt = -1
	b.arm()
}

// crash stops it wherever it is, for a while.
func (b *box) crash(off time.Duration) {
	if !b.alive {
		return
	}
	b.down()
	b.s.hooks.crash(b)
	if p := b.pipe; p != nil {
		b.pipe, p.boxEnd = nil, true
		p.sever(b.w.chance(0.5))
	}
	b.w.after(off, b.start)
}

func (b *box) step(in uplink.Input) {
	if !b.alive || len(b.w.bad) > 0 {
		return
	}
	for _, o := range slices.Clone(b.up.Step(b.mono(), in)) {
		b.carryOut(o)
	}
	b.arm()
}

// arm has the machine woken when it wants to be.
func (b *box) arm() {
	at := b.up.Wake()
	if at == b.wakeAt || at > b.mono()+10000*time.Hour {
		return
	}
	b.wakeAt = at
	life := b.life
	b.w.after(at-b.mono(), func() {
		if b.life == life && b.wakeAt == at {
			b.wakeAt = -1
			b.step(uplink.Tick{})
		}
	})
}

func (b *box) carryOut(o uplink.Output) {
	switch o := o.(type) {
	case uplink.Dial:
		b.w.dial(b, b.s.central, &b.s.net)
	case uplink.Send:
		b.w.note(b.name, "> %s", wire.Describe(o.Message))
		b.s.oracle.boxSays(b, o.Message)
		if b.pipe != nil {
			b.pipe.up(o.Message)
		}
	case uplink.Hangup:
		b.w.note(b.name, "hangs up: %s", o.Why)
		if p := b.pipe; p != nil {
			p.hangup(true)
		}
	case uplink.Tell:
		o.Status = b.s.hooks.tell(o.Status)
		b.status = o.Status
		if b.w.chance(0.5) {
			b.saved, b.savedAt = o.Status, b.w.now
		}
		b.w.note(b.name, "is %s, match %v, synced %v, stale %v: %s", o.Status.Phase, o.Status.Match, o.Status.Synced, o.Status.Stale, o.Status.Why)
		b.s.oracle.told(b, o.Status)
	case uplink.Read:
		b.soon(func() {
			var done uplink.Done
			err := b.view(func(tx *store.Tx) (err error) {
				done, err = b.s.hooks.read(tx, o)
				b.lie(&done)
				b.s.steal(b, &done)
				return err
			})
			done.Request, done.Err = o, err
			b.soon(func() { b.step(done) })
		})
	case uplink.Request:
		b.soon(func() { b.save(o) })
	}
}

// soon is when the store gets round to something, and the machine to its answer.
func (b *box) soon(fn func()) {
	life := b.life
	b.w.after(b.w.within(0, 5*time.Millisecond), func() {
		if b.life == life {
			fn()
		}
	})
}

func (b *box) save(o uplink.Request) {
	if b.w.chance(b.s.faults.disk) {
		b.w.note(b.name, "the store fails")
		b.step(uplink.Done{Request: o, Err: errors.New("the disk is full")})
		return
	}
	actor := store.Actor{Kind: store.ActorDevice, ID: string(b.s.central.layout.Info().Device)}
	b.change(actor, func(tx *store.Tx) error { return b.s.hooks.save(tx, o) }, func(err error) {
		if err != nil {
			b.w.violate(b.name, "cannot do %T: %v", o, err)
		}
		if !b.s.hooks.earlyOnBox {
			b.step(uplink.Done{Request: o, Err: err})
		}
	})
	if b.s.hooks.earlyOnBox {
		b.step(uplink.Done{Request: o})
	}
}

// change is an update on the box, whoever wants it.
func (b *box) change(actor store.Actor, fn func(*store.Tx) error, done func(error)) {
	b.update(actor, fn, done)
	b.syncIn(func(all []commit) {
		if b.w.chance(0.1) {
			b.older = b.disk.synced.clone()
		}
		b.s.oracle.box(b)
		if head := b.s.oracle.head(b); head > 0 {
			b.step(uplink.Grown{Head: head})
		}
		for _, c := range all {
			c.done(nil)
		}
	})
}

// heard takes a message off the network.
func (b *box) heard(p *pipe, m wire.Message) {
	if b.pipe == p {
		b.w.note(b.name, "< %s", wire.Describe(m))
		b.step(uplink.Received{Message: m})
	}
}
