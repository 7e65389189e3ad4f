package simtest

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/sync/wire"
)

// settle heals everything, lets the fleet come to rest, and checks that all is as
// promised then.
func (s *fleet) settle() {
	if len(s.bad) > 0 {
		return
	}
	s.calm = true
	s.note("world", "comes to rest")
	s.net = network{offline: map[*box]bool{}}
	s.faults = faults{}
	s.run(s.now + 30*time.Second) // all are started again
	for range 60 {
		if len(s.bad) > 0 || s.rested() {
			break
		}
		s.run(s.now + 30*time.Second)
	}
	if len(s.bad) == 0 {
		s.checkAll()
	}
}

// serves says whether a box has to have everything in the end.
func (b *box) serves() bool { return !b.revoked && !b.cloned }

// rested says whether nothing is left to be done.
func (s *fleet) rested() bool {
	if !s.central.alive {
		return false
	}
	for _, b := range s.boxes {
		switch {
		case !b.alive:
			return false
		case b.serves():
			st := b.up.Status(b.mono())
			if !st.Synced || st.Acked < st.Head || st.Head != s.oracle.head(b) {
				return false
			}
		case b.revoked && !b.cloned && !b.status.Revoked:
			return false
		case b.cloned && !s.oracle.marks[b.device]:
			return false
		}
	}
	return true
}

func (s *fleet) checkAll() {
	o := s.oracle
	for _, b := range s.boxes {
		switch {
		case b.cloned:
			if !o.marks[b.device] && !b.revoked {
				s.violate(b.name, "there are two of it, and nobody noticed")
			}
		case b.revoked:
			if b.status.Match {
				s.violate(b.name, "was revoked and still matches")
			}
		default:
			o.checkEvents(b)
			o.converged(b)
		}
	}
	o.checkErasures()
	o.checkPeople()
	o.checkWrites()
	o.checkGrants()
	o.checkDoors()
	o.checkDeleted()
	o.checkReceipts()
}

// checkEvents checks that the central has all events of a box, each once.
func (o *oracle) checkEvents(b *box) {
	c := o.s.central
	st := b.up.Status(b.mono())
	if st.Acked != st.Head || !st.Synced {
		o.s.violate(b.name, "does not come to rest: %+v", st)
		return
	}
	foreign := c.disk.synced.buckets["record.foreign"]
	for epoch, known := range o.journals[b] {
		n, since := 0, uint64(0)
		var link store.Link
		b.must(func(tx *store.Tx) (err error) {
			link, err = store.Get[store.Link](tx, store.TheLink)
			return err
		})
		if since = link.Since(epoch); epoch != b.layout.Info().Epoch {
			continue // events of an epoch that ended with a restore may be lost
		}
		for seq := since + 1; seq <= uint64(len(known)); seq++ {
			if foreign != nil && foreign.values[string(store.NewForeignID(store.DeviceID(b.device), epoch, seq))] != nil {
				n++
			}
		}
		if n != len(known)-int(since) {
			o.s.violate(b.name, "the central has %d of %d events", n, len(known)-int(since))
		}
	}
}

// record is the JSON of a record and what follows it, taken apart without the store.
func record(value []byte) (fields map[string]string, piece string) {
	n, used := binary.Uvarint(value[1:])
	header := value[1+used:][:n]
	raw := map[string]json.RawMessage{}
	if err := json.Unmarshal(header, &raw); err != nil {
		return map[string]string{"broken": err.Error()}, ""
	}
	fields = map[string]string{}
	for k, v := range raw {
		fields[k] = string(v)
	}
	return fields, string(value[1+used+int(n):])
}

// shared are the records of a disk that travel, by kind and id, without what differs
// by design: revisions, times of change, and the box's own name for the merchant.
func shared(im *image, keys []string, own store.MerchantID) map[string]string {
	out := map[string]string{}
	for _, key := range keys {
		kind, id, _ := strings.Cut(key, "/")
		if kind == "merchant" {
			id = string(own)
		}
		t := im.buckets["record."+kind]
		if t == nil || t.values[id] == nil {
			out[key] = "missing"
			continue
		}
		fields, piece := record(t.values[id])
		for _, f := range []string{"rev", "created", "updated", "merchant"} {
			delete(fields, f)
		}
		if kind == "merchant" {
			delete(fields, "id")
		}
		out[key] = fmt.Sprint(fields, piece)
	}
	return out
}

// converged checks that a box has what its scope has, and nothing besides.
func (o *oracle) converged(b *box) {
	c := o.s.central
	var want []string
	prefix := string(b.site) + "\x00\x01"
	for key, v := range c.disk.synced.buckets["feed.record"].values {
		if id, ok := strings.CutPrefix(key, prefix); ok && string(v[8:]) == string(store.OpPut) {
			want = append(want, id)
		}
	}
	var have []string
	if t := b.disk.synced.buckets["replica"]; t != nil {
		have = slices.Clone(t.keys)
	}
	slices.Sort(want)
	if !slices.Equal(want, have) {
		o.s.violate(b.name, "has other records than its scope: more %v, less %v", without(have, want), without(want, have))
		return
	}
	there, here := shared(c.disk.synced, want, c.owner[b.site]), shared(b.disk.synced, want, b.own)
	for _, key := range want {
		if there[key] != here[key] {
			o.s.violate(b.name, "%s is %s, and at the central %s", key, here[key], there[key])
			return
		}
	}
	if t := b.disk.synced.buckets["record.pending"]; t != nil && len(t.keys) > 0 {
		o.s.violate(b.name, "has changes that nobody waits for: %v", t.keys)
	}
	if own := b.disk.synced.buckets["record.person"]; own != nil {
		if more := without(own.keys, ids(want, "person/")); len(more) > 0 {
			o.s.violate(b.name, "knows people whom the central does not: %v", more)
		}
	}
}

func ids(keys []string, prefix string) (out []string) {
	for _, k := range keys {
		if id, ok := strings.CutPrefix(k, prefix); ok {
			out = append(out, id)
		}
	}
	return out
}

func without(a, b []string) (only []string) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			only = append(only, x)
		}
	}
	return only
}

// checkErasures checks that nothing of an erased person is anywhere, and that each
// box has proven it.
func (o *oracle) checkErasures() {
	for _, p := range sortedKeys(o.erasures) {
		e := o.erasures[p]
		if o.knownErased(p) {
			o.forgotten(&o.s.central.node, p, false)
		}
		if e.gone || e.box != nil && !e.box.serves() || len(o.s.central.past) > 0 && !o.heard(p) {
			continue
		}
		tag := p.Tag()
		o.forgotten(&o.s.central.node, p, has(&o.s.central.node, "erased", string(tag[:])))
		for _, b := range o.s.boxes {
			if b.serves() {
				o.forgotten(&b.node, p, slices.Contains(e.boxes, b))
			}
		}
		for _, b := range e.boxes {
			if b.serves() && !b.liar {
				o.receipt(b, p)
			}
		}
	}
}

// forgotten checks that no record tells about a person, and, where the erasure is
// proven, that the journal does not.
func (o *oracle) forgotten(n *node, p store.PersonID, proven bool) {
	for bucket, t := range n.disk.synced.buckets {
		if !strings.HasPrefix(bucket, "record.") || bucket == "record.event" || bucket == "record.foreign" {
			continue
		}
		for _, key := range t.keys {
			if strings.Contains(key, string(p)) || strings.Contains(string(t.values[key]), string(p)) {
				o.s.violate(n.name, "%s was erased, and %s %s tells about him", p, bucket, key)
				return
			}
		}
	}
	for _, w := range o.writes {
		if w.person != p || !proven {
			continue
		}
		if where, found := n.disk.synced.has(w.value); found {
			o.s.violate(n.name, "%s was erased, and what he was called is still in %s", p, where)
			return
		}
	}
}

func (o *oracle) receipt(b *box, p store.PersonID) {
	found := false
	o.s.central.must(func(tx *store.Tx) error {
		for f, err := range store.All(tx, store.ForeignByPerson, store.Plain(p)) {
			if err != nil {
				return err
			}
			if f.Event.Kind == store.EventErasure && string(f.Device) == b.device {
				found = found || wire.VerifyReceipt(b.key.Public().(ed25519.PublicKey), f.Receipt, b.device, f.Epoch, f.Seq, string(p))
			}
		}
		return nil
	})
	if !found {
		o.s.violate(b.name, "has no receipt for the erasure of %s", p)
	}
}

// checkPeople checks that everybody who was enrolled and not erased is there, with
// the address he was given, or with it in dispute.
func (o *oracle) checkPeople() {
	people := o.s.central.disk.synced.buckets["record.person"]
	for _, p := range sortedKeys(o.people) {
		e := o.people[p]
		if e.gone || o.doubtful[string(p)] || e.box != nil && !e.box.serves() {
			continue
		}
		if people == nil || people.values[string(p)] == nil {
			o.s.violate("central", "%s was enrolled and is not there", p)
			continue
		}
		o.checkAddress(p, e.email, people.values[string(p)])
	}
}

// checkAddress checks that somebody has the address that he was given, or has it in
// dispute, with a review that names him, unless it went with who was erased.
func (o *oracle) checkAddress(p store.PersonID, email string, value []byte) {
	fields, _ := record(value)
	switch {
	case email == "" || fields["email"] == strconv.Quote(email):
		return
	case !strings.Contains(fields["disputed"], strconv.Quote(email)):
		o.s.violate("central", "%s was given %s and has %s", p, email, fields["email"])
		return
	}
	if t := o.s.central.disk.synced.buckets["record.review"]; t != nil {
		for _, v := range t.values {
			if f, _ := record(v); strings.Contains(f["persons"], string(p)) && f["reason"] == strconv.Quote(string(store.ReviewConflict)) {
				return
			}
		}
	}
	for other, e := range o.people { // a review goes with everybody whom it names
		if e.email == email && o.doubtful[string(other)] {
			return
		}
	}
	o.s.violate("central", "%s has %s in dispute, and no operator is asked", p, email)
}

// checkWrites checks that no value which somebody gave is lost without a trace: it
// is there, or somebody who saw it gave another, or the central's journal has it.
func (o *oracle) checkWrites() {
	for _, w := range o.writes {
		if w.gone || o.seen[w.value] || o.doubtful[string(w.person)] || w.box != nil && !w.box.serves() || o.people[w.person] != nil && o.people[w.person].gone {
			continue
		}
		found := false
		places := append(slices.Clone(o.s.central.past), o.s.central.disk.synced)
		if w.box != nil { // or that of the box, where the conflict showed there
			places = append(append(places, w.box.archive...), w.box.disk.synced)
		}
		for _, im := range places {
			_, there := im.has(w.value)
			found = found || there
		}
		if !found {
			o.s.violate("central", "%s was written and is nowhere", w.value)
		}
	}
}

// knownDeleted says whether the central knows a record as deleted, or a box that
// serves and has it in its scope.
func (o *oracle) knownDeleted(key string) bool {
	t := o.s.central.disk.synced.buckets["deleted"]
	known := t != nil && t.values[key] != nil && len(t.values[key]) == 0 // otherwise it does not know what was deleted
	return known || slices.ContainsFunc(o.s.boxes, func(b *box) bool {
		return b.serves() && has(&b.node, "deleted", key) && o.inScope(b.site, key)
	})
}

// knownErased says whether the central knows a person as erased, or a box that serves
// and has him in its scope.
func (o *oracle) knownErased(p store.PersonID) bool {
	tag := p.Tag()
	return has(&o.s.central.node, "erased", string(tag[:])) || slices.ContainsFunc(o.s.boxes, func(b *box) bool {
		return b.serves() && has(&b.node, "erased", string(tag[:])) && o.inScope(b.site, "person/"+string(p))
	})
}

// heard says whether the central or a box that serves knows that somebody was erased.
func (o *oracle) heard(p store.PersonID) bool {
	tag := p.Tag()
	return has(&o.s.central.node, "erased", string(tag[:])) || slices.ContainsFunc(o.s.boxes, func(b *box) bool {
		return b.serves() && has(&b.node, "erased", string(tag[:]))
	})
}

// has says whether a disk has a key in a bucket.
func has(n *node, bucket, key string) bool {
	t := n.disk.synced.buckets[bucket]
	return t != nil && t.values[key] != nil
}

// inScope says whether the feed of a site has a record.
func (o *oracle) inScope(site store.SiteID, key string) bool {
	t := o.s.central.disk.synced.buckets["feed.record"]
	return t != nil && strings.HasSuffix(string(t.values[string(site)+"\x00\x01"+key]), string(store.OpPut))
}

// checkDeleted checks that nothing is there which the central, or a box to whose scope
// it belongs, knows as deleted for ever.
func (o *oracle) checkDeleted() {
	for kind, t := range o.s.central.disk.synced.buckets {
		kind, record := strings.CutPrefix(kind, "record.")
		for _, id := range t.keys {
			if record && o.knownDeleted(kind+"/"+id) {
				o.s.violate("central", "%s %s was deleted, and is there", kind, id)
			}
		}
	}
}

// checkReceipts checks that no receipt at the central is false, and that it has noted
// each that was.
func (o *oracle) checkReceipts() {
	noted := map[string]bool{}
	o.s.central.must(func(tx *store.Tx) error {
		head, err := store.Head(tx)
		if err != nil {
			return err
		}
		for e, err := range store.Envelopes(tx, 1, head) {
			if err != nil {
				return err
			}
			if e.Action == "receipt" {
				noted[string(store.NewForeignID(store.DeviceID(e.Actor.ID), uint64(e.Counters["epoch"]), uint64(e.Counters["event"])))] = true
			}
		}
		for _, b := range o.s.boxes {
			for _, m := range o.s.central.merchants {
				for f, err := range store.All(tx, store.ForeignByMerchant, store.Plain(m), store.Plain(store.EventErasure)) {
					if err != nil {
						return err
					}
					if string(f.Device) != b.device || f.Person == "" {
						continue
					}
					valid := wire.VerifyReceipt(b.key.Public().(ed25519.PublicKey), f.Receipt, b.device, f.Epoch, f.Seq, string(f.Person))
					id := string(store.NewForeignID(f.Device, f.Epoch, f.Seq))
					switch {
					case len(f.Receipt) > 0 && !valid:
						o.s.violate("central", "holds a false receipt of %s", b.name)
					case b.liar && b.serves() && !noted[id] && len(o.s.central.past) == 0:
						o.s.violate("central", "has not noted the false receipt %s of %s", id, b.name)
					}
				}
			}
		}
		return nil
	})
}

// checkGrants checks that grants are there until somebody withdraws them.
func (o *oracle) checkGrants() {
	t := o.s.central.disk.synced.buckets["record.grant"]
	for _, id := range sortedKeys(o.grants) {
		g := o.grants[id]
		if g.gone || o.doubtful[string(g.Person)] || g.box != nil && !g.box.serves() || g.by != nil && !g.by.serves() || o.people[g.Person] != nil && o.people[g.Person].gone {
			continue
		}
		there := t != nil && t.values[string(id)] != nil
		switch {
		case there && g.withdrawn:
			o.s.violate("central", "grant %s was withdrawn and is there", id)
		case !there && !o.doubtful[string(id)] && !o.moved[g.Door]:
			o.s.violate("central", "grant %s is missing", id)
		}
	}
}
