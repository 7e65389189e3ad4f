package simtest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/hub"
	"github.com/cypherface/edge/sync/uplink"
	"github.com/cypherface/edge/sync/wire"
)

// oracle is what must be true, in a model of its own: it knows what people were
// told is done, and holds everything that the machines say and the stores hold
// against that.
type oracle struct {
	s        *fleet
	journals map[*box]map[uint64][]digest // what each box holds durably, by epoch
	feeds    map[string]string            // epoch, scope, revision → what it was said to be
	heads    []headAt                     // of the scopes at the central, as they became durable
	people   map[store.PersonID]*enrolment
	writes   []write
	seen     map[string]bool // values that somebody saw before he gave another
	doubtful map[string]bool // ids of what somebody wanted gone: whether he heard that it is or not
	erasures map[store.PersonID]*erasure
	grants   map[store.GrantID]*grantState
	moved    map[store.DoorID]bool  // doors that were at another site: boxes of the first grant nothing for them
	marks    map[string]bool        // devices that were flagged
	online   map[*box]bool          // boxes that were welcome once
	mustHold map[*box]uint64        // until they have caught up with this revision
	backupAt time.Duration          // of the central; negative: none
	reborn   map[*box]time.Duration // when a box was restored
}

type digest [sha256.Size]byte

type headAt struct {
	at    time.Duration
	epoch uint64
	site  store.SiteID
	head  uint64
}

// write is a value that somebody gave a field, and the one he saw before.
type write struct {
	person        store.PersonID
	before, value string
	box           *box // nil: at the central
	at            time.Duration
	gone          bool // lost with a box or a backup
}

type enrolment struct {
	email string
	box   *box
	at    time.Duration
	gone  bool
}

type erasure struct {
	box   *box
	at    time.Duration
	boxes []*box // that were registered then, and not revoked
	gone  bool
}

type grantState struct {
	store.Grant
	box       *box
	at        time.Duration
	withdrawn bool
	by        *box
	gone      bool
}

func newOracle(s *fleet) *oracle {
	return &oracle{
		s: s, journals: map[*box]map[uint64][]digest{}, feeds: map[string]string{}, people: map[store.PersonID]*enrolment{},
		erasures: map[store.PersonID]*erasure{}, grants: map[store.GrantID]*grantState{}, moved: map[store.DoorID]bool{}, marks: map[string]bool{},
		seen: map[string]bool{}, doubtful: map[string]bool{}, reborn: map[*box]time.Duration{}, online: map[*box]bool{}, mustHold: map[*box]uint64{}, backupAt: -1,
	}
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// box takes in what has become durable on a box.
func (o *oracle) box(b *box) {
	epoch := b.layout.Info().Epoch
	if o.journals[b] == nil {
		o.journals[b] = map[uint64][]digest{}
	}
	b.must(func(tx *store.Tx) error {
		known := o.journals[b][epoch]
		head, err := store.Head(tx)
		if err != nil || head == uint64(len(known)) {
			return err
		}
		if head < uint64(len(known)) {
			o.s.violate(b.name, "its journal ends at %d, and had %d events", head, len(known))
			return nil
		}
		for e, err := range store.Envelopes(tx, uint64(len(known))+1, head) {
			if err != nil {
				return err
			}
			if e.Seq != uint64(len(known))+1 {
				o.s.violate(b.name, "event %d follows %d", e.Seq, len(known))
			}
			known = append(known, sha256.Sum256(e.Raw))
			o.s.counts.Events++
		}
		o.journals[b][epoch] = known
		return o.stayErased(&b.node, tx)
	})
}

// stayErased checks that nobody is there again who was erased there.
func (o *oracle) stayErased(n *node, tx *store.Tx) error {
	for _, p := range sortedKeys(o.erasures) {
		tag := p.Tag()
		if v, _ := n.disk.view().Get("erased", tag[:]); v == nil {
			continue
		}
		if v, _ := n.disk.view().Get("record.person", []byte(p)); v != nil {
			o.s.violate(n.name, "%s was erased and is back", p)
		}
	}
	return nil
}

// link is how far a box is with its central, durably.
func (o *oracle) link(b *box) (l store.Link) {
	b.must(func(tx *store.Tx) (err error) {
		l, err = store.Get[store.Link](tx, store.TheLink)
		return err
	})
	return l
}

func (o *oracle) head(b *box) uint64 { return uint64(len(o.journals[b][b.layout.Info().Epoch])) }

func (o *oracle) wasOnline(b *box) bool { return o.online[b] }

// boxSays holds a message of a box against what it holds durably.
func (o *oracle) boxSays(b *box, m wire.Message) {
	switch m := m.(type) {
	case *wire.Applied:
		l := o.link(b)
		snapshot := m.Cursor != "" && l.Snapshot == m.Rev && l.Cursor >= m.Cursor
		if l.At < m.Rev && !snapshot {
			o.s.violate(b.name, "says that it holds revision %d, and holds %d durably", m.Rev, l.At)
		}
	case *wire.Events:
		known := o.journals[b][b.layout.Info().Epoch]
		for i := range m.Events {
			seq := m.First() + uint64(i)
			if seq > uint64(len(known)) || known[seq-1] != sha256.Sum256(m.Events[i].Raw) {
				o.s.violate(b.name, "sends an event %d that it does not hold durably", seq)
				return
			}
		}
	}
}

// centralSays holds a message of the central against what it holds durably.
func (o *oracle) centralSays(c *central, p *pipe, m wire.Message) {
	switch m := m.(type) {
	case *wire.Welcome:
		o.online[p.box] = true
		o.holds(c, p, m.Head)
		o.hold(c, p, m)
	case *wire.Snapshot:
		o.s.counts.Snapshots++
	case *wire.EventsAck:
		for _, r := range m.Results {
			if r.Merge != wire.MergeAccepted {
				o.s.counts.Conflicts++
			}
		}
		o.holds(c, p, m.Through)
	case *wire.Feed:
		o.feed(c, p, m)
	}
}

func (o *oracle) holds(c *central, p *pipe, through uint64) {
	c.must(func(tx *store.Tx) error {
		held, err := store.Held(tx, store.DeviceID(p.box.device))
		if err == nil && held.Head < through {
			o.s.violate(c.name, "says that it holds events of %s to %d, and holds %d durably", p.box.name, through, held.Head)
		}
		return err
	})
}

// hold says whether a box has missed tombstones that are gone: it may not match
// until it has caught up.
func (o *oracle) hold(c *central, p *pipe, w *wire.Welcome) {
	l := o.link(p.box)
	c.must(func(tx *store.Tx) error {
		f, err := store.FeedStateOf(tx, l.Site)
		if err == nil && l.Epoch == w.Epoch && max(l.At, l.Snapshot) < f.Floor && !w.Hold {
			o.s.violate(c.name, "lets %s match, which has missed erasures that are gone", p.box.name)
		}
		return err
	})
	if w.Hold {
		o.s.counts.Holds++
		o.mustHold[p.box] = w.Scopes[0].Head
	}
}

// feed checks that a batch of a feed is durable, and each revision what it was.
func (o *oracle) feed(c *central, p *pipe, m *wire.Feed) {
	epoch := c.layout.Info().Epoch
	c.must(func(tx *store.Tx) error {
		f, err := store.FeedStateOf(tx, store.SiteID(m.Scope))
		if err == nil && f.Head < m.Through() {
			o.s.violate(c.name, "sends revision %d of %d", m.Through(), f.Head)
		}
		return err
	})
	rev := m.After
	for i := range m.Changes {
		x := &m.Changes[i]
		if x.Op == wire.OpLater {
			rev += max(1, x.Run)
			continue
		}
		rev++
		o.s.counts.Revisions++
		key, is := fmt.Sprint(epoch, m.Scope, rev), x.Kind+"/"+x.ID
		if was := o.feeds[key]; was != "" && was != is {
			o.s.violate(c.name, "revision %d is of %s, and was of %s", rev, is, was)
		}
		o.feeds[key] = is
	}
}

// ingested checks, when events became durable at the central, that they are those of
// the box.
func (o *oracle) ingested(c *central, r hub.Ingest) {
	var boxes []*box
	for _, b := range o.s.boxes {
		if b.device == r.Device {
			boxes = append(boxes, b)
		}
	}
	c.must(func(tx *store.Tx) error {
		held, err := store.Held(tx, store.DeviceID(r.Device))
		if err != nil {
			return err
		}
		if held.Epoch == r.Epoch && held.Head < r.Events.Last() {
			o.s.violate(c.name, "holds events to %d after it took those to %d", held.Head, r.Events.Last())
		}
		for seq := r.Events.First(); seq <= r.Events.Last(); seq++ {
			f, err := store.ForeignEvent(tx, store.NewForeignID(store.DeviceID(r.Device), r.Epoch, seq))
			if err != nil {
				o.s.violate(c.name, "event %d of %s is missing: %v", seq, boxes[0].name, err)
				return nil
			}
			same := false
			for _, b := range boxes {
				known := o.journals[b][r.Epoch]
				same = same || seq <= uint64(len(known)) && known[seq-1] == sha256.Sum256(f.Raw)
			}
			if !same {
				o.s.violate(c.name, "event %d of %s is another than on the box", seq, boxes[0].name)
			}
		}
		return o.stayErased(&c.node, tx)
	})
}

// refused checks why the central did not take events.
func (o *oracle) refused(r hub.Ingest, err error) {
	for _, b := range o.s.boxes {
		if b.device == r.Device && (b.revoked || b.cloned || b.away) {
			return
		}
	}
	o.s.violate("central", "refuses events %d..%d: %v", r.Events.First(), r.Events.Last(), err)
}

// told holds what a box says of itself against what it may and what it has.
func (o *oracle) told(b *box, st uplink.Status) {
	if until := o.mustHold[b]; until > 0 && st.Match && st.Phase == uplink.Online {
		l := o.link(b)
		if delete(o.mustHold, b); l.At < until || l.Snapshot != 0 {
			o.s.violate(b.name, "matches before it has caught up")
		}
	}
	if st.Hold || st.Revoked {
		if st.Match {
			o.s.violate(b.name, "matches though it may not")
		}
	} else if !st.Match {
		o.s.violate(b.name, "does not match without a reason")
	}
	o.fresh(b, st)
}

// advanced notes how far a scope was durable at the central, and when.
func (o *oracle) advanced(epoch uint64, site store.SiteID, head uint64) {
	for i := len(o.heads) - 1; i >= 0; i-- {
		if h := o.heads[i]; h.site == site {
			if h.epoch == epoch && h.head == head {
				return
			}
			if h.epoch == epoch && h.head > head {
				o.s.violate("central", "the scope %s goes back from %d to %d", site, h.head, head)
			}
			break
		}
	}
	o.heads = append(o.heads, headAt{o.s.now, epoch, site, head})
}

// fresh checks that the data of a box is as young as it says: all that was durable
// at the central that long ago is there.
func (o *oracle) fresh(b *box, st uplink.Status) {
	at := o.s.now - st.Age
	if !st.Exact || at < 0 || st.CentralEpoch != o.s.central.layout.Info().Epoch {
		return
	}
	l := o.link(b)
	var head uint64
	for _, h := range o.heads {
		if h.site == l.Site && h.at < at && h.epoch == st.CentralEpoch {
			head = h.head
		}
	}
	if l.Snapshot == 0 && l.Epoch == st.CentralEpoch && l.At < head {
		o.s.violate(b.name, "says that its data is %v old, when revision %d was there, and has %d", st.Age, head, l.At)
	}
}

func (o *oracle) flagged(device string) {
	o.marks[device] = true
	for _, b := range o.s.boxes {
		if b.device == device && !b.cloned {
			o.s.violate(b.name, "is taken for a clone")
		}
	}
}

// decided checks that a decision waited for the disk of its box alone, and is there.
func (o *oracle) decided(b *box, seen string, took time.Duration, err error) {
	if err != nil {
		o.s.violate(b.name, "cannot decide: %v", err)
	}
	if _, kept := b.disk.synced.has(seen); !kept {
		o.s.violate(b.name, "a decision is not in the journal")
	}
	if took > 2*max(2*time.Millisecond, b.slow) {
		o.s.violate(b.name, "a decision took %v", took)
	}
}

func (o *oracle) enrolled(p *store.Person, b *box) {
	o.people[p.ID] = &enrolment{email: p.Email, box: b, at: o.s.now}
}

func (o *oracle) edited(p store.PersonID, b *box, before, value string) {
	o.writes = append(o.writes, write{person: p, before: before, value: value, box: b, at: o.s.now})
}

func (o *oracle) granted(g store.Grant, b *box) {
	o.grants[g.ID] = &grantState{Grant: g, box: b, at: o.s.now}
}

func (o *oracle) withdrawn(g store.GrantID, b *box) {
	if x := o.grants[g]; x != nil {
		x.withdrawn, x.by = true, b
	}
}

func (o *oracle) erase(p store.PersonID, m store.MerchantID, b *box) {
	if o.erasures[p] != nil {
		return
	}
	e := &erasure{box: b, at: o.s.now}
	for _, x := range o.s.boxes {
		if o.s.central.owner[x.site] == m && o.online[x] && !x.revoked && !x.cloned && !x.away {
			e.boxes = append(e.boxes, x)
		}
	}
	o.erasures[p] = e
}

// erasedAtCentral is the erasure log of the central, which outlives its store.
func (o *oracle) erasedAtCentral() []store.PersonID { return sortedKeys(o.erasures) }

func (o *oracle) backedUp() { o.backupAt = o.s.now }

// restored notes that what was done at the central since its backup is lost.
func (o *oracle) restored() {
	clear(o.mustHold) // the tombstones that were missed are there again
	for i := range o.writes {
		w := &o.writes[i]
		w.gone = w.gone || w.box == nil && w.at >= o.backupAt
	}
	for _, e := range o.people {
		e.gone = e.gone || e.box == nil && e.at >= o.backupAt
	}
	for _, g := range o.grants {
		g.gone = g.gone || g.at >= o.backupAt && g.box == nil || g.withdrawn
	}
	for _, b := range o.s.boxes {
		if o.reborn[b] > o.backupAt {
			o.lose(b, 0, o.reborn[b])
		}
	}
	o.backupAt = o.s.now
}

// erasuresLost notes that a central which was restored has lost the log of its
// erasures as well. What no box has heard, nobody knows.
func (o *oracle) erasuresLost() {
	for p, e := range o.erasures {
		tag := p.Tag()
		known := slices.ContainsFunc(o.s.boxes, func(b *box) bool {
			v, _ := b.disk.view().Get("erased", tag[:])
			return v != nil && b.serves() && !b.away
		})
		if e.gone = e.gone || !known; !known {
			delete(o.erasures, p)
		}
	}
}

// mark is the moment of a box's backup.
func (o *oracle) mark(b *box) time.Duration { return o.s.now }

// boxRestored notes that what was done at a box since its backup may be lost. So is
// what was before, where the central is restored too and has not heard it again: the
// events that tell it are of an epoch that is over.
func (o *oracle) boxRestored(b *box, at time.Duration) {
	o.reborn[b] = o.s.now
	if o.link(b).Epoch != o.s.central.layout.Info().Epoch {
		at = 0
	}
	o.lose(b, at, never)
}

const never = time.Duration(1<<63 - 1)

// lose notes that what was done at a box in some time may be lost.
func (o *oracle) lose(b *box, from, to time.Duration) {
	in := func(at time.Duration) bool { return from <= at && at < to }
	for i := range o.writes {
		w := &o.writes[i]
		w.gone = w.gone || w.box == b && in(w.at)
	}
	for _, e := range o.people {
		e.gone = e.gone || e.box == b && in(e.at)
	}
	for _, g := range o.grants {
		g.gone = g.gone || g.box == b && in(g.at) || g.withdrawn
	}
	for _, p := range sortedKeys(o.erasures) {
		if e := o.erasures[p]; e.box == b && in(e.at) {
			e.gone = true
		}
	}
	o.unproven(b) // what it has erased before goes up with an epoch that is over
}

// unproven notes that nothing waits for what a box says of the erasures so far.
func (o *oracle) unproven(b *box) {
	for _, e := range o.erasures {
		e.boxes = slices.DeleteFunc(e.boxes, func(x *box) bool { return x == b })
	}
}
