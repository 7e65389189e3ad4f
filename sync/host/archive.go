package host

import (
	"context"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/uplink"
	"github.com/cypherface/edge/sync/wire"
)

// read answers a Read from the store, and from the archive of the journal where the
// central was restored to before what the store still has.
func (u *up) read(ctx context.Context, r uplink.Read) (done uplink.Done, err error) {
	first, last := uint64(1), uint64(0)
	err = u.Store.View(ctx, func(tx *store.Tx) (err error) {
		if done, err = uplink.CarryOut(tx, r); err == nil {
			first, last, err = uplink.Missing(tx, done)
		}
		return err
	})
	if err != nil || last < first || u.Archived == nil {
		return done, err
	}
	events, err := u.Archived(ctx, first, int(min(last-first+1, wire.MaxItems)))
	if err != nil {
		return done, err
	}
	if len(events) == 0 || events[0].Seq != first {
		return done, nil // they are nowhere any more
	}
	err = u.Store.View(ctx, func(tx *store.Tx) (err error) { done, err = uplink.CarryOutArchived(tx, r, events); return err })
	return done, err
}

// unsent returns what a Save takes back that says the central holds less than before,
// as far as it has left the store: the changes among these events go up again.
func (u *up) unsent(ctx context.Context, req uplink.Request) (changes []store.Event, err error) {
	save, ok := req.(uplink.Save)
	if !ok || save.Acked == nil || u.Archived == nil {
		return nil, nil
	}
	var acked, oldest uint64
	err = u.Store.View(ctx, func(tx *store.Tx) error {
		var err error
		if acked, err = store.Acked(tx, store.Consumer); err != nil {
			return err
		}
		oldest = acked + 1
		events, err := store.Events(tx, 0, 1)
		if len(events) > 0 {
			oldest = min(oldest, events[0].Seq)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for from := max(*save.Acked, u.link.Since(u.Store.Info().Epoch)) + 1; from < oldest; {
		events, err := u.Archived(ctx, from, wire.MaxItems)
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			break // they are nowhere any more
		}
		for i := range events {
			if e := &events[i].Event; e.Kind == store.EventChange && e.Seq < oldest {
				changes = append(changes, *e)
			}
		}
		from = events[len(events)-1].Seq + 1
	}
	return changes, nil
}
