package simtest

import (
	"errors"
	"time"

	"github.com/cypherface/edge/sync/hub"
	"github.com/cypherface/edge/sync/uplink"
	"github.com/cypherface/edge/sync/wire"
)

// network is how bad the network is. Zero values are a good one.
type network struct {
	slow    time.Duration // most that a message takes
	cut     float64       // chance that a connection is cut with a message
	silent  float64       // chance that nobody is told of a cut
	refuse  float64       // chance that a connection does not come about
	garble  float64       // chance that something between repeats, drops or swaps a message
	offline map[*box]bool // boxes that reach nobody
}

// pipe is a connection between a box and the central: two streams of frames, each
// in order, until they are cut.
type pipe struct {
	w    *world
	net  *network
	conn hub.Conn
	box  *box
	hub  *central

	cut          bool
	boxEnd       bool // the box's side is over
	hubEnd       bool
	upAt, downAt time.Duration // when the last frame arrives
}

// dial brings a connection about, or not.
func (w *world) dial(b *box, c *central, n *network) {
	life := b.life
	if n.offline[b] || b.away || !c.alive || w.chance(n.refuse) {
		w.after(w.within(10*time.Millisecond, 5*time.Second), func() {
			if b.life == life {
				b.step(uplink.Lost{})
			}
		})
		return
	}
	w.after(w.latency(n), func() {
		if b.life != life {
			return
		}
		if n.offline[b] || b.away || !c.alive {
			b.step(uplink.Lost{})
			return
		}
		c.conns++
		p := &pipe{w: w, net: n, conn: c.conns, box: b, hub: c}
		c.pipes[p.conn], b.pipe = p, p
		w.note(b.name, "connects as %d", p.conn)
		c.step(hub.Opened{Conn: p.conn, Device: b.device})
		b.step(uplink.Dialled{Clock: b.wall()})
	})
}

func (w *world) latency(n *network) time.Duration {
	if n.slow == 0 {
		return time.Millisecond
	}
	if w.chance(0.02) {
		return w.within(0, 20*n.slow)
	}
	return w.within(time.Millisecond, n.slow)
}

// up carries a message to the central, down one to the box.
func (p *pipe) up(m wire.Message)   { p.carry(m, true) }
func (p *pipe) down(m wire.Message) { p.carry(m, false) }

func (p *pipe) carry(m wire.Message, up bool) {
	if p.cut {
		return
	}
	frame, err := wire.Encode(m)
	if err != nil {
		p.w.violate(p.box.name, "cannot encode %s: %v", wire.Describe(m), err)
		return
	}
	switch {
	case p.w.chance(p.net.cut):
		p.sever(p.w.chance(p.net.silent))
		return
	case p.net.garble > 0 && p.w.chance(p.net.garble):
		p.mangle(frame, up)
		return
	}
	p.ship(frame, up)
}

// mangle is what only a broken proxy does to a stream, one thing to one stream: it
// repeats a frame, leaves it out, or brings it after the next.
func (p *pipe) mangle(frame []byte, up bool) {
	switch p.conn % 3 {
	case 0:
		p.ship(frame, up)
		p.ship(frame, up)
	case 1: // gone
	case 2:
		p.w.after(p.w.within(0, time.Second), func() { p.ship(frame, up) })
	}
}

// ship has a frame arrive after those before it.
func (p *pipe) ship(frame []byte, up bool) {
	last := &p.downAt
	if up {
		last = &p.upAt
	}
	*last = max(*last, p.w.now+p.w.latency(p.net))
	p.w.after(*last-p.w.now, func() {
		if p.cut {
			return
		}
		m, err := wire.Decode(frame)
		if errors.Is(err, wire.ErrSkip) {
			return
		}
		if err != nil { // the reader of a websocket hangs up
			p.sever(false)
			return
		}
		if up {
			p.hub.heard(p, m)
		} else {
			p.box.heard(p, m)
		}
	})
}

// sever cuts a connection: what is under way is lost, wherever it is. Each side is
// told some time, or finds out by itself.
func (p *pipe) sever(silent bool) {
	if p.cut {
		return
	}
	p.cut = true
	p.w.note(p.box.name, "connection %d is cut, silently %v", p.conn, silent)
	if silent {
		return
	}
	p.w.after(p.w.within(0, 100*time.Millisecond), p.endBox)
	p.w.after(p.w.within(0, 100*time.Millisecond), p.endHub)
}

// endBox and endHub tell one side that the connection is over.
func (p *pipe) endBox() {
	if !p.boxEnd {
		p.boxEnd = true
		if p.box.pipe == p {
			p.box.pipe = nil
			p.box.step(uplink.Lost{})
		}
	}
}

func (p *pipe) endHub() {
	if !p.hubEnd {
		p.hubEnd = true
		if p.hub.pipes[p.conn] == p {
			delete(p.hub.pipes, p.conn)
			p.hub.step(hub.Closed{Conn: p.conn})
		}
	}
}

// hangup ends a connection from one side: what was sent before still arrives, and
// the other side is told after it, if the network lets it.
func (p *pipe) hangup(byBox bool) {
	p.w.after(0, func() {
		if byBox {
			p.endBox()
		} else {
			p.endHub()
		}
	})
	last := p.downAt
	if byBox {
		last = p.upAt
	}
	p.w.after(max(0, last-p.w.now)+time.Millisecond, func() {
		if p.cut {
			return
		}
		p.cut = true
		if byBox {
			p.endHub()
		} else {
			p.endBox()
		}
	})
}
