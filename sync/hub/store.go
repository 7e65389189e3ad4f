package hub

import (
	"errors"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/wire"
)

// AdmitOf answers Admit from the central's store. The caller adds Fingerprint and
// Clock.
func AdmitOf(tx *store.Tx, r Admit) (Admitted, error) {
	info := tx.Info()
	a := Admitted{Conn: r.Conn, Central: string(info.Device), Epoch: info.Epoch}
	d, err := store.Get[store.Device](tx, store.DeviceID(r.Hello.Device))
	if errors.Is(err, store.ErrNotFound) {
		return a, nil
	} else if err != nil {
		return a, err
	}
	a.Known, a.Revoked, a.Flagged = true, d.Status == store.Revoked, d.Status == store.Suspended
	switch {
	case a.Revoked:
		a.Reason = "the central's operator revoked it"
		return a, nil
	case a.Flagged:
		a.Reason = flagged
		return a, nil
	}
	b, err := store.Held(tx, d.ID)
	if err != nil {
		return a, err
	}
	switch {
	case b.Epoch == r.Hello.Epoch:
		a.Head = b.Head
	case b.Epoch > r.Hello.Epoch: // an older copy of the store
		a.Head = r.Hello.Head + 1
		return a, nil
	}
	f, err := store.FeedStateOf(tx, d.Site)
	if errors.Is(err, store.ErrNotFound) {
		return a, nil // it has no site yet
	} else if err != nil {
		return a, err
	}
	a.Scopes = []Scope{{Scope: string(d.Site), Oldest: f.Floor + 1, Head: f.Head}}
	// A box that is confirmed for less than what is trimmed was given up once. One that
	// was restored from its backup has less than it is confirmed for.
	a.Hold = b.Applied > 0 && f.Floor > 0 && (b.Applied < f.Floor || b.Epoch != r.Hello.Epoch)
	if r.Hello.Central == a.Central && r.Hello.CentralEpoch == a.Epoch {
		for _, m := range r.Hello.Scopes {
			a.Hold = a.Hold || m.Scope == string(d.Site) && max(m.Rev, m.Snapshot) < f.Floor
		}
	}
	return a, nil
}

// IngestOf carries out Ingest in an Update. An error fails the Update, and Failed
// makes the answer of it.
func IngestOf(tx *store.Tx, r Ingest) (Ingested, error) {
	part, err := PartOf(r)
	if err != nil {
		return Ingested{}, err
	}
	return IngestPartOf(tx, r.Conn, part)
}

// PartOf does what of an Ingest needs no Update, of which there is one at a time. Its
// error is one of the Update.
func PartOf(r Ingest) (store.IngestPart, error) {
	e := r.Events
	part := store.IngestPart{Device: store.DeviceID(r.Device), Epoch: r.Epoch, After: e.After, Prev: store.Hash(e.Prev), Gone: e.Gone}
	part.Events = make([]store.Outgoing, len(e.Events))
	for i := range e.Events {
		part.Events[i] = outgoing(e.First()+uint64(i), &e.Events[i])
	}
	return part, part.Read()
}

// IngestPartOf is the rest of IngestOf.
func IngestPartOf(tx *store.Tx, c Conn, part store.IngestPart) (Ingested, error) {
	if err := checkReceipts(tx, &part); err != nil {
		return Ingested{}, err
	}
	through, merged, err := store.Ingest(tx, part)
	if err != nil {
		return Ingested{}, err
	}
	in := Ingested{Conn: c, Through: through}
	for _, m := range merged {
		in.Results = append(in.Results, result(m))
	}
	return in, nil
}

// checkReceipts takes receipts of erasures out of a part that are not signed with the
// key of their box: the event and the erasure stand, and nothing is proven by them. An
// event of the central's says so, once.
func checkReceipts(tx *store.Tx, p *store.IngestPart) error {
	var d store.Device
	for i := range p.Events {
		o := &p.Events[i]
		if len(o.Receipt) == 0 {
			continue
		}
		if d.ID == "" {
			var err error
			if d, err = store.Get[store.Device](tx, p.Device); errors.Is(err, store.ErrNotFound) {
				return nil // Ingest says so
			} else if err != nil {
				return err
			}
		}
		if x := o.Edit; x != nil && x.Op == store.OpErase && wire.VerifyReceipt(d.PublicKey, o.Receipt, string(p.Device), p.Epoch, o.Seq, x.ID) {
			continue
		}
		o.Receipt = nil
		switch _, err := store.ForeignEvent(tx, store.NewForeignID(p.Device, p.Epoch, o.Seq)); {
		case err == nil:
			continue // it is held, and was told of
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		e := store.Event{
			Kind: store.EventSystem, Merchant: d.Merchant, Site: d.Site, Action: "receipt", Outcome: store.OutcomeDenied, Reasons: []string{"signature"},
			Counters: map[string]float64{"epoch": float64(p.Epoch), "event": float64(o.Seq)},
		}
		if o.Edit != nil && o.Edit.Op == store.OpErase {
			e.Person = store.PersonID(o.Edit.ID)
		}
		if _, err := store.Append(tx, e, nil); err != nil {
			return err
		}
	}
	return nil
}

// Failed is the answer to an Ingest whose Update failed.
func Failed(r Ingest, err error) Ingested {
	return Ingested{Conn: r.Conn, Err: err, Forked: errors.Is(err, store.ErrForked)}
}

func outgoing(seq uint64, e *wire.Event) store.Outgoing {
	o := store.Outgoing{Seq: seq, Raw: e.Raw, Personal: e.Personal, Receipt: e.Receipt}
	if x := e.Edit; x != nil {
		o.Edit = &store.Edit{
			Op: store.Op(x.Op.String()), Kind: store.Kind(x.Kind), ID: x.ID,
			EditBase: store.EditBase{New: x.New, Again: x.Again, Anew: x.Anew, Epoch: x.BaseEpoch, Base: x.Base},
			Header:   x.Header, Piece: x.Piece,
		}
		for _, f := range x.Fields {
			was := make([]store.Digest, len(f.Was))
			for i := range f.Was {
				was[i] = store.Digest(f.Was[i])
			}
			o.Edit.Fields = append(o.Edit.Fields, store.EditField{Name: f.Name, Was: was})
		}
	}
	return o
}

func result(m store.Merged) wire.Result {
	r := wire.Result{Seq: m.Seq, Merge: wire.MergeRefused, Lost: m.Lost}
	switch m.Merge {
	case store.MergeAccepted:
		r.Merge = wire.MergeAccepted
	case store.MergePartly:
		r.Merge = wire.MergePartly
	}
	return r
}

// merged is how far the journal of a device was merged when tx began.
func merged(tx *store.Tx, device string, epoch uint64) (uint64, error) {
	b, err := store.Held(tx, store.DeviceID(device))
	if err != nil || b.Epoch != epoch {
		return 0, err
	}
	return b.Head, nil
}

// ReadFeedOf carries out ReadFeed in a View.
func ReadFeedOf(tx *store.Tx, r ReadFeed) (FeedRead, error) {
	site := store.SiteID(r.Scope)
	state, err := store.FeedStateOf(tx, site)
	if err != nil {
		return FeedRead{}, err
	}
	if r.After < state.Floor {
		return FeedRead{Conn: r.Conn, Behind: true}, nil
	}
	f := &wire.Feed{Scope: r.Scope, After: r.After, Head: state.Head}
	if f.Merged, err = merged(tx, r.Device, r.Epoch); err != nil {
		return FeedRead{}, err
	}
	// Each change may have a run of revisions before it that say nothing.
	changes, through, err := store.Feed(tx, site, r.After, wire.MaxItems/2-1, r.Bytes)
	if err != nil {
		return FeedRead{}, err
	}
	rev := r.After
	for i := range changes {
		later(f, changes[i].Rev-rev-1)
		f.Changes = append(f.Changes, toWire(&changes[i]))
		rev = changes[i].Rev
	}
	later(f, through-rev)
	return FeedRead{Conn: r.Conn, Feed: f}, nil
}

// ReadSnapshotOf carries out ReadSnapshot in a View.
func ReadSnapshotOf(tx *store.Tx, r ReadSnapshot) (SnapshotRead, error) {
	site := store.SiteID(r.Scope)
	state, err := store.FeedStateOf(tx, site)
	if err != nil {
		return SnapshotRead{}, err
	}
	if r.Rev != 0 && r.Rev < state.Floor {
		return SnapshotRead{Conn: r.Conn, Behind: true}, nil
	}
	x := &wire.Snapshot{Scope: r.Scope, Rev: r.Rev, After: r.After, Head: state.Head}
	if r.Rev == 0 {
		x.Rev = state.Head
	}
	if x.Merged, err = merged(tx, r.Device, r.Epoch); err != nil {
		return SnapshotRead{}, err
	}
	records, next, done, err := store.FeedRange(tx, site, r.After, wire.MaxItems, r.Bytes)
	if err != nil {
		return SnapshotRead{}, err
	}
	x.Next, x.Last = next, done
	for i := range records {
		x.Records = append(x.Records, wire.Record{Rev: records[i].Rev, Change: toWire(&records[i])})
	}
	return SnapshotRead{Conn: r.Conn, Snapshot: x}, nil
}

func toWire(c *store.FeedChange) wire.Change {
	return wire.Change{Op: wire.ParseOp(string(c.Op)), Kind: string(c.Kind), ID: c.ID, Header: c.Header, Piece: c.Piece}
}

// ConfirmOf carries out Confirm in an Update.
func ConfirmOf(tx *store.Tx, r Confirm) error {
	for _, a := range r.Applied {
		if a.Cursor != "" {
			continue
		}
		if err := store.Applied(tx, store.DeviceID(r.Device), a.Rev); err != nil {
			return err
		}
	}
	return nil
}

// FlagOf carries out Flag in an Update: the device is suspended, and an event says
// why.
func FlagOf(tx *store.Tx, r Flag) error {
	d, err := store.Get[store.Device](tx, store.DeviceID(r.Device))
	if err != nil || d.Status != store.Active {
		return err
	}
	d.Status = store.Suspended
	if err := store.Put(tx, &d); err != nil {
		return err
	}
	_, err = store.Append(tx, store.Event{
		Kind: store.EventSystem, Merchant: d.Merchant, Site: d.Site, Action: "clone", Outcome: store.OutcomeDenied, Reasons: []string{"seen_twice"},
	}, nil)
	return err
}

// later adds revisions that say nothing.
func later(f *wire.Feed, n uint64) {
	if n > 0 {
		f.Changes = append(f.Changes, wire.Change{Op: wire.OpLater, Run: n})
	}
}
