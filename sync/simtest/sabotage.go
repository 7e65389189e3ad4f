package simtest

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/hub"
	"github.com/cypherface/edge/sync/uplink"
	"github.com/cypherface/edge/sync/wire"
)

// Breakage names a promise that a run breaks on purpose, to see whether the
// simulation notices; see Breakages.
type Breakage string

// Broken is a promise that can be broken.
type Broken struct {
	Name    Breakage
	Promise int    // which of those in docs/sync.md
	How     string // it is broken
	hooks   hooks
}

// hooks stand between the machines and their hosts. Where one is nil, all is as the
// daemons do it.
type hooks struct {
	admit  func(*store.Tx, hub.Admit) (hub.Admitted, error)
	ingest func(*store.Tx, hub.Ingest) (hub.Ingested, error)
	feed   func(*store.Tx, hub.ReadFeed) (hub.FeedRead, error)
	read   func(*store.Tx, uplink.Read) (uplink.Done, error)
	save   func(*store.Tx, uplink.Request) error
	tell   func(uplink.Status) uplink.Status
	decide func(b *box, decide func())
	crash  func(*box)

	early       bool // the central answers before it has synced,
	earlyOnBox  bool // and the box
	keepSilence bool // of clones
}

func (h hooks) withDefaults() hooks {
	if h.admit == nil {
		h.admit = hub.AdmitOf
	}
	if h.ingest == nil {
		h.ingest = hub.IngestOf
	}
	if h.feed == nil {
		h.feed = hub.ReadFeedOf
	}
	if h.read == nil {
		h.read = func(tx *store.Tx, r uplink.Read) (uplink.Done, error) { return uplink.CarryOut(tx, r) }
	}
	if h.save == nil {
		h.save = func(tx *store.Tx, r uplink.Request) error {
			_, err := uplink.CarryOut(tx, r)
			return err
		}
	}
	if h.tell == nil {
		h.tell = func(st uplink.Status) uplink.Status { return st }
	}
	if h.decide == nil {
		h.decide = func(_ *box, decide func()) { decide() }
	}
	if h.crash == nil {
		h.crash = func(*box) {}
	}
	return h
}

func hooksOf(name Breakage) hooks {
	for _, b := range Breakages {
		if b.Name == name {
			return b.hooks.withDefaults()
		}
	}
	return hooks{}.withDefaults()
}

// Breakages are all promises that can be broken.
var Breakages = []Broken{
	{"decision-waits", 1, "a decision is made once the box is connected", hooks{decide: func(b *box, decide func()) {
		if b.status.Phase == uplink.Online {
			decide()
			return
		}
		b.w.after(time.Second, func() { b.s.hooks.decide(b, decide) })
	}}},
	{"decision-dropped", 8, "a decision is not kept while five events wait for the central", hooks{decide: func(b *box, decide func()) {
		if st := b.up.Status(b.mono()); st.Head-st.Acked < 5 {
			decide()
			return
		}
		b.s.oracle.decided(b, "a decision under pressure", 0, nil)
	}}},
	{"age-hidden", 1, "a box says that its data is fresh as long as it is connected", hooks{tell: func(st uplink.Status) uplink.Status {
		if st.Phase == uplink.Online {
			st.Age, st.Exact = 0, true
		}
		return st
	}}},
	{"revision-skipped", 2, "a change is left out of a batch, and its number stays", hooks{feed: func(tx *store.Tx, r hub.ReadFeed) (hub.FeedRead, error) {
		f, err := hub.ReadFeedOf(tx, r)
		if err == nil && f.Feed != nil && len(f.Feed.Changes) > 2 {
			f.Feed.Changes[1] = wire.Change{Op: wire.OpLater, Run: max(1, f.Feed.Changes[1].Run)}
		}
		return f, err
	}}},
	{"revision-missing", 2, "a change is left out of a batch, and those after it move up", hooks{feed: func(tx *store.Tx, r hub.ReadFeed) (hub.FeedRead, error) {
		f, err := hub.ReadFeedOf(tx, r)
		if err == nil && f.Feed != nil && len(f.Feed.Changes) > 2 {
			f.Feed.Changes = slices.Delete(f.Feed.Changes, 1, 2)
		}
		return f, err
	}}},
	{"bookmark-alone", 2, "a box moves its bookmark and leaves what came with it out", hooks{save: func(tx *store.Tx, r uplink.Request) error {
		if a, ok := r.(uplink.Apply); ok {
			r = uplink.Apply{Feed: &wire.Feed{Scope: a.Feed.Scope, After: a.Feed.After, Merged: a.Feed.Merged, Head: a.Feed.Head, Changes: []wire.Change{{Op: wire.OpLater, Run: a.Feed.Through() - a.Feed.After}}}}
		}
		_, err := uplink.CarryOut(tx, r)
		return err
	}}},
	{"epoch-hidden", 2, "a central that was restored says that it is in its first epoch still", hooks{admit: func(tx *store.Tx, r hub.Admit) (hub.Admitted, error) {
		a, err := hub.AdmitOf(tx, r)
		a.Epoch = 1
		return a, err
	}}},
	{"ack-before-sync", 3, "the central acknowledges events when they are written, and syncs later", hooks{early: true}},
	{"applied-before-sync", 3, "a box acknowledges revisions when they are written, and syncs later", hooks{earlyOnBox: true}},
	{"number-reused", 3, "a box that crashes comes back without its last synced events", hooks{crash: func(b *box) {
		if b.older != nil {
			b.disk.synced, b.disk.latest = b.older, b.older.clone()
		}
	}}},
	{"event-swallowed", 3, "the central acknowledges the last event of a batch and does not keep it", hooks{ingest: func(tx *store.Tx, r hub.Ingest) (hub.Ingested, error) {
		if n := len(r.Events.Events); n > 1 {
			short := *r.Events
			short.Events = short.Events[:n-1]
			r.Events = &short
		}
		in, err := hub.IngestOf(tx, r)
		in.Through++
		return in, err
	}}},
	{"tombstone-forgotten", 4, "a box passes erasures over", hooks{save: func(tx *store.Tx, r uplink.Request) error {
		switch a := r.(type) {
		case uplink.Apply:
			f := *a.Feed
			f.Changes = slices.Clone(f.Changes)
			for i := range f.Changes {
				if f.Changes[i].Op == wire.OpErase {
					f.Changes[i] = wire.Change{Op: wire.OpLater, Run: 1}
				}
			}
			r = uplink.Apply{Feed: &f}
		case uplink.Resync:
			x := *a.Snapshot
			x.Records = slices.DeleteFunc(slices.Clone(x.Records), func(r wire.Record) bool { return r.Op == wire.OpErase })
			r = uplink.Resync{Snapshot: &x}
		}
		_, err := uplink.CarryOut(tx, r)
		return err
	}}},
	{"erasure-ignored", 4, "the central passes erasures of boxes over", hooks{ingest: func(tx *store.Tx, r hub.Ingest) (hub.Ingested, error) {
		return hub.IngestOf(tx, withEdits(r, func(e *wire.Edit) *wire.Edit {
			if e.Op == wire.OpErase {
				return nil
			}
			return e
		}))
	}}},
	{"receipt-missing", 4, "a box does not sign its erasures", hooks{read: func(tx *store.Tx, r uplink.Read) (uplink.Done, error) {
		done, err := uplink.CarryOut(tx, r)
		for i := 0; err == nil && i < len(done.Events.Events); i++ {
			done.Events.Events[i].Receipt = nil
		}
		return done, err
	}}},
	{"hold-forgotten", 4, "a box that has missed erasures may match at once", hooks{admit: func(tx *store.Tx, r hub.Admit) (hub.Admitted, error) {
		a, err := hub.AdmitOf(tx, r)
		a.Hold = false
		return a, err
	}}},
	{"revocation-ignored", 4, "a revoked box is let in", hooks{admit: func(tx *store.Tx, r hub.Admit) (hub.Admitted, error) {
		a, err := hub.AdmitOf(tx, r)
		if !a.Revoked || err != nil {
			return a, err
		}
		a.Revoked = false
		d, err := store.Get[store.Device](tx, store.DeviceID(r.Hello.Device))
		if err != nil {
			return a, err
		}
		f, err := store.FeedStateOf(tx, d.Site)
		a.Scopes = []hub.Scope{{Scope: string(d.Site), Oldest: f.Floor + 1, Head: f.Head}}
		return a, err
	}}},
	{"merged-by-clock", 5, "the change that comes last, by the clock of its box, takes all", hooks{ingest: func(tx *store.Tx, r hub.Ingest) (hub.Ingested, error) {
		return hub.IngestOf(tx, withEdits(r, func(e *wire.Edit) *wire.Edit { return basedOnNow(tx, e) }))
	}}},
	{"edit-dropped", 5, "a change of a box is taken for merged, and is not", hooks{ingest: func(tx *store.Tx, r hub.Ingest) (hub.Ingested, error) {
		return hub.IngestOf(tx, withEdits(r, func(e *wire.Edit) *wire.Edit {
			if e.Op == wire.OpPut && !e.New {
				return nil
			}
			return e
		}))
	}}},
	{"theft-served", 5, "the central deletes a grant or a door whoever wants it", hooks{ingest: func(tx *store.Tx, r hub.Ingest) (hub.Ingested, error) {
		for _, e := range r.Events.Events {
			if x := e.Edit; x != nil && x.Op == wire.OpDelete {
				store.Delete[store.Grant](tx, store.GrantID(x.ID))
				store.Delete[store.Door](tx, store.DoorID(x.ID))
			}
		}
		return hub.IngestOf(tx, r)
	}}},
	{"clone-ignored", 6, "a box that is there twice is served", hooks{keepSilence: true}},
}

// withEdits returns an Ingest with other edits; nil is none.
func withEdits(r hub.Ingest, fn func(*wire.Edit) *wire.Edit) hub.Ingest {
	events := *r.Events
	events.Events = slices.Clone(events.Events)
	for i := range events.Events {
		if e := events.Events[i].Edit; e != nil {
			events.Events[i].Edit = fn(e)
		}
	}
	r.Events = &events
	return r
}

// basedOnNow is an edit of a person that says that it was made from what is there.
func basedOnNow(tx *store.Tx, e *wire.Edit) *wire.Edit {
	p, err := store.Get[store.Person](tx, store.PersonID(e.ID))
	if e.Kind != string(store.KindPerson) || err != nil {
		return e
	}
	now, late := map[string]json.RawMessage{}, *e
	if b, err := json.Marshal(p); err != nil || json.Unmarshal(b, &now) != nil {
		return e
	}
	late.Fields = slices.Clone(e.Fields)
	for i := range late.Fields {
		f := &late.Fields[i]
		sum := sha256.Sum256(now[f.Name])
		f.Was = append(slices.Clone(f.Was), wire.Digest(sum[:8]))
	}
	return &late
}

// silent leaves out what a hub says and does about clones.
func silent(outs []hub.Output) []hub.Output {
	return slices.DeleteFunc(slices.Clone(outs), func(o hub.Output) bool {
		_, flag := o.(hub.Flag)
		return flag
	})
}
