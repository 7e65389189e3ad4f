package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/host"
	"github.com/cypherface/edge/sync/uplink"
)

// catchUp measures how long a fresh box takes to get everybody, over TLS, and how
// long the bare store takes to write the same.
func (s *benchSettings) catchUp(ctx context.Context) (p catchupPoint, err error) {
	p.People = s.people
	c, err := s.openCentral(ctx, "catchup", 200)
	if err != nil {
		return p, err
	}
	defer c.end()
	if err := crowd(ctx, c.store, c.merchant, s.people); err != nil {
		return p, err
	}
	bare, err := s.openStore("catchup-bare")
	if err != nil {
		return p, err
	}
	begin := time.Now()
	err = crowd(ctx, bare, c.merchant, s.people)
	p.Bare = time.Since(begin).Seconds()
	bare.Close()
	if err != nil {
		return p, err
	}
	address, fingerprint, end, err := c.secure()
	if err != nil {
		return p, err
	}
	defer end()
	box, err := s.openStore("catchup-box")
	if err != nil {
		return p, err
	}
	defer box.Close()
	// The central knows the box by the id of its store.
	err = c.store.Update(ctx, benchCause, func(tx *store.Tx) error {
		return store.Put(tx, &store.Device{ID: box.Info().Device, Merchant: c.merchant, Site: c.site, Status: store.Active})
	})
	if err == nil {
		err = box.Update(ctx, benchCause, func(tx *store.Tx) error {
			return store.Join(tx, store.Link{Merchant: c.merchant, Site: c.site, Address: address, Fingerprint: fingerprint})
		})
	}
	if err != nil {
		return p, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	b := host.NewBox(host.BoxConfig{Store: box, Uplink: uplink.Config{First: time.Millisecond}})
	begin = time.Now()
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	for want := s.people; ; time.Sleep(10 * time.Millisecond) {
		if ctx.Err() != nil {
			return p, ctx.Err()
		}
		if st := b.Status(); !st.Link.Synced {
			continue
		}
		n := 0
		err := box.View(ctx, func(tx *store.Tx) (err error) {
			n, err = store.Count(tx, store.PersonsByMerchant, store.Plain(c.merchant))
			return err
		})
		if err != nil || n != want {
			return p, errors.Join(err, errors.New("the box says that it has everybody, and has not"))
		}
		break
	}
	p.Seconds = time.Since(begin).Seconds()
	p.Ratio = p.Bare / p.Seconds
	cancel()
	return p, <-ended
}

// secure serves the one box of a central by TLS.
func (c *centralBench) secure() (address string, fingerprint []byte, end func(), err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", nil, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return "", nil, nil, err
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return "", nil, nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = c.central.Serve(w, r, c.newest(r.Context())) // a handshake that failed is the box's to notice
	})}
	go func() { _ = server.Serve(l) }() // ends with Close
	return l.Addr().(*net.TCPAddr).String(), sum[:], func() { server.Close() }, nil
}

// newest is the box that was registered last.
func (c *centralBench) newest(ctx context.Context) (id store.DeviceID) {
	_ = c.store.View(ctx, func(tx *store.Tx) error {
		page, err := store.List(tx, store.DevicesByMerchant, store.Query[store.Device]{Prefix: []store.Term{store.Plain(c.merchant)}, Reverse: true, Limit: 1})
		if len(page.Items) > 0 {
			id = page.Items[0].ID
		}
		return err
	}) // the zero id is nobody's
	return id
}

// reconnect measures how boxes come back that were all cut off at once: each waits a
// random part of a window, and who is told that there are too many waits again.
func (s *benchSettings) reconnect(ctx context.Context) (p stormPoint, err error) {
	p.Boxes, p.Rate = s.storm, max(200, float64(s.storm)/4)
	c, err := s.openCentral(ctx, "storm", p.Rate)
	if err != nil {
		return p, err
	}
	defer c.end()
	ids, err := c.register(ctx, s.storm)
	if err != nil {
		return p, err
	}
	window := time.Duration(float64(s.storm) / p.Rate * float64(time.Second))
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var served atomic.Int64
	begin := time.Now()
	finished := make(chan error, 1)
	go func() {
		finished <- all(len(ids), func(i int) error {
			b, err := newBenchBox(ids[i], i, 1)
			for first := true; err == nil; first = false {
				wait := time.Duration(mathrand.Int64N(int64(window)))
				if first || ctx.Err() == nil {
					time.Sleep(wait)
				}
				if err := b.connect(ctx, c.address); err != nil {
					if ctx.Err() != nil {
						return ctx.Err()
					}
					continue
				}
				if err := b.serve(ctx, true, func() { served.Add(1) }); ctx.Err() != nil || !errors.Is(err, errTurnedAway) {
					return nil
				}
			}
			return err
		})
	}()
	last := int64(0)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for last < int64(s.storm) {
		select {
		case err := <-finished:
			return p, errors.Join(err, errors.New("boxes ended by themselves"))
		case <-ctx.Done():
			return p, ctx.Err()
		case <-tick.C:
		}
		now := served.Load()
		p.Peak = max(p.Peak, int(now-last))
		last = now
	}
	p.Seconds = time.Since(begin).Seconds()
	cancel()
	<-finished
	return p, nil
}

// forget measures what a store keeps for ever of records that were deleted elsewhere: a
// box that hears of them has nothing else of them.
func (s *benchSettings) forget(ctx context.Context) (p deletedPoint, err error) {
	st, err := s.openStore("deleted")
	if err != nil {
		return p, err
	}
	defer st.Close()
	central, site, merchant := store.NewUUID[store.DeviceID](), store.NewID[store.SiteID](time.Now()), store.NewID[store.MerchantID](time.Now())
	err = st.Update(ctx, benchCause, func(tx *store.Tx) error {
		return errors.Join(
			store.Put(tx, &store.Merchant{ID: merchant, Status: store.Active}),
			store.Join(tx, store.Link{Merchant: merchant, Site: site}),
			store.ApplyRange(tx, store.RangePart{Central: central, Epoch: 1, Last: true}))
	})
	before, _, _ := st.Room()
	const part = 4096
	for p.Deletions < s.deletions && err == nil {
		f := store.FeedPart{Central: central, Epoch: 1, After: uint64(p.Deletions), Through: uint64(min(p.Deletions+part, s.deletions))}
		for rev := f.After + 1; rev <= f.Through; rev++ {
			f.Changes = append(f.Changes, store.FeedChange{Rev: rev, Op: store.OpDelete, Kind: store.KindPerson, ID: string(store.NewID[store.PersonID](time.Now()))})
		}
		err = st.Update(ctx, benchCause, func(tx *store.Tx) error { return store.ApplyFeed(tx, f) })
		p.Deletions = int(f.Through)
	}
	after, _, _ := st.Room()
	p.Bytes = after - before
	return p, err
}
