package host

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/hub"
	"github.com/cypherface/edge/sync/wire"
)

// CentralConfig is what a Central is made of. Store is required.
type CentralConfig struct {
	Store       store.Store
	Log         *slog.Logger // nil discards
	Hub         hub.Config
	Fingerprint wire.Hash // SHA-256 of the key in the central's certificate

	// Patience is how long a box may take over one message before it is cut off; 0
	// means 30 s.
	Patience time.Duration

	// Came, when set, is told of events of a merchant's boxes once they are durable, each
	// once: their JSON. It must be quick.
	Came func(m store.MerchantID, raw [][]byte)
}

// A Central serves the boxes of a store. It is safe for concurrent use.
type Central struct {
	CentralConfig
	in   chan centralInput
	work sync.WaitGroup // store calls under way

	mu       sync.Mutex // protects the fields below
	last     hub.Conn
	online   map[store.DeviceID]visit
	readings map[store.DeviceID][]Reading // by name
	life     context.Context              // nil before Run and after it
}

// visit is the newest connection of a box.
type visit struct {
	conn  hub.Conn
	since time.Time
}

// centralInput is an input with the connection that it is about, if that is new.
type centralInput struct {
	hub.Input
	conn *conn
	id   hub.Conn
}

// NewCentral makes a Central, which serves nobody before Run.
func NewCentral(c CentralConfig) *Central {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Patience == 0 {
		c.Patience = writeLimit
	}
	return &Central{CentralConfig: c, in: make(chan centralInput, queueLen), online: map[store.DeviceID]visit{}, readings: map[store.DeviceID][]Reading{}}
}

// Online returns since when each box is connected that is.
func (c *Central) Online() map[store.DeviceID]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[store.DeviceID]time.Time, len(c.online))
	for d, v := range c.online {
		all[d] = v.since
	}
	return all
}

// ErrNotServing says that no boxes are served at the moment.
var ErrNotServing = errors.New("no boxes are served at the moment")

// Serve takes the connection of a box, whose key was checked, and serves it to its
// end. The error is that of a handshake that failed, before anything was answered.
func (c *Central) Serve(w http.ResponseWriter, r *http.Request, device store.DeviceID) error {
	c.mu.Lock()
	ctx := c.life
	c.last++
	id := c.last
	c.mu.Unlock()
	if ctx == nil {
		return ErrNotServing
	}
	upgrader := websocket.Upgrader{HandshakeTimeout: dialLimit, Error: func(http.ResponseWriter, *http.Request, int, error) {}}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { ws.Close() })
	defer stop()
	conn := newConn(ws, c.Patience)
	defer ws.Close()
	c.came(device, id)
	defer c.went(device, id)
	c.put(ctx, centralInput{Input: hub.Opened{Conn: id, Device: string(device)}, conn: conn, id: id})
	err = conn.read(func(m wire.Message) bool {
		return c.put(ctx, centralInput{Input: hub.Received{Conn: id, Message: m}})
	})
	c.Log.Debug("the connection of a box ended", "device", string(device), "err", err)
	c.put(ctx, centralInput{Input: hub.Closed{Conn: id}, id: id})
	return nil
}

func (c *Central) came(d store.DeviceID, id hub.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.online[d] = visit{id, time.Now()}
}

// went notes that a connection ended, unless another has taken its place.
func (c *Central) went(d store.DeviceID, id hub.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.online[d].conn == id {
		delete(c.online, d)
	}
}

func (c *Central) put(ctx context.Context, in centralInput) bool {
	select {
	case c.in <- in:
		return true
	case <-ctx.Done():
		return false
	}
}

// drainTime is how long boxes have to hear that the central goes down.
const drainTime = 500 * time.Millisecond

// Run serves boxes until ctx ends.
func (c *Central) Run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	c.mu.Lock()
	c.life = life
	c.mu.Unlock()
	defer c.work.Wait()
	defer end()
	s := &serving{Central: c, machine: hub.New(boottime(), c.Hub), conns: map[hub.Conn]*conn{}, heads: map[store.SiteID]uint64{}}
	changed := make(chan struct{}, 1)
	changed <- struct{}{}
	devices := make(chan store.DeviceID, queueLen)
	defer c.Store.Watch(func(commit store.Commit) {
		if len(commit.Changes) == 0 {
			return
		}
		select {
		case changed <- struct{}{}:
		default:
		}
		for _, ch := range commit.Changes {
			if ch.Kind == store.KindDevice {
				select {
				case devices <- store.DeviceID(ch.ID):
				default: // it hears of it when it comes back
				}
			}
		}
	})()
	timer := time.NewTimer(0)
	defer timer.Stop()
	done := ctx.Done()
	var drained <-chan time.Time
	for {
		in := centralInput{Input: hub.Tick{}}
		select {
		case <-done:
			c.mu.Lock()
			c.life = nil
			c.mu.Unlock()
			in.Input, done, drained = hub.Drain{}, nil, time.After(drainTime)
		case <-drained:
			return nil
		case in = <-c.in:
		case <-changed:
			s.advanced(life)
			continue
		case d := <-devices:
			in.Input = s.device(life, d)
		case <-timer.C:
		}
		s.step(life, in)
		timer.Reset(min(max(0, s.machine.Wake()-boottime()), time.Minute))
	}
}

// serving is a machine with its connections.
type serving struct {
	*Central
	machine *hub.Machine
	conns   map[hub.Conn]*conn
	heads   map[store.SiteID]uint64 // that the machine was told
}

func (s *serving) step(ctx context.Context, in centralInput) {
	if in.Input == nil {
		return
	}
	switch {
	case in.conn != nil:
		s.conns[in.id] = in.conn
	case in.id != 0:
		delete(s.conns, in.id)
	}
	for _, out := range s.machine.Step(boottime(), in.Input) {
		s.do(ctx, out)
	}
}

// advanced tells the machine which scopes have moved.
func (s *serving) advanced(ctx context.Context) {
	var heads map[store.SiteID]uint64
	boxes := 0
	err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
		if heads, err = store.FeedHeads(tx); err == nil {
			boxes, err = store.Count(tx, store.DevicesByMerchant)
		}
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			s.Log.Error("what is new for boxes cannot be read", "err", err)
		}
		return
	}
	s.step(ctx, centralInput{Input: hub.Fleet{Boxes: boxes}})
	for site, head := range heads {
		if s.heads[site] != head {
			s.heads[site] = head
			s.step(ctx, centralInput{Input: hub.Advanced{Scope: string(site), Head: head}})
		}
	}
}

// device returns what became of a device whose record was changed.
func (s *serving) device(ctx context.Context, id store.DeviceID) hub.Input {
	var d store.Device
	err := s.Store.View(ctx, func(tx *store.Tx) (err error) { d, err = store.Get[store.Device](tx, id); return err })
	if err != nil || d.Status == store.Revoked {
		return hub.Revoked{Device: string(id), Reason: "the central's operator revoked it"}
	}
	return hub.Reassigned{Device: string(id)}
}

func (s *serving) do(ctx context.Context, out hub.Output) {
	switch out := out.(type) {
	case hub.Send:
		if c := s.conns[out.Conn]; c != nil {
			_ = c.send(out.Message) // a connection that fails is Closed
		}
	case hub.Close:
		if c := s.conns[out.Conn]; c != nil {
			_ = c.send(nil) // the same
		}
	case hub.Watch:
		s.watch(store.DeviceID(out.Device), out.Telemetry)
	default:
		s.work.Add(1)
		go func() {
			defer s.work.Done()
			if in := s.carryOut(ctx, out); in != nil {
				s.put(ctx, centralInput{Input: in})
			}
		}()
	}
}

// carryOut does what the machine asks of the store. Many are under way at once, and
// share commits.
func (s *serving) carryOut(ctx context.Context, out hub.Output) hub.Input {
	switch r := out.(type) {
	case hub.Admit:
		var a hub.Admitted
		err := s.Store.View(ctx, func(tx *store.Tx) (err error) { a, err = hub.AdmitOf(tx, r); return err })
		a.Conn, a.Err, a.Fingerprint, a.Clock = r.Conn, err, s.Fingerprint, time.Now()
		return a
	case hub.Ingest:
		var in hub.Ingested
		var before, after store.Box
		part, err := hub.PartOf(r)
		if err == nil {
			err = s.Store.Update(ctx, causeOf(r.Device), func(tx *store.Tx) (err error) {
				if s.Came == nil {
					in, err = hub.IngestPartOf(tx, r.Conn, part)
					return err
				}
				if before, err = store.Held(tx, store.DeviceID(r.Device)); err != nil {
					return err
				}
				if in, err = hub.IngestPartOf(tx, r.Conn, part); err == nil {
					after, err = store.Held(tx, store.DeviceID(r.Device))
				}
				return err
			})
		}
		if err != nil {
			s.complain(ctx, r.Device, err)
			return hub.Failed(r, err)
		}
		if s.Came != nil {
			s.Came(after.Merchant, fresh(r, &before))
		}
		return in
	case hub.ReadFeed:
		var f hub.FeedRead
		err := s.Store.View(ctx, func(tx *store.Tx) (err error) { f, err = hub.ReadFeedOf(tx, r); return err })
		f.Conn, f.Err = r.Conn, err
		s.complain(ctx, r.Device, err)
		return f
	case hub.ReadSnapshot:
		var x hub.SnapshotRead
		err := s.Store.View(ctx, func(tx *store.Tx) (err error) { x, err = hub.ReadSnapshotOf(tx, r); return err })
		x.Conn, x.Err = r.Conn, err
		s.complain(ctx, r.Device, err)
		return x
	case hub.Confirm:
		err := s.Store.Update(ctx, causeOf(r.Device), func(tx *store.Tx) error { return hub.ConfirmOf(tx, r) })
		s.complain(ctx, r.Device, err)
		return hub.Confirmed{Conn: r.Conn, Err: err}
	case hub.Keep:
		s.complain(ctx, r.Device, s.keep(ctx, r))
	case hub.Flag:
		s.Log.Error("a box is there twice, or came back as an older copy; it is not served", "device", r.Device, "why", r.Reason,
			"hint", "cypherface devices show "+r.Device)
		s.complain(ctx, r.Device, s.Store.Update(ctx, causeOf(r.Device), func(tx *store.Tx) error { return hub.FlagOf(tx, r) }))
		return hub.Flagged{Device: r.Device}
	}
	return nil
}

// fresh is the JSON of the events of a part that the central had not.
func fresh(r hub.Ingest, before *store.Box) (raw [][]byte) {
	held := before.Head
	if before.Epoch != r.Epoch {
		held = 0
	}
	for i := range r.Events.Events {
		if r.Events.First()+uint64(i) > held {
			raw = append(raw, r.Events.Events[i].Raw)
		}
	}
	return raw
}

func (s *serving) complain(ctx context.Context, device string, err error) {
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("what a box wants cannot be done", "device", device, "err", err)
	}
}

// causeOf puts changes down to a box. They may use reserved space: what a box has
// decided is decided.
func causeOf(device string) store.Cause {
	return store.Cause{Actor: store.Actor{Kind: store.ActorDevice, ID: device}, Essential: true}
}
