package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/host"
	"github.com/cypherface/edge/sync/wire"
)

// benchBox is a box that says what a box says, out of a journal made beforehand, in
// frames made beforehand: a real one has a machine of its own for that.
type benchBox struct {
	device  store.DeviceID
	events  int // of its journal
	batches []batch
	boot    wire.Boot

	ws      *websocket.Conn
	said    uint64
	credits int64
	next    int // of the batches, to be sent
	acked   uint64
}

// batch is a stretch of a journal as it is sent.
type batch struct {
	frame []byte
	cost  int64
}

// newBenchBox makes a box with n decisions in its journal, those from first on.
func newBenchBox(device store.DeviceID, first, n int) (*benchBox, error) {
	b := &benchBox{device: device, events: n}
	_, _ = rand.Read(b.boot[:]) // never fails
	journal := make([]wire.Event, n)
	for i := range journal {
		e, personal := decision(uint64(first + i))
		plain := append(make([]byte, 16), personal...)
		sum := sha256.Sum256(plain)
		e.Device, e.Epoch, e.Seq, e.Personal = device, 1, uint64(i+1), sum[:]
		e.Actor = store.Actor{Kind: store.ActorSystem, ID: "door"}
		raw, err := json.Marshal(&e)
		if err != nil {
			return nil, err
		}
		journal[i] = wire.Event{Raw: raw, Personal: plain}
	}
	for from := 0; from < n; from += batchEvents {
		m := &wire.Events{After: uint64(from), Events: journal[from:min(from+batchEvents, n)]}
		if from > 0 {
			m.Prev = wire.Hash(store.LeafHash(journal[from-1].Raw))
		}
		frame, err := wire.Encode(m)
		if err != nil {
			return nil, err
		}
		b.batches = append(b.batches, batch{frame, int64(wire.Cost(m))})
	}
	return b, nil
}

// decision is one as a door makes it, with its personal part.
func decision(n uint64) (store.Event, []byte) {
	return store.Event{
		Time: time.Now().UTC(), Kind: store.EventDecision, Merchant: "6b08057fa8b61684eb4399b4", Door: "6b0805835b3fa390459f2a20",
		Person: store.PersonID(fmt.Sprintf("%024x", n)), Action: "identify", Outcome: store.OutcomeMatch,
		Counters: map[string]float64{"similarity": 93.25, "threshold": 80, "frames": 3},
	}, []byte(`{"name":"Ada Lovelace"}`)
}

// connect dials and says hello; the answer is read by serve.
func (b *benchBox) connect(ctx context.Context, address string) error {
	ws, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+address+host.Path, http.Header{"Device": {string(b.device)}})
	if err != nil {
		return err
	}
	b.ws, b.said, b.credits = ws, 0, 0
	return b.send(&wire.Hello{
		Oldest: wire.Oldest, Newest: wire.Newest, Device: string(b.device), Boot: b.boot, Epoch: 1, Head: uint64(b.events), Credits: 64 << 10,
	})
}

func (b *benchBox) send(m wire.Message) error {
	frame, err := wire.Encode(m)
	if err != nil {
		return err
	}
	return b.write(frame)
}

func (b *benchBox) write(frame []byte) error {
	b.said++
	return b.ws.WriteMessage(websocket.BinaryMessage, frame)
}

var errTurnedAway = errors.New("turned away")

// serve answers the central until the journal is held there or, with stay, ctx ends.
// welcome is called once it is let in.
func (b *benchBox) serve(ctx context.Context, stay bool, welcome func()) error {
	stop := context.AfterFunc(ctx, func() { b.ws.Close() })
	defer stop()
	defer b.ws.Close()
	for {
		_, frame, err := b.ws.ReadMessage()
		if err != nil {
			return err
		}
		m, err := wire.Decode(frame)
		if errors.Is(err, wire.ErrSkip) {
			continue
		} else if err != nil {
			return err
		}
		switch m := m.(type) {
		case *wire.Welcome:
			// The central takes whole batches.
			b.credits, b.next = int64(m.Credits), (int(m.Head)+batchEvents-1)/batchEvents
			welcome()
		case *wire.Credits:
			b.credits += int64(m.More)
		case *wire.EventsAck:
			b.acked = m.Through
		case *wire.Ping:
			err = b.send(&wire.Pong{Number: m.Number, Sent: b.said})
		case *wire.Error:
			return fmt.Errorf("%w: %s", errTurnedAway, m.Text)
		}
		for err == nil && b.credits > 0 && b.next < len(b.batches) {
			next := &b.batches[b.next]
			b.next++
			b.credits -= next.cost
			err = b.write(next.frame)
		}
		if err != nil {
			return err
		}
		if !stay && b.acked == uint64(b.events) {
			return nil
		}
	}
}

// ingest measures what n boxes have accepted, and what the bare store takes.
func (s *benchSettings) ingest(ctx context.Context, n int) (p ingestPoint, err error) {
	each := max(1, s.events/n)
	p = ingestPoint{Boxes: n, Events: each * n}
	c, err := s.openCentral(ctx, fmt.Sprintf("ingest-%d", n), max(200, float64(n)))
	if err != nil {
		return p, err
	}
	defer c.end()
	ids, err := c.register(ctx, n)
	if err != nil {
		return p, err
	}
	var boxes []*benchBox
	for i, id := range ids {
		b, err := newBenchBox(id, i*each, each)
		if err != nil {
			return p, err
		}
		boxes = append(boxes, b)
	}
	// All are connected before any of them sends.
	var begin time.Time
	var work time.Duration
	connected := make(chan error, 2*n)
	start := make(chan struct{})
	go func() {
		for range n {
			if err := <-connected; err != nil {
				break // all returns it
			}
		}
		begin, work = time.Now(), processor()
		close(start)
	}()
	err = all(n, func(i int) error {
		err := boxes[i].connect(ctx, c.address)
		if err == nil {
			err = boxes[i].serve(ctx, false, func() { connected <- nil; <-start })
		}
		if err != nil {
			connected <- err
		}
		return err
	})
	if err != nil {
		return p, err
	}
	p.Rate = float64(p.Events) / time.Since(begin).Seconds()
	p.CPU = float64((processor() - work).Microseconds()) / float64(p.Events)
	work = processor()
	if p.Bare, err = s.bare(ctx, p.Events, n); err != nil {
		return p, err
	}
	p.BareC = float64((processor() - work).Microseconds()) / float64(p.Events)
	p.Ratio = p.Rate / p.Bare
	return p, nil
}

// writers are at most so many at the bare store: more do not make it faster.
const writers = 64

// bare measures how many events a second a store takes, the same as boxes send, in
// transactions as large as the largest of theirs: smaller ones are slower.
func (s *benchSettings) bare(ctx context.Context, events, boxes int) (float64, error) {
	st, err := s.openStore(fmt.Sprintf("bare-%d", boxes))
	if err != nil {
		return 0, err
	}
	defer st.Close()
	n := min(boxes, writers)
	begin := time.Now()
	err = all(n, func(w int) error {
		for done := 0; done < events/n; done += batchEvents {
			err := st.Update(ctx, benchCause, func(tx *store.Tx) error {
				for i := range min(batchEvents, events/n-done) {
					e, personal := decision(uint64(w*(events/n) + done + i))
					if _, err := store.Append(tx, e, json.RawMessage(personal)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return float64(events/n*n) / time.Since(begin).Seconds(), err
}

// all runs fn for 0..n-1 at once and returns the first error.
func all(n int, fn func(i int) error) error {
	var work sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		work.Go(func() { errs[i] = fn(i) })
	}
	work.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// peopleBatch is how many people are put in one transaction.
const peopleBatch = 256

// crowd puts people with a template each into a store.
func crowd(ctx context.Context, st store.Store, m store.MerchantID, n int) error {
	vector := make([]float32, 128)
	for done := 0; done < n; done += peopleBatch {
		err := st.Update(ctx, benchCause, func(tx *store.Tx) error {
			for i := range min(peopleBatch, n-done) {
				id := store.NewID[store.PersonID](tx.Time())
				vector[i%128] = float32(done + i)
				p := store.Person{ID: id, Merchant: m, Firstname: "Ada", Lastname: "Lovelace", Email: fmt.Sprintf("p%d@example.org", done+i), Status: store.PersonEnrolled}
				t := store.Template{ID: store.NewTemplateID(id, "bench"), Merchant: m, Person: id, Space: "bench", Crops: 1, Vector: vector}
				if err := errors.Join(store.Put(tx, &p), store.Put(tx, &t)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
