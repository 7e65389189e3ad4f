package simtest

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cypherface/edge/sync/hub"
	"github.com/cypherface/edge/sync/uplink"
	"github.com/cypherface/edge/sync/wire"
)

// Storm is a fleet that loses its central all at once, and comes back. Boxes and the
// central are the real machines, without stores: what is measured is who connects
// when.
type Storm struct {
	Boxes   int
	Down    time.Duration // how long the central is away; 0: it loses all connections and is there
	Silent  bool          // the boxes are not told, and find out by themselves
	Cold    bool          // the boxes start with the central, as after a power cut,
	Saved   time.Duration // and know this window from before
	Rate    float64       // boxes that the central admits a second; 0: the default
	NoDice  bool          // all boxes throw the same: no jitter
	Timeout time.Duration // 0: ten minutes
}

// StormResult is how it went, from when the central was there again.
type StormResult struct {
	Peak     int           // most connections in a second
	Admitted int           // most boxes that were admitted in a second
	Tries    int           // connections in all
	Half     time.Duration // until half of the boxes were back,
	Most     time.Duration // 99 of 100,
	All      time.Duration // and all; negative: not before the timeout
}

// stormBox is a box in a storm.
type stormBox struct {
	name string
	up   *uplink.Machine
	conn hub.Conn
	wake time.Duration
}

type storm struct {
	cfg    Storm
	now    time.Duration
	queue  queue
	n      uint64
	dice   *rand.Rand
	boxes  []*stormBox
	owners map[hub.Conn]*stormBox
	hub    *hub.Machine
	up     bool
	conns  hub.Conn
	wake   time.Duration
	back   time.Duration // when the central was there again
	perSec map[int]int
	admits map[int]int
	result StormResult
}

// Run plays a storm from a seed.
func (cfg Storm) Run(seed uint64) StormResult {
	s := &storm{
		cfg: cfg, dice: rand.New(rand.NewPCG(seed, 1)), owners: map[hub.Conn]*stormBox{},
		perSec: map[int]int{}, admits: map[int]int{},
	}
	for i := range cfg.Boxes {
		random := s.dice.Float64
		if cfg.NoDice {
			random = func() float64 { return 0.5 }
		}
		b := &stormBox{name: fmt.Sprint("box", i), wake: -1}
		b.up = uplink.New(0, uplink.Config{Random: random}, uplink.State{Device: b.name, Epoch: 1, Boot: wire.Boot{byte(i), byte(i >> 8), 1}, Spread: cfg.Saved})
		s.boxes = append(s.boxes, b)
	}
	if !cfg.Cold {
		s.open()
		s.perSec, s.admits = map[int]int{}, map[int]int{}
		s.settle(time.Hour)
		s.close()
		s.run(s.now + cfg.Down)
	}
	s.open()
	s.back, s.perSec, s.admits, s.result.Tries = s.now, map[int]int{}, map[int]int{}, 0
	timeout := cfg.Timeout
	if timeout == 0 {
		timeout = 10 * time.Minute
	}
	s.settle(timeout)
	for _, n := range s.perSec {
		s.result.Peak = max(s.result.Peak, n)
	}
	for _, n := range s.admits {
		s.result.Admitted = max(s.result.Admitted, n)
	}
	return s.result
}

// settle runs until all boxes are there, or too long.
func (s *storm) settle(most time.Duration) {
	began := s.now
	s.result.Half, s.result.Most, s.result.All = -1, -1, -1
	for s.result.All < 0 && s.now < began+most {
		s.run(s.now + 100*time.Millisecond)
		n := s.hub.Online()
		for at, want := range map[*time.Duration]int{&s.result.Half: (len(s.boxes) + 1) / 2, &s.result.Most: len(s.boxes) * 99 / 100, &s.result.All: len(s.boxes)} {
			if *at < 0 && n >= want {
				*at = s.now - began
			}
		}
	}
}

// open brings the central up.
func (s *storm) open() {
	s.hub, s.up, s.wake = hub.New(s.now, hub.Config{Rate: s.cfg.Rate}), true, -1
	s.central(hub.Fleet{Boxes: len(s.boxes)})
	for _, b := range s.boxes {
		s.arm(b)
	}
}

// close takes it down with all connections.
func (s *storm) close() {
	s.up = false
	for _, b := range s.boxes {
		if b.conn == 0 {
			continue
		}
		delete(s.owners, b.conn)
		b.conn = 0
		if !s.cfg.Silent {
			s.after(0, func() { s.box(b, uplink.Lost{}) })
		}
	}
}

func (s *storm) after(d time.Duration, fn func()) {
	s.n++
	heap.Push(&s.queue, event{s.now + d, s.n, fn})
}

func (s *storm) run(until time.Duration) {
	for len(s.queue) > 0 && s.queue[0].at <= until {
		e := heap.Pop(&s.queue).(event)
		s.now = e.at
		e.fn()
	}
	s.now = until
}

// latency of the network.
const stormLatency = 20 * time.Millisecond

func (s *storm) box(b *stormBox, in uplink.Input) {
	for _, o := range append([]uplink.Output(nil), b.up.Step(s.now, in)...) {
		switch o := o.(type) {
		case uplink.Dial:
			s.after(stormLatency, func() { s.connect(b) })
		case uplink.Send:
			c := b.conn
			s.after(stormLatency, func() {
				if s.owners[c] == b && s.up {
					s.central(hub.Received{Conn: c, Message: o.Message})
				}
			})
		case uplink.Hangup:
			s.drop(b)
		case uplink.Request:
			s.after(time.Millisecond, func() { s.box(b, uplink.Done{Request: o, Events: &wire.Events{}}) })
		}
	}
	s.arm(b)
}

func (s *storm) connect(b *stormBox) {
	s.result.Tries++
	s.perSec[int((s.now-s.back)/time.Second)]++
	if !s.up {
		s.box(b, uplink.Lost{})
		return
	}
	s.conns++
	b.conn = s.conns
	s.owners[b.conn] = b
	s.central(hub.Opened{Conn: b.conn, Device: b.name})
	s.box(b, uplink.Dialled{})
}

// drop ends the connection of a box.
func (s *storm) drop(b *stormBox) {
	c := b.conn
	b.conn = 0
	delete(s.owners, c)
	s.after(0, func() { s.box(b, uplink.Lost{}) })
	if c != 0 && s.up {
		s.after(0, func() { s.central(hub.Closed{Conn: c}) })
	}
}

func (s *storm) central(in hub.Input) {
	if !s.up {
		return
	}
	m := s.hub
	for _, o := range append([]hub.Output(nil), m.Step(s.now, in)...) {
		switch o := o.(type) {
		case hub.Send:
			if b := s.owners[o.Conn]; b != nil {
				s.after(stormLatency, func() {
					if b.conn == o.Conn {
						s.box(b, uplink.Received{Message: o.Message})
					}
				})
			}
		case hub.Close:
			if b := s.owners[o.Conn]; b != nil {
				s.after(2*stormLatency, func() {
					if b.conn == o.Conn {
						s.drop(b)
					}
				})
			}
		case hub.Admit:
			s.admits[int((s.now-s.back)/time.Second)]++
			s.after(time.Millisecond, func() {
				if s.hub == m {
					s.central(hub.Admitted{Conn: o.Conn, Known: true, Central: "central", Epoch: 1})
				}
			})
		}
	}
	if at := m.Wake(); at != s.wake {
		s.wake = at
		s.after(at-s.now, func() {
			if s.hub == m {
				s.central(hub.Tick{})
			}
		})
	}
}

// arm has a box woken when it wants to be.
func (s *storm) arm(b *stormBox) {
	at := b.up.Wake()
	if at == b.wake || at > s.now+1000*time.Hour {
		return
	}
	b.wake = at
	s.after(max(0, at-s.now), func() {
		if b.wake == at {
			b.wake = -1
			s.box(b, uplink.Tick{})
		}
	})
}
