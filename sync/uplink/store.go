package uplink

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/wire"
)

// StateOf reads what New needs from the store of a box that has joined a central;
// the error is store.ErrNotFound where it has not. The caller adds Boot and Age.
func StateOf(tx *store.Tx) (State, error) {
	l, err := store.Get[store.Link](tx, store.TheLink)
	if err != nil {
		return State{}, fmt.Errorf("read link: %w", err)
	}
	head, err := store.Head(tx)
	if err != nil {
		return State{}, err
	}
	acked, err := store.Acked(tx, store.Consumer)
	if err != nil {
		return State{}, err
	}
	info := tx.Info()
	return State{
		Device: string(info.Device), Epoch: info.Epoch, Head: head,
		Central: string(l.Central), CentralEpoch: l.Epoch, Acked: acked,
		Scopes: []wire.Bookmark{{Scope: string(l.Site), Rev: l.At, Snapshot: l.Snapshot, Cursor: l.Cursor}},
		Hold:   l.Hold, Revoked: l.Revoked, Spread: l.Spread,
	}, nil
}

// CarryOut does a request in a transaction: a Read in any, others in an Update. The
// answer is good once that is durable.
func CarryOut(tx *store.Tx, req Request) (Done, error) {
	done := Done{Request: req}
	var err error
	switch r := req.(type) {
	case Read:
		done.Events, err = readEvents(tx, r)
	case Save:
		err = save(tx, r)
	case Apply:
		err = apply(tx, r.Feed)
	case Resync:
		err = resync(tx, r.Snapshot)
	}
	return done, err
}

// Missing says which events that a Read asked for are not in the store any more: those
// from the first to the last, none where last is before first. done is its answer.
func Missing(tx *store.Tx, done Done) (first, last uint64, err error) {
	r, ok := done.Request.(Read)
	if !ok || done.Events == nil {
		return 1, 0, nil
	}
	l, err := store.Get[store.Link](tx, store.TheLink)
	if err != nil {
		return 1, 0, err
	}
	return max(r.After, l.Since(tx.Info().Epoch)) + 1, max(done.Events.After, done.Events.Gone), nil
}

// CarryOutArchived answers a Read with events from the archive of the journal, which
// begin with the first that is missing.
func CarryOutArchived(tx *store.Tx, r Read, archived []store.Envelope) (Done, error) {
	l, err := store.Get[store.Link](tx, store.TheLink)
	if err != nil {
		return Done{}, err
	}
	out := &wire.Events{After: r.After}
	if since := l.Since(tx.Info().Epoch); since > r.After {
		out.Gone = since
	} else if out.Prev, err = leaf(tx, r.After); err != nil {
		return Done{}, err
	}
	events, err := store.OutgoingArchived(tx, archived, max(out.After, out.Gone), wire.MaxItems, r.Bytes)
	for i := range events {
		out.Events = append(out.Events, event(tx, &l, &events[i]))
	}
	return Done{Request: r, Events: out}, err
}

func readEvents(tx *store.Tx, r Read) (*wire.Events, error) {
	l, err := store.Get[store.Link](tx, store.TheLink)
	if err != nil {
		return nil, err
	}
	out := &wire.Events{After: r.After}
	if since := l.Since(tx.Info().Epoch); since > r.After {
		out.Gone = since
	} else if out.Prev, err = leaf(tx, r.After); err != nil {
		return nil, err
	}
	from := max(out.After, out.Gone)
	events, err := store.OutgoingEvents(tx, from, wire.MaxItems, r.Bytes)
	if errors.Is(err, store.ErrTrimmed) {
		if out.Gone, err = firstKept(tx, from); err == nil {
			events, err = store.OutgoingEvents(tx, out.Gone, wire.MaxItems, r.Bytes)
		}
	}
	if err != nil {
		return nil, err
	}
	for i := range events {
		out.Events = append(out.Events, event(tx, &l, &events[i]))
	}
	return out, nil
}

// leaf is the hash of an event in the tree of the journal, zero where it is gone.
func leaf(tx *store.Tx, seq uint64) (wire.Hash, error) {
	for e, err := range store.Envelopes(tx, seq, seq) {
		if err != nil {
			return wire.Hash{}, err
		}
		return wire.Hash(store.LeafHash(e.Raw)), nil
	}
	return wire.Hash{}, nil
}

// firstKept is the number of the last event before the oldest that is there.
func firstKept(tx *store.Tx, after uint64) (uint64, error) {
	events, err := store.Events(tx, after, 1)
	if err != nil || len(events) == 0 {
		return after, err
	}
	return events[0].Seq - 1, nil
}

func event(tx *store.Tx, l *store.Link, o *store.Outgoing) wire.Event {
	e := wire.Event{Raw: o.Raw, Personal: o.Personal}
	if o.Edit == nil {
		return e
	}
	x := o.Edit
	e.Edit = &wire.Edit{
		Op: wire.ParseOp(string(x.Op)), Kind: string(x.Kind), ID: x.ID,
		New: x.New, Again: x.Again, Anew: x.Anew, BaseEpoch: x.Epoch, Base: x.Base, Header: x.Header, Piece: x.Piece,
	}
	for _, f := range x.Fields {
		was := make([]wire.Digest, len(f.Was))
		for i := range f.Was {
			was[i] = wire.Digest(f.Was[i])
		}
		e.Edit.Fields = append(e.Edit.Fields, wire.Field{Name: f.Name, Was: was})
	}
	if x.Op == store.OpErase && len(l.Seed) == ed25519.SeedSize {
		info := tx.Info()
		e.Receipt = wire.SignReceipt(ed25519.NewKeyFromSeed(l.Seed), string(info.Device), info.Epoch, o.Seq, x.ID)
	}
	return e
}

func save(tx *store.Tx, r Save) error {
	l, err := store.Get[store.Link](tx, store.TheLink)
	if err != nil {
		return err
	}
	before := l
	if r.Hold != nil {
		l.Hold = *r.Hold
	}
	if r.Revoked != nil {
		l.Revoked = *r.Revoked
	}
	if r.Spread != nil {
		l.Spread = *r.Spread
	}
	if r.Met != nil {
		if l.Central != "" && l.Central != store.DeviceID(r.Met.Central) {
			return fmt.Errorf("meet central: %w: it is another than the one that was joined", store.ErrInvalid)
		}
		l.Central, l.Epoch, l.At, l.Snapshot, l.Cursor = store.DeviceID(r.Met.Central), r.Met.Epoch, 0, 0, ""
		if len(r.Met.Scopes) > 0 {
			l.Site = store.SiteID(r.Met.Scopes[0])
		}
	}
	if l.Hold != before.Hold || l.Revoked != before.Revoked || l.Spread != before.Spread || r.Met != nil {
		if err := store.Put(tx, &l); err != nil {
			return err
		}
	}
	if r.Acked == nil {
		return nil
	}
	return store.Reached(tx, *r.Acked)
}

func apply(tx *store.Tx, f *wire.Feed) error {
	l, err := store.Get[store.Link](tx, store.TheLink)
	if err != nil {
		return err
	}
	part := store.FeedPart{Central: l.Central, Epoch: l.Epoch, After: f.After, Through: f.Through(), Merged: f.Merged}
	rev := f.After
	for i := range f.Changes {
		x := &f.Changes[i]
		if x.Op == wire.OpLater {
			rev += max(1, x.Run)
			continue
		}
		rev++
		part.Changes = append(part.Changes, change(rev, x))
	}
	return store.ApplyFeed(tx, part)
}

func resync(tx *store.Tx, f *wire.Snapshot) error {
	l, err := store.Get[store.Link](tx, store.TheLink)
	if err != nil {
		return err
	}
	part := store.RangePart{
		Central: l.Central, Epoch: l.Epoch, Rev: f.Rev, After: f.After, Next: f.Next, Last: f.Last, Merged: f.Merged,
	}
	for i := range f.Records {
		part.Records = append(part.Records, change(f.Records[i].Rev, &f.Records[i].Change))
	}
	return store.ApplyRange(tx, part)
}

func change(rev uint64, x *wire.Change) store.FeedChange {
	return store.FeedChange{
		Rev: rev, Op: store.Op(x.Op.String()), Kind: store.Kind(x.Kind), ID: x.ID,
		Header: bytes.Clone(x.Header), Piece: bytes.Clone(x.Piece),
	}
}
