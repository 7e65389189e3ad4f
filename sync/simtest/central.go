package simtest

import (
	"slices"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/hub"
	"github.com/cypherface/edge/sync/wire"
)

// central is the central: the machine of the hub, a store, and a host.
type central struct {
	node
	s         *fleet
	merchants []store.MerchantID
	sites     []store.SiteID
	owner     map[store.SiteID]store.MerchantID // of a site

	hub     *hub.Machine
	pipes   map[hub.Conn]*pipe
	conns   hub.Conn
	wakeAt  time.Duration
	backup  *disk
	backups []backup // earlier ones, of hard fleets
	past    []*image // what restored backups have replaced
}

func (c *central) start() {
	if c.alive {
		return
	}
	c.alive = true
	c.pipes = map[hub.Conn]*pipe{}
	if c.layout == nil {
		c.prepare(0)
	}
	c.hub = hub.New(c.w.now, c.s.hub)
	c.wakeAt = -1
	c.w.note(c.name, "starts")
	c.step(hub.Fleet{Boxes: len(c.s.boxes)})
}

// crash stops it wherever it is, for a while.
func (c *central) crash(off time.Duration) {
	if !c.alive {
		return
	}
	c.stop()
	c.w.after(off, func() {
		if !c.alive {
			c.layout = nil
			c.start()
		}
	})
}

func (c *central) stop() {
	c.down()
	for _, id := range sortedKeys(c.pipes) {
		p := c.pipes[id]
		p.hubEnd = true
		p.sever(c.w.chance(0.3))
	}
	c.pipes = map[hub.Conn]*pipe{}
}

func (c *central) step(in hub.Input) {
	if !c.alive || len(c.w.bad) > 0 {
		return
	}
	for _, o := range c.heed(c.hub.Step(c.w.now, in)) {
		c.carryOut(o)
	}
	c.arm()
}

// heed is what the host does of what the machine asks for.
func (c *central) heed(outs []hub.Output) []hub.Output {
	if c.s.hooks.keepSilence {
		return silent(outs)
	}
	return slices.Clone(outs)
}

func (c *central) arm() {
	at := c.hub.Wake()
	if at == c.wakeAt {
		return
	}
	c.wakeAt = at
	life := c.life
	c.w.after(at-c.w.now, func() {
		if c.life == life && c.wakeAt == at {
			c.wakeAt = -1
			c.step(hub.Tick{})
		}
	})
}

func (c *central) carryOut(o hub.Output) {
	switch o := o.(type) {
	case hub.Send:
		c.w.note(c.name, "> %d %s", o.Conn, wire.Describe(o.Message))
		if p := c.pipes[o.Conn]; p != nil {
			c.s.oracle.centralSays(c, p, o.Message)
			p.down(o.Message)
		}
	case hub.Close:
		c.w.note(c.name, "closes %d: %s", o.Conn, o.Why)
		if p := c.pipes[o.Conn]; p != nil {
			p.hangup(false)
		}
	case hub.Admit:
		c.soon(func() {
			var a hub.Admitted
			err := c.view(func(tx *store.Tx) (err error) {
				a, err = c.s.hooks.admit(tx, o)
				return err
			})
			a.Conn, a.Err, a.Clock = o.Conn, err, c.wall()
			c.soon(func() { c.step(a) })
		})
	case hub.Ingest:
		c.soon(func() { c.ingest(o) })
	case hub.ReadFeed:
		c.soon(func() {
			var r hub.FeedRead
			err := c.view(func(tx *store.Tx) (err error) {
				r, err = c.s.hooks.feed(tx, o)
				return err
			})
			r.Conn, r.Err = o.Conn, err
			c.soon(func() { c.step(r) })
		})
	case hub.ReadSnapshot:
		c.soon(func() {
			var r hub.SnapshotRead
			err := c.view(func(tx *store.Tx) (err error) {
				r, err = hub.ReadSnapshotOf(tx, o)
				return err
			})
			r.Conn, r.Err = o.Conn, err
			c.soon(func() { c.step(r) })
		})
	case hub.Confirm:
		c.change(actorBox(o.Device), func(tx *store.Tx) error { return hub.ConfirmOf(tx, o) }, func(err error) {
			c.fine("confirm", err)
			c.step(hub.Confirmed{Conn: o.Conn, Err: err})
		})
	case hub.Flag:
		c.w.note(c.name, "flags a box: %s", o.Reason)
		c.s.oracle.flagged(o.Device)
		c.change(store.Actor{Kind: store.ActorSystem, ID: "sync"}, func(tx *store.Tx) error { return hub.FlagOf(tx, o) }, func(err error) {
			c.fine("flag", err)
			c.step(hub.Flagged{Device: o.Device})
		})
	}
}

func actorBox(device string) store.Actor {
	return store.Actor{Kind: store.ActorDevice, ID: device}
}

func (c *central) fine(what string, err error) {
	if err != nil {
		c.w.violate(c.name, "cannot %s: %v", what, err)
	}
}

// soon is when the store gets round to something, and the machine to its answer: what
// was read may be old by then.
func (c *central) soon(fn func()) {
	life := c.life
	c.w.after(c.w.within(0, 5*time.Millisecond), func() {
		if c.life == life {
			fn()
		}
	})
}

func (c *central) ingest(o hub.Ingest) {
	var in hub.Ingested
	c.change(actorBox(o.Device), func(tx *store.Tx) (err error) {
		in, err = c.s.hooks.ingest(tx, o)
		return err
	}, func(err error) {
		if err != nil {
			in = hub.Failed(o, err)
			c.w.note(c.name, "cannot ingest: %v", err)
			c.s.oracle.refused(o, err)
		} else {
			c.s.oracle.ingested(c, o)
		}
		if !c.s.hooks.early {
			c.step(in)
		}
	})
	if c.s.hooks.early {
		c.step(in)
	}
}

// change is an update at the central, whoever wants it.
func (c *central) change(actor store.Actor, fn func(*store.Tx) error, done func(error)) {
	c.update(actor, fn, done)
	c.syncIn(func(all []commit) {
		for _, site := range c.sites {
			var f store.FeedState
			c.must(func(tx *store.Tx) (err error) {
				f, err = store.FeedStateOf(tx, site)
				return err
			})
			c.s.oracle.advanced(c.layout.Info().Epoch, site, f.Head)
			c.step(hub.Advanced{Scope: string(site), Head: f.Head})
		}
		for _, x := range all {
			x.done(nil)
		}
	})
}

// heard takes a message off the network.
func (c *central) heard(p *pipe, m wire.Message) {
	if c.pipes[p.conn] == p {
		c.w.note(c.name, "< %d %s", p.conn, wire.Describe(m))
		c.step(hub.Received{Conn: p.conn, Message: m})
	}
}
