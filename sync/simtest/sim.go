package simtest

import (
	"cmp"
	"crypto/ed25519"
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/hub"
	"github.com/cypherface/edge/sync/uplink"
)

// Options of a run. Zero values mean the defaults given.
type Options struct {
	Log   io.Writer // the trace in words; nil: nowhere
	Break Breakage  // the promise that is broken on purpose; "": none
	Hard  bool      // more happens: see hard.go
}

// Result is how a run ended.
type Result struct {
	Seed     uint64
	Trace    uint64   // hash over everything that happened, in order
	Violated []string // promises that did not hold; the run ends with the first
	Counts   Counts
}

// fleet is a central, its boxes, and what happens to them.
type fleet struct {
	*world
	uplink  uplink.Config
	hub     hub.Config
	net     network
	faults  faults
	central *central
	boxes   []*box
	oracle  *oracle
	hooks   hooks
	counts  Counts
	tokens  int
	calm    bool // no more faults and no more operators
	hard    bool
	thief   *rand.Rand // of who has stolen the key of the first box; nil: nobody has
}

// faults is how often what happens, as chances of each action.
type faults struct {
	disk   float64 // that the store of a box fails
	crash  float64
	jump   float64 // of a wall clock
	cut    float64 // of the network of a box, for a while
	rare   float64 // restores, clones, revocations, boxes that come late
	erase  float64
	reborn float64 // a central that is restored has lost its erasure log too
}

// one simulation at a time: the store draws nonces and ids from the one source of
// random bytes that a process has, which a run makes repeatable.
var one sync.Mutex

// alone makes the random bytes of the process repeatable, until what it returns is
// called.
func alone(seed uint64) (done func()) {
	one.Lock()
	before := crand.Reader
	crand.Reader = rand.NewChaCha8([32]byte(binary.BigEndian.AppendUint64(make([]byte, 24), seed)))
	return func() {
		crand.Reader = before
		one.Unlock()
	}
}

// Run simulates a fleet from a seed: the same seed is the same run.
func Run(seed uint64, opt Options) Result {
	defer alone(seed)()
	s := &fleet{world: newWorld(seed, opt.Log), hard: opt.Hard}
	s.hooks = hooksOf(opt.Break)
	s.oracle = newOracle(s)
	s.loseKey(seed)
	s.choose()
	s.build()
	s.live()
	s.settle()
	s.counts.Steps, s.counts.Boxes, s.counts.Connections = int(s.count), len(s.boxes), int(s.central.conns)
	return Result{Seed: seed, Trace: s.trace.Sum64(), Violated: s.bad, Counts: s.counts}
}

// choose draws how this run is.
func (s *fleet) choose() {
	s.uplink = uplink.Config{
		BackoffMin: 200 * time.Millisecond, BackoffMax: 20 * time.Second, RefusedFor: 30 * time.Second,
		Greeting: 5 * time.Second, StaleAfter: 2 * time.Minute,
		Window: pick(s.world, []uint64{2 << 10, 64 << 10, 1 << 20}),
	}
	s.hub = hub.Config{
		Ping: 3 * time.Second, Greeting: 5 * time.Second, Rate: pick(s.world, []float64{1, 10, 200}),
		Window: pick(s.world, []uint64{2 << 10, 256 << 10}), Memory: pick(s.world, []uint64{4 << 10, 1 << 20}),
		Sending: pick(s.world, []uint64{16 << 10, 1 << 20}), Readings: 1 + s.rand.IntN(4),
	}
	s.net = network{offline: map[*box]bool{}}
	if s.chance(0.8) {
		s.net.slow = pick(s.world, []time.Duration{5 * time.Millisecond, 200 * time.Millisecond, 3 * time.Second})
		s.net.cut = pick(s.world, []float64{0, 0.01, 0.1})
		s.net.silent = s.rand.Float64()
		s.net.refuse = pick(s.world, []float64{0, 0.3})
		s.net.garble = pick(s.world, []float64{0, 0, 0.02})
	}
	s.faults = faults{
		disk: pick(s.world, []float64{0, 0.05}), crash: pick(s.world, []float64{0, 0.05, 0.15}),
		jump: 0.05, cut: pick(s.world, []float64{0, 0.1}), rare: pick(s.world, []float64{0, 0.05, 0.2}), erase: 0.06,
		reborn: 0.3,
	}
	if s.hard {
		s.harden()
	}
}

// build sets the fleet up: a central with merchants, sites and doors, and boxes that
// have joined.
func (s *fleet) build() {
	c := &central{node: node{w: s.world, name: "central", disk: newDisk(), slow: pick(s.world, []time.Duration{0, 30 * time.Millisecond, time.Second})}, s: s, owner: map[store.SiteID]store.MerchantID{}}
	s.central = c
	c.prepare(0)
	err := c.disk.update(func(k store.KV) error {
		tx, err := c.layout.Write(k, operator)
		if err != nil {
			return err
		}
		if err := s.settleMerchant(tx); err != nil {
			return err
		}
		if s.hard && s.chance(0.4) {
			if err := s.settleMerchant(tx); err != nil {
				return err
			}
		}
		_, err = tx.Finish()
		return err
	})
	if err != nil {
		s.violate("central", "cannot be set up: %v", err)
		return
	}
	c.disk.sync()
	c.start()
	for range 1 + s.rand.IntN(4) {
		s.join()
	}
}

// settleMerchant makes a merchant at the central, with sites and doors.
func (s *fleet) settleMerchant(tx *store.Tx) error {
	c := s.central
	m := store.Merchant{ID: store.NewID[store.MerchantID](c.wall()), Name: "M", Status: store.Active}
	c.merchants = append(c.merchants, m.ID)
	if err := store.Put(tx, &m); err != nil {
		return err
	}
	for i := range 1 + s.rand.IntN(2) {
		site := store.Site{ID: store.NewID[store.SiteID](c.wall()), Merchant: m.ID, Name: fmt.Sprint("site", i)}
		if s.hard && s.chance(0.4) {
			site.People = store.PeopleGranted
		}
		c.sites, c.owner[site.ID] = append(c.sites, site.ID), m.ID
		if err := store.Put(tx, &site); err != nil {
			return err
		}
		for range 2 {
			if err := store.Put(tx, &store.Door{ID: store.NewID[store.DoorID](c.wall()), Merchant: m.ID, Site: site.ID, Name: "d"}); err != nil {
				return err
			}
		}
		if err := store.Share(tx, site.ID); err != nil {
			return err
		}
	}
	return nil
}

var operator = store.Cause{Actor: store.Actor{Kind: store.ActorAccount, ID: "operator"}}

// join makes a box that has people of its own, registers it, and has it join.
func (s *fleet) join() {
	var seed [ed25519.SeedSize]byte
	crand.Read(seed[:])
	b := &box{
		node: node{w: s.world, name: fmt.Sprint("box", len(s.boxes)), disk: newDisk(), slow: pick(s.world, []time.Duration{0, 30 * time.Millisecond, 500 * time.Millisecond})},
		s:    s, key: ed25519.NewKeyFromSeed(seed[:]), site: pick(s.world, s.central.sites), erased: map[store.PersonID]bool{},
	}
	b.prepare(0)
	b.device = string(b.layout.Info().Device)
	b.liar = s.hard && s.chance(0.15)
	s.boxes = append(s.boxes, b)
	s.note(b.name, "is made, of scope %s", b.site)
	s.register(b, seed[:])
}

// register has the central know a box, however often it takes.
func (s *fleet) register(b *box, seed []byte) {
	c := s.central
	s.after(5*time.Second, func() {
		if b.own == "" {
			s.register(b, seed)
		}
	})
	if !c.alive {
		return
	}
	c.change(operator.Actor, func(tx *store.Tx) error {
		if _, err := store.Get[store.Device](tx, store.DeviceID(b.device)); err == nil {
			return nil
		}
		d := s.deviceOf(b)
		return store.Put(tx, &d)
	}, func(err error) {
		c.fine("register a box", err)
		c.step(hub.Fleet{Boxes: len(s.boxes)})
		if b.own == "" {
			s.settleIn(b, seed)
		}
	})
}

func (s *fleet) deviceOf(b *box) store.Device {
	return store.Device{
		ID: store.DeviceID(b.device), Merchant: s.central.owner[b.site], Site: b.site, Name: b.name,
		PublicKey: b.key.Public().(ed25519.PublicKey), Epoch: 1, Status: store.Active,
	}
}

// settleIn is the box's side of joining.
func (s *fleet) settleIn(b *box, seed []byte) {
	var adopted []store.Person
	b.update(operator.Actor, func(tx *store.Tx) error {
		m := store.Merchant{ID: store.NewID[store.MerchantID](b.wall()), Name: "own", Status: store.Active}
		b.own = m.ID
		if err := store.Put(tx, &m); err != nil {
			return err
		}
		for range s.rand.IntN(3) {
			p := s.newPerson(&b.node, b.own, "")
			if err := store.Put(tx, &p); err != nil {
				return err
			}
			adopted = append(adopted, p)
		}
		central := s.central.layout.Info().Device
		err := store.Join(tx, store.Link{Merchant: b.own, Site: b.site, Central: central, Seed: seed, Address: "central", Bearer: "key"})
		if err != nil {
			return err
		}
		for _, p := range adopted {
			if err := store.Adopt(tx, store.KindPerson, string(p.ID)); err != nil {
				return err
			}
		}
		return nil
	}, func(error) {})
	b.syncIn(func([]commit) {
		for i := range adopted {
			s.oracle.enrolled(&adopted[i], b)
		}
		b.start()
	})
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
