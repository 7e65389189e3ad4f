package simtest

import (
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/hub"
	"github.com/cypherface/edge/sync/uplink"
)

// Breakage names a promise that a run breaks on purpose, to see whether the
// simulation notices.
type Breakage string

// sabotage stands between the machines and their hosts. Nothing is broken unless
// Options.Break says so.
type sabotage struct {
	s      *Sim
	broken Breakage
}

func (x *sabotage) uplink(_ *box, outs []uplink.Output) []uplink.Output { return outs }

func (x *sabotage) hub(_ *central, outs []hub.Output) []hub.Output { return outs }

func (x *sabotage) read(_ *box, tx *store.Tx, r uplink.Read) (uplink.Done, error) {
	return uplink.CarryOut(tx, r)
}

func (x *sabotage) save(_ *box, tx *store.Tx, r uplink.Request) error {
	_, err := uplink.CarryOut(tx, r)
	return err
}

func (x *sabotage) feed(_ *central, tx *store.Tx, r hub.ReadFeed) (hub.FeedRead, error) {
	return hub.ReadFeedOf(tx, r)
}

func (x *sabotage) ingest(_ *central, tx *store.Tx, r hub.Ingest) (hub.Ingested, error) {
	return hub.IngestOf(tx, r)
}

// early says whether the answer to an ingest was given before it is durable.
func (x *sabotage) early(*central, hub.Ingest) bool { return false }

func (x *sabotage) decide(b *box, fn func(*store.Tx) error, done func(error)) {
	b.change(operator.Actor, fn, done)
}
