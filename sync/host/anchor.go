package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/hub"
	"github.com/cypherface/edge/sync/uplink"
	"github.com/cypherface/edge/sync/wire"
)

// anchor is a checkpoint as it travels: with the tree, the central can go on from it
// although it has no event from before the box joined.
type anchor struct {
	Note string `json:"note"` // signed by the journal's key and by that of the box
	Tree []byte `json:"tree"`
}

// measureEvery is how often a box measures itself.
const measureEvery = time.Minute

// tell hands the machine what it may pass on: readings, and the newest checkpoint once
// the central has the events that it is over.
func (u *up) tell(step func(uplink.Input), acked uint64) {
	if u.Measure != nil && time.Since(u.measured) >= measureEvery {
		u.measured = time.Now()
		for _, m := range u.Measure() {
			step(m)
		}
	}
	if u.Checkpoint == nil || len(u.link.Seed) == 0 {
		return
	}
	c, ok := u.Checkpoint()
	if !ok || c.Size > acked || c.Note == u.anchored {
		return
	}
	u.anchored = c.Note
	signed, err := c.CoSign(u.link.Seed)
	if err != nil {
		u.Log.Warn("a checkpoint could not be signed for the central", "err", err)
		return
	}
	tree, _ := c.Tree.MarshalBinary() // never fails
	b, err := json.Marshal(anchor{signed, tree})
	if err != nil {
		u.Log.Warn("a checkpoint could not be sent", "err", err)
		return
	}
	step(uplink.Checkpointed{Note: b})
}

// What is wrong with checkpoints, in the events that say so.
const (
	faultMalformed = "malformed"
	faultSignature = "signature"      // it is not signed by the box's key
	faultShorter   = "shorter"        // the journal had more events once
	faultRewritten = "rewritten"      // it is over other events than the central holds
	gapInEvents    = "events_missing" // nothing tells: events in between are gone
)

// keep holds a checkpoint of a box against the one before and the events since, and
// keeps it. One that does not fit is told to the operator and not kept.
func (s *serving) keep(ctx context.Context, r hub.Keep) error {
	id := store.DeviceID(r.Device)
	var d store.Device
	var b store.Box
	err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
		if d, err = store.Get[store.Device](tx, id); err == nil {
			b, err = store.Held(tx, id)
		}
		return err
	})
	if err != nil || d.Status != store.Active || b.ID == "" {
		return err
	}
	next, tree, fault := s.read(&d, r.Note)
	last := b.Anchor
	switch {
	case fault != "":
	case next.Epoch > b.Epoch || next.Epoch == b.Epoch && next.Size > b.Head:
		return nil // the events come first
	case next.Epoch < last.Epoch:
		fault = faultShorter
	case next.Epoch == last.Epoch && next.Size == last.Size && next.Root == last.Root && last.Fault == "":
		return nil
	default:
		if fault, err = s.extends(ctx, id, &last, &next, tree); err != nil {
			return err
		}
	}
	if fault != "" && fault == last.Fault {
		return nil // told already
	}
	if fault != "" && fault != gapInEvents {
		next, next.Fault = last, fault
	}
	return s.Store.Update(ctx, causeOf(r.Device), func(tx *store.Tx) error {
		b, err := store.Held(tx, id)
		switch {
		case err != nil:
			return err
		case b.Anchor.Epoch != last.Epoch || b.Anchor.Size != last.Size, fault != "" && fault == b.Anchor.Fault:
			return nil // another came meanwhile
		}
		next.At = tx.Time()
		b.Anchor = next
		if err := store.Put(tx, &b); err != nil || fault == "" {
			return err
		}
		s.Log.Error("the journal of a box is not what it was", "device", r.Device, "why", fault)
		_, err = store.Append(tx, store.Event{
			Kind: store.EventSystem, Merchant: d.Merchant, Site: d.Site, Action: "checkpoint", Outcome: store.OutcomeFailed,
			Reasons: []string{fault}, Counters: map[string]float64{"events": float64(tree.Size()), "before": float64(last.Size)},
		}, nil)
		return err
	})
}

// read takes a checkpoint apart and verifies it by itself.
func (s *serving) read(d *store.Device, raw []byte) (a store.Anchor, tree store.Tree, fault string) {
	var in anchor
	if json.Unmarshal(raw, &in) != nil || tree.UnmarshalBinary(in.Tree) != nil {
		return a, tree, faultMalformed
	}
	name := audit.Name(s.Store.Info().Environment, d.ID)
	key, err := audit.KeyOf(name, d.PublicKey)
	if err != nil {
		return a, tree, faultSignature
	}
	c, err := audit.ParseCheckpoint(in.Note, key)
	switch {
	case err != nil || c.Box != name:
		return a, tree, faultSignature
	case c.Size != tree.Size() || c.Root != tree.Root():
		return a, tree, faultMalformed
	}
	return store.Anchor{Epoch: c.Epoch, Size: c.Size, Root: c.Root, Note: in.Note, Tree: in.Tree}, tree, ""
}

// anchorBatch is how many events one View reads to hold a checkpoint against them.
const anchorBatch = 4096

// extends says what is wrong with a tree that should go on from a kept checkpoint. The
// first of an epoch goes on from nothing, as far as the central has the events.
func (s *serving) extends(ctx context.Context, id store.DeviceID, last, a *store.Anchor, next store.Tree) (fault string, err error) {
	var t store.Tree
	first := a.Epoch != last.Epoch
	if !first {
		if err := t.UnmarshalBinary(last.Tree); err != nil {
			return "", err
		}
	}
	if next.Size() < t.Size() {
		return faultShorter, nil
	}
	for missing := false; t.Size() < next.Size(); {
		err := s.Store.View(ctx, func(tx *store.Tx) error {
			for range anchorBatch {
				if t.Size() == next.Size() {
					return nil
				}
				f, err := store.ForeignEvent(tx, store.NewForeignID(id, a.Epoch, t.Size()+1))
				if errors.Is(err, store.ErrNotFound) {
					missing = true
					return nil
				} else if err != nil {
					return err
				}
				t.Append(store.LeafHash(f.Raw))
			}
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("hold a checkpoint against the events of %s: %w", id, err)
		}
		switch {
		case missing && first:
			return "", nil // the box is older than its tie to this central
		case missing:
			return gapInEvents, nil
		}
	}
	if t.Root() != next.Root() {
		return faultRewritten, nil
	}
	return "", nil
}

// Reading is how something of a box was at some time.
type Reading struct {
	Name  string    `json:"name"`
	Value float64   `json:"value"`
	At    time.Time `json:"at"` // by the clock of the central
}

// watch keeps the last readings of a box in memory.
func (c *Central) watch(d store.DeviceID, t *wire.Telemetry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.readings[d]
	for _, r := range t.Readings {
		in := Reading{r.Name, r.Value, time.Now().Add(-time.Duration(min(r.Age, uint64(24*time.Hour/time.Millisecond))) * time.Millisecond).UTC()}
		i, found := slices.BinarySearchFunc(kept, r.Name, func(k Reading, name string) int { return cmp.Compare(k.Name, name) })
		switch {
		case found && in.At.After(kept[i].At):
			kept[i] = in
		case !found && len(kept) < wire.MaxReadings:
			kept = slices.Insert(kept, i, in)
		}
	}
	c.readings[d] = kept
}

// Readings returns the last readings of a box by their names, since this central
// started.
func (c *Central) Readings(d store.DeviceID) []Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.readings[d])
}
